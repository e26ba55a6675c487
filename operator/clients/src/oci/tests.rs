//! A registry that misbehaves, on a loopback port: what the real one cannot be made to do.

use super::*;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use gowindows_crds::conditions::Reason;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use windows_image::Digest;
use windows_image::assemble::Blob;
use windows_image::manifest::{Descriptor, media_type};
use windows_image::verify::Author;

pub(super) const MANIFEST: &str = r#"{"schemaVersion":2,"manifests":[]}"#;

/// What a request looked like: method, path with query, authorization.
pub(super) type Seen = Arc<Mutex<Vec<(String, String, String)>>>;
pub(super) type Answer = fn(&Request, &str) -> Response;

pub(super) struct Fake {
    pub(super) host: String,
    pub(super) seen: Seen,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Fake {
    pub(super) async fn start(answer: Answer) -> Self {
        let seen = Seen::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let host = listener.local_addr().expect("an address").to_string();
        let router = Router::new().fallback(handle).with_state((seen.clone(), answer, host.clone()));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("a server") });
        Self { host, seen, server }
    }

    fn registry(&self, docker_config: &str) -> Registry {
        let settings = RegistrySettings { host: self.host.clone(), plain_http: true, ..RegistrySettings::default() };
        let credentials = Credentials::from_docker_config(docker_config.replace("HOST", &self.host).as_bytes()).expect("credentials");
        Registry::new(&[settings], credentials).expect("a registry")
    }

    fn reference(&self) -> Reference {
        parse_reference(&format!("{}/shop/app:v1", self.host)).expect("a reference")
    }

    fn authorizations(&self) -> Vec<String> {
        self.seen.lock().expect("no panic").iter().map(|(_, _, authorization)| authorization.clone()).collect()
    }
}

async fn handle(State((seen, answer, host)): State<(Seen, Answer, String)>, request: Request) -> Response {
    let authorization = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    seen.lock().expect("no panic").push((request.method().to_string(), path, authorization.to_string()));
    answer(&request, &host)
}

pub(super) fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
    let mut builder = Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(body.into()).expect("a response")
}

