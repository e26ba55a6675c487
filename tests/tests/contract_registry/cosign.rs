//! What the operator says of an image is found and believed by the real cosign, with the right key and with no other.

use crate::server::{BASE, Door, RealRegistry};
use anyhow::{Context, Result, ensure};
use gowindows_clients::attest::BUNDLE;
use gowindows_clients::oci::{Credentials, OciRegistry, Registry, parse_reference};
use gowindows_crds::conditions::Reason;
use gowindows_model::attest::{Program, Provenance, STATEMENT, Testimony, Witness};
use gowindows_model::facts::Attested;
use gowindows_model::plan::Attestation;
use gowindows_model::ports::{Registry as _, SecretData};
use gowindows_tests::lab::progress::Progress;
use gowindows_tests::lab::tools::{COSIGN, Tools};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Output;
use tempfile::TempDir;
use tokio::process::Command;

const REPOSITORY: &str = "windows/nanoserver";
const PASSWORD: &str = "correct horse battery staple";

/// The real cosign, in a folder of its own.
struct Cosign {
    program: PathBuf,
    home: TempDir,
}

impl Cosign {
    async fn new() -> Result<Self> {
        let tools = Tools::ensure(&[COSIGN], &Progress::stderr()).await?;
        Ok(Self { program: tools.path("cosign")?.to_path_buf(), home: tempfile::tempdir()? })
    }

    async fn run(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(self.home.path()).env_clear().kill_on_drop(true);
        command.env("HOME", self.home.path()).env("COSIGN_PASSWORD", PASSWORD);
        command.output().await.context("run cosign")
    }

    /// Makes a key pair; the data of the Secret that `cosign generate-key-pair k8s://` would make of it.
    async fn key(&self, name: &str) -> Result<SecretData> {
        let made = self.run(&["generate-key-pair", "--output-key-prefix", name]).await?;
        ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let read = |ending: &str| std::fs::read(self.home.path().join(format!("{name}.{ending}")));
        Ok([("cosign.key", read("key")?), ("cosign.pub", read("pub")?), ("cosign.password", PASSWORD.into())]
            .map(|(key, value)| (key.to_owned(), value))
            .into())
    }

    /// Whether it believes an image, asked as docs/supply-chain.md says.
    async fn verifies(&self, key: &str, image: &str) -> Result<bool> {
        let public = format!("{key}.pub");
        let asked = self.run(&["verify", "--key", &public, "--insecure-ignore-tlog=true", image]).await?;
        told(&asked);
        Ok(asked.status.success())
    }

    /// The provenance's predicate, if it believes it.
    async fn provenance(&self, key: &str, image: &str) -> Result<Option<Value>> {
        let public = format!("{key}.pub");
        let arguments = ["verify-attestation", "--type", "slsaprovenance1", "--key", &public, "--insecure-ignore-tlog=true", image];
        let asked = self.run(&arguments).await?;
        told(&asked);
        if !asked.status.success() {
            return Ok(None);
        }
        let envelope: Value = serde_json::from_slice(&asked.stdout)?;
        let payload =
            base64::Engine::decode(&base64::engine::general_purpose::STANDARD, envelope["payload"].as_str().context("a payload")?)?;
        Ok(Some(serde_json::from_slice::<Value>(&payload)?["predicate"].clone()))
    }
}

fn told(output: &Output) {
    eprintln!(
        "cosign: {}",
        String::from_utf8_lossy(&output.stderr).lines().filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" | ")
    );
}

/// The digests of the index that is there, and of its manifest.
async fn digests(door: &Door) -> Result<Vec<String>> {
    let registry = Registry::new(&door.settings(), Credentials::none())?;
    let index = registry.manifest(&parse_reference(&format!("{}/{BASE}", door.host))?).await?;
    let parsed: Value = serde_json::from_slice(&index.bytes)?;
    let child = parsed["manifests"][0]["digest"].as_str().context("an entry")?;
    Ok(vec![index.digest.to_string(), child.to_owned()])
}

fn provenance(image: &str) -> Provenance {
    Provenance {
        program_of: None,
        engine: Some("Go".into()),
        repository: "https://git.example.com/shop.git".into(),
        reference: Some("main".into()),
        commit: "4f1c2e7aa8b0c9d1e2f3a4b5c6d7e8f901234567".into(),
        parameters: json!({"compile": {"package": "."}}),
        fingerprint: "f00".into(),
        image: image.into(),
        object: "team/shop".into(),
        program: Some(Program { inputs: "9f".into(), sha256: "e".repeat(64) }),
        tests: None,
        bases: vec![format!("registry.example.com/nanoserver:ltsc2022@sha256:{}", "b".repeat(64))],
        toolchain: Some(format!("registry.example.com/golang@sha256:{}", "c".repeat(64))),
        step_image: "registry.example.com/gowindows:1".into(),
        witness: Witness {
            job: "shop-1".into(),
            uid: "0d3f".into(),
            attempt: 1,
            started: Timestamp::UNIX_EPOCH,
            finished: Some(Timestamp::UNIX_EPOCH),
        },
    }
}

