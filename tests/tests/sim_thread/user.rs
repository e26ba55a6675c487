//! What does the user do, and what does a user see? Objects, commits, edits, and waiting for a status.

use crate::cluster::writer;
use crate::invariants::SECRET;
use crate::outside::Program;
use crate::stage::{NAMESPACE, Stage, USER};
use gowindows_crds::names;
use gowindows_tests::fake_apiserver::kinds::by_name;
use gowindows_tests::fake_apiserver::{Key, Refusal, Store};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// One object with its repository and its target, and who looks after it.
#[derive(Clone)]
pub struct Shop {
    /// Where it is.
    pub stage: Arc<Stage>,
    /// `shop-0`.
    pub name: String,
}

impl Shop {
    /// Not created yet.
    pub fn new(stage: &Arc<Stage>, number: u64) -> Self {
        Self { stage: stage.clone(), name: format!("shop-{number}") }
    }

    /// The repository's URL.
    pub fn url(&self) -> String {
        format!("https://git.sim/{}.git", self.name)
    }

    /// The key of the object or of something with its name.
    pub fn key(&self, kind: &str) -> Key {
        (by_name(kind), NAMESPACE.into(), self.name.clone())
    }

    /// Creates Secrets, Deployment and object, each in a moment of its own.
    pub async fn create(&self) {
        self.make_secrets().await;
        if self.compiles_on_windows() {
            let spec = json!({"accessModes": ["ReadWriteMany"]});
            self.make("PersistentVolumeClaim", json!({"metadata": {"name": format!("{}-shared", self.name)}, "spec": spec})).await;
            self.act(|store| store.create(&writer("kubelet"), by_name("Node"), "", windows_node()).map(drop)).await;
        }
        self.make("Deployment", self.deployment()).await;
        self.make("GoWindowsImage", self.object()).await;
    }

    /// Creates what opens git server and registry, and signs.
    pub async fn make_secrets(&self) {
        for part in ["git", "push", "key"] {
            let metadata = json!({"name": format!("{}-{part}", self.name), "annotations": {names::ANNOTATION_HOSTS: "git.sim"}});
            let data = json!({
                "username": base64("user"), "password": base64(SECRET), ".dockerconfigjson": base64(SECRET), "cosign.key": base64(SECRET),
            });
            self.make("Secret", json!({"metadata": metadata, "data": data})).await;
        }
    }

    /// The object as the user declares it.
    pub fn object(&self) -> Value {
        let mut object = json!({
            "metadata": {"name": self.name},
            "spec": {
                "interval": "1m",
                "source": {"git": {"url": self.url(), "secretRef": {"name": format!("{}-git", self.name)}}},
                "go": {"ldflags": ["-X main.edition=first"]},
                "image": {
                    "repository": "registry.sim/shops", "tags": [format!("{}-$(revision)", self.name)],
                    "pushSecretRef": {"name": format!("{}-push", self.name)},
                },
                "rollout": {"targets": [{"name": self.name}]},
            },
        });
        if self.has_identity() {
            let identity = json!({"serviceAccountName": "push", "aws": {"roleARN": "arn:aws:iam::123456789012:role/push"}});
            object["spec"]["image"]["pushSecretRef"] = Value::Null;
            object["spec"]["image"]["identity"] = identity;
        }
        if self.tests() {
            object["spec"]["go"]["test"] = json!({"packages": ["./..."]});
        }
        if self.name.ends_with('0') {
            object["spec"]["build"] = json!({"cache": {"volume": {"size": "1Gi"}}});
        }
        if self.compiles_on_windows() {
            object["spec"]["build"] = json!({"nodes": {"os": "windows"}, "workspace": {"claimName": format!("{}-shared", self.name)}});
        }
        if self.signs() {
            object["spec"]["signing"] = json!({"keySecretRef": {"name": format!("{}-key", self.name)}});
        }
        object
    }

    /// Whether it opens the registry by an identity: every third one, in every life alike.
    pub fn has_identity(&self) -> bool {
        self.name.ends_with('2')
    }

    /// Whether its images are signed: every second one's, in every life alike.
    pub fn signs(&self) -> bool {
        !self.name.ends_with('1')
    }

    /// Whether its images are tested: all but those of the last of three.
    pub fn tests(&self) -> bool {
        !self.name.ends_with('2')
    }

    /// Whether its programs are compiled on Windows nodes: those of the last of three.
    pub fn compiles_on_windows(&self) -> bool {
        self.name.ends_with('2')
    }

