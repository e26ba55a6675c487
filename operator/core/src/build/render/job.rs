//! What does every build have in common? One Job, one pod, three containers in a row:
//!
//! ```text
//! init source   (our image)      fetches the commit              -> /build/src, /build/source.json
//! init modules  (the toolchain)  where they take a login         -> /cache/mod
//! init compile  (the engine's)   compiles                        -> /build/out
//! assemble      (our image)      layer, config, push, read back  -> termination message
//! ```
//!
//! Where the nodes that compile are Windows nodes, the stages are in Jobs of their own: see [`super::relay`]. Tests run beside it, in the Job of
//! [`super::test_job`]. Only `compile` differs between the engines: each says in a [`CompileStage`] what it needs. The pod passes Pod Security *restricted*
//! (*baseline* where the engine needs root), has no token for the API server, and each Secret is mounted only where it is used.

use super::engine_buildkit::Buildctl;
use super::engine_go;
use super::engine_kaniko::Kaniko;
use super::modules;
use super::stages::{ForBuilder, assemble, identity_token, source};
use super::workspace::Workspace;
use gowindows_crds::names::Role;
use gowindows_crds::v1alpha1::NodeSystem;
use gowindows_crds::{GoWindowsImage, names};
use gowindows_model::names::{claim_name, test_claim_name, test_job_name};
use gowindows_model::plan::BuildOrder;
use gowindows_model::request::{CacheClaim, Engine, OwnClaim, Request};
use gowindows_model::settings::Settings;
use k8s_openapi::api::batch::v1::{Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule};
use k8s_openapi::api::core::v1::{
    Container, EmptyDirVolumeSource, KeyToPath, PersistentVolumeClaim, PersistentVolumeClaimSpec, PersistentVolumeClaimVolumeSource,
    PodSecurityContext, PodSpec, PodTemplateSpec, SeccompProfile, SecretVolumeSource, Volume, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube_core::{Resource, ResourceExt};
use std::collections::BTreeMap;
use std::time::Duration;

/// The uid of every container of ours: any but root will do, distroless images call this one `nonroot`.
const UID: i64 = 65532;

/// What an engine adds to the frame.
pub(super) struct CompileStage {
    /// What has to end before it.
    pub(super) before: Vec<Container>,
    /// The container of the second stage.
    pub(super) container: Container,
    /// Volumes that no other container mounts.
    pub(super) volumes: Vec<Volume>,
    /// What the source stage writes for a container builder.
    pub(super) builder: ForBuilder,
    /// Where the engine leaves the program, for the last stage.
    pub(super) program: Program,
}

/// What an engine leaves in `/build/out`.
pub(super) enum Program {
    /// The program.
    File,
    /// An image whose only file is the program.
    Image(&'static str),
    /// An image that BuildKit has pushed.
    Pushed {
        /// What `buildctl` says of it.
        metadata: &'static str,
        /// The system that it was made on.
        system: NodeSystem,
    },
    /// Nothing: an image at the registry has the program.
    Known,
}

/// The volume of the credentials for modules, where there are some.
pub(super) fn module_secrets(order: &BuildOrder) -> Vec<Volume> {
    let secret = order.request.modules.secret.iter();
    order.credentials.iter().zip(secret).map(|(credentials, name)| modules::volume(*credentials, name)).collect()
}

/// The build Job. The same order for the same object gives the same name.
pub fn job(object: &GoWindowsImage, request: &Request, settings: &Settings, order: &BuildOrder) -> Job {
    // Modules have as long as the compiler.
    let modules = order.credentials.map_or(Duration::ZERO, |_| request.build.compile);
    let limit = request.build.source + modules + request.build.compile + request.build.push;
    build_job(object, request, order, limit, pod(object, request, settings, order))
}

/// The Job that is the build, with a pod whose stages may take `limit` together.
pub(super) fn build_job(object: &GoWindowsImage, request: &Request, order: &BuildOrder, limit: Duration, pod: PodSpec) -> Job {
    let uid = object.uid().unwrap_or_default();
    let fingerprint = order.inputs.fingerprint();
    let label = fingerprint.get(..32).unwrap_or(fingerprint).to_owned();
    let labels = BTreeMap::from([
        (names::LABEL_MANAGED_BY.to_owned(), names::MANAGED_BY.to_owned()),
        (names::LABEL_IMAGE_UID.to_owned(), uid.clone()),
        (names::LABEL_FINGERPRINT.to_owned(), label),
        (names::LABEL_ATTEMPT.to_owned(), order.attempt.to_string()),
        (names::LABEL_ROLE.to_owned(), Role::Build.as_str().to_owned()),
    ]);
    let name = order.job.clone();
    let mut annotations = BTreeMap::from([(names::ANNOTATION_IMAGE.to_owned(), object.name_any())]);
    let spec = job_spec(request, limit, (labels.clone(), annotations.clone()), pod);
    annotations.insert(names::ANNOTATION_ENGINE.to_owned(), request.build.engine.kind().as_str().to_owned());
    annotations.insert(names::ANNOTATION_INPUTS.to_owned(), order.inputs.json().to_owned());
    annotations.insert(names::ANNOTATION_CAUSE.to_owned(), order.cause.to_owned());
    if let Some(memory) = &order.memory {
        annotations.insert(names::ANNOTATION_MEMORY.to_owned(), serde_json::to_string(memory).unwrap_or_default());
    }
    if let Some(known) = &order.reused_program {
        annotations.insert(names::ANNOTATION_PROGRAM_OF.to_owned(), known.image.clone());
    }
    if let Some(token) = &order.rebuild_token {
        annotations.insert(names::ANNOTATION_REBUILD_TOKEN.to_owned(), token.clone());
    }
    if order.gated {
        annotations.insert(names::ANNOTATION_TESTS.to_owned(), test_job_name(&name));
    }
    owned_job(object, name, labels, annotations, spec)
}

/// A Job of an object.
pub(super) fn owned_job(
    object: &GoWindowsImage,
    name: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    spec: JobSpec,
) -> Job {
    Job {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: object.namespace(),
            labels: Some(labels),
            annotations: Some(annotations),
            owner_references: owner(object),
            ..ObjectMeta::default()
        },
        spec: Some(spec),
        status: None,
    }
}

/// One pod, once. `limit` is what its stages may take together.
pub(super) fn job_spec(
    request: &Request,
    limit: Duration,
    (labels, annotations): (BTreeMap<String, String>, BTreeMap<String, String>),
    pod: PodSpec,
) -> JobSpec {
    JobSpec {
        // Attempts are the operator's, each with a name of its own.
        backoff_limit: Some(0),
        active_deadline_seconds: Some(seconds(request.build.queue + limit) + 60),
        pod_failure_policy: Some(replace_disrupted_pods()),
        template: PodTemplateSpec {
            metadata: Some(ObjectMeta { labels: Some(labels), annotations: Some(annotations), ..ObjectMeta::default() }),
            spec: Some(pod),
        },
        ..JobSpec::default()
    }
}

/// The claim of the object's own cache, where it wants one.
pub fn cache_claim(object: &GoWindowsImage, request: &Request) -> Option<PersistentVolumeClaim> {
    let own = request.build.cache.as_ref()?.own()?;
    Some(claim(object, own, claim_name(&object.name_any(), &object.uid().unwrap_or_default(), request.build.system)))
}

/// The claim of its tests' cache. What they write no compiler reads; and a volume of one node would make one pod wait for the other.
pub fn test_cache_claim(object: &GoWindowsImage, request: &Request) -> Option<PersistentVolumeClaim> {
    let own = request.build.test_cache.as_ref()?;
    Some(claim(object, own, test_claim_name(&object.name_any(), &object.uid().unwrap_or_default(), request.test.system)))
}

fn claim(object: &GoWindowsImage, own: &OwnClaim, name: String) -> PersistentVolumeClaim {
    let labels = BTreeMap::from([(names::LABEL_MANAGED_BY.to_owned(), names::MANAGED_BY.to_owned())]);
    PersistentVolumeClaim {
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
                requests: Some(BTreeMap::from([("storage".to_owned(), Quantity(own.size.clone()))])),
                ..VolumeResourceRequirements::default()
            }),
            storage_class_name: own.class.clone(),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }
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

