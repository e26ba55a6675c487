//! Is what a registry serves a Windows image that will run? (From manifests and configurations; the layer: `verify_layer`.)
//!
//! Asked of every image, whoever wrote it: each rule stands for a way in which some tool's Windows images are broken. Images of
//! ours are held to the letter ([`image`]); of others' images (`any`) is asked what Windows needs, and what is only our custom
//! is a warning. A rule that cannot be checked (the base is not known) gives no finding, or one that says so; nothing passes
//! that was not looked at.

mod any;
mod rule;

pub use any::{any_image, program_path};
pub use rule::Rule;

use crate::System;
use crate::base::Base;
use crate::config::{ImageConfig, USER, WORKING_DIR};
use crate::layer::ProgramName;
use crate::manifest::{Descriptor, Manifest, media_type};
use crate::read_back::ReadBack;
use crate::{notes, release};

/// The answer to a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It is so.
    Passed,
    /// It is not as we would make it, and may work.
    Warning,
    /// It could not be looked at.
    NotChecked,
    /// It is not so: the image does not work, or not safely.
    Failed,
}

/// The answer to one rule for one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was asked.
    pub rule: Rule,
    /// Whether it is so.
    pub verdict: Verdict,
    /// What was seen, and what it should be.
    pub message: String,
}

impl Finding {
    /// Passed or failed.
    pub fn of(rule: Rule, passed: bool, message: impl Into<String>) -> Self {
        Self::new(rule, if passed { Verdict::Passed } else { Verdict::Failed }, message)
    }

    /// With any verdict.
    pub fn new(rule: Rule, verdict: Verdict, message: impl Into<String>) -> Self {
        Self { rule, verdict, message: message.into() }
    }

    /// Nothing is known that must not be.
    pub fn passed(&self) -> bool {
        self.verdict != Verdict::Failed
    }
}

/// One sentence over the failed findings; none if all passed.
pub fn complaint(findings: &[Finding]) -> Option<String> {
    let failed: Vec<String> = findings
        .iter()
        .filter(|finding| !finding.passed())
        .map(|finding| format!("{} ({}; {})", finding.message, finding.rule.id(), finding.rule.source()))
        .collect();
    (!failed.is_empty()).then(|| failed.join("; "))
}

/// Who wrote an image, and hence what is asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Author {
    /// Our own writer: everything must be as it makes it.
    Us,
    /// BuildKit, from a Dockerfile of the user's: what Windows needs, one layer on one of the bases.
    BuildKit,
    /// The same by a buildkitd on Windows, where each command of the last stage leaves a layer that Windows itself has written.
    BuildKitOnWindows,
}

impl Author {
    /// A buildkitd that runs commands on this system.
    pub fn buildkit(system: System) -> Self {
        match system {
            System::Linux => Self::BuildKit,
            System::Windows => Self::BuildKitOnWindows,
        }
    }

    /// Checks one release's image of this author; with the bases that it may stand on, what is asked of it as to them too.
    pub fn findings(self, read: &ReadBack, bases: &[Base]) -> Vec<Finding> {
        match self {
            Self::Us => image(read, bases),
            Self::BuildKit | Self::BuildKitOnWindows => {
                let base = (!bases.is_empty()).then(|| on_a_base(&read.manifest, &read.config, bases));
                any_image(read).into_iter().chain(base.map(|finding| self.softened(finding))).collect()
            }
        }
    }

    /// More layers than one make a node slow, and work.
    fn softened(self, finding: Finding) -> Finding {
        let slow = self == Self::BuildKitOnWindows && finding.rule == Rule::OneAppLayer && !finding.passed();
        if slow { Finding { verdict: Verdict::Warning, ..finding } } else { finding }
    }
}

/// Checks one release's image. With the bases that it may stand on (the one with its `os.version` is taken), the rules about
/// the base are checked too.
pub fn image(image: &ReadBack, bases: &[Base]) -> Vec<Finding> {
    let ReadBack { entry, digest: _, manifest, config } = image;
    let mut findings = vec![platform(config), os_version(entry.as_ref(), config), media_types(manifest), layer_count(manifest, config)];
    findings.extend(execution(config));
    if !bases.is_empty() {
        findings.push(on_a_base(manifest, config, bases));
    }
    findings
}

fn platform(config: &ImageConfig) -> Finding {
    let message = format!("the configuration is for {}/{}, wanted is windows/amd64", config.os, config.architecture);
    Finding::of(Rule::Platform, config.os == "windows" && config.architecture == "amd64", message)
}