    /// Its target as the user declares it.
    pub fn deployment(&self) -> Value {
        json!({
            "metadata": {"name": self.name, "labels": {"app": self.name}},
            "spec": {
                "replicas": 2, "selector": {"matchLabels": {"app": self.name}},
                "template": {
                    "metadata": {"labels": {"app": self.name}},
                    "spec": {"containers": [{"name": "app", "image": "registry.sim/placeholder:1"}]},
                },
            },
        })
    }

    /// Creates something.
    pub async fn make(&self, kind: &str, object: Value) {
        self.act(|store| store.create(&writer("user"), by_name(kind), NAMESPACE, object).map(drop)).await;
    }

    /// Does something to the store in a moment of the user's own.
    pub async fn act(&self, act: impl FnOnce(&mut Store) -> Result<(), Refusal>) {
        self.stage.wait(USER, Duration::from_millis(20)).await;
        if let Err(refusal) = self.stage.server.within(act) {
            self.stage.faults.strike(&format!("user was refused: {}", refusal.reason));
        }
    }

    /// Edits something of this name.
    pub async fn edit(&self, kind: &str, edit: impl FnOnce(&mut Value)) {
        let key = self.key(kind);
        self.act(|store| store.update(&writer("user"), &key, false, edit).map(drop)).await;
    }

    /// Commits a program. Returns the commit.
    pub async fn commit(&self, program: Program) -> String {
        self.stage.wait(USER, Duration::from_millis(20)).await;
        self.stage.outside.commit(&self.url(), program)
    }

    /// Something of this name, as it stands.
    pub fn get(&self, kind: &str) -> Option<Arc<Value>> {
        self.stage.server.within(|store| store.get(&self.key(kind)).map(|stored| stored.object.clone()))
    }

    /// The object's status.
    pub fn status(&self) -> Value {
        self.get("GoWindowsImage").map(|object| object["status"].clone()).unwrap_or_default()
    }

    /// Waits until the status pleases; false if it does not in time.
    pub async fn until(&self, limit: Duration, pleases: impl Fn(&Value) -> bool) -> bool {
        self.until_world(limit, || pleases(self.get("GoWindowsImage").as_deref().map_or(&Value::Null, |object| &object["status"]))).await
    }

    /// Waits until something is so; false if it is not in time.
    pub async fn until_world(&self, limit: Duration, pleases: impl Fn() -> bool) -> bool {
        let mut writes = self.stage.server.writes();
        let end = self.stage.milliseconds() + u64::try_from(limit.as_millis()).unwrap_or_default();
        loop {
            writes.borrow_and_update();
            if pleases() {
                return true;
            }
            tokio::select! {
                biased;
                _ = writes.changed() => {}
                () = self.stage.until(end) => return pleases(),
            }
        }
    }

    /// The object's Jobs.
    pub fn jobs(&self) -> Vec<Arc<Value>> {
        let jobs = self.stage.server.within(|store| store.list(by_name("Job"), Some(NAMESPACE)));
        let prefix = format!("{}-", self.name);
        jobs.into_iter().filter(|(key, _)| key.2.starts_with(&prefix)).map(|(_, job)| job.object).collect()
    }
}

/// `status` of a condition and its reason.
pub fn condition(status: &Value, kind: &str) -> (String, String) {
    let found = status["conditions"].as_array().into_iter().flatten().find(|condition| condition["type"] == kind);
    let text = |name: &str| found.and_then(|condition| condition[name].as_str()).unwrap_or_default().to_owned();
    (text("status"), text("reason"))
}

/// Ready, with an image of this commit and this edition that all targets run.
pub fn runs(status: &Value, commit: &str) -> bool {
    condition(status, "Ready").0 == "True"
        && condition(status, "RolledOut").0 == "True"
        && condition(status, "Built").0 == "True"
        && status["image"]["revision"].as_str().is_some_and(|revision| revision.ends_with(commit))
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

fn windows_node() -> Value {
    let info = json!({
        "kernelVersion": "10.0.20348.5499", "osImage": "Windows Server 2022 Datacenter", "architecture": "amd64", "bootID": "b",
        "containerRuntimeVersion": "containerd://2.1.4", "kubeProxyVersion": "", "kubeletVersion": "v1.34.0", "machineID": "m",
        "operatingSystem": "windows", "systemUUID": "u",
    });
    json!({
        "metadata": {"name": "windows-1", "labels": {"kubernetes.io/os": "windows"}},
        "spec": {"taints": [{"key": "os", "value": "windows", "effect": "NoSchedule"}]},
        "status": {"nodeInfo": info},
    })
}
