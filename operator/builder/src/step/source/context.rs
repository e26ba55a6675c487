//! What does a container builder need beside the source? The Dockerfile, and the files that name modules in a tree of their own, so that a
//! change of anything else leaves the layer with the downloaded modules as it is.

use super::error::SourceError;
use super::listing::Listing;
use gowindows_model::go::dockerfile::{Generated, MODULES};
use std::fs;
use std::path::Path;

/// What it has beside the source.
pub const FOLDERS: [&str; 2] = ["dockerfile", MODULES];
/// What go looks at to know the modules of a build.
const NAMES: [&str; 4] = ["go.mod", "go.sum", "go.work", "go.work.sum"];

/// Writes the context into the empty [`FOLDERS`] of `dest`, from the work tree `source`. Returns the bytes that it has beside the source.
pub fn write(generated: &Generated, listing: &Listing, sub_path: &str, source: &Path, dest: &Path) -> Result<u64, SourceError> {
    let dockerfile = generated.text(is_vendored(source, sub_path))?;
    put(&dest.join("dockerfile/Dockerfile"), dockerfile.as_bytes())?;
    let mut bytes = dockerfile.len();
    let named = |path: &&Path| path.file_name().is_some_and(|name| NAMES.iter().any(|known| name == *known));
    for path in listing.files.iter().map(|file| file.path.as_path()).filter(named) {
        let content = fs::read(source.join(path)).map_err(|error| SourceError::write(path, error))?;
        put(&dest.join(MODULES).join(path), &content)?;
        bytes += content.len();
    }
    Ok(bytes as u64)
}

fn put(path: &Path, content: &[u8]) -> Result<(), SourceError> {
    let folder = path.parent().unwrap_or(path);
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(path, content));
    written.map_err(|error| SourceError::write(path, error))
}

/// Whether go takes the modules from a vendor folder: that of the module, or of the workspace that it is in.
fn is_vendored(source: &Path, sub_path: &str) -> bool {
    let module = source.join(sub_path);
    let within = module.ancestors().take_while(|folder| folder.starts_with(source));
    let workspace = within.clone().find(|folder| folder.join("go.work").is_file());
    workspace.unwrap_or(&module).join("vendor/modules.txt").is_file()
}

#[cfg(test)]
mod tests {
    use super::super::listing::File;
    use super::*;
    use gowindows_crds::v1alpha1::NodeSystem;
    use gowindows_model::go::compile::Compile;
    use gowindows_model::go::dockerfile::Builder;
    use std::path::PathBuf;

    fn generated() -> Generated {
        let compile =
            Compile { package: ".".into(), tags: vec![], ldflags: vec![], env: vec![], strip: true, timezone_data: true, cgo: false };
        Generated {
            system: NodeSystem::Linux,
            toolchain: "r/go@sha256:11".into(),
            compile,
            sub_path: "app".into(),
            module_sources: vec![],
            downloaded: false,
            credentials: None,
            builder: Builder::Kaniko(None),
        }
    }

    #[test]
    fn modules_are_named_in_a_tree_of_their_own() {
        let root = tempfile::tempdir().expect("a folder");
        let (source, dest) = (root.path().join("src"), root.path().join("context"));
        let mut listing = Listing::default();
        for path in ["go.work", "app/go.mod", "app/go.sum", "app/main.go", "lib/go.mod", "lib/go.mod.orig"] {
            put(&source.join(path), path.as_bytes()).expect("written");
            let id = gix::ObjectId::null(gix::hash::Kind::Sha1);
            listing.files.push(File { path: PathBuf::from(path), id, executable: false });
        }
        let bytes = write(&generated(), &listing, "app", &source, &dest).expect("a context");
        let mut found: Vec<String> = Vec::new();
        let mut folders = vec![dest.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("a folder").flatten() {
                let path = entry.path();
                if path.is_dir() { folders.push(path) } else { found.push(path.strip_prefix(&dest).expect("inside").display().to_string()) }
            }
        }
        found.sort();
        let expected = ["dockerfile/Dockerfile", "modules/app/go.mod", "modules/app/go.sum", "modules/go.work", "modules/lib/go.mod"];
        assert_eq!(found, expected);
        let dockerfile = || fs::read_to_string(dest.join("dockerfile/Dockerfile")).expect("a Dockerfile");
        assert!(dockerfile().contains("download"));
        let modules = ["go.work", "app/go.mod", "app/go.sum", "lib/go.mod"].concat();
        assert_eq!(bytes, (dockerfile().len() + modules.len()) as u64, "each file holds its own path");
        put(&source.join("app/vendor/modules.txt"), b"").expect("written");
        write(&generated(), &listing, "app", &source, &dest).expect("a context");
        assert!(dockerfile().contains("download"), "in a workspace its own vendor folder counts");
        put(&source.join("vendor/modules.txt"), b"").expect("written");
        write(&generated(), &listing, "app", &source, &dest).expect("a context");
        assert!(!dockerfile().contains("download"));
    }
}