async fn count(door: &Door, digest: &str, kind: &str) -> Result<usize> {
    let registry = Registry::new(&door.settings(), Credentials::none())?;
    let repository = parse_reference(&format!("{}/{REPOSITORY}", door.host))?;
    Ok(registry.referrers(&repository, &digest.parse()?, kind).await?.len())
}

async fn signs_and_is_believed(real: &RealRegistry) -> Result<()> {
    let cosign = Cosign::new().await?;
    let (door, ours, other) = (real.door().await?, cosign.key("ours").await?, cosign.key("other").await?);
    let client = OciRegistry::new(door.settings());
    let repository = format!("{}/{REPOSITORY}", door.host);
    let digests = digests(&door).await?;
    let images: Vec<String> = digests.iter().map(|digest| format!("{repository}@{digest}")).collect();
    ensure!(!cosign.verifies("ours", &images[0]).await?, "nothing is signed yet");

    // Without the Job that built it nothing is signed.
    let unseen =
        Attestation { digests: digests.clone(), fingerprint: "f00".into(), object: "team/shop".into(), sbom: None, provenance: None };
    let refused = client.attest(&repository, &unseen, None, Some(&ours)).await;
    ensure!(refused.as_ref().is_err_and(|error| error.reason == Reason::NotWitnessed), "{refused:?}");
    ensure!(count(&door, &digests[0], BUNDLE).await? == 0);

    let seen = Attestation { provenance: Some(provenance(&repository)), ..unseen.clone() };
    // A status can name any digest of the repository: one that is no part of the image is not signed with it.
    let stranger = Attestation { digests: vec![digests[1].clone(), digests[0].clone()], ..seen.clone() };
    client.attest(&repository, &stranger, None, Some(&ours)).await.map_err(|error| anyhow::anyhow!("{error:?}"))?;
    ensure!((count(&door, &digests[0], BUNDLE).await?, count(&door, &digests[1], BUNDLE).await?) == (0, 2));

    let attested = client.attest(&repository, &seen, None, Some(&ours)).await.map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let Attested { sbom: None, provenance: Some(_), signature: Some(_) } = &attested else { anyhow::bail!("{attested:?}") };
    for image in &images {
        ensure!(cosign.verifies("ours", image).await?, "{image} is signed");
        ensure!(!cosign.verifies("other", image).await?, "{image} is not signed with the other key");
        let predicate = cosign.provenance("ours", image).await?.context("provenance that is believed")?;
        ensure!(predicate == provenance(&repository).predicate(None), "{predicate}");
        ensure!(cosign.provenance("other", image).await?.is_none());
    }

    // Again, also without the Job: all is there, and nothing more is written.
    for attestation in [&seen, &unseen] {
        let again = client.attest(&repository, attestation, None, Some(&ours)).await;
        ensure!(again.as_ref() == Ok(&attested), "{again:?}");
    }
    ensure!(count(&door, &digests[0], BUNDLE).await? == 2, "one signature, one provenance");

    // Another key signs once more; what the first one signed stays.
    let rotated = client.attest(&repository, &seen, None, Some(&other)).await.map_err(|error| anyhow::anyhow!("{error:?}"))?;
    ensure!(rotated.signature != attested.signature);
    for key in ["ours", "other"] {
        ensure!(cosign.verifies(key, &images[1]).await?, "{key}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_cosign_believes_what_is_signed_and_nothing_else() -> Result<()> {
    signs_and_is_believed(&RealRegistry::start().await?).await.context("without the referrers API")?;
    signs_and_is_believed(&RealRegistry::start_listing(false).await?).await.context("with it")
}

/// As docs/supply-chain.md says it to those who build on a laptop.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_laptop_has_pushed_is_signed_by_its_owner() -> Result<()> {
    let real = RealRegistry::start().await?;
    let (door, cosign) = (real.door().await?, Cosign::new().await?);
    for key in ["mine", "other"] {
        cosign.key(key).await?;
    }
    let images: Vec<String> = digests(&door).await?.iter().map(|digest| format!("{}/{REPOSITORY}@{digest}", door.host)).collect();
    let options = ["--use-signing-config=false", "--tlog-upload=false", "--recursive", "--yes"];
    let signed = cosign.run(&[&["sign", "--key", "mine.key"], &options[..], &[&images[0]]].concat()).await?;
    told(&signed);
    ensure!(signed.status.success());
    for image in &images {
        ensure!(cosign.verifies("mine", image).await? && !cosign.verifies("other", image).await?, "{image}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_provenance_is_attached_and_found_again() -> Result<()> {
    let real = RealRegistry::start().await?;
    let (door, repository) = (real.door().await?, REPOSITORY);
    let client = OciRegistry::new(door.settings());
    let repository = format!("{}/{repository}", door.host);
    let digests = digests(&door).await?;
    let unseen =
        Attestation { digests: digests.clone(), fingerprint: "f00".into(), object: "team/shop".into(), sbom: None, provenance: None };
    let nothing = client.attest(&repository, &unseen, None, None).await;
    ensure!(nothing == Ok(Attested::default()), "nobody can say: {nothing:?}");
    let seen = Attestation { provenance: Some(provenance(&repository)), ..unseen.clone() };
    let first = client.attest(&repository, &seen, None, None).await.map_err(|error| anyhow::anyhow!("{error:?}"))?;
    ensure!(first.provenance.is_some() && first.signature.is_none(), "{first:?}");
    for attestation in [&seen, &unseen] {
        ensure!(client.attest(&repository, attestation, None, None).await == Ok(first.clone()));
    }
    for digest in &digests {
        ensure!(count(&door, digest, STATEMENT).await? == 1);
    }
    Ok(())
}

/// R3 of the audit: what this key has signed of one image is no signature of others, whatever tag leads to it.
async fn is_held_against_what_was_signed(real: &RealRegistry) -> Result<()> {
    let cosign = Cosign::new().await?;
    let (door, key, other) = (real.door().await?, cosign.key("ours").await?, cosign.key("other").await?);
    let client = OciRegistry::new(door.settings());
    let repository = format!("{}/{REPOSITORY}", door.host);
    let digests = digests(&door).await?;
    let unseen = |fingerprint: &str| Attestation {
        digests: digests.clone(),
        fingerprint: fingerprint.into(),
        object: "team/shop".into(),
        sbom: None,
        provenance: None,
    };
    let told = |key: Option<SecretData>| {
        let (client, repository, digest) = (&client, &repository, &digests[0]);
        async move { client.provenance(repository, digest, None, key.as_ref()).await.map_err(|error| anyhow::anyhow!("{error:?}")) }
    };
    ensure!(told(None).await?.is_empty() && told(Some(key.clone())).await?.is_empty(), "nothing is attached yet");

    // Provenance that nobody signed, and that somebody else has signed, is there as well.
    let written = Attestation { provenance: Some(provenance(&repository)), ..unseen("f00") };
    for stranger in [None, Some(&other)] {
        client.attest(&repository, &written, None, stranger).await.map_err(|error| anyhow::anyhow!("{error:?}"))?;
    }
    ensure!(told(Some(key.clone())).await?.is_empty() && told(None).await?.len() == 1);
    let refused = client.attest(&repository, &unseen("f00"), None, Some(&key)).await;
    ensure!(refused.as_ref().is_err_and(|error| error.reason == Reason::NotWitnessed), "{refused:?}");

    client.attest(&repository, &written, None, Some(&key)).await.map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let testimony = Testimony::of(&provenance(&repository).predicate(None)).context("ours")?;
    ensure!(told(Some(key.clone())).await? == [testimony], "what was written is read");
    ensure!(client.attest(&repository, &unseen("f00"), None, Some(&key)).await.is_ok(), "it is of these inputs");
    let refused = client.attest(&repository, &unseen("f01"), None, Some(&key)).await;
    ensure!(refused.as_ref().is_err_and(|error| error.reason == Reason::NotWitnessed), "and of no others: {refused:?}");
    let of_another = Attestation { object: "team/other".into(), ..unseen("f00") };
    let refused = client.attest(&repository, &of_another, None, Some(&key)).await;
    ensure!(refused.as_ref().is_err_and(|error| error.reason == Reason::NotWitnessed), "and of no other object: {refused:?}");

    // The same image for another object has provenance of its own beside it.
    let before = count(&door, &digests[0], BUNDLE).await?;
    let elsewhere = Provenance { object: "team/other".into(), ..provenance(&repository) };
    let second = Attestation { provenance: Some(elsewhere), ..unseen("f00") };
    for _ in 0..2 {
        client.attest(&repository, &second, None, Some(&key)).await.map_err(|error| anyhow::anyhow!("{error:?}"))?;
    }
    ensure!(count(&door, &digests[0], BUNDLE).await? == before + 1 && told(Some(key)).await?.len() == 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_signed_of_one_image_is_not_said_of_another() -> Result<()> {
    is_held_against_what_was_signed(&RealRegistry::start().await?).await.context("without the referrers API")?;
    is_held_against_what_was_signed(&RealRegistry::start_listing(false).await?).await.context("with it")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cannot_be_used_is_told_by_name_and_not_by_content() -> Result<()> {
    let real = RealRegistry::start().await?;
    let (door, cosign) = (real.door().await?, Cosign::new().await?);
    let client = OciRegistry::new(door.settings());
    let attestation = Attestation {
        digests: digests(&door).await?,
        fingerprint: "f00".into(),
        object: "team/shop".into(),
        sbom: None,
        provenance: Some(provenance("registry.example.com/shop")),
    };
    let mut key = cosign.key("ours").await?;
    key.insert("cosign.password".into(), b"hunter2".to_vec());
    let error = client.attest(&format!("{}/{REPOSITORY}", door.host), &attestation, None, Some(&key)).await;
    let error = error.err().context("a wrong password")?;
    ensure!(error.reason == Reason::SecretInvalid && error.message.contains("cosign.password"), "{error:?}");
    ensure!(!error.message.contains("hunter2"), "{error:?}");
    ensure!(count(&door, &attestation.digests[0], BUNDLE).await? == 0);
    Ok(())
}
