//! What of a specification concerns running what is published? Valid by itself: where another part is refused, rollouts go on.

use super::checks::{self, Check, invalid};
use super::{MINUTE, Refusal, identity, object_name};
use crate::access::{Access, PUSH_SECRET, Repository};
use crate::conversions;
use crate::question::Question;
use crate::settings::Settings;
use crate::wire::identity::Identity;
use gowindows_crds::GoWindowsImage;
use gowindows_crds::patterns;
use gowindows_crds::v1alpha1::{BuildEngine, BuildKitSpec, BuildSpec, RolloutMode, RolloutSpec, TargetKind, TargetSpec};
use kube_core::ResourceExt;
use std::time::Duration;
use windows_image::verify::Author;

/// Where the image is published, and which workloads run it.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRequest {
    /// Where the image goes.
    pub repository: Repository,
    /// Who writes the image.
    pub author: Author,
    /// Name of the Secret whose key signs; none: nothing is signed.
    pub signing: Option<String>,
    /// Write digests into targets.
    pub apply: bool,
    /// The targets.
    pub targets: Vec<TargetRequest>,
    /// How long a target may take.
    pub progress_deadline: Duration,
}

/// A target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetRequest {
    /// Its kind.
    pub kind: TargetKind,
    /// Its name.
    pub name: String,
    /// The container; none: the only one.
    pub container: Option<String>,
}

impl RunRequest {
    /// Validates this part of an object.
    ///
    /// # Errors
    /// The first thing that is wrong, with field, value and remedy.
    pub fn new(object: &GoWindowsImage, settings: &Settings) -> Result<Self, Refusal> {
        let spec = &object.spec;
        let RolloutSpec { mode, targets, progress_deadline } = spec.rollout.clone().unwrap_or_default();
        let signing = spec.signing.as_ref().map(|signing| object_name("signing.keySecretRef.name", &signing.key_secret_ref.name));
        let request = Self {
            repository: repository(object, settings)?,
            author: author(&spec.build.clone().unwrap_or_default()),
            signing: signing.transpose()?,
            apply: mode.unwrap_or_default() == RolloutMode::Apply,
            targets: targets.into_iter().enumerate().map(|(index, target)| self::target(index, target)).collect::<Result<_, _>>()?,
            progress_deadline: checks::positive("rollout.progressDeadline", progress_deadline.as_deref(), 20 * MINUTE)?,
        };
        request.check_targets(object)?;
        Ok(request)
    }

    /// `repository@digest`.
    pub fn reference(&self, digest: &str) -> String {
        format!("{}@{digest}", self.repository.name)
    }

    /// The question which image stands under a tag of the repository.
    pub fn published(&self, tag: String) -> Question {
        Question::Published { repository: self.repository.clone(), tag, author: self.author }
    }

    /// The question what the provenance of a digest of the repository tells.
    pub fn provenance(&self, digest: &str) -> Question {
        Question::Provenance { repository: self.repository.clone(), digest: digest.to_owned(), key: self.signing.clone() }
    }

    /// Who is let into the registry, where no Secret is named.
    pub fn identity(&self) -> Option<&Identity> {
        match &self.repository.access {
            Access::Identity(identity) => Some(identity),
            Access::Anonymous | Access::Secret { .. } => None,
        }
    }

    fn check_targets(&self, object: &GoWindowsImage) -> Result<(), Refusal> {
        for (index, target) in self.targets.iter().enumerate() {
            if self.targets[..index].contains(target) {
                let value = format!("{}/{} in {}", target.kind.as_str(), target.name, object.namespace().unwrap_or_default());
                return Err(invalid(&format!("rollout.targets[{index}]"), &value, "it is listed twice; keep one"));
            }
        }
        Ok(())
    }
}

fn repository(object: &GoWindowsImage, settings: &Settings) -> Result<Repository, Refusal> {
    let image = &object.spec.image;
    if let (Some(secret), Some(_)) = (&image.push_secret_ref, &image.identity) {
        let remedy = "set pushSecretRef or identity, not both: image.identity makes the password by itself";
        return Err(invalid(PUSH_SECRET, &secret.name, remedy));
    }
    let remedy = "use host/path without tag or digest, such as registry.example.com/shop/app";
    let check = Check::new("image.repository", &image.repository, remedy).at_most(255);
    let access = match (&image.push_secret_ref, &image.identity) {
        (Some(secret), _) => Access::Secret { field: PUSH_SECRET, name: object_name("image.pushSecretRef.name", &secret.name)? },
        (None, Some(spec)) => {
            let namespace = object.namespace().unwrap_or_default();
            Access::Identity(identity::identity(spec.clone(), &namespace, &image.repository, settings)?)
        }
        (None, None) => Access::Anonymous,
    };
    Ok(Repository { name: check.form(patterns::REPOSITORY)?, access })
}

fn target(index: usize, target: TargetSpec) -> Result<TargetRequest, Refusal> {
    let field = format!("rollout.targets[{index}]");
    let TargetSpec { kind, name, container } = target;
    let container = container.as_deref();
    let container =
        container.map(|name| Check::new(&format!("{field}.container"), name, "name a container").form(patterns::CONTAINER_NAME));
    Ok(TargetRequest {
        kind: kind.unwrap_or_default(),
        name: object_name(&format!("{field}.name"), &name)?,
        container: container.transpose()?,
    })
}

/// BuildKit writes the image itself from a Dockerfile of the repository's own, and a buildkitd at a TCP address runs on Linux.
fn author(build: &BuildSpec) -> Author {
    let buildkit = build.buildkit.as_ref().filter(|_| build.engine == Some(BuildEngine::BuildKit));
    let Some(BuildKitSpec { address, dockerfile: Some(_), .. }) = buildkit else { return Author::Us };
    let elsewhere = address.as_ref().is_some_and(|address| address.starts_with("tcp:"));
    let system = build.nodes.as_ref().and_then(|nodes| nodes.os).filter(|_| !elsewhere).unwrap_or_default();
    Author::buildkit(conversions::system(system))
}
