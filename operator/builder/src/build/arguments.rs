//! What may be said on the command line?

use std::path::PathBuf;

/// Build a Windows container image from Go source, on this machine, without a cluster.
///
/// Compiles with the local `go` for windows/amd64, puts the program on a Windows base image, and pushes the result (or writes
/// it as an OCI layout). No Windows, no container runtime and no root are needed, and no layer of the base is downloaded
/// unless the target registry lacks it. The same commit, Go release and base give the same digest, here and in a cluster.
#[derive(Clone, Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("destination").required(true).args(["push", "output"])))]
#[command(after_help = "\
Examples:
  gowindows build --push registry.example.com/shop/storefront:v1
  gowindows build ./services/storefront --package ./cmd/storefront --release ltsc2022 --release ltsc2025 --push registry.example.com/shop/storefront
  gowindows build -f gwi.yaml --output ./image        # as the object declares it, into a folder

Credentials are read from $DOCKER_CONFIG/config.json or ~/.docker/config.json; credential helpers named there are not run.")]
pub struct BuildArgs {
    /// Folder of the Go module (or below it); with -f, the root of the repository
    #[arg(default_value = ".", value_name = "DIR")]
    pub dir: PathBuf,
    /// A GoWindowsImage (YAML) that supplies every field that affects the image; the other flags override it
    #[arg(short = 'f', long = "file", value_name = "gwi.yaml")]
    pub file: Option<PathBuf>,
    /// Main package to build [default: .]
    #[arg(long, value_name = "P")]
    pub package: Option<String>,
    /// Base image, by reference or as an OCI layout [default: Nano Server of the wanted releases]
    #[arg(long, value_name = "REF|oci:DIR")]
    pub base: Option<String>,
    /// Windows release to build for, by name (ltsc2022) or build (10.0.20348); may be repeated [default: every release of
    /// --base, or ltsc2022]
    #[arg(long = "release", value_name = "R")]
    pub releases: Vec<String>,
    /// Compression of the program's layer: gzip from 0 to 9, or zstd from 1 to 19 [default: gzip:4]
    #[arg(long, value_name = "gzip|zstd[:LEVEL]")]
    pub compression: Option<String>,
    /// Tag to set; may be repeated [default: the tag in --push, or with -f the declared ones]
    #[arg(long = "tag", value_name = "T")]
    pub tags: Vec<String>,
    /// Repository to push to, with or without a tag
    #[arg(long, value_name = "REF")]
    pub push: Option<String>,
    /// Write an OCI layout to this folder instead of pushing
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Speak HTTP without TLS to this registry; may be repeated
    #[arg(long, value_name = "HOST:PORT")]
    pub insecure_registry: Vec<String>,
    /// The operator's settings: bases and registries
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print what status.image holds, as JSON, instead of a table
    #[arg(long)]
    pub json: bool,
}
