//! What does an upgrade do to a namespace that uses all that a new version refuses? With `enforcement: Warn` it tells and goes on, but for what is
//! beside a compiler; without, it refuses with the line to write. Whatever runs goes on running, and nothing is built before its next cause.

use crate::admission::OLD_SCHEMA;
use crate::cluster::writer;
use crate::outside::Program;
use crate::process;
use crate::run::on_stage_without_operator;
use crate::stage::{NAMESPACE, Stage, USER};
use crate::user::{Shop, condition, runs};
use gowindows_crds::names::ANNOTATION_HOSTS;
use gowindows_model::binding::Enforcement;
use gowindows_tests::fake_apiserver::Key;
use gowindows_tests::fake_apiserver::kinds::by_name;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(900);

type Checked = Result<(), String>;

/// What an object has that is refused.
struct Old {
    shop: Shop,
    /// The commit that runs.
    runs: String,
    /// Why it is refused, and in which condition.
    refused: (&'static str, &'static str),
    /// What is told: the Secret or field, and the line to write.
    says: [&'static str; 2],
    /// Whether `Warn` lets it go on.
    warns: bool,
}

pub fn tells_before_it_refuses() -> Checked {
    on_stage_without_operator(None, |stage| async move {
        stage.set_enforcement(Enforcement::Warn);
        let before = process::start(&stage);
        let mut all = Vec::new();
        for (number, edit) in OLD.into_iter().enumerate() {
            // Each is tested, signed, and rolled.
            all.push(old(&stage, 10 * u64::try_from(number).unwrap_or_default(), edit).await?);
        }
        drop(before);
        // As the version before has left it.
        stage.outside.tell_less();
        let _warns = process::start(&stage);
        let jobs = jobs(&all);
        // Somebody else's hand is no cause to build.
        for old in &all {
            old.shop.edit("Deployment", |target| target["spec"]["template"]["spec"]["containers"][0]["image"] = json!("other:1")).await;
        }
        stage.wait(USER, Duration::from_secs(300)).await;
        for old in &all {
            ensure(old.is_rolled(), || format!("{} is not rolled any more: {}", old.shop.name, old.shop.status()))?;
        }
        ensure(self::jobs(&all) == jobs, || "an upgrade has built something".into())?;
        for old in all.iter_mut() {
            old.next_commit_under_warn(&stage).await?;
        }
        drop(_warns);
        stage.set_enforcement(Enforcement::Enforce);
        let _enforces = process::start(&stage);
        for old in all.iter_mut() {
            old.is_refused(&stage).await?;
        }
        mended(&stage, &all).await
    })
}

/// What was allowed: how an object and its Secrets are edited, and what becomes of it.
type Edit = (fn(&mut Value), fn(&mut Value), (&'static str, &'static str), [&'static str; 2], bool);

const OLD: [Edit; 4] = [
    // A Secret for git that names no host.
    (
        |_| {},
        |secret| secret["metadata"]["annotations"] = json!({}),
        ("SourceResolved", "SecretUnbound"),
        ["-git is not bound to git.sim", "gowindows.dev/hosts=git.sim"],
        true,
    ),
    // A netrc with an entry for every host.
    (
        |object| object["spec"]["go"]["modules"] = json!({"secretRef": {"name": "modules"}, "private": ["git.sim"]}),
        |_| {},
        ("Built", "SecretUnbound"),
        ["Secret modules: its netrc has a `default` entry", "`machine HOST`"],
        true,
    ),
    // A login beside commands of the repository.
    (
        |object| {
            object["metadata"]["annotations"] = json!({OLD_SCHEMA: "yes"});
            object["spec"]["go"]["modules"] = json!({"secretRef": {"name": "modules"}});
            object["spec"]["build"] = json!({"engine": "BuildKit", "buildkit": {"address": "tcp://buildkitd.sim:1234", "tlsSecretRef": {"name": "tls"}, "dockerfile": "Dockerfile"}});
        },
        |_| {},
        ("Ready", "InvalidSpec"),
        ["go.modules.secretRef", "vendor the modules"],
        false,
    ),
    // A login where code of the source runs as root.
    (
        |object| {
            object["metadata"]["annotations"] = json!({OLD_SCHEMA: "yes"});
            object["spec"]["build"] = json!({"engine": "Kaniko", "cache": {"registry": {"repository": "registry.sim/cache"}}});
        },
        |_| {},
        ("Ready", "InvalidSpec"),
        ["build.cache.registry", "build.cache.volume"],
        false,
    ),
];

async fn old(stage: &Arc<Stage>, number: u64, (edit, edit_secret, refused, says, warns): Edit) -> Result<Old, String> {
    let shop = Shop::new(stage, number);
    let commit = shop.commit(Program::Good).await;
    shop.create().await;
    let modules = json!({"netrc": base64("machine a.sim login me password canary-of-a\ndefault login me password canary-of-all\n")});
    shop.make("Secret", json!({"metadata": {"name": "modules"}, "data": modules})).await;
    ensure(shop.until(SOON, |status| runs(status, &commit)).await, || format!("it does not run: {}", shop.status()))?;
    let git = secret(&shop);
    shop.act(|store| store.update(&writer("user"), &git, false, edit_secret).map(drop)).await;
    shop.edit("GoWindowsImage", edit).await;
    let old = Old { shop, runs: commit, refused, says, warns };
    // Where the edit is a cause, it is built before anything is upgraded.
    stage.wait(USER, Duration::from_secs(200)).await;
    Ok(old)
}

impl Old {
    fn is_rolled(&self) -> bool {
        let (status, target) = (self.shop.status(), self.shop.get("Deployment").unwrap_or_default());
        let image = &target["spec"]["template"]["spec"]["containers"][0]["image"];
        status["image"]["reference"].is_string() && *image == status["image"]["reference"]
    }

    async fn next_commit_under_warn(&mut self, stage: &Arc<Stage>) -> Checked {
        let next = self.shop.commit(Program::Good).await;
        if !self.warns {
            return self.refuses(stage).await;
        }
        ensure(self.shop.until(SOON, |status| runs(status, &next)).await, || format!("Warn holds it back: {}", self.shop.status()))?;
        self.runs = next;
        let told = told(stage, &self.shop);
        ensure(told.iter().any(|note| self.says.iter().all(|part| note.contains(part))), || format!("{:?} not in {told:?}", self.says))
    }

    async fn is_refused(&mut self, stage: &Arc<Stage>) -> Checked {
        self.shop.commit(Program::Good).await;
        self.refuses(stage).await
    }

    /// It says what to write, builds nothing, and what runs goes on.
    async fn refuses(&self, stage: &Arc<Stage>) -> Checked {
        let (kind, reason) = self.refused;
        let so = |status: &Value| condition(status, kind).1 == reason;
        ensure(self.shop.until(SOON, so).await, || format!("{} is not refused: {}", self.shop.name, self.shop.status()["conditions"]))?;
        let jobs = self.shop.jobs().len();
        stage.wait(USER, Duration::from_secs(120)).await;
        let status = self.shop.status();
        let said = status["conditions"].to_string();
        ensure(self.says.iter().all(|part| said.contains(part)), || format!("{:?} not in {said}", self.says))?;
        ensure(!said.contains("canary"), || format!("a password is told: {said}"))?;
        let still = status["image"]["revision"].as_str().is_some_and(|revision| revision.ends_with(&self.runs));
        ensure(still && self.is_rolled() && self.shop.jobs().len() == jobs, || format!("what runs does not go on: {status}"))
    }
}

/// The lines that were told are written, and the newest commits are built.
async fn mended(stage: &Arc<Stage>, all: &[Old]) -> Checked {
    let git = secret(&all[0].shop);
    let bind = |secret: &mut Value| secret["metadata"]["annotations"] = json!({ANNOTATION_HOSTS: "git.sim"});
    all[0].shop.act(|store| store.update(&writer("user"), &git, false, bind).map(drop)).await;
    let modules = (by_name("Secret"), NAMESPACE.to_owned(), "modules".to_owned());
    let named = json!({"netrc": base64("machine git.sim login me password canary-of-git\n")});
    all[1].shop.act(|store| store.update(&writer("user"), &modules, false, |secret| secret["data"] = named).map(drop)).await;
    for old in &all[2..] {
        old.shop
            .edit("GoWindowsImage", |object| {
                object["spec"]["build"] = json!({"cache": {"volume": {"size": "1Gi"}}});
                object["spec"]["go"].as_object_mut().map(|go| go.remove("modules"));
            })
            .await;
    }
    for old in all {
        let newest = stage.outside.head(&old.shop.url());
        ensure(old.shop.until(SOON, |status| runs(status, &newest)).await, || {
            format!("it is not built: {}", old.shop.status()["conditions"])
        })?;
    }
    Ok(())
}

fn secret(shop: &Shop) -> Key {
    (by_name("Secret"), NAMESPACE.to_owned(), format!("{}-git", shop.name))
}

fn jobs(all: &[Old]) -> Vec<usize> {
    all.iter().map(|old| old.shop.jobs().len()).collect()
}

/// What events of an object say will be refused.
fn told(stage: &Arc<Stage>, shop: &Shop) -> Vec<String> {
    let events = stage.server.within(|store| store.list(by_name("Event"), Some(NAMESPACE)));
    let of_it = events.iter().map(|(_, event)| &event.object).filter(|event| event["regarding"]["name"] == shop.name.as_str());
    of_it.filter(|event| event["reason"] == "WouldBeRefused").map(|event| event["note"].to_string()).collect()
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(what()) }
}
