//! `gowindows verify`: is an image, whoever made it, one that Windows nodes can import and run?
//!
//! ```text
//! reference -> manifests and configurations -> layers, from the top -> findings -> table
//! ```
//!
//! The rules are those of `windows_image::verify`, which the build and the controller use too. What cannot be looked at (a base of
//! gigabytes) is said to be unchecked and is no failure.

mod report;

use crate::layers::Layers;
use gowindows_clients::oci::{Registry, Source};
use gowindows_model::settings::Settings;
use std::path::PathBuf;
use std::process::ExitCode;
use windows_image::read_back::ReadBack;
use windows_image::verify::Rule;
use windows_image::verify::any_image;
use windows_image::verify::{Finding, Verdict, complaint};
use windows_image::{Digest, release};

/// Registries are asked this often before a failure is reported.
const TRIES: u32 = 3;
/// Exit code when a rule failed.
const EXIT_FAILED: u8 = 1;
/// Exit code when the image could not be read.
const EXIT_UNREADABLE: u8 = 2;

/// Check a Windows container image of any tool: does it fit its nodes, can they import it, and will its program run?
///
/// Prints what was found for each rule, and where the rule comes from. Nothing is executed and nothing is kept. The exit code is
/// 0 if no rule failed (warnings are no failures), 1 if one did, and 2 if the image cannot be read.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gowindows verify registry.example.com/shop/storefront:v1
  gowindows verify oci:./image --json

Credentials are read from $DOCKER_CONFIG/config.json or ~/.docker/config.json; credential helpers named there are not run.")]
pub struct VerifyArgs {
    /// The image, by reference or as an OCI layout
    #[arg(value_name = "REF|oci:DIR")]
    image: String,
    /// Speak HTTP without TLS to this registry; may be repeated
    #[arg(long, value_name = "HOST:PORT")]
    insecure_registry: Vec<String>,
    /// The operator's settings: registries and absentApis
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Read layers of up to so many megabytes (compressed); larger ones, such as those of bases, are named as unchecked
    #[arg(long, value_name = "MB", default_value_t = 64)]
    max_layer_mb: u64,
    /// Print the findings as JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// As it was asked for.
    pub image: String,
    /// Digest of its index or only manifest.
    pub digest: Digest,
    /// One per Windows release.
    pub platforms: Vec<Platform>,
}

/// What was found of the image for one release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// The full version, if it has one.
    pub os_version: String,
    /// The release's name, where it is known.
    pub release: Option<&'static str>,
    /// Digest of its manifest.
    pub digest: Option<Digest>,
    /// The answers, in the order of the rules.
    pub findings: Vec<Finding>,
}

impl Verified {
    /// No rule failed.
    pub fn passed(&self) -> bool {
        self.platforms.iter().all(|platform| complaint(&platform.findings).is_none())
    }
}

/// Runs the command.
///
/// # Errors
/// The result cannot be printed.
pub async fn run(args: VerifyArgs) -> anyhow::Result<ExitCode> {
    match verify(&args).await {
        Ok(verified) => {
            print!("{}", if args.json { report::json(&verified)? } else { report::table(&verified) });
            Ok(if verified.passed() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILED) })
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            Ok(ExitCode::from(EXIT_UNREADABLE))
        }
    }
}

/// Reads the image and answers every rule that can be answered.
///
/// # Errors
/// It cannot be read, or what is read is no image.
pub async fn verify(args: &VerifyArgs) -> anyhow::Result<Verified> {
    let settings =
        args.config.as_deref().map(|file| Settings::load(file, |path| std::fs::read_to_string(path))).transpose()?.unwrap_or_default();
    let registries = crate::build::registries(settings.registries, &args.insecure_registry);
    let registry = Registry::new(&registries, crate::build::docker_credentials()?)?.with_tries(TRIES);
    let source = Source::parse(&registry, &args.image)?;
    let (digest, images) = source.image().await?;
    let mut layers = Layers::new(&source, args.max_layer_mb.saturating_mul(1_000_000), &settings.absent_apis);
    let mut platforms = Vec::new();
    for image in &images {
        platforms.push(platform(image, &mut layers).await?);
    }
    if platforms.is_empty() {
        let nothing = Finding::of(Rule::Platform, false, "there is no image for windows/amd64");
        platforms.push(Platform { os_version: String::new(), release: None, digest: None, findings: vec![nothing] });
    }
    Ok(Verified { image: args.image.clone(), digest, platforms })
}

async fn platform(image: &ReadBack, layers: &mut Layers<'_>) -> anyhow::Result<Platform> {
    let mut findings = any_image(image);
    findings.extend(layers.findings(image).await?);
    // Answers to one rule stand together, the worst first; what passed in one layer and failed in another has failed.
    findings.sort_by_key(|finding| (finding.rule, std::cmp::Reverse(finding.verdict)));
    let mut kept: Vec<Finding> = Vec::new();
    for finding in findings {
        let answered = kept.last().is_some_and(|last| last.rule == finding.rule);
        let says_nothing_new = (answered && finding.verdict == Verdict::Passed) || kept.contains(&finding);
        if !says_nothing_new {
            kept.push(finding);
        }
    }
    let os_version = image.config.os_version.clone().unwrap_or_default();
    Ok(Platform { release: release::name(&os_version), os_version, digest: Some(image.digest.clone()), findings: kept })
}
