//! How far are the pods of builds? Each of their stages takes its time and ends as the commit that it is made of.

use super::{Cluster, Step, writer};
use crate::outside::Program;
use crate::pods::{self, Ended};
use crate::stage::{NAMESPACE, Stage};
use gowindows_crds::names::{self, Role};
use gowindows_model::wire::assemble::AssembleRequest;
use gowindows_model::wire::source::SourceRequest;
use gowindows_tests::fake_apiserver::Key;
use gowindows_tests::fake_apiserver::kinds::by_name;
use serde_json::{Value, json};

impl Cluster {
    /// A build pod: `stage` stages have ended, the next one begins.
    pub(super) fn stage(&mut self, pod: Key, number: usize) {
        let stage = self.stage.clone();
        let Some(object) = stage.server.within(|store| store.get(&pod).map(|stored| stored.object.clone())) else { return };
        match Role::of_label(object["metadata"]["labels"][names::LABEL_ROLE].as_str()) {
            Some(Role::Test) => return self.test_stage(pod, number, &object),
            Some(Role::Part) => return self.part(pod, number, &object),
            Some(Role::Build) | None => {}
        }
        let assemble = request::<AssembleRequest>(&object, "assemble");
        if let (None, Some(assemble)) = (request::<SourceRequest>(&object, "source"), &assemble) {
            return self.last_part(pod, number, &object, assemble);
        }
        let (source, assemble) = (request::<SourceRequest>(&object, "source"), request::<AssembleRequest>(&object, "assemble"));
        let (Some(source), Some(assemble)) = (source, assemble) else { return };
        let program = stage.outside.program(&source.commit);
        let owner = object["metadata"]["labels"][names::LABEL_IMAGE_UID].as_str().unwrap_or_default().to_owned();
        let stages = pods::stages(&object);
        let known = assemble.reused_program.as_ref().map(|known| stage.outside.served(known.image.split('@').nth(1).unwrap_or_default()));
        let begins = stages.get(number).map(String::as_str);
        let ended = match (begins, program, known) {
            (Some("assemble"), Program::Broken, None) => {
                Some(Ended::Failed { stage: number - 1, exit: 1, says: "./main.go:7:2: undefined: bread".into() })
            }
            (Some("assemble"), Program::Hungry, None) if memory(&object["spec"]["initContainers"][number - 1]) <= 4 << 30 => {
                Some(Ended::OutOfMemory { stage: number - 1 })
            }
            (None, _, Some(None)) => {
                let failure = json!({"failure": {"reason": "ProgramUnavailable", "message": "it is gone", "transient": false}});
                Some(Ended::Failed { stage: number - 1, exit: 1, says: failure.to_string() })
            }
            (None, _, known) => {
                if !assemble.tag.starts_with("gw-untested-") && is_gated(&stage, &object) && !stage.outside.has_passed(&source.commit) {
                    stage.invariants().breaks(format!("I14: {} is pushed, and its tests have not passed", assemble.tag));
                }
                let ldflags = known.flatten().map_or_else(|| ldflags(&object), |known| known.ldflags);
                let digest = stage.outside.push(&assemble.repository, &assemble.tag, &source.commit, ldflags, &owner, stage.clock()());
                Some(Ended::Succeeded(
                    json!({"digest": digest, "binary": {"name": "shop.exe", "bytes": 9_000_000, "sha256": "0".repeat(64)}}).to_string(),
                ))
            }
            _ => None,
        };
        self.step(pod, number, &object, ended.as_ref());
    }

    /// The same of a pod that fetches, or compiles, for another one.
    fn part(&mut self, pod: Key, number: usize, object: &Value) {
        let stage = self.stage.clone();
        let compiles = object["spec"]["containers"][0]["name"] == "compile";
        let commit = inputs(&stage, object)["commit"].as_str().unwrap_or_default().to_owned();
        let ended = pods::stages(object).get(number).is_none().then(|| match stage.outside.program(&commit) {
            Program::Broken if compiles => Ended::Failed { stage: 0, exit: 1, says: ".\\main.go:7:2: undefined: bread".into() },
            _ => Ended::Succeeded(String::new()),
        });
        self.step(pod, number, object, ended.as_ref());
    }

    /// The same of a pod that assembles what others have left.
    fn last_part(&mut self, pod: Key, number: usize, object: &Value, assemble: &AssembleRequest) {
        let stage = self.stage.clone();
        let owner = object["metadata"]["labels"][names::LABEL_IMAGE_UID].as_str().unwrap_or_default().to_owned();
        let ended = pods::stages(object).get(number).is_none().then(|| {
            let (commit, flags) =
                (assemble.assembly.revision.clone().unwrap_or_default(), inputs(&stage, object)["compile"]["ldflags"].clone());
            let digest = stage.outside.push(&assemble.repository, &assemble.tag, &commit, vec![flags.to_string()], &owner, stage.clock()());
            Ended::Succeeded(json!({"digest": digest}).to_string())
        });
        self.step(pod, number, object, ended.as_ref());
    }

