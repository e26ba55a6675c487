//! How does the source get into a build pod?
//!
//! ```text
//! fetch the commit -> list its tree -> write the files -> look at the Go module -> report
//! ```
//!
//! Everything is checked before anything is written: names, sizes, and where symbolic links point. What is in the repository
//! is data: no hook, filter, submodule or configuration of it is acted on, and the compiler sees no `.git`. A second run over
//! the same folders begins anew.

mod buildkitd;
mod cache;
mod checkout;
mod context;
mod error;
mod links;
mod listing;
mod module;
mod own_dockerfile;
mod registry_cache;

pub use error::SourceError;
pub(crate) use module::module_path;

use anyhow::Context;
use futures::future::OptionFuture;
use gowindows_clients::git::{self, Fetch, GitAuth, Stop};
use gowindows_model::redact;
use gowindows_model::wire::source::{SourceFailure, SourceInfo, SourceReport, SourceRequest};
use listing::{Limits, Listing};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// A termination message may have 4 KiB in all.
const MESSAGE_LIMIT: usize = 2048;
/// Files, folders and links of a repository.
const MAX_ENTRIES: usize = 200_000;

/// Fetches one commit of a git repository and checks that there is a Go program to build.
#[derive(Clone, Debug, clap::Args)]
pub struct SourceArgs {
    /// What to fetch: a source request as JSON
    #[arg(long, value_name = "JSON")]
    pub request: String,
    /// Folder of a mounted Secret with `username` and `password` or `bearerToken`, and `ca.crt` or `caFile`
    #[arg(long, value_name = "DIR")]
    pub auth_dir: Option<PathBuf>,
    /// Folder for the work tree; what is in it is deleted first
    #[arg(long, value_name = "DIR")]
    pub dest: PathBuf,
    /// Folder in which the compiler will put the program; it is made empty
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Folder for what a container builder needs beside the source, where the request asks for it; its folders for that are made empty
    #[arg(long, value_name = "DIR")]
    pub context: Option<PathBuf>,
    /// Folder with the caches of compiler and modules, which is looked at and not changed
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Folder with folders of each build of the object, where these outlive their pods: those of the builds that `--over` names are deleted
    #[arg(long, value_name = "DIR")]
    pub builds: Option<PathBuf>,
    /// A build that has ended; can be given several times
    #[arg(long, value_name = "NAME", requires = "builds")]
    pub over: Vec<String>,
    /// Docker configuration with the credentials to read the base of a Dockerfile with; anonymous without it
    #[arg(long, value_name = "FILE")]
    pub registry_config: Option<PathBuf>,
    /// File for what was found out about the source, as JSON, for the steps that follow
    #[arg(long, value_name = "FILE")]
    pub info: PathBuf,
    /// File for the report, as JSON
    #[arg(long, value_name = "FILE", default_value = "/dev/termination-log")]
    pub result: PathBuf,
}

/// Runs the step: exit code 0 when the source is there, 1 when it is not and the report says why, 143 after SIGTERM.
pub async fn run(args: SourceArgs) -> anyhow::Result<ExitCode> {
    let done = perform(&args).await;
    let (report, code) = match done {
        Ok(info) => {
            let text = serde_json::to_string(&info)?;
            fs::write(&args.info, text).with_context(|| format!("cannot write {}", args.info.display()))?;
            (SourceReport::Done(info), ExitCode::SUCCESS)
        }
        Err(error) => {
            let message = redact::head(&error.to_string(), MESSAGE_LIMIT);
            eprintln!("source: {message}");
            let code = if matches!(error, SourceError::Terminated) { ExitCode::from(143) } else { ExitCode::FAILURE };
            let (reason, transient) = (error.reason().to_string(), error.is_transient());
            (SourceReport::Failed { failure: SourceFailure { reason, message, transient } }, code)
        }
    };
    let text = serde_json::to_string(&report)?;
    fs::write(&args.result, text).with_context(|| format!("cannot write {}", args.result.display()))?;
    Ok(code)
}

