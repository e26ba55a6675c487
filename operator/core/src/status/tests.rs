//! What the user sees, from plans that are written down.

use super::*;
use gowindows_crds::GoWindowsImage;
use gowindows_crds::conditions::{ConditionType, Reason, find};
use gowindows_crds::v1alpha1::{ImageStatus, Phase};
use gowindows_model::access::{Access, Repository};
use gowindows_model::call_error::CallError;
use gowindows_model::facts::{Order, Trouble};
use gowindows_model::plan::{
    Aspect, BuildOrder, BuildProgress, BuildVerdict, Done, PublishVerdict, SourceVerdict, SpecVerdict, Step, Verdicts, Write,
};
use gowindows_model::request::Request;
use gowindows_model::settings::Settings;
use gowindows_model::wire::stopped::Stopped;
use k8s_openapi::jiff::Timestamp;
use serde_json::json;
use std::sync::Arc;

fn world(status: Option<GoWindowsImageStatus>, generation: i64) -> World {
    let object = json!({
        "apiVersion": "gowindows.dev/v1alpha1", "kind": "GoWindowsImage",
        "metadata": {"name": "shop", "namespace": "team", "uid": "0000-1111", "generation": generation},
        "spec": {"source": {"git": {"url": "https://git.example.com/a.git"}}, "image": {"repository": "r.example.com/a"}},
    });
    let mut object: GoWindowsImage = serde_json::from_value(object).expect("an object");
    object.status = status;
    let now = Timestamp::from_second(1_000_000).expect("in range");
    let nodes = gowindows_model::facts::Nodes::Hidden("they are not looked at".into());
    World::new(object, now, nodes)
}

fn condition(status: &GoWindowsImageStatus, kind: ConditionType) -> (String, String) {
    find(&status.conditions, kind).map(|c| (c.status.clone(), c.reason.clone())).unwrap_or_default()
}

fn pair(status: &str, reason: Reason) -> (String, String) {
    (status.into(), reason.to_string())
}

fn request() -> Arc<Request> {
    let settings = Settings { toolchains: [("1.26".into(), "r.example.com/go:1.26".into())].into(), ..Settings::default() };
    Arc::new(Request::new(&world(None, 1).object, &settings).expect("valid"))
}

fn plan(image: Option<ImageStatus>, progress: BuildProgress) -> Plan {
    let publish = PublishVerdict { newest: image, ..PublishVerdict::default() };
    let build = BuildVerdict { progress, ..BuildVerdict::default() };
    let verdicts = Verdicts { spec: SpecVerdict::Accepted(request()), build, publish, ..Verdicts::default() };
    Plan { verdicts, ..Plan::default() }
}

fn published() -> Plan {
    let image = ImageStatus { reference: "r.example.com/a@sha256:1".into(), digest: "sha256:1".into(), ..ImageStatus::default() };
    plan(Some(image), BuildProgress::Published(None))
}

fn failed_build(image: Option<ImageStatus>) -> Plan {
    let message = "It does not compile.".into();
    plan(image, BuildProgress::Failed { build: None, reason: Reason::CompileError, message, retry_at: None })
}

fn step(aspect: Aspect, write: Write, acknowledges: Option<Order>) -> Step {
    Step { aspect, write, acknowledges, after: None }
}

fn failed(reason: Reason, message: &str) -> Done {
    Done::Failed(CallError { reason, message: message.into() })
}

#[test]
fn a_published_image_without_targets_is_ready() {
    let status = status(&world(None, 1), &published(), &Outcome::default());
    assert_eq!(condition(&status, ConditionType::Ready), pair("True", Reason::Succeeded));
    assert_eq!(condition(&status, ConditionType::RolledOut), pair("Unknown", Reason::NoTargets));
    assert_eq!((status.observed_generation, status.phase), (1, Some(Phase::Ready)));
}

#[test]
fn warnings_are_said_with_their_remedy_and_stand_in_nobodys_way() {
    let mut plan = published();
    let image = plan.verdicts.publish.newest.as_mut().expect("an image");
    image.warnings = vec!["AbsentApi|netapi32.dll|os/user".into(), "FromTheFuture|x".into()];
    let warned = status(&world(None, 1), &plan, &Outcome::default());
    assert_eq!(condition(&warned, ConditionType::ImageWarnings), pair("True", Reason::WarningsFound));
    assert_eq!(condition(&warned, ConditionType::Ready).0, "True");
    let told = warned.conditions.iter().find(|condition| condition.type_ == "ImageWarnings").map(|condition| condition.message.clone());
    assert!(told.is_some_and(|told| told.contains("os/user") && told.contains("ServerCore") && told.contains("FromTheFuture")));
    let well = status(&world(Some(warned), 1), &published(), &Outcome::default());
    assert_eq!(condition(&well, ConditionType::ImageWarnings), Default::default());
}

#[test]
fn a_later_failure_leaves_ready_true_on_the_last_good_image() {
    let good = status(&world(None, 1), &published(), &Outcome::default());
    let later = status(&world(Some(good.clone()), 1), &failed_build(good.image.clone()), &Outcome::default());
    assert_eq!(condition(&later, ConditionType::Ready).0, "True");
    assert_eq!(condition(&later, ConditionType::Built), pair("False", Reason::CompileError));
    assert_eq!(condition(&later, ConditionType::Stalled), Default::default());
}

