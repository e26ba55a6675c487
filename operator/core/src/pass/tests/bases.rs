//! The choice of bases, each from nodes that are written down.

use super::*;
use gowindows_model::access::Access;

const TAG: &str = "registry.example.com/nanoserver:ltsc2022";
const REPOSITORY: &str = "registry.example.com/nanoserver";

fn digest(number: u8) -> String {
    format!("sha256:{:064x}", number)
}

/// A node of a version that has the bases of these numbers.
fn node(name: &str, os_version: &str, has: &[u8]) -> WindowsNode {
    let images = has.iter().map(|number| vec![format!("{REPOSITORY}@{}", digest(*number)), format!("{REPOSITORY}:ltsc2022")]).collect();
    WindowsNode { name: name.into(), os_version: os_version.into(), images, ..WindowsNode::default() }
}

/// Decides in a world with these nodes; every base of the table can be resolved, by digest and by the tags given.
fn decided(patch: Value, nodes: Nodes, tags: &[(&str, u8)]) -> (World, Plan) {
    decided_for(patch, nodes, tags, None)
}

/// The same with a target.
fn decided_for(patch: Value, nodes: Nodes, tags: &[(&str, u8)], workload: Option<Workload>) -> (World, Plan) {
    let versions = [(1, "10.0.20348.100"), (2, "10.0.20348.200"), (3, "10.0.20348.300"), (4, "10.0.26100.50"), (5, "10.0.17763.7")];
    let version = |number: u8| versions.iter().find(|(of, _)| *of == number).expect("a version").1;
    let mut world = World { nodes: nodes.into(), workloads: vec![workload], ..world(patch) };
    world.answers.bases.clear();
    let by_digest = versions.iter().map(|(number, _)| (format!("{REPOSITORY}@{}", digest(*number)), *number));
    let by_tag = tags.iter().map(|(tag, number)| (format!("{REPOSITORY}:{tag}"), *number));
    for (reference, number) in by_digest.chain(by_tag) {
        world.answers.bases.insert(reference, Seen::Fresh(resolved(&digest(number), version(number)), at(0)));
    }
    let plan = settle(&mut world, None);
    (world, plan)
}

fn bases(plan: &Plan) -> Vec<String> {
    plan.verdicts.build.inputs.as_ref().map(|inputs| inputs.assembly.bases.clone()).unwrap_or_default()
}

#[test]
fn the_newest_that_no_node_is_older_than_and_that_all_have() {
    let table: [(&str, Vec<WindowsNode>, u8, u8, &str); 11] = [
        ("no node", vec![], 3, 3, "as its tag has it"),
        ("as new as the base", vec![node("a", "10.0.20348.300", &[3])], 3, 3, "on 1 of 1 nodes"),
        (
            "newer",
            vec![node("a", "10.0.20348.999", &[])],
            3,
            3,
            "not newer than the oldest node of its build (a: 10.0.20348.999); on 0 of 1",
        ),
        (
            "older: the base of its own version",
            vec![node("a", "10.0.20348.200", &[])],
            3,
            2,
            "10.0.20348.200, in place of what its tag has",
        ),
        ("older, and has one", vec![node("a", "10.0.20348.150", &[1])], 3, 1, "10.0.20348.100, in place of what its tag has; not newer"),
        (
            "the oldest one counts",
            vec![node("b", "10.0.20348.300", &[3]), node("a", "10.0.20348.200", &[2])],
            3,
            2,
            "oldest node of its build (a:",
        ),
        ("all have the one before", vec![node("a", "10.0.20348.300", &[2]), node("b", "10.0.20348.300", &[2])], 3, 2, "on 2 of 2 nodes"),
        ("only some have it", vec![node("a", "10.0.20348.300", &[2]), node("b", "10.0.20348.300", &[])], 3, 3, "on 0 of 2 nodes"),
        ("the newest that all have", vec![node("a", "10.0.20348.300", &[1, 2])], 3, 2, "on 1 of 1 nodes"),
        ("a later build runs it too", vec![node("a", "10.0.26100.50", &[])], 3, 3, "nodes of its own build there are none; on 0 of 1"),
        (
            "none is old enough",
            vec![node("a", "10.0.20348.50", &[1])],
            3,
            1,
            "newer than node a (10.0.20348.50), which may refuse it (0xc0370106)",
        ),
    ];
    for (name, nodes, tagged, chosen, says) in table {
        let (_, plan) = decided(json!({}), Nodes::Seen(nodes), &[("ltsc2022", tagged), ("10.0.20348.200", 2)]);
        assert_eq!(bases(&plan), [format!("{TAG}@{}", digest(chosen))], "{name}");
        let why = plan.verdicts.build.inputs.and_then(|inputs| inputs.base_choice.clone()).unwrap_or_default();
        assert!(why.starts_with("ltsc2022 is 10.0.20348.") && why.contains(says), "{name}: {why}");
    }
}

