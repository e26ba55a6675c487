//! What do a Job and its pod say about a build?
//!
//! Our own stages report compact JSON through the termination message; the compiler, which has no code of ours, leaves the end
//! of its output there. All of it is a hint: the registry has the last word.

use super::builder::{self, Fault};
use super::go_output::{clip, compiler_said};
use super::known_errors::{Pod as FailedPod, explained};
use super::source_facts::facts;
use super::starved::{self, Memory};
use super::{relay, test_output};
use gowindows_crds::conditions::Reason;
use gowindows_crds::names;
use gowindows_crds::v1alpha1::{BinaryStatus, BuildEngine, StageStatus};
use gowindows_model::facts::{Build, BuildResult, BuildState, CurrentJob, Failure, Run, Tests};
use gowindows_model::inputs::Inputs;
use gowindows_model::redact;
use gowindows_model::wire::stages::{ASSEMBLE, COMPILE, EXECUTOR, MODULES, SOURCE, STAGES, TEST};
use gowindows_model::wire::stopped::Stopped;
use k8s_openapi::api::batch::v1::{Job, JobCondition};
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};
use k8s_openapi::jiff::Timestamp;
use kube_core::ResourceExt;
use serde::Deserialize;
use std::sync::Arc;

/// Longest tail that status keeps.
const TAIL: usize = 2048;

/// The build that a Job is, or `None` for a Job without our labels. What its tests say is not known yet.
pub fn build(job: &Job, pods: &[Arc<Pod>]) -> Option<Build> {
    let fingerprint = job.labels().get(names::LABEL_FINGERPRINT)?.clone();
    let attempt = job.labels().get(names::LABEL_ATTEMPT)?.parse().ok()?;
    let annotation = |name: &str| job.annotations().get(name).cloned();
    let inputs = annotation(names::ANNOTATION_INPUTS).and_then(|text| serde_json::from_str::<Inputs>(&text).ok());
    let Run { uid, created, finished, stages, facts, state, uncounted, stopped, current, idle } = run(job, pods);
    Some(Build {
        job: job.name_any(),
        uid,
        // A label that does not belong to the annotated inputs is somebody else's edit: such inputs are not believed.
        inputs: inputs.filter(|inputs| inputs.fingerprint().starts_with(&fingerprint)),
        fingerprint,
        attempt,
        engine: engine(job),
        elsewhere: engine(job) == BuildEngine::BuildKit && !crate::read::compiles_in_its_pod(job),
        cause: annotation(names::ANNOTATION_CAUSE).unwrap_or_default(),
        rebuild_token: annotation(names::ANNOTATION_REBUILD_TOKEN),
        program_of: annotation(names::ANNOTATION_PROGRAM_OF),
        memory: annotation(names::ANNOTATION_MEMORY).and_then(|text| serde_json::from_str(&text).ok()),
        created,
        finished,
        stages,
        facts,
        running: state.is_active(),
        uncounted,
        state,
        stopped,
        before: relay::parts(job),
        current,
        idle,
        tests: annotation(names::ANNOTATION_TESTS).map(|job| Tests { job, before: Vec::new(), run: None }),
    })
}

/// What a Job's compile stage runs. Jobs of older versions name no engine, and were made for the only one.
fn engine(job: &Job) -> BuildEngine {
    job.annotations().get(names::ANNOTATION_ENGINE).and_then(|name| BuildEngine::named(name)).unwrap_or_default()
}

