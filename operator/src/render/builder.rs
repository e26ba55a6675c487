//! What do the engines share that build from a Dockerfile?
//!
//! ```text
//! /gowindows/context/dockerfile/Dockerfile   generated
//! /gowindows/context/modules, .../src        what it copies
//! /gowindows/certificates/HOST.pem           authorities of private registries
//! /gowindows/built                           where the result goes
//! ```
//!
//! The source stage writes all of it, for it alone knows the source. The repository is below the context's root, so a `.dockerignore` of
//! its own plays no part: it was written for another Dockerfile, and must not change which program this is.

use super::dockerfile::{Caches, Generated};
use super::job::BuildOrder;
use super::stages::{mount, part, read_only};
use crate::decide::{Inputs, Request};
use crate::settings::{RegistrySettings, Settings};
use crate::step::source_request::{ContextRequest, certificate_file};
use k8s_openapi::api::core::v1::VolumeMount;

/// The context's root.
pub(super) const CONTEXT: &str = "/gowindows/context";
/// The Dockerfile.
pub(super) const DOCKERFILE: &str = "/gowindows/context/dockerfile/Dockerfile";
/// Where the result goes.
pub(super) const BUILT: &str = "/gowindows/built";
const CERTIFICATES: &str = "/gowindows/certificates";

/// What the source stage writes for the builder.
pub(super) fn context(request: &Request, settings: &Settings, order: &BuildOrder<'_>, caches: Caches) -> ContextRequest {
    let Inputs { sub_path, compile, toolchain, .. } = order.inputs;
    let certificates =
        registries(settings, toolchain).into_iter().filter_map(|registry| Some((registry.host.clone(), registry.ca_pem.clone()?)));
    ContextRequest {
        dockerfile: Generated {
            system: request.build.compiles_on(),
            toolchain: toolchain.clone(),
            compile: compile.clone(),
            sub_path: sub_path.clone(),
            module_sources: request.modules.sources(settings),
            credentials: order.credentials,
            caches,
        },
        certificates: certificates.collect(),
    }
}

/// The settings of the registries that a toolchain is read from: its own and that one's mirror.
pub(super) fn registries<'a>(settings: &'a Settings, toolchain: &str) -> Vec<&'a RegistrySettings> {
    let host_of = |reference: &str| reference.split('/').next().unwrap_or_default().to_owned();
    let of = |host: String| settings.registries.iter().find(|registry| registry.host == host);
    let own = of(host_of(toolchain));
    let mirror = own.and_then(|registry| registry.mirror.as_deref()).and_then(|mirror| of(host_of(mirror)));
    own.into_iter().chain(mirror).collect()
}

/// The file with the certificates of a registry's authority.
pub(super) fn certificate(host: &str) -> String {
    format!("{CERTIFICATES}/{}", certificate_file(host))
}

/// A folder of the workspace in the context.
pub(super) fn in_context(folder: &str) -> VolumeMount {
    part(folder, read_only("workspace", &format!("{CONTEXT}/{folder}")))
}

/// The builder's view of the workspace.
pub(super) fn mounts() -> Vec<VolumeMount> {
    vec![
        in_context("src"),
        in_context("modules"),
        in_context("dockerfile"),
        part("certificates", read_only("workspace", CERTIFICATES)),
        part("out", mount("workspace", BUILT)),
    ]
}
