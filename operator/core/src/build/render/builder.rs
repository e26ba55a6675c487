//! What do the engines share that build from a Dockerfile?
//!
//! ```text
//! /gowindows/context/dockerfile/Dockerfile   generated
//! /gowindows/context/modules, .../src        what it copies
//! /gowindows/built                           where the result goes
//! ```
//!
//! The source stage writes all of it, for it alone knows the source. The repository is below the context's root, so a `.dockerignore` of
//! its own plays no part: it was written for another Dockerfile, and must not change which program this is.

use super::stages::{mount, part, read_only};
use gowindows_crds::GoWindowsImage;
use gowindows_model::go::dockerfile::{Builder, Generated};
use gowindows_model::inputs::InputList;
use gowindows_model::plan::BuildOrder;
use gowindows_model::request::Request;
use gowindows_model::settings::Settings;
use k8s_openapi::api::core::v1::VolumeMount;
use kube_core::ResourceExt;

/// The context's root.
pub(super) const CONTEXT: &str = "/gowindows/context";
/// The Dockerfile.
pub(super) const DOCKERFILE: &str = "/gowindows/context/dockerfile/Dockerfile";
/// Where the result goes.
pub(super) const BUILT: &str = "/gowindows/built";

/// Whose layers and cache mounts these are: of this object alone, what it compiled is read by nobody else.
pub(super) fn owner(object: &GoWindowsImage) -> String {
    format!("gowindows-{}", object.uid().unwrap_or_default())
}

/// What the source stage generates the Dockerfile from.
pub(super) fn generated(request: &Request, settings: &Settings, order: &BuildOrder, builder: Builder) -> Generated {
    let InputList { sub_path, compile, toolchain, .. } = &*order.inputs;
    Generated {
        system: request.build.compiles_on(),
        toolchain: toolchain.clone(),
        compile: compile.clone(),
        sub_path: sub_path.clone(),
        module_sources: request.modules.sources(settings),
        credentials: order.credentials,
        downloaded: false,
        builder,
    }
}

/// A folder of the workspace in the context.
pub(super) fn in_context(folder: &str) -> VolumeMount {
    part(folder, read_only("workspace", &format!("{CONTEXT}/{folder}")))
}

/// The builder's view of the workspace.
pub(super) fn mounts() -> Vec<VolumeMount> {
    vec![in_context("src"), in_context("modules"), in_context("dockerfile"), part("out", mount("workspace", BUILT))]
}
