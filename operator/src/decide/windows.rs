//! Can a pod of a build run on a Windows node, and on which versions of Windows?
//!
//! Asked before there is a Job: a pod that no node takes, or a claim that pods of both systems cannot share, would wait in silence. Nodes that
//! cannot be seen are taken on trust.

use super::{Inputs, Need, Question, Request};
use crate::image::release;
use crate::observe::{Nodes, Placement, Seen, Trouble, WindowsNode, World};
use crate::render;
use gowindows_crds::conditions::Reason;
use gowindows_crds::v1alpha1::NodeSystem;
use k8s_openapi::api::core::v1::PodSpec;

/// The toolchain image that runs on Windows nodes, where one does. Compiler and tests have the same where both are there.
pub(super) fn toolchain<'a>(request: &Request, inputs: &'a Inputs) -> Option<&'a String> {
    match (request.build.system, request.test.system) {
        (NodeSystem::Windows, _) => Some(&inputs.toolchain),
        (_, NodeSystem::Windows) => Some(inputs.toolchain_of_tests()),
        (NodeSystem::Linux, NodeSystem::Linux) => None,
    }
}

/// Why no pod with this toolchain can run now; none where one can.
pub(super) fn trouble(world: &World, request: &Request, toolchain: &str) -> Result<Option<Trouble>, Need> {
    world.ask(vec![Question::Base(toolchain.to_owned()), Question::Workspace])?;
    let unknown = world.answers.bases.get(toolchain).filter(|seen| seen.value().is_none()).and_then(Seen::trouble);
    if let Some(trouble) = unknown {
        let reason = match trouble.reason {
            Reason::BaseInvalid | Reason::BaseUnavailable => Reason::ToolchainUnavailable,
            reason => reason,
        };
        let message = format!("The toolchain image for Windows nodes cannot be used: {}", trouble.message);
        return Ok(Some(Trouble { reason, message, ..trouble.clone() }));
    }
    if let Some(trouble) = world.answers.workspace.trouble() {
        return Ok(Some(trouble.clone()));
    }
    Ok(no_node(world, request, toolchain))
}

/// The versions, three parts each, of the nodes that run a toolchain's image; where no node can be seen, the image's own.
pub(super) fn versions(world: &World, toolchain: &str) -> Vec<String> {
    let own = os_versions(world, toolchain);
    let fit = match &world.nodes {
        Nodes::Seen(nodes) => nodes.iter().filter(|node| runs(node, own)).map(|node| &node.os_version).collect(),
        Nodes::Hidden(_) => own.iter().collect::<Vec<_>>(),
    };
    let mut versions: Vec<String> = fit.into_iter().filter_map(|version| Some(version.rsplit_once('.')?.0.to_owned())).collect();
    versions.sort();
    versions.dedup();
    versions
}

fn os_versions<'a>(world: &'a World, toolchain: &str) -> &'a [String] {
    world.answers.bases.get(toolchain).and_then(Seen::value).map_or(&[], |image| &image.os_versions)
}

fn runs(node: &WindowsNode, images: &[String]) -> bool {
    let build = |version: &String| release::four_parts(version).map(|[_, _, build, _]| build);
    let host = build(&node.os_version);
    images.iter().filter_map(build).any(|image| host.is_some_and(|host| release::runs(host, image)))
}

fn no_node(world: &World, request: &Request, toolchain: &str) -> Option<Trouble> {
    let Nodes::Seen(nodes) = &world.nodes else { return None };
    let own = os_versions(world, toolchain);
    let fit: Vec<&WindowsNode> = nodes.iter().filter(|node| runs(node, own)).collect();
    let tolerations = Some(render::windows_tolerations(&request.build));
    let placement = Placement::of(&PodSpec { tolerations, ..PodSpec::default() });
    let message = match fit.first() {
        None => {
            let mut there: Vec<&str> = nodes.iter().map(|node| node.os_version.as_str()).collect();
            there.sort_unstable();
            there.dedup();
            let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
            let own = own.join(", ");
            format!(
                "build.nodes.os: no Windows node runs the toolchain image {toolchain}, which is made for Windows {own} (nodes there are: {there}). Add such a node, set go.image to an image for the nodes, or leave build.nodes.os out."
            )
        }
        Some(first) => {
            let kept_off: Vec<_> = fit.iter().filter_map(|node| placement.kept_off_by(&node.taints)).collect();
            let taint = kept_off.first().filter(|_| kept_off.len() == fit.len())?;
            format!(
                "build.nodes.tolerations: every Windows node that runs the toolchain image has a taint that build pods do not tolerate (node {}: {taint}). Add a toleration for it, or leave build.nodes.os out.",
                first.name
            )
        }
    };
    Some(Trouble { reason: Reason::NodeUnavailable, message, at: world.now, times: 3 })
}
