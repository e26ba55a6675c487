//! How does the go command compile? In the build's own pod, from the toolchain's image: plain argv, no shell, no root.

use super::job::{CompileStage, Program, module_secrets};
use super::modules;
use super::stages::{CACHE, ForBuilder, TMP, literal, mount, part, read_only, restricted, variable};
use gowindows_model::go::credentials;
use gowindows_model::inputs::InputList;
use gowindows_model::plan::BuildOrder;
use gowindows_model::request::Request;
use gowindows_model::settings::Settings;
use gowindows_model::wire::stages::COMPILE;
use k8s_openapi::api::core::v1::Container;

/// Where the go command keeps what in its container.
pub(super) const FIXED: [(&str, &str); 4] =
    [("TMPDIR", TMP), ("GOCACHE", "/cache/build"), ("GOMODCACHE", "/cache/mod"), ("GOPATH", "/cache/go")];

pub(super) fn compile(request: &Request, settings: &Settings, order: &BuildOrder) -> CompileStage {
    let InputList { sub_path, compile, toolchain, .. } = &*order.inputs;
    let fixed = FIXED.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let home = credentials::environment(order.credentials).into_iter();
    let sources = request.modules.sources(settings);
    let mounts = [
        part("src", read_only("workspace", "/build/src")),
        part("out", mount("workspace", "/build/out")),
        mount("cache", CACHE),
        mount("tmp", TMP),
    ];
    let container = Container {
        name: COMPILE.into(),
        image: Some(toolchain.clone()),
        command: Some(compile.argv("/build/out/").iter().map(|word| literal(word)).collect()),
        env: Some(home.chain(fixed).chain(sources).chain(compile.environment()).map(variable).collect()),
        resources: Some(request.build.resources.clone()),
        security_context: Some(restricted()),
        // It has no code of ours that could report; the end of its output is its report.
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        // What the program is held against afterwards is out of the compiler's reach.
        volume_mounts: Some(mounts.into_iter().chain(order.credentials.map(|_| modules::mount())).collect()),
        working_dir: Some(if sub_path == "." { "/build/src".into() } else { format!("/build/src/{sub_path}") }),
        ..Container::default()
    };
    let builder = ForBuilder { cache: request.build.cache.as_ref().map(|_| CACHE), ..ForBuilder::default() };
    CompileStage { before: None, container, volumes: module_secrets(order), builder, program: Program::File }
}
