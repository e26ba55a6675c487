//! The step that assembles and pushes, against each fault at each of its requests.

use crate::server::{BASE, Door, Fault, How, RealRegistry};
use anyhow::{Context, Result, bail, ensure};
use axum::http::StatusCode;
use clap::Parser;
use futures::future::join_all;
use gowindows_builder::step::assemble::{AssembleArgs, run};
use gowindows_crds::conditions::Reason;
use gowindows_model::wire::assemble::{AssembleFailure, AssembleOutcome, AssembleRequest, AssembleResult};
use std::path::Path;
use tempfile::TempDir;
use windows_image::Assembly;

pub const TAG: &str = "gw-0123456789abcdef";
/// Longer than any way through the retries of one call, on a slow machine too.
pub const ENOUGH: u64 = 300;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    arguments: AssembleArgs,
}

/// A fault and what the step must make of it.
struct Case {
    name: &'static str,
    fault: Fault,
    reason: Reason,
    /// Whether the same attempt may succeed later.
    passes: bool,
    /// What the sentence must name, beside the registry.
    says: &'static [&'static str],
}

const fn case(
    name: &'static str,
    at: (&'static str, &'static str, u64),
    how: How,
    reason: Reason,
    passes: bool,
    says: &'static [&'static str],
) -> Case {
    Case { name, fault: Fault { method: at.0, path: at.1, after: at.2, how }, reason, passes, says }
}

const BASE_MANIFEST: (&str, &str, u64) = ("GET", "/windows/nanoserver/manifests/", 0);
const BASE_CHILD: (&str, &str, u64) = ("GET", "/windows/nanoserver/manifests/", 1);
const BASE_CONFIG: (&str, &str, u64) = ("GET", "/windows/nanoserver/blobs/", 0);
const LOOK: (&str, &str, u64) = ("HEAD", "/app/blobs/", 0);
const OPEN: (&str, &str, u64) = ("POST", "/app/blobs/uploads/", 0);
/// Of the two layers of the base, the program's layer and the configuration, two are on their way.
const OPEN_LATER: (&str, &str, u64) = ("POST", "/app/blobs/uploads/", 2);
const UPLOAD: (&str, &str, u64) = ("PUT", "/app/blobs/uploads/", 0);
/// Every end of an upload, and every piece.
const LOSE: (&str, &str, u64) = ("PATCH PUT", "/app/blobs/uploads/", 0);
const MANIFEST: (&str, &str, u64) = ("PUT", "/app/manifests/sha256:", 0);
const READ_BACK: (&str, &str, u64) = ("GET", "/app/manifests/sha256:", 0);
const READ_CONFIG: (&str, &str, u64) = ("GET", "/app/blobs/", 0);
const READ_LAYER: (&str, &str, u64) = ("GET", "/app/blobs/", 1);
const LIST_BILLS: (&str, &str, u64) = ("GET", "/app/referrers/", 0);
/// After the image's own.
const BILL: (&str, &str, u64) = ("PUT", "/app/manifests/sha256:", 1);
const SET_TAG: (&str, &str, u64) = ("PUT", "/app/manifests/gw-", 0);
const READ_TAG: (&str, &str, u64) = ("HEAD", "/app/manifests/gw-", 0);

const NO_PROJECT: &str = r#"{"errors":[{"code":"NAME_UNKNOWN","message":"project app not found"}]}"#;
const UPLOAD_UNKNOWN: &str = r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"blob upload unknown to registry"}]}"#;
const IMMUTABLE: &str = r#"{"errors":[{"code":"DENIED","message":"tags are immutable"}]}"#;
const LOGIN: &str = "add them to the docker configuration";
const MEND: &str = "image.repository";
const LOOK_BETWEEN: &str = "a proxy in front of it";

use How::{Changed, Cut, Huge, OtherDigest, Portal, Silent, Status, Swallowed, Truncated};
use Reason::{BaseUnavailable, RegistryAuthFailed, RegistryInvalid, RegistryUnreachable, Timeout, VerificationFailed};

