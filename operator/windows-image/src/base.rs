//! Which images of a base are built on?
//!
//! All windows/amd64 children of the base's index, or the base itself where it is a single image; narrowed by release
//! where one is asked for. Entries for other processors and attestations (`unknown/unknown`) are passed over. A base
//! without a full four-part `os.version` is refused: an image made from it would be pulled by nodes that cannot run it.

use crate::Flavor;
use crate::config::ImageConfig;
use crate::digest::Digest;
use crate::manifest::{Descriptor, Document, Index, Manifest, Platform, media_type};
use crate::release;
use std::collections::BTreeMap;
use thiserror::Error;

/// The release that is built for when none is named: nodes of Windows Server 2022 and 2025 both run it.
pub const DEFAULT_RELEASE: &str = "ltsc2022";

/// The base references of a flavor, one per release (the default one, when none is named). `repositories` are the settings'
/// `bases`, by flavor; Microsoft's are taken where they name none.
pub fn references(repositories: &BTreeMap<String, String>, flavor: Flavor, releases: &[String]) -> Vec<String> {
    let repository = repository(repositories, flavor);
    let tagged = |release: &str| format!("{repository}:{release}");
    if releases.is_empty() { vec![tagged(DEFAULT_RELEASE)] } else { releases.iter().map(|release| tagged(release)).collect() }
}

/// The repository of a flavor's bases.
pub fn repository(repositories: &BTreeMap<String, String>, flavor: Flavor) -> &str {
    let (key, default) = match flavor {
        Flavor::NanoServer => ("NanoServer", "mcr.microsoft.com/windows/nanoserver"),
        Flavor::ServerCore => ("ServerCore", "mcr.microsoft.com/windows/servercore"),
    };
    repositories.get(key).map_or(default, String::as_str)
}

/// Why a base cannot be built on.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InvalidBase {
    /// Nothing for windows/amd64 in it.
    #[error(
        "base {base} has no windows/amd64 image (it has: {found}); name a Windows base such as mcr.microsoft.com/windows/nanoserver:ltsc2022"
    )]
    NotWindows {
        /// The base.
        base: String,
        /// What it has instead.
        found: String,
    },
    /// `os.version` is absent or has not four parts.
    #[error(
        "base {base} has os.version {found:?}, where four numbers are needed (such as 10.0.20348.5499): nodes choose by it; use the vendor's image, or rebuild this base with a tool that keeps os.version"
    )]
    OsVersion {
        /// The base.
        base: String,
        /// What it says.
        found: String,
    },
    /// The index and the image it points at disagree.
    #[error(
        "base {base} is listed with os.version {listed} but its configuration says {configured}; the base is broken, use another build of it"
    )]
    Contradiction {
        /// The base.
        base: String,
        /// In the index.
        listed: String,
        /// In the configuration.
        configured: String,
    },
    /// No entry for the asked release.
    #[error("the base has no release {wanted:?}; it has {found} (releases are named {known}, or by build as in 10.0.20348)")]
    NoSuchRelease {
        /// What was asked for.
        wanted: String,
        /// What there is.
        found: String,
        /// The names that the table knows.
        known: String,
    },
    /// Two bases for one `os.version`.
    #[error("two bases are for os.version {0}; a node could not tell their images apart: keep one of them")]
    Twice(String),
    /// The image has layers that no node can import.
    #[error("base {base} has a layer of media type {found:?}, which Windows nodes cannot import; use a base with gzip or zstd layers")]
    LayerType {
        /// The base.
        base: String,
        /// The media type.
        found: String,
    },
    /// As many layers as diff ids, or something is wrong.
    #[error("base {base} has {layers} layers but its configuration names {diff_ids}; the base is broken")]
    LayerCount {
        /// The base.
        base: String,
        /// In the manifest.
        layers: usize,
        /// In the configuration.
        diff_ids: usize,
    },
}

/// One base image, complete enough to build on: its manifest and configuration, no layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// Where it comes from, for messages.
    pub reference: String,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Its manifest.
    pub manifest: Manifest,
    /// Its configuration.
    pub config: ImageConfig,
    /// The full version, four parts.
    pub os_version: String,
}

impl Base {
    /// Checks what was read.
    ///
    /// # Errors
    /// It is not for windows/amd64, or what it says of itself cannot be right.
    pub fn new(reference: &str, digest: Digest, manifest: Manifest, config: ImageConfig) -> Result<Self, InvalidBase> {
        let base = reference.to_string();
        if config.os != "windows" || config.architecture != "amd64" {
            return Err(InvalidBase::NotWindows { base, found: format!("{}/{}", config.os, config.architecture) });
        }
        let os_version = config.os_version.clone().unwrap_or_default();
        if release::four_parts(&os_version).is_none() {
            return Err(InvalidBase::OsVersion { base, found: os_version });
        }
        if let Some(layer) = manifest.layers.iter().find(|layer| media_type::oci_layer(&layer.media_type).is_none()) {
            return Err(InvalidBase::LayerType { base, found: layer.media_type.clone() });
        }
        let (layers, diff_ids) = (manifest.layers.len(), config.rootfs.diff_ids.len());
        if layers != diff_ids {
            return Err(InvalidBase::LayerCount { base, layers, diff_ids });
        }
        Ok(Self { reference: base, digest, manifest, config, os_version })
    }