#[test]
fn a_good_tag_is_all_that_is_asked_for() {
    let (world, _) = decided(json!({}), Nodes::Seen(vec![node("a", "10.0.20348.300", &[3, 2])]), &[("ltsc2022", 3)]);
    let asked: Vec<_> = world.answers.asked.iter().filter(|question| matches!(question, Question::Base { reference: _, .. })).collect();
    assert_eq!(asked, [&Question::Base { reference: TAG.into(), access: Access::Anonymous }]);
}

#[test]
fn nodes_that_cannot_be_seen_change_nothing_and_that_is_said() {
    let (_, plan) = decided(json!({}), Nodes::Hidden("no right".into()), &[("ltsc2022", 3)]);
    assert_eq!(bases(&plan), [format!("{TAG}@{}", digest(3))]);
    let why = plan.verdicts.build.inputs.and_then(|inputs| inputs.base_choice.clone()).expect("a reason");
    assert!(why.ends_with("nodes are not looked at: no right"), "{why}");
}

#[test]
fn nodes_that_take_no_pods_of_the_targets_do_not_count() {
    let tainted = |name: &str, version: &str| WindowsNode {
        taints: vec![Taint { key: "team".into(), value: "other".into(), effect: "NoSchedule".into() }],
        ..node(name, version, &[])
    };
    let nodes = || vec![tainted("theirs", "10.0.20348.50"), node("ours", "10.0.20348.250", &[2])];
    let choice = |workload: Option<Workload>, nodes: Vec<WindowsNode>| {
        let (_, plan) =
            decided_for(json!({}), Nodes::Seen(nodes), &[("ltsc2022", 3), ("10.0.20348.250", 2), ("10.0.20348.50", 1)], workload);
        let why = plan.verdicts.build.inputs.as_ref().and_then(|inputs| inputs.base_choice.clone()).expect("a reason");
        (bases(&plan), why)
    };
    let chosen = |number: u8| [format!("{TAG}@{}", digest(number))];
    let tolerant = |pod: Value| Some(Workload { placement: placement(pod), ..deployment("old:1") });
    let (bases, why) = choice(tolerant(json!({})), nodes());
    assert!(bases == chosen(2) && why.contains("1 of 2 Windows nodes take no pods of the targets") && why.contains("(theirs)"), "{why}");
    let all = [
        ("no target is there yet", choice(None, nodes())),
        ("it tolerates the taint", choice(tolerant(json!({"tolerations": [{"operator": "Exists"}]})), nodes())),
        ("no node is left", choice(tolerant(json!({"nodeSelector": {"kubernetes.io/os": "linux"}})), nodes())),
    ];
    for (name, (bases, why)) in all {
        assert!(bases == chosen(1) && !why.contains("take no pods"), "{name}: {bases:?} {why}");
    }
}

#[test]
fn what_nodes_have_is_looked_for_by_release() {
    let named = |tag: &str, number: u8| vec![format!("{REPOSITORY}@{}", digest(number)), format!("{REPOSITORY}:{tag}")];
    let images = vec![named("ltsc2019", 5), named("10.0.20348.100", 1), vec![format!("{REPOSITORY}@{}", digest(4))], named("other", 2)];
    let nodes = vec![WindowsNode { images, ..node("a", "10.0.20348.250", &[]) }];
    let (world, plan) = decided(json!({}), Nodes::Seen(nodes), &[("ltsc2022", 3)]);
    assert_eq!(bases(&plan), [format!("{TAG}@{}", digest(1))], "by its version's tag; another release is none");
    let asked = |reference: String| world.answers.asked.contains(&Question::Base { reference, access: Access::Anonymous });
    assert!(asked(format!("{REPOSITORY}@{}", digest(4))), "a name without a tag may be of any release");
    assert!(!asked(format!("{REPOSITORY}@{}", digest(5))) && !asked(format!("{REPOSITORY}@{}", digest(2))), "{:?}", world.answers.asked);
    assert!(asked(format!("{REPOSITORY}:10.0.20348.250")), "the tag of the node's own version, which there is not");
}