/// Whole seconds, at least one.
pub(super) fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX).max(1)
}

fn pod(object: &GoWindowsImage, request: &Request, settings: &Settings, order: &BuildOrder) -> PodSpec {
    let mut volumes: Vec<Volume> = [Workspace::OfPod.volume(), scratch("tmp")].into_iter().chain(git_secret(order)).collect();
    volumes.extend(registry_secrets(request));
    let (compile, builder, program) = match &order.reused_program {
        Some(_) => (vec![], ForBuilder::default(), Program::Known),
        None => {
            let stage = match &request.build.engine {
                Engine::Go => engine_go::compile(request, settings, order),
                Engine::BuildKit(buildkit) => Buildctl { object, buildkit, request, settings, order }.on_linux(),
                Engine::Kaniko { image, cache } => Kaniko { object, image, cache: cache.as_ref(), request, settings, order }.compile(),
            };
            volumes.push(cache(object, request));
            volumes.extend(stage.volumes);
            (stage.before.into_iter().chain([stage.container]).collect(), stage.builder, stage.program)
        }
    };
    let source = source(request, settings, order, Workspace::OfPod, builder);
    let first = [source].into_iter().chain(compile).collect();
    let last = assemble(request, settings, order, Workspace::OfPod, &program);
    with_identity(request, pod_spec(request, settings, first, last, volumes))
}

