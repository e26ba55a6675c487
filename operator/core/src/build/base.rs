//! On which bases is built? Chosen by what the Windows nodes are and have, once per build, and used by digest from then on.
//!
//! ```text
//! release -> candidates: its tag, the version of the oldest node, what nodes have
//!         -> those that are not newer than the oldest node of that build (0xc0370106 otherwise)
//!         -> on all nodes that run them, before others; the newest of these
//! ```
//!
//! Only nodes that take pods of a target count. Asked only where there is a cause to build: what nodes do never is one. What cannot be
//! seen or resolved is no candidate; the tag itself always is one. A base image of the user's own is taken as it is.

use crate::read::runs_build as runs;
use gowindows_crds::conditions::Reason;
use gowindows_model::facts::{Nodes, Placement, ResolvedBase, Seen, Trouble, WindowsNode, World};
use gowindows_model::question::Need;
use gowindows_model::request::{Flavored, Request};
use gowindows_model::settings::Settings;
use std::collections::BTreeMap;
use windows_image::release::{self, Releases};

/// Of what nodes have, the digests that most of them have are looked at, for one release.
const MOST_ON_NODES: usize = 4;

/// What was chosen.
pub(super) struct Chosen {
    /// One per reference of the request: `reference@digest`.
    pub(super) bases: Vec<String>,
    /// Why these, for people; none where there was no choice.
    pub(super) why: Option<String>,
}

/// Chooses, or says why it cannot be done now.
pub(super) fn choose(world: &World, request: &Request, settings: &Settings) -> Result<Result<Chosen, Trouble>, Need> {
    let Some(flavored) = &request.flavored else {
        let references: Vec<&String> = request.bases.iter().filter(|reference| !super::inputs::is_pinned(reference)).collect();
        world.ask(references.into_iter().map(|reference| request.base(reference)).collect())?;
        let bases: Result<Vec<String>, Trouble> = request.bases.iter().map(|reference| pinned(world, reference)).collect();
        return Ok(bases.map(|bases| Chosen { bases, why: None }));
    };
    let releases = settings.releases();
    if let Some(trouble) = nodes_refuse(world, flavored, &releases) {
        return Ok(Err(trouble));
    }
    world.ask(request.bases.iter().map(|reference| request.base(reference)).collect())?;
    let (nodes, left_out) = eligible(world);
    let (mut bases, mut why) = (Vec::new(), Vec::new());
    for (reference, name) in request.bases.iter().zip(&flavored.releases) {
        let tagged = match resolved(world, reference) {
            Ok(tagged) => tagged,
            Err(trouble) => return Ok(Err(trouble)),
        };
        let release = Release::new(name, releases.build_number(name), &nodes);
        let more = release.more_candidates(reference, &flavored.repository, tagged);
        world.ask(more.iter().map(|reference| request.base(reference)).collect())?;
        let others = more.iter().filter_map(|reference| Some((reference.as_str(), world.answers.bases.get(reference)?.value()?)));
        let (digest, reason) = release.choose([(reference.as_str(), tagged)].into_iter().chain(others));
        bases.push(format!("{reference}@{digest}"));
        why.push(reason);
    }
    why.extend(left_out);
    if let Nodes::Hidden(reason) = &*world.nodes {
        why.push(format!("nodes are not looked at: {reason}"));
    }
    Ok(Ok(Chosen { bases, why: Some(why.join("; ")) }))
}

/// The nodes that count, and what is said of the others: none that keeps the pods of every target off. Where that would be all of them,
/// all count: a template that is not right yet must not decide what is built on.
fn eligible(world: &World) -> (Vec<&WindowsNode>, Option<String>) {
    let Nodes::Seen(all) = &*world.nodes else { return (Vec::new(), None) };
    let placements: Vec<&Placement> = world.workloads.iter().flatten().map(|workload| &workload.placement).collect();
    let takes = |node: &&WindowsNode| {
        let allowed = |placement: &&Placement| placement.allows_windows(&node.os_version) && placement.kept_off_by(&node.taints).is_none();
        placements.is_empty() || placements.iter().any(allowed)
    };
    let (taken, others): (Vec<&WindowsNode>, Vec<&WindowsNode>) = all.iter().partition(takes);
    match others.first() {
        Some(first) if !taken.is_empty() => {
            let why =
                format!("{} of {} Windows nodes take no pods of the targets and do not count ({})", others.len(), all.len(), first.name);
            (taken, Some(why))
        }
        _ => (all.iter().collect(), None),
    }
}

