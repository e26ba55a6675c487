//! How was an image built? The SLSA v1 predicate.
//!
//! Written by the controller from what it ordered and what the cluster says of the Job, and not by the build pod, which could
//! say anything. The commit is bound here: the program itself has no stamp of it, so that equal sources give equal programs.

use super::Program;
use gowindows_crds::v1alpha1::TestsStatus;
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use windows_image::Digest;

pub(super) const BUILD_TYPE: &str = "https://gowindows.dev/build/v1";
pub(super) const BUILDER: &str = "https://gowindows.dev/operator/v1";

/// What is known of a build.
#[derive(Clone, Debug, PartialEq)]
pub struct Provenance {
    /// Address of the repository.
    pub repository: String,
    /// Branch or tag; the commit itself where one is pinned. None where the source has gone on since: what a Job says of it is no input.
    pub reference: Option<String>,
    /// The commit.
    pub commit: String,
    /// Everything that was asked for: what is hashed into the fingerprint.
    pub parameters: Value,
    /// The fingerprint.
    pub fingerprint: String,
    /// Where the image is published, without tag and digest.
    pub image: String,
    /// The object that asked for it: `namespace/name`.
    pub object: String,
    /// The program in it; none where a Dockerfile says what is.
    pub program: Option<Program>,
    /// The tests that it has passed.
    pub tests: Option<TestsStatus>,
    /// The bases, each `name@digest`, under the names that were asked for.
    pub bases: Vec<String>,
    /// The compiler's image, as `name@digest`; none where the repository's own Dockerfile says it.
    pub toolchain: Option<String>,
    /// The image whose program was taken over, as `name@digest`, where nothing was compiled.
    pub program_of: Option<String>,
    /// The image of the operator's own steps.
    pub step_image: String,
    /// What compiled: the go command itself, or a builder that ran it in the toolchain's image. None where nothing was compiled.
    pub engine: Option<String>,
    /// The Job that built it.
    pub witness: Witness,
}

/// A build Job that the operator has seen succeed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Witness {
    /// Its name.
    pub job: String,
    /// Its uid.
    pub uid: String,
    /// Which attempt it was.
    pub attempt: i32,
    /// When it was created.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Option<Timestamp>,
}

impl Provenance {
    /// The predicate, with the digest of the bill's referrer where there is one. Equal builds and bills give equal bytes.
    pub fn predicate(&self, sbom: Option<&Digest>) -> Value {
        let Self { repository, reference, commit, parameters, bases, toolchain, program_of, step_image, witness, .. } = self;
        let Witness { uid, started, finished, .. } = witness;
        let mut dependencies = vec![json!({"uri": format!("git+{repository}"), "digest": {"gitCommit": commit}})];
        dependencies.extend(bases.iter().chain(toolchain).chain(program_of).map(|image| image_dependency(image)));
        json!({
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"source": {"repository": repository, "ref": reference}, "build": parameters},
                "internalParameters": self.internal_parameters(),
                "resolvedDependencies": dependencies,
            },
            "runDetails": {
                "builder": {
                    "id": BUILDER,
                    "version": {"gowindows": env!("CARGO_PKG_VERSION")},
                    "builderDependencies": [image_dependency(step_image)],
                },
                "metadata": {
                    "invocationId": uid,
                    "startedOn": whole_second(*started),
                    "finishedOn": finished.map(whole_second),
                },
                "byproducts": sbom.map(|digest| json!({"name": "sbom", "digest": {"sha256": digest.hex()}})).into_iter().collect::<Vec<_>>(),
            },
        })
    }

    /// What the operator itself decided, and what it holds an image against later ([`Testimony`](super::Testimony)).
    fn internal_parameters(&self) -> Value {
        let Self { fingerprint, image, object, program, tests, engine, witness: Witness { job, attempt, .. }, .. } = self;
        json!({
            "fingerprint": fingerprint, "image": image, "object": object, "program": program, "tests": tests,
            "job": job, "attempt": attempt, "engine": engine,
        })
    }
}

fn whole_second(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

fn image_dependency(reference: &str) -> Value {
    match reference.split_once("@sha256:") {
        Some((name, hex)) => json!({"uri": format!("oci://{name}"), "digest": {"sha256": hex}}),
        None => json!({"uri": format!("oci://{reference}")}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_everything_that_went_in_by_digest() {
        let (base, go) = ("b".repeat(64), "c".repeat(64));
        let provenance = Provenance {
            repository: "https://git.example.com/shop.git".into(),
            reference: Some("main".into()),
            commit: "4f1c".into(),
            parameters: json!({"compile": {"package": "./cmd/shop"}}),
            fingerprint: "f00".into(),
            image: "r.example.com/shop".into(),
            object: "team/shop".into(),
            program: Some(Program { inputs: "p00".into(), sha256: base.clone() }),
            tests: None,
            bases: vec![format!("mcr.example.com/nanoserver:ltsc2022@sha256:{base}")],
            toolchain: Some(format!("r.example.com/go@sha256:{go}")),
            program_of: Some(format!("r.example.com/shop@sha256:{base}")),
            step_image: "r.example.com/gowindows:1".into(),
            engine: Some("Go".into()),
            witness: Witness {
                job: "shop-1".into(),
                uid: "0000".into(),
                attempt: 2,
                started: Timestamp::from_second(1_767_323_045).expect("in range"),
                finished: Timestamp::from_millisecond(1_767_323_100_999).ok(),
            },
        };
        let predicate = provenance.predicate(Some(&Digest::of(b"bill")));
        let dependencies = &predicate["buildDefinition"]["resolvedDependencies"];
        assert_eq!(dependencies[0], json!({"uri": "git+https://git.example.com/shop.git", "digest": {"gitCommit": "4f1c"}}));
        assert_eq!(dependencies[1], json!({"uri": "oci://mcr.example.com/nanoserver:ltsc2022", "digest": {"sha256": base}}));
        assert_eq!(dependencies[2], json!({"uri": "oci://r.example.com/go", "digest": {"sha256": go}}));
        assert_eq!(dependencies[3], json!({"uri": "oci://r.example.com/shop", "digest": {"sha256": base}}));
        let metadata = &predicate["runDetails"]["metadata"];
        assert_eq!(metadata["startedOn"], "2026-01-02T03:04:05Z");
        assert_eq!(metadata["finishedOn"], "2026-01-02T03:05:00Z");
        assert_eq!(predicate["runDetails"]["byproducts"][0]["digest"]["sha256"], Digest::of(b"bill").hex());
        assert_eq!(predicate["runDetails"]["builder"]["builderDependencies"][0], json!({"uri": "oci://r.example.com/gowindows:1"}));
    }
}
