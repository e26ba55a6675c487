//! How is ko started?

use std::path::Path;

use anyhow::Result;
use tokio::process::Command;

use crate::lab::go::path_with_go;
use crate::lab::tools::Tools;

use super::pinned;

/// Builds the main package `package` of the folder `module` and pushes it as `repository:tag`, as its documentation says for Windows.
/// `base` is the base image. `tools` are those of [`crate::lab::tools::KO`].
pub fn command(tools: &Tools, module: &Path, package: &str, base: &str, (repository, tag): (&str, &str)) -> Result<Command> {
    let mut command = Command::new(tools.path("ko")?);
    command.current_dir(module).args(["build", package, "--bare", "--platform=windows/amd64", "--tags", tag]);
    command.envs([("KO_DOCKER_REPO", repository), ("KO_DEFAULTBASEIMAGE", base)]).env("PATH", path_with_go()?);
    Ok(command)
}

/// Its name and version.
pub fn version() -> Result<String> {
    Ok(format!("ko {}", pinned("ko", "github.com/google/ko")?))
}
