//! How are effects performed? Writes only, in order, and the first failure ends the pass.
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

use crate::observe::Cluster;
use gowindows_core::decide::admitted;
use gowindows_core::render;
use gowindows_crds::conditions::Reason;
use gowindows_crds::names;
use gowindows_crds::v1alpha1::NodeSystem;
use gowindows_model::facts::{Attested, World};
use gowindows_model::inputs::Inputs;
use gowindows_model::plan::{Attestation, Effect, Failed, Outcome, Plan, Roll};
use gowindows_model::ports::Miss;
use gowindows_model::request::Request;
use gowindows_model::settings::SlotSettings;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use std::time::Duration;

/// Every write ends within this time.
const DEADLINE: Duration = Duration::from_secs(15);
/// Moving tags talks to a registry, once per tag.
const TAG_DEADLINE: Duration = Duration::from_secs(60);
/// Attaching talks to it some ten times per digest.
const ATTEST_DEADLINE: Duration = Duration::from_secs(120);

/// Performs a plan's effects, for as long as this process leads.
///
/// # Errors
/// When it does not lead any more: then nobody is to be told what was done.
pub async fn act(cluster: &Cluster, leadership: &Leadership, world: &World, plan: &Plan) -> Result<Outcome, NotLeading> {
    let mut outcome = Outcome::default();
    for effect in &plan.effects {
        leadership.check()?;
        match perform(cluster, world, plan.conclusion.request.as_ref(), effect, &mut outcome).await {
            Ok(()) => outcome.performed += 1,
            Err(miss) => {
                tracing::warn!(effect = effect.name(), reason = %miss.reason, message = miss.message, "an effect failed");
                outcome.failure = Some(Failed { effect: effect.clone(), miss });
                break;
            }
        }
    }
    Ok(outcome)
}

async fn perform(cluster: &Cluster, world: &World, request: Option<&Request>, effect: &Effect, outcome: &mut Outcome) -> Result<(), Miss> {
    let namespace = world.object.namespace().unwrap_or_default();
    match effect {
        Effect::StopJob { job, why } => stop(cluster, world, &namespace, job, why).await,
        Effect::ResumeJob(job) => resume(cluster, world, &namespace, job).await,
        Effect::StartJob { namespace, job, slots } => {
            start(cluster, world, namespace, job, *slots).await;
            Ok(())
        }
        Effect::EnsureClaim(claim) => ensure_claim(cluster, &namespace, claim).await,
        Effect::CreateJob(job) => create(cluster, world, &namespace, job).await,
        Effect::Promote { digest, tag } => {
            let Some(request) = request else { return Ok(()) };
            move_tags(cluster, &namespace, request, digest, std::slice::from_ref(tag)).await
        }
        Effect::Attest(attestation) => {
            let Some(request) = request else { return Ok(()) };
            outcome.attested = Some(attest(cluster, &namespace, request, attestation).await?);
            Ok(())
        }
        Effect::MoveTags { digest, tags } => {
            let Some(request) = request else { return Ok(()) };
            move_tags(cluster, &namespace, request, digest, tags).await?;
            outcome.tagged = Some(tags.clone());
            Ok(())
        }
        Effect::Roll(target) => roll(cluster, world, &namespace, target).await,
        Effect::DeleteJob(job) => delete(cluster, &namespace, job).await,
    }
}

/// Ends a Job without deleting it: its deadline is set to one second, so that the Job controller ends its pods and the
/// Job stays as a record of why. One that is suspended ends in the same way, and gets no pod on its way.
async fn stop(cluster: &Cluster, world: &World, namespace: &str, job: &str, why: &str) -> Result<(), Miss> {
    let patch = json!({"metadata": {"annotations": {names::ANNOTATION_STOPPED: why}}, "spec": {"activeDeadlineSeconds": 1, "parallelism": 0, "suspend": false}});
    let api = Api::<Job>::namespaced(cluster.client.clone(), namespace);
    match api_call(api.patch(job, &PatchParams::default(), &Patch::Merge(&patch))).await {
        Ok(job) => cluster.own.jobs.remember(job, world.now),
        Err(Refused::NotFound(_)) => {}
        Err(refused) => return Err(refused.of(Reason::JobRefused, &format!("Job {job} could not be stopped"))),
    }
    Ok(())
}

/// Lets a Job begin that waited for others.
async fn resume(cluster: &Cluster, world: &World, namespace: &str, job: &str) -> Result<(), Miss> {
    let api = Api::<Job>::namespaced(cluster.client.clone(), namespace);
    let patch = json!({"spec": {"suspend": false}});
    match api_call(api.patch(job, &PatchParams::default(), &Patch::Merge(&patch))).await {
        Ok(job) => cluster.own.jobs.remember(job, world.now),
        // The next pass sees that it is gone, and what that means.
        Err(Refused::NotFound(_)) => {}
        Err(refused) => return Err(refused.of(Reason::JobRefused, &format!("Job {job} could not be resumed"))),
    }
    Ok(())
}

