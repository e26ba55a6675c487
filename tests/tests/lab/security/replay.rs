//! What this key has signed of one image is no signature of another (H3, R3): who may push, and nothing else, points the tag of the next commit's
//! image at the one before it, which is signed. Two variants: an image of the same inputs that is signed for another object, and one of which
//! nothing is told at all.

use super::Team;
use anyhow::{Context, Result, ensure};
use gowindows_clients::oci::{Credentials, Registry, at_digest, parse_reference};
use gowindows_crds::conditions::ConditionType;
use gowindows_crds::names;
use gowindows_crds::v1alpha1::ImageStatus;
use gowindows_model::settings::RegistrySettings;
use gowindows_tests::thread::{LIMIT, Ledger, Stage, is_true, until};
use serde_json::{Value, json};
use std::sync::Arc;

const TEAM: &str = "signers";
const ATTACKER: &str = "pushers";
const SHOP: &str = "shop";
const TILL: &str = "till";
const PLAIN: &str = "plain";

pub async fn a_signature_is_of_one_image_alone(stage: Arc<Stage>) -> Result<()> {
    let ledger = Ledger::open(stage.lab.client());
    let (team, attacker) = (Team::create(&stage, TEAM).await?, Team::create(&stage, ATTACKER).await?);
    team.apply(&key()?).await?;
    team.tenant.kubectl.apply(&team.tenant.sample("secret-access.yaml", "storefront")?).await?;
    let object = |name: &str, signs: bool| of_one_program(&stage, &team, name, signs);
    team.apply(&object(SHOP, true)).await?;
    let first = published(&stage, SHOP, &team.commit).await?;

    // Another object, with the same inputs, key and repository: it finds an image that is signed for the first one.
    team.apply(&object(TILL, true)).await?;
    let of_till = published(&stage, TILL, &team.commit).await?;
    ensure!(of_till.digest == first.digest && ledger.of(TEAM, TILL) == 1, "an image of another object was taken over: {of_till:?}");
    // And one without a key: what is signed there is nothing that it could check.
    team.apply(&object(PLAIN, false)).await?;
    published(&stage, PLAIN, &team.commit).await?;
    ensure!(ledger.of(TEAM, PLAIN) == 1, "an image of which nothing is told was taken over");

    // The attacker learns the next fingerprint by a build of his own, and points its tag at the image before.
    suspend(&team, true).await?;
    let next =
        team.repository.commit_files(&[("main.go", "package main\n\nfunc main() { println(\"closed\") }\n")], "Close", super::DATE).await?;
    let tag = names::fingerprint_tag(&fingerprint(&stage, &team, &attacker, &next).await?);
    point(&stage, &first, &tag).await?;
    suspend(&team, false).await?;
    let second = published(&stage, SHOP, &next).await?;
    eprintln!("{TEAM}/{SHOP}: {tag} led to {}, and {} was built: {:?}", first.digest, second.digest, second.cause);
    ensure!(second.digest != first.digest && ledger.of(TEAM, SHOP) == 2, "the image before was taken for that of {next}: {second:?}");

    // What is of these inputs is taken over as ever: without its status and its Jobs an object finds its image.
    for (name, image) in [(SHOP, &second), (PLAIN, &published(&stage, PLAIN, &next).await?)] {
        let jobs = ledger.of(TEAM, name);
        team.tenant.kubectl.run(&["delete", "gwi", name]).await?;
        team.apply(&object(name, name == SHOP)).await?;
        let again = published(&stage, name, &next).await?;
        ensure!(again.digest == image.digest && ledger.of(TEAM, name) == jobs, "{name} was built again: {again:?}");
        ensure!(again.cause.as_deref().is_some_and(|cause| cause.starts_with("Adopted")), "{again:?}");
    }
    Ok(())
}

/// A Secret with a key of its own, as `openssl` makes one.
fn key() -> Result<Value> {
    let pem = rcgen::KeyPair::generate()?.serialize_pem();
    Ok(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "storefront-signing"}, "stringData": {"cosign.key": pem}}))
}

/// Whatever its name is, the same inputs and the same repository.
fn of_one_program(stage: &Stage, team: &Team, name: &str, signs: bool) -> Value {
    let mut object = team.object(stage, SHOP);
    object["metadata"]["name"] = json!(name);
    object["spec"]["source"]["git"]["url"] = json!(team.repository.url());
    object["spec"]["image"]["tags"] = json!([format!("{name}-$(revision)")]);
    if signs {
        object["spec"]["signing"] = json!({"keySecretRef": {"name": "storefront-signing"}});
    }
    object
}

async fn published(stage: &Stage, name: &str, commit: &str) -> Result<ImageStatus> {
    let client = stage.lab.client();
    let status = until(&client, TEAM, name, LIMIT, |status| {
        let of_it = status.image.as_ref().and_then(|image| image.revision.as_ref()).is_some_and(|revision| revision.ends_with(commit));
        of_it && is_true(status, ConditionType::Attested)
    });
    status.await.with_context(|| format!("publish {name} of {commit}"))?.image.context("an image")
}

async fn suspend(team: &Team, suspend: bool) -> Result<()> {
    let patch = json!({"spec": {"suspend": suspend}}).to_string();
    for name in [SHOP, PLAIN, TILL] {
        team.tenant.kubectl.run(&["patch", "gwi", name, "--type=merge", "--patch", &patch]).await?;
    }
    Ok(())
}

async fn fingerprint(stage: &Stage, team: &Team, attacker: &Team, commit: &str) -> Result<String> {
    let mut object = of_one_program(stage, team, SHOP, false);
    object["spec"]["image"]["repository"] = json!(format!("{}/{ATTACKER}/{SHOP}", stage.lab.registry()));
    object["spec"]["source"]["git"]["ref"] = json!({"commit": commit});
    attacker.apply(&object).await?;
    let there = |status: &gowindows_crds::v1alpha1::GoWindowsImageStatus| status.inputs.is_some();
    let status = until(&stage.lab.client(), ATTACKER, SHOP, LIMIT, there).await?;
    Ok(status.inputs.context("inputs")?.fingerprint)
}

/// What whoever may push can do.
async fn point(stage: &Stage, image: &ImageStatus, tag: &str) -> Result<()> {
    let registries = [RegistrySettings { host: stage.lab.registry().to_owned(), plain_http: true, ..RegistrySettings::default() }];
    let registry = Registry::new(&registries, Credentials::none())?;
    let digest = image.digest.parse()?;
    let reference = parse_reference(&image.reference)?;
    Ok(registry.tag(&at_digest(&reference, &digest), &digest, tag).await?)
}
