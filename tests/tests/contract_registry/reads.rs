//! The controller's questions to a registry, against each fault: what an image reference points at, what is published, and the tags that it
//! moves.

use crate::server::{Door, Fault, How, RealRegistry};
use anyhow::{Context, Result, ensure};
use futures::future::join_all;
use gowindows_clients::oci::OciRegistry;
use gowindows_crds::conditions::Reason;
use gowindows_model::call_error::CallError;
use gowindows_model::ports::Registry as _;
use windows_image::verify::Author;

/// Published by the set-up: an image for Windows, and so all that the controller reads.
const REPOSITORY: &str = "windows/nanoserver";
const TAG: &str = "ltsc2022";

use How::{Changed, Cut, Huge, OtherDigest, Portal, Silent, Stalled, Status, Truncated};
use Reason::{BaseUnavailable, RegistryAuthFailed, RegistryInvalid, RegistryUnreachable};

const LOGIN: &str = "add them to the docker configuration";
const BETWEEN: &str = "a proxy in front of it";

type Expected = (&'static str, u64, How, Reason, &'static [&'static str]);

/// While what is published is read: the request by its path, how many of these pass before, and what must come of it.
const PUBLISHED: &[Expected] = &[
    ("/manifests/", 0, Status(401, ""), RegistryInvalid, &["WWW-Authenticate", BETWEEN]),
    ("/manifests/", 0, Status(403, ""), RegistryAuthFailed, &["HTTP 403", LOGIN]),
    ("/manifests/", 0, Status(429, ""), RegistryUnreachable, &["HTTP 429", "may pass by itself"]),
    ("/manifests/", 0, Status(500, ""), RegistryUnreachable, &["HTTP 500"]),
    ("/manifests/", 0, Silent, RegistryUnreachable, &["no answer within 30 s"]),
    ("/manifests/", 0, Stalled, RegistryUnreachable, &["no answer within 30 s"]),
    ("/manifests/", 0, Portal, RegistryInvalid, &["cannot be right", BETWEEN]),
    ("/manifests/", 0, Truncated, RegistryInvalid, &["the content has digest", BETWEEN]),
    ("/manifests/", 0, Changed, RegistryInvalid, &["the content has digest"]),
    ("/manifests/", 0, OtherDigest, RegistryInvalid, &["not sha256:0000"]),
    ("/manifests/", 0, Huge, RegistryInvalid, &["more than 4194304 bytes"]),
    ("/manifests/", 0, Cut, RegistryUnreachable, &["the connection broke"]),
    ("/manifests/", 1, Status(404, ""), RegistryInvalid, &["HTTP 404"]),
    ("/manifests/", 1, Changed, RegistryInvalid, &["the content has digest"]),
    ("/blobs/", 0, Status(404, ""), RegistryInvalid, &["HTTP 404"]),
    ("/blobs/", 0, Truncated, RegistryInvalid, &["the content has digest"]),
    ("/blobs/", 0, Cut, RegistryUnreachable, &["the connection broke"]),
];

/// While a reference is resolved.
const RESOLVED: &[Expected] = &[
    ("/manifests/", 0, Status(403, ""), BaseUnavailable, &["HTTP 403", LOGIN]),
    ("/manifests/", 0, Status(404, ""), BaseUnavailable, &["HTTP 404", "check repository, tag"]),
    ("/manifests/", 0, Status(503, ""), BaseUnavailable, &["HTTP 503", "may pass by itself"]),
    ("/manifests/", 0, Silent, BaseUnavailable, &["no answer within 30 s"]),
];

/// While a tag is set.
const TAGGED: &[Expected] = &[
    ("/manifests/moved", 0, Status(403, ""), RegistryAuthFailed, &["moved", "HTTP 403", LOGIN]),
    ("/manifests/moved", 0, Status(404, ""), RegistryInvalid, &["HTTP 404", "image.repository"]),
    ("/manifests/moved", 0, Status(500, ""), RegistryUnreachable, &["moved", "HTTP 500"]),
    ("/manifests/moved", 0, OtherDigest, RegistryInvalid, &["it stored sha256:0000"]),
];

fn told(door: &Door, error: &CallError, reason: Reason, says: &[&str]) -> Result<()> {
    ensure!(error.reason == reason, "{reason} is expected: {error:?}");
    let host = [door.host.as_str()];
    for part in host.iter().chain(says) {
        ensure!(error.message.contains(part), "{part:?} is not in: {}", error.message);
    }
    ensure!(error.message.ends_with('.'), "a sentence: {}", error.message);
    ensure!(door.struck() == 1, "{} requests, where the controller has a queue of its own", door.struck());
    Ok(())
}

/// One question, asked while the door is broken and again when it is mended.
async fn ask(registry: &RealRegistry, digest: &str, question: &str, method: &'static str, expected: &Expected) -> Result<()> {
    let (path, after, how, reason, says) = *expected;
    let door = registry.door().await?;
    let client = OciRegistry::new(door.settings());
    let repository = format!("{}/{REPOSITORY}", door.host);
    let asked = async || match question {
        "published" => client.published(&repository, TAG, Author::Us, None).await.map(|found| found.map(|found| found.image.digest)),
        "resolved" => client.digest(&format!("{repository}:{TAG}"), None).await.map(Some),
        _ => client.tag(&repository, digest, &["moved".into()], None).await.map(|()| Some(digest.to_owned())),
    };
    door.set(Some(Fault { method, path, after, how }));
    let error = asked().await.err().context("it was answered")?;
    told(&door, &error, reason, says)?;
    door.set(None);
    let answer = asked().await.map_err(|error| anyhow::anyhow!("once it is mended: {error:?}"))?;
    ensure!(answer.as_deref() == Some(digest), "{answer:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_is_told_once_and_passes() -> Result<()> {
    let registry = RealRegistry::start().await?;
    let door = registry.door().await?;
    let resolved = OciRegistry::new(door.settings()).digest(&format!("{}/{REPOSITORY}:{TAG}", door.host), None).await;
    let digest = resolved.map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let questions = [("published", "GET", PUBLISHED), ("resolved", "HEAD", RESOLVED), ("tagged", "PUT", TAGGED)];
    let cases = questions.iter().flat_map(|(question, method, cases)| cases.iter().map(move |case| (question, method, case)));
    let asked = cases.map(|(question, method, case)| {
        let (registry, digest) = (&registry, digest.as_str());
        async move { ask(registry, digest, question, method, case).await.with_context(|| format!("{question}: {:?}", (case.0, case.2))) }
    });
    let broken: Vec<String> = join_all(asked).await.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
    ensure!(broken.is_empty(), "{} cases:\n{}", broken.len(), broken.join("\n"));
    Ok(())
}

/// 404 is no fault where nothing was published.
#[tokio::test]
async fn what_is_not_published_is_no_error() -> Result<()> {
    let registry = RealRegistry::start().await?;
    let door = registry.door().await?;
    for repository in [REPOSITORY, "no/such/repository"] {
        let found =
            OciRegistry::new(door.settings()).published(&format!("{}/{repository}", door.host), "no-such-tag", Author::Us, None).await;
        ensure!(found.as_ref().is_ok_and(Option::is_none), "{found:?}");
    }
    Ok(())
}
