//! Does forged evidence prove nothing? Two teams and an attacker, each with the rights that a Role gives, on a real API server: what the audit
//! forged (security.md, H2, H3, H4, H5 and H7), and what it did not.
//!
//! Whatever is forged is made as a user makes it, and stays: a finalizer keeps what the garbage collector would take for an orphan. What is
//! looked at is what the victim sees. `engines::logins` is of the same kind, about credentials beside a committer's code.

mod attempts;
mod pods;
mod replay;
mod secrets;
mod slots;

use anyhow::{Context, Result, bail};
use gowindows_crds::names::ORDER_REQUESTED_AT;
use gowindows_crds::v1alpha1::GoWindowsImageStatus;
use gowindows_tests::lab::git::{Access, GitServer, Repository};
use gowindows_tests::scenarios;
use gowindows_tests::thread::{LIMIT, Scenario, Stage, Tenant, until};
use serde_json::{Value, json};
use std::future::Future;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Keeps a forged object although what it names as its owner is not there.
const KEPT: &str = "example.com/kept";
/// A scheduler that does not exist: no kubelet says otherwise than the forger about a pod that is for it.
const NO_SCHEDULER: &str = "nobody";
const DATE: &str = "2026-01-02T03:04:05Z";

/// In the lab of `lab_engines`, which has all that they need.
pub fn scenarios() -> Vec<Scenario> {
    scenarios![
        attempts::a_number_at_its_end_stops_nobody,
        pods::forged_pods_prove_nothing,
        replay::a_signature_is_of_one_image_alone,
        secrets::a_pinned_commit_leads_around_no_secret,
    ]
}

/// In the lab of `lab_releases`, whose operator has one slot.
pub fn of_slots() -> Vec<Scenario> {
    scenarios![slots::forged_jobs_take_no_slot]
}

/// A namespace, and a repository with the smallest program.
struct Team {
    tenant: Tenant,
    repository: Repository,
    /// Its commit.
    commit: String,
}

impl Team {
    async fn create(stage: &Stage, namespace: &str) -> Result<Self> {
        Self::create_on(stage, stage.lab.git(), namespace, Access::Public).await
    }

    /// The same with its repository on another git server.
    async fn create_on(stage: &Stage, git: &GitServer, namespace: &str, access: Access) -> Result<Self> {
        let tenant = Tenant::create(&stage.lab, namespace).await?;
        let repository = git.create(&format!("{namespace}/shop"), access).await?;
        let failing = "package main\n\nimport \"testing\"\n\nfunc TestBread(t *testing.T) { t.Fatal(\"it is stale\") }\n";
        let files = [
            ("go.mod", "module example.com/shop\n\ngo 1.22\n"),
            ("main.go", "package main\n\nfunc main() { println(\"open\") }\n"),
            // Of interest to objects with `go.test` alone.
            ("main_test.go", failing),
        ];
        let commit = repository.commit_files(&files, "Open", DATE).await?;
        Ok(Self { tenant, repository, commit })
    }

    /// An object for the program, which rolls nothing.
    fn object(&self, stage: &Stage, name: &str) -> Value {
        json!({
            "apiVersion": "gowindows.dev/v1alpha1", "kind": "GoWindowsImage", "metadata": {"name": name},
            "spec": {
                "interval": "5s",
                "source": {"git": {"url": self.repository.url()}},
                // Of each object another program: none finds its own at the registry.
                "go": {"timezoneData": false, "ldflags": [format!("-X main.version={name}")]},
                "image": {"repository": format!("{}/{}/{name}", stage.lab.registry(), self.tenant.namespace)},
                "build": {"cache": {"volume": {"size": "1Gi"}}},
                "rollout": {"mode": "StatusOnly"},
            },
        })
    }

    async fn apply(&self, object: &Value) -> Result<()> {
        self.tenant.kubectl.apply(&object.to_string()).await.map(drop)
    }

    /// Has the operator look at an object now, and waits until it has.
    async fn looked_at(&self, stage: &Stage, name: &str, token: &str) -> Result<GoWindowsImageStatus> {
        let order = format!("{ORDER_REQUESTED_AT}={token}");
        self.tenant.kubectl.run(&["annotate", "--overwrite", "gwi", name, &order]).await?;
        let handled =
            |status: &GoWindowsImageStatus| status.handled.as_ref().and_then(|handled| handled.requested_at.as_deref()) == Some(token);
        until(&stage.lab.client(), &self.tenant.namespace, name, LIMIT, handled)
            .await
            .with_context(|| format!("look at {name} for {token}"))
    }

    /// Waits until an object has an image.
    async fn published(&self, stage: &Stage, name: &str) -> Result<GoWindowsImageStatus> {
        let there = |status: &GoWindowsImageStatus| status.image.is_some();
        until(&stage.lab.client(), &self.tenant.namespace, name, LIMIT, there).await.with_context(|| format!("publish {name}"))
    }
}

/// What a Role allows.
fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
}

/// The specification of a pod that *restricted* lets in and no scheduler looks at.
fn pod_spec(init_containers: &[&str], containers: &[&str]) -> Value {
    let named = |names: &[&str]| {
        let locked = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
        let container = |name: &&str| json!({"name": name, "image": "example.com/none", "securityContext": locked});
        names.iter().map(container).collect::<Vec<_>>()
    };
    json!({
        "schedulerName": NO_SCHEDULER, "restartPolicy": "Never", "automountServiceAccountToken": false,
        "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "initContainers": named(init_containers), "containers": named(containers),
    })
}

/// Changes fields of an object.
fn changed(mut object: Value, change: &Value) -> Value {
    for (field, value) in change.as_object().into_iter().flatten() {
        object[field] = value.clone();
    }
    object
}

/// Waits until a look finds something.
async fn found<T, F: Future<Output = Result<Option<T>>>>(what: &str, mut look: impl FnMut() -> F) -> Result<T> {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look().await.with_context(|| what.to_owned())? {
            return Ok(found);
        }
        if Instant::now() > end {
            bail!("{what}: it is not so within {LIMIT:?}");
        }
        sleep(Duration::from_millis(300)).await;
    }
}
