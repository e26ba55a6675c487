//! What does the controller tell the `assemble` step, and what does the step tell back?
//!
//! The request travels as one JSON argument (nothing in it is secret), the outcome as the container's termination message,
//! of which Kubernetes keeps 4096 bytes.

use super::identity::Identity;
use crate::go::compile::Compile;
use crate::settings::RegistrySettings;
use gowindows_crds::v1alpha1::{BinaryStatus, ImageStatus, PlatformStatus, PullBytes};
use serde::{Deserialize, Serialize};
use windows_image::Assembly;
use windows_image::windows_apis::AbsentApi;

/// What Kubernetes keeps of a termination message.
pub const LONGEST_OUTCOME: usize = 4096;
/// Leaves room for the rest of the outcome even if every character has to be escaped.
const LONGEST_MESSAGE: usize = 1600;

/// One image to assemble and to push.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AssembleRequest {
    /// Repository to push to, without tag or digest.
    pub repository: String,
    /// The one tag that is set: `gw-` (`gw-untested-` while tests run) and the fingerprint's first 32 hex digits.
    pub tag: String,
    /// What determines the image. Its `epoch` is replaced by the source step's commit time.
    pub assembly: Assembly,
    /// What the program must say of itself; nothing where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Expected>,
    /// Where the program is, when nothing was compiled.
    #[serde(rename = "knownProgram", default, skip_serializing_if = "Option::is_none")]
    pub reused_program: Option<ReusedProgram>,
    /// Who pushes, where the token of a ServiceAccount is exchanged for a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// How registries are reached, certificates in place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub registries: Vec<RegistrySettings>,
    /// The settings' own entries of what base flavors lack.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent_apis: Vec<AbsentApi>,
    /// Longest time of the whole step, in seconds.
    pub timeout_seconds: u64,
}

/// What the program must say of itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expected {
    /// How it was to be compiled.
    pub compile: Compile,
    /// The Go release that was asked for, such as `1.26`; none where only an image is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub go_version: Option<String>,
    /// The module's folder in the source.
    pub sub_path: String,
}

/// A program that is in an image already.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReusedProgram {
    /// The image, `<repository>@<digest>`.
    pub image: String,
    /// The program's sha256, in hex.
    pub sha256: String,
}

/// The termination message.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum AssembleOutcome {
    /// It did not work.
    Failed {
        /// Why.
        failure: AssembleFailure,
    },
    /// The image is in the registry and was verified there.
    Succeeded(AssembleResult),
}

/// What was pushed. To be confirmed by reading the registry.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AssembleResult {
    /// Digest of the index or only manifest.
    pub digest: String,
    /// Its media type.
    pub media_type: String,
    /// `<repository>@<digest>`.
    pub reference: String,
    /// The program.
    pub binary: BinaryStatus,
    /// One per release, newest first.
    pub platforms: Vec<PlatformStatus>,
    /// What a node has to pull.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_bytes: Option<PullBytes>,
    /// Digest of the SBOM's manifest; none where the registry takes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sbom: Option<String>,
    /// What of it may not work, as codes, where the image itself does not say it: of an image that BuildKit has written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Why nothing was pushed, or what was pushed must not be used.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AssembleFailure {
    /// A `gowindows_crds::conditions::Reason`, by name.
    pub reason: String,
    /// What is wrong and what to do.
    pub message: String,
    /// Whether the same attempt may succeed later.
    pub transient: bool,
}

impl AssembleFailure {
    /// A failure whose message fits into a termination message.
    pub fn new(reason: gowindows_crds::conditions::Reason, message: &str, transient: bool) -> Self {
        let mut end = message.len().min(LONGEST_MESSAGE);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        Self { reason: reason.to_string(), message: message[..end].to_string(), transient }
    }
}

impl AssembleResult {
    /// From what the registry gave back.
    pub fn new(media_type: &str, status: ImageStatus) -> Self {
        let ImageStatus { reference, digest, platforms, binary, pull_bytes, sbom, .. } = status;
        Self {
            digest,
            media_type: media_type.into(),
            reference,
            binary: binary.unwrap_or_default(),
            platforms,
            pull_bytes,
            sbom,
            warnings: vec![],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gowindows_crds::conditions::Reason;

    #[test]
    fn the_largest_outcomes_fit_into_a_termination_message() {
        let digest = format!("sha256:{}", "f".repeat(64));
        let platform = PlatformStatus {
            os_version: "10.0.99999.99999".into(),
            release: Some("ltsc2022".into()),
            digest: digest.clone(),
            total_bytes: i64::MAX,
            base_bytes: i64::MAX,
            app_bytes: i64::MAX,
            app_unpacked_bytes: Some(i64::MAX),
            layers: i32::MAX,
        };
        let status = ImageStatus {
            reference: format!("{}@{digest}", "r".repeat(255)),
            digest: digest.clone(),
            platforms: vec![platform; 8],
            binary: Some(BinaryStatus { name: "n".repeat(80), bytes: i64::MAX, sha256: "f".repeat(64), inputs: None }),
            pull_bytes: Some(PullBytes { base_cached: i64::MAX, cold: i64::MAX }),
            sbom: Some(digest),
            ..ImageStatus::default()
        };
        let succeeded = AssembleOutcome::Succeeded(AssembleResult::new(windows_image::manifest::media_type::MANIFEST, status));
        let failed = AssembleOutcome::Failed { failure: AssembleFailure::new(Reason::RegistryUnreachable, &"\"ä\\".repeat(2000), true) };
        for outcome in [succeeded, failed] {
            let json = serde_json::to_string(&outcome).expect("JSON");
            assert!(json.len() <= LONGEST_OUTCOME, "{} bytes", json.len());
            assert_eq!(serde_json::from_str::<AssembleOutcome>(&json).expect("the same"), outcome);
        }
    }

    #[test]
    fn a_failure_reads_as_documented() {
        let failed = AssembleOutcome::Failed { failure: AssembleFailure::new(Reason::RegistryAuthFailed, "no", false) };
        let json = serde_json::to_string(&failed).expect("JSON");
        assert_eq!(json, r#"{"failure":{"reason":"RegistryAuthFailed","message":"no","transient":false}}"#);
    }
}
