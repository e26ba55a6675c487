//! The `assemble` step: the compiled program of this pod becomes a verified image in the registry.

use super::assemble_error::AssembleError;
use super::assemble_pipeline::{find_bases, prepare};
use super::program::Program;
use super::{program_check, program_image, pushed, reused_program};
use crate::progress::megabytes;
use anyhow::Context as _;
use gowindows_clients::identity::{Exchanger, IdentityError};
use gowindows_clients::oci::{Credentials, Registry, parse_reference};
use gowindows_crds::conditions::Reason;
use gowindows_model::settings::RegistrySettings;
use gowindows_model::wire::assemble::{AssembleFailure, AssembleOutcome, AssembleRequest, AssembleResult};
use gowindows_model::wire::identity::Identity;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use windows_image::System;
use windows_image::manifest::media_type;
use windows_image::verify::Author;

/// Exit code of a failure that will come again.
pub const EXIT_FAILED: u8 = 1;
/// Exit code of a failure that may pass (`EX_TEMPFAIL`).
pub const EXIT_TRANSIENT: u8 = 75;
/// Exit code after SIGTERM.
pub const EXIT_TERMINATED: u8 = 143;
/// Registries are asked this often before a failure is reported.
const TRIES: u32 = 4;

/// Arguments of `step assemble`.
#[derive(Debug, clap::Args)]
pub struct AssembleArgs {
    /// What to assemble, as JSON
    #[arg(long, value_name = "JSON")]
    request: String,
    /// Folder that holds exactly one compiled .exe; not needed where the request names an image that has the program
    #[arg(long, value_name = "DIR", conflicts_with_all = ["program_image", "pushed"])]
    program_dir: Option<PathBuf>,
    /// In place of it an image, as `docker save` writes it, whose only file is the .exe
    #[arg(long, value_name = "FILE")]
    program_image: Option<PathBuf>,
    /// In place of assembling, what buildctl says of an image that BuildKit has pushed: it is verified, and gets the tag
    #[arg(long, value_name = "FILE", conflicts_with = "program_image")]
    pushed: Option<PathBuf>,
    /// A buildkitd on Windows has made that image, so commands of its last stage may have left layers of their own
    #[arg(long, requires = "pushed")]
    made_on_windows: bool,
    /// Root of the source: files of the image come from it, and the program is held against its go.mod and go.sum
    #[arg(long, value_name = "DIR")]
    source_dir: Option<PathBuf>,
    /// JSON that the source step wrote; its commitTime becomes every time in the image
    #[arg(long, value_name = "FILE")]
    source_info: PathBuf,
    /// Docker configuration with the registry's credentials; anonymous without it
    #[arg(long, value_name = "FILE")]
    registry_config: Option<PathBuf>,
    /// In place of it the token that is exchanged for the registry's password, as the request says; the file is read when it is needed
    #[arg(long, value_name = "FILE", conflicts_with = "registry_config")]
    identity_token: Option<PathBuf>,
    /// Docker configuration with the credentials to read bases with; the registry's without it
    #[arg(long, value_name = "FILE")]
    base_config: Option<PathBuf>,
    /// Where the outcome is written, as compact JSON of at most 4 KiB
    #[arg(long, value_name = "FILE", default_value = "/dev/termination-log")]
    result: PathBuf,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SourceInfo {
    commit_time: i64,
}

/// Runs the step. The outcome is in the result file and in the exit code.
///
/// # Errors
/// The result file cannot be written.
pub async fn run(args: AssembleArgs) -> anyhow::Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let outcome = tokio::select! {
        outcome = outcome(&args) => outcome,
        _ = terminate.recv() => return Ok(stopped()),
        _ = interrupt.recv() => return Ok(stopped()),
    };
    let json = serde_json::to_vec(&outcome)?;
    std::fs::write(&args.result, json).with_context(|| format!("cannot write the result to {}", args.result.display()))?;
    Ok(match outcome {
        AssembleOutcome::Succeeded(result) => {
            eprintln!("assemble: {}", result.reference);
            ExitCode::SUCCESS
        }
        AssembleOutcome::Failed { failure } => {
            eprintln!("assemble: {}: {}", failure.reason, failure.message);
            ExitCode::from(if failure.transient { EXIT_TRANSIENT } else { EXIT_FAILED })
        }
    })
}

fn stopped() -> ExitCode {
    eprintln!("assemble: stopped by signal; nothing was tagged");
    ExitCode::from(EXIT_TERMINATED)
}

async fn outcome(args: &AssembleArgs) -> AssembleOutcome {
    let failed = |failure| AssembleOutcome::Failed { failure };
    let request: AssembleRequest = match serde_json::from_str(&args.request) {
        Ok(request) => request,
        Err(error) => {
            return failed(AssembleFailure::new(Reason::AssembleFailed, &format!("--request is not a valid request: {error}"), false));
        }
    };
    let (seconds, repository) = (request.timeout_seconds, request.repository.clone());
    match tokio::time::timeout(Duration::from_secs(seconds), assembled(args, request)).await {
        Ok(Ok(result)) => AssembleOutcome::Succeeded(result),
        Ok(Err(failure)) => failed(failure),
        Err(_) => {
            let message = format!(
                "assembling and pushing to {repository} took longer than {seconds} s; raise build.timeouts.push if the registry is slow, or look at why it does not answer"
            );
            failed(AssembleFailure::new(Reason::Timeout, &message, true))
        }
    }
}

