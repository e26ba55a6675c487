//! The vocabulary: what is asked for, what is known, and what is to be done. Data and its own rules, no flow.
//!
//! Every crate that decides, asks or acts speaks in these types, and none of them keeps one of its own that another needs. Ordered rooms,
//! each may use those below it:
//!
//! | room | answers |
//! |---|---|
//! | `ports` | how is the outside world asked? |
//! | `plan` | what shall be done, and what was concluded? |
//! | `facts` | what is known at the start of a pass? |
//! | `attest` | what is said of an image? |
//! | `inputs` | what determines an image? |
//! | `request` | what does a valid specification ask for? |
//! | `question` | what can be asked of the outside world? |
//! | `access` | with what is a registry opened, and where does an image go? |
//! | `wire` | what do the steps of a build pod get and tell? |
//! | `settings` | what has the operator's owner set? |
//! | `binding` | whose login goes to which server? |
//! | `go` | how is the go command called? |
//! | `conversions` | what are the API's words in the image writer's? |
//! | `call_error` | what is known of a call that failed? |
//! | `names` | what are generated objects called? |
//! | `redact` | what must not be shown? |

pub mod access;
pub mod attest;
pub mod binding;
pub mod call_error;
pub mod conversions;
pub mod facts;
pub mod go;
pub mod inputs;
pub mod names;
pub mod plan;
pub mod ports;
pub mod question;
pub mod redact;
pub mod request;
pub mod settings;
pub mod wire;