fn os_version(entry: Option<&Descriptor>, config: &ImageConfig) -> Finding {
    let version = config.os_version.as_deref().unwrap_or_default();
    if release::four_parts(version).is_none() {
        return Finding::of(Rule::OsVersion, false, format!("os.version is {version:?}, wanted are the four numbers of the base"));
    }
    let Some(entry) = entry else { return Finding::of(Rule::OsVersion, true, format!("os.version is {version}")) };
    let listed = entry.platform.clone().unwrap_or_default();
    let message =
        format!("os.version is {version} in the configuration and {} in the index", listed.os_version.as_deref().unwrap_or("absent"));
    Finding::of(Rule::OsVersion, listed.os_version.as_deref() == Some(version) && listed.os_features == config.os_features, message)
}

fn media_types(manifest: &Manifest) -> Finding {
    let layers_fit = manifest.layers.iter().all(|layer| media_type::oci_layer(&layer.media_type) == Some(layer.media_type.as_str()));
    let passed = layers_fit && manifest.config.media_type == media_type::CONFIG;
    Finding::of(Rule::MediaTypes, passed, "configuration and layers should all have OCI media types")
}

fn layer_count(manifest: &Manifest, config: &ImageConfig) -> Finding {
    let (layers, diff_ids) = (manifest.layers.len(), config.rootfs.diff_ids.len());
    let message = format!("{layers} layers in the manifest, {diff_ids} in the configuration");
    Finding::of(Rule::LayerContent, layers == diff_ids && layers > 0, message)
}

fn on_a_base(manifest: &Manifest, config: &ImageConfig, bases: &[Base]) -> Finding {
    let Some(base) = bases.iter().find(|base| Some(&base.os_version) == config.os_version.as_ref()) else {
        return Finding::of(Rule::OsVersion, false, "os.version is that of none of the bases");
    };
    if base.config.os_features != config.os_features {
        return Finding::of(Rule::OsVersion, false, "os.features are not the base's");
    }
    let digests = |manifest: &Manifest| manifest.layers.iter().map(|layer| layer.digest.clone()).collect::<Vec<_>>();
    let same_layers = digests(manifest).starts_with(&digests(&base.manifest));
    if !same_layers || !config.rootfs.diff_ids.starts_with(&base.config.rootfs.diff_ids) {
        return Finding::of(Rule::BaseLayers, false, format!("the first layers are not those of base {}", base.reference));
    }
    let ours = manifest.layers.len() - base.manifest.layers.len();
    let one = ours == notes::own_layers(manifest).len();
    Finding::of(Rule::OneAppLayer, one, format!("{ours} layers on the base, wanted is one, and at most one of files below it"))
}

