//! How does the controller ask git? [`resolve`](super::resolve) with a Secret's data, and failures as data.

use super::https::Clients;
use super::{AuthError, GitAuth, GitError, RESOLVE_DEADLINE, Resolved};
use futures::FutureExt;
use futures::future::BoxFuture;
use gowindows_model::call_error::CallError;
use gowindows_model::facts::Revision;
use gowindows_model::ports::{Git, SecretData};
use gowindows_model::wire::source::Reference;

/// Git servers over HTTPS.
#[derive(Clone, Debug, Default)]
pub struct GitClient {
    clients: Clients,
}

impl Git for GitClient {
    fn resolve<'a>(
        &'a self,
        url: &'a str,
        reference: &'a Reference,
        secret: Option<&'a SecretData>,
    ) -> BoxFuture<'a, Result<Revision, CallError>> {
        async move {
            let auth = secret.map(GitAuth::from_secret).transpose()?.unwrap_or_default();
            let Resolved { reference_name: name, commit } =
                super::resolve_with(&self.clients, url, reference, &auth, RESOLVE_DEADLINE).await?;
            Ok(Revision { name, commit })
        }
        .boxed()
    }
}

impl From<AuthError> for CallError {
    fn from(error: AuthError) -> Self {
        Self { reason: error.reason(), message: sentence(&error) }
    }
}

impl From<GitError> for CallError {
    fn from(error: GitError) -> Self {
        Self { reason: error.reason(), message: sentence(&error) }
    }
}

fn sentence(error: &impl std::fmt::Display) -> String {
    format!("{}.", error.to_string().trim_end_matches('.'))
}
