//! How does the go command compile? In the build's own pod, from the toolchain's image: plain argv, no shell, no root.

use super::job::{CompileStage, Program, module_secrets};
use super::modules;
use super::stages::{CACHE, ForBuilder, TMP, literal, mount, part, read_only, restricted, variable};
use gowindows_model::inputs::InputList;
use gowindows_model::plan::BuildOrder;
use gowindows_model::request::Request;
use gowindows_model::settings::Settings;
use gowindows_model::wire::stages::COMPILE;
use k8s_openapi::api::core::v1::Container;

/// Where the go command keeps what in its container.
const FIXED: [(&str, &str); 4] = [("TMPDIR", TMP), ("GOCACHE", "/cache/build"), ("GOMODCACHE", "/cache/mod"), ("GOPATH", "/cache/go")];

/// What the go command is to do.
pub(super) struct Command<'a> {
    /// Its image.
    pub(super) toolchain: &'a str,
    /// With `go` first.
    pub(super) argv: Vec<String>,
    /// Its home, and where modules come from.
    pub(super) sources: Vec<(String, String)>,
    /// For which system, and what the user says.
    pub(super) environment: Vec<(String, String)>,
}

pub(super) fn compile(request: &Request, settings: &Settings, order: &BuildOrder) -> CompileStage {
    let InputList { compile, toolchain, .. } = &*order.inputs;
    let command = Command {
        toolchain,
        argv: compile.argv("/build/out/"),
        sources: modules::sources(request, settings, order),
        environment: compile.environment(),
    };
    // What the program is held against afterwards is out of the compiler's reach.
    let mounts = [
        part("src", read_only("workspace", "/build/src")),
        part("out", mount("workspace", "/build/out")),
        mount("cache", CACHE),
        mount("tmp", TMP),
    ];
    let container = Container { volume_mounts: Some(mounts.into()), ..container(COMPILE, command, request, order) };
    let builder = ForBuilder { cache: request.build.cache.as_ref().map(|_| CACHE), ..ForBuilder::default() };
    let before = modules::of_program(request, settings, order).into_iter().collect();
    CompileStage { before, container, volumes: module_secrets(order), builder, program: Program::File }
}

/// The go command in the module's folder. It has no code of ours that could report; the end of its output is its report.
pub(super) fn container(name: &str, command: Command<'_>, request: &Request, order: &BuildOrder) -> Container {
    let Command { toolchain, argv, sources, environment } = command;
    let sub_path = &order.inputs.sub_path;
    let fixed = FIXED.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Container {
        name: name.into(),
        image: Some(toolchain.into()),
        command: Some(argv.iter().map(|word| literal(word)).collect()),
        env: Some(sources.into_iter().chain(fixed).chain(environment).map(variable).collect()),
        resources: Some(request.build.resources.clone()),
        security_context: Some(restricted()),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        working_dir: Some(if sub_path == "." { "/build/src".into() } else { format!("/build/src/{sub_path}") }),
        ..Container::default()
    }
}
