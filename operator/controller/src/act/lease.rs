//! How is a Lease read and written? Every write is guarded by the version that was read: of two candidates one is refused.

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::{Api, ResourceExt};

/// A Lease that could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Somebody else wrote it since it was read.
    #[error("Lease {0} was changed by somebody else")]
    Conflict(String),
    /// The operator may not do that.
    #[error("may not {verb} Lease {name}: its namespace needs the Role and RoleBinding of config/rbac/leader_election.yaml")]
    Forbidden {
        /// What was tried.
        verb: &'static str,
        /// The Lease.
        name: String,
        /// What the API server says.
        #[source]
        source: kube::Error,
    },
    /// Everything else.
    #[error("{verb} Lease {name}")]
    Failed {
        /// What was tried.
        verb: &'static str,
        /// The Lease.
        name: String,
        /// Why.
        #[source]
        source: kube::Error,
    },
}

/// The Lease of this name, if there is one.
///
/// # Errors
/// When it cannot be read.
pub async fn read_lease(api: &Api<Lease>, name: &str) -> Result<Option<Lease>, LeaseError> {
    api.get_opt(name).await.map_err(|error| refused("get", name, error))
}

/// Creates a Lease that has no version, and replaces one that has, if it is still at that version.
///
/// # Errors
/// [`LeaseError::Conflict`] when somebody else was faster.
pub async fn write_lease(api: &Api<Lease>, lease: &Lease) -> Result<Lease, LeaseError> {
    let name = lease.name_any();
    match lease.resource_version() {
        Some(_) => api.replace(&name, &PostParams::default(), lease).await.map_err(|error| refused("update", &name, error)),
        None => api.create(&PostParams::default(), lease).await.map_err(|error| refused("create", &name, error)),
    }
}

fn refused(verb: &'static str, name: &str, error: kube::Error) -> LeaseError {
    let (name, code) = (name.to_owned(), if let kube::Error::Api(status) = &error { status.code } else { 0 });
    match code {
        409 => LeaseError::Conflict(name),
        403 => LeaseError::Forbidden { verb, name, source: error },
        _ => LeaseError::Failed { verb, name, source: error },
    }
}