async fn assembled(args: &AssembleArgs, request: AssembleRequest) -> Result<AssembleResult, AssembleFailure> {
    let AssembleRequest {
        repository,
        tag,
        mut assembly,
        expected,
        reused_program: reused,
        identity,
        registries,
        absent_apis,
        timeout_seconds: _,
    } = request;
    let unfit = |reason, message: String| AssembleFailure::new(reason, &message, false);
    assembly.epoch = commit_time(&args.source_info).map_err(|message| unfit(Reason::AssembleFailed, message))?;
    let credentials = |file: Option<&PathBuf>| match file {
        Some(path) => Credentials::from_file(path).map_err(|message| unfit(Reason::SecretInvalid, message)),
        None => Ok(Credentials::none()),
    };
    let own = match (&identity, &args.identity_token) {
        (Some(identity), Some(file)) => exchanged(identity, file, &registries).await.map_err(|error| failure(error.into()))?,
        (Some(_), None) => return Err(unfit(Reason::IdentityUnavailable, "there is no --identity-token to exchange".into())),
        (None, _) => credentials(args.registry_config.as_ref())?,
    };
    let for_bases = if args.base_config.is_some() { credentials(args.base_config.as_ref())? } else { own.clone() };
    let start = Instant::now();
    let say = move |line: String| eprintln!("assemble: {:5.1} s  {line}", start.elapsed().as_secs_f64());
    for note in own.notes() {
        say(note.clone());
    }
    let work = async {
        let registry = Registry::new(&registries, own)?.with_tries(TRIES);
        let target = parse_reference(&repository)?;
        let reader = Registry::new(&registries, for_bases)?.with_tries(TRIES).through_mirrors();
        if let Some(metadata) = &args.pushed {
            let bases = find_bases(&reader, &assembly, &say).await?;
            let author = Author::buildkit(if args.made_on_windows { System::Windows } else { System::Linux });
            let image = pushed::Image { registry: &registry, repository: &target, author, bases: bases.bases(), epoch: assembly.epoch };
            return image.accept(metadata, &tag, &absent_apis, &say).await;
        }
        let unpacked = tempfile::tempdir().map_err(AssembleError::WriteLayer)?;
        let program = match (&reused, &args.program_image, &args.program_dir) {
            (Some(reused), _, _) => {
                let program = reused_program::fetch(reused, &registry, unpacked.path()).await?;
                say(format!("program: {} from {}", megabytes(program.size), reused.image));
                program
            }
            (None, Some(image), _) => {
                program_image::unpack(image, unpacked.path())?;
                Program::in_folder(unpacked.path())?
            }
            (None, None, Some(folder)) => Program::in_folder(folder)?,
            (None, None, None) => return Err(AssembleError::Mismatch("nothing says where it is (--program-dir)".into())),
        };
        if let Some(expected) = &expected {
            let source =
                args.source_dir.as_deref().ok_or_else(|| AssembleError::Mismatch("there is no --source-dir to hold it against".into()))?;
            program_check::check(&program.build_info, expected, source)?;
            say("program: package, modules, Go release and settings are those that were asked for".into());
        }
        let bases = find_bases(&reader, &assembly, &say).await?;
        let prepared = prepare(bases, &assembly, &program, args.source_dir.as_deref(), &absent_apis, &say).await?;
        let published = prepared.push(&registry, &target, std::slice::from_ref(&tag), &say).await?;
        let media_type = if prepared.image.index.is_some() { media_type::INDEX } else { media_type::MANIFEST };
        Ok(AssembleResult::new(media_type, published.status))
    };
    work.await.map_err(failure)
}

fn failure(error: AssembleError) -> AssembleFailure {
    let (reason, transient) = (error.reason(), error.transient());
    AssembleFailure::new(reason, &format!("{:#}", anyhow::Error::from(error)), transient)
}

/// The password of the identity's registry, for this process alone.
async fn exchanged(identity: &Identity, file: &Path, registries: &[RegistrySettings]) -> Result<Credentials, IdentityError> {
    let token = std::fs::read_to_string(file).map_err(|source| IdentityError::ReadToken { file: file.to_owned(), source })?;
    let login = Exchanger::new(registries.to_vec()).with_tries(TRIES).login(identity, token.trim()).await?;
    Ok(Credentials::of_host(&identity.host, &login.username, &login.password))
}

fn commit_time(path: &Path) -> Result<i64, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("cannot read the source step's {}: {error}", path.display()))?;
    let info: SourceInfo =
        serde_json::from_slice(&bytes).map_err(|error| format!("the source step's {} cannot be understood: {error}", path.display()))?;
    Ok(info.commit_time)
}
