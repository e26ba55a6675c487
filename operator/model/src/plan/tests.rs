//! In which order are steps performed, and which are held back?

use super::*;
use crate::access::{Access, Repository};
use crate::call_error::CallError;
use gowindows_crds::conditions::Reason;

fn repository() -> Repository {
    Repository { name: "registry.example.com/shop".into(), access: Access::Anonymous }
}

fn attest() -> Write {
    let attestation = Attestation {
        digests: vec!["sha256:1".into()],
        fingerprint: "f00".into(),
        object: "team/shop".into(),
        sbom: None,
        provenance: None,
    };
    Write::Attest { repository: repository(), attestation: Box::new(attestation), key: Some("key".into()) }
}

fn tags(after: Option<Guard>) -> Step {
    let write = Write::MoveTags { repository: repository(), digest: "sha256:1".into(), tags: vec!["latest".into()] };
    Step { aspect: Aspect::Publish, write, acknowledges: None, after }
}

fn resume(job: &str) -> Write {
    Write::Resume { job: job.into() }
}

fn names(plan: &Plan) -> Vec<&'static str> {
    plan.steps.iter().map(|step| step.write.name()).collect()
}

/// A plan of parts that come in this order.
fn plan(attestation: Attesting, steps: Vec<Step>) -> Plan {
    let mut parts = Plan::default();
    for step in steps {
        parts.take(Part { steps: vec![step], ..Part::new(()) });
    }
    let publish = PublishVerdict { attestation, ..PublishVerdict::default() };
    Plan::of(Verdicts { publish, ..Verdicts::default() }, parts)
}

fn step(aspect: Aspect, write: Write) -> Step {
    Step { aspect, write, acknowledges: None, after: None }
}

#[test]
fn steps_come_in_the_order_of_their_aspects() {
    let delete = step(Aspect::Retention, Write::Delete { job: "old".into() });
    let steps = vec![delete, tags(None), step(Aspect::Build, resume("b")), step(Aspect::Build, resume("a"))];
    let plan = plan(Attesting::Complete, steps);
    assert_eq!(names(&plan), ["ResumeJob", "ResumeJob", "MoveTags", "DeleteJob"]);
    assert_eq!(plan.steps[0].write, resume("b"), "within an aspect they stay in order");
}

#[test]
fn what_waits_for_a_signature_comes_after_it_or_not_at_all() {
    let attest = || step(Aspect::Attest, attest());
    let guarded = || tags(Some(Guard::Signed));
    let cases = [
        (Attesting::Planned, vec![guarded(), attest()], vec!["Attest", "MoveTags"]),
        (Attesting::Complete, vec![guarded(), attest()], vec!["Attest", "MoveTags"]),
        (Attesting::Awaited, vec![guarded()], vec![]),
        (Attesting::Complete, vec![guarded()], vec![]),
        (Attesting::Planned, vec![tags(None), attest()], vec!["MoveTags", "Attest"]),
        (Attesting::Complete, vec![tags(None), attest()], vec!["MoveTags"]),
    ];
    for (attestation, steps, expected) in cases {
        assert_eq!(names(&plan(attestation, steps.clone())), expected, "{attestation:?} {steps:?}");
    }
}

#[test]
fn the_earliest_moment_counts() {
    let mut parts = Plan::default();
    for seconds in [30, 10, 20] {
        let mut part = Part::new(());
        part.requeue_after(Duration::from_secs(seconds));
        parts.take(part);
    }
    parts.take(Part::new(()));
    assert_eq!(Plan::of(Verdicts::default(), parts).next, Some(Duration::from_secs(10)));
}

/// An order of which one of two steps failed stands.
#[test]
fn an_order_is_carried_out_when_all_of_its_steps_are() {
    let order = || Order::Cancel("1".into());
    let ordered = |job: &str| Step { acknowledges: Some(order()), ..step(Aspect::Build, resume(job)) };
    let plan = plan(Attesting::Complete, vec![ordered("a"), ordered("b")]);
    let failed = Done::Failed(CallError { reason: Reason::JobRefused, message: "No.".into() });
    for (second, count) in [(Done::Performed, 2), (failed, 0), (Done::Skipped, 0)] {
        let outcome = Outcome { steps: vec![Done::Performed, second], ..Outcome::default() };
        assert_eq!(outcome.acknowledged(&plan).len(), count);
    }
}
