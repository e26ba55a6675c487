//! Where do claimed volumes come from?
//!
//! The lab's default StorageClass gives each claim a directory of this machine, for any number of readers and writers, so that
//! pods of both nodes can share one. Everybody may write to it, because `fsGroup` does not apply to such volumes. The
//! directories go with the lab.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use futures::TryStreamExt;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::PostParams;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio_util::task::AbortOnDropHandle;

/// The name of the StorageClass.
const CLASS: &str = "lab";

/// Makes the StorageClass and, as long as the handle lives, a volume below `folder` for each claim.
pub(super) async fn start(client: Client, folder: PathBuf) -> Result<AbortOnDropHandle<()>> {
    let class: StorageClass = serde_json::from_value(json!({
        "metadata": {"name": CLASS, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "gowindows.dev/lab",
        "reclaimPolicy": "Retain",
        "volumeBindingMode": "Immediate",
    }))?;
    Api::all(client.clone()).create(&PostParams::default(), &class).await.context("cannot make the StorageClass")?;
    Ok(AbortOnDropHandle::new(tokio::spawn(provision(client, folder))))
}

async fn provision(client: Client, folder: PathBuf) {
    let claims: Api<PersistentVolumeClaim> = Api::all(client.clone());
    let mut events = Box::pin(watcher(claims, watcher::Config::default()).default_backoff().applied_objects());
    loop {
        match events.try_next().await {
            Ok(Some(claim)) => {
                if let Err(error) = provide(&client, &folder, &claim).await {
                    tracing::warn!(claim = claim.name_any(), error = format!("{error:#}"), "no volume for a claim");
                }
            }
            Ok(None) => return,
            // The watcher has already waited and tries again.
            Err(error) => tracing::debug!(%error, "the watch on claims broke"),
        }
    }
}

async fn provide(client: &Client, folder: &Path, claim: &PersistentVolumeClaim) -> Result<()> {
    let (Some(spec), Some(uid)) = (&claim.spec, claim.uid()) else { return Ok(()) };
    if spec.storage_class_name.as_deref() != Some(CLASS) || spec.volume_name.is_some() || claim.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    let name = format!("lab-{uid}");
    let path = folder.join(&name);
    fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
    fs::set_permissions(&path, Permissions::from_mode(0o777))?;
    let volume: PersistentVolume = serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {
            "storageClassName": CLASS,
            "persistentVolumeReclaimPolicy": "Retain",
            "accessModes": ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"],
            "capacity": spec.resources.as_ref().and_then(|resources| resources.requests.as_ref()),
            "hostPath": {"path": path, "type": "Directory"},
            "claimRef": {"namespace": claim.namespace(), "name": claim.name_any(), "uid": uid},
        },
    }))?;
    match Api::all(client.clone()).create(&PostParams::default(), &volume).await {
        Ok(_) => Ok(()),
        // An earlier event of the same claim.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(error) => Err(error).context("cannot make the volume"),
    }
}