const CASES: &[Case] = &[
    case("base-refused", BASE_MANIFEST, Status(403, ""), BaseUnavailable, false, &["nanoserver:ltsc2022", "HTTP 403", LOGIN]),
    case("base-absent", BASE_MANIFEST, Status(404, ""), BaseUnavailable, false, &["nanoserver:ltsc2022", "check repository, tag"]),
    case("base-busy", BASE_MANIFEST, Status(503, ""), BaseUnavailable, true, &["HTTP 503", "may pass by itself"]),
    case("base-portal", BASE_MANIFEST, Portal, BaseUnavailable, false, &["nanoserver", "cannot be right", LOOK_BETWEEN]),
    case("base-huge", BASE_MANIFEST, Huge, BaseUnavailable, false, &["nanoserver:ltsc2022", "more than 4194304 bytes"]),
    case("base-truncated", BASE_MANIFEST, Truncated, BaseUnavailable, false, &["the content has digest"]),
    case("base-child-changed", BASE_CHILD, Changed, BaseUnavailable, false, &["the content has digest"]),
    case("base-config-changed", BASE_CONFIG, Changed, BaseUnavailable, false, &["the content has digest"]),
    case("base-config-cut", BASE_CONFIG, Cut, BaseUnavailable, true, &["the connection broke"]),
    case("look-refused", LOOK, Status(403, ""), RegistryAuthFailed, false, &["HTTP 403", LOGIN]),
    case("look-busy", LOOK, Status(500, ""), RegistryUnreachable, true, &["HTTP 500"]),
    case("look-silent", LOOK, Silent, Timeout, true, &["build.timeouts.push"]),
    case("open-unclear", OPEN, Status(401, ""), RegistryInvalid, false, &["WWW-Authenticate", LOOK_BETWEEN]),
    case("open-denied", OPEN, Status(403, IMMUTABLE), RegistryAuthFailed, false, &["tags are immutable", LOGIN]),
    case("open-no-project", OPEN, Status(404, NO_PROJECT), RegistryInvalid, false, &["project app not found", "create", MEND]),
    case("open-busy", OPEN, Status(502, ""), RegistryUnreachable, true, &["HTTP 502"]),
    case("open-busy-later", OPEN_LATER, Status(503, ""), RegistryUnreachable, true, &["HTTP 503"]),
    case("open-portal", OPEN, Portal, RegistryInvalid, false, &["no usable Location", LOOK_BETWEEN]),
    case("upload-denied", UPLOAD, Status(403, ""), RegistryAuthFailed, false, &["upload blob", LOGIN]),
    case("upload-too-large", UPLOAD, Status(413, ""), RegistryInvalid, false, &["HTTP 413", "larger bodies"]),
    case("upload-busy", UPLOAD, Status(503, ""), RegistryUnreachable, true, &["upload blob", "HTTP 503"]),
    case("upload-silent", UPLOAD, Silent, Timeout, true, &["build.timeouts.push"]),
    case("upload-forgotten", UPLOAD, Swallowed, RegistryInvalid, false, &["write manifest"]),
    case("upload-lost", LOSE, Status(404, UPLOAD_UNKNOWN), RegistryInvalid, false, &["upload blob", "HTTP 404", "share one storage"]),
    case("manifest-denied", MANIFEST, Status(403, ""), RegistryAuthFailed, false, &["write manifest", LOGIN]),
    case("manifest-busy", MANIFEST, Status(504, ""), RegistryUnreachable, true, &["write manifest", "HTTP 504"]),
    case("manifest-portal", MANIFEST, Portal, VerificationFailed, false, &["not there right after it was pushed"]),
    case("manifest-forgotten", MANIFEST, Swallowed, VerificationFailed, false, &["not there right after it was pushed"]),
    case("manifest-stored-as-other", MANIFEST, OtherDigest, RegistryInvalid, false, &["it stored sha256:0000"]),
    case("read-back-refused", READ_BACK, Status(403, ""), RegistryAuthFailed, false, &["read manifest", LOGIN]),
    case("read-back-absent", READ_BACK, Status(404, ""), VerificationFailed, false, &["not there right after it was pushed"]),
    case("read-back-changed", READ_BACK, Changed, RegistryInvalid, false, &["the content has digest", LOOK_BETWEEN]),
    case("read-back-truncated", READ_BACK, Truncated, RegistryInvalid, false, &["the content has digest"]),
    case("read-back-huge", READ_BACK, Huge, RegistryInvalid, false, &["more than 4194304 bytes"]),
    case("read-back-silent", READ_BACK, Silent, Timeout, true, &["build.timeouts.push"]),
    case("config-changed", READ_CONFIG, Changed, RegistryInvalid, false, &["the content has digest"]),
    case("layer-changed", READ_LAYER, Changed, VerificationFailed, false, &["layer", LOOK_BETWEEN]),
    case("layer-truncated", READ_LAYER, Truncated, VerificationFailed, false, &["layer", LOOK_BETWEEN]),
    case("layer-cut", READ_LAYER, Cut, RegistryUnreachable, true, &["read blob", "the connection broke"]),
    case("bills-busy", LIST_BILLS, Status(503, ""), RegistryUnreachable, true, &["list what is attached", "HTTP 503"]),
    case("bill-denied", BILL, Status(403, ""), RegistryAuthFailed, false, &["write manifest", LOGIN]),
    case("bill-stored-as-other", BILL, OtherDigest, RegistryInvalid, false, &["it stored sha256:0000"]),
    case("tag-denied", SET_TAG, Status(403, IMMUTABLE), RegistryAuthFailed, false, &[TAG, "tags are immutable"]),
    case("tag-forgotten", SET_TAG, Swallowed, RegistryInvalid, false, &[TAG, "HTTP 404"]),
    case("tag-moved", READ_TAG, OtherDigest, VerificationFailed, false, &[TAG, "does somebody else move it?"]),
];

