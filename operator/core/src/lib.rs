//! The pure pass: from what is known to what shall be done, and what is said of it. No client, no runtime, no clock, no randomness.
//!
//! Rooms by noun. Each aspect decides, reports on itself, and renders objects where it makes some; none uses another. Ordered rooms, each may
//! use those below it:
//!
//! | room | answers |
//! |---|---|
//! | `pass` | what shall be done, and what is said of it? Composition only |
//! | `status` | what summarises all aspects, and which events tell a change? |
//! | `tuning` | what does production want of the next build? |
//! | `rollout` | what should each target run? |
//! | `publish` | what is published, and what is said of it? |
//! | `build` | which build is there to be, and how far is it? |
//! | `source` | which commit is to be built? |
//! | `kinds` | how is a kind of workload read and written? |
//! | `read` | what do objects of the cluster say? |
//! | `wording` | how are sizes, times and revisions written for people? |
//! | `pace` | when is something tried again? |

pub mod build;
pub mod kinds;
mod pace;
pub mod pass;
mod publish;
pub mod read;
mod rollout;
mod source;
pub mod status;
mod tuning;
mod wording;
