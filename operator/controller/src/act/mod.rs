//! How are steps performed? Writes only, in order; objects are rendered right before.
//!
//! Each write is one that can be repeated: names are deterministic, a create that meets its own object is a success, and
//! everything shared with others is written by server-side apply.

mod leadership;
mod lease;
mod status;
#[cfg(test)]
mod tests;

pub use leadership::{Leadership, NotLeading};
pub use lease::{LeaseError, read_lease, write_lease};
pub use status::{StatusError, Written, write_events, write_status};

use crate::observe::{Cluster, Seat};
use gowindows_core::build::render::{self, Objects};
use gowindows_core::kinds::Kind;
use gowindows_core::read::{controls, role, slim_job};
use gowindows_crds::conditions::Reason;
use gowindows_crds::names;
use gowindows_crds::v1alpha1::TargetKind;
use gowindows_model::access::Repository;
use gowindows_model::call_error::CallError;
use gowindows_model::facts::{Attested, World};
use gowindows_model::inputs::Inputs;
use gowindows_model::plan::{Attestation, BuildOrder, Done, Guard, Outcome, Plan, Roll, Step, Write};
use gowindows_model::settings::Settings;
use gowindows_model::wire::stopped::Stopped;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;
use std::time::Duration;

/// Every write ends within this time.
const DEADLINE: Duration = Duration::from_secs(15);
/// Moving tags talks to a registry, once per tag.
const TAG_DEADLINE: Duration = Duration::from_secs(60);
/// Attaching talks to it some ten times per digest.
const ATTEST_DEADLINE: Duration = Duration::from_secs(120);

/// Performs a plan's steps, for as long as this process leads. A failure ends the steps of its aspect, and those that depend on it.
///
/// # Errors
/// When it does not lead any more: then nobody is to be told what was done.
pub async fn act(
    cluster: &Cluster,
    seat: &Seat,
    leadership: &Leadership,
    settings: &Settings,
    world: &World,
    plan: &Plan,
) -> Result<Outcome, NotLeading> {
    let pass = Pass { cluster, seat, settings, world, namespace: world.object.namespace().unwrap_or_default() };
    let mut outcome = Outcome::default();
    for step in &plan.steps {
        leadership.check()?;
        let done = if is_ready(step, plan, &outcome) { pass.perform(step, &mut outcome).await } else { Done::Skipped };
        outcome.steps.push(done);
    }
    Ok(outcome)
}

/// Nothing of its aspect has failed, and what it depends on has happened.
fn is_ready(step: &Step, plan: &Plan, outcome: &Outcome) -> bool {
    let may = match step.after {
        None => true,
        Some(Guard::Signed) => outcome.attested.is_some(),
    };
    may && outcome.of(plan, step.aspect).is_none()
}

/// One pass over one object.
struct Pass<'a> {
    cluster: &'a Cluster,
    seat: &'a Seat,
    settings: &'a Settings,
    world: &'a World,
    namespace: String,
}

impl Pass<'_> {
    async fn perform(&self, step: &Step, outcome: &mut Outcome) -> Done {
        match self.write(&step.write, outcome).await {
            Ok(()) => Done::Performed,
            Err(error) => {
                tracing::warn!(effect = step.write.name(), reason = %error.reason, message = error.message, "a step failed");
                Done::Failed(error)
            }
        }
    }

    async fn write(&self, write: &Write, outcome: &mut Outcome) -> Result<(), CallError> {
        let Self { cluster, seat, world, namespace, .. } = self;
        match write {
            Write::Stop { job, why } => stop(cluster, world, namespace, job, why).await,
            Write::Resume { job } => begin(cluster, world.now, namespace, job).await,
            Write::StartBuild(order) => self.start_build(order).await,
            Write::Promote { repository, digest, tag } => {
                seat.outside(move_tags(cluster, namespace, repository, digest, std::slice::from_ref(tag))).await
            }
            Write::Attest { repository, attestation, key } => {
                let attested = seat.outside(attest(cluster, namespace, repository, attestation, key.as_deref())).await?;
                outcome.attested = Some(attested);
                Ok(())
            }
            Write::MoveTags { repository, digest, tags } => {
                seat.outside(move_tags(cluster, namespace, repository, digest, tags)).await?;
                outcome.tagged = Some(tags.clone());
                Ok(())
            }
            Write::Roll(target) => roll(cluster, world, namespace, target).await,
            Write::Delete { job } => delete(cluster, namespace, job).await,
        }
    }

    /// Creates the objects of a build, the build itself last.
    async fn start_build(&self, order: &BuildOrder) -> Result<(), CallError> {
        let Self { cluster, settings, world, namespace, seat: _ } = self;
        let Objects { claims, jobs } = render::objects(&world.object, settings, order);
        for claim in &claims {
            ensure_claim(cluster, namespace, claim).await?;
        }
        for job in &jobs {
            create(cluster, world, namespace, job).await?;
        }
        Ok(())
    }
}

