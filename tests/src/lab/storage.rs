//! Where do claimed volumes come from?
//!
//! The lab's default StorageClass gives each claim a directory of this machine, for any number of readers and writers, so that
//! pods of both nodes can share one. Everybody may write to it, because `fsGroup` does not apply to such volumes. The
//! directories go with the lab. A new volume is empty, or begins with a Go build cache that the lab was given.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

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

/// What a new volume begins with: a Go build cache, and where in the volume its copies go.
struct Beginning {
    folder: PathBuf,
    places: &'static [&'static str],
}

/// Makes a volume for each claim, as long as it lives.
pub(super) struct Volumes {
    beginning: Arc<OnceLock<Beginning>>,
    _watch: AbortOnDropHandle<()>,
}

impl Volumes {
    /// From now on each new volume begins with copies of this Go build cache in these places. Only the first call counts.
    pub(super) fn begin_with(&self, folder: PathBuf, places: &'static [&'static str]) {
        self.beginning.get_or_init(|| Beginning { folder, places });
    }
}

/// Makes the StorageClass, and a volume below `folder` for each claim.
pub(super) async fn start(client: Client, folder: PathBuf) -> Result<Volumes> {
    let class: StorageClass = serde_json::from_value(json!({
        "metadata": {"name": CLASS, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "gowindows.dev/lab",
        "reclaimPolicy": "Retain",
        "volumeBindingMode": "Immediate",
    }))?;
    Api::all(client.clone()).create(&PostParams::default(), &class).await.context("cannot make the StorageClass")?;
    let beginning = Arc::<OnceLock<Beginning>>::default();
    let watch = tokio::spawn(provision(client, folder, beginning.clone()));
    Ok(Volumes { beginning, _watch: AbortOnDropHandle::new(watch) })
}

async fn provision(client: Client, folder: PathBuf, beginning: Arc<OnceLock<Beginning>>) {
    let claims: Api<PersistentVolumeClaim> = Api::all(client.clone());
    let mut events = Box::pin(watcher(claims, watcher::Config::default()).default_backoff().applied_objects());
    loop {
        match events.try_next().await {
            Ok(Some(claim)) => {
                if let Err(error) = provide(&client, &folder, &claim, &beginning).await {
                    tracing::warn!(claim = claim.name_any(), error = format!("{error:#}"), "no volume for a claim");
                }
            }
            Ok(None) => return,
            // The watcher has already waited and tries again.
            Err(error) => tracing::debug!(%error, "the watch on claims broke"),
        }
    }
}

async fn provide(client: &Client, folder: &Path, claim: &PersistentVolumeClaim, beginning: &Arc<OnceLock<Beginning>>) -> Result<()> {
    let (Some(spec), Some(uid)) = (&claim.spec, claim.uid()) else { return Ok(()) };
    if spec.storage_class_name.as_deref() != Some(CLASS) || spec.volume_name.is_some() || claim.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    let name = format!("lab-{uid}");
    let path = folder.join(&name);
    let (beginning, to) = (beginning.clone(), path.clone());
    tokio::task::spawn_blocking(move || make(&to, beginning.get())).await?.with_context(|| format!("cannot make {}", path.display()))?;
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

/// Makes the folder of a volume, with what it begins with.
fn make(volume: &Path, beginning: Option<&Beginning>) -> std::io::Result<()> {
    open_folder(volume)?;
    let Some(Beginning { folder, places }) = beginning else { return Ok(()) };
    for place in *places {
        let mut above = volume.to_owned();
        for name in Path::new(place) {
            above.push(name);
            open_folder(&above)?;
        }
        copy(folder, &above)?;
    }
    Ok(())
}

fn open_folder(path: &Path) -> std::io::Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o777))
}

/// Copies a Go build cache. What a compiler has written (`<its hash>-d`, cmd/go `internal/cache`) never changes, so it is shared: nobody in a
/// pod may write to it, and hundreds of megabytes are not written for each volume.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    open_folder(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (name, there) = (entry.file_name(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &there)?;
        } else if name.to_string_lossy().ends_with("-d") {
            fs::hard_link(entry.path(), &there)?;
        } else {
            fs::copy(entry.path(), &there)?;
            fs::set_permissions(&there, Permissions::from_mode(0o666))?;
        }
    }
    Ok(())
}
