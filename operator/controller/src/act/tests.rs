//! Who does not lead writes nothing: an API server that counts what reaches it.

use super::*;
use crate::observe::{Logins, Memory, NodeStore, Places, Stores, Watched};
use axum::Router;
use axum::http::StatusCode;
use futures::FutureExt;
use futures::future::BoxFuture;
use gowindows_core::status::Notice;
use gowindows_crds::GoWindowsImage;
use gowindows_crds::v1alpha1::GoWindowsImageStatus;
use gowindows_model::access::Access;
use gowindows_model::attest::Testimony;
use gowindows_model::binding::Bindings;
use gowindows_model::facts::{Nodes, Published, ResolvedBase, Revision};
use gowindows_model::plan::Aspect;
use gowindows_model::ports::{Clouds, Git, Login, Registry, SecretData};
use gowindows_model::wire::identity::Identity;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::runtime::events::Reporter;
use kube::runtime::reflector;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use windows_image::verify::Author;

/// No test here asks git, a registry or a cloud.
struct Nobody;

impl Clouds for Nobody {
    fn login<'a>(&'a self, _: &'a Identity) -> BoxFuture<'a, Result<Login, CallError>> {
        panic!("a cloud is asked")
    }
}

impl Git for Nobody {
    fn resolve<'a>(
        &'a self,
        _: &'a str,
        _: &'a gowindows_model::wire::source::Reference,
        _: Option<&'a SecretData>,
    ) -> BoxFuture<'a, Result<Revision, CallError>> {
        panic!("git is asked")
    }
}

impl Registry for Nobody {
    fn digest<'a>(&'a self, _: &'a str, _: Option<&'a SecretData>) -> BoxFuture<'a, Result<String, CallError>> {
        panic!("a registry is asked")
    }

    fn base<'a>(&'a self, _: &'a str, _: Option<&'a SecretData>) -> BoxFuture<'a, Result<ResolvedBase, CallError>> {
        panic!("a registry is asked")
    }

    fn published<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: Author,
        _: Option<&'a SecretData>,
    ) -> BoxFuture<'a, Result<Option<Published>, CallError>> {
        panic!("a registry is asked")
    }

    fn provenance<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: Option<&'a SecretData>,
        _: Option<&'a SecretData>,
    ) -> BoxFuture<'a, Result<Vec<Testimony>, CallError>> {
        panic!("a registry is asked")
    }

    fn tag<'a>(&'a self, _: &'a str, _: &'a str, _: &'a [String], _: Option<&'a SecretData>) -> BoxFuture<'a, Result<(), CallError>> {
        panic!("a registry is asked")
    }

    fn attest<'a>(
        &'a self,
        _: &'a str,
        _: &'a Attestation,
        _: Option<&'a SecretData>,
        _: Option<&'a SecretData>,
    ) -> BoxFuture<'a, Result<Attested, CallError>> {
        panic!("a registry is asked")
    }
}

fn step(aspect: Aspect, write: Write) -> Step {
    Step { aspect, write, acknowledges: None, after: None }
}

fn empty<K: kube::Resource<DynamicType = ()> + Clone>() -> Watched<K> {
    Watched::new(reflector::store().0, |_| Vec::new())
}

/// A pass that nobody waits for.
async fn acted(cluster: &Cluster, leadership: &Leadership, world: &World, plan: &Plan) -> Result<Outcome, NotLeading> {
    let seats = Arc::new(Semaphore::new(1));
    let seat = Seat::new(seats.clone(), seats.acquire_owned().await.expect("a seat"));
    act(cluster, &seat, leadership, &Settings::default(), world, plan).await
}

/// A cluster that finds nothing, and ends the term at its first request.
struct Stage {
    cluster: Cluster,
    world: World,
    requests: Arc<AtomicUsize>,
}

