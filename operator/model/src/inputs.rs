//! What determines an image, and did it change?
//!
//! [`Inputs`] is the canonical list of everything that changes the bytes of an image; its hash is the fingerprint. Engine,
//! nodes, retries, tags, generation and uid are not in it: an edit of those builds nothing.
//!
//! Identity fails closed: what has no canonical form has no fingerprint, and is an error where it is made.

mod source_id;

pub use source_id::SourceId;

use crate::go::Compile;
use crate::request::Request;
use gowindows_crds::names;
use gowindows_crds::v1alpha1::TestsStatus;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use source_id::SourceKeys;
use std::ops::Deref;
use thiserror::Error;
use windows_image::Assembly;

/// Version of the canonical form and of what the image writer makes of it: one fingerprint is one digest, whichever version wrote it. A
/// change rebuilds everything once.
const FORMAT: u32 = 3;

/// Inputs that have no canonical form, so that nothing can be said of what they make.
#[derive(Debug, Error)]
#[error("these inputs have no canonical form")]
pub struct Uncanonical(#[from] serde_json::Error);

/// Everything that changes the bytes of an image, and what it must pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputList {
    format: u32,
    /// What the source calls its state: `<ref>@sha1:<commit>`. For people; not hashed.
    pub revision: String,
    /// What the source is.
    pub source: SourceId,
    /// The address of the repository, where the image does not name it because the user gives another one (`assembly.source` else).
    repository: Option<String>,
    /// The module's folder.
    pub sub_path: String,
    /// The repository's own Dockerfile, where it makes the image itself; what is in it is the commit's.
    pub dockerfile: Option<String>,
    /// The toolchain image, pinned by digest.
    pub toolchain: String,
    /// Why these bases were chosen, for people; not hashed.
    pub base_choice: Option<String>,
    /// The toolchain image of the tests, pinned by digest, where they run on another system than the compiler.
    test_toolchain: Option<String>,
    /// How the program is compiled.
    pub compile: Compile,
    /// How the image is assembled; its epoch is the commit's and stays 0 here.
    pub assembly: Assembly,
    /// The packages whose tests the image must have passed: they change no byte of it, but whether the tag may lead to it.
    pub tests: Vec<String>,
}

/// The canonical form: its bytes are hashed, and stand in annotations of running builds. Keys are only added, and left out where they say
/// nothing.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Canonical {
    format: u32,
    revision: String,
    commit: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tree: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    artifact: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    repository: Option<String>,
    sub_path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dockerfile: Option<String>,
    toolchain: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base_choice: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    test_toolchain: Option<String>,
    compile: Compile,
    assembly: Assembly,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tests: Vec<String>,
}

/// An [`InputList`] with its identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Canonical", into = "Canonical")]
pub struct Inputs {
    list: InputList,
    json: String,
    value: Value,
    fingerprint: String,
    program: String,
    passed_tests: Option<TestsStatus>,
}

/// The references that were pinned for a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pins {
    /// Bases as `reference@digest`.
    pub bases: Vec<String>,
    /// The toolchain as `reference@digest`.
    pub toolchain: String,
    /// That of tests on another system.
    pub test_toolchain: Option<String>,
    /// Why these bases, for people.
    pub base_choice: Option<String>,
}

impl From<InputList> for Canonical {
    fn from(list: InputList) -> Self {
        let InputList {
            format,
            revision,
            source,
            repository,
            sub_path,
            dockerfile,
            toolchain,
            base_choice,
            test_toolchain,
            compile,
            assembly,
            tests,
        } = list;
        let SourceKeys { commit, tree, artifact } = source.into();
        Self {
            format,
            revision,
            commit,
            tree,
            artifact,
            repository,
            sub_path,
            dockerfile,
            toolchain,
            base_choice,
            test_toolchain,
            compile,
            assembly,
            tests,
        }
    }
}

impl From<Inputs> for Canonical {
    fn from(inputs: Inputs) -> Self {
        inputs.list.into()
    }
}

impl TryFrom<Canonical> for Inputs {
    type Error = Uncanonical;

    fn try_from(canonical: Canonical) -> Result<Self, Uncanonical> {
        let Canonical {
            format,
            revision,
            commit,
            tree,
            artifact,
            repository,
            sub_path,
            dockerfile,
            toolchain,
            base_choice,
            test_toolchain,
            compile,
            assembly,
            tests,
        } = canonical;
        Self::of(InputList {
            format,
            revision,
            source: SourceKeys { commit, tree, artifact }.into(),
            repository,
            sub_path,
            dockerfile,
            toolchain,
            base_choice,
            test_toolchain,
            compile,
            assembly,
            tests,
        })
    }
}

impl Deref for Inputs {
    type Target = InputList;

    fn deref(&self) -> &InputList {
        &self.list
    }
}

impl Inputs {
    /// The inputs of a request at a state of its source, with pinned references. `name` is the branch or tag.
    ///
    /// # Errors
    /// They have no canonical form.
    pub fn new(request: &Request, name: &str, source: SourceId, pins: Pins) -> Result<Self, Uncanonical> {
        let assembly = request.assembly(source.commit(), pins.bases);
        Self::of(InputList {
            format: FORMAT,
            revision: format!("{name}@sha1:{}", source.commit()),
            repository: assembly.source.is_none().then(|| request.url.clone()),
            sub_path: request.sub_path.clone(),
            dockerfile: request.build.engine.dockerfile().map(str::to_owned),
            toolchain: pins.toolchain,
            test_toolchain: pins.test_toolchain,
            base_choice: pins.base_choice,
            compile: request.compile(source.commit()),
            source,
            assembly,
            tests: request.test.packages.clone(),
        })
    }

