//! What is built while things break: the smallest program that differs from commit to commit, its Deployment and its object.

use anyhow::{Context, Result};
use gowindows_tests::lab::git::{Access, GitServer, Repository};
use gowindows_tests::thread::{Stage, Tenant};
use serde_json::{Value, json};

/// A program's repository.
pub struct App {
    /// Its name, and that of all that is made for it.
    pub name: String,
    /// Its first commit.
    pub first: String,
    /// Whether it is given little of a processor.
    slow: bool,
    repository: Repository,
}

impl App {
    /// A new repository with one commit.
    pub async fn create(git: &GitServer, name: &str) -> Result<Self> {
        let login = Access::Password { user: "git".into(), password: "sesame".into() };
        let mut app = Self { name: name.to_owned(), first: String::new(), slow: false, repository: git.create(name, login).await? };
        app.first = app.say("first").await?;
        Ok(app)
    }

    /// The same for a program that takes some seconds to compile: time to do something meanwhile.
    pub async fn create_slow(git: &GitServer, name: &str) -> Result<Self> {
        Ok(Self { slow: true, ..Self::create(git, name).await? })
    }

    /// Commits a program that says something else. Returns the commit.
    pub async fn say(&self, text: &str) -> Result<String> {
        let name = &self.name;
        let main = format!("package main\n\nfunc main() {{\n\tprintln(\"{name}\", {text:?})\n\tselect {{}}\n}}\n");
        let files = [("go.mod", "module example.test/app\n\ngo 1.24\n"), ("main.go", &main)];
        self.repository.commit_files(&files, text, "2026-01-02T03:04:05Z").await
    }

    /// Its Deployment, whose pods are ready three seconds after they have started, so that a rollout lasts.
    pub fn deployment(&self, tenant: &Tenant) -> Result<Value> {
        deployment(tenant, &self.name)
    }

    /// Its `GoWindowsImage`, looked at every few seconds.
    pub fn object(&self, tenant: &Tenant, registry: &str) -> Value {
        let mut build = json!({"cache": {"volume": {"size": "1Gi"}}});
        if self.slow {
            // A fifth of a second of compiling becomes ten: long enough to be seen on a loaded machine.
            build["resources"] = json!({"requests": {"cpu": "20m"}, "limits": {"cpu": "20m"}});
        }
        json!({
            "apiVersion": "gowindows.dev/v1alpha1", "kind": "GoWindowsImage", "metadata": {"name": self.name},
            "spec": {
                "interval": "5s",
                "source": {"git": {"url": self.repository.url(), "secretRef": {"name": "git-auth"}}},
                "image": {"repository": format!("{registry}/{}/{}", tenant.namespace, self.name)},
                "build": build,
                "rollout": {"targets": [{"name": self.name}]},
            },
        })
    }

    /// Applies both to a namespace.
    pub async fn apply(&self, tenant: &Tenant, registry: &str) -> Result<()> {
        tenant.kubectl.apply(&self.deployment(tenant)?.to_string()).await?;
        tenant.kubectl.apply(&self.object(tenant, registry).to_string()).await.map(drop)
    }
}

/// The sample's Deployment, without its Service.
pub fn deployment(tenant: &Tenant, name: &str) -> Result<Value> {
    let sample = tenant.sample("storefront-deployment.yaml", name)?;
    let mut deployment: Value = serde_norway::from_str(sample.split("\n---").next().context("a document")?)?;
    deployment["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]["initialDelaySeconds"] = json!(3);
    Ok(deployment)
}

/// A namespace whose repositories are on the lab's git server or on `git`, with the access that they need.
pub async fn tenant(stage: &Stage, namespace: &str, git: Option<&GitServer>) -> Result<Tenant> {
    let tenant = Tenant::create(&stage.lab, namespace).await?;
    let tenant = match git {
        Some(git) => tenant.with_git(git),
        None => tenant,
    };
    tenant.grant_access(("git", "sesame"), None).await?;
    Ok(tenant)
}
