//! What does a build with the Go engine look like? One Job, one pod, three containers in a row:
//!
//! ```text
//! init source   (our image)        fetches the commit            -> /build/src, /build/source.json
//! init compile  (toolchain image)  go build, plain argv          -> /build/out/NAME.exe
//! assemble      (our image)        layer, config, push, read back -> termination message
//! ```
//!
//! The pod passes Pod Security *restricted*, has no service account token, and each Secret is mounted only where it is used.

use super::{claim_name, job_name};
use crate::decide::{Inputs, Request};
use crate::settings::{RegistrySettings, Settings};
use crate::step::assemble_request::AssembleRequest;
use crate::step::known_program::KnownProgram;
use crate::step::program_check::Expected;
use crate::step::source_request::SourceRequest;
use gowindows_crds::{GoWindowsImage, names};
use k8s_openapi::api::batch::v1::{Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, EmptyDirVolumeSource, EnvVar, KeyToPath, PersistentVolumeClaim, PersistentVolumeClaimSpec,
    PersistentVolumeClaimVolumeSource, PodSecurityContext, PodSpec, PodTemplateSpec, ResourceRequirements, SeccompProfile,
    SecretVolumeSource, SecurityContext, Volume, VolumeMount, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Resource, ResourceExt};
use std::collections::BTreeMap;
use std::time::Duration;

/// Name of the first stage and its container.
pub const SOURCE: &str = "source";
/// Name of the second stage and its container.
pub const COMPILE: &str = "compile";
/// Name of the third stage and its container.
pub const ASSEMBLE: &str = "assemble";
/// The stages in order.
pub const STAGES: [&str; 3] = [SOURCE, COMPILE, ASSEMBLE];

/// The uid of every container: any but root will do, distroless images call this one `nonroot`.
const UID: i64 = 65532;
const WORKSPACE: &str = "/build";
const CACHE: &str = "/cache";
const TMP: &str = "/tmp";
const GIT_AUTH: &str = "/var/run/gowindows/git";
const REGISTRY_AUTH: &str = "/var/run/gowindows/registry";
const BASE_AUTH: &str = "/var/run/gowindows/base";
/// Largest work tree that is checked out.
const MAX_SOURCE_BYTES: u64 = 2 << 30;

/// What a Job is created for.
pub struct BuildOrder<'a> {
    /// The pinned inputs.
    pub inputs: &'a Inputs,
    /// Which attempt at them, from 1.
    pub attempt: i32,
    /// Why.
    pub cause: &'a str,
    /// The rebuild token that asked for it.
    pub rebuild_token: Option<&'a str>,
    /// Where the program is already: then nothing is compiled.
    pub known_program: Option<KnownProgram>,
}

/// The build Job. The same order for the same object gives the same name.
pub fn job(object: &GoWindowsImage, request: &Request, settings: &Settings, order: &BuildOrder<'_>) -> Job {
    let uid = object.uid().unwrap_or_default();
    let fingerprint = order.inputs.fingerprint();
    let label = fingerprint.get(..32).unwrap_or(&fingerprint).to_owned();
    let labels = BTreeMap::from([
        (names::LABEL_MANAGED_BY.to_owned(), names::MANAGED_BY.to_owned()),
        (names::LABEL_IMAGE_UID.to_owned(), uid.clone()),
        (names::LABEL_FINGERPRINT.to_owned(), label),
        (names::LABEL_ATTEMPT.to_owned(), order.attempt.to_string()),
    ]);
    let mut annotations = BTreeMap::from([(names::ANNOTATION_IMAGE.to_owned(), object.name_any())]);
    let pod = PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(labels.clone()), annotations: Some(annotations.clone()), ..ObjectMeta::default() }),
        spec: Some(pod(object, request, settings, order)),
    };
    annotations.insert(names::ANNOTATION_INPUTS.to_owned(), serde_json::to_string(order.inputs).unwrap_or_default());
    annotations.insert(names::ANNOTATION_CAUSE.to_owned(), order.cause.to_owned());
    if let Some(known) = &order.known_program {
        annotations.insert(names::ANNOTATION_PROGRAM_OF.to_owned(), known.image.clone());
    }
    if let Some(token) = order.rebuild_token {
        annotations.insert(names::ANNOTATION_REBUILD_TOKEN.to_owned(), token.to_owned());
    }
    Job {
        metadata: ObjectMeta {
            name: Some(job_name(&object.name_any(), &uid, &fingerprint, order.attempt, order.rebuild_token)),
            namespace: object.namespace(),
            labels: Some(labels),
            annotations: Some(annotations),
            owner_references: owner(object),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            // Attempts are the operator's, each with a name of its own.
            backoff_limit: Some(0),
            active_deadline_seconds: Some(seconds(request.build.queue + in_pod(request)) + 60),
            pod_failure_policy: Some(replace_disrupted_pods()),
            template: pod,
            ..JobSpec::default()
        }),
        status: None,
    }
}

