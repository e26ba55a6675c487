//! Is the specification one that can be carried out, and what does it mean with all defaults in place?
//!
//! [`Request`] is the validated twin of the specification: nothing in it can fail any more. What the API server's schema and
//! rules refuse is refused here again, for objects that bypassed them.

mod budget;
mod build;
mod checks;
mod identity;
mod image;
mod logins;
mod modules;
mod own_dockerfile;
mod resources;
mod run;
mod test;

pub use budget::{SizeBudget, growth_percent};
pub use build::{BuildKit, BuildRequest, CacheClaim, Engine, KanikoCache, OwnClaim, Reach};
pub use modules::ModulesRequest;
pub use resources::MemoryRequest;
pub use run::{RunRequest, TargetRequest};
pub use test::TestRequest;

use crate::access::{Access, PULL_SECRET};
use crate::conversions;
use crate::go::compile::Compile;
use crate::go::dockerfile::{Builder, Generated};
use crate::question::Question;
use crate::settings::Settings;
use crate::wire::identity::Identity;
use crate::wire::source::Reference;
use checks::{Check, invalid};
use gowindows_crds::GoWindowsImage;
use gowindows_crds::conditions::Reason;
use gowindows_crds::patterns;
use gowindows_crds::v1alpha1::{GitReference, GoSpec, HistorySpec, ImageSpec, NodeSystem, SourceSpec};
use image::Content;
use std::time::Duration;
use windows_image::Assembly;

/// Why a specification cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// [`Reason::InvalidSpec`] or [`Reason::NotConfigured`].
    pub reason: Reason,
    /// Names the field, the value and the remedy.
    pub message: String,
}

/// A valid specification with all defaults in place.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Look at the source this often; `None`: only on events.
    pub interval: Option<Duration>,
    /// Address of the repository.
    pub url: String,
    /// What to build.
    pub reference: Reference,
    /// Name of the Secret for git.
    pub git_secret: Option<String>,
    /// The module's folder.
    pub sub_path: String,
    /// The toolchain image as it is asked for, by tag or digest.
    pub toolchain: String,
    /// The Go release that it is to have; `None` where the object names an image.
    pub go_version: Option<String>,
    /// What must pass before an image is published.
    pub test: TestRequest,
    /// Where modules come from.
    pub modules: ModulesRequest,
    /// Where the image is published, and which workloads run it.
    pub run: RunRequest,
    /// Registries whose mirror is that one, so that it is asked in their place.
    pub mirrored: Vec<String>,
    /// Base references as they are asked for, by tag or digest.
    pub bases: Vec<String>,
    /// The releases behind them, where they are a flavor's and not an image of the user's own.
    pub flavored: Option<Flavored>,
    /// Name of the Secret to read bases with.
    pub pull_secret: Option<String>,
    /// Build pods: nodes, resources, limits.
    pub build: BuildRequest,
    /// How large the application may be.
    pub budget: SizeBudget,
    /// Finished Jobs to keep: succeeded and failed.
    pub keep: (usize, usize),
    tags: Vec<String>,
    package: String,
    build_tags: Vec<String>,
    ldflags: Vec<String>,
    go_env: Vec<(String, String)>,
    strip: bool,
    timezone_data: bool,
    cgo: bool,
    content: Content,
}

/// Bases of a flavor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flavored {
    /// Their repository, without a tag.
    pub repository: String,
    /// One per base reference, in the same order.
    pub releases: Vec<String>,
    /// The specification names them; else they are the default.
    pub named: bool,
}

const MINUTE: Duration = Duration::from_secs(60);
/// `interval` where none is given.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(300);
/// A shorter interval would be a load on the git server without a use.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(5);