/// Releases that the nodes rule out: MUST 16 of the image's design, and a default that nobody asked for.
fn nodes_refuse(world: &World, flavored: &Flavored, releases: &Releases) -> Option<Trouble> {
    let Nodes::Seen(nodes) = &*world.nodes else { return None };
    let lacks = |name: &&String| releases.build_number(name).is_some_and(|build| !nodes.iter().any(|node| runs(node, build)));
    let message = match (flavored.named, flavored.releases.iter().find(lacks)) {
        (_, None) => return None,
        (true, Some(_)) => {
            let old = |name: &&String| releases.build_number(name).is_some_and(|build| build < release::STABLE_ABI);
            let name = flavored.releases.iter().filter(lacks).find(old)?;
            format!(
                "image.base.releases: {name} runs only on nodes of its own build, and there is none (there are: {}). Leave it out, add such a node, or, to build for another cluster, name the base itself in image.base.image.",
                listed(nodes, releases)
            )
        }
        // Without any Windows node there is nothing to contradict the default.
        (false, Some(_)) if nodes.is_empty() => return None,
        (false, Some(name)) => format!(
            "image.base.releases is not set, and the default {name} runs on none of the Windows nodes (there are: {}). Set image.base.releases to what they run.",
            listed(nodes, releases)
        ),
    };
    Some(Trouble { reason: Reason::ReleaseWithoutNode, message, at: world.now, times: 3 })
}

/// `ltsc2019 (10.0.17763.8389)`, each version once; at most a few.
fn listed(nodes: &[WindowsNode], releases: &Releases) -> String {
    let mut versions: Vec<&str> = nodes.iter().map(|node| node.os_version.as_str()).collect();
    versions.sort_unstable();
    versions.dedup();
    let words = versions.iter().take(5).map(|version| match releases.name(version) {
        Some(name) => format!("{name} ({version})"),
        None => (*version).to_owned(),
    });
    let words: Vec<String> = words.collect();
    if words.is_empty() { "none".into() } else { words.join(", ") }
}

/// One release and the nodes that run it.
struct Release<'a> {
    name: &'a str,
    build: Option<u32>,
    nodes: Vec<&'a WindowsNode>,
}

