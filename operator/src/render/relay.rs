//! How is a program compiled on a node of another system than the one that assembles? In three Jobs, each of which hands its files on:
//!
//! ```text
//! <build>-source   Linux    fetches the commit          -> src, source.json
//! <build>-compile  Windows  go build, no shell, no cgo  -> out
//! <build>          Linux    assembles, pushes           -> termination message
//! ```
//!
//! All are created at once, and the last two are suspended: the operator resumes each when the one before it has succeeded. The last one is the
//! build; it names the others, so a build that is there has been created whole.

use super::job::{BuildOrder, COMPILE, Program, SOURCE, TEST, build_job, cache, git_secret, job, pod_spec};
use super::job::{cache_claim, registry_secrets, scratch, test_cache_claim, with_identity};
use super::stages::{ForBuilder, assemble, mount, source};
use super::test_job::role_job;
use super::windows_pod::{self, CACHE, TMP};
use super::workspace::Workspace;
use super::{job_name, part_name};
use crate::decide::{Inputs, Request};
use crate::settings::Settings;
use gowindows_crds::v1alpha1::NodeSystem;
use gowindows_crds::{GoWindowsImage, names};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Container, PodSpec};
use kube::ResourceExt;
use std::time::Duration;

/// The Jobs of a build in the order in which they are to be created; the last one is the build.
pub fn build_jobs(object: &GoWindowsImage, request: &Request, settings: &Settings, order: &BuildOrder<'_>) -> Vec<Job> {
    // A program that is known is compiled nowhere.
    let claim = request.build.workspace.as_ref().filter(|_| request.build.system == NodeSystem::Windows && order.known_program.is_none());
    let Some(claim) = claim else { return vec![job(object, request, settings, order)] };
    let uid = object.uid().unwrap_or_default();
    let name = job_name(&object.name_any(), &uid, &order.inputs.fingerprint(), order.attempt, order.rebuild_token);
    let workspace = Workspace::Shared { claim, object: &uid, build: &name, job: &name };

    let fetch = fetch(object, request, settings, order, workspace, part_name(&name, SOURCE));
    let pod = compile(object, request, settings, order, workspace);
    let mut make = part(object, request, order, part_name(&name, COMPILE), request.build.compile, pod);
    waits_for(&mut make, &[&fetch]);

    let volumes = [workspace.volume(), scratch("tmp")].into_iter().chain(registry_secrets(request)).collect();
    let pod = pod_spec(request, settings, vec![], assemble(request, settings, order, workspace, &Program::File), volumes);
    let mut last = build_job(object, request, order, request.build.push, with_identity(request, pod));
    waits_for(&mut last, &[&fetch, &make]);
    vec![fetch, make, last]
}

/// The Job that brings the source into a workspace.
pub(super) fn fetch(
    object: &GoWindowsImage,
    request: &Request,
    settings: &Settings,
    order: &BuildOrder<'_>,
    workspace: Workspace<'_>,
    name: String,
) -> Job {
    let volumes = [workspace.volume(), scratch("tmp")].into_iter().chain(git_secret(request)).collect();
    let pod = pod_spec(request, settings, vec![], source(request, settings, order, workspace, ForBuilder::default()), volumes);
    part(object, request, order, name, request.build.source, pod)
}

fn compile(object: &GoWindowsImage, request: &Request, settings: &Settings, order: &BuildOrder<'_>, workspace: Workspace<'_>) -> PodSpec {
    let Inputs { compile, toolchain, .. } = order.inputs;
    let environment = request.modules.sources(settings).into_iter().chain(compile.environment()).collect();
    let container = Container {
        image: Some(toolchain.clone()),
        volume_mounts: Some(vec![workspace.mount_on_windows(), mount("cache", CACHE), mount("tmp", TMP)]),
        ..windows_pod::go(COMPILE, &compile.argv(&workspace.on_windows("out/")), environment, module(order, workspace), request)
    };
    let volumes = vec![workspace.volume(), cache(cache_claim(object, request)), scratch("tmp")];
    windows_pod::pod_spec(request, container, volumes, &order.windows_versions)
}

/// The pod that tests. It cannot write where the compiler reads, nor where it has left the program.
pub(super) fn tests(
    object: &GoWindowsImage,
    request: &Request,
    settings: &Settings,
    order: &BuildOrder<'_>,
    workspace: Workspace<'_>,
) -> PodSpec {
    let Inputs { compile, tests, .. } = order.inputs;
    let limit = request.build.test;
    let environment = request.modules.sources(settings).into_iter().chain(compile.test_environment(NodeSystem::Windows)).collect();
    let argv = compile.test_argv(tests, limit - limit / 4);
    let container = Container {
        image: Some(order.inputs.toolchain_of_tests().clone()),
        volume_mounts: Some(vec![workspace.read_on_windows(), mount("cache", CACHE), mount("tmp", TMP)]),
        ..windows_pod::go(TEST, &argv, environment, module(order, workspace), request)
    };
    let volumes = vec![workspace.volume(), cache(test_cache_claim(object, request)), scratch("tmp")];
    windows_pod::pod_spec(request, container, volumes, &order.windows_versions)
}

/// The module's folder, as Windows spells it.
fn module(order: &BuildOrder<'_>, workspace: Workspace<'_>) -> String {
    let sub_path = &order.inputs.sub_path;
    workspace.on_windows(&if sub_path == "." { "src".to_owned() } else { format!("src/{sub_path}") })
}

/// A Job that is a part of a build.
fn part(object: &GoWindowsImage, request: &Request, order: &BuildOrder<'_>, name: String, limit: Duration, pod: PodSpec) -> Job {
    let mut job = role_job(object, request, order, (name, names::ROLE_PART), limit, pod);
    job.annotations_mut().insert(names::ANNOTATION_ENGINE.to_owned(), format!("{:?}", request.build.engine.kind()));
    job
}

/// Whether a Job's pod is for Windows nodes.
pub fn is_on_windows(job: &Job) -> bool {
    let pod = job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    pod.and_then(|pod| pod.os.as_ref()).is_some_and(|os| os.name == "windows")
}

/// Suspends a Job until others have succeeded.
pub(super) fn waits_for(job: &mut Job, others: &[&Job]) {
    let names: Vec<String> = others.iter().map(|other| other.name_any()).collect();
    job.annotations_mut().insert(names::ANNOTATION_AFTER.to_owned(), names.join(","));
    job.spec.get_or_insert_default().suspend = Some(true);
}
