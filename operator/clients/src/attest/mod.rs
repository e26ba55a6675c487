//! What does the operator say of an image, and how can others check that it was the operator who said it?
//!
//! ```text
//! statement (in-toto: these digests, this predicate) -> DSSE envelope, signed -> Sigstore bundle -> referrer
//! ```
//!
//! Two statements are made: that the image is published (the predicate that `cosign sign` writes), and how it was built (SLSA
//! provenance). Both are in the form in which cosign 3 stores and looks for them. The key is in a Secret that only the
//! controller reads, at use; no build pod sees it.

mod bundle;
mod encrypted;
mod key;
mod keys;

pub use bundle::{BUNDLE, Bundle, InvalidBundle};
pub use key::{InvalidKey, SigningKey};
pub use keys::Keys;