/// How a Job gets on, those before it left out. A pod that has succeeded is believed before its Job, which counts its pods once a second.
pub fn run(job: &Job, pods: &[Arc<Pod>]) -> Run {
    let pod = pods.iter().max_by_key(|pod| pod.creation_timestamp().map(|time| time.0)).map(AsRef::as_ref);
    let stopped = job.annotations().get(names::ANNOTATION_STOPPED).and_then(|why| why.parse::<Stopped>().ok());
    let status = job.status.as_ref();
    let conditions = || status.and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    let ended = |kind: &str| conditions().find(|condition| condition.type_ == kind && condition.status == "True");
    let (complete, failed) = (ended("Complete"), ended("Failed"));
    let created = job.creation_timestamp().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    // The clock of a node may be behind that of the API server.
    let succeeded_at = pod.filter(|_| stopped.is_none()).and_then(succeeded_at).map(|at| at.max(created));
    let ended_at =
        status.and_then(|status| status.completion_time.clone()).or(failed.and_then(|failed| failed.last_transition_time.clone()));
    let state = if complete.is_some() || succeeded_at.is_some() {
        BuildState::Succeeded(pod.and_then(result))
    } else if let Some(failed) = failed {
        BuildState::Failed(failure(failed, pod, stopped.as_ref(), engine(job)))
    } else if pod.is_some_and(started) {
        BuildState::Running
    } else {
        BuildState::Queued(pod.and_then(waiting_for))
    };
    let current = (state.is_active() && stopped.is_none()).then(|| CurrentJob {
        job: job.name_any(),
        uid: job.uid().unwrap_or_default(),
        since: (!awaits_others(job)).then(|| status.and_then(|status| status.start_time.clone()).map_or(created, |time| time.0)),
        has_pod: pod.is_some(),
        queued: job.annotations().contains_key(names::ANNOTATION_QUEUED),
        evicted: pods.iter().any(|pod| starved::eviction(pod).is_some()),
    });
    Run {
        uid: job.uid().unwrap_or_default(),
        created,
        finished: succeeded_at.or(ended_at.map(|time| time.0)),
        stages: pod.map(stages).unwrap_or_default(),
        facts: pod.and_then(|pod| terminated(container(pod, SOURCE)?)).map(facts).unwrap_or_default(),
        uncounted: succeeded_at.is_some() && complete.is_none() && failed.is_none(),
        state,
        stopped,
        current,
        idle: Vec::new(),
    }
}

/// Suspended by the operator, and not, as a queue does it, by somebody else.
fn awaits_others(job: &Job) -> bool {
    let suspended = job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true);
    let annotations = job.annotations();
    suspended && [names::ANNOTATION_AFTER, names::ANNOTATION_QUEUED].iter().any(|name| annotations.contains_key(*name))
}

fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.iter();
    status.flat_map(|status| status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten()))
}

fn container<'a>(pod: &'a Pod, stage: &str) -> Option<&'a ContainerStatus> {
    containers(pod).find(|container| container.name == stage)
}

fn terminated(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    container.state.as_ref()?.terminated.as_ref()
}

/// When the last container of a pod ended that has succeeded as a whole.
fn succeeded_at(pod: &Pod) -> Option<Timestamp> {
    let succeeded = pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Succeeded");
    let ends = containers(pod).filter_map(|container| terminated(container)?.finished_at.clone());
    ends.map(|time| time.0).max().filter(|_| succeeded)
}

fn started(pod: &Pod) -> bool {
    containers(pod).any(|container| container.state.as_ref().is_some_and(|state| state.running.is_some() || state.terminated.is_some()))
}

/// Why no container of a pod has run: what the scheduler or the kubelet says.
fn waiting_for(pod: &Pod) -> Option<String> {
    let pulling = containers(pod).find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.as_deref().filter(|reason| *reason != "PodInitializing")?;
        let said = waiting.message.as_deref().unwrap_or("no message");
        Some(explained(format!("stage {}: {reason}: {said}", container.name), said, FailedPod::Build))
    });
    let unscheduled = pod.status.as_ref()?.conditions.iter().flatten().find(|c| c.type_ == "PodScheduled" && c.status == "False");
    pulling.or_else(|| unscheduled.map(|condition| format!("no node: {}", condition.message.clone().unwrap_or_default())))
}

fn stages(pod: &Pod) -> Vec<StageStatus> {
    let stage = |name: &str| {
        let state = container(pod, name).and_then(|container| container.state.clone()).unwrap_or_default();
        let (running, ended) = (state.running, state.terminated);
        StageStatus {
            name: name.to_owned(),
            started_at: ended.as_ref().map_or_else(|| running.and_then(|running| running.started_at), |ended| ended.started_at.clone()),
            finished_at: ended.as_ref().and_then(|ended| ended.finished_at.clone()),
            exit_code: ended.map(|ended| ended.exit_code),
        }
    };
    // A pod that takes over a program compiles nothing.
    let spec = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers));
    let there: Vec<&str> = spec.map(|container| container.name.as_str()).collect();
    STAGES.iter().filter(|name| there.contains(name)).map(|name| stage(name)).collect()
}