impl<'a> Release<'a> {
    fn new(name: &'a str, build: Option<u32>, nodes: &[&'a WindowsNode]) -> Self {
        // A release of which nothing is known: its tag is all there is to go by.
        let nodes = build.map(|build| nodes.iter().copied().filter(|node| runs(node, build)).collect()).unwrap_or_default();
        Self { name, build, nodes }
    }

    /// The node of the release's own build with the lowest fourth number. Between builds that number says nothing.
    fn oldest(&self) -> Option<(&'a WindowsNode, u32)> {
        let of_build = self.nodes.iter().filter_map(|node| {
            let [_, _, build, update] = release::four_parts(&node.os_version)?;
            (Some(build) == self.build).then_some((*node, update))
        });
        of_build.min_by_key(|(node, update)| (*update, node.name.as_str()))
    }

    /// What else to look at beside the tag: nothing where the tag is as good as a base can be.
    fn more_candidates(&self, tag: &str, repository: &str, tagged: &ResolvedBase) -> Vec<String> {
        let fits = self.fits(tagged);
        if self.nodes.is_empty() || (fits && self.lacking(&tagged.digest) == 0) {
            return Vec::new();
        }
        let mut more: Vec<String> = self.on_nodes(tag, repository);
        if let Some((node, _)) = self.oldest().filter(|_| !fits) {
            more.push(format!("{repository}:{}", node.os_version));
        }
        more.retain(|reference| !reference.ends_with(&tagged.digest));
        more
    }

    /// Bases of this release that nodes have, by digest, those on most nodes first.
    fn on_nodes(&self, tag: &str, repository: &str) -> Vec<String> {
        let build = self.build.map(|build| format!("{repository}:10.0.{build}."));
        let is_ours = |name: &String| {
            name == tag
                || name.strip_prefix(tag).is_some_and(|rest| rest.starts_with('-'))
                || build.as_ref().is_some_and(|build| name.starts_with(build))
        };
        let prefix = format!("{repository}@sha256:");
        let mut counted: BTreeMap<&String, usize> = BTreeMap::new();
        for names in self.nodes.iter().flat_map(|node| &node.images) {
            // A name without a tag may be of any release: it is looked at too.
            let tagged = names.iter().any(|name| !name.contains('@'));
            if !tagged || names.iter().any(is_ours) {
                for name in names.iter().filter(|name| name.starts_with(&prefix)) {
                    *counted.entry(name).or_default() += 1;
                }
            }
        }
        let mut digests: Vec<_> = counted.into_iter().collect();
        digests.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
        digests.into_iter().take(MOST_ON_NODES).map(|(name, _)| name.clone()).collect()
    }

    fn version<'b>(&self, base: &'b ResolvedBase) -> Option<&'b str> {
        let of_build =
            |version: &&String| release::four_parts(version).is_some_and(|[_, _, build, _]| self.build.is_none_or(|ours| ours == build));
        base.os_versions.iter().find(of_build).map(String::as_str)
    }

    /// Not newer than the oldest node of its build.
    fn fits(&self, base: &ResolvedBase) -> bool {
        let update = |version| release::four_parts(version).map(|[.., update]| update);
        match (self.oldest(), self.version(base).and_then(update)) {
            (Some((_, oldest)), Some(update)) => update <= oldest,
            _ => true,
        }
    }

    fn lacking(&self, digest: &str) -> usize {
        let has = |node: &WindowsNode| node.images.iter().flatten().any(|name| name.ends_with(digest));
        self.nodes.iter().filter(|node| !has(node)).count()
    }

    /// The best candidate and why; the first one is what the tag leads to.
    fn choose<'b>(&self, candidates: impl Iterator<Item = (&'b str, &'b ResolvedBase)>) -> (String, String) {
        let candidates: Vec<_> = candidates.enumerate().collect();
        let of_release = candidates.iter().filter(|(at, (_, base))| *at == 0 || self.version(base).is_some());
        let update = |base: &ResolvedBase| self.version(base).and_then(release::four_parts).map_or(0, |[.., update]| update);
        let best = of_release.max_by_key(|(at, (_, base))| {
            let fits = self.fits(base);
            // Where none fits, the one that is least too new.
            let age = if fits { i64::from(update(base)) } else { -i64::from(update(base)) };
            (fits, fits && self.lacking(&base.digest) == 0, age, std::cmp::Reverse(*at))
        });
        best.map(|(at, (_, base))| (base.digest.clone(), self.reason(base, *at == 0))).unwrap_or_default()
    }

    fn reason(&self, base: &ResolvedBase, is_tagged: bool) -> String {
        let version = self.version(base).or(base.os_versions.first().map(String::as_str)).unwrap_or("of unknown version");
        let found = if is_tagged { "as its tag has it" } else { "in place of what its tag has" };
        let start = format!("{} is {version}, {found}", self.name);
        if self.nodes.is_empty() {
            return start;
        }
        let age = match self.oldest() {
            Some((node, _)) if self.fits(base) => {
                format!("not newer than the oldest node of its build ({}: {})", node.name, node.os_version)
            }
            Some((node, _)) => {
                format!("newer than node {} ({}), which may refuse it (0xc0370106) until it is updated", node.name, node.os_version)
            }
            None => "nodes of its own build there are none".into(),
        };
        let (all, have) = (self.nodes.len(), self.nodes.len() - self.lacking(&base.digest));
        format!("{start}; {age}; on {have} of {all} nodes that run it")
    }
}

fn resolved<'a>(world: &'a World, reference: &str) -> Result<&'a ResolvedBase, Trouble> {
    match world.answers.bases.get(reference) {
        Some(Seen::Fresh(base, _) | Seen::Stale(base, _)) => Ok(base),
        Some(Seen::Unknown(trouble)) => Err(trouble.clone()),
        Some(Seen::NotAsked) | None => Err(super::inputs::unresolved(world, reference)),
    }
}

fn pinned(world: &World, reference: &str) -> Result<String, Trouble> {
    if super::inputs::is_pinned(reference) {
        return Ok(reference.to_owned());
    }
    resolved(world, reference).map(|base| format!("{reference}@{}", base.digest))
}
