//! What does a target's pod template miss that a Windows program needs? (MUST 19 of the image's design.)
//!
//! The operator writes the image and nothing else, so it can only name what it sees. Nothing here stands in the way of a rollout: the
//! workload's owner may know better. What nodes are like counts only where they can be seen.

use gowindows_crds::durations::go_duration;
use gowindows_crds::v1alpha1::ImageStatus;
use gowindows_model::facts::{Nodes, Taint, WindowsNode, Workload, WorkloadContainer, World};
use gowindows_model::request::RunRequest;
use k8s_openapi::jiff::SignedDuration;
use std::collections::BTreeSet;
use std::time::Duration;
use windows_image::release;

/// An image from which a Deployment's usual ten minutes may be too short for a node that has nothing of it.
const LARGE: i64 = 1_000_000_000;

/// What is missing, as sentences without an end; empty for a template that is complete.
pub(super) fn missing(
    world: &World,
    run: &RunRequest,
    image: &ImageStatus,
    workload: &Workload,
    container: &WorkloadContainer,
) -> Vec<String> {
    let mut missing = Vec::new();
    if workload.placement.allows_linux() {
        missing.push("nothing keeps its pods off Linux nodes: set nodeSelector kubernetes.io/os: windows".to_owned());
    }
    if let Nodes::Seen(nodes) = &*world.nodes {
        missing.extend(places(workload, image, nodes));
    }
    missing.extend(untold(world, container));
    missing.extend(hasty(workload, image, run.progress_deadline));
    missing
}

/// The nodes that its pods get to, against those that run the image.
fn places(workload: &Workload, image: &ImageStatus, nodes: &[WindowsNode]) -> Vec<String> {
    let versions: Vec<[u32; 4]> = image.platforms.iter().filter_map(|platform| release::four_parts(&platform.os_version)).collect();
    let runs = |node: &&WindowsNode| {
        let host = release::four_parts(&node.os_version);
        host.is_some_and(|[_, _, host, _]| versions.iter().any(|[_, _, build, _]| release::runs(host, *build)))
    };
    let allowed = |node: &&WindowsNode| workload.placement.allows_windows(&node.os_version);
    let mut missing = Vec::new();
    let takes = |node: &&WindowsNode| allowed(node) && workload.placement.kept_off_by(&node.taints).is_none();
    if let Some(stranger) = nodes.iter().filter(takes).find(|node| !runs(node)) {
        let builds: BTreeSet<String> =
            nodes.iter().filter(runs).map(|node| node.os_version.split('.').take(3).collect::<Vec<_>>().join(".")).collect();
        let builds = if builds.is_empty() { "that run it".into() } else { builds.into_iter().collect::<Vec<_>>().join(", ") };
        missing.push(format!(
            "node {} ({}) takes its pods and runs no release of the image: allow only the builds {builds} by nodeAffinity on node.kubernetes.io/windows-build",
            stranger.name, stranger.os_version
        ));
    }
    let fit: Vec<&WindowsNode> = nodes.iter().filter(runs).filter(allowed).collect();
    let taints: Option<Vec<&Taint>> = fit.iter().map(|node| workload.placement.kept_off_by(&node.taints)).collect();
    if let Some(first) = taints.and_then(|taints| taints.first().copied()) {
        missing.push(format!("no node that runs the image takes its pods: tolerate the taint {first}"));
    }
    missing
}

/// On Windows Go sees all processors and all memory of the node, whatever the limits.
fn untold(world: &World, container: &WorkloadContainer) -> Vec<String> {
    let WorkloadContainer { name, image: _, applied_by: _, processors_untold, memory_untold } = container;
    let in_image = |variable: &str| world.object.spec.image.env.iter().any(|one| one.name.eq_ignore_ascii_case(variable));
    let mut missing = Vec::new();
    if *processors_untold && !in_image("GOMAXPROCS") {
        missing.push(format!(
            "container {name} has a limit of cpu, and Go on Windows uses all of the node's processors: set GOMAXPROCS (resourceFieldRef limits.cpu)"
        ));
    }
    if *memory_untold && !in_image("GOMEMLIMIT") {
        missing.push(format!(
            "container {name} has a limit of memory that Go does not know of: set GOMEMLIMIT to some nine tenths of it (such as 230MiB of 256Mi)"
        ));
    }
    missing
}

/// The Deployment gives up long before a large base is pulled.
fn hasty(workload: &Workload, image: &ImageStatus, deadline: Duration) -> Option<String> {
    let own = workload.progress_deadline.filter(|own| *own < deadline)?;
    let large = image.pull_bytes.as_ref().is_some_and(|pull| pull.cold > LARGE);
    let shown = |duration: Duration| go_duration(SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX));
    large.then(|| {
        format!(
            "it gives up after {} (progressDeadlineSeconds), and a node without the base pulls more than 1 GB: raise it to the {} of rollout.progressDeadline",
            shown(own),
            shown(deadline)
        )
    })
}
