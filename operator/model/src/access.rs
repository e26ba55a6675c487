//! With what is a registry opened, and where does an image go? What questions and writes carry with them.

use crate::wire::identity::Identity;

/// The field that names the registry's Secret.
pub const PUSH_SECRET: &str = "image.pushSecretRef";
/// The field that names the Secret for bases.
pub const PULL_SECRET: &str = "image.base.pullSecretRef";

/// With what a registry is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Access {
    /// Nothing.
    #[default]
    Anonymous,
    /// The Docker configuration in a Secret.
    Secret {
        /// The field that names it.
        field: &'static str,
        /// Its name, in the object's namespace.
        name: String,
    },
    /// A password that a cloud gives for a token of a ServiceAccount.
    Identity(Identity),
}

/// A repository that images are pushed to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Repository {
    /// Without tag and digest. Example: `registry.example.com/shop/app`.
    pub name: String,
    /// With what it is opened.
    pub access: Access,
}
