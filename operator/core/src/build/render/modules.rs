//! How do the credentials for private modules get into the pod of a compiler?

use super::job::secret_volume;
use super::stages::read_only;
use gowindows_model::go::credentials::{Credentials, HOME};
use k8s_openapi::api::core::v1::{KeyToPath, Volume, VolumeMount};

const VOLUME: &str = "modules-auth";

/// The Secret as a volume.
pub(super) fn volume(credentials: Credentials, secret: &str) -> Volume {
    let items = credentials.files().map(|(key, file)| KeyToPath { key: key.into(), mode: None, path: file.into() });
    secret_volume(VOLUME, secret, Some(items.collect()))
}

/// The volume in a container.
pub(super) fn mount() -> VolumeMount {
    read_only(VOLUME, HOME)
}