/// Ends a Job without deleting it: its deadline is set to one second, so that the Job controller ends its pods and the
/// Job stays as a record of why. One that is suspended ends in the same way, and gets no pod on its way.
async fn stop(cluster: &Cluster, world: &World, namespace: &str, job: &str, why: &Stopped) -> Result<(), CallError> {
    let patch = json!({"metadata": {"annotations": {names::ANNOTATION_STOPPED: why.to_string()}}, "spec": {"activeDeadlineSeconds": 1, "parallelism": 0, "suspend": false}});
    let api = Api::<Job>::namespaced(cluster.client.clone(), namespace);
    match api_call(api.patch(job, &PatchParams::default(), &Patch::Merge(&patch))).await {
        Ok(job) => remember(cluster, job, world.now),
        Err(Refused::NotFound(_)) => {}
        Err(refused) => return Err(refused.of(Reason::JobRefused, &format!("Job {job} could not be stopped"))),
    }
    Ok(())
}

/// Lets a Job begin that waited for others, or for its slot.
///
/// # Errors
/// When the API server refuses or does not answer; a Job that is gone is no error.
pub async fn begin(cluster: &Cluster, now: Timestamp, namespace: &str, job: &str) -> Result<(), CallError> {
    let api = Api::<Job>::namespaced(cluster.client.clone(), namespace);
    let patch = json!({"spec": {"suspend": false}});
    match api_call(api.patch(job, &PatchParams::default(), &Patch::Merge(&patch))).await {
        Ok(job) => remember(cluster, job, now),
        // The next pass sees that it is gone, and what that means.
        Err(Refused::NotFound(_)) => {}
        Err(refused) => return Err(refused.of(Reason::JobRefused, &format!("Job {job} could not be resumed"))),
    }
    Ok(())
}

async fn ensure_claim(cluster: &Cluster, namespace: &str, claim: &PersistentVolumeClaim) -> Result<(), CallError> {
    let api = Api::<PersistentVolumeClaim>::namespaced(cluster.client.clone(), namespace);
    match api_call(api.create(&PostParams::default(), claim)).await {
        Ok(_) | Err(Refused::Exists) => Ok(()),
        Err(refused) => Err(refused.of(Reason::JobRefused, &format!("the cache's claim {} could not be created", claim.name_any()))),
    }
}

/// Creates a build Job by plain POST. An existing one of that name is ours only if owner and inputs say so.
async fn create(cluster: &Cluster, world: &World, namespace: &str, job: &Job) -> Result<(), CallError> {
    let api = Api::<Job>::namespaced(cluster.client.clone(), namespace);
    let created = match api_call(api.create(&PostParams::default(), job)).await {
        Err(Refused::Exists) => {
            let existing = api_call(api.get(&job.name_any()))
                .await
                .map_err(|refused| refused.of(Reason::JobRefused, "a Job of the build's name exists but could not be read"))?;
            // What is only told to people, as why a base was chosen, may read otherwise since then.
            let inputs = |job: &Job| {
                let text = job.annotations().get(names::ANNOTATION_INPUTS)?;
                Some(serde_json::from_str::<Inputs>(text).map_or_else(|_| text.clone(), |inputs| inputs.fingerprint().to_owned()))
            };
            if !controls(world.object.as_ref(), &existing.metadata) || role(&existing) != role(job) || inputs(&existing) != inputs(job) {
                let message =
                    format!("Job {} exists but is not this object's build. Delete it, or find out who creates it.", job.name_any());
                return Err(CallError { reason: Reason::NameCollision, message });
            }
            existing
        }
        answer => answer.map_err(|refused| refused.of(Reason::JobRefused, "the build Job was refused"))?,
    };
    remember(cluster, created, world.now);
    Ok(())
}

