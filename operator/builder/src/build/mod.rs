//! `gowindows build`: from a folder with Go source to a Windows image, on this machine, without a cluster.
//!
//! ```text
//! arguments and declaration -> plan -> bases | compile (the local `go`) -> assemble -> push or write -> report
//! ```
//!
//! The same flags and the same writer as in the cluster: the same commit, toolchain and base give the same digest.

mod arguments;
mod declaration;
mod plan;
mod report;
mod revision;
mod toolchain;

pub use arguments::BuildArgs;

use crate::progress::Say;
use crate::step::assemble_pipeline::Program;
use crate::step::assemble_pipeline::{Prepared, find_bases, prepare};
use crate::step::program_check;
use anyhow::Context as _;
use gowindows_clients::oci::{Credentials, Registry};
use gowindows_crds::v1alpha1::ImageStatus;
use gowindows_model::conversions::image_status;
use gowindows_model::go::savings;
use gowindows_model::request::SizeBudget;
use gowindows_model::settings::{RegistrySettings, Settings};
use gowindows_model::wire::assemble::Expected;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use plan::{Destination, Plan};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use tokio::signal::unix::{SignalKind, signal};
use windows_image::read_back::ReadBack;
use windows_image::sizes::Sizes;

/// Exit code of everything that went wrong.
const EXIT_FAILED: u8 = 1;
/// Exit code after Ctrl-C, as shells expect it.
const EXIT_INTERRUPTED: u8 = 130;
/// Registries are asked this often before a failure is reported.
const TRIES: u32 = 3;

/// Runs the command. Failures are printed here; the exit code says the rest.
///
/// # Errors
/// Signals cannot be listened for, or the report cannot be printed.
pub async fn run(args: BuildArgs) -> anyhow::Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let json = args.json;
    let built = tokio::select! {
        built = build(args) => built,
        _ = interrupt.recv() => return Ok(interrupted()),
        _ = terminate.recv() => return Ok(interrupted()),
    };
    match built {
        Ok(status) => {
            print!("{}", if json { report::json(&status)? } else { report::table(&status) });
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            Ok(ExitCode::from(EXIT_FAILED))
        }
    }
}

fn interrupted() -> ExitCode {
    eprintln!("interrupted; nothing was tagged");
    ExitCode::from(EXIT_INTERRUPTED)
}

async fn build(args: BuildArgs) -> anyhow::Result<ImageStatus> {
    let start = Instant::now();
    let say = move |line: String| eprintln!("{:6.1} s  {line}", start.elapsed().as_secs_f64());
    let settings =
        args.config.as_deref().map(|file| Settings::load(file, |path| std::fs::read_to_string(path))).transpose()?.unwrap_or_default();
    let declared = args.file.as_deref().map(|file| declaration::read(file, &settings)).transpose()?;
    let module = plan::module_folder(&args.dir, declared.as_ref())?;
    let revision = revision::of(&module)?;
    say(format!("source: {revision}"));
    let Plan { compile, mut assembly, destination, tags, notes } =
        plan::plan(&args, declared.as_ref(), &settings, revision.commit.as_deref())?;
    assembly.epoch = revision.epoch;

    let credentials = docker_credentials()?;
    for note in notes.iter().chain(credentials.notes()) {
        say(format!("note: {note}"));
    }
    let size_budget = declared.as_ref().and_then(|spec| spec.image.size_budget.clone());
    let budget = SizeBudget::new(size_budget).map_err(|refusal| anyhow::Error::msg(refusal.message))?;
    let out = tempfile::tempdir().context("cannot make a temporary folder for the program (in TMPDIR)")?;
    // All else that can be done before there is a program is done beside the compiler; a wrong base ends it.
    let compiling = toolchain::start(&module, &compile, out.path())?;
    let registries = registries(settings.registries, &args.insecure_registry);
    let reader = Registry::new(&registries, credentials.clone())?.with_tries(TRIES).through_mirrors();
    let registry = Registry::new(&registries, credentials)?.with_tries(TRIES);
    let bases = async { anyhow::Ok(find_bases(&reader, &assembly, &say).await?) };
    let (bases, ()) = tokio::try_join!(bases, compiling.finish(&say))?;
    let program = Program::in_folder(out.path())?;
    if compile.strip
        && let Some(saved) = program.build_info.as_ref().ok().and_then(|info| savings::sentence(&info.go_version))
    {
        say(format!("compile: {saved}"));
    }
    // In a workspace the sums of the other modules count too.
    let source = module.ancestors().find(|folder| folder.join("go.work").is_file()).unwrap_or(&module);
    let sub_path = module.strip_prefix(source).map(|path| path.display().to_string()).unwrap_or_default();
    program_check::check(&program.build_info, &Expected { compile, go_version: None, sub_path }, source)?;
    let prepared = prepare(bases, &assembly, &program, Some(&args.dir), &settings.absent_apis, &say).await?;
    keep_within(&budget, &prepared, &say)?;
    // The program is in the layer now. To remove a large file takes as long as several requests.
    tokio::task::spawn_blocking(move || drop(out));
    let status = match &destination {
        Destination::Repository(repository) => prepared.push(&registry, repository, &tags, &say).await?.status,
        Destination::Folder(folder) => prepared.write(folder, tags.first().map(String::as_str), &say).await?,
    };
    let duration = Some(format!("{}s", start.elapsed().as_secs().max(1)));
    Ok(ImageStatus { tags, revision: revision.display(), built_at: Some(Time(Timestamp::now())), duration, ..status })
}

/// Nothing is written anywhere when the image is too large. Its growth cannot be told here: there is no last good image to compare with.
fn keep_within(budget: &SizeBudget, prepared: &Prepared<'_>, say: Say<'_>) -> anyhow::Result<()> {
    let measured = image_status("", "", &Sizes::of(&ReadBack::from_assembled(&prepared.image)?));
    match budget.excess(&measured) {
        Some(excess) if budget.fails => anyhow::bail!("{excess}; make the program smaller, or raise the budget"),
        Some(excess) => say(format!("warning: {excess}")),
        None => {}
    }
    Ok(())
}

/// `$DOCKER_CONFIG/config.json`, or the one in the home folder; none is no error.
pub(crate) fn docker_credentials() -> anyhow::Result<Credentials> {
    let folder =
        std::env::var_os("DOCKER_CONFIG").map(PathBuf::from).or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".docker")));
    match folder.map(|folder| folder.join("config.json")).filter(|file| file.exists()) {
        Some(file) => Credentials::from_file(&file).map_err(anyhow::Error::msg),
        None => Ok(Credentials::none()),
    }
}

/// The settings' registries, and those that the command line says speak HTTP.
pub(crate) fn registries(mut configured: Vec<RegistrySettings>, insecure: &[String]) -> Vec<RegistrySettings> {
    configured.retain(|registry| !insecure.contains(&registry.host));
    configured.extend(insecure.iter().map(|host| RegistrySettings { host: host.clone(), plain_http: true, ..RegistrySettings::default() }));
    configured
}
