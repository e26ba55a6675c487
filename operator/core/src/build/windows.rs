//! Can a pod of a build run on a Windows node, and on which ones?
//!
//! Asked before there is a Job: a pod that no node takes, or a claim that pods of both systems cannot share, would wait in silence. Nodes that
//! cannot be seen are taken on trust.

use super::render;
use gowindows_crds::conditions::Reason;
use gowindows_crds::v1alpha1::NodeSystem;
use gowindows_model::facts::{Nodes, Placement, Seen, Trouble, WindowsNode, World};
use gowindows_model::inputs::Inputs;
use gowindows_model::plan::AllowedNodes;
use gowindows_model::question::{Need, Question};
use gowindows_model::request::{BuildKit, Engine, Reach, Request};
use k8s_openapi::api::core::v1::PodSpec;
use windows_image::release;

/// The oldest containerd with which BuildKit works on Windows (BuildKit's docs/windows.md).
const CONTAINERD: [u64; 3] = [1, 7, 7];

/// What a pod needs of the Windows node that takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Demand<'a> {
    /// Images that the node must run.
    images: Vec<(What, &'a str)>,
    /// The node has a buildkitd of its own.
    buildkitd: bool,
}

/// What an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// The base, in which a Dockerfile runs commands.
    Base,
    Toolchain,
    Buildctl,
}

impl What {
    fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Toolchain => "toolchain image",
            Self::Buildctl => "image of buildctl",
        }
    }

    fn another(self) -> &'static str {
        match self {
            Self::Base => "name a release that the nodes run in image.base.releases",
            Self::Toolchain => "set go.image to an image for the nodes",
            Self::Buildctl => "ask the operator's owner for a windowsBuildctlImage that the nodes run",
        }
    }
}

/// What the pod that compiles needs, where it is one on Windows nodes.
pub(super) fn of_build<'a>(request: &'a Request, inputs: &'a Inputs) -> Option<Demand<'a>> {
    let toolchain = (What::Toolchain, inputs.toolchain.as_str());
    let base = inputs.assembly.bases.first().filter(|_| inputs.dockerfile.is_some()).map(|base| (What::Base, base.as_str()));
    let (images, buildkitd) = match &request.build.engine {
        Engine::BuildKit(BuildKit { image, reach: Reach::Tcp { .. } | Reach::InPod, .. }) => {
            (vec![(What::Buildctl, image.as_str())], false)
        }
        Engine::BuildKit(BuildKit { image, reach: Reach::Pipe { .. }, .. }) => {
            ([(What::Buildctl, image.as_str()), toolchain].into_iter().chain(base).collect(), true)
        }
        Engine::Go | Engine::Kaniko { .. } => (vec![toolchain], false),
    };
    (request.build.system == NodeSystem::Windows).then_some(Demand { images, buildkitd })
}

/// What the pod that tests needs, where it is one on Windows nodes.
pub(super) fn of_tests<'a>(request: &Request, inputs: &'a Inputs) -> Option<Demand<'a>> {
    let images = vec![(What::Toolchain, inputs.toolchain_of_tests().as_str())];
    (request.test.system == NodeSystem::Windows).then_some(Demand { images, buildkitd: false })
}

/// Why one of such pods cannot run now; none where all can, or there are none.
pub(super) fn trouble(world: &World, request: &Request, demands: &[Demand<'_>]) -> Result<Option<Trouble>, Need> {
    if demands.is_empty() {
        return Ok(None);
    }
    let images = || demands.iter().flat_map(|demand| &demand.images);
    let workspace = request.build.workspace.iter().map(|claim| Question::Workspace { claim: claim.clone() });
    world.ask(images().map(|(_, image)| request.base(image)).chain(workspace).collect())?;
    let unknown = images().find_map(|(what, image)| unusable(world, *what, image));
    let workspace = || world.answers.workspace.trouble().cloned();
    Ok(unknown.or_else(workspace).or_else(|| demands.iter().find_map(|demand| no_node(world, request, demand))))
}

fn unusable(world: &World, what: What, image: &str) -> Option<Trouble> {
    let trouble = world.answers.bases.get(image).filter(|seen| seen.value().is_none()).and_then(Seen::trouble)?;
    let reason = match trouble.reason {
        Reason::BaseInvalid | Reason::BaseUnavailable => Reason::ToolchainUnavailable,
        reason => reason,
    };
    let message = format!("The {} for Windows nodes cannot be used: {}", what.name(), trouble.message);
    Some(Trouble { reason, message, ..trouble.clone() })
}

/// The nodes that fulfil a demand: their versions, three parts each, and their names where the version does not say it. Where no node can be
/// seen, the versions of the images themselves.
pub(super) fn allowed_nodes(world: &World, demand: &Demand<'_>) -> AllowedNodes {
    let seen = match &*world.nodes {
        Nodes::Seen(nodes) => nodes.clone(),
        Nodes::Hidden(_) => {
            let first = demand.images.first().map_or(&[][..], |(_, image)| os_versions(world, image));
            first.iter().map(|version| WindowsNode { os_version: version.clone(), ..WindowsNode::default() }).collect()
        }
    };
    let by_name = demand.buildkitd && matches!(*world.nodes, Nodes::Seen(_));
    let fit = seen.iter().filter(|node| runs_all(world, node, demand) && (!by_name || has_containerd(node)));
    let fit: Vec<&WindowsNode> = fit.collect();
    let sorted = |mut values: Vec<String>| {
        values.sort();
        values.dedup();
        values
    };
    let versions = fit.iter().filter_map(|node| Some(node.os_version.rsplit_once('.')?.0.to_owned())).collect();
    let hosts = if by_name { fit.iter().map(|node| node.host.clone()).collect() } else { Vec::new() };
    AllowedNodes { versions: sorted(versions), hosts: sorted(hosts) }
}

fn os_versions<'a>(world: &'a World, image: &str) -> &'a [String] {
    world.answers.bases.get(image).and_then(Seen::value).map_or(&[], |image| &image.os_versions)
}

