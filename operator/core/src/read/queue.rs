//! Which Jobs run, and which queue for a slot?
//!
//! A Job that queues was created suspended, so its place outlives whoever looks. It is in the queue once the Jobs that it waits for have
//! succeeded, and only while its object would have it: a place that nobody wants must not hold up the others.

use gowindows_crds::names;
use gowindows_crds::v1alpha1::NodeSystem;
use gowindows_model::facts::{Queue, QueuedJob};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::jiff::Timestamp;
use kube_core::ResourceExt;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The Jobs of these that run or queue. `wanted` says whether a Job's object would have it, and none for one that is no object's: that takes
/// no slot, whatever its labels say.
pub fn queue(jobs: &[Arc<Job>], wanted: impl Fn(&Job) -> Option<bool>) -> Queue {
    let complete: BTreeSet<(String, String)> =
        jobs.iter().filter(|job| has_condition(job, "Complete")).map(|job| (job.namespace().unwrap_or_default(), job.name_any())).collect();
    let in_queue = |job: &Arc<Job>| {
        if has_condition(job, "Complete") || has_condition(job, "Failed") {
            return None;
        }
        let (namespace, annotations) = (job.namespace().unwrap_or_default(), job.annotations());
        let spec = job.spec.as_ref()?;
        let runs = spec.suspend != Some(true);
        let ended = spec.parallelism == Some(0) && job.status.as_ref().and_then(|status| status.active).unwrap_or_default() == 0;
        let after = annotations.get(names::ANNOTATION_AFTER).into_iter().flat_map(|names| names.split(','));
        let ready = after.into_iter().all(|other| complete.contains(&(namespace.clone(), other.to_owned())));
        let wanted = wanted(job)?;
        let queues = annotations.contains_key(names::ANNOTATION_QUEUED) && job.metadata.deletion_timestamp.is_none() && ready && wanted;
        let system = if crate::read::is_on_windows(job) { NodeSystem::Windows } else { NodeSystem::Linux };
        let created = job.creation_timestamp().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
        (if runs { !ended } else { queues }).then(|| QueuedJob { namespace, job: job.name_any(), system, created, runs })
    };
    Queue { jobs: jobs.iter().filter_map(in_queue).collect() }
}

fn has_condition(job: &Job, kind: &str) -> bool {
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == kind && condition.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn job(name: &str, suspended: bool, annotations: Value, status: Value) -> Arc<Job> {
        let job = json!({
            "metadata": {"name": name, "namespace": "team", "annotations": annotations},
            "spec": {"suspend": suspended, "template": {"spec": {"containers": []}}},
            "status": status,
        });
        Arc::new(serde_json::from_value(job).expect("a Job"))
    }

    #[test]
    fn who_waits_for_others_or_is_not_wanted_is_not_in_the_queue() {
        let (queued, none) = (json!({names::ANNOTATION_QUEUED: "linux"}), json!({}));
        let after = |job: &str| json!({names::ANNOTATION_QUEUED: "linux", names::ANNOTATION_AFTER: job});
        let complete = json!({"conditions": [{"type": "Complete", "status": "True"}]});
        let mut stopped = (*job("stopped", false, queued.clone(), none.clone())).clone();
        stopped.spec.as_mut().expect("a spec").parallelism = Some(0);
        let jobs = [
            job("runs", false, none.clone(), none.clone()),
            job("waits", true, queued.clone(), none.clone()),
            job("somebody-elses-queue", true, none.clone(), none.clone()),
            job("done", false, queued.clone(), complete),
            job("second", true, after("done"), none.clone()),
            job("third", true, after("second"), none.clone()),
            job("lost", true, after("gone"), none.clone()),
            job("unwanted", true, queued.clone(), none.clone()),
            job("unwanted-that-runs", false, none.clone(), none.clone()),
            job("nobodys", true, queued, none.clone()),
            job("nobodys-that-runs", false, none.clone(), none),
            Arc::new(stopped),
        ];
        let queue = queue(&jobs, |job| (!job.name_any().starts_with("nobodys")).then_some(!job.name_any().starts_with("unwanted")));
        let seen: Vec<(&str, bool)> = queue.jobs.iter().map(|job| (job.job.as_str(), job.runs)).collect();
        assert_eq!(seen, [("runs", true), ("waits", false), ("second", false), ("unwanted-that-runs", true)]);
    }
}
