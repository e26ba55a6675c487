//! What are generated objects called?
//!
//! A name carries the identity of its owner and of what it stands for: the hash is computed first and the readable prefix is
//! cut to fit (the other way round panicked in Tekton, CVE-2026-33022). A Job's name is never used twice.

use gowindows_crds::v1alpha1::NodeSystem;
use sha2::{Digest, Sha256};

/// Longest readable prefix.
const PREFIX: usize = 40;

/// Name of a build Job: one per object, inputs, attempt and rebuild token. At most 51 characters, so that pods can add theirs.
pub fn job_name(object: &str, uid: &str, fingerprint: &str, attempt: i32, rebuild_token: Option<&str>) -> String {
    let identity = [uid, fingerprint, &attempt.to_string(), rebuild_token.unwrap_or_default()].join("\n");
    format!("{}-{}", prefix(object), short_hash(&identity))
}

/// Name of the Job that runs the tests of a build Job.
pub fn test_job_name(build_job: &str) -> String {
    format!("{build_job}-test")
}

/// Name of a Job that does a part of a build Job's work.
pub fn part_name(build_job: &str, stage: &str) -> String {
    format!("{build_job}-{stage}")
}

/// Name of an object's cache claim: one for each system, for no file system is mounted by both unless it is shared, and a cache is not.
pub fn claim_name(object: &str, uid: &str, system: NodeSystem) -> String {
    let kind = match system {
        NodeSystem::Linux => "cache",
        NodeSystem::Windows => "wincache",
    };
    format!("{}-{kind}-{}", prefix(object), short_hash(uid))
}

/// Name of the claim of its tests' cache.
pub fn test_claim_name(object: &str, uid: &str, system: NodeSystem) -> String {
    let kind = match system {
        NodeSystem::Linux => "testcache",
        NodeSystem::Windows => "wintestcache",
    };
    format!("{}-{kind}-{}", prefix(object), short_hash(uid))
}

fn short_hash(text: &str) -> String {
    hex::encode(Sha256::digest(text)).chars().take(10).collect()
}

/// A legal start of a label: lower-case letters, digits and dashes, not ending in a dash.
fn prefix(object: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let cut: String = object.chars().map(legal).take(PREFIX).collect();
    cut.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_in_every_part_of_their_identity() {
        let name = job_name("shop", "u", "f", 1, None);
        for other in [
            job_name("shop", "v", "f", 1, None),
            job_name("shop", "u", "g", 1, None),
            job_name("shop", "u", "f", 2, None),
            job_name("shop", "u", "f", 1, Some("t")),
        ] {
            assert_ne!(name, other);
        }
        assert_eq!(name, job_name("shop", "u", "f", 1, None));
    }

    #[test]
    fn long_and_dotted_names_stay_legal() {
        for object in ["a".repeat(253), "a.b.c".into(), format!("{}.{}", "x".repeat(39), "y".repeat(200)), "9".into()] {
            let name = job_name(&object, "uid", "fingerprint", 1, None);
            assert!(name.len() <= 51, "{name}");
            assert!(test_job_name(&name).len() + "-abcde".len() <= 63, "pods of tests add as much: {name}");
            // The API server cuts what it adds to, and a Job's name is a label.
            assert!(part_name(&name, "compile").len() <= 63, "{name}");
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{name}");
            assert!(!name.contains("--") || object.contains(".."), "{name}");
        }
    }

    /// What is left of two long names when they are cut can be the same: the hash tells them apart.
    #[test]
    fn objects_that_are_equal_when_cut_have_names_of_their_own() {
        let (one, other) = (format!("{}-one", "x".repeat(60)), format!("{}-other", "x".repeat(60)));
        let job = |object: &str, uid: &str| job_name(object, uid, "f", 1, None);
        assert_eq!(job(&one, "u")[..PREFIX], job(&other, "v")[..PREFIX]);
        let names = |object: &str, uid: &str| {
            let job = job(object, uid);
            let claims = [NodeSystem::Linux, NodeSystem::Windows]
                .map(|system| (claim_name(object, uid, system), test_claim_name(object, uid, system)));
            let claims = claims.into_iter().flat_map(|(cache, tests)| [cache, tests]);
            claims.chain([test_job_name(&job), part_name(&job, "source"), job]).collect::<Vec<_>>()
        };
        let all: std::collections::BTreeSet<_> = names(&one, "u").into_iter().chain(names(&other, "v")).collect();
        assert_eq!(all.len(), 14, "{all:?}");
    }

    /// A million names that an API server allows, and some that it does not.
    #[test]
    fn no_name_makes_it_panic_and_no_two_are_one() {
        let letters: Vec<char> = "abcxyz019.-.-ABÜ_/ \u{202e}".chars().collect();
        let (mut state, mut seen) = (1_u64, std::collections::HashSet::new());
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 40).unwrap_or_default()
        };
        for number in 0..1_000_000_u32 {
            // Nearly all are short; one in a thousand is as long as a name can be, and longer.
            let length = if number % 1000 == 0 { next() % 300 } else { next() % 12 };
            let object: String = (0..length).map(|_| letters[next() % letters.len()]).collect();
            let job = job_name(&object, &number.to_string(), "f", 1, None);
            assert!(job.len() <= 51 && job.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-'), "{object:?} {job}");
            assert!(seen.insert(job), "{object:?} has the name of another object's");
        }
    }
}
