//! Which folders of this machine are a pod's volumes?
//!
//! Written once, when the pod starts: a ConfigMap that changes later is not written again. A claim is followed to a
//! volume with a `hostPath` or `local` path, so that a Linux pod and a Windows pod can share one.

use std::{
    collections::BTreeMap,
    fs,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{
        Container, DownwardAPIVolumeFile, KeyToPath, PersistentVolume, PersistentVolumeClaim, ServiceAccount,
        ServiceAccountTokenProjection, Volume, VolumeProjection,
    },
};
use kube::{Api, ResourceExt, api::PostParams};

use crate::environment::{Asker, resource_field};

/// How long a token is good for: these pods live for minutes, and tokens are not renewed.
const TOKEN_SECONDS: i64 = 24 * 60 * 60;

/// Makes every volume of the pod below `folder` and gives the folder of each by its name.
pub async fn prepare(asker: &Asker<'_>, folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let volumes = asker.pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let mut folders = BTreeMap::new();
    for volume in volumes {
        let made = volume_folder(asker, volume, &folder.join(&volume.name)).await;
        folders.insert(volume.name.clone(), made.with_context(|| format!("MountVolume.SetUp failed for volume {:?} ", volume.name))?);
    }
    Ok(folders)
}

/// The folders that `container` sees, by the path where it sees them.
pub fn mounts(container: &Container, volumes: &BTreeMap<String, PathBuf>) -> Result<BTreeMap<String, PathBuf>> {
    let mut mounts = BTreeMap::new();
    for mount in container.volume_mounts.iter().flatten() {
        let volume = volumes.get(&mount.name).with_context(|| format!("no volume is called {:?}", mount.name))?;
        mounts.insert(mount.mount_path.clone(), volume.join(mount.sub_path.as_deref().unwrap_or_default()));
    }
    Ok(mounts)
}

async fn volume_folder(asker: &Asker<'_>, volume: &Volume, folder: &Path) -> Result<PathBuf> {
    if let Some(path) = &volume.host_path {
        return Ok(PathBuf::from(&path.path));
    }
    if let Some(claim) = &volume.persistent_volume_claim {
        return claimed(asker, &claim.claim_name).await;
    }
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    if let Some(source) = &volume.config_map {
        write(folder, asker.config_map(&source.name, source.optional).await?, source.items.as_deref())?;
    } else if let Some(source) = &volume.secret {
        let name = source.secret_name.as_deref().unwrap_or_default();
        write(folder, asker.secret(name, source.optional).await?, source.items.as_deref())?;
    } else if let Some(source) = &volume.downward_api {
        downward(asker, folder, source.items.as_deref().unwrap_or_default())?;
    } else if let Some(source) = &volume.projected {
        for projection in source.sources.iter().flatten() {
            project(asker, folder, projection).await?;
        }
    } else if volume.empty_dir.is_none() {
        bail!("this node knows emptyDir, configMap, secret, downwardAPI, projected, hostPath and persistentVolumeClaim");
    }
    Ok(folder.to_path_buf())
}

async fn claimed(asker: &Asker<'_>, name: &str) -> Result<PathBuf> {
    let namespace = asker.pod.namespace().unwrap_or_default();
    let claim = Api::<PersistentVolumeClaim>::namespaced(asker.client.clone(), &namespace).get(name).await?;
    let volume = claim.spec.and_then(|spec| spec.volume_name).with_context(|| format!("the claim {name} is not bound"))?;
    let spec = Api::<PersistentVolume>::all(asker.client.clone()).get(&volume).await?.spec.unwrap_or_default();
    let path = spec.host_path.map(|path| path.path).or(spec.local.map(|local| local.path));
    path.map(PathBuf::from).with_context(|| format!("the volume {volume} has neither hostPath nor local"))
}

async fn project(asker: &Asker<'_>, folder: &Path, projection: &VolumeProjection) -> Result<()> {
    if let Some(source) = &projection.config_map {
        write(folder, asker.config_map(&source.name, source.optional).await?, source.items.as_deref())
    } else if let Some(source) = &projection.secret {
        write(folder, asker.secret(&source.name, source.optional).await?, source.items.as_deref())
    } else if let Some(source) = &projection.downward_api {
        downward(asker, folder, source.items.as_deref().unwrap_or_default())
    } else if let Some(source) = &projection.service_account_token {
        let token = token(asker, source).await?;
        write_file(folder, &source.path, token.as_bytes())
    } else {
        bail!("this node projects configMap, secret, downwardAPI and serviceAccountToken")
    }
}

async fn token(asker: &Asker<'_>, source: &ServiceAccountTokenProjection) -> Result<String> {
    let account = asker.field("spec.serviceAccountName")?;
    let api = Api::<ServiceAccount>::namespaced(asker.client.clone(), &asker.pod.namespace().unwrap_or_default());
    let audiences = source.audience.iter().cloned().collect();
    let spec = TokenRequestSpec { audiences, expiration_seconds: Some(TOKEN_SECONDS), ..TokenRequestSpec::default() };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let answer = api.create_token_request(&account, &PostParams::default(), &request).await?;
    Ok(answer.status.context("a token request without an answer")?.token)
}

fn downward(asker: &Asker<'_>, folder: &Path, items: &[DownwardAPIVolumeFile]) -> Result<()> {
    for item in items {
        let value = match (&item.field_ref, &item.resource_field_ref) {
            (Some(field), _) => asker.field(&field.field_path)?,
            (None, Some(resource)) => {
                let mut containers = asker.pod.spec.iter().flat_map(|spec| &spec.containers);
                let container = containers.find(|container| Some(&container.name) == resource.container_name.as_ref());
                resource_field(resource, container.context("a resource of no container")?)?
            }
            (None, None) => bail!("{} names neither a field nor a resource", item.path),
        };
        write_file(folder, &item.path, value.as_bytes())?;
    }
    Ok(())
}

fn write(folder: &Path, content: BTreeMap<String, Vec<u8>>, items: Option<&[KeyToPath]>) -> Result<()> {
    let Some(items) = items else {
        return content.iter().try_for_each(|(key, value)| write_file(folder, key, value));
    };
    items.iter().try_for_each(|item| {
        let value = content.get(&item.key).with_context(|| format!("references non-existent config key: {}", item.key))?;
        write_file(folder, &item.path, value)
    })
}

fn write_file(folder: &Path, path: &str, content: &[u8]) -> Result<()> {
    let inside = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    ensure!(inside, "{path:?} leaves the volume");
    let file = folder.join(path);
    fs::create_dir_all(file.parent().unwrap_or(folder))?;
    fs::write(&file, content).with_context(|| format!("write {}", file.display()))
}