impl Request {
    /// Validates an object against the schema's rules and the operator's settings.
    ///
    /// # Errors
    /// The first thing that is wrong, with field, value and remedy.
    pub fn new(object: &GoWindowsImage, settings: &Settings) -> Result<Self, Refusal> {
        let spec = &object.spec;
        let interval = match &spec.interval {
            None => Some(DEFAULT_INTERVAL),
            Some(text) => Some(checks::duration("interval", text)?).filter(|interval| !interval.is_zero()),
        };
        if let Some(interval) = interval.filter(|interval| *interval < SHORTEST_INTERVAL) {
            return Err(invalid("interval", &format!("{interval:?}"), "use at least 5s, or 0s for never"));
        }
        let SourceSpec { git, sub_path } = &spec.source;
        let go = spec.go.clone().unwrap_or_default();
        let ImageSpec {
            repository: _,
            tags: image_tags,
            push_secret_ref: _,
            identity: _,
            base,
            args,
            env,
            ports,
            compression,
            size_budget,
            labels,
            annotations,
            files,
        } = spec.image.clone();
        let HistorySpec { succeeded, failed } = spec.history.clone().unwrap_or_default();
        let build = BuildRequest::new(spec.build.clone().unwrap_or_default(), settings)?;
        let test = TestRequest::new(&go, build.compiles_on(), settings)?;
        let GoSpec { version, image: toolchain, package, tags, ldflags, env: go_env, strip, timezone_data, cgo, test: _, modules } = go;
        let (toolchain, go_version) = choose_toolchain(version.as_deref(), toolchain.as_deref(), build.compiles_on(), settings)?;
        let (bases, flavored) = image::bases(base.clone().unwrap_or_default(), settings)?;
        let run = RunRequest::new(object, settings)?;
        let mut request = Self {
            interval,
            url: Check::new(
                "source.git.url",
                &git.url,
                "use an https address without user or password, such as https://git.example.com/shop/app.git",
            )
            .at_most(2048)
            .form(patterns::GIT_URL)?,
            reference: reference(git.reference.as_ref())?,
            git_secret: git.secret_ref.as_ref().map(|secret| object_name("source.git.secretRef.name", &secret.name)).transpose()?,
            sub_path: checks::inside("source.subPath", sub_path.as_deref().unwrap_or("."))?,
            toolchain,
            go_version,
            modules: ModulesRequest::new(modules.unwrap_or_default(), settings)?,
            mirrored: run.identity().map(|identity| identity::mirrored(identity, settings)).unwrap_or_default(),
            run,
            pull_secret: base
                .as_ref()
                .and_then(|base| base.pull_secret_ref.as_ref())
                .map(|secret| object_name("image.base.pullSecretRef.name", &secret.name))
                .transpose()?,
            bases,
            flavored,
            build,
            budget: SizeBudget::new(size_budget)?,
            keep: (checks::count("history.succeeded", succeeded, 5, 1..=50)?, checks::count("history.failed", failed, 3, 1..=50)?),
            tags: checks::each(
                "image.tags",
                image_tags.unwrap_or_else(|| vec!["$(revision)".into(), "latest".into()]),
                patterns::IMAGE_TAG,
            )?,
            package: checks::package(package.as_deref().unwrap_or("."))?,
            build_tags: checks::each("go.tags", tags, patterns::BUILD_TAG)?,
            ldflags: checks::each("go.ldflags", ldflags, patterns::LDFLAG)?,
            go_env: go_env.into_iter().map(|var| checks::go_env(var.name, var.value)).collect::<Result<_, _>>()?,
            strip: strip.unwrap_or(true),
            timezone_data: timezone_data.unwrap_or(true),
            cgo: cgo.unwrap_or(false),
            test,
            content: Content {
                compression: conversions::compression(compression.as_ref())
                    .map_err(|error| invalid("image.compression", "", &error.to_string()))?,
                ..Content::checked(args, env, ports, labels, annotations, files)?
            },
        };
        request.check_identity()?;
        if request.build.engine.dockerfile().is_some() {
            own_dockerfile::check(spec)?;
            if compression.as_ref().is_none_or(|compression| compression.level.is_none()) {
                request.content.compression = own_dockerfile::COMPRESSION;
            }
        }
        request.check_dockerfile(settings)?;
        logins::check(&request)?;
        request.check_windows()?;
        Ok(request)
    }

    /// What asks whether the Secret for git can be used, where there is one.
    pub fn git_login(&self) -> Option<Question> {
        self.git_secret.as_ref().map(|secret| Question::GitLogin { url: self.url.clone(), secret: secret.clone() })
    }

    /// How the program is compiled at a commit.
    pub fn compile(&self, commit: &str) -> Compile {
        Compile {
            package: self.package.clone(),
            tags: self.build_tags.clone(),
            ldflags: self.ldflags.iter().map(|flag| expand(flag, commit)).collect(),
            env: self.go_env.clone(),
            strip: self.strip,
            timezone_data: self.timezone_data,
            cgo: self.cgo,
        }
    }

