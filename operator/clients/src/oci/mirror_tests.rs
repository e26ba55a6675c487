//! Where is asked for what is mirrored, and in which order?

use super::tests::{Fake, MANIFEST, answer};
use super::*;
use std::sync::Mutex;
use windows_image::Digest;
use windows_image::assemble::Blob;
use windows_image::manifest::{Descriptor, media_type};

const NAME: &str = "windows/nanoserver";

/// A registry whose mirror is a folder of another one.
fn mirrored(registry: &Fake, mirror: &str) -> (Registry, Reference) {
    let plain = |host: &str| RegistrySettings { host: host.into(), plain_http: true, ..RegistrySettings::default() };
    let host = mirror.split('/').next().expect("a host");
    let settings = [RegistrySettings { mirror: Some(mirror.into()), ..plain(&registry.host) }, plain(host)];
    let reader = Registry::new(&settings, Credentials::none()).expect("a registry").through_mirrors();
    (reader, parse_reference(&format!("{}/{NAME}:ltsc2022", registry.host)).expect("a reference"))
}

fn asked(fake: &Fake) -> Vec<String> {
    fake.seen.lock().expect("no panic").iter().map(|(method, path, _)| format!("{method} {path}")).collect()
}

#[tokio::test]
async fn a_mirror_that_has_it_is_all_that_is_asked() {
    let upstream = Fake::start(|_, _| answer(500, &[], "")).await;
    let mirror = Fake::start(|request, _| answer(200, &[], if request.uri().path().contains("/blobs/") { "{}" } else { MANIFEST })).await;
    let (registry, reference) = mirrored(&upstream, &format!("{}/cache/mcr", mirror.host));
    let digest = Digest::of(MANIFEST.as_bytes());
    assert_eq!(registry.manifest(&reference).await.expect("a manifest").digest, digest);
    registry.resolve(&at_digest(&reference, &digest)).await.expect("resolved");
    registry.blob(&reference, &Descriptor::new("x", Digest::of(b"{}"), 2), 100).await.expect("a blob");
    let mut layer = Vec::new();
    registry.read_blob(&reference, &Descriptor::new("x", Digest::of(b"{}"), 2), &mut layer).await.expect("a layer");
    let folder = format!("/v2/cache/mcr/{NAME}");
    let (blob, by_digest) = (format!("GET {folder}/blobs/{}", Digest::of(b"{}")), format!("{folder}/manifests/{digest}"));
    let expected =
        [format!("GET {folder}/manifests/ltsc2022"), format!("HEAD {by_digest}"), format!("GET {by_digest}"), blob.clone(), blob];
    assert_eq!((asked(&mirror), layer.as_slice()), (expected.to_vec(), &b"{}"[..]));
    assert_eq!(asked(&upstream), Vec::<String>::new());
}

#[tokio::test]
async fn where_the_mirror_fails_the_registry_itself_is_asked() {
    let troubles: [fn(&axum::extract::Request, &str) -> axum::response::Response; 5] = [
        |_, _| answer(404, &[], ""),
        |_, _| answer(503, &[], ""),
        |_, _| answer(403, &[], ""),
        |_, _| answer(200, &[], "<html>sign in</html>"),
        |_, _| answer(200, &[("docker-content-digest", "sha256:nonsense")], MANIFEST),
    ];
    for (number, trouble) in troubles.into_iter().enumerate() {
        let (upstream, mirror) = (Fake::start(|_, _| answer(200, &[], MANIFEST)).await, Fake::start(trouble).await);
        let (registry, reference) = mirrored(&upstream, &mirror.host);
        let by_digest = at_digest(&reference, &Digest::of(MANIFEST.as_bytes()));
        registry.manifest(&by_digest).await.unwrap_or_else(|error| panic!("{number}: {error}"));
        assert_eq!((asked(&mirror).len(), asked(&upstream).len()), (1, 1), "{number}");
    }
    let gone = Fake::start(|_, _| answer(200, &[], "")).await.host.clone();
    let upstream = Fake::start(|_, _| answer(200, &[], MANIFEST)).await;
    let (registry, reference) = mirrored(&upstream, &gone);
    registry.manifest(&reference).await.expect("the registry's own");
}

#[tokio::test]
async fn where_both_fail_both_are_told() {
    let upstream = Fake::start(|_, _| answer(503, &[], "")).await;
    let mirror = Fake::start(|_, _| answer(404, &[], "")).await;
    let (registry, reference) = mirrored(&upstream, &mirror.host);
    let error = registry.manifest(&reference).await.expect_err("neither has it");
    let text = error.to_string();
    let parts = [upstream.host.as_str(), "HTTP 503", "its mirror was asked before", mirror.host.as_str(), "HTTP 404"];
    assert!(error.transient() && parts.iter().all(|part| text.contains(part)), "{text}");
}

#[tokio::test]
async fn nothing_is_written_to_a_mirror_or_read_back_from_one() {
    static STORED: Mutex<u32> = Mutex::new(0);
    let upstream = Fake::start(|request, _| {
        *STORED.lock().expect("no panic") += u32::from(request.method() == "PUT");
        answer(if request.method() == "PUT" { 201 } else { 200 }, &[], MANIFEST)
    })
    .await;
    let mirror = Fake::start(|_, _| answer(200, &[], "{}")).await;
    let (reader, reference) = mirrored(&upstream, &mirror.host);
    let settings = [
        RegistrySettings {
            host: upstream.host.clone(),
            plain_http: true,
            mirror: Some(mirror.host.clone()),
            ..RegistrySettings::default()
        },
        RegistrySettings { host: mirror.host.clone(), plain_http: true, ..RegistrySettings::default() },
    ];
    let writer = Registry::new(&settings, Credentials::none()).expect("a registry");
    let blob = Blob { media_type: media_type::INDEX, digest: Digest::of(MANIFEST.as_bytes()), bytes: MANIFEST.into() };
    for registry in [&reader, &writer] {
        registry.push_manifest(&reference, &blob, Some("v1")).await.expect("written");
    }
    writer.manifest(&reference).await.expect("read back");
    writer.tag(&reference, &blob.digest, "v2").await.expect("tagged");
    assert_eq!((asked(&mirror), *STORED.lock().expect("no panic")), (Vec::<String>::new(), 3));
}
