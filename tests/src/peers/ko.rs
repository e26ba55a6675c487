//! How is ko started?

use std::path::Path;

use anyhow::Result;
use tokio::process::Command;

use crate::lab::go::go;
use crate::lab::tools::Tools;

/// Builds the main package `package` of the folder `module` and pushes it as `repository:tag`, as its documentation says for Windows.
/// `base` is the base image. `tools` are those of [`crate::lab::tools::KO`].
pub fn command(tools: &Tools, module: &Path, package: &str, base: &str, (repository, tag): (&str, &str)) -> Result<Command> {
    let go = go(module)?;
    let folder = Path::new(go.get_program()).parent().map(Path::to_path_buf).unwrap_or_default();
    let usual = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(folder).chain(std::env::split_paths(&usual)))?;
    let mut command = Command::new(tools.path("ko")?);
    command.current_dir(module).args(["build", package, "--bare", "--platform=windows/amd64", "--tags", tag]);
    command.envs([("KO_DOCKER_REPO", repository), ("KO_DEFAULTBASEIMAGE", base)]).env("PATH", path);
    Ok(command)
}