    fn of(list: InputList) -> Result<Self, Uncanonical> {
        let json = serde_json::to_string(&Canonical::from(list.clone()))?;
        let mut value = serde_json::to_value(list.hashed())?;
        value.as_object_mut().map(|value| value.remove("revision"));
        let program = list.program()?;
        let passed_tests = list.passed_tests(&program)?;
        Ok(Self { fingerprint: list.fingerprint()?, json, value, program, passed_tests, list })
    }

    /// sha256 over the canonical JSON, in hex. The reference's name is left out: the same commit on two branches is one build.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// sha256, in hex, over what determines the program alone: equal for images that differ in base, labels, files and the like.
    pub fn program_fingerprint(&self) -> &str {
        &self.program
    }

    /// The tests that an image of these inputs has passed; none where there are none.
    pub fn passed_tests(&self) -> Option<&TestsStatus> {
        self.passed_tests.as_ref()
    }

    /// As they stand in annotations.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// What of them is hashed, for provenance: what is only told to people could have been edited.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The tag under which the registry keeps the image of these inputs while its tests run.
    pub fn untested_tag(&self) -> String {
        names::untested_tag(&self.fingerprint)
    }

    /// The tag under which the registry keeps the image of these inputs.
    pub fn tag(&self) -> String {
        names::fingerprint_tag(&self.fingerprint)
    }
}

impl InputList {
    /// The address of the repository that the commit was taken from.
    pub fn repository(&self) -> &str {
        self.repository.as_ref().or(self.assembly.source.as_ref()).map_or("", String::as_str)
    }

    /// What the source calls this state: the commit.
    pub fn commit(&self) -> &str {
        self.source.commit()
    }

    fn fingerprint(&self) -> Result<String, serde_json::Error> {
        hash(&self.hashed())
    }

    fn hashed(&self) -> Canonical {
        Self { revision: String::new(), base_choice: None, source: self.source.unnamed(), ..self.clone() }.into()
    }

    fn program(&self) -> Result<String, serde_json::Error> {
        let Self { format, source, sub_path, dockerfile, toolchain, compile, .. } = self;
        let ours = (format, source.identity(), sub_path, toolchain, compile);
        match dockerfile {
            None => hash(&ours),
            Some(dockerfile) => hash(&(ours, dockerfile)),
        }
    }

    fn passed_tests(&self, program: &str) -> Result<Option<TestsStatus>, serde_json::Error> {
        if self.tests.is_empty() {
            return Ok(None);
        }
        let inputs = match &self.test_toolchain {
            None => hash(&(program, &self.tests))?,
            Some(toolchain) => hash(&(program, &self.tests, toolchain))?,
        };
        Ok(Some(TestsStatus { packages: self.tests.clone(), inputs }))
    }

    /// The toolchain image of the tests, pinned by digest.
    pub fn toolchain_of_tests(&self) -> &String {
        self.test_toolchain.as_ref().unwrap_or(&self.toolchain)
    }

    /// The pinned references.
    pub fn pins(&self) -> Pins {
        Pins {
            bases: self.assembly.bases.clone(),
            toolchain: self.toolchain.clone(),
            test_toolchain: self.test_toolchain.clone(),
            base_choice: self.base_choice.clone(),
        }
    }

    /// The parts of the specification in which two inputs differ, as field paths; the commit is not one of them.
    pub fn differing_fields(&self, other: &Self) -> Vec<&'static str> {
        let Self { format, sub_path, dockerfile, toolchain, test_toolchain, compile, assembly, tests, .. } = self;
        // Who packs the layer has a level of its own, which nobody asked for.
        let other_packer = dockerfile.is_some() != other.dockerfile.is_some();
        let pairs = [
            ("format", *format == other.format),
            ("source.subPath", *sub_path == other.sub_path),
            ("build.buildkit.dockerfile", *dockerfile == other.dockerfile),
            ("go.version", *toolchain == other.toolchain),
            ("go", *compile == other.compile),
            ("go.test", *tests == other.tests && *test_toolchain == other.test_toolchain),
            ("image.base", assembly.bases == other.assembly.bases),
            ("image.args", assembly.args == other.assembly.args),
            ("image.env", assembly.env == other.assembly.env),
            ("image.ports", assembly.ports == other.assembly.ports),
            ("image.labels", assembly.labels == other.assembly.labels),
            ("image.annotations", assembly.annotations == other.assembly.annotations),
            ("image.files", assembly.files == other.assembly.files),
            ("source.git.url", self.repository() == other.repository()),
            ("image.compression", other_packer || assembly.compression == other.assembly.compression),
        ];
        pairs.iter().filter(|(_, same)| !same).map(|(field, _)| *field).collect()
    }
}

fn hash(canonical: &impl Serialize) -> Result<String, serde_json::Error> {
    Ok(hex::encode(Sha256::digest(serde_json::to_vec(canonical)?)))
}

impl Pins {
    /// Whether these pins are pins of the references that a request asks for.
    pub fn answer(&self, request: &Request) -> bool {
        let pins_of =
            |pinned: &str, asked: &str| pinned == asked || pinned.strip_prefix(asked).is_some_and(|rest| rest.starts_with("@sha256:"));
        self.bases.len() == request.bases.len()
            && self.bases.iter().zip(&request.bases).all(|(pinned, asked)| pins_of(pinned, asked))
            && pins_of(&self.toolchain, &request.toolchain)
            && match (&self.test_toolchain, &request.test.toolchain) {
                (Some(pinned), Some(asked)) => pins_of(pinned, asked),
                (pinned, asked) => pinned == asked,
            }
    }
}
