//! What plays git and the registry? The same traits that the real clients implement, over two maps.

use crate::dice::Dice;
use crate::stage::{Stage, outside_lane};
use futures::future::BoxFuture;
use gowindows_crds::conditions::Reason;
use gowindows_crds::v1alpha1::{BinaryStatus, ImageStatus, PlatformStatus, PullBytes};
use gowindows_model::attest::Testimony;
use gowindows_model::call_error::CallError;
use gowindows_model::facts::{Attested, Published, ResolvedBase, Revision};
use gowindows_model::plan::Attestation;
use gowindows_model::ports::{Clouds, Git, Login, Registry, SecretData};
use gowindows_model::wire::identity::Identity;
use gowindows_model::wire::source::Reference;
use k8s_openapi::jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use windows_image::verify::Author;

/// What the program of a commit is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// It compiles and runs.
    Good,
    /// It does not compile.
    Broken,
    /// It compiles where the compiler gets more than 4Gi of memory.
    Hungry,
    /// It compiles, and a test of it fails.
    Untested,
    /// It compiles, and ends with exit code 3 as soon as it starts.
    Crashes,
}

/// An image that a build pod has pushed.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// Its program.
    pub program: Program,
    /// The uids of the objects whose pods pushed it.
    pub by: Vec<String>,
    /// The how-manieth image it was.
    pub order: u64,
    /// The linker flags that it was built with.
    pub ldflags: Vec<String>,
    /// When it was there first under the tag by which it is adopted.
    pub at: Option<Timestamp>,
    /// When provenance of it was there first: until then a tag is all that leads to it.
    pub told: Option<Timestamp>,
    /// Its commit.
    pub commit: String,
}

#[derive(Default)]
struct State {
    /// By the repository's URL: its newest commit.
    heads: BTreeMap<String, String>,
    /// By commit.
    programs: BTreeMap<String, Program>,
    /// By `repository:tag`.
    tags: BTreeMap<String, String>,
    /// By digest.
    images: BTreeMap<String, Pushed>,
    /// Digests that were deleted since.
    deleted: BTreeSet<String>,
    /// By digest: what its provenance tells, and whether that is signed.
    told: BTreeMap<String, Vec<(bool, Testimony)>>,
    /// Commits whose tests have passed.
    passed: BTreeSet<String>,
    commits: u64,
    git_down: bool,
    registry_down: Option<Reason>,
}

/// Git servers and registries.
#[derive(Clone, Default)]
pub struct Outside {
    state: Arc<Mutex<State>>,
}

impl Outside {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits a program to a repository's only branch. Returns the commit.
    pub fn commit(&self, url: &str, program: Program) -> String {
        let mut state = self.state();
        state.commits += 1;
        let commit = format!("{:016x}{:024x}", Dice(0).roll(url, state.commits), state.commits);
        state.heads.insert(url.to_owned(), commit.clone());
        state.programs.insert(commit.clone(), program);
        commit
    }

    /// The newest commit of a repository becomes that of another, too.
    pub fn mirror(&self, from: &str, to: &str) {
        let mut state = self.state();
        if let Some(commit) = state.heads.get(from).cloned() {
            state.heads.insert(to.to_owned(), commit);
        }
    }

    /// The newest commit of a repository.
    pub fn head(&self, url: &str) -> String {
        self.state().heads.get(url).cloned().unwrap_or_default()
    }

    /// What the program of a commit is like.
    pub fn program(&self, commit: &str) -> Program {
        self.state().programs.get(commit).copied().unwrap_or(Program::Broken)
    }

    /// A build pod pushes. The digest is a function of what determines the image, as it really is.
    pub fn push(&self, repository: &str, tag: &str, commit: &str, ldflags: Vec<String>, by: &str, at: Timestamp) -> String {
        let program = self.program(commit);
        let mut state = self.state();
        let digest = format!("sha256:{:0>64}", tag.trim_start_matches("gw-").trim_start_matches("untested-"));
        state.tags.insert(format!("{repository}:{tag}"), digest.clone());
        state.deleted.remove(&digest);
        let order = u64::try_from(state.images.len()).unwrap_or_default();
        let new = || Pushed { program, by: Vec::new(), order, ldflags, at: None, told: None, commit: commit.to_owned() };
        let image = state.images.entry(digest.clone()).or_insert_with(new);
        if !image.by.iter().any(|uid| uid == by) {
            image.by.push(by.to_owned());
        }
        if !tag.starts_with("gw-untested-") {
            image.at.get_or_insert(at);
        }
        digest
    }

    /// The tests of a commit have passed.
    pub fn pass(&self, commit: &str) {
        self.state().passed.insert(commit.to_owned());
    }

    /// Whether they have.
    pub fn has_passed(&self, commit: &str) -> bool {
        self.state().passed.contains(commit)
    }

    /// The image of a fingerprint, of which a label holds the start.
    pub fn image_of(&self, fingerprint: &str) -> Option<Pushed> {
        let of_it =
            |digest: &str| digest.trim_start_matches("sha256:").trim_start_matches('0').starts_with(fingerprint.trim_start_matches('0'));
        self.state().images.iter().find(|(digest, _)| of_it(digest)).map(|(_, pushed)| pushed.clone())
    }

