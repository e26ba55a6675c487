//! How is a program compiled on a node of another system than the one that assembles? In three Jobs, each of which hands its files on:
//!
//! ```text
//! <build>-source   Linux    fetches the commit                      -> src, source.json
//! <build>-compile  Windows  go build (no shell), or buildctl.exe     -> out
//! <build>          Linux    assembles, pushes                       -> termination message
//! ```
//!
//! All are created at once, and the last two are suspended: the operator resumes each when the one before it has succeeded. The last one is the
//! build; it names the others, so a build that is there has been created whole.

use super::engine_buildkit::Buildctl;
use super::job::{CompileStage, Program, build_job, cache, git_secret, job, pod_spec};
use super::job::{registry_secrets, scratch, test_cache, with_identity};
use super::stages::{ForBuilder, assemble, mount, source};
use super::test_job::role_job;
use super::windows_pod::{self, CACHE, TMP};
use super::workspace::{Workspace, history};
use gowindows_crds::names::Role;
use gowindows_crds::v1alpha1::NodeSystem;
use gowindows_crds::{GoWindowsImage, names};
use gowindows_model::inputs::InputList;
use gowindows_model::names::part_name;
use gowindows_model::plan::BuildOrder;
use gowindows_model::request::{Engine, Request};
use gowindows_model::settings::Settings;
use gowindows_model::wire::stages::{COMPILE, SOURCE, TEST};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Container, PodSpec, Volume};
use kube_core::ResourceExt;
use std::time::Duration;

/// Jobs in a row that are to be rendered, and what they share.
pub(super) struct Relay<'a> {
    pub(super) object: &'a GoWindowsImage,
    pub(super) request: &'a Request,
    pub(super) settings: &'a Settings,
    pub(super) order: &'a BuildOrder,
    pub(super) workspace: Workspace<'a>,
}

/// The Jobs of a build in the order in which they are to be created; the last one is the build.
pub fn build_jobs(object: &GoWindowsImage, request: &Request, settings: &Settings, order: &BuildOrder) -> Vec<Job> {
    // A program that is known is compiled nowhere.
    let claim = request.build.workspace.as_ref().filter(|_| request.build.system == NodeSystem::Windows && order.reused_program.is_none());
    let Some(claim) = claim else { return vec![job(object, request, settings, order)] };
    let uid = object.uid().unwrap_or_default();
    let name = order.job.clone();
    let workspace = Workspace::Shared { claim, object: &uid, build: &name, history: history(object), job: &name };
    Relay { object, request, settings, order, workspace }.build(&name)
}

impl Relay<'_> {
    fn build(&self, name: &str) -> Vec<Job> {
        let Self { object, request, settings, order, workspace } = self;
        let CompileStage { before: _, container, volumes, builder, program } = match &request.build.engine {
            Engine::BuildKit(buildkit) => Buildctl { object, buildkit, request, settings, order }.on_windows(*workspace),
            // Kaniko is refused there.
            Engine::Go | Engine::Kaniko { .. } => self.go_build(),
        };
        let fetch = self.fetch(part_name(name, SOURCE), builder);
        let pod = windows_pod::pod_spec(request, container, volumes, &order.nodes);
        let mut make = self.part(part_name(name, COMPILE), request.build.compile, pod);
        waits_for(&mut make, &[&fetch]);

        let volumes = [workspace.volume(), scratch("tmp")].into_iter().chain(registry_secrets(request)).collect();
        let pod = pod_spec(request, settings, vec![], assemble(request, settings, order, *workspace, &program), volumes);
        let mut last = build_job(object, request, order, request.build.push, with_identity(request, pod));
        waits_for(&mut last, &[&fetch, &make]);
        vec![fetch, make, last]
    }

    /// The Job that brings the source into the workspace.
    pub(super) fn fetch(&self, name: String, builder: ForBuilder) -> Job {
        let Self { request, settings, order, workspace, .. } = self;
        let container = source(request, settings, order, *workspace, builder);
        let volumes = [workspace.volume(), scratch("tmp")].into_iter().chain(git_secret(order));
        let volumes = volumes.chain(registry_secrets(request).filter(|volume| mounts(&container, volume))).collect();
        self.part(name, request.build.source, pod_spec(request, settings, vec![], container, volumes))
    }

    fn go_build(&self) -> CompileStage {
        let Self { object, request, workspace, .. } = self;
        let InputList { compile, toolchain, .. } = &*self.order.inputs;
        let argv = compile.argv(&workspace.on_windows("out/"));
        let container = Container {
            image: Some(toolchain.clone()),
            volume_mounts: Some(vec![workspace.mount_on_windows(), mount("cache", CACHE), mount("tmp", TMP)]),
            ..self.go(COMPILE, &argv, compile.environment())
        };
        let volumes = vec![workspace.volume(), cache(object, request), scratch("tmp")];
        CompileStage { before: Vec::new(), container, volumes, builder: ForBuilder::default(), program: Program::File }
    }

    /// The pod that tests. It cannot write where the compiler reads, nor where it has left the program.
    pub(super) fn tests(&self) -> PodSpec {
        let Self { object, request, order, workspace, .. } = self;
        let InputList { compile, tests, .. } = &*order.inputs;
        let limit = request.build.test;
        let argv = compile.test_argv(tests, limit - limit / 4);
        let container = Container {
            image: Some(order.inputs.toolchain_of_tests().clone()),
            volume_mounts: Some(vec![workspace.read_on_windows(), mount("cache", CACHE), mount("tmp", TMP)]),
            ..self.go(TEST, &argv, compile.test_environment(NodeSystem::Windows))
        };
        let volumes = vec![workspace.volume(), test_cache(object, request), scratch("tmp")];
        windows_pod::pod_spec(request, container, volumes, &order.test_nodes)
    }

    /// The go command in the module's folder.
    fn go(&self, name: &str, argv: &[String], environment: Vec<(String, String)>) -> Container {
        let Self { request, settings, order, workspace, .. } = self;
        let sub_path = &order.inputs.sub_path;
        let folder = workspace.on_windows(&if sub_path == "." { "src".to_owned() } else { format!("src/{sub_path}") });
        windows_pod::go(name, argv, request.modules.sources(settings).into_iter().chain(environment).collect(), folder, request)
    }

    /// A Job that is a part of a build.
    fn part(&self, name: String, limit: Duration, pod: PodSpec) -> Job {
        let mut job = role_job(self.object, self.request, self.order, (name, Role::Part), limit, pod);
        job.annotations_mut().insert(names::ANNOTATION_ENGINE.to_owned(), self.request.build.engine.kind().as_str().to_owned());
        job
    }
}

/// Whether a container mounts a volume.
pub(super) fn mounts(container: &Container, volume: &Volume) -> bool {
    container.volume_mounts.iter().flatten().any(|mount| mount.name == volume.name)
}

/// Suspends a Job until others have succeeded.
pub(super) fn waits_for(job: &mut Job, others: &[&Job]) {
    let names: Vec<String> = others.iter().map(|other| other.name_any()).collect();
    job.annotations_mut().insert(names::ANNOTATION_AFTER.to_owned(), names.join(","));
    job.spec.get_or_insert_default().suspend = Some(true);
}
