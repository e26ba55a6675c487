//! Which Jobs are a build and its tests?

use super::*;
use crate::pass::tests::gate::gate as tested;

fn tag_of(job: &Job) -> String {
    let pod = job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref()).expect("a pod");
    let request = pod.containers[0].args.as_ref().expect("arguments")[3].replace("$$", "$");
    serde_json::from_str::<gowindows_model::wire::assemble::AssembleRequest>(&request).expect("a request").tag
}

#[test]
fn the_tests_are_a_job_of_their_own_and_the_image_waits_for_them() {
    for engine in [json!({}), json!({"engine": "Kaniko"})] {
        let mut patch = tested();
        patch["spec"]["build"] = engine;
        patch["spec"]["build"]["cache"] = json!({"volume": {}});
        let mut world = world(patch);
        let plan = settle(&mut world, None);
        assert_eq!(names_of(&plan), ["CreateJob"]);
        assert_eq!(claims(&plan).len(), 2, "one for each of the two");
        let [test, job] = &jobs(&plan)[..] else { panic!("{:?}", writes(&plan)) };
        let name = test.metadata.name.clone().expect("a name");
        assert_eq!(job.metadata.annotations.as_ref().expect("annotations").get(names::ANNOTATION_TESTS), Some(&name));
        assert_eq!(name, format!("{}-test", job.metadata.name.as_ref().expect("a name")));
        assert_eq!(tag_of(job), plan.verdicts.build.inputs.as_ref().expect("inputs").untested_tag());
        assert!(build(test, &[]).is_none() && build(job, &[]).is_some(), "an older operator takes it for no build");
        assert_eq!(test.metadata.owner_references, job.metadata.owner_references);
    }
}

#[test]
fn the_pod_of_tests_is_restricted_and_sees_no_secret() {
    let mut patch = tested();
    let secrets = json!({"source": {"git": {"secretRef": {"name": "git"}}}, "image": {"pushSecretRef": {"name": "push"}}});
    merge(&mut patch["spec"], &secrets);
    patch["spec"]["build"] = json!({"timeouts": {"test": "4m"}});
    let mut world = world(patch);
    world.answers.git_login = Seen::Fresh(GitLogin { keys: vec!["username".into(), "password".into()], unbound: None }, at(0));
    let plan = settle(&mut world, None);
    let pod = jobs(&plan)[0].spec.clone().and_then(|spec| spec.template.spec).expect("a pod");
    assert_eq!(engines::above_restricted(&pod), Vec::<String>::new());
    let [test] = &pod.containers[..] else { panic!("{:?}", pod.containers) };
    assert_eq!(test.command.clone().expect("a command"), ["go", "test", "-failfast", "-timeout=180s", "-tags", "timetzdata", "./..."]);
    assert_eq!(test.image, Some(format!("r.example.com/go@{DIGEST}")));
    let mounted: Vec<_> = test.volume_mounts.iter().flatten().map(|mount| mount.name.as_str()).collect();
    assert_eq!(mounted, ["workspace", "cache", "tmp"]);
    let volumes = serde_json::to_string(&pod.volumes).expect("JSON");
    assert!(volumes.contains("\"git\"") && !volumes.contains("\"push\""), "{volumes}");
    let first: Vec<_> = pod.init_containers.iter().flatten().map(|container| container.name.as_str()).collect();
    assert_eq!(first, ["source"]);
}