    /// How the image is assembled at a commit on pinned bases. The epoch is the commit's, which only the source stage knows: 0 here.
    pub fn assembly(&self, commit: &str, bases: Vec<String>) -> Assembly {
        self.content.assembly(commit, bases, &self.url)
    }

    /// Where the image goes, without tag and digest.
    pub fn repository(&self) -> &str {
        &self.run.repository.name
    }

    /// Name of the Secret for the registry.
    pub fn push_secret(&self) -> Option<&String> {
        match &self.run.repository.access {
            Access::Secret { name, .. } => Some(name),
            Access::Anonymous | Access::Identity(_) => None,
        }
    }

    /// In its place: who is let into the registry.
    pub fn identity(&self) -> Option<&Identity> {
        self.run.identity()
    }

    /// With what an image is read. An identity opens its own registry, and is of use where that is a mirror.
    pub fn read_access(&self, reference: &str) -> Access {
        let mirrored = || reference.split_once('/').is_some_and(|(host, _)| self.mirrored.iter().any(|known| known == host));
        match &self.run.repository.access {
            Access::Identity(identity) if !identity.opens(reference) && !mirrored() => Access::Anonymous,
            access => access.clone(),
        }
    }

    /// With what a base is read, which may have a Secret of its own.
    pub fn base_access(&self, reference: &str) -> Access {
        let own = self.pull_secret.clone().map(|name| Access::Secret { field: PULL_SECRET, name });
        own.unwrap_or_else(|| self.read_access(reference))
    }

    /// The question which image stands under a tag of the repository.
    pub fn published(&self, tag: String) -> Question {
        self.run.published(tag)
    }

    /// The question what a base is.
    pub fn base(&self, reference: &str) -> Question {
        Question::Base { reference: reference.to_owned(), access: self.base_access(reference) }
    }

    /// The tags of the image of a commit.
    pub fn tags(&self, commit: &str) -> Vec<String> {
        self.tags.iter().map(|tag| expand(tag, commit)).collect()
    }

    /// What the source step would find out too late.
    fn check_dockerfile(&self, settings: &Settings) -> Result<(), Refusal> {
        if self.build.engine == Engine::Go || self.build.engine.dockerfile().is_some() {
            return Ok(());
        }
        let dockerfile = Generated {
            system: self.build.compiles_on(),
            toolchain: self.toolchain.clone(),
            compile: self.compile(&"0".repeat(40)),
            sub_path: self.sub_path.clone(),
            module_sources: self.modules.sources(settings),
            credentials: None,
            downloaded: false,
            builder: Builder::Kaniko(None),
        };
        let refused = |error| Refusal {
            reason: Reason::InvalidSpec,
            message: format!("build.engine \"{}\": {error}. Engine Go takes it as it is.", self.build.engine.kind().as_str()),
        };
        dockerfile.text(false).map(drop).map_err(refused)
    }

    /// What pods on Windows nodes need, and what they cannot do.
    fn check_windows(&self) -> Result<(), Refusal> {
        let (compiles, tests) = (self.build.system == NodeSystem::Windows, self.test.system == NodeSystem::Windows);
        if self.cgo && !(compiles && self.build.engine == Engine::Go) {
            let remedy = "a C compiler for Windows is used on Windows nodes alone, by engine Go; set build.nodes.os to windows and leave build.engine out, or leave go.cgo out";
            return Err(invalid("go.cgo", "true", remedy));
        }
        if !compiles && !tests {
            return Ok(());
        }
        if let Some(name) = &self.modules.secret {
            let remedy = "no pod on Windows nodes is given credentials of modules; use Linux nodes (build.nodes.os, go.test.os), name a proxy without a login in go.modules.proxy, or vendor the modules";
            return Err(invalid("go.modules.secretRef.name", name, remedy));
        }
        if self.build.workspace.is_none() {
            let remedy = "a Job on Windows nodes gets its files from one on a Linux node; set it to a PersistentVolumeClaim with ReadWriteMany that both can mount (such as SMB)";
            return Err(invalid("build.workspace.claimName", "", remedy));
        }
        Ok(())
    }
}