impl Stage {
    fn new(term: Option<watch::Sender<Instant>>) -> Self {
        let requests = Arc::new(AtomicUsize::new(0));
        let count = requests.clone();
        let answer = move || {
            count.fetch_add(1, Ordering::Relaxed);
            if let Some(term) = &term {
                term.send_replace(Instant::now());
            }
            let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "message": "", "code": 404});
            async { (StatusCode::NOT_FOUND, axum::Json(body)) }
        };
        let cluster = Cluster {
            client: Client::new(Router::new().fallback(answer), "default"),
            stores: Stores {
                images: empty(),
                jobs: empty(),
                pods: empty(),
                nodes: NodeStore(watch::channel(Some(Arc::new(Nodes::Seen(vec![])))).1),
                deployments: empty(),
                refusals: empty(),
            },
            memory: Arc::new(Memory::new().0),
            outside: Arc::default(),
            git: Arc::new(Nobody),
            registry: Arc::new(Nobody),
            logins: Arc::new(Logins::new(Arc::new(Nobody))),
            bindings: Bindings::default(),
            namespace: None,
            places: Places::default(),
        };
        let object: GoWindowsImage = serde_json::from_value(json!({
            "apiVersion": "gowindows.dev/v1alpha1", "kind": "GoWindowsImage",
            "metadata": {"name": "shop", "namespace": "team", "uid": "0000-1111"},
            "spec": {"source": {"git": {"url": "https://git.example.com/shop.git"}}, "image": {"repository": "registry.example.com/shop"}},
        }))
        .expect("an object");
        let (now, nodes) = (Timestamp::UNIX_EPOCH, Nodes::Seen(vec![]));
        let world = World::new(object, now, nodes);
        Self { cluster, world, requests }
    }

    /// How many requests arrived while everything was tried, and whether the writes and the status were told to be no one's.
    async fn everything(&self, leadership: &Leadership) -> (usize, bool) {
        let delete = |job: &str| step(Aspect::Retention, Write::Delete { job: job.into() });
        let plan = Plan { steps: ["one", "two"].map(delete).to_vec(), ..Plan::default() };
        let done = acted(&self.cluster, leadership, &self.world, &plan).await;
        let written = write_status(&self.cluster, leadership, &self.world, &GoWindowsImageStatus::default()).await;
        let notice = Notice { warning: false, reason: "Published".into(), action: "Publish", message: "It is.".into() };
        let reporter = Reporter { controller: "gowindows".into(), instance: None };
        write_events(&self.cluster.client, leadership, &reporter, &self.world.object, &[notice]).await;
        let refused = done.is_err() && matches!(written, Err(StatusError::NotLeading(_)));
        (self.requests.load(Ordering::Relaxed), refused)
    }
}

#[tokio::test(start_paused = true)]
async fn leadership_is_asked_before_each_write() {
    let (writes, refused) = Stage::new(None).everything(&Leadership::always()).await;
    assert!(writes >= 4 && !refused, "two steps, a status and an event: {writes}");

    let (term, end) = watch::channel(Instant::now() + DEADLINE);
    let led = Leadership::until(end);
    assert!(led.holds());
    assert_eq!(Stage::new(Some(term)).everything(&led).await, (1, true), "it ends during the first write; the others are not sent");
    assert_eq!(Stage::new(None).everything(&led).await, (0, true));
}

#[tokio::test(start_paused = true)]
async fn leadership_ends_by_itself() {
    let (_term, end) = watch::channel(Instant::now() + DEADLINE);
    let led = Leadership::until(end);
    tokio::time::advance(DEADLINE).await;
    assert!(!led.holds());
    assert_eq!(Stage::new(None).everything(&led).now_or_never(), Some((0, true)));
}

/// Here a target is not there, and no registry may be asked.
#[tokio::test(start_paused = true)]
async fn a_failure_ends_the_steps_of_its_aspect_and_what_depends_on_it() {
    let stage = Stage::new(None);
    let roll = |index| Roll {
        index,
        kind: TargetKind::Deployment,
        name: "shop".into(),
        uid: "u".into(),
        container: "app".into(),
        image: "registry.example.com/shop@sha256:1".into(),
    };
    let delete = |job: &str| step(Aspect::Retention, Write::Delete { job: job.into() });
    let attest = Write::Attest {
        repository: Repository {
            name: "registry.example.com/shop".into(),
            access: Access::Secret { field: "image.pushSecretRef", name: "push".into() },
        },
        attestation: Box::new(Attestation {
            digests: vec![],
            fingerprint: String::new(),
            object: String::new(),
            sbom: None,
            provenance: None,
        }),
        key: Some("key".into()),
    };
    let guarded = |step: Step| Step { after: Some(Guard::Signed), ..step };
    let plan = Plan {
        steps: vec![
            step(Aspect::Attest, attest),
            guarded(step(Aspect::Rollout, Write::Roll(roll(0)))),
            step(Aspect::Rollout, Write::Roll(roll(1))),
            step(Aspect::Rollout, Write::Roll(roll(2))),
            delete("old"),
        ],
        ..Plan::default()
    };
    let outcome = acted(&stage.cluster, &Leadership::always(), &stage.world, &plan).await.expect("it leads");
    let failed = |reason| outcome.of(&plan, reason).is_some();
    assert!(failed(Aspect::Attest) && failed(Aspect::Rollout) && !failed(Aspect::Retention), "{outcome:?}");
    let [signs, unsigned, rolls, after, deletes] = &outcome.steps[..] else { panic!("{outcome:?}") };
    assert!(matches!((signs, rolls), (Done::Failed(_), Done::Failed(_))), "{outcome:?}");
    assert_eq!((unsigned, after, deletes), (&Done::Skipped, &Done::Skipped, &Done::Performed), "what is gone is deleted already");
    // Where nothing signs, nothing is signed.
    let alone = Plan { steps: vec![guarded(step(Aspect::Rollout, Write::Roll(roll(0))))], ..Plan::default() };
    let outcome = acted(&stage.cluster, &Leadership::always(), &stage.world, &alone).await.expect("it leads");
    assert_eq!(outcome.steps, [Done::Skipped]);
}
