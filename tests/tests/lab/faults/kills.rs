//! The operator is killed again and again. Every object has a twin that another operator, which nobody harms, builds from the
//! same repository at the same time: in the end the two must be equal.

use super::WHOLE;
use super::app::{App, tenant};
use anyhow::{Context, Result, ensure};
use gowindows_crds::GoWindowsImage;
use gowindows_tests::thread::{LIMIT, Ledger, Outside, Stage, Tenant, is_ready_on, until};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, sleep};

/// The namespaces of the operator in the cluster.
pub const CALM: [&str; 2] = ["calm-a", "calm-b"];
/// The namespaces of the operator that is killed.
pub const STORM: [&str; 2] = ["storm-a", "storm-b"];
/// Programs: the number of the namespace, and the name.
const APPS: [(usize, &str); 3] = [(0, "one"), (0, "two"), (1, "three")];
/// Rounds: the first commit of every program, and each next one. More follow when the kills have not come to their number.
const ROUNDS: usize = 3;
/// How often it is killed in a round.
const KILLS: usize = 10;
/// How many of these are kept for rollouts, which are short.
const ROLLING: usize = 2;
/// Replays the moments of a run.
const SEED: &str = "GOWINDOWS_SEED";

pub async fn thirty_kills_lose_and_repeat_nothing(stage: Arc<Stage>) -> Result<()> {
    let _whole = WHOLE.read().await;
    let mut moments = Moments::new()?;
    let ledger = Ledger::open(stage.lab.client());
    let twins = twins(&stage).await?;
    let mut operator = stage.operator.outside(&stage.lab, "operator-outside", &STORM).await?;
    let (round, enough) = (AtomicUsize::new(1), AtomicBool::new(false));
    let storm = async {
        let kills = kill(&stage, &mut operator, &mut moments, &ledger, &round).await;
        enough.store(true, Ordering::Relaxed);
        kills
    };
    let ((), kills) = tokio::try_join!(change(&stage, &twins, &round, &enough), storm)?;
    let jobs = ledger.close(&STORM).await?;
    let reference = ledger.close(&CALM).await?;
    for twin in &twins {
        twin.ends_alike(&stage, &ledger).await?;
    }
    quiet(&stage.lab.client()).await?;
    operator.stop().await?;
    eprintln!(
        "kills: {} ({} during builds, {} during rollouts, {} during neither) over {} commits of {} objects; {jobs}; \
         undisturbed: {reference}; end states equal",
        kills.all,
        kills.building,
        kills.rolling,
        kills.quiet,
        round.into_inner(),
        twins.len()
    );
    Ok(())
}

/// A program, and the namespaces of the two objects that build it.
struct Twin {
    app: App,
    calm: Arc<Tenant>,
    storm: Arc<Tenant>,
}

async fn twins(stage: &Stage) -> Result<Vec<Twin>> {
    let mut tenants = Vec::new();
    for (calm, storm) in CALM.into_iter().zip(STORM) {
        tenants.push((Arc::new(tenant(stage, calm, None).await?), Arc::new(tenant(stage, storm, None).await?)));
    }
    let mut twins = Vec::new();
    for (namespace, name) in APPS {
        let (calm, storm) = tenants[namespace].clone();
        let app = App::create(stage.lab.git(), name).await?;
        for tenant in [&calm, &storm] {
            app.apply(tenant, stage.lab.registry()).await?;
        }
        twins.push(Twin { app, calm, storm });
    }
    Ok(twins)
}

/// Waits until every object is ready on its newest commit, and changes every program, round by round until there were enough kills.
async fn change(stage: &Stage, twins: &[Twin], round: &AtomicUsize, enough: &AtomicBool) -> Result<()> {
    let client = stage.lab.client();
    let mut commits: Vec<String> = twins.iter().map(|twin| twin.app.first.clone()).collect();
    loop {
        for (twin, commit) in twins.iter().zip(&commits) {
            for tenant in [&twin.storm, &twin.calm] {
                until(&client, &tenant.namespace, &twin.app.name, LIMIT, |status| is_ready_on(status, commit)).await?;
            }
        }
        if enough.load(Ordering::Relaxed) {
            return Ok(());
        }
        let next = 1 + round.fetch_add(1, Ordering::Relaxed);
        for (twin, commit) in twins.iter().zip(&mut commits) {
            *commit = twin.app.say(&format!("round {next}")).await?;
        }
    }
}

#[derive(Default)]
struct Kills {
    all: usize,
    building: usize,
    rolling: usize,
    quiet: usize,
}

/// Kills the operator at random moments.
async fn kill(stage: &Stage, operator: &mut Outside, moments: &mut Moments, ledger: &Ledger, round: &AtomicUsize) -> Result<Kills> {
    let (client, mut kills, deadline) = (stage.lab.client(), Kills::default(), Instant::now() + LIMIT);
    while kills.all < KILLS * ROUNDS {
        ensure!(Instant::now() < deadline, "only {} kills, {} of them during a rollout", kills.all, kills.rolling);
        sleep(moments.next()).await;
        let round = round.load(Ordering::Relaxed).min(ROUNDS);
        let (building, rolling) = (ledger.unfinished(&STORM) > 0, rolling(&client).await?);
        if kills.all >= KILLS * round || !rolling && kills.all - kills.rolling >= (KILLS - ROLLING) * round {
            continue;
        }
        operator.crash().await?;
        kills.all += 1;
        kills.building += usize::from(building);
        kills.rolling += usize::from(rolling);
        kills.quiet += usize::from(!building && !rolling);
    }
    ensure!(kills.building > 0, "no kill hit a build");
    Ok(kills)
}

