//! stub
/// x
#[derive(clap::Args)]
pub struct BuildArgs {}
/// x
pub async fn run(_: BuildArgs) -> anyhow::Result<std::process::ExitCode> {
    unreachable!()
}