#[test]
fn releases_that_no_node_could_run_are_refused_or_noted() {
    let releases = |names: &[&str]| json!({"spec": {"image": {"base": {"releases": names}}}});
    let old = || vec![node("old", "10.0.17763.7", &[])];
    let new = || vec![node("new", "10.0.26100.50", &[])];
    let tags = [("ltsc2019", 5), ("ltsc2022", 3), ("ltsc2025", 4)];
    let table: [(Value, Nodes, Option<&[&str]>); 9] = [
        (
            releases(&["ltsc2022", "ltsc2019"]),
            Nodes::Seen(new()),
            Some(&["image.base.releases: ltsc2019", "ltsc2025 (10.0.26100.50)", "image.base.image"]),
        ),
        (releases(&["ltsc2019"]), Nodes::Seen(vec![]), Some(&["ltsc2019", "there are: none"])),
        (releases(&["10.0.17763.7"]), Nodes::Seen(new()), Some(&["10.0.17763.7"])),
        (releases(&["ltsc2019"]), Nodes::Seen(old()), None),
        (releases(&["ltsc2019"]), Nodes::Hidden("no right".into()), None),
        (releases(&["ltsc2025"]), Nodes::Seen(old()), None),
        (json!({}), Nodes::Seen(old()), Some(&["image.base.releases is not set", "default ltsc2022", "ltsc2019 (10.0.17763.7)"])),
        (json!({}), Nodes::Seen(new()), None),
        (json!({}), Nodes::Seen(vec![]), None),
    ];
    for (patch, nodes, refused) in table {
        let (_, plan) = decided(patch.clone(), nodes.clone(), &tags);
        match (refused, &plan.verdicts.build.progress) {
            (None, BuildProgress::Starting { .. }) => {}
            (Some(says), BuildProgress::Blocked(trouble)) => {
                assert_eq!(trouble.reason, Reason::ReleaseWithoutNode);
                assert!(says.iter().all(|part| trouble.message.contains(part)), "{patch}: {}", trouble.message);
                assert!(started(&plan).is_none() && plan.next.is_some(), "it looks again: {plan:?}");
            }
            (_, verdict) => panic!("{patch} with {nodes:?}: {verdict:?}"),
        }
    }
}

#[test]
fn several_releases_are_chosen_each_by_its_own_nodes() {
    let nodes = vec![node("new", "10.0.26100.50", &[]), node("a", "10.0.20348.200", &[2]), node("old", "10.0.17763.7", &[])];
    let patch = json!({"spec": {"image": {"base": {"releases": ["ltsc2019", "ltsc2022", "ltsc2025"]}}}});
    let tags = [("ltsc2019", 5), ("ltsc2022", 3), ("ltsc2025", 4), ("10.0.20348.200", 2)];
    let (_, plan) = decided(patch, Nodes::Seen(nodes), &tags);
    let expected =
        [("ltsc2019", 5), ("ltsc2022", 2), ("ltsc2025", 4)].map(|(tag, number)| format!("{REPOSITORY}:{tag}@{}", digest(number)));
    assert_eq!(bases(&plan), expected);
}

/// What nodes do is no cause: not even when another base would be chosen by now.
#[test]
fn nodes_alone_never_start_a_build() {
    let mut world = settled_world();
    let before = world.object.status.clone();
    let node_lives = [
        vec![node("a", "10.0.20348.1", &[])],
        vec![node("a", "10.0.20348.9999", &[1]), node("b", "10.0.26100.50", &[])],
        vec![node("old", "10.0.17763.7", &[])],
        vec![],
    ];
    for nodes in node_lives {
        world.nodes = Nodes::Seen(nodes.clone()).into();
        let plan = settle(&mut world, None);
        assert_eq!((names_of(&plan), world.answers.asked.len()), (vec![], 0), "{nodes:?}");
        report(&mut world, &plan);
        assert_eq!(world.object.status.as_ref().map(|status| &status.inputs), before.as_ref().map(|status| &status.inputs));
    }
    world.object = Arc::new(object(json!({})));
    world.builds.clear();
    world.nodes = Nodes::Seen(vec![node("a", "10.0.20348.9999", &[])]).into();
    let plan = settle(&mut world, Some(&image()));
    let found = names_of(&plan).contains(&"MoveTags") && started(&plan).is_none();
    assert!(found, "with status and Jobs lost, the same inputs are found at the registry: {:?}", names_of(&plan));
}