    /// The image of a digest.
    pub fn image(&self, digest: &str) -> Option<Pushed> {
        self.state().images.get(digest).cloned()
    }

    /// The digest under a tag.
    pub fn tagged(&self, repository: &str, tag: &str) -> Option<String> {
        self.state().tags.get(&format!("{repository}:{tag}")).cloned()
    }

    /// An image is deleted from the registry. That it was pushed stays true.
    pub fn forget(&self, digest: &str) {
        let mut state = self.state();
        state.deleted.insert(digest.to_owned());
        state.tags.retain(|_, tagged| tagged != digest);
    }

    /// The image of a digest, where the registry still has it.
    pub fn served(&self, digest: &str) -> Option<Pushed> {
        self.image(digest).filter(|_| !self.state().deleted.contains(digest))
    }

    /// Whether a digest is signed.
    pub fn signed(&self, digest: &str) -> bool {
        self.state().told.get(digest).is_some_and(|told| told.iter().any(|(signed, _)| *signed))
    }

    /// All provenance is as a version before wrote it: of inputs, and of nothing else.
    pub fn tell_less(&self) {
        for (_, told) in self.state().told.values_mut().flatten() {
            *told = Testimony { fingerprint: told.fingerprint.clone(), started: told.started, ..Testimony::default() };
        }
    }

    /// Whether git answers.
    pub fn set_git_down(&self, down: bool) {
        self.state().git_down = down;
    }

    /// What the registry answers to everything.
    pub fn set_registry_down(&self, reason: Option<Reason>) {
        self.state().registry_down = reason;
    }

    fn registry_trouble(&self) -> Result<(), CallError> {
        match self.state().registry_down {
            Some(reason) => Err(CallError { reason, message: "The registry does not do it.".into() }),
            None => Ok(()),
        }
    }
}

/// The outside world as one process reaches it.
pub struct Reached(pub Arc<Stage>);

impl Reached {
    async fn travel(&self, question: &str) {
        let hash = self.0.dice.roll(question, 0);
        let delay = self.0.dice.below(question, self.0.milliseconds() / 1000, 60);
        self.0.wait(outside_lane(hash), Duration::from_millis(delay)).await;
    }
}

/// A ServiceAccount whose name says so is absent. A cloud is down when its registry is.
impl Clouds for Reached {
    fn login<'a>(&'a self, identity: &'a Identity) -> BoxFuture<'a, Result<Login, CallError>> {
        Box::pin(async move {
            let name = &identity.service_account;
            self.travel(name).await;
            if name == "absent" {
                return Err(CallError { reason: Reason::IdentityUnavailable, message: format!("ServiceAccount {name} is absent.") });
            }
            let down = |error: CallError| CallError { reason: Reason::IdentityUnreachable, ..error };
            self.0.outside.registry_trouble().map_err(down)?;
            Ok(Login { username: "AWS".into(), password: crate::invariants::SECRET.into(), lasts: Duration::from_secs(900) })
        })
    }
}

impl Git for Reached {
    fn resolve<'a>(&'a self, url: &'a str, _: &'a Reference, _: Option<&'a SecretData>) -> BoxFuture<'a, Result<Revision, CallError>> {
        Box::pin(async move {
            self.travel(url).await;
            let state = self.0.outside.state();
            if state.git_down {
                return Err(CallError { reason: Reason::SourceUnreachable, message: format!("{url} does not answer.") });
            }
            match state.heads.get(url) {
                Some(commit) => Ok(Revision { name: "main".into(), commit: commit.clone() }),
                None => Err(CallError { reason: Reason::RefNotFound, message: format!("{url} has no branch.") }),
            }
        })
    }
}