/// The claim of the object's cache, where it wants one.
pub fn cache_claim(object: &GoWindowsImage, request: &Request) -> Option<PersistentVolumeClaim> {
    let (size, class) = request.build.cache.clone()?;
    let name = claim_name(&object.name_any(), &object.uid().unwrap_or_default());
    let labels = BTreeMap::from([(names::LABEL_MANAGED_BY.to_owned(), names::MANAGED_BY.to_owned())]);
    Some(PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: object.namespace(),
            labels: Some(labels),
            owner_references: owner(object),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".into()]),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([("storage".to_owned(), Quantity(size))])),
                ..VolumeResourceRequirements::default()
            }),
            storage_class_name: class,
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    })
}

fn owner(object: &GoWindowsImage) -> Option<Vec<OwnerReference>> {
    object.controller_owner_ref(&()).map(|owner| vec![owner])
}

/// An evicted or preempted pod is replaced by the Job controller and is no failed attempt.
fn replace_disrupted_pods() -> PodFailurePolicy {
    PodFailurePolicy {
        rules: vec![PodFailurePolicyRule {
            action: "Ignore".into(),
            on_exit_codes: None,
            on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
                status: "True".into(),
                type_: "DisruptionTarget".into(),
            }]),
        }],
    }
}

fn in_pod(request: &Request) -> Duration {
    request.build.source + request.build.compile + request.build.push
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX).max(1)
}

fn pod(object: &GoWindowsImage, request: &Request, settings: &Settings, order: &BuildOrder<'_>) -> PodSpec {
    let mut selector = request.build.nodes.selector.clone();
    selector.insert("kubernetes.io/os".into(), "linux".into());
    selector.insert("kubernetes.io/arch".into(), "amd64".into());
    let mut before = vec![source(request, settings, order)];
    if order.known_program.is_none() {
        before.push(compile(request, settings, order));
    }
    PodSpec {
        affinity: request.build.nodes.affinity.clone(),
        automount_service_account_token: Some(false),
        containers: vec![assemble(request, settings, order)],
        enable_service_links: Some(false),
        init_containers: Some(before),
        node_selector: Some(selector),
        priority_class_name: request.build.nodes.priority_class_name.clone(),
        restart_policy: Some("Never".into()),
        runtime_class_name: settings.runtime_class.clone(),
        security_context: Some(PodSecurityContext {
            fs_group: Some(UID),
            fs_group_change_policy: Some("OnRootMismatch".into()),
            run_as_group: Some(UID),
            run_as_non_root: Some(true),
            run_as_user: Some(UID),
            seccomp_profile: Some(SeccompProfile { localhost_profile: None, type_: "RuntimeDefault".into() }),
            ..PodSecurityContext::default()
        }),
        termination_grace_period_seconds: Some(10),
        tolerations: request.build.tolerations(),
        volumes: Some(volumes(object, request, order)),
        ..PodSpec::default()
    }
}