fn execution(config: &ImageConfig) -> Vec<Finding> {
    let execution = &config.config;
    let program = program_name(config);
    let path = execution.env.iter().find_map(|item| item.split_once('=').filter(|(name, _)| name.eq_ignore_ascii_case("PATH")));
    let windows_path = |path: &str| {
        let path = path.to_ascii_lowercase().replace('/', r"\");
        path.split(';').any(|folder| folder.trim_end_matches('\\') == r"c:\windows\system32")
    };
    vec![
        Finding::of(Rule::User, execution.user == USER, format!("the user is {:?}, wanted is {USER}", execution.user)),
        Finding::of(
            Rule::Entrypoint,
            program.is_some(),
            format!("the entrypoint is {:?}, wanted is one full path such as C:\\app\\name.exe", execution.entrypoint),
        ),
        Finding::of(Rule::ArgsEscaped, !execution.args_escaped, "ArgsEscaped should not be set"),
        Finding::of(
            Rule::Path,
            path.is_none_or(|(_, value)| windows_path(value)),
            format!("PATH is {:?}; wanted is none, or one with C:\\Windows\\System32", path.map(|(_, value)| value)),
        ),
        Finding::of(
            Rule::WorkingDir,
            execution.working_dir == WORKING_DIR,
            format!("the working folder is {:?}, wanted is {WORKING_DIR}", execution.working_dir),
        ),
    ]
}

/// The program that the configuration starts, if it is one of ours in shape.
pub fn program_name(config: &ImageConfig) -> Option<ProgramName> {
    match config.config.entrypoint.as_slice() {
        [path] => path.strip_prefix(r"C:\app\")?.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::Assembly;
    use crate::assemble::Image;
    use crate::assemble::assemble;
    use crate::base::tests::base;
    use crate::digest::Digest;
    use crate::layer::Layer;

    pub(crate) fn image_on(versions: &[&str]) -> Image {
        let bases: Vec<Base> = versions.iter().map(|version| base(version)).collect();
        let layer = Layer {
            media_type: media_type::LAYER_GZIP,
            digest: Digest::of(b"gz"),
            size: 50,
            diff_id: Digest::of(b"tar"),
            program: Digest::of(b"exe"),
            program_size: 90,
        };
        assemble(&Assembly::default(), &bases, &"hello.exe".parse().expect("a name"), &layer, None).expect("an image")
    }

    pub(crate) fn read_back(image: &Image) -> Vec<ReadBack> {
        ReadBack::from_assembled(image).expect("our own JSON")
    }

    fn one() -> ReadBack {
        read_back(&image_on(&["10.0.20348.5499"])).remove(0)
    }

    fn failed(image_read: &ReadBack, bases: &[Base]) -> Vec<Rule> {
        let mut rules: Vec<Rule> =
            image(image_read, bases).into_iter().filter(|finding| !finding.passed()).map(|finding| finding.rule).collect();
        rules.sort();
        rules.dedup();
        rules
    }

    #[test]
    fn what_we_assemble_passes() {
        for versions in [&["10.0.20348.5499"][..], &["10.0.26100.1", "10.0.20348.5499"]] {
            let bases: Vec<Base> = versions.iter().map(|version| base(version)).collect();
            for platform in read_back(&image_on(versions)) {
                assert_eq!(failed(&platform, &bases), []);
                assert_eq!(failed(&platform, &[]), []);
            }
        }
    }

    #[test]
    fn each_known_way_of_breaking_an_image_is_found() {
        type Break = fn(&mut ReadBack);
        let breaks: [(Rule, Break); 14] = [
            (Rule::Platform, |image| image.config.os = "linux".into()),
            (Rule::OsVersion, |image| image.config.os_version = None),
            (Rule::OsVersion, |image| image.config.os_version = Some("10.0.20348".into())),
            (Rule::OsVersion, |image| image.config.os_version = Some("10.0.20348.1".into())),
            (Rule::OsVersion, |image| image.config.os_features = Some(vec!["win32k".into()])),
            (Rule::BaseLayers, |image| image.manifest.layers[0].digest = Digest::of(b"recompressed")),
            (Rule::OneAppLayer, |image| {
                image.manifest.layers.push(image.manifest.layers[2].clone());
                image.config.rootfs.diff_ids.push(Digest::of(b"more"));
            }),
            (Rule::MediaTypes, |image| image.manifest.layers[2].media_type = "application/vnd.docker.image.rootfs.diff.tar.gzip".into()),
            (Rule::LayerContent, |image| image.config.rootfs.diff_ids.truncate(2)),
            (Rule::User, |image| image.config.config.user.clear()),
            (Rule::Entrypoint, |image| image.config.config.entrypoint = vec![r"C:\ko-app\hello".into()]),
            (Rule::ArgsEscaped, |image| image.config.config.args_escaped = true),
            (Rule::Path, |image| image.config.config.env = vec!["Path=/usr/local/sbin:/usr/bin".into()]),
            (Rule::WorkingDir, |image| image.config.config.working_dir = r"\app".into()),
        ];
        let bases = [base("10.0.20348.5499")];
        for (rule, break_it) in breaks {
            let mut broken = one();
            break_it(&mut broken);
            assert_eq!(failed(&broken, &bases), [rule], "{rule:?}");
        }
    }

    #[test]
    fn an_index_that_shortens_the_version_is_found() {
        let mut platform = read_back(&image_on(&["10.0.26100.1", "10.0.20348.5499"])).remove(0);
        if let Some(listed) = platform.entry.as_mut().and_then(|entry| entry.platform.as_mut()) {
            listed.os_version = Some("10.0.26100".into());
        }
        assert_eq!(failed(&platform, &[]), [Rule::OsVersion]);
    }

    #[test]
    fn a_complete_windows_path_is_fine() {
        let mut platform = one();
        platform.config.config.env = vec![r"PATH=C:\app;C:\Windows\System32;C:\Windows".into()];
        assert_eq!(failed(&platform, &[]), []);
    }

    #[test]
    fn the_complaint_names_what_is_wrong_and_why_it_matters() {
        let mut platform = one();
        platform.config.config.user.clear();
        let complaint = complaint(&image(&platform, &[])).expect("something is wrong");
        assert!(complaint.contains("wanted is ContainerUser") && complaint.contains("ContainerAdministrator"), "{complaint}");
    }
}