/// A pod of the account whose identity opens the registry, where one does.
pub(super) fn with_identity(request: &Request, pod: PodSpec) -> PodSpec {
    PodSpec { service_account_name: request.identity().map(|identity| identity.service_account.clone()), ..pod }
}

/// What the pods on Linux nodes have in common.
pub(super) fn pod_spec(request: &Request, settings: &Settings, first: Vec<Container>, last: Container, volumes: Vec<Volume>) -> PodSpec {
    let (node_selector, affinity) = request.build.places(NodeSystem::Linux);
    PodSpec {
        affinity,
        automount_service_account_token: Some(false),
        containers: vec![last],
        enable_service_links: Some(false),
        init_containers: Some(first).filter(|first| !first.is_empty()),
        node_selector: Some(node_selector),
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
        volumes: Some(volumes),
        ..PodSpec::default()
    }
}

pub(super) fn scratch(name: &str) -> Volume {
    Volume { name: name.into(), empty_dir: Some(EmptyDirVolumeSource::default()), ..Volume::default() }
}

/// Of compiler and modules.
pub(super) fn cache(object: &GoWindowsImage, request: &Request) -> Volume {
    cache_in(match &request.build.cache {
        Some(CacheClaim::Shared(name)) => Some(name.clone()),
        Some(CacheClaim::Own(_)) | None => cache_claim(object, request).map(|claim| claim.name_any()),
    })
}

/// Of tests.
pub(super) fn test_cache(object: &GoWindowsImage, request: &Request) -> Volume {
    cache_in(test_cache_claim(object, request).map(|claim| claim.name_any()))
}

fn cache_in(claim: Option<String>) -> Volume {
    let Some(claim_name) = claim else { return scratch("cache") };
    let claim = PersistentVolumeClaimVolumeSource { claim_name, read_only: None };
    Volume { name: "cache".into(), persistent_volume_claim: Some(claim), ..Volume::default() }
}

/// What opens registries, for the stage that assembles.
pub(super) fn registry_secrets(request: &Request) -> impl Iterator<Item = Volume> {
    let named = [("registry-auth", request.push_secret()), ("base-auth", request.pull_secret.as_ref())].into_iter();
    let secrets = named.filter_map(|(volume, name)| {
        let item = KeyToPath { key: ".dockerconfigjson".into(), mode: None, path: "config.json".into() };
        name.map(|name| secret_volume(volume, name, Some(vec![item])))
    });
    secrets.chain(identity_token(request))
}

/// What opens the git server, for the stage that fetches: the keys that it reads, and no others.
pub(super) fn git_secret(order: &BuildOrder) -> Option<Volume> {
    // An empty list of keys is all of them to a kubelet.
    let name = order.request.git_secret.as_ref().filter(|_| !order.git_keys.is_empty())?;
    let items = order.git_keys.iter().map(|key| KeyToPath { key: key.clone(), mode: None, path: key.clone() });
    Some(secret_volume("git-auth", name, Some(items.collect())))
}

/// A Secret as files that only their owner and the pod's group may read.
pub(super) fn secret_volume(name: &str, secret: &str, items: Option<Vec<KeyToPath>>) -> Volume {
    Volume {
        name: name.into(),
        secret: Some(SecretVolumeSource { default_mode: Some(0o400), items, optional: None, secret_name: Some(secret.into()) }),
        ..Volume::default()
    }
}