/// Whether a Deployment of the killed operator replaces its pods.
async fn rolling(client: &Client) -> Result<bool> {
    for namespace in STORM {
        let deployments = Api::<Deployment>::namespaced(client.clone(), namespace).list(&ListParams::default()).await?;
        if deployments.iter().any(|deployment| image(deployment).contains('@') && !is_complete(deployment)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn image(deployment: &Deployment) -> String {
    let pod = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    pod.and_then(|pod| pod.containers.first()?.image.clone()).unwrap_or_default()
}

fn is_complete(deployment: &Deployment) -> bool {
    let status = deployment.status.clone().unwrap_or_default();
    let (updated, available) = (status.updated_replicas.unwrap_or_default(), status.available_replicas.unwrap_or_default());
    status.observed_generation == deployment.metadata.generation && updated == 1 && available == 1 && status.replicas == Some(1)
}

impl Twin {
    /// What the two show is equal, but for names and times.
    async fn ends_alike(&self, stage: &Stage, ledger: &Ledger) -> Result<()> {
        let (client, deadline) = (stage.lab.client(), Instant::now() + Duration::from_secs(60));
        loop {
            let storm = shown(&client, &self.storm.namespace, &self.app.name, ledger).await?;
            let calm = shown(&client, &self.calm.namespace, &self.app.name, ledger).await?;
            if storm == calm {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{} after the kills:\n{storm:#}\nundisturbed:\n{calm:#}", self.app.name);
            sleep(Duration::from_millis(500)).await;
        }
    }
}

/// What a user sees of an object, without what must differ from namespace to namespace and from time to time.
async fn shown(client: &Client, namespace: &str, name: &str, ledger: &Ledger) -> Result<Value> {
    let object = Api::<GoWindowsImage>::namespaced(client.clone(), namespace).get(name).await?;
    let deployment = Api::<Deployment>::namespaced(client.clone(), namespace).get(name).await?;
    let status = object.status.context("a status")?;
    let conditions = status.conditions.iter().map(|condition| json!([condition.type_, condition.status, condition.reason]));
    let image = status.image.context("an image")?;
    let build = status.build.context("a build")?;
    let history = status.history.iter().map(|entry| json!([entry.revision, entry.result, entry.digest, entry.cause]));
    let digest = |reference: &str| reference.split_once('@').map(|(_, digest)| digest.to_owned());
    Ok(json!({
        "conditions": conditions.collect::<Vec<_>>(),
        "image": [image.digest, image.tags, image.revision, image.cause, image.platforms, image.binary],
        "previous": status.previous.map(|previous| previous.digest),
        "build": [build.phase, build.attempt, build.cause, build.failure],
        "history": history.collect::<Vec<_>>(),
        "rollout": status.rollout.map(|rollout| json!([rollout.digest, rollout.phase])),
        "deployment": [digest(&self::image(&deployment)), is_complete(&deployment)],
        "jobs": ledger.of(namespace, name),
    }))
}

/// Once everything is as declared, an operator writes nothing.
async fn quiet(client: &Client) -> Result<()> {
    let before = versions(client).await?;
    // Longer than the interval in which sources are looked at.
    sleep(Duration::from_secs(7)).await;
    let after = versions(client).await?;
    ensure!(before == after, "something still writes: {before:?} -> {after:?}");
    Ok(())
}

async fn versions(client: &Client) -> Result<Vec<(String, Option<String>)>> {
    let mut versions = Vec::new();
    for namespace in STORM {
        let objects = Api::<GoWindowsImage>::namespaced(client.clone(), namespace).list(&ListParams::default()).await?;
        let deployments = Api::<Deployment>::namespaced(client.clone(), namespace).list(&ListParams::default()).await?;
        versions.extend(objects.iter().map(|object| (object.name_any(), object.resource_version())));
        versions.extend(deployments.iter().map(|deployment| (deployment.name_any(), deployment.resource_version())));
    }
    Ok(versions)
}

/// How long an operator lives, drawn from a seed (SplitMix64).
struct Moments(u64);

impl Moments {
    /// The seed is printed, and taken from the environment where it is there.
    fn new() -> Result<Self> {
        let seed = match std::env::var(SEED) {
            Ok(seed) => seed.parse().with_context(|| format!("{SEED}={seed} is no number"))?,
            Err(_) => u64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_micros() & 0xffff_ffff)?,
        };
        eprintln!("kills: {SEED}={seed} replays these moments");
        Ok(Self(seed))
    }

    /// Half of them are short: the first second is when a new operator reads all and writes most.
    fn next(&mut self) -> Duration {
        let milliseconds = if self.draw().is_multiple_of(2) { 20 + self.draw() % 980 } else { 1000 + self.draw() % 1500 };
        Duration::from_millis(milliseconds)
    }

    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
