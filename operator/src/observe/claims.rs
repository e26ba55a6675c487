//! Can the claims be used that an object names? A pod would wait in silence for one that is absent; and one that cannot be mounted twice
//! would make the second pod of a build wait for ever.

use super::cluster::in_time;
use super::{Cluster, Miss, World};
use crate::decide::{CacheClaim, Request};
use gowindows_crds::conditions::Reason;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{Api, ResourceExt};

const WORKSPACE: Field = Field { path: "build.workspace.claimName", reason: Reason::WorkspaceUnusable };
const CACHE: Field = Field { path: "build.cache.volume.claimName", reason: Reason::CacheUnusable };

/// A field that names a claim.
struct Field {
    path: &'static str,
    reason: Reason,
}

impl Field {
    fn unusable(&self, problem: String) -> Miss {
        Miss { reason: self.reason, message: format!("{}: {problem}.", self.path) }
    }
}

impl Cluster {
    /// Whether the claim of `build.workspace` is there and can be mounted by several nodes.
    pub(super) async fn workspace(&self, world: &World, request: &Request) -> Result<(), Miss> {
        let Some(name) = &request.build.workspace else { return Ok(()) };
        let remedy = "create it with ReadWriteMany, of a storage that Linux and Windows nodes can mount";
        let modes = self.access_modes(world, &WORKSPACE, name, remedy).await?;
        if modes.iter().any(|mode| mode == "ReadWriteMany") {
            return Ok(());
        }
        Err(WORKSPACE.unusable(format!(
            "claim {name} has {}, and pods on Linux and on Windows nodes have to share it; use one with ReadWriteMany",
            if modes.is_empty() { "no access mode".to_owned() } else { modes.join(", ") }
        )))
    }

    /// Whether the claim that `build.cache.volume` names is there and can be written to. How many nodes mount it is its owner's affair.
    pub(super) async fn cache_claim(&self, world: &World, request: &Request) -> Result<(), Miss> {
        let Some(CacheClaim::Shared(name)) = &request.build.cache else { return Ok(()) };
        let remedy =
            "create it, with ReadWriteMany where builds run on several nodes, or leave claimName out for a claim of this object's own";
        let modes = self.access_modes(world, &CACHE, name, remedy).await?;
        if modes.iter().any(|mode| mode == "ReadWriteMany" || mode == "ReadWriteOnce") {
            return Ok(());
        }
        Err(CACHE.unusable(format!(
            "claim {name} has {}, and builds of several objects have to write to it; use one with ReadWriteMany or ReadWriteOnce",
            if modes.is_empty() { "no access mode".to_owned() } else { modes.join(", ") }
        )))
    }

    async fn access_modes(&self, world: &World, field: &Field, name: &str, remedy: &str) -> Result<Vec<String>, Miss> {
        let namespace = world.object.namespace().unwrap_or_default();
        let api = Api::<PersistentVolumeClaim>::namespaced(self.client.clone(), &namespace);
        let read = async { api.get_opt(name).await.map_err(|error| field.unusable(format!("claim {name} could not be read: {error}"))) };
        let claim = in_time(name, read).await?;
        let claim = claim.ok_or_else(|| field.unusable(format!("there is no claim {name}; {remedy}")))?;
        Ok(claim.spec.and_then(|spec| spec.access_modes).unwrap_or_default())
    }
}