    /// Its entry in an index.
    pub fn platform(&self) -> Platform {
        Platform {
            architecture: self.config.architecture.clone(),
            os: self.config.os.clone(),
            os_version: self.config.os_version.clone(),
            os_features: self.config.os_features.clone(),
        }
    }
}

/// What a base reference leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Candidates {
    /// The base is this one image.
    Single(Box<Manifest>),
    /// The base is an index: these of its entries are to be read.
    Children(Vec<Descriptor>),
}

/// Chooses among what a base reference leads to.
///
/// # Errors
/// The index has nothing for windows/amd64, or an entry of it without a full `os.version`.
pub fn candidates(reference: &str, document: Document) -> Result<Candidates, InvalidBase> {
    let index = match document {
        Document::Manifest(manifest) => return Ok(Candidates::Single(Box::new(manifest))),
        Document::Index(index) => index,
    };
    let windows: Vec<Descriptor> =
        index.manifests.iter().filter(|entry| entry.platform.as_ref().is_some_and(Platform::is_windows_amd64)).cloned().collect();
    if windows.is_empty() {
        return Err(InvalidBase::NotWindows { base: reference.into(), found: found_platforms(&index) });
    }
    // An entry that says nothing is judged by its configuration; one that says half a version is refused.
    let half = windows.iter().filter_map(listed_version).find(|version| release::four_parts(version).is_none());
    match half {
        Some(version) => Err(InvalidBase::OsVersion { base: reference.into(), found: version.into() }),
        None => Ok(Candidates::Children(windows)),
    }
}

/// The `os.version` of an index entry.
pub fn listed_version(entry: &Descriptor) -> Option<&str> {
    entry.platform.as_ref()?.os_version.as_deref()
}

/// Checks that a child is what its index says.
///
/// # Errors
/// They name different versions.
pub fn agree(entry: &Descriptor, base: &Base) -> Result<(), InvalidBase> {
    match listed_version(entry) {
        Some(listed) if listed != base.os_version => {
            Err(InvalidBase::Contradiction { base: base.reference.clone(), listed: listed.into(), configured: base.os_version.clone() })
        }
        _ => Ok(()),
    }
}

/// Drops entries that are certainly of another release than those asked for, so that they need not be read.
pub fn worth_reading(entry: &Descriptor, releases: &[String]) -> bool {
    let of_wanted = |version: &str| releases.iter().any(|wanted| release::is(version, wanted));
    releases.is_empty() || listed_version(entry).is_none_or(of_wanted)
}

/// The bases of the wanted releases (all, when none is named), newest build first.
///
/// `listed` are all versions that the bases have, for the message.
///
/// # Errors
/// A release that none of them is, or two bases for one version.
pub fn select(mut bases: Vec<Base>, releases: &[String], listed: &[String]) -> Result<Vec<Base>, InvalidBase> {
    for wanted in releases {
        if !bases.iter().any(|base| release::is(&base.os_version, wanted)) {
            return Err(InvalidBase::NoSuchRelease {
                wanted: wanted.clone(),
                found: listed.iter().map(|version| described(version)).collect::<Vec<_>>().join(", "),
                known: release::names().collect::<Vec<_>>().join(", "),
            });
        }
    }
    bases.retain(|base| releases.is_empty() || releases.iter().any(|wanted| release::is(&base.os_version, wanted)));
    bases.sort_by_key(|base| std::cmp::Reverse(release::four_parts(&base.os_version)));
    bases.dedup_by(|a, b| a.digest == b.digest);
    match bases.windows(2).find(|pair| pair[0].os_version == pair[1].os_version) {
        Some(pair) => Err(InvalidBase::Twice(pair[0].os_version.clone())),
        None => Ok(bases),
    }
}

fn described(version: &str) -> String {
    match release::name(version) {
        Some(name) => format!("{name} ({version})"),
        None => version.to_string(),
    }
}

