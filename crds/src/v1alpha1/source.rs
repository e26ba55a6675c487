//! Where does the source come from?

use super::SecretReference;
use crate::patterns;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the Go source comes from. Exactly one kind of source is set.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceSpec {
    /// A git repository that the operator polls.
    pub git: GitSource,
    /// Folder of the Go module (the one with `go.mod`) inside the repository, with forward slashes.
    /// Default: `.`, the root. Example: `services/storefront`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = patterns::SUB_PATH))]
    #[x_kube(validation = Rule::new("!self.split('/').exists(part, part == '..' || part == '.git')").message("must stay inside the repository: no '..' and no '.git'"))]
    pub sub_path: Option<String>,
}

/// A git repository over HTTPS.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GitSource {
    /// Address of the repository. Only https, and without a user or password in it (use `secretRef`).
    /// Example: `https://git.example.com/shop/storefront.git`.
    #[schemars(length(min = 1, max = 2048), regex(pattern = patterns::GIT_URL))]
    pub url: String,
    /// What to build. Default: the branch that the remote's HEAD names. Example: `{branch: main}`.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<GitReference>,
    /// A Secret in the same namespace with `username` and `password` (or a token as the password), or `bearerToken`;
    /// and, where the server's certificate comes from a private authority, its certificates as `ca.crt` (or `caFile`).
    /// The operator needs a Role and RoleBinding in this namespace to read it (`config/samples/secret-access.yaml`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretReference>,
}

/// One of a branch, a tag or a commit.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, KubeSchema)]
#[x_kube(validation = Rule::new("[has(self.branch), has(self.tag), has(self.commit)].filter(x, x).size() == 1")
    .message("set exactly one of branch, tag or commit; leave ref out for the remote's HEAD"))]
#[serde(rename_all = "camelCase")]
pub struct GitReference {
    /// Follow this branch: each new commit is built. Example: `main`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = patterns::GIT_REF))]
    #[x_kube(validation = Rule::new("!self.contains('..') && !self.endsWith('.lock') && !self.endsWith('.')").message("not a legal branch name"))]
    pub branch: Option<String>,
    /// Build this tag; it is built again if it is moved. Example: `v1.4.2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = patterns::GIT_REF))]
    #[x_kube(validation = Rule::new("!self.contains('..') && !self.endsWith('.lock') && !self.endsWith('.')").message("not a legal tag name"))]
    pub tag: Option<String>,
    /// Build exactly this commit: the full 40 hexadecimal digits, in lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = patterns::COMMIT))]
    pub commit: Option<String>,
}