#[test]
fn a_failure_of_the_declared_generation_is_not_ready() {
    let good = status(&world(None, 1), &published(), &Outcome::default());
    let edited = status(&world(Some(good.clone()), 2), &failed_build(good.image.clone()), &Outcome::default());
    assert_eq!(condition(&edited, ConditionType::Ready), pair("False", Reason::CompileError));
    assert_eq!(condition(&edited, ConditionType::Stalled), pair("True", Reason::CompileError));
}

#[test]
fn reconciling_is_there_only_until_the_generation_was_satisfied() {
    let started = plan(None, BuildProgress::Undecided);
    let first = status(&world(None, 1), &started, &Outcome::default());
    assert_eq!(condition(&first, ConditionType::Reconciling).0, "True");
    let ready = status(&world(Some(first), 1), &published(), &Outcome::default());
    assert_eq!(condition(&ready, ConditionType::Reconciling), Default::default());
}

#[test]
fn an_unreachable_source_does_not_take_ready_away() {
    let good = status(&world(None, 1), &published(), &Outcome::default());
    let mut plan = published();
    let at = Timestamp::UNIX_EPOCH;
    let trouble = Trouble { reason: Reason::SourceUnreachable, message: "No route.".into(), at, times: 1 };
    plan.verdicts.source = SourceVerdict { revision: None, trouble: Some(trouble) };
    let status = status(&world(Some(good), 1), &plan, &Outcome::default());
    assert_eq!(condition(&status, ConditionType::SourceResolved), pair("False", Reason::SourceUnreachable));
    assert_eq!(condition(&status, ConditionType::Ready).0, "True");
}

#[test]
fn a_refused_write_is_told() {
    let mut plan = published();
    let repository = Repository { name: "r.example.com/a".into(), access: Access::Anonymous };
    let write = Write::MoveTags { repository, digest: "sha256:1".into(), tags: vec!["latest".into()] };
    plan.steps.push(step(Aspect::Publish, write, None));
    let outcome = Outcome { steps: vec![failed(Reason::RegistryUnreachable, "It is down.")], ..Outcome::default() };
    let status = status(&world(None, 1), &plan, &outcome);
    assert_eq!(condition(&status, ConditionType::Published), pair("Unknown", Reason::RegistryUnreachable));
    assert_eq!(condition(&status, ConditionType::Built).0, "True", "a failure belongs to its aspect");
}

/// A first attempt at inputs, whatever they are.
fn order() -> BuildOrder {
    let inputs = r#"{"format":3,"revision":"main@sha1:c","commit":"c","subPath":".","toolchain":"go@sha256:0","compile":{"package":".","tags":[],
        "ldflags":[],"env":[],"strip":true,"timezoneData":true},"assembly":{"bases":[],"compression":"gzip:4","epoch":0}}"#;
    BuildOrder {
        job: "shop-2".into(),
        request: request(),
        inputs: serde_json::from_str(inputs).expect("inputs"),
        attempt: 1,
        cause: "SpecChanged: go".into(),
        rebuild_token: Some("token".into()),
        reused_program: None,
        gated: false,
        memory: None,
        git_keys: Vec::new(),
        credentials: None,
        nodes: Default::default(),
        test_nodes: Default::default(),
        queued: Default::default(),
    }
}

/// Or the next pass would take the Job for one that was deleted, and make another attempt (seed 18473 of the simulation).
#[test]
fn a_build_that_was_not_begun_because_another_could_not_be_stopped_is_not_told() {
    let mut plan = plan(None, BuildProgress::Starting { job: "shop-2".into(), attempt: 1, cause: "SpecChanged: go".into() });
    let stop = Write::Stop { job: "shop-1".into(), why: Stopped::Superseded };
    let start = Write::StartBuild(Box::new(order()));
    plan.steps = vec![step(Aspect::Build, stop, None), step(Aspect::Build, start, Some(Order::Rebuild("token".into())))];
    let done = Outcome { steps: vec![Done::Performed, Done::Performed], ..Outcome::default() };
    let begun = status(&world(None, 1), &plan, &done);
    assert_eq!(begun.build.map(|build| build.job).as_deref(), Some("shop-2"));
    assert_eq!(begun.handled.and_then(|handled| handled.rebuild).as_deref(), Some("token"));
    let refused = Outcome { steps: vec![failed(Reason::JobRefused, "The connection broke."), Done::Skipped], ..Outcome::default() };
    let told = status(&world(None, 1), &plan, &refused);
    assert_eq!(condition(&told, ConditionType::Built), pair("False", Reason::JobRefused));
    assert_eq!((told.build, told.handled), (None, None));
}

#[test]
fn events_tell_each_change_once() {
    let before = GoWindowsImageStatus::default();
    let after = status(&world(None, 1), &published(), &Outcome::default());
    let reasons: Vec<_> = notices(&before, &after).into_iter().map(|notice| notice.reason).collect();
    assert_eq!(reasons, ["Published"]);
    assert!(notices(&after, &after).is_empty());
    let failed = status(&world(Some(after.clone()), 1), &failed_build(after.image.clone()), &Outcome::default());
    let told = notices(&after, &failed);
    assert!(told.iter().any(|notice| notice.warning && notice.reason == "CompileError"), "{told:?}");
}