impl Registry for Reached {
    fn digest<'a>(&'a self, reference: &'a str, _: Option<&'a SecretData>) -> BoxFuture<'a, Result<String, CallError>> {
        Box::pin(async move {
            self.travel(reference).await;
            self.0.outside.registry_trouble()?;
            Ok(format!("sha256:{:064x}", Dice(7).roll(reference, 0)))
        })
    }

    fn base<'a>(&'a self, reference: &'a str, secret: Option<&'a SecretData>) -> BoxFuture<'a, Result<ResolvedBase, CallError>> {
        Box::pin(async move {
            let digest = self.digest(reference, secret).await?;
            Ok(ResolvedBase { digest, os_versions: vec!["10.0.20348.5499".into()] })
        })
    }

    fn published<'a>(
        &'a self,
        repository: &'a str,
        tag: &'a str,
        _: Author,
        _: Option<&'a SecretData>,
    ) -> BoxFuture<'a, Result<Option<Published>, CallError>> {
        Box::pin(async move {
            self.travel(tag).await;
            self.0.outside.registry_trouble()?;
            let digest = self.0.outside.tagged(repository, tag);
            Ok(digest.map(|digest| Published { image: image_status(repository, &digest), violations: Vec::new() }))
        })
    }

    fn provenance<'a>(
        &'a self,
        _: &'a str,
        digest: &'a str,
        _: Option<&'a SecretData>,
        key: Option<&'a SecretData>,
    ) -> BoxFuture<'a, Result<Vec<Testimony>, CallError>> {
        Box::pin(async move {
            self.travel(&format!("provenance {digest}")).await;
            self.0.outside.registry_trouble()?;
            has_key(key)?;
            let state = self.0.outside.state();
            let told = state.told.get(digest).into_iter().flatten();
            Ok(told.filter(|(signed, _)| *signed == key.is_some()).map(|(_, told)| told.clone()).collect())
        })
    }

    fn tag<'a>(
        &'a self,
        repository: &'a str,
        digest: &'a str,
        tags: &'a [String],
        _: Option<&'a SecretData>,
    ) -> BoxFuture<'a, Result<(), CallError>> {
        Box::pin(async move {
            self.travel(digest).await;
            self.0.outside.registry_trouble()?;
            for tag in tags {
                // The name of the shop and the commit.
                let shop = tag.rsplit_once('-').map_or(tag.as_str(), |(shop, _)| shop);
                if self.0.invariants().signs(shop) && !self.0.outside.signed(digest) {
                    self.0.invariants().breaks(format!("I13: tag {tag} was moved to {digest}, which is not signed"));
                }
            }
            let commit = self.0.outside.image(digest).map(|image| image.commit).unwrap_or_default();
            let promoted = tags.iter().any(|tag| tag.starts_with("gw-"));
            if promoted && !self.0.outside.has_passed(&commit) {
                self.0.invariants().breaks(format!("I14: {tags:?} were moved to {digest}, whose tests have not passed"));
            }
            let now = (self.0.clock())();
            let mut state = self.0.outside.state();
            if let Some(image) = state.images.get_mut(digest).filter(|_| promoted) {
                image.at.get_or_insert(now);
            }
            for tag in tags {
                state.tags.insert(format!("{repository}:{tag}"), digest.to_owned());
            }
            Ok(())
        })
    }

    fn attest<'a>(
        &'a self,
        repository: &'a str,
        attestation: &'a Attestation,
        _: Option<&'a SecretData>,
        key: Option<&'a SecretData>,
    ) -> BoxFuture<'a, Result<Attested, CallError>> {
        Box::pin(async move {
            let digest = attestation.digests.first().cloned().unwrap_or_default();
            self.travel(&format!("attest {digest}")).await;
            self.0.outside.registry_trouble()?;
            if self.0.outside.served(&digest).is_none() {
                return Err(CallError { reason: Reason::RegistryInvalid, message: format!("There is no {digest}.") });
            }
            has_key(key)?;
            let mut state = self.0.outside.state();
            let told = state.told.entry(digest.clone()).or_default();
            let written = attestation.provenance.as_ref().and_then(|provenance| Testimony::of(&provenance.predicate(None)));
            let is_it = |(signed, known): &(bool, Testimony)| {
                let same = written
                    .as_ref()
                    .map_or(known.fingerprint == attestation.fingerprint && known.may_be_of(repository, &attestation.object), |written| {
                        known.agrees(written)
                    });
                *signed == key.is_some() && same
            };
            if !told.iter().any(is_it) {
                match written {
                    Some(written) => told.push((key.is_some(), written)),
                    None if key.is_none() => {}
                    None => return Err(CallError { reason: Reason::NotWitnessed, message: format!("Nobody saw {digest} being built.") }),
                }
            }
            let now = (self.0.clock())();
            let provenance = told.iter().any(|(signed, _)| *signed == key.is_some());
            if let Some(image) = state.images.get_mut(&digest).filter(|_| provenance) {
                image.told.get_or_insert(now);
            }
            let named = |there: bool, what: &str| {
                there.then(|| format!("sha256:{what}{:0>60}", digest.trim_start_matches("sha256:").get(..60).unwrap_or_default()))
            };
            Ok(Attested { sbom: named(true, "0001"), provenance: named(provenance, "0002"), signature: named(key.is_some(), "0003") })
        })
    }
}

fn has_key(key: Option<&SecretData>) -> Result<(), CallError> {
    match key {
        Some(data) if !data.contains_key("cosign.key") => {
            Err(CallError { reason: Reason::SecretInvalid, message: "The Secret has no key.".into() })
        }
        _ => Ok(()),
    }
}

fn image_status(repository: &str, digest: &str) -> ImageStatus {
    let platform = PlatformStatus {
        os_version: "10.0.20348.5499".into(),
        release: Some("ltsc2022".into()),
        digest: digest.to_owned(),
        total_bytes: 120_000_000,
        base_bytes: 117_000_000,
        app_bytes: 3_000_000,
        app_unpacked_bytes: Some(9_100_000),
        layers: 2,
    };
    ImageStatus {
        reference: format!("{repository}@{digest}"),
        digest: digest.to_owned(),
        platforms: vec![platform],
        binary: Some(BinaryStatus { name: "shop.exe".into(), bytes: 9_000_000, sha256: "0".repeat(64), inputs: None }),
        pull_bytes: Some(PullBytes { base_cached: 3_000_000, cold: 120_000_000 }),
        ..ImageStatus::default()
    }
}
