//! What does a team have in its namespace? The samples of `config/samples`, with the lab's addresses in place of the examples'.

use super::Kubectl;
use super::install::repository;
use crate::lab::Lab;
use crate::lab::git::GitServer;
use anyhow::{Context, Result};
use gowindows_crds::names::ANNOTATION_HOSTS;
use serde_json::{Value, json};

/// A namespace under Pod Security, *restricted* where nothing else is asked for, and what a team applies there.
pub struct Tenant {
    /// `kubectl` in the namespace.
    pub kubectl: Kubectl,
    /// The namespace.
    pub namespace: String,
    registry: String,
    git: String,
    authority: String,
}

impl Tenant {
    /// Makes the namespace.
    pub async fn create(lab: &Lab, namespace: &str) -> Result<Self> {
        Self::create_under(lab, namespace, "restricted").await
    }

    /// The same under another level of Pod Security.
    pub async fn create_under(lab: &Lab, namespace: &str, level: &str) -> Result<Self> {
        let kubectl = Kubectl::new(lab, namespace)?;
        let labels = json!({"pod-security.kubernetes.io/enforce": level});
        kubectl
            .apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}).to_string())
            .await?;
        let git = lab.git().base().to_owned();
        Ok(Self {
            kubectl,
            namespace: namespace.to_owned(),
            registry: lab.registry().to_owned(),
            git,
            authority: lab.git().authority().to_owned(),
        })
    }

    /// The same, with its repositories on another git server.
    pub fn with_git(self, git: &GitServer) -> Self {
        Self { git: git.base().to_owned(), authority: git.authority().to_owned(), ..self }
    }

    /// A sample with the lab's git server and registry. `application` replaces `storefront` as the name of everything in it.
    pub fn sample(&self, file: &str, application: &str) -> Result<String> {
        let path = repository().join("config/samples").join(file);
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let here = text.replace("https://git.example.com", &self.git).replace("registry.example.com", &self.registry);
        let here = here.replace(&format!("{}/shop/storefront", self.git), &format!("{}/{}/{application}", self.git, self.namespace));
        let here =
            here.replace(&format!("{}/shop/storefront", self.registry), &format!("{}/{}/{application}", self.registry, self.namespace));
        Ok(here.replace("name: storefront", &format!("name: {application}")).replace("app: storefront", &format!("app: {application}")))
    }

    /// Applies the samples that give access: the Role and RoleBinding, and the Secrets with what really opens the lab's doors.
    pub async fn grant_access(&self, git: (&str, &str), registry: Option<(&str, &str, &str)>) -> Result<()> {
        self.kubectl.apply(&self.sample("secret-access.yaml", "storefront")?).await?;
        self.kubectl.apply(&self.git_secret(git.0, git.1)).await?;
        let (host, user, password) = registry.unwrap_or((&self.registry, "anyone", "anything"));
        self.kubectl.apply(&self.registry_secret(host, user, password)).await.map(drop)
    }

    /// The Secret `git-auth`, with the authority of the lab's git server.
    pub fn git_secret(&self, user: &str, password: &str) -> String {
        let data = json!({"username": user, "password": password, "ca.crt": self.authority});
        let metadata = json!({"name": "git-auth", "annotations": {ANNOTATION_HOSTS: self.git.trim_start_matches("https://")}});
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}).to_string()
    }

    /// The Secret `registry-auth`.
    pub fn registry_secret(&self, host: &str, user: &str, password: &str) -> String {
        let auths: Value = json!({"auths": {host: {"username": user, "password": password}}});
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "registry-auth"}, "type": "kubernetes.io/dockerconfigjson",
            "stringData": {".dockerconfigjson": auths.to_string()},
        })
        .to_string()
    }
}
