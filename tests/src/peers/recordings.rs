//! What was recorded of the engines that compile, for `operator/core/tests/engines.rs`?
//!
//! A recording holds only for the version of its engine: when a `go.mod` of `tests/tools` names another one, it is to be made anew.

use super::{buildkit, kaniko};
use crate::lab::go::Toolchain;
use anyhow::{Context, Result};
use gowindows_crds::v1alpha1::BuildEngine;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// A build that an engine has failed.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Recording {
    /// The engine's name and version.
    pub engine: String,
    /// Its Jobs.
    pub jobs: Vec<Value>,
    /// Their pods.
    pub pods: Vec<Value>,
}

/// An engine's name and version, as it would be recorded now.
///
/// # Errors
/// It cannot be told.
pub fn version(engine: BuildEngine) -> Result<String> {
    match engine {
        BuildEngine::Go => Ok(format!("Go {}", Toolchain::find()?.version())),
        BuildEngine::BuildKit => buildkit::version(),
        BuildEngine::Kaniko => kaniko::version(),
    }
}

/// The recording of an engine.
///
/// # Errors
/// There is none, or it cannot be read.
pub fn read(engine: BuildEngine) -> Result<Recording> {
    let path = path(engine);
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("read {}", path.display()))
}

/// Replaces it.
///
/// # Errors
/// It cannot be written.
pub fn write(engine: BuildEngine, recording: &Recording) -> Result<()> {
    let path = path(engine);
    let text = serde_json::to_string_pretty(recording)? + "\n";
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))
}

fn path(engine: BuildEngine) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../operator/core/tests/recorded/engines");
    folder.join(format!("{}.json", engine.as_str().to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The Go of this machine may be another one: it is whoever's machine it is.
    #[test]
    fn recordings_are_of_the_pinned_engines() {
        for engine in [BuildEngine::BuildKit, BuildEngine::Kaniko] {
            let (recorded, pinned) = (read(engine).expect("a recording").engine, version(engine).expect("a version"));
            let how = "cargo test --package gowindows-tests --test lab -- --ignored what_engines_say";
            assert_eq!(recorded, pinned, "record it anew: {how}");
        }
    }
}