fn volumes(object: &GoWindowsImage, request: &Request, order: &BuildOrder<'_>) -> Vec<Volume> {
    let scratch = |name: &str| Volume { name: name.into(), empty_dir: Some(EmptyDirVolumeSource::default()), ..Volume::default() };
    let secret = |name: &str, secret: &str, items: Option<Vec<KeyToPath>>| Volume {
        name: name.into(),
        secret: Some(SecretVolumeSource { default_mode: Some(0o400), items, optional: None, secret_name: Some(secret.into()) }),
        ..Volume::default()
    };
    let mut volumes = vec![scratch("workspace"), scratch("tmp")];
    if order.known_program.is_none() {
        volumes.push(if request.build.cache.is_some() {
            let claim_name = claim_name(&object.name_any(), &object.uid().unwrap_or_default());
            let claim = PersistentVolumeClaimVolumeSource { claim_name, read_only: None };
            Volume { name: "cache".into(), persistent_volume_claim: Some(claim), ..Volume::default() }
        } else {
            scratch("cache")
        });
    }
    if let Some(name) = &request.git_secret {
        volumes.push(secret("git-auth", name, None));
    }
    for (volume, name) in [("registry-auth", &request.push_secret), ("base-auth", &request.pull_secret)] {
        let item = KeyToPath { key: ".dockerconfigjson".into(), mode: None, path: "config.json".into() };
        volumes.extend(name.as_ref().map(|name| secret(volume, name, Some(vec![item]))));
    }
    volumes
}

fn source(request: &Request, settings: &Settings, order: &BuildOrder<'_>) -> Container {
    let Inputs { commit, sub_path, compile, .. } = order.inputs;
    let step = SourceRequest {
        url: request.url.clone(),
        reference: request.reference.clone(),
        commit: commit.clone(),
        sub_path: sub_path.clone(),
        package: compile.package.clone(),
        timeout_seconds: seconds(request.build.source).unsigned_abs(),
        max_bytes: MAX_SOURCE_BYTES,
    };
    let mut args = step_args(SOURCE, &step);
    args.extend(["--dest", "/build/src", "--out", "/build/out", "--info", "/build/source.json"].map(String::from));
    let mut mounts = vec![mount("workspace", WORKSPACE), mount("tmp", TMP)];
    if request.git_secret.is_some() {
        args.extend(["--auth-dir".to_owned(), GIT_AUTH.to_owned()]);
        mounts.push(read_only("git-auth", GIT_AUTH));
    }
    step_container(SOURCE, settings, args, mounts)
}

fn compile(request: &Request, settings: &Settings, order: &BuildOrder<'_>) -> Container {
    let Inputs { sub_path, compile, toolchain, .. } = order.inputs;
    let fixed = [("HOME", "/tmp"), ("TMPDIR", TMP), ("GOCACHE", "/cache/build"), ("GOMODCACHE", "/cache/mod"), ("GOPATH", "/cache/go")];
    let proxies = [("GOPROXY", &settings.goproxy), ("GOSUMDB", &settings.gosumdb)];
    let fixed = fixed.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let proxies = proxies.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)));
    let env = fixed.chain(proxies).chain(compile.environment()).map(|(name, value)| EnvVar {
        name,
        value: Some(literal(&value)),
        value_from: None,
    });
    Container {
        name: COMPILE.into(),
        image: Some(toolchain.clone()),
        command: Some(compile.argv("/build/out/").iter().map(|word| literal(word)).collect()),
        env: Some(env.collect()),
        resources: Some(request.build.resources.clone()),
        security_context: Some(restricted()),
        // It has no code of ours that could report; the end of its output is its report.
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        // What the program is held against afterwards is out of the compiler's reach.
        volume_mounts: Some(vec![
            VolumeMount { sub_path: Some("src".into()), ..read_only("workspace", "/build/src") },
            VolumeMount { sub_path: Some("out".into()), ..mount("workspace", "/build/out") },
            mount("cache", CACHE),
            mount("tmp", TMP),
        ]),
        working_dir: Some(if sub_path == "." { "/build/src".into() } else { format!("/build/src/{sub_path}") }),
        ..Container::default()
    }
}

