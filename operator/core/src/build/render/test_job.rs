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

use super::engine_go::{Command, container};
use super::job::{git_secret, job_spec, module_secrets, owned_job, pod_spec, scratch, test_cache};
use super::modules;
use super::relay::{self, Relay};
use super::stages::{CACHE, ForBuilder, TMP, mount, part, source};
use super::workspace::{Workspace, history};
use gowindows_crds::names::Role;
use gowindows_crds::v1alpha1::NodeSystem;
use gowindows_crds::{GoWindowsImage, names};
use gowindows_model::inputs::InputList;
use gowindows_model::names::{part_name, test_job_name};
use gowindows_model::plan::BuildOrder;
use gowindows_model::request::Request;
use gowindows_model::settings::Settings;
use gowindows_model::wire::stages::{SOURCE, TEST};
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
    let volumes = volumes.chain(git_secret(order)).chain(module_secrets(order)).collect();
    let private = modules::of_tests(request, settings, order);
    let first = [source(request, settings, order, Workspace::OfPod, ForBuilder::default())].into_iter().chain(private).collect();
    pod_spec(request, settings, first, tests(request, settings, order), volumes)
}

fn tests(request: &Request, settings: &Settings, order: &BuildOrder) -> Container {
    let InputList { compile, tests, .. } = &*order.inputs;
    let limit = request.build.test;
    let command = Command {
        toolchain: order.inputs.toolchain_of_tests(),
        // The whole limit is the operator's: it can only end the pod, and not say which test hangs.
        argv: compile.test_argv(tests, limit - limit / 4),
        sources: modules::sources(request, settings, order),
        environment: compile.test_environment(NodeSystem::Linux),
    };
    // Tests write beside their sources; nothing reads these afterwards.
    let mounts = vec![part("src", mount("workspace", "/build/src")), mount("cache", CACHE), mount("tmp", TMP)];
    Container { volume_mounts: Some(mounts), ..container(TEST, command, request, order) }
}
