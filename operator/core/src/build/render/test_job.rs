//! How are the tests of a build run? In a Job of their own beside the build's, the same with every engine:
//!
//! ```text
//! init source   (our image)        fetches the commit        -> /build/src
//! init modules  (the toolchain's)  where they are private    -> /cache/mod
//! test          (the toolchain's)  go test, no shell, no cgo -> the end of its output
//! ```
//!
//! On Windows nodes the same is two Jobs, of which the second waits for the first ([`super::relay`]).
//!
//! Tests are code of the source that runs: their pod passes Pod Security *restricted*, no Secret is mounted where they run, and no
//! compiler reads the cache that they write: private modules are there before a test runs. So they can do no more to the image than to hold it back.

use super::engine_go::FIXED;
use super::job::{git_secret, job_spec, module_secrets, owned_job, pod_spec, scratch, test_cache};
use super::modules;
use super::relay::{self, Relay};
use super::stages::{ForBuilder, TMP, literal, mount, part, read_only, restricted, source, variable};
use super::workspace::{Workspace, history};
use gowindows_crds::names::Role;
use gowindows_crds::v1alpha1::NodeSystem;
use gowindows_crds::{GoWindowsImage, names};
use gowindows_model::go::credentials::{self, Credentials};
use gowindows_model::inputs::InputList;
use gowindows_model::names::{part_name, test_job_name};
use gowindows_model::plan::BuildOrder;
use gowindows_model::request::Request;
use gowindows_model::settings::Settings;
use gowindows_model::wire::stages::{MODULES, SOURCE, TEST};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Container, PodSpec};
use kube_core::ResourceExt;
use std::collections::BTreeMap;
use std::time::Duration;

/// The Jobs that test what a build is of, in the order in which they are to be created: before the build's, which names the last one. A build
/// that names none that is there has lost it.
pub fn test_jobs(object: &GoWindowsImage, request: &Request, settings: &Settings, order: &BuildOrder) -> Vec<Job> {
    let uid = object.uid().unwrap_or_default();
    let build = order.job.clone();
    let name = test_job_name(&build);
    let limit = request.build.test;
    let claim = request.build.workspace.as_ref().filter(|_| request.test.system == NodeSystem::Windows);
    let Some(claim) = claim else {
        let pod = on_linux(object, request, settings, order);
        return vec![role_job(object, request, order, (name, Role::Test), request.build.source + limit, pod)];
    };
    let workspace = Workspace::Shared { claim, object: &uid, build: &build, history: history(object), job: &name };
    let relay = Relay { object, request, settings, order, workspace };
    let fetch = relay.fetch(part_name(&name, SOURCE), ForBuilder::default());
    let mut test = role_job(object, request, order, (name.clone(), Role::Test), limit, relay.tests());
    relay::waits_for(&mut test, &[&fetch]);
    vec![fetch, test]
}

/// A Job that is no build by itself.
pub(super) fn role_job(
    object: &GoWindowsImage,
    request: &Request,
    order: &BuildOrder,
    (name, role): (String, Role),
    limit: Duration,
    pod: PodSpec,
) -> Job {
    let fingerprint = order.inputs.fingerprint();
    let labels = BTreeMap::from([
        (names::LABEL_MANAGED_BY.to_owned(), names::MANAGED_BY.to_owned()),
        (names::LABEL_IMAGE_UID.to_owned(), object.uid().unwrap_or_default()),
        (names::LABEL_FINGERPRINT.to_owned(), fingerprint.get(..32).unwrap_or(fingerprint).to_owned()),
        (names::LABEL_ROLE.to_owned(), role.as_str().to_owned()),
    ]);
    let mut annotations = BTreeMap::from([(names::ANNOTATION_IMAGE.to_owned(), object.name_any())]);
    let spec = job_spec(request, limit, (labels.clone(), annotations.clone()), pod);
    annotations.insert(names::ANNOTATION_INPUTS.to_owned(), order.inputs.json().to_owned());
    owned_job(object, name, labels, annotations, spec)
}

fn on_linux(object: &GoWindowsImage, request: &Request, settings: &Settings, order: &BuildOrder) -> PodSpec {
    let volumes = [Workspace::OfPod.volume(), scratch("tmp"), test_cache(object, request)].into_iter();
    let volumes = volumes.chain(git_secret(request)).chain(module_secrets(order)).collect();
    let private = order.credentials.map(|credentials| private_modules(request, settings, order, credentials));
    let first = [source(request, settings, order, Workspace::OfPod, ForBuilder::default())].into_iter().chain(private).collect();
    pod_spec(request, settings, first, tests(request, settings, order), volumes)
}

/// Downloads what the tests need, for they themselves must not see the credentials.
fn private_modules(request: &Request, settings: &Settings, order: &BuildOrder, credentials: Credentials) -> Container {
    let InputList { compile, tests, .. } = &*order.inputs;
    let sources = credentials::environment(Some(credentials)).into_iter().chain(request.modules.sources(settings)).collect();
    let source = part("src", read_only("workspace", "/build/src"));
    Container {
        volume_mounts: Some(vec![source, mount("cache", "/cache"), mount("tmp", TMP), modules::mount()]),
        ..go(MODULES, compile.modules_argv(tests), sources, request, order)
    }
}

fn tests(request: &Request, settings: &Settings, order: &BuildOrder) -> Container {
    let InputList { compile, tests, .. } = &*order.inputs;
    let limit = request.build.test;
    let sources = match order.credentials {
        Some(_) => vec![("GOPROXY".to_owned(), "off".to_owned())],
        None => request.modules.sources(settings),
    };
    let sources = credentials::environment(None).into_iter().chain(sources).collect();
    Container {
        // Tests write beside their sources; nothing reads these afterwards.
        volume_mounts: Some(vec![part("src", mount("workspace", "/build/src")), mount("cache", "/cache"), mount("tmp", TMP)]),
        // The whole limit is the operator's: it can only end the pod, and not say which test hangs.
        ..go(TEST, compile.test_argv(tests, limit - limit / 4), sources, request, order)
    }
}

/// The go command in the module's folder.
fn go(name: &str, argv: Vec<String>, sources: Vec<(String, String)>, request: &Request, order: &BuildOrder) -> Container {
    let InputList { sub_path, compile, .. } = &*order.inputs;
    let fixed = FIXED.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Container {
        name: name.into(),
        image: Some(order.inputs.toolchain_of_tests().clone()),
        command: Some(argv.iter().map(|word| literal(word)).collect()),
        env: Some(sources.into_iter().chain(fixed).chain(compile.test_environment(NodeSystem::Linux)).map(variable).collect()),
        resources: Some(request.build.resources.clone()),
        security_context: Some(restricted()),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        working_dir: Some(if sub_path == "." { "/build/src".into() } else { format!("/build/src/{sub_path}") }),
        ..Container::default()
    }
}
