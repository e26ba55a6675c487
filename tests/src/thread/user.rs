//! How does somebody with few rights talk to the cluster? As a ServiceAccount, through the API server's own access control.

use super::Kubectl;
use crate::lab::Lab;
use anyhow::{Context, Result, bail};
use k8s_openapi::NamespaceResourceScope;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Resource};
use serde_json::{Value, json};

/// A user whom a Role of one namespace gives all the rights there are.
pub struct User {
    client: Client,
    namespace: String,
}

impl User {
    /// Makes the account. `rules` are those of its Role.
    pub async fn create(lab: &Lab, namespace: &str, name: &str, rules: &Value) -> Result<Self> {
        let metadata = json!({"name": name});
        let account = json!({"kind": "ServiceAccount", "name": name, "namespace": namespace});
        let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name});
        let objects = json!([
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata, "rules": rules},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata, "roleRef": role, "subjects": [account]},
        ]);
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        Kubectl::new(lab, namespace)?.apply(&list.to_string()).await?;
        let kubeconfig = Kubeconfig::read_from(lab.kubeconfig()).context("read the administrator's kubeconfig")?;
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        config.auth_info.impersonate = Some(format!("system:serviceaccount:{namespace}:{name}"));
        Ok(Self { client: Client::try_from(config)?, namespace: namespace.to_owned() })
    }

    /// Objects of a kind in the user's own namespace.
    pub fn own<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        self.within(&self.namespace)
    }

    /// Objects of a kind in another namespace.
    pub fn within<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }
}

/// The API server has refused something for want of a right. A user who has all rights would show nothing.
///
/// # Errors
/// When it has not.
pub fn forbidden<T>(answer: kube::Result<T>) -> Result<()> {
    match answer {
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(()),
        Err(error) => Err(error).context("refused for another reason than a missing right"),
        Ok(_) => bail!("it was allowed"),
    }
}