fn expand(text: &str, commit: &str) -> String {
    text.replace("$(revision)", commit)
}

fn object_name(field: &str, value: &str) -> Result<String, Refusal> {
    Check::new(field, value, "use the name of an object in the same namespace").at_most(253).form(patterns::OBJECT_NAME)
}

fn reference(spec: Option<&GitReference>) -> Result<Reference, Refusal> {
    let Some(GitReference { branch, tag, commit }) = spec else { return Ok(Reference::Head) };
    match (branch, tag, commit) {
        (Some(name), None, None) => checks::git_ref("source.git.ref.branch", name).map(Reference::Branch),
        (None, Some(name), None) => checks::git_ref("source.git.ref.tag", name).map(Reference::Tag),
        (None, None, Some(id)) => Check::new("source.git.ref.commit", id, "use the full 40 hexadecimal digits in lower case")
            .form(patterns::COMMIT)
            .map(Reference::Commit),
        _ => Err(invalid("source.git.ref", "", "set exactly one of branch, tag or commit; leave ref out for the remote's HEAD")),
    }
}

/// The toolchain's image, and the Go release that it should have.
fn choose_toolchain(
    version: Option<&str>,
    image: Option<&str>,
    system: NodeSystem,
    settings: &Settings,
) -> Result<(String, Option<String>), Refusal> {
    let (toolchains, setting, of) = match system {
        NodeSystem::Linux => (&settings.toolchains, "toolchains", ""),
        NodeSystem::Windows => (&settings.windows_toolchains, "windowsToolchains", " on Windows nodes"),
    };
    match (version, image) {
        (Some(version), Some(_)) => Err(invalid("go.version", version, "set version or image, not both")),
        (None, Some(image)) => Ok((checks::image_reference("go.image", image)?, None)),
        (Some(version), None) => {
            let version = Check::new("go.version", version, "use a Go release such as \"1.26\"").form(patterns::GO_VERSION)?;
            toolchains.get(&version).cloned().map(|image| (image, Some(version.clone()))).ok_or_else(|| Refusal {
                reason: Reason::NotConfigured,
                message: format!(
                    "go.version {version:?}: this operator has no toolchain image for it{of} (it has: {}). Use one of those, set go.image, or ask the operator's owner to add it under {setting}.",
                    list(toolchains.keys())
                ),
            })
        }
        (None, None) => {
            let newest = toolchains.iter().max_by_key(|(version, _)| release_order(version));
            newest.map(|(version, image)| (image.clone(), Some(version.clone()))).ok_or_else(|| Refusal {
                reason: Reason::NotConfigured,
                message: format!("this operator has no toolchain image{of}. Set go.image, or ask the operator's owner to set {setting}."),
            })
        }
    }
}

fn release_order(version: &str) -> Vec<u32> {
    version.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

fn list<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<_> = names.map(String::as_str).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_identity_is_shown_to_its_own_registry_and_where_that_is_a_mirror() {
        let host = "123456789012.dkr.ecr.eu-central-1.amazonaws.com";
        let settings: Settings = serde_json::from_value(json!({
            "toolchains": {"1.26": "r.example.com/go:1"},
            "registries": [{"host": "mcr.microsoft.com", "mirror": format!("{host}/mcr")}, {"host": "quay.io", "mirror": "m.example.com"}],
        }))
        .expect("settings");
        let object = serde_json::from_value(json!({
            "apiVersion": "gowindows.dev/v1alpha1", "kind": "GoWindowsImage", "metadata": {"name": "shop", "namespace": "team"},
            "spec": {
                "source": {"git": {"url": "https://git.example.com/shop.git"}},
                "image": {
                    "repository": format!("{host}/shop"),
                    "identity": {"serviceAccountName": "push", "aws": {"roleARN": "arn:aws:iam::123456789012:role/push"}},
                },
            },
        }))
        .expect("an object");
        let request = Request::new(&object, &settings).expect("a request");
        let shown = |reference: &str| matches!(request.base_access(reference), Access::Identity(_));
        assert!(shown(&format!("{host}/base:1")) && shown("mcr.microsoft.com/windows/nanoserver:ltsc2022"));
        assert!(!shown("quay.io/base:1") && !shown("docker.io/library/golang:1") && !shown("golang:1"));
    }
}