#[derive(Deserialize)]
struct Report {
    digest: Option<String>,
    binary: Option<BinaryStatus>,
    sbom: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
    failure: Option<ReportedFailure>,
}

#[derive(Deserialize)]
struct ReportedFailure {
    reason: String,
    message: String,
}

fn report(ended: &ContainerStateTerminated) -> Option<Report> {
    serde_json::from_str(ended.message.as_deref()?.trim()).ok()
}

fn result(pod: &Pod) -> Option<BuildResult> {
    let report = report(terminated(container(pod, ASSEMBLE)?)?)?;
    Some(BuildResult { digest: report.digest?, binary: report.binary, sbom: report.sbom, warnings: report.warnings })
}

fn failure(job: &JobCondition, pod: Option<&Pod>, stopped: Option<&Stopped>, engine: BuildEngine) -> Failure {
    let plain = |reason, message: String| Failure { reason, stage: None, exit_code: None, message, log_tail: None };
    match stopped {
        Some(Stopped::Timeout { stage }) => {
            let tests = || pod.is_some_and(|pod| container(pod, TEST).is_some());
            let field = match stage.as_str() {
                MODULES if tests() => "test",
                COMPILE | MODULES => "build",
                ASSEMBLE => "push",
                stage => stage,
            };
            let message = format!("Stage {stage} took longer than build.timeouts.{field}. Raise it, or see what the stage is waiting for.");
            return Failure { stage: Some(stage.clone()), ..plain(Reason::Timeout, message) };
        }
        Some(Stopped::TestsFailed(reason)) => {
            let message = "The build was stopped because its tests had not passed; their Job is gone.".into();
            return plain(*reason, message);
        }
        Some(Stopped::PartFailed(reason)) => return plain(*reason, "A part of it failed, whose Job is gone.".into()),
        Some(Stopped::Evicted) => return plain(Reason::OutOfMemory, starved::of_node(pod)),
        Some(Stopped::Superseded) => {
            return plain(Reason::Superseded, "A newer source or specification made this build pointless.".into());
        }
        Some(Stopped::Cancelled | Stopped::BuildFailed) => {
            return plain(Reason::Cancelled, "The build was cancelled by the gowindows.dev/cancel order.".into());
        }
        None => {}
    }
    if job.reason.as_deref() == Some("DeadlineExceeded") {
        return plain(Reason::Timeout, "The build took longer than all of build.timeouts together.".into());
    }
    let Some(pod) = pod else { return plain(Reason::Lost, "The build's pod is gone; its node may be too.".into()) };
    let failed = [EXECUTOR]
        .iter()
        .chain(&STAGES)
        .filter_map(|stage| container(pod, stage))
        .find_map(|c| terminated(c).filter(|ended| ended.exit_code != 0).map(|ended| (c, ended)));
    // Whatever a stage says that was ended from outside is not its own verdict.
    let deleted = pod.metadata.deletion_timestamp.is_some().then_some("deleted");
    let reason = pod.status.as_ref().and_then(|status| status.reason.as_deref());
    let disrupted = reason.filter(|reason| ["Evicted", "NodeLost", "Shutdown"].contains(reason)).or(deleted);
    match (failed, disrupted) {
        (_, Some(_)) if starved::eviction(pod).is_some() => plain(Reason::OutOfMemory, starved::of_node(Some(pod))),
        (_, Some(reason)) => plain(Reason::Lost, format!("The build's pod was taken away ({reason}).")),
        (Some((container, ended)), None) => of_stage(&container.name, ended, engine, &Memory::of(pod, &container.name, engine)),
        (None, None) => {
            plain(Reason::Lost, format!("The build's pod ended without a failed stage ({}).", job.message.clone().unwrap_or_default()))
        }
    }
}

