//! How does a buildkitd that the build starts itself reach registries? As the operator's settings say, in its own words.
//!
//! <https://github.com/moby/buildkit/blob/v0.32.2/docs/buildkitd.toml.md>

use super::error::SourceError;
use super::make_empty;
use gowindows_model::settings::RegistrySettings;
use gowindows_model::wire::source::BuildkitdRequest;
use gowindows_model::wire::stages::BUILDKITD_SETTINGS;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The folder of its settings, beside the context.
pub const FOLDER: &str = "buildkitd";

/// Writes the settings, and the certificates that they name, into `folder`. The daemon sees it where its own settings say.
pub fn write(BuildkitdRequest { registries }: &BuildkitdRequest, folder: &Path) -> Result<(), SourceError> {
    make_empty(folder)?;
    let put = |name: &str, content: &str| {
        let path = folder.join(name);
        fs::write(&path, content).map_err(|error| SourceError::write(&path, error))
    };
    let mut text = String::new();
    for (number, registry) in registries.iter().enumerate() {
        let certificates = registry.ca_pem.as_ref().map(|pem| (format!("{number}.pem"), pem));
        text.push_str(&section(registry, certificates.as_ref().map(|(name, _)| name.as_str())));
        if let Some((name, pem)) = certificates {
            put(&name, pem)?;
        }
    }
    let name = Path::new(BUILDKITD_SETTINGS).file_name().unwrap_or_default().to_string_lossy();
    put(&name, &text)
}

/// Lets the pod's group write into a folder: who runs the daemon, and its client, is another user than this one.
pub fn open(folder: &Path) -> Result<(), SourceError> {
    fs::set_permissions(folder, Permissions::from_mode(0o775)).map_err(|error| SourceError::write(folder, error))
}

fn section(registry: &RegistrySettings, certificates: Option<&str>) -> String {
    let RegistrySettings { host, plain_http, mirror, ca_file: _, ca_pem: _, identity: _ } = registry;
    // What JSON writes as a string TOML reads as one.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut text = format!("[registry.{}]\n", quoted(host));
    if *plain_http {
        text.push_str("http = true\n");
    }
    if let Some(mirror) = mirror {
        text.push_str(&format!("mirrors = [{}]\n", quoted(mirror)));
    }
    if let Some(name) = certificates {
        let folder = Path::new(BUILDKITD_SETTINGS).parent().unwrap_or(Path::new("/"));
        text.push_str(&format!("ca = [{}]\n", quoted(&folder.join(name).to_string_lossy())));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_are_reached_as_the_operators_settings_say() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = root.path().join(FOLDER);
        let plain = |host: &str| RegistrySettings { host: host.into(), ..RegistrySettings::default() };
        let registries = vec![
            RegistrySettings { plain_http: true, ..plain("10.0.0.1:5000") },
            RegistrySettings { ca_pem: Some("PEM".into()), mirror: Some("m.example.com/hub".into()), ..plain("docker.io") },
        ];
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("9.pem"), "of before").expect("written");
        write(&BuildkitdRequest { registries }, &folder).expect("written");
        let expected = "[registry.\"10.0.0.1:5000\"]\nhttp = true\n[registry.\"docker.io\"]\nmirrors = [\"m.example.com/hub\"]\nca = [\"/gowindows/context/buildkitd/1.pem\"]\n";
        assert_eq!(fs::read_to_string(folder.join("buildkitd.toml")).expect("settings"), expected);
        assert_eq!(fs::read_to_string(folder.join("1.pem")).expect("certificates"), "PEM");
        assert!(!folder.join("9.pem").exists());
        write(&BuildkitdRequest { registries: Vec::new() }, &folder).expect("written");
        assert_eq!(fs::read_to_string(folder.join("buildkitd.toml")).expect("settings"), "");
    }
}