/// A Job as it was written, until its watch shows it.
fn remember(cluster: &Cluster, mut job: Job, now: Timestamp) {
    slim_job(&mut job);
    cluster.stores.jobs.remember(job, now);
}

async fn attest(
    cluster: &Cluster,
    namespace: &str,
    repository: &Repository,
    attestation: &Attestation,
    key: Option<&str>,
) -> Result<Attested, CallError> {
    let Repository { name, access } = repository;
    let secret = cluster.key(namespace, access).await?;
    let key = cluster.signing_secret(namespace, key).await?;
    let call = cluster.registry.attest(name, attestation, secret.as_ref(), key.as_ref());
    in_time(name, ATTEST_DEADLINE, cluster.outside.ask(namespace, name, call)).await.inspect_err(|error| cluster.refused(access, error))
}

async fn move_tags(cluster: &Cluster, namespace: &str, repository: &Repository, digest: &str, tags: &[String]) -> Result<(), CallError> {
    let Repository { name, access } = repository;
    let secret = cluster.key(namespace, access).await?;
    let call = cluster.registry.tag(name, digest, tags, secret.as_ref());
    in_time(name, TAG_DEADLINE, cluster.outside.ask(namespace, name, call)).await.inspect_err(|error| cluster.refused(access, error))
}

async fn in_time<T>(repository: &str, deadline: Duration, call: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
    match tokio::time::timeout(deadline, call).await {
        Ok(answer) => answer,
        Err(_) => {
            Err(CallError { reason: Reason::RegistryUnreachable, message: format!("{repository} did not answer within {deadline:?}.") })
        }
    }
}

async fn roll(cluster: &Cluster, world: &World, namespace: &str, target: &Roll) -> Result<(), CallError> {
    match target.kind {
        TargetKind::Deployment => {
            let deployment = patch::<Deployment>(cluster, namespace, target).await?;
            cluster.stores.deployments.remember(deployment, world.now);
        }
    }
    Ok(())
}

/// Writes into a workload, and returns what of it is watched.
async fn patch<K>(cluster: &Cluster, namespace: &str, target: &Roll) -> Result<K, CallError>
where
    K: Kind<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let api = Api::<K>::namespaced(cluster.client.clone(), namespace);
    let params = PatchParams::apply(names::APPLY_MANAGER).force();
    let rolled = api_call(api.patch(&target.name, &params, &Patch::Apply(&K::patch(namespace, target)))).await;
    let what = || format!("{} {} could not be rolled", target.kind.as_str(), target.name);
    let mut object = rolled.map_err(|refused| refused.of(Reason::TargetRefused, &what()))?;
    object.slim();
    Ok(object)
}

async fn delete(cluster: &Cluster, namespace: &str, job: &str) -> Result<(), CallError> {
    let api = Api::<Job>::namespaced(cluster.client.clone(), namespace);
    cluster.stores.jobs.forget(namespace, job);
    match api_call(api.delete(job, &DeleteParams::background())).await {
        Ok(_) | Err(Refused::NotFound(_)) => Ok(()),
        Err(refused) => Err(refused.of(Reason::JobRefused, &format!("the old build Job {job} could not be deleted"))),
    }
}

/// Why the API server did not do as asked.
enum Refused {
    Exists,
    NotFound(String),
    Other(String),
}

impl Refused {
    fn of(self, reason: Reason, what: &str) -> CallError {
        let why = match self {
            Self::Exists => "it exists already".to_owned(),
            Self::NotFound(message) | Self::Other(message) => message,
        };
        let mut what = what.to_owned();
        if let Some(first) = what.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        CallError { reason, message: format!("{what}: {}.", why.trim_end_matches('.')) }
    }
}

async fn api_call<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, Refused> {
    match tokio::time::timeout(DEADLINE, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) if status.code == 409 && status.reason == "AlreadyExists" => Err(Refused::Exists),
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => Err(Refused::NotFound(status.message)),
        Ok(Err(kube::Error::Api(status))) => Err(Refused::Other(status.message)),
        Ok(Err(error)) => Err(Refused::Other(error.to_string())),
        Err(_) => Err(Refused::Other(format!("the API server did not answer within {DEADLINE:?}"))),
    }
}