fn of_stage(stage: &str, ended: &ContainerStateTerminated, engine: BuildEngine, memory: &Memory) -> Failure {
    let failure =
        |reason, message, log_tail| Failure { reason, stage: Some(stage.to_owned()), exit_code: Some(ended.exit_code), message, log_tail };
    let output = redact::redact(ended.message.as_deref().unwrap_or_default(), &[]);
    let tail = Some(redact::tail(&output, TAIL).to_owned()).filter(|tail| !tail.is_empty());
    if let Some(message) = starved::of_stage(stage, ended, memory) {
        return failure(Reason::OutOfMemory, message, None);
    }
    if stage == EXECUTOR && ended.exit_code <= 128 {
        let said = clip(&output);
        let message = format!(
            "Kaniko's executor could not be taken out of its image: {said}. The setting kanikoImage has to name an image with /busybox/cp, which those have whose tags end in -debug."
        );
        return Failure { stage: Some(COMPILE.to_owned()), ..failure(Reason::BuilderFailed, message, None) };
    }
    if let Some(message) = builder::unfit_image(stage, &output) {
        return failure(Reason::BuilderFailed, message, None);
    }
    // The go command ends with small numbers; these are signals.
    if ended.reason.as_deref().is_some_and(|reason| NEVER_RAN.contains(&reason)) {
        let said = explained(format!("Stage {stage} could not be started: {}.", clip(&output)), &output, FailedPod::Build);
        return failure(Reason::Lost, said, None);
    }
    if stage == COMPILE && ended.exit_code <= 128 {
        let (reason, message) = match builder::fault(engine, &output) {
            Fault::Compiler(words) => compiler_said(&words),
            Fault::Builder(reason, message) => (reason, message),
        };
        return failure(reason, sentence(&explained(message, &output, FailedPod::Build)), tail);
    }
    if [MODULES, TEST].contains(&stage) && ended.exit_code <= 128 {
        // Of what is downloaded nothing runs, whoever is going to need it.
        let (reason, message) = if stage == TEST { test_output::meaning(&output) } else { compiler_said(&output) };
        return failure(reason, sentence(&message), tail);
    }
    match report(ended).and_then(|report| report.failure) {
        Some(said) => failure(said.reason.parse().unwrap_or(Reason::AssembleFailed), sentence(&redact::redact(&said.message, &[])), None),
        None if ended.exit_code > 128 => {
            failure(Reason::Lost, format!("Stage {stage} was ended by signal {}.", ended.exit_code - 128), tail)
        }
        None => {
            let message = explained(format!("Stage {stage} ended with exit code {}.", ended.exit_code), &output, FailedPod::Build);
            failure(Reason::AssembleFailed, sentence(&message), tail)
        }
    }
}

/// With one full stop at its end, for what follows it.
fn sentence(text: &str) -> String {
    format!("{}.", text.trim_end().trim_end_matches('.'))
}

