//! Can pods of both systems share the claim of a build? One that cannot be mounted twice would make the second pod wait for ever.

use super::cluster::in_time;
use super::{Cluster, Miss, World};
use crate::decide::Request;
use gowindows_crds::conditions::Reason;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{Api, ResourceExt};

const FIELD: &str = "build.workspace.claimName";

impl Cluster {
    /// Whether the claim of `build.workspace` is there and can be mounted by several nodes.
    pub(super) async fn workspace(&self, world: &World, request: &Request) -> Result<(), Miss> {
        let Some(name) = &request.build.workspace else { return Ok(()) };
        let namespace = world.object.namespace().unwrap_or_default();
        let api = Api::<PersistentVolumeClaim>::namespaced(self.client.clone(), &namespace);
        let read = async { api.get_opt(name).await.map_err(|error| unusable(format!("claim {name} could not be read: {error}"))) };
        let claim = in_time(name, read).await?;
        let claim = claim.ok_or_else(|| {
            unusable(format!("there is no claim {name}; create it with ReadWriteMany, of a storage that Linux and Windows nodes can mount"))
        })?;
        let modes = claim.spec.and_then(|spec| spec.access_modes).unwrap_or_default();
        if modes.iter().any(|mode| mode == "ReadWriteMany") {
            return Ok(());
        }
        Err(unusable(format!(
            "claim {name} has {}, and pods on Linux and on Windows nodes have to share it; use one with ReadWriteMany",
            if modes.is_empty() { "no access mode".to_owned() } else { modes.join(", ") }
        )))
    }
}

fn unusable(problem: String) -> Miss {
    Miss { reason: Reason::WorkspaceUnusable, message: format!("{FIELD}: {problem}.") }
}