fn assemble(request: &Request, settings: &Settings, order: &BuildOrder<'_>) -> Container {
    let step = AssembleRequest {
        repository: request.repository.clone(),
        tag: order.inputs.tag(),
        assembly: order.inputs.assembly.clone(),
        expected: Some(Expected {
            compile: order.inputs.compile.clone(),
            go_version: request.go_version.clone(),
            sub_path: order.inputs.sub_path.clone(),
        }),
        registries: relevant(&settings.registries, request),
        known_program: order.known_program.clone(),
        absent_apis: settings.absent_apis.clone(),
        timeout_seconds: seconds(request.build.push).unsigned_abs(),
    };
    let mut args = step_args(ASSEMBLE, &step);
    if order.known_program.is_none() {
        args.extend(["--program-dir", "/build/out"].map(String::from));
    }
    args.extend(["--source-info", "/build/source.json", "--source-dir", "/build/src"].map(String::from));
    let mut mounts = vec![mount("workspace", WORKSPACE), mount("tmp", TMP)];
    if request.push_secret.is_some() {
        args.extend(["--registry-config".to_owned(), format!("{REGISTRY_AUTH}/config.json")]);
        mounts.push(read_only("registry-auth", REGISTRY_AUTH));
    }
    if request.pull_secret.is_some() {
        args.extend(["--base-config".to_owned(), format!("{BASE_AUTH}/config.json")]);
        mounts.push(read_only("base-auth", BASE_AUTH));
    }
    step_container(ASSEMBLE, settings, args, mounts)
}

/// The settings of the registries that this build talks to, with certificates in place of files.
fn relevant(registries: &[RegistrySettings], request: &Request) -> Vec<RegistrySettings> {
    let host = |reference: &str| reference.split('/').next().unwrap_or_default().to_owned();
    let mut hosts: Vec<String> = request.bases.iter().chain([&request.repository]).map(|reference| host(reference)).collect();
    let mirrors = registries.iter().filter(|registry| hosts.contains(&registry.host)).filter_map(|registry| registry.mirror.as_deref());
    hosts.extend(mirrors.map(host).collect::<Vec<_>>());
    let talks_to = |registry: &&RegistrySettings| hosts.contains(&registry.host);
    registries.iter().filter(talks_to).map(|registry| RegistrySettings { ca_file: None, ..registry.clone() }).collect()
}

fn step_args(step: &str, request: &impl serde::Serialize) -> Vec<String> {
    let request = serde_json::to_string(request).unwrap_or_default();
    vec!["step".into(), step.into(), "--request".into(), literal(&request)]
}

/// Kubernetes expands `$(NAME)` in commands, arguments and variables; a doubled dollar stays a dollar.
fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

fn step_container(name: &str, settings: &Settings, args: Vec<String>, mounts: Vec<VolumeMount>) -> Container {
    let quantities =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(name, value)| ((*name).to_owned(), Quantity((*value).to_owned()))).collect();
    Container {
        name: name.into(),
        image: Some(settings.step_image.clone()),
        args: Some(args),
        env: Some(vec![EnvVar { name: "HOME".into(), value: Some(TMP.into()), value_from: None }]),
        resources: Some(ResourceRequirements {
            claims: None,
            limits: Some(quantities(&[("memory", "1Gi")])),
            requests: Some(quantities(&[("cpu", "100m"), ("memory", "128Mi")])),
        }),
        security_context: Some(restricted()),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        volume_mounts: Some(mounts),
        ..Container::default()
    }
}

/// What Pod Security *restricted* asks of a container, and a read-only root.
fn restricted() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { add: None, drop: Some(vec!["ALL".into()]) }),
        read_only_root_filesystem: Some(true),
        run_as_non_root: Some(true),
        ..SecurityContext::default()
    }
}

fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount { name: name.into(), mount_path: path.into(), ..VolumeMount::default() }
}

fn read_only(name: &str, path: &str) -> VolumeMount {
    VolumeMount { read_only: Some(true), ..mount(name, path) }
}
