//! Can the claims be used that an object names? A pod would wait in silence for one that is absent; and one that cannot be mounted twice
//! would make the second pod of a build wait for ever.

use super::Cluster;
use super::answers::in_time;
use gowindows_crds::conditions::Reason;
use gowindows_model::call_error::CallError;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::Api;

/// What a field that names a claim asks of it.
struct Wanted {
    field: &'static str,
    reason: Reason,
    modes: &'static [&'static str],
    /// What to do where there is none.
    remedy: &'static str,
    /// Who mounts it.
    users: &'static str,
}

const WORKSPACE: Wanted = Wanted {
    field: "build.workspace.claimName",
    reason: Reason::WorkspaceUnusable,
    modes: &["ReadWriteMany"],
    remedy: "create it with ReadWriteMany, of a storage that Linux and Windows nodes can mount",
    users: "pods on Linux and on Windows nodes have to share it",
};

/// How many nodes mount it is its owner's affair.
const CACHE: Wanted = Wanted {
    field: "build.cache.volume.claimName",
    reason: Reason::CacheUnusable,
    modes: &["ReadWriteMany", "ReadWriteOnce"],
    remedy: "create it, with ReadWriteMany where builds run on several nodes, or leave claimName out for a claim of this object's own",
    users: "builds of several objects have to write to it",
};

impl Wanted {
    fn unusable(&self, problem: String) -> CallError {
        CallError { reason: self.reason, message: format!("{}: {problem}.", self.field) }
    }
}

impl Cluster {
    /// Whether the claim of `build.workspace` is there and can be mounted by several nodes.
    pub(super) async fn workspace(&self, namespace: &str, claim: &str) -> Result<(), CallError> {
        self.claim(namespace, claim, &WORKSPACE).await
    }

    /// Whether the claim that `build.cache.volume` names is there and can be written to.
    pub(super) async fn cache_claim(&self, namespace: &str, claim: &str) -> Result<(), CallError> {
        self.claim(namespace, claim, &CACHE).await
    }

    async fn claim(&self, namespace: &str, name: &str, wanted: &Wanted) -> Result<(), CallError> {
        let api = Api::<PersistentVolumeClaim>::namespaced(self.client.clone(), namespace);
        let read = async { api.get_opt(name).await.map_err(|error| wanted.unusable(format!("claim {name} could not be read: {error}"))) };
        let claim = in_time(name, read).await?;
        let claim = claim.ok_or_else(|| wanted.unusable(format!("there is no claim {name}; {}", wanted.remedy)))?;
        let modes = claim.spec.and_then(|spec| spec.access_modes).unwrap_or_default();
        if modes.iter().any(|mode| wanted.modes.contains(&mode.as_str())) {
            return Ok(());
        }
        let has = if modes.is_empty() { "no access mode".to_owned() } else { modes.join(", ") };
        Err(wanted.unusable(format!("claim {name} has {has}, and {}; use one with {}", wanted.users, wanted.modes.join(" or "))))
    }
}