fn authorization(headers: &HeaderMap) -> &str {
    headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

const AUTHS: &str = r#"{"auths":{"HOST":{"username":"alice","password":"hunter2hunter2"}}}"#;

fn wants_bearer(request: &Request, host: &str) -> Response {
    if request.uri().path() == "/token" {
        return match authorization(request.headers()).starts_with("Basic ") {
            true => answer(200, &[], r#"{"token":"t0ken-for-you"}"#),
            false => answer(401, &[], "who are you?"),
        };
    }
    match authorization(request.headers()) {
        "Bearer t0ken-for-you" => answer(200, &[("content-type", media_type::INDEX)], MANIFEST),
        _ => answer(401, &[("www-authenticate", &format!(r#"Bearer realm="http://{host}/token",service="s""#))], ""),
    }
}

#[tokio::test]
async fn a_token_is_fetched_once_with_the_needed_scope_and_kept() {
    let fake = Fake::start(wants_bearer).await;
    let registry = fake.registry(AUTHS);
    for _ in 0..2 {
        assert_eq!(registry.manifest(&fake.reference()).await.expect("a manifest").digest, Digest::of(MANIFEST.as_bytes()));
    }
    let paths: Vec<String> = fake.seen.lock().expect("no panic").iter().map(|(_, path, _)| path.clone()).collect();
    let manifest = "/v2/shop/app/manifests/v1";
    assert_eq!(paths, [manifest, "/token?service=s&scope=repository%3Ashop%2Fapp%3Apull", manifest, manifest]);
}

#[tokio::test]
async fn without_credentials_the_refusal_says_that_there_are_none() {
    let fake = Fake::start(wants_bearer).await;
    let error = fake.registry("{}").manifest(&fake.reference()).await.expect_err("refused");
    assert!(
        matches!(error, OciError::AuthRefused { status: 401, .. }) && error.to_string().contains("no credentials for exactly this host"),
        "{error}"
    );
    assert!(!error.transient());
}

#[tokio::test]
async fn an_echoed_credential_is_masked() {
    let fake = Fake::start(|request, host| {
        if authorization(request.headers()).is_empty() {
            return answer(401, &[("www-authenticate", "Basic realm=x")], "");
        }
        let _ = host;
        answer(403, &[], format!("you sent {} and hunter2hunter2", authorization(request.headers())))
    })
    .await;
    let error = fake.registry(AUTHS).manifest(&fake.reference()).await.expect_err("refused").to_string();
    assert!(error.contains("you sent") && !error.contains("hunter2") && !error.contains("YWxpY2U6"), "{error}");
    assert!(fake.authorizations()[1].starts_with("Basic "));
}

#[tokio::test]
async fn a_credential_does_not_follow_a_redirect_to_another_host() {
    let other = Fake::start(|_, _| answer(200, &[], "layer")).await;
    static OTHER: Mutex<String> = Mutex::new(String::new());
    other.host.clone_into(&mut OTHER.lock().expect("no panic"));
    let fake = Fake::start(|request, _| match authorization(request.headers()) {
        "" => answer(401, &[("www-authenticate", "Basic realm=x")], ""),
        _ => answer(307, &[("location", &format!("http://{}/elsewhere", OTHER.lock().expect("no panic")))], ""),
    })
    .await;
    let descriptor = Descriptor::new("x", Digest::of(b"layer"), 5);
    let blob = fake.registry(AUTHS).blob(&fake.reference(), &descriptor, 100).await.expect("a blob");
    assert_eq!((blob.as_slice(), other.authorizations()), (&b"layer"[..], vec![String::new()]));
}

#[tokio::test]
async fn an_upload_elsewhere_gets_no_credential() {
    let other = Fake::start(|_, _| answer(201, &[], "")).await;
    static OTHER: Mutex<String> = Mutex::new(String::new());
    other.host.clone_into(&mut OTHER.lock().expect("no panic"));
    let fake = Fake::start(|request, _| match authorization(request.headers()) {
        "" => answer(401, &[("www-authenticate", "Basic realm=x")], ""),
        _ => answer(202, &[("location", &format!("http://{}/up?state=1", OTHER.lock().expect("no panic")))], ""),
    })
    .await;
    fake.registry(AUTHS).upload_bytes(&fake.reference(), &Digest::of(b"x"), b"x").await.expect("uploaded");
    let seen = other.seen.lock().expect("no panic").clone();
    assert!(seen[0].1.starts_with("/up?state=1&digest=sha256%3A") && seen[0].2.is_empty(), "{seen:?}");
}

#[tokio::test]
async fn what_is_too_large_or_has_another_digest_is_refused() {
    let endless = Fake::start(|_, _| {
        let zeros = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 65536]));
        answer(200, &[], Body::from_stream(zeros))
    })
    .await;
    let error = endless.registry("{}").manifest(&endless.reference()).await.expect_err("too large");
    assert!(matches!(&error, OciError::Invalid { detail, .. } if detail.contains("4194304")), "{error}");

    let liar = Fake::start(|_, _| answer(200, &[], MANIFEST)).await;
    let asked = at_digest(&liar.reference(), &Digest::of(b"something else"));
    assert!(matches!(liar.registry("{}").manifest(&asked).await, Err(OciError::Invalid { .. })));
    let descriptor = Descriptor::new("x", Digest::of(MANIFEST.as_bytes()), u64::MAX);
    assert!(matches!(liar.registry("{}").blob(&liar.reference(), &descriptor, 1000).await, Err(OciError::Invalid { .. })));
    let stated = Fake::start(|_, _| answer(200, &[("docker-content-digest", "sha256:nonsense")], MANIFEST)).await;
    assert!(matches!(stated.registry("{}").resolve(&stated.reference()).await, Err(OciError::Invalid { .. })));
}

#[tokio::test]
async fn a_busy_registry_is_asked_again_when_it_wants_to_be() {
    static ASKED: Mutex<u32> = Mutex::new(0);
    let fake = Fake::start(|_, _| {
        let mut asked = ASKED.lock().expect("no panic");
        *asked += 1;
        if *asked == 1 { answer(429, &[("retry-after", "0")], "slow down") } else { answer(200, &[], MANIFEST) }
    })
    .await;
    let registry = fake.registry("{}");
    let error = registry.manifest(&fake.reference()).await.expect_err("busy");
    assert_eq!((error.transient(), error.retry_after()), (true, Some(Duration::ZERO)));
    *ASKED.lock().expect("no panic") = 0;
    registry.with_tries(2).manifest(&fake.reference()).await.expect("the second answer");
}

#[tokio::test]
async fn nothing_published_is_no_error_and_half_an_image_is_one() {
    let empty = Fake::start(|_, _| answer(404, &[], r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"m"}]}"#)).await;
    assert_eq!(empty.registry("{}").published(&empty.reference(), Author::Us, &[]).await.expect("an answer"), None);
    let linux = Fake::start(|_, _| answer(200, &[], MANIFEST)).await;
    let published = linux.registry("{}").published(&linux.reference(), Author::Us, &[]).await.expect("an answer").expect("an index");
    assert!(published.complaint().is_some_and(|complaint| complaint.contains("no windows/amd64")));
    let page = Fake::start(|_, _| answer(200, &[], "<html>sign in</html>")).await;
    assert!(matches!(page.registry("{}").published(&page.reference(), Author::Us, &[]).await, Err(OciError::Invalid { .. })));
}

#[tokio::test]
async fn a_registry_that_stores_something_else_is_found_out() {
    let other = Digest::of(b"other").to_string();
    static OTHER: Mutex<String> = Mutex::new(String::new());
    other.clone_into(&mut OTHER.lock().expect("no panic"));
    let fake =
        Fake::start(|_, _| answer(StatusCode::CREATED.as_u16(), &[("docker-content-digest", &OTHER.lock().expect("no panic"))], "")).await;
    let blob = Blob { media_type: media_type::INDEX, digest: Digest::of(MANIFEST.as_bytes()), bytes: MANIFEST.into() };
    assert!(matches!(fake.registry("{}").push_manifest(&fake.reference(), &blob, None).await, Err(OciError::Invalid { .. })));
}

/// What the controller sees of a registry in trouble: the reason that it acts by, and words for a person. Never a panic, never an image.
#[tokio::test]
async fn each_trouble_of_a_registry_has_its_reason() {
    use gowindows_model::ports::Registry as _;
    let table: [(Answer, Reason, &str); 7] = [
        (|_, _| answer(401, &[("www-authenticate", "Basic realm=x")], ""), Reason::RegistryAuthFailed, "image.pushSecretRef"),
        (|_, _| answer(401, &[], ""), Reason::RegistryInvalid, "WWW-Authenticate"),
        (|_, _| answer(403, &[], r#"{"errors":[{"code":"DENIED","message":"no pull"}]}"#), Reason::RegistryAuthFailed, "no pull"),
        (|_, _| answer(500, &[], "oh"), Reason::RegistryUnreachable, "HTTP 500"),
        (|_, _| answer(503, &[], ""), Reason::RegistryUnreachable, "may pass by itself"),
        (|_, _| answer(200, &[], r#"{"schemaVersion":2,"manif"#), Reason::RegistryInvalid, "cannot be right"),
        (|_, _| answer(200, &[("docker-content-digest", "sha256:nonsense")], MANIFEST), Reason::RegistryInvalid, "cannot be right"),
    ];
    for (number, (trouble, reason, says)) in table.into_iter().enumerate() {
        let fake = Fake::start(trouble).await;
        let settings = RegistrySettings { host: fake.host.clone(), plain_http: true, ..RegistrySettings::default() };
        let client = OciRegistry::new(vec![settings]);
        let error = client.published(&format!("{}/shop/app", fake.host), "gw-1", Author::Us, None).await.expect_err("trouble");
        assert_eq!(error.reason, reason, "{number}: {}", error.message);
        assert!(error.message.contains(says) && error.message.contains(&fake.host), "{number}: {}", error.message);
        let asked = fake.seen.lock().expect("no panic").len();
        assert!(asked <= 2, "{number}: asked {asked} times in one go");
        let base = client.base(&format!("{}/windows/nanoserver:ltsc2022", fake.host), None).await.expect_err("trouble");
        assert!(base.reason == Reason::BaseUnavailable && base.message.starts_with("image.base: "), "{number}: {base:?}");
    }
}

#[tokio::test]
async fn a_base_that_cannot_be_built_on_is_told_before_a_build() {
    use gowindows_model::ports::Registry as _;
    let fake = Fake::start(|_, _| answer(200, &[("content-type", media_type::INDEX)], MANIFEST)).await;
    let settings = RegistrySettings { host: fake.host.clone(), plain_http: true, ..RegistrySettings::default() };
    let reference = format!("{}/linux:1", fake.host);
    let error = OciRegistry::new(vec![settings]).base(&reference, None).await.expect_err("not a base");
    assert_eq!(error.reason, Reason::BaseInvalid);
    assert!(
        ["image.base", &reference, "windows/amd64", "nanoserver:ltsc2022"].iter().all(|part| error.message.contains(part)),
        "{}",
        error.message
    );
}

#[tokio::test]
async fn a_registry_that_refuses_or_loses_a_push_is_told_apart() {
    let table: [(Answer, Reason); 3] = [
        (|_, _| answer(403, &[], ""), Reason::RegistryAuthFailed),
        (|_, _| answer(502, &[], ""), Reason::RegistryUnreachable),
        (|_, _| answer(404, &[], ""), Reason::RegistryInvalid),
    ];
    for (trouble, reason) in table {
        let fake = Fake::start(trouble).await;
        let registry = fake.registry("{}");
        let blob = Blob { media_type: media_type::INDEX, digest: Digest::of(MANIFEST.as_bytes()), bytes: MANIFEST.into() };
        let manifest = registry.push_manifest(&fake.reference(), &blob, None).await.expect_err("refused");
        let upload = registry.upload_bytes(&fake.reference(), &Digest::of(b"x"), b"x").await.expect_err("refused");
        assert_eq!((manifest.reason(), upload.reason()), (reason, reason));
    }
}

/// What stands under the tag of a list of referrers, and how often somebody wrote it.
type List = Arc<Mutex<(Vec<serde_json::Value>, usize)>>;

/// A registry without the referrers API at which, right after the first write of the list, another writer's one arrives that was made
/// without knowing of it.
async fn overtaken(State(list): State<List>, request: Request) -> Response {
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.expect("a body");
    let mut list = list.lock().expect("no panic");
    match (method.as_str(), path.contains("/manifests/sha256-")) {
        ("GET", true) if list.0.is_empty() => answer(404, &[], ""),
        ("GET", true) => {
            let index = serde_json::json!({"schemaVersion": 2, "manifests": list.0});
            answer(200, &[("content-type", media_type::INDEX)], index.to_string())
        }
        ("PUT", true) => {
            list.1 += 1;
            let written: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            list.0 = written["manifests"].as_array().expect("entries").clone();
            if list.1 == 1 {
                list.0 = vec![serde_json::json!({"mediaType": "m", "digest": "sha512:other", "size": 1, "data": "kept"})];
            }
            answer(201, &[], "")
        }
        ("HEAD", _) => answer(200, &[], ""),
        ("PUT", _) => answer(201, &[], ""),
        _ => answer(404, &[], ""),
    }
}

#[tokio::test]
async fn an_entry_that_another_writer_overwrote_is_written_once_more_and_theirs_stays() {
    let list = List::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let host = listener.local_addr().expect("an address").to_string();
    let router = Router::new().fallback(overtaken).with_state(list.clone());
    let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("a server") });
    let settings = RegistrySettings { host: host.clone(), plain_http: true, ..RegistrySettings::default() };
    let registry = Registry::new(&[settings], Credentials::none()).expect("a registry");
    let repository = parse_reference(&format!("{host}/shop/app")).expect("a reference");
    let subject = Descriptor::new(media_type::MANIFEST, Digest::of(b"image"), 5);
    let content = Blob { media_type: "text/plain", digest: Digest::of(b"x"), bytes: b"x".to_vec() };
    let artifact = windows_image::artifact::Artifact::new("text/plain", &subject, content, Default::default()).expect("an artifact");
    registry.attach(&repository, &artifact).await.expect("attached");
    server.abort();
    let (entries, writes) = list.lock().expect("no panic").clone();
    assert_eq!((entries.len(), writes), (2, 2), "{entries:?}");
    assert_eq!(entries[0]["data"], "kept", "an entry that we do not understand is not touched");
    assert_eq!(entries[1]["digest"], artifact.manifest.digest.as_str());
}