/// The headers of a console program for amd64, as Go's linker writes them: nothing here runs it.
pub fn program() -> Vec<u8> {
    let mut pe = vec![0_u8; 0x80];
    pe[..2].copy_from_slice(b"MZ");
    pe[0x3c] = 0x80;
    pe.extend(b"PE\0\0\x64\x86");
    pe.extend([0; 14]);
    pe.extend(240_u16.to_le_bytes());
    pe.extend(0x22_u16.to_le_bytes());
    let mut optional = vec![0_u8; 240];
    optional[..2].copy_from_slice(&0x20b_u16.to_le_bytes());
    optional[68] = 3;
    optional[108] = 16;
    pe.extend(optional);
    pe
}

/// What the stages before leave for this one.
pub fn compiled() -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    std::fs::create_dir(folder.path().join("out"))?;
    std::fs::create_dir_all(folder.path().join("src/web"))?;
    std::fs::write(folder.path().join("src/web/index.html"), "<html>")?;
    std::fs::write(folder.path().join("out/storefront.exe"), program())?;
    std::fs::write(folder.path().join("source.json"), r#"{"commitTime": 1767323045}"#)?;
    Ok(folder)
}

/// One of these tests: each door has an address of its own, which the image would name.
async fn step(compiled: &Path, door: &Door, repository: &str, seconds: u64) -> Result<AssembleOutcome> {
    run_step(compiled, &request(door, repository, seconds)?).await
}

/// What it is told.
pub fn request(door: &Door, repository: &str, seconds: u64) -> Result<AssembleRequest> {
    let name = serde_json::json!({"org.opencontainers.image.base.name": BASE});
    let assembly = serde_json::json!({"bases": [format!("{}/{BASE}", door.host)], "annotations": name, "epoch": 0});
    let assembly: Assembly = serde_json::from_value(assembly)?;
    Ok(AssembleRequest {
        reused_program: None,
        identity: None,
        repository: format!("{}/{repository}", door.host),
        tag: TAG.into(),
        assembly,
        expected: None,
        registries: door.settings(),
        absent_apis: vec![],
        timeout_seconds: seconds,
    })
}

/// Runs the step as its container does.
pub async fn run_step(compiled: &Path, request: &AssembleRequest) -> Result<AssembleOutcome> {
    run_step_with(compiled, request, &[]).await
}

/// The same with further arguments.
pub async fn run_step_with(compiled: &Path, request: &AssembleRequest, further: &[&str]) -> Result<AssembleOutcome> {
    let program = compiled.join("out");
    let program = ["--program-dir", program.to_str().context("a path in UTF-8")?];
    run_step_on(compiled, request, &[&program, further].concat()).await
}

