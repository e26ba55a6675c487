//! How does a `GoWindowsImage` get on? Follows its status, and tells each change once.

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use gowindows_crds::GoWindowsImage;
use gowindows_crds::conditions::{ConditionType, find};
use gowindows_crds::v1alpha1::{GoWindowsImageStatus, StageStatus};
use kube::runtime::watcher::{self, watch_object};
use kube::{Api, Client};
use std::pin::pin;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// After this time an API server that did not answer is asked again.
const PERIOD: Duration = Duration::from_millis(200);

/// One condition as `(status, reason, message)`.
pub type Seen = (String, String, String);

/// Waits until a status pleases, telling changes on the way, but none that was `told` before.
///
/// # Errors
/// When it does not in time: with the whole status.
pub async fn follow(
    client: &Client,
    namespace: &str,
    name: &str,
    limit: Duration,
    told: &mut Vec<String>,
    mut tell: impl FnMut(&str),
    pleases: impl Fn(&GoWindowsImageStatus) -> bool,
) -> Result<GoWindowsImage> {
    let api: Api<GoWindowsImage> = Api::namespaced(client.clone(), namespace);
    let mut states = pin!(watch_object(api, name));
    let mut last = GoWindowsImageStatus::default();
    let deadline = Instant::now() + limit;
    loop {
        let object = match timeout_at(deadline, states.next()).await {
            Err(_) => bail!("gwi/{name} did not get there within {limit:?}:\n{}", serde_norway::to_string(&last)?),
            // The API server may be away for a while, by a test's own doing.
            Ok(Some(Err(error))) if passes(&error) => {
                sleep(PERIOD).await;
                continue;
            }
            Ok(Some(state)) => state.with_context(|| format!("watch gwi/{name}"))?.with_context(|| format!("gwi/{name} is not there"))?,
            Ok(None) => bail!("the watch of gwi/{name} ended"),
        };
        last = object.status.clone().unwrap_or_default();
        for line in lines(&last) {
            if !told.contains(&line) {
                tell(&line);
                told.push(line);
            }
        }
        if pleases(&last) {
            return Ok(object);
        }
    }
}

/// Waits until a condition is so, silently.
pub async fn until(
    client: &Client,
    namespace: &str,
    name: &str,
    limit: Duration,
    pleases: impl Fn(&GoWindowsImageStatus) -> bool,
) -> Result<GoWindowsImageStatus> {
    Ok(follow(client, namespace, name, limit, &mut Vec::new(), |_| {}, pleases).await?.status.unwrap_or_default())
}

/// Whether the API server did not answer, or could not yet.
fn passes(error: &watcher::Error) -> bool {
    !matches!(error, watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code < 500)
}

/// What is worth telling of a status.
fn lines(status: &GoWindowsImageStatus) -> Vec<String> {
    let mut lines = Vec::new();
    let message = |kind| find(&status.conditions, kind).map(|condition| condition.message.clone());
    lines.extend(message(ConditionType::SourceResolved).map(|message| format!("source    {message}")));
    if let Some(build) = &status.build {
        let cause = build.cause.as_deref().unwrap_or_default();
        lines.push(format!("build     Job {}, attempt {}: {cause}", build.job, build.attempt));
        lines.extend(build.stages.iter().filter_map(stage));
        lines.extend(build.failure.iter().map(|failure| format!("build     failed: {}: {}", failure.reason, failure.message)));
    }
    lines.extend(status.image.iter().map(|image| format!("image     {}", image.reference)));
    lines.extend(message(ConditionType::RolledOut).map(|message| format!("rollout   {message}")));
    lines
}

fn stage(stage: &StageStatus) -> Option<String> {
    let (started, ended) = (stage.started_at.as_ref()?, stage.finished_at.as_ref()?);
    Some(format!("build     {:<8} {} s", stage.name, ended.0.duration_since(started.0).as_secs()))
}