fn found_platforms(index: &Index) -> String {
    let name = |platform: &Platform| format!("{}/{}", platform.os, platform.architecture);
    let mut found: Vec<String> = index.manifests.iter().filter_map(|entry| entry.platform.as_ref().map(name)).collect();
    found.sort();
    found.dedup();
    found.truncate(8);
    if found.is_empty() { "nothing".into() } else { found.join(", ") }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::config::RootFs;

    /// A small base with two layers.
    pub(crate) fn base(os_version: &str) -> Base {
        let gzip = "application/vnd.docker.image.rootfs.diff.tar.gzip";
        let layer = |name: &str| Descriptor::new(gzip, Digest::of(format!("{os_version}{name}").as_bytes()), 1000);
        let config = ImageConfig {
            architecture: "amd64".into(),
            os: "windows".into(),
            os_version: Some(os_version.into()),
            rootfs: RootFs { kind: "layers".into(), diff_ids: vec![Digest::of(b"1"), Digest::of(b"2")] },
            ..ImageConfig::default()
        };
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media_type::DOCKER_MANIFEST.into()),
            config: Descriptor::new("application/vnd.docker.container.image.v1+json", Digest::of(b"c"), 7),
            layers: vec![layer("1"), layer("2")],
            annotations: BTreeMap::new(),
        };
        Base::new("example.com/nanoserver", Digest::of(os_version.as_bytes()), manifest, config).expect("a base")
    }

    fn entry(os: &str, architecture: &str, os_version: Option<&str>) -> Descriptor {
        let platform =
            Platform { architecture: architecture.into(), os: os.into(), os_version: os_version.map(Into::into), os_features: None };
        Descriptor {
            platform: Some(platform.clone()),
            ..Descriptor::new(media_type::MANIFEST, Digest::of(format!("{platform:?}").as_bytes()), 1)
        }
    }

    fn index(manifests: Vec<Descriptor>) -> Document {
        Document::Index(Index { schema_version: 2, media_type: None, manifests, annotations: BTreeMap::new() })
    }

    #[test]
    fn other_processors_and_attestations_are_passed_over() {
        let good = entry("windows", "amd64", Some("10.0.20348.5499"));
        let only_arm = candidates("b", index(vec![entry("windows", "arm64", Some("10.0.26100.1"))])).expect_err("arm64 alone");
        assert!(only_arm.to_string().contains("windows/arm64"), "{only_arm}");
        let all = vec![
            entry("windows", "arm64", Some("10.0.26100.1")),
            entry("unknown", "unknown", None),
            good.clone(),
            entry("linux", "amd64", None),
        ];
        assert_eq!(candidates("b", index(all)), Ok(Candidates::Children(vec![good])));
    }

    #[test]
    fn an_index_without_windows_says_what_it_has() {
        let error = candidates("b", index(vec![entry("linux", "arm64", None), entry("linux", "amd64", None)])).expect_err("no Windows");
        assert!(error.to_string().contains("linux/amd64, linux/arm64"), "{error}");
    }

    #[test]
    fn half_versions_are_refused() {
        assert!(matches!(candidates("b", index(vec![entry("windows", "amd64", Some("10.0.20348"))])), Err(InvalidBase::OsVersion { .. })));
        let whole = base("10.0.20348.5499");
        for version in [None, Some("10.0.20348".to_string()), Some(String::new())] {
            let config = ImageConfig { os_version: version, ..whole.config.clone() };
            assert!(matches!(Base::new("b", whole.digest.clone(), whole.manifest.clone(), config), Err(InvalidBase::OsVersion { .. })));
        }
    }

    #[test]
    fn the_newest_build_comes_first_whatever_the_order_or_the_text_says() {
        let bases = vec![base("10.0.20348.999"), base("10.0.26100.1"), base("10.0.9999.1"), base("10.0.20348.5499")];
        let versions: Vec<_> = select(bases, &[], &[]).expect("all").into_iter().map(|base| base.os_version).collect();
        assert_eq!(versions, ["10.0.26100.1", "10.0.20348.5499", "10.0.20348.999", "10.0.9999.1"]);
    }

    #[test]
    fn a_release_narrows_and_an_absent_one_is_named() {
        let bases = vec![base("10.0.20348.5499"), base("10.0.26100.1")];
        let one = select(bases.clone(), &["ltsc2022".into()], &[]).expect("one");
        assert_eq!(one.len(), 1);
        let error = select(bases, &["ltsc2019".into()], &["10.0.20348.5499".into()]).expect_err("absent");
        assert!(error.to_string().contains("ltsc2022 (10.0.20348.5499)"), "{error}");
    }

    #[test]
    fn two_bases_for_one_version_are_refused_but_the_same_base_twice_is_not() {
        assert_eq!(select(vec![base("10.0.20348.1"), base("10.0.20348.1")], &[], &[]).map(|bases| bases.len()), Ok(1));
        let other = Base { digest: Digest::of(b"other"), ..base("10.0.20348.1") };
        assert!(matches!(select(vec![base("10.0.20348.1"), other], &[], &[]), Err(InvalidBase::Twice(_))));
    }

    #[test]
    fn a_flavor_is_a_repository_and_a_release_its_tag() {
        let ours = BTreeMap::from([("NanoServer".to_string(), "r.example/nano".to_string())]);
        assert_eq!(references(&ours, Flavor::NanoServer, &[]), ["r.example/nano:ltsc2022"]);
        let two = ["ltsc2022".to_string(), "ltsc2025".to_string()];
        assert_eq!(references(&ours, Flavor::ServerCore, &two)[1], "mcr.microsoft.com/windows/servercore:ltsc2025");
    }

    #[test]
    fn layers_that_no_node_imports_are_refused() {
        let mut broken = base("10.0.20348.1");
        broken.manifest.layers[0].media_type = "application/vnd.in-toto+json".into();
        assert!(matches!(Base::new("b", broken.digest, broken.manifest, broken.config), Err(InvalidBase::LayerType { .. })));
    }
}
