//! What a target's pod template is told that it misses, and what that changes.

use super::*;
use std::time::Duration;

/// A Deployment that is complete: for Windows nodes, with nothing to tolerate.
pub(super) fn deployment(image: &str) -> Workload {
    Workload {
        kind: TargetKind::Deployment,
        name: "shop".into(),
        uid: "d".into(),
        containers: vec![WorkloadContainer {
            name: "app".into(),
            image: image.into(),
            applied_by: None,
            processors_untold: false,
            memory_untold: false,
        }],
        placement: placement(json!({"nodeSelector": {"kubernetes.io/os": "windows"}})),
        progress_deadline: None,
        paused: false,
        observed: true,
        replicas: 1,
        updated: 1,
        available: 1,
        total: 1,
        stuck: None,
        pod_troubles: vec![],
    }
}

pub(super) fn placement(mut pod: Value) -> Placement {
    pod["containers"] = json!([]);
    Placement::of(&serde_json::from_value(pod).expect("a pod"))
}

fn node(name: &str, os_version: &str, taint: Option<&str>) -> WindowsNode {
    let taint = taint.map(|key| Taint { key: key.into(), value: "windows".into(), effect: "NoSchedule".into() });
    WindowsNode { name: name.into(), os_version: os_version.into(), taints: taint.into_iter().collect(), ..WindowsNode::default() }
}

/// What is told of a workload that runs the published image.
fn told(patch: Value, nodes: Nodes, change: impl FnOnce(&mut Workload), cold: i64) -> Vec<String> {
    let platform = gowindows_crds::v1alpha1::PlatformStatus { os_version: "10.0.20348.5499".into(), ..Default::default() };
    let pull_bytes = Some(gowindows_crds::v1alpha1::PullBytes { base_cached: 1, cold });
    let image = ImageStatus { platforms: vec![platform], pull_bytes, ..image() };
    let mut world = with_job(world(patch), succeeded());
    let mut workload = deployment(&image.reference);
    change(&mut workload);
    (world.workloads, world.nodes) = (vec![Some(workload)], nodes.into());
    let plan = settle(&mut world, Some(&image));
    let [target] = &plan.verdicts.rollout.targets[..] else { panic!("one target: {:?}", plan.verdicts.rollout.targets) };
    assert_eq!(target.phase, RolloutPhase::Complete, "what it misses is in nobody's way");
    report(&mut world, &plan);
    let status = world.status();
    let shown = &status.rollout.as_ref().expect("a rollout").targets[0].warnings;
    assert_eq!(shown, &target.warnings);
    let rolled = find(&status.conditions, ConditionType::RolledOut).expect("RolledOut");
    assert!(rolled.status == "True" && shown.iter().all(|warning| rolled.message.contains(warning)), "{}", rolled.message);
    target.warnings.clone()
}

#[test]
fn a_complete_template_misses_nothing() {
    let nodes = vec![node("a", "10.0.20348.1", None), node("b", "10.0.26100.1", Some("other")), node("c", "10.0.17763.1", Some("old"))];
    assert_eq!(told(json!({}), Nodes::Seen(nodes), |_| {}, 1), [""; 0]);
    assert_eq!(told(json!({}), Nodes::Seen(vec![]), |_| {}, 1), [""; 0], "there may be nodes later");
    let hasty = |workload: &mut Workload| workload.progress_deadline = Some(Duration::from_secs(600));
    assert_eq!(told(json!({}), Nodes::Hidden("no right".into()), hasty, 1), [""; 0], "Nano Server is pulled in time");
}

#[test]
fn each_thing_that_is_missing_is_named_with_its_remedy() {
    type Case = (&'static str, Vec<WindowsNode>, fn(&mut Workload), i64, &'static [&'static str]);
    let cases: [Case; 6] = [
        ("Linux", vec![], |workload| workload.placement = placement(json!({})), 1, &["Linux nodes", "kubernetes.io/os: windows"]),
        (
            "a node that cannot run it",
            vec![node("old", "10.0.17763.1", None), node("a", "10.0.20348.1", None), node("b", "10.0.26100.1", None)],
            |_| {},
            1,
            &["old (10.0.17763.1)", "10.0.20348, 10.0.26100", "node.kubernetes.io/windows-build"],
        ),
        ("a taint", vec![node("a", "10.0.20348.1", Some("os"))], |_| {}, 1, &["tolerate the taint os=windows:NoSchedule"]),
        (
            "processors",
            vec![],
            |workload| workload.containers[0].processors_untold = true,
            1,
            &["container app", "GOMAXPROCS", "limits.cpu"],
        ),
        ("memory", vec![], |workload| workload.containers[0].memory_untold = true, 1, &["container app", "GOMEMLIMIT"]),
        (
            "patience",
            vec![],
            |workload| workload.progress_deadline = Some(Duration::from_secs(600)),
            2_200_000_000,
            &["10m0s (progressDeadlineSeconds)", "20m0s of rollout.progressDeadline"],
        ),
    ];
    for (name, nodes, change, cold, says) in cases {
        let told = told(json!({}), Nodes::Seen(nodes), change, cold);
        assert!(told.len() == 1 && says.iter().all(|word| told[0].contains(word)), "{name}: {told:?}");
    }
}

#[test]
fn what_the_image_sets_is_told() {
    let env = json!({"spec": {"image": {"env": [{"name": "GoMaxProcs", "value": "1"}, {"name": "GOMEMLIMIT", "value": "1MiB"}]}}});
    let untold = |workload: &mut Workload| {
        (workload.containers[0].processors_untold, workload.containers[0].memory_untold) = (true, true);
    };
    assert_eq!(told(env, Nodes::Seen(vec![]), untold, 1), [""; 0]);
}