/// Lets a Job begin for which there is a slot. Stores may be behind and passes go on beside this one, so slots are counted anew, by one at a time, by
/// what the API server has. It may be another object's Job: a failure is no one's, and the next pass of whoever waits tries again.
async fn start(cluster: &Cluster, world: &World, namespace: &str, job: &str, slots: SlotSettings) {
    let _counts = cluster.slots.lock().await;
    let line = match cluster.present_line().await {
        Ok(line) => line,
        Err(error) => return tracing::warn!(error = &error as &dyn std::error::Error, job, "slots could not be counted"),
    };
    let systems = [NodeSystem::Linux, NodeSystem::Windows].into_iter();
    let mut admitted = systems.flat_map(|system| admitted(&line, slots, system));
    if !admitted.any(|other| other.namespace == namespace && other.job == job) {
        return;
    }
    if let Err(Miss { message, .. }) = resume(cluster, world, namespace, job).await {
        tracing::warn!(message, job, "a Job could not be given its slot");
    }
}

async fn ensure_claim(cluster: &Cluster, namespace: &str, claim: &PersistentVolumeClaim) -> Result<(), Miss> {
    let api = Api::<PersistentVolumeClaim>::namespaced(cluster.client.clone(), namespace);
    match api_call(api.create(&PostParams::default(), claim)).await {
        Ok(_) | Err(Refused::Exists) => Ok(()),
        Err(refused) => Err(refused.of(Reason::JobRefused, &format!("the cache's claim {} could not be created", claim.name_any()))),
    }
}

/// Creates a build Job by plain POST. An existing one of that name is ours only if owner and inputs say so.
async fn create(cluster: &Cluster, world: &World, namespace: &str, job: &Job) -> Result<(), Miss> {
    let api = Api::<Job>::namespaced(cluster.client.clone(), namespace);
    let created = match api_call(api.create(&PostParams::default(), job)).await {
        Err(Refused::Exists) => {
            let existing = api_call(api.get(&job.name_any()))
                .await
                .map_err(|refused| refused.of(Reason::JobRefused, "a Job of the build's name exists but could not be read"))?;
            let owner =
                |job: &Job| job.owner_references().iter().find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.clone());
            // What is only told to people, as why a base was chosen, may read otherwise since then.
            let inputs = |job: &Job| {
                let text = job.annotations().get(names::ANNOTATION_INPUTS)?;
                Some(serde_json::from_str::<Inputs>(text).map_or_else(|_| text.clone(), |inputs| inputs.fingerprint()))
            };
            if owner(&existing) != owner(job) || inputs(&existing) != inputs(job) {
                let message =
                    format!("Job {} exists but is not this object's build. Delete it, or find out who creates it.", job.name_any());
                return Err(Miss { reason: Reason::NameCollision, message });
            }
            existing
        }
        answer => answer.map_err(|refused| refused.of(Reason::JobRefused, "the build Job was refused"))?,
    };
    cluster.own.jobs.remember(created, world.now);
    Ok(())
}

async fn attest(cluster: &Cluster, namespace: &str, request: &Request, attestation: &Attestation) -> Result<Attested, Miss> {
    let secret = cluster.push_key(namespace, request).await?;
    let key = cluster.signing_secret(namespace, request).await?;
    let call = cluster.registry.attest(&request.repository, attestation, secret.as_ref(), key.as_ref());
    in_time(&request.repository, ATTEST_DEADLINE, call).await.inspect_err(|miss| cluster.push_failed(request, miss))
}

async fn move_tags(cluster: &Cluster, namespace: &str, request: &Request, digest: &str, tags: &[String]) -> Result<(), Miss> {
    let secret = cluster.push_key(namespace, request).await?;
    let call = cluster.registry.tag(&request.repository, digest, tags, secret.as_ref());
    in_time(&request.repository, TAG_DEADLINE, call).await.inspect_err(|miss| cluster.push_failed(request, miss))
}

async fn in_time<T>(repository: &str, deadline: Duration, call: impl Future<Output = Result<T, Miss>>) -> Result<T, Miss> {
    match tokio::time::timeout(deadline, call).await {
        Ok(answer) => answer,
        Err(_) => Err(Miss { reason: Reason::RegistryUnreachable, message: format!("{repository} did not answer within {deadline:?}.") }),
    }
}

async fn roll(cluster: &Cluster, world: &World, namespace: &str, target: &Roll) -> Result<(), Miss> {
    let api = Api::<Deployment>::namespaced(cluster.client.clone(), namespace);
    let patch = render::deployment_image(namespace, target);
    let params = PatchParams::apply(names::APPLY_MANAGER).force();
    let rolled = api_call(api.patch(&target.name, &params, &Patch::Apply(&patch))).await;
    let mut deployment =
        rolled.map_err(|refused| refused.of(Reason::TargetRefused, &format!("Deployment {} could not be rolled", target.name)))?;
    gowindows_core::read::slim(&mut deployment);
    cluster.own.deployments.remember(deployment, world.now);
    Ok(())
}

async fn delete(cluster: &Cluster, namespace: &str, job: &str) -> Result<(), Miss> {
    let api = Api::<Job>::namespaced(cluster.client.clone(), namespace);
    cluster.own.jobs.forget(namespace, job);
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
    fn of(self, reason: Reason, what: &str) -> Miss {
        let why = match self {
            Self::Exists => "it exists already".to_owned(),
            Self::NotFound(message) | Self::Other(message) => message,
        };
        let mut what = what.to_owned();
        if let Some(first) = what.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        Miss { reason, message: format!("{what}: {}.", why.trim_end_matches('.')) }
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