/// Reasons of the kubelet for a container that the runtime could not start. What made it fail may pass, as when the node's services restart.
const NEVER_RAN: [&str; 3] = ["StartError", "ContainerCannotRun", "ContainerStatusUnknown"];

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{ContainerState, PodStatus};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    /// What is said of a build whose `compile` ended so.
    fn verdict(exit_code: i32, deleted: bool) -> Failure {
        let terminated = Some(ContainerStateTerminated { exit_code, ..ContainerStateTerminated::default() });
        let state = Some(ContainerState { terminated, ..ContainerState::default() });
        let compile = ContainerStatus { name: COMPILE.into(), state, ..ContainerStatus::default() };
        let status = PodStatus { init_container_statuses: Some(vec![compile]), ..PodStatus::default() };
        let mut pod = Pod { status: Some(status), ..Pod::default() };
        pod.metadata.deletion_timestamp = deleted.then_some(Time(Timestamp::UNIX_EPOCH));
        failure(&JobCondition::default(), Some(&pod), None, BuildEngine::Go)
    }

    #[test]
    fn what_a_windows_node_or_a_tool_says_is_explained() {
        let said = "failed to solve: cannot finalize (reason unknown)";
        let ended = ContainerStateTerminated { exit_code: 1, message: Some(said.into()), ..ContainerStateTerminated::default() };
        let failure = of_stage(COMPILE, &ended, BuildEngine::BuildKit, &Memory::OfBuildkitd);
        assert!(failure.message.ends_with("use gzip.") && failure.message.contains("The cause: BuildKit"), "{}", failure.message);
        let waiting = k8s_openapi::api::core::v1::ContainerStateWaiting {
            reason: Some("ErrImagePull".into()),
            message: Some("no match for platform in manifest: not found".into()),
        };
        let state = Some(ContainerState { waiting: Some(waiting), ..ContainerState::default() });
        let compile = ContainerStatus { name: COMPILE.into(), state, ..ContainerStatus::default() };
        let status = PodStatus { init_container_statuses: Some(vec![compile]), ..PodStatus::default() };
        let waits = waiting_for(&Pod { status: Some(status), ..Pod::default() }).expect("it waits");
        assert!(waits.contains("ErrImagePull") && waits.contains("Windows build of this node"), "{waits}");
    }

    /// A Job and its pod, of which every container ended at 00:00:09.
    fn pair(phase: &str, job: serde_json::Value) -> (Job, Arc<Pod>) {
        let ended = serde_json::json!({"terminated": {"exitCode": 0, "finishedAt": "2026-01-01T00:00:09Z"}});
        let container =
            serde_json::json!({"name": "assemble", "state": ended, "image": "", "imageID": "", "ready": false, "restartCount": 0});
        let pod = serde_json::json!({"status": {"phase": phase, "containerStatuses": [container]}});
        (serde_json::from_value(job).expect("a Job"), Arc::new(serde_json::from_value(pod).expect("a pod")))
    }

    #[test]
    fn a_pod_that_has_succeeded_is_believed_before_its_job() {
        let ends = |kind: &str| serde_json::json!({"conditions": [{"type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:11Z"}], "completionTime": "2026-01-01T00:00:11Z"});
        let plain = || serde_json::json!({"creationTimestamp": "2026-01-01T00:00:00Z"});
        let stopped = || serde_json::json!({"annotations": {names::ANNOTATION_STOPPED: "Superseded"}});
        let late = || serde_json::json!({"creationTimestamp": "2026-01-01T00:00:20Z"});
        let none = || serde_json::json!({});
        // Phase of the pod, metadata and status of the Job; whether it succeeded, whether it has not ended, the second of its end.
        let table = [
            ("Succeeded", plain(), none(), (true, true, Some(9))),
            ("Succeeded", plain(), ends("Complete"), (true, false, Some(9))),
            // The deadline came while the pod was not counted yet.
            ("Succeeded", plain(), ends("Failed"), (true, false, Some(9))),
            ("Running", plain(), none(), (false, true, None)),
            ("Running", plain(), ends("Complete"), (true, false, Some(11))),
            ("Succeeded", stopped(), none(), (false, true, None)),
            // The node's clock is behind.
            ("Succeeded", late(), none(), (true, true, Some(20))),
        ];
        for (phase, metadata, status, expected) in table {
            let (job, pod) = pair(phase, serde_json::json!({"metadata": metadata, "status": status}));
            let run = run(&job, &[pod]);
            let succeeded = matches!(run.state, BuildState::Succeeded(_));
            let second = run.finished.map(|at| at.as_second() % 60);
            assert_eq!((succeeded, run.state.is_active() || run.uncounted, second), expected, "{phase} {job:?}");
        }
    }

    #[test]
    fn a_compiler_that_never_ran_found_no_error() {
        let message = Some("failed to create containerd task: failed to create shim task: context canceled: unknown".into());
        let ended = ContainerStateTerminated { exit_code: 128, reason: Some("StartError".into()), message, ..Default::default() };
        let failure = of_stage(COMPILE, &ended, BuildEngine::Go, &Memory::Own(None));
        assert_eq!(failure.reason, Reason::Lost);
        assert!(failure.message.contains("could not be started: failed to create containerd task"), "{}", failure.message);
    }

    #[test]
    fn an_image_of_kaniko_that_cannot_be_used_is_a_fault_of_the_setting() {
        let message = Some("exec: \"/busybox/cp\": stat /busybox/cp: no such file or directory: unknown".into());
        let ended = ContainerStateTerminated { exit_code: 128, reason: Some("StartError".into()), message, ..Default::default() };
        let failure = of_stage(EXECUTOR, &ended, BuildEngine::Kaniko, &Memory::Own(None));
        assert_eq!((failure.reason, failure.stage.as_deref()), (Reason::BuilderFailed, Some(COMPILE)));
        assert!(["kanikoImage", "-debug", "stat /busybox/cp"].iter().all(|part| failure.message.contains(part)), "{}", failure.message);
    }

    #[test]
    fn a_compiler_that_was_ended_from_outside_found_no_error() {
        assert_eq!(verdict(1, false).reason, Reason::CompileError);
        assert_eq!(verdict(137, false).reason, Reason::Lost);
        assert_eq!(verdict(2, true).reason, Reason::Lost);
        assert!(verdict(2, true).message.contains("deleted"));
    }
}