#[test]
fn a_tag_that_moves_during_a_build_changes_nothing_until_the_next_one() {
    let mut world = with_job(world(json!({})), BuildState::Running);
    let before = world.builds[0].inputs.clone().expect("inputs");
    world.answers.bases.insert(BASE.into(), Seen::Fresh(resolved(&digest(9), "10.0.20348.9999"), world.now));
    let plan = settle(&mut world, None);
    assert_eq!((names_of(&plan), plan.verdicts.build.inputs.as_ref()), (vec![], Some(&before)));
    let mut done = world.clone();
    done.builds[0].state = succeeded();
    done.builds[0].finished = Some(at(60));
    let plan = settle(&mut done, Some(&image()));
    assert!(matches!(plan.verdicts.build.progress, BuildProgress::Published(_)), "{:?}", plan.verdicts.build.progress);
    report(&mut done, &plan);
    let recorded = done.object.status.clone().and_then(|status| status.inputs).expect("inputs");
    assert_eq!(recorded.bases, [format!("{BASE}@{DIGEST}")]);
    assert!(recorded.base_choice.is_some_and(|why| why.starts_with("ltsc2022 is 10.0.20348.5499")));
    done.answers.source = Seen::Fresh(Revision { name: "main".into(), commit: NEXT.into() }, done.now);
    let next = settle(&mut done, None);
    assert_eq!(bases(&next), [format!("{BASE}@{}", digest(9))], "the next build takes what the tag has then");
}

#[test]
fn a_release_of_the_image_that_no_node_runs_is_noted() {
    let platform = |version: &str| gowindows_crds::v1alpha1::PlatformStatus { os_version: version.into(), ..Default::default() };
    let served = ImageStatus { platforms: vec![platform("10.0.26100.50"), platform("10.0.20348.300")], ..image() };
    let mut world = with_job(world(json!({})), succeeded());
    for (nodes, note) in [
        (Nodes::Seen(vec![node("a", "10.0.20348.300", &[])]), Some("No Windows node of this cluster runs ltsc2025.")),
        (Nodes::Seen(vec![node("a", "10.0.26100.50", &[])]), None),
        (Nodes::Hidden("no right".into()), None),
    ] {
        world.nodes = nodes.into();
        world.answers.asked.clear();
        world.answers.published.clear();
        let plan = settle(&mut world, Some(&served));
        assert_eq!(plan.verdicts.publish.note.as_deref(), note);
        let mut told = world.clone();
        report(&mut told, &plan);
        let conditions = told.object.status.clone().expect("a status").conditions;
        let published = conditions.iter().find(|condition| condition.type_ == "Published").expect("Published");
        assert_eq!(
            (published.status.as_str(), published.message.contains("No Windows node")),
            ("True", note.is_some()),
            "{}",
            published.message
        );
    }
}

pub(super) fn private_base() -> Value {
    json!({"spec": {"image": {"base": {"image": format!("{BASE}@{DIGEST}"), "pullSecretRef": {"name": "base-auth"}}}}})
}

#[test]
fn a_private_base_is_not_built_on_without_its_secret() {
    let patch = private_base();
    for reason in [Reason::SecretUnavailable, Reason::SecretInvalid] {
        let trouble = Trouble { reason, message: "Secret it is.".into(), at: at(1), times: 1 };
        let mut world = world(patch.clone());
        world.answers.bases.insert(format!("{BASE}@{DIGEST}"), Seen::Unknown(trouble));
        let plan = settle(&mut world, None);
        assert!(started(&plan).is_none(), "{plan:?}");
        assert!(matches!(&plan.verdicts.build.progress, BuildProgress::Blocked(trouble) if trouble.reason == reason), "{plan:?}");
    }
}