    /// The same of a pod that tests.
    fn test_stage(&mut self, pod: Key, number: usize, object: &Value) {
        let stage = self.stage.clone();
        let Some(source) = request::<SourceRequest>(object, "source") else { return };
        let ended = pods::stages(object).get(number).is_none().then(|| match stage.outside.program(&source.commit) {
            Program::Broken => Ended::Failed {
                stage: number - 1,
                exit: 1,
                says: "./main.go:7:2: undefined: bread\nFAIL\texample.com/shop [build failed]\nFAIL".into(),
            },
            Program::Untested => Ended::Failed {
                stage: number - 1,
                exit: 1,
                says: "--- FAIL: TestBread (0.00s)\n    bread_test.go:7: it is stale\nFAIL\nFAIL\texample.com/shop\t0.005s\nFAIL".into(),
            },
            Program::Good | Program::Crashes | Program::Hungry => {
                stage.outside.pass(&source.commit);
                Ended::Succeeded(String::new())
            }
        });
        self.step(pod, number, object, ended.as_ref());
    }

    /// Writes how far a pod is, and plans what comes next.
    fn step(&mut self, pod: Key, number: usize, object: &Value, ended: Option<&Ended>) {
        let stage = self.stage.clone();
        let now = (stage.clock())();
        stage.server.within(|store| {
            store.update(&writer("kubelet"), &pod, true, |pod| pods::at_stage(pod, number, ended, now)).ok();
        });
        if let Some(ended) = ended {
            let owner = object["metadata"]["ownerReferences"][0]["name"].as_str().unwrap_or_default();
            let (job, condition) = ((by_name("Job"), NAMESPACE.into(), owner.into()), pods::job_condition(ended));
            let wait = self.spread("count", &pod, 900, 1_400);
            self.later(wait, Step::Count { job, condition });
        } else {
            let (least, most) = match pods::stages(object).get(number).map(String::as_str) {
                Some("compile" | "test") => (2_000, 25_000),
                _ => (500, 3_000),
            };
            let wait = self.spread(&format!("stage {number}"), &pod, least, most);
            self.later(wait, Step::Stage { pod, stage: number + 1 });
        }
    }
}

/// Whether a build pod's image waits for tests, as its Job was made for.
fn is_gated(stage: &Stage, pod: &Value) -> bool {
    inputs(stage, pod)["tests"].is_array()
}

/// The inputs of the build whose Job has, or had, this pod: a pod outlives its Job by a moment, and what it makes is what it was made for.
fn inputs(stage: &Stage, pod: &Value) -> Value {
    let owner = pod["metadata"]["ownerReferences"][0]["name"].as_str().unwrap_or_default().to_owned();
    let key = (by_name("Job"), NAMESPACE.to_owned(), owner);
    let job = stage.server.within(|store| {
        let deleted = || store.changes_after(0).iter().rev().find(|change| change.key == key)?.old.clone();
        store.get(&key).cloned().or_else(deleted).map(|stored| stored.object.clone())
    });
    let inputs = job.and_then(|job| serde_json::from_str(job["metadata"]["annotations"][names::ANNOTATION_INPUTS].as_str()?).ok());
    inputs.unwrap_or_default()
}

/// What a stage of ours is told, from its arguments.
fn request<T: serde::de::DeserializeOwned>(pod: &Value, stage: &str) -> Option<T> {
    let spec = &pod["spec"];
    let containers = spec["initContainers"].as_array().into_iter().chain(spec["containers"].as_array()).flatten();
    let container = containers.into_iter().find(|container| container["name"] == stage)?;
    let args = container["args"].as_array()?;
    let place = args.iter().position(|arg| arg == "--request")?;
    serde_json::from_str(&args.get(place + 1)?.as_str()?.replace("$$", "$")).ok()
}

/// The limit of memory of a container.
fn memory(container: &Value) -> u64 {
    container["resources"]["limits"]["memory"].as_str().and_then(gowindows_crds::sizes::quantity).unwrap_or(u64::MAX)
}

/// The user's linker flags in the compiler's arguments.
fn ldflags(pod: &Value) -> Vec<String> {
    let compile = pod["spec"]["initContainers"].as_array().into_iter().flatten().filter(|container| container["name"] == "compile");
    let words = compile.flat_map(|compile| compile["command"].as_array()).flatten().filter_map(Value::as_str);
    words.filter(|word| word.contains("main.")).map(str::to_owned).collect()
}