/// Does the work on a thread that may block, until it is done, the time is up, or the kubelet wants the pod to end.
async fn perform(args: &SourceArgs) -> Result<SourceInfo, SourceError> {
    let request: SourceRequest = serde_json::from_str(&args.request).map_err(SourceError::ReadRequest)?;
    let auth = match &args.auth_dir {
        Some(folder) => GitAuth::from_folder(folder)?,
        None => GitAuth::default(),
    };
    // Process 1 of a container ignores signals that it does not handle.
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| SourceError::write(Path::new("signal handler"), error))?;
    let limit = Duration::from_secs(request.timeout_seconds);
    let stop = Stop::default();
    let _ends_with_us = stop.on_drop();
    let (folders, of_the_work) = (args.clone(), stop.clone());
    let dockerfile = request.dockerfile.clone();
    let (cache, of_the_look) = (args.cache.clone(), stop.clone());
    let (registry_cache, config) = (request.registry_cache.clone(), args.registry_config.as_deref());
    let work = async {
        // It looks while the server is waited for.
        let looks = cache.map(|cache| tokio::task::spawn_blocking(move || cache::left(&cache, &of_the_look)));
        let brought = tokio::task::spawn_blocking(move || bring(&request, &auth, &folders, &of_the_work));
        let asks = OptionFuture::from(registry_cache.as_ref().map(|cache| registry_cache::left(cache, config)));
        let (brought, asked) = tokio::join!(brought, asks);
        let mut info = brought.map_err(|error| SourceError::Crash(error.to_string()))??;
        if let Some((request, folder)) = dockerfile.zip(args.context.as_ref()) {
            info.context_bytes +=
                own_dockerfile::write(&request, args.registry_config.as_deref(), &args.dest, folder, info.commit_time).await?;
            say(&format!("{} can make the image", request.path));
        }
        let looked = OptionFuture::from(looks).await.map(|found| found.ok().flatten());
        if let Some(found) = looked.or(asked) {
            info.cache = found;
            say(&format!("the cache: {}", info.cache.as_ref().map_or_else(|| "unknown".to_owned(), ToString::to_string)));
        }
        Ok(info)
    };
    tokio::select! {
        done = work => done,
        _ = terminate.recv() => Err(SourceError::Terminated),
        () = tokio::time::sleep(limit) => Err(SourceError::Timeout { limit }),
    }
}