fn runs_all(world: &World, node: &WindowsNode, demand: &Demand<'_>) -> bool {
    demand.images.iter().all(|(_, image)| runs(node, os_versions(world, image)))
}

fn runs(node: &WindowsNode, images: &[String]) -> bool {
    let build = |version: &String| release::four_parts(version).map(|[_, _, build, _]| build);
    let host = build(&node.os_version);
    images.iter().filter_map(build).any(|image| host.is_some_and(|host| release::runs(host, image)))
}

/// Whether BuildKit works with what runs the containers of a node. What says no version has none.
fn has_containerd(node: &WindowsNode) -> bool {
    let numbers = node.runtime.strip_prefix("containerd://").unwrap_or_default().trim_start_matches('v').split('.');
    let digits = |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u64>();
    numbers.map_while(|part| digits(part).ok()).take(3).collect::<Vec<u64>>() >= CONTAINERD.to_vec()
}

fn no_node(world: &World, request: &Request, demand: &Demand<'_>) -> Option<Trouble> {
    let Nodes::Seen(nodes) = &*world.nodes else { return None };
    let message = of_images(world, nodes, demand).or_else(|| {
        let fit = nodes.iter().filter(|node| runs_all(world, node, demand));
        let (able, old): (Vec<&WindowsNode>, Vec<_>) = fit.partition(|node| !demand.buildkitd || has_containerd(node));
        if able.is_empty() { old.first().map(|node| of_containerd(node)) } else { of_taints(request, demand, &able) }
    })?;
    Some(Trouble { reason: Reason::NodeUnavailable, message, at: world.now, times: 3 })
}

/// The first image that none of the nodes runs which run those before it.
fn of_images(world: &World, nodes: &[WindowsNode], demand: &Demand<'_>) -> Option<String> {
    let mut left: Vec<&WindowsNode> = nodes.iter().collect();
    demand.images.iter().find_map(|(what, image)| {
        let own = os_versions(world, image);
        let mut there: Vec<&str> = left.iter().map(|node| node.os_version.as_str()).collect();
        left.retain(|node| runs(node, own));
        there.sort_unstable();
        there.dedup();
        let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
        let (name, another, own) = (what.name(), what.another(), own.join(", "));
        left.is_empty().then(|| {
            format!(
                "build.nodes.os: no Windows node runs the {name} {image}, which is made for Windows {own} (nodes there are: {there}). Add such a node, {another}, or leave build.nodes.os out."
            )
        })
    })
}

fn of_containerd(node: &WindowsNode) -> String {
    let [major, minor, patch] = CONTAINERD;
    format!(
        "build.buildkit.address: a buildkitd on Windows needs containerd {major}.{minor}.{patch} or later, and no Windows node that could take the pod has it (node {}: {}). Update containerd there, or use a buildkitd elsewhere (tcp://...), or engine Go.",
        node.name, node.runtime
    )
}

fn of_taints(request: &Request, demand: &Demand<'_>, nodes: &[&WindowsNode]) -> Option<String> {
    let tolerations = Some(render::windows_tolerations(&request.build));
    let placement = Placement::of(&PodSpec { tolerations, ..PodSpec::default() });
    let kept_off: Vec<_> = nodes.iter().filter_map(|node| Some((&node.name, placement.kept_off_by(&node.taints)?))).collect();
    let (name, taint) = kept_off.first().filter(|_| kept_off.len() == nodes.len())?;
    let image = demand.images.first().map_or("image", |(what, _)| what.name());
    Some(format!(
        "build.nodes.tolerations: every Windows node that runs the {image} has a taint that build pods do not tolerate (node {name}: {taint}). Add a toleration for it, or leave build.nodes.os out."
    ))
}
