//! What determines an image, and did it change?
//!
//! [`Inputs`] is the canonical list of everything that changes the bytes of an image; its hash is the fingerprint. Engine,
//! nodes, retries, tags, generation and uid are not in it: an edit of those builds nothing.

use crate::go::compile::Compile;
use crate::request::Request;
use gowindows_crds::names;
use gowindows_crds::v1alpha1::TestsStatus;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use windows_image::Assembly;

/// Version of the canonical form and of what the image writer makes of it: one fingerprint is one digest, whichever version wrote it. A
/// change rebuilds everything once.
const FORMAT: u32 = 3;

/// Everything that changes the bytes of an image, and what it must pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Inputs {
    format: u32,
    /// `<ref>@sha1:<commit>`; only the commit is hashed.
    pub revision: String,
    /// The commit.
    pub commit: String,
    /// The address of the repository, where the image does not name it because the user gives another one (`assembly.source` else).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    repository: Option<String>,
    /// The module's folder.
    pub sub_path: String,
    /// The repository's own Dockerfile, where it makes the image itself; what is in it is the commit's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dockerfile: Option<String>,
    /// The toolchain image, pinned by digest.
    pub toolchain: String,
    /// Why these bases were chosen, for people; not hashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_choice: Option<String>,
    /// The toolchain image of the tests, pinned by digest, where they run on another system than the compiler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    test_toolchain: Option<String>,
    /// How the program is compiled.
    pub compile: Compile,
    /// How the image is assembled; its epoch is the commit's and stays 0 here.
    pub assembly: Assembly,
    /// The packages whose tests the image must have passed: they change no byte of it, but whether the tag may lead to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tests: Vec<String>,
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

impl Inputs {
    /// The inputs of a request at a commit with pinned references.
    pub fn new(request: &Request, name: &str, commit: &str, pins: Pins) -> Self {
        let assembly = request.assembly(commit, pins.bases);
        Self {
            format: FORMAT,
            revision: format!("{name}@sha1:{commit}"),
            commit: commit.to_owned(),
            repository: assembly.source.is_none().then(|| request.url.clone()),
            sub_path: request.sub_path.clone(),
            dockerfile: request.build.engine.dockerfile().map(str::to_owned),
            toolchain: pins.toolchain,
            test_toolchain: pins.test_toolchain,
            base_choice: pins.base_choice,
            compile: request.compile(commit),
            assembly,
            tests: request.test.packages.clone(),
        }
    }

    /// The address of the repository that the commit was taken from.
    pub fn repository(&self) -> &str {
        self.repository.as_ref().or(self.assembly.source.as_ref()).map_or("", String::as_str)
    }

    /// sha256 over the canonical JSON, in hex. The reference's name is left out: the same commit on two branches is one build.
    pub fn fingerprint(&self) -> String {
        let unnamed = Self { revision: String::new(), base_choice: None, ..self.clone() };
        let canonical = serde_json::to_vec(&unnamed).unwrap_or_default();
        hex::encode(Sha256::digest(canonical))
    }

    /// sha256, in hex, over what determines the program alone: equal for images that differ in base, labels, files and the like.
    pub fn program_fingerprint(&self) -> String {
        let Self { format, commit, sub_path, dockerfile, toolchain, compile, .. } = self;
        let ours = (format, commit, sub_path, toolchain, compile);
        let canonical = match dockerfile {
            None => serde_json::to_vec(&ours),
            Some(dockerfile) => serde_json::to_vec(&(ours, dockerfile)),
        };
        let canonical = canonical.unwrap_or_default();
        hex::encode(Sha256::digest(canonical))
    }

    /// The tests that an image of these inputs has passed; none where there are none.
    pub fn passed_tests(&self) -> Option<TestsStatus> {
        let program = self.program_fingerprint();
        let determined = match &self.test_toolchain {
            None => serde_json::to_vec(&(program, &self.tests)),
            Some(toolchain) => serde_json::to_vec(&(program, &self.tests, toolchain)),
        };
        let inputs = hex::encode(Sha256::digest(determined.unwrap_or_default()));
        let passed = TestsStatus { packages: self.tests.clone(), inputs };
        (!self.tests.is_empty()).then_some(passed)
    }

    /// The toolchain image of the tests, pinned by digest.
    pub fn toolchain_of_tests(&self) -> &String {
        self.test_toolchain.as_ref().unwrap_or(&self.toolchain)
    }

    /// The tag under which the registry keeps the image of these inputs while its tests run.
    pub fn untested_tag(&self) -> String {
        names::untested_tag(&self.fingerprint())
    }

    /// The tag under which the registry keeps the image of these inputs.
    pub fn tag(&self) -> String {
        names::fingerprint_tag(&self.fingerprint())
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
