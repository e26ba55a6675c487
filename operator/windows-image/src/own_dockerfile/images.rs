//! Which images may a Dockerfile begin with, and on which system are they used? The object's base and its toolchain, which are pinned for each build, and what it pins itself.

use crate::System;

/// What this build has pinned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// What runs the commands.
    pub system: System,
    /// The object's base.
    pub base: Base,
    /// The object's toolchain, `name[:tag]@digest`.
    pub toolchain: String,
}

/// The object's base, read from its registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Base {
    /// `name[:tag]@digest`, as it was pinned: an index, or its only manifest.
    pub reference: String,
    /// Digest of the one manifest for windows/amd64.
    pub manifest: String,
    /// The user of its configuration; empty where it names none.
    pub user: String,
}

/// What an image of a Dockerfile is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The object's base.
    Base,
    /// The object's toolchain.
    Toolchain,
    /// Another one, by digest.
    Pinned,
    /// Another one, by a tag that anybody can move.
    Loose,
}

impl Images {
    pub(super) fn kind(&self, image: &str) -> Kind {
        let (name, digest) = parts(image);
        let (base, base_digest) = parts(&self.base.reference);
        let (toolchain, _) = parts(&self.toolchain);
        let of_base = [base_digest, Some(self.base.manifest.as_str())].contains(&digest);
        match digest {
            None if same(name, base) => Kind::Base,
            None if same(name, toolchain) => Kind::Toolchain,
            None => Kind::Loose,
            Some(_) if of_base && same(untagged(name), untagged(base)) => Kind::Base,
            Some(_) => Kind::Pinned,
        }
    }

    /// The base by the digest of its one manifest: of an index BuildKit would take the first that is for Windows.
    pub(super) fn base(&self) -> String {
        format!("{}@{}", parts(&self.base.reference).0, self.base.manifest)
    }

    /// The base's name, as a Dockerfile should have it.
    pub(super) fn base_name(&self) -> &str {
        parts(&self.base.reference).0
    }
}

/// Name with tag, and digest.
fn parts(image: &str) -> (&str, Option<&str>) {
    image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)))
}

fn untagged(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => name,
    }
}

/// Docker's names of its own registry can be written in several ways.
fn same(one: &str, other: &str) -> bool {
    familiar(one) == familiar(other)
}

fn familiar(name: &str) -> &str {
    let name = name.strip_prefix("index.docker.io/").or_else(|| name.strip_prefix("docker.io/")).unwrap_or(name);
    let name = name.strip_prefix("library/").unwrap_or(name);
    name.strip_suffix(":latest").unwrap_or(name)
}

/// Whether this is the name of an image, with nothing in it that means something to a Dockerfile.
pub(super) fn is_plain(image: &str) -> bool {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    !image.is_empty() && !image.starts_with('-') && image.chars().all(harmless)
}
