//! Can the repository's own Dockerfile make the image? Then what BuildKit gets is it, with the base by the digest of its one manifest.
//!
//! The base is read here, before anything is built: its user decides whether the Dockerfile must name one, and BuildKit would take the first
//! image for Windows of an index, whichever it is.

use super::error::SourceError;
use gowindows_clients::oci::{BaseError, Bases, Credentials, OciError, Registry, Source};
use gowindows_model::conversions;
use gowindows_model::wire::source::DockerfileRequest;
use std::fs;
use std::path::{Path, PathBuf};
use windows_image::own_dockerfile::{self, LARGEST};
use windows_image::own_dockerfile::{Base, Images};

/// Registries are asked this often before a failure is reported.
const TRIES: u32 = 4;

/// Reads the Dockerfile from the work tree `source` and writes what BuildKit gets into the folder `dest`. What `.dockerignore` says beside it
/// goes with it. Returns the bytes of both.
pub async fn write(
    request: &DockerfileRequest,
    registry_config: Option<&Path>,
    source: &Path,
    dest: &Path,
    epoch: i64,
) -> Result<u64, SourceError> {
    let DockerfileRequest { path, system, base: _, toolchain, registries: _ } = request;
    let text = read(source, path)?;
    let images = Images { system: conversions::system(*system), base: base(request, registry_config).await?, toolchain: toolchain.clone() };
    let findings = own_dockerfile::lint(&text, &images);
    if !findings.is_empty() {
        return Err(SourceError::DockerfileFindings { path: path.clone(), findings: own_dockerfile::sentence(&findings) });
    }
    let unreadable = |(line, why)| SourceError::DockerfileFindings { path: path.clone(), findings: format!("line {line}: {why}") };
    let pinned = own_dockerfile::pinned(&text, &images, epoch).map_err(unreadable)?;
    let folder = dest.join("dockerfile");
    let put = |name: &str, content: &str| {
        let file = folder.join(name);
        let written = fs::create_dir_all(&folder).and_then(|()| fs::write(&file, content));
        written.map(|()| content.len() as u64).map_err(|error| SourceError::write(&file, error))
    };
    let bytes = put("Dockerfile", &pinned)?;
    match inside(source, &format!("{path}.dockerignore")).and_then(|file| fs::read_to_string(file).ok()) {
        Some(ignored) => Ok(bytes + put("Dockerfile.dockerignore", &ignored)?),
        None => Ok(bytes),
    }
}

fn read(source: &Path, path: &str) -> Result<String, SourceError> {
    let no_file = |problem: String| SourceError::NoDockerfile { path: path.to_owned(), problem };
    let file = inside(source, path).ok_or_else(|| no_file("is not there".into()))?;
    let found = fs::metadata(&file).map_err(|error| no_file(format!("cannot be read ({error})")))?;
    if !found.is_file() || found.len() > LARGEST {
        return Err(no_file(format!("is no file of at most {LARGEST} bytes")));
    }
    fs::read_to_string(&file).map_err(|error| no_file(format!("cannot be read ({error})")))
}

/// What the path leads to, links followed; none where that is not there, or not in the work tree.
fn inside(source: &Path, path: &str) -> Option<PathBuf> {
    let (root, file) = (source.canonicalize().ok()?, source.join(path).canonicalize().ok()?);
    file.starts_with(root).then_some(file)
}

async fn base(request: &DockerfileRequest, registry_config: Option<&Path>) -> Result<Base, SourceError> {
    let DockerfileRequest { base, registries, path: _, system: _, toolchain: _ } = request;
    let unread = |error: OciError| SourceError::Base(BaseError::Read(error));
    let credentials =
        registry_config.map_or_else(|| Ok(Credentials::none()), Credentials::from_file).map_err(SourceError::RegistrySecret)?;
    let registry = Registry::new(registries, credentials).map_err(unread)?.with_tries(TRIES).through_mirrors();
    let Bases { bases, listed } = Source::parse(&registry, base).map_err(unread)?.bases(base, &[]).await?;
    match bases.as_slice() {
        [only] => Ok(Base { reference: base.clone(), manifest: only.digest.to_string(), user: only.config.config.user.clone() }),
        _ => Err(SourceError::SeveralBases { base: base.clone(), versions: listed.join(", ") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_of_the_work_tree_is_read() {
        let root = tempfile::tempdir().expect("a folder");
        let source = root.path().join("src");
        fs::create_dir_all(source.join("build")).expect("a folder");
        fs::write(root.path().join("secret"), "FROM x").expect("written");
        fs::write(source.join("build/Dockerfile"), "FROM y").expect("written");
        std::os::unix::fs::symlink("../secret", source.join("out")).expect("a link");
        std::os::unix::fs::symlink("build/Dockerfile", source.join("in")).expect("a link");
        let told = |path: &str| read(&source, path).map_err(|error| error.to_string());
        assert_eq!((told("build/Dockerfile"), told("in")), (Ok("FROM y".into()), Ok("FROM y".into())));
        for path in ["out", "../secret", "gone"] {
            assert!(told(path).is_err_and(|error| error.contains("is not there") && error.contains(path)), "{path}");
        }
        assert!(told("build").is_err_and(|error| error.contains("is no file")));
        fs::write(source.join("big"), " ".repeat(LARGEST as usize + 1)).expect("written");
        assert!(told("big").is_err_and(|error| error.contains("is no file of at most")));
    }
}