/// Brings the commit's tree to its folder and looks at it. The folder of the program holds the downloaded objects meanwhile: the one folder that is
/// writable, on a volume, and not seen by the compiler as source.
fn bring(request: &SourceRequest, auth: &GitAuth, folders: &SourceArgs, stop: &Stop) -> Result<SourceInfo, SourceError> {
    let SourceRequest {
        url,
        reference,
        commit,
        sub_path,
        package,
        timeout_seconds: _,
        max_bytes,
        context,
        any_program,
        dockerfile: _,
        registry_cache: _,
        buildkitd,
    } = request;
    let SourceArgs { dest, out, context: context_folder, .. } = folders;
    if let Some(builds) = &folders.builds {
        remove_ended(builds, &folders.over);
    }
    make_empty(dest)?;
    make_empty(out)?;
    let objects = out.join(".objects");
    let started = Instant::now();
    say(&format!("fetching {commit} of {url}"));
    git::fetch(&Fetch { url, commit, reference, auth, max_bytes: *max_bytes }, &objects, stop, say)?;
    say(&format!("fetched in {:.1} s", started.elapsed().as_secs_f64()));

    let limits = Limits { entries: MAX_ENTRIES, bytes: *max_bytes };
    let store = gix::odb::at(&objects, gix::hash::Kind::Sha1).map_err(|error| SourceError::write(&objects, error))?;
    let listing = Listing::read(&store, commit, &limits, stop)?;
    let lfs_pointers = checkout::write(&store, &listing, dest, stop)?;
    drop(store);
    fs::remove_dir_all(&objects).map_err(|error| SourceError::write(&objects, error))?;
    say(&format!("wrote {} files, {} bytes", listing.files(), listing.bytes));
    for submodule in &listing.submodules {
        say(&format!("warning: {submodule:?} is a submodule: it is not fetched, its folder is empty"));
    }
    if let Some(first) = lfs_pointers.first() {
        say(&format!("warning: {} files such as {first:?} are in Git LFS: their content is not fetched", lfs_pointers.len()));
    }

    let found = match any_program {
        true => module::found(dest, sub_path),
        false => module::inspect(dest, sub_path, package, &listing.submodules)?,
    };
    if let Some(folder) = context_folder {
        context::FOLDERS.iter().try_for_each(|name| make_empty(&folder.join(name)))?;
    }
    let beside = match context.as_ref().zip(context_folder.as_ref()) {
        Some((context, folder)) => context::write(context, &listing, sub_path, dest, folder)?,
        None => 0,
    };
    if let Some((buildkitd, folder)) = buildkitd.as_ref().zip(context_folder.as_ref()) {
        buildkitd::write(buildkitd, &folder.join(buildkitd::FOLDER))?;
        buildkitd::open(out)?;
    }
    say(&format!("module {}, go {}", found.module, found.go_directive.as_deref().unwrap_or("not said")));
    Ok(SourceInfo {
        commit: commit.clone(),
        commit_time: listing.commit_time,
        module: found.module,
        go_directive: found.go_directive,
        tree_hash: listing.tree.to_string(),
        bytes: listing.bytes,
        files: listing.files() as u64,
        context_bytes: listing.bytes.saturating_add(beside),
        cache: None,
    })
}

/// Empties a folder, which may be a mount point and so cannot be replaced, or makes it.
fn make_empty(folder: &Path) -> Result<(), SourceError> {
    let empty = || -> io::Result<()> {
        fs::create_dir_all(folder)?;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => fs::remove_dir_all(entry.path())?,
                false => fs::remove_file(entry.path())?,
            }
        }
        Ok(())
    };
    empty().map_err(|error| SourceError::write(folder, error))
}

/// Removes what builds that have ended have left. Which ones have is known where this pod is ordered, and not here: a folder that is there may be
/// that of a build that began later, while this pod is on its way to its end. What cannot be removed, as while a pod that is being ended still has
/// it open, is removed by a later build.
fn remove_ended(builds: &Path, over: &[String]) {
    let Ok(entries) = fs::read_dir(builds) else { return };
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let of = |build: &String| name.strip_prefix(build.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
        if !over.iter().any(of) {
            continue;
        }
        match fs::remove_dir_all(entry.path()) {
            Ok(()) => say(&format!("removed what build {name} has left")),
            Err(error) => say(&format!("warning: what build {name} has left could not be removed: {error}")),
        }
    }
}

/// A line of progress.
fn say(line: &str) {
    eprintln!("source: {line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_builds_have_left_is_removed_and_nothing_else() {
        let builds = tempfile::tempdir().expect("a folder");
        let left = || {
            let names =
                fs::read_dir(builds.path()).expect("read").map(|entry| entry.expect("entry").file_name().into_string().expect("a name"));
            names.collect::<std::collections::BTreeSet<_>>()
        };
        for name in ["shop-11", "shop-11-test", "shop-112", "shop-22", "shop-22-test"] {
            fs::create_dir_all(builds.path().join(name).join("src")).expect("made");
        }
        remove_ended(builds.path(), &["shop-11".to_owned(), "shop-33".to_owned(), String::new()]);
        assert_eq!(left(), ["shop-112", "shop-22", "shop-22-test"].map(String::from).into());
        remove_ended(&builds.path().join("none"), &["shop-22".to_owned()]);
        remove_ended(builds.path(), &[]);
        assert_eq!(left().len(), 3);
    }
}
