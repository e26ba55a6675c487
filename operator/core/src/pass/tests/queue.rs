//! The queue for slots: who is next, and what is told to those who wait.

use super::*;
use crate::build::{admitted, places};
use gowindows_crds::v1alpha1::{NodeSystem, Phase};
use gowindows_model::settings::SlotSettings;
use std::collections::BTreeMap;

fn queued_job(namespace: &str, job: &str, second: i64, runs: bool) -> QueuedJob {
    QueuedJob { namespace: namespace.into(), job: job.into(), system: NodeSystem::Linux, created: at(second), runs }
}

fn linux(slots: u32) -> SlotSettings {
    SlotSettings { linux: Some(slots), windows: None }
}

fn next(jobs: &[QueuedJob], slots: SlotSettings) -> Vec<String> {
    let line = Queue { jobs: jobs.to_vec() };
    admitted(&line, slots)
        .into_iter()
        .filter(|job| job.system == NodeSystem::Linux)
        .map(|job| format!("{}/{}", job.namespace, job.job))
        .collect()
}

#[test]
fn the_next_slot_is_for_the_namespace_of_which_the_fewest_run() {
    let mut jobs = vec![
        queued_job("a", "1", 1, true),
        queued_job("a", "2", 2, false),
        queued_job("a", "3", 3, false),
        queued_job("b", "1", 4, false),
        queued_job("c", "1", 4, false),
        queued_job("c", "2", 5, false),
    ];
    let windows = QueuedJob { system: NodeSystem::Windows, ..queued_job("a", "w", 0, false) };
    jobs.push(windows.clone());
    let order = ["b/1", "c/1", "a/2", "c/2", "a/3"];
    for slots in 1..=6_usize {
        let slots_ = linux(u32::try_from(slots).expect("small"));
        assert_eq!(next(&jobs, slots_), order[..slots - 1], "{slots} slots, of which one is taken");
        jobs.rotate_left(1);
        assert_eq!(next(&jobs, slots_), order[..slots - 1], "the order is that of the Jobs, not of the list");
    }
    assert_eq!(next(&jobs, SlotSettings::default()).len(), 5, "where the limit was taken away all begin");
    assert_eq!(admitted(&Queue { jobs }, linux(1)), [&windows], "each system has slots of its own");
    // More run than there are slots now: nothing is stopped, and nothing begins.
    assert_eq!(
        next(&[queued_job("a", "1", 1, true), queued_job("a", "2", 1, true), queued_job("b", "1", 1, false)], linux(1)),
        Vec::<String>::new()
    );
}

#[test]
fn whoever_gets_slots_one_by_one_gets_them_in_the_order_that_was_told() {
    let mut jobs: Vec<QueuedJob> =
        (0..12).map(|n| queued_job(["a", "b", "c"][n % 3], &n.to_string(), i64::try_from(n / 5).expect("small"), false)).collect();
    let told = next(&jobs, linux(12));
    for next_job in &told {
        let running = u32::try_from(jobs.iter().filter(|job| job.runs).count()).expect("small");
        assert_eq!(next(&jobs, linux(running + 1)), std::slice::from_ref(next_job));
        let job = jobs.iter_mut().find(|job| format!("{}/{}", job.namespace, job.job) == *next_job).expect("it is there");
        job.runs = true;
    }
    assert_eq!(told.len(), 12, "everybody gets one");
}

fn with_slots(world: &mut World) -> Plan {
    settle_under(&Settings { slots: linux(1), ..settings() }, world, None)
}

#[test]
fn a_build_waits_for_its_slot_and_says_so() {
    let mut world = world(json!({}));
    let plan = with_slots(&mut world);
    let order = started(&plan).expect("a build");
    assert!(order.queued.linux, "its place is its creation");
    report(&mut world, &plan);
    world.builds.push(ordered(order, world.now));
    let own = queued_job("team", &order.job, 5, false);
    let jobs = vec![queued_job("other", "runs", 0, true), queued_job("third", "waits", 1, false), own];
    let mut queue = Queue { jobs };
    let place = places(&queue)[&("team".to_owned(), order.job.clone())];
    world.places = BTreeMap::from([(order.job.clone(), place)]);
    world.now = at(100_000);
    let waits = with_slots(&mut world);
    assert_eq!(names_of(&waits), Vec::<&str>::new(), "nor is it overdue: build.timeouts.queue begins with the slot");
    report(&mut world, &waits);
    let status = world.status();
    assert_eq!((status.phase, status.build.as_ref().and_then(|build| build.queue_position)), (Some(Phase::Queued), Some(2)));
    let said = &find(&status.conditions, ConditionType::Built).expect("Built").message;
    assert!(said.contains("it is number 2 of 2 in the queue for a slot on Linux nodes, where 1 run"), "{said}");
    // The slot is free: it is for the first, whoever's that is.
    queue.jobs.remove(0);
    assert_eq!(admitted(&queue, linux(1)).into_iter().map(|job| job.job.as_str()).collect::<Vec<_>>(), ["waits"]);
    // Without slots nothing is as it was before there were any.
    let mut unlimited = super::world(json!({}));
    let plan = settle(&mut unlimited, None);
    assert_eq!(super::started(&plan).map(|order| order.queued), Some(Queued::default()));
}