/// The same, where the arguments say what it is to look at.
pub async fn run_step_on(compiled: &Path, request: &AssembleRequest, further: &[&str]) -> Result<AssembleOutcome> {
    let result = tempfile::NamedTempFile::new()?;
    let path = |path: &Path| path.to_str().map(str::to_owned).context("a path in UTF-8");
    let arguments = [
        "assemble".to_owned(),
        "--request".into(),
        serde_json::to_string(request)?,
        "--source-dir".into(),
        path(&compiled.join("src"))?,
        "--source-info".into(),
        path(&compiled.join("source.json"))?,
        "--result".into(),
        path(result.path())?,
    ];
    let command = Command::try_parse_from(arguments.into_iter().chain(further.iter().map(|word| (*word).to_owned())))?;
    run(command.arguments).await?;
    Ok(serde_json::from_slice(&std::fs::read(result.path())?)?)
}

async fn succeeds(compiled: &Path, door: &Door, repository: &str) -> Result<AssembleResult> {
    match step(compiled, door, repository, ENOUGH).await? {
        AssembleOutcome::Succeeded(result) => Ok(result),
        AssembleOutcome::Failed { failure } => bail!("with nothing broken: {failure:?}"),
    }
}

/// The fault, and its twin: the same run through the same door once it is mended.
async fn check(registry: &RealRegistry, compiled: &Path, digest: &str, case: &Case) -> Result<()> {
    let (door, repository) = (registry.door().await?, format!("{}/app", case.name));
    door.set(Some(case.fault));
    let seconds = if case.fault.how == Silent { 5 } else { ENOUGH };
    let AssembleOutcome::Failed { failure } = step(compiled, &door, &repository, seconds).await? else { bail!("it succeeded") };
    let AssembleFailure { reason, message, transient } = &failure;
    ensure!((reason.as_str(), *transient) == (case.reason.to_string().as_str(), case.passes), "{failure:?}");
    ensure!(!message.contains(":latest"), "a tag that nobody named: {message}");
    let host = [door.host.as_str()];
    for part in host.iter().chain(case.says) {
        ensure!(message.contains(part), "{part:?} is not in: {message}");
    }
    // Four transfers at a time, each of which tries four times.
    ensure!((1..=16).contains(&door.struck()), "{} requests met the fault, where 1 to 16 are patient enough", door.struck());
    let tagged = door.status_behind(&repository, TAG).await?;
    let may_be_tagged = case.fault.path == READ_TAG.1;
    ensure!(may_be_tagged || tagged == StatusCode::NOT_FOUND, "what was not verified has a tag: {tagged}");

    door.set(None);
    let result = succeeds(compiled, &door, &repository).await.context("once it is mended")?;
    ensure!(result.digest == digest, "the same inputs are the same image: {} and {digest}", result.digest);
    let tagged = door.status_behind(&repository, TAG).await?;
    ensure!(tagged == StatusCode::OK, "what was verified has its tag: {tagged}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_at_each_request_is_told_leaves_no_tag_and_passes() -> Result<()> {
    let (registry, compiled) = (RealRegistry::start().await?, compiled()?);
    let digest = succeeds(compiled.path(), &registry.door().await?, "healthy/app").await?.digest;
    let checks = CASES.iter().map(|case| async { check(&registry, compiled.path(), &digest, case).await.context(case.name) });
    let broken: Vec<String> = join_all(checks).await.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
    ensure!(broken.is_empty(), "{} of {} cases:\n{}", broken.len(), CASES.len(), broken.join("\n"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_takes_no_artifacts_gets_the_image_all_the_same() -> Result<()> {
    let (registry, compiled) = (RealRegistry::start().await?, compiled()?);
    let door = registry.door().await?;
    door.set(Some(Fault { method: BILL.0, path: BILL.1, after: BILL.2, how: Status(400, r#"{"errors":[{"code":"MANIFEST_INVALID"}]}"#) }));
    let result = succeeds(compiled.path(), &door, "no-artifacts/app").await?;
    ensure!(result.sbom.is_none() && door.struck() == 1, "{result:?}");
    ensure!(door.status_behind("no-artifacts/app", TAG).await? == StatusCode::OK);
    door.set(None);
    ensure!(succeeds(compiled.path(), &door, "no-artifacts/app").await?.sbom.is_some(), "with nothing broken it has one");
    Ok(())
}
