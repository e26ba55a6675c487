//! Who opens the registry, where no password does?

use crate::patterns;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The workload identity of the cloud that the registry is in: a ServiceAccount whose tokens the cloud trusts. Its name, and exactly one
/// of `aws`, `azure` and `google`. What it is in the cloud stands here and not in annotations of the ServiceAccount: those would make the
/// cloud's own webhook hand the identity to every container of a build.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, KubeSchema)]
#[x_kube(validation = Rule::new("[has(self.aws), has(self.azure), has(self.google)].filter(x, x).size() == 1")
    .message("set exactly one of aws, azure and google"))]
#[serde(rename_all = "camelCase")]
pub struct IdentitySpec {
    /// A ServiceAccount in the same namespace. It needs no rights in the cluster, and best has none. The operator needs a Role and
    /// RoleBinding in this namespace to ask for its tokens (`config/samples/registry-identity.yaml`). Example: `storefront-push`.
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::OBJECT_NAME))]
    pub service_account_name: String,
    /// For a registry of Amazon ECR (`ACCOUNT.dkr.ecr.REGION.amazonaws.com`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws: Option<AwsIdentity>,
    /// For a registry of Azure Container Registry (`NAME.azurecr.io`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azure: Option<AzureIdentity>,
    /// For a registry of Google Artifact Registry (`REGION-docker.pkg.dev`, `gcr.io`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub google: Option<GoogleIdentity>,
}

/// An IAM role that the ServiceAccount assumes (`sts:AssumeRoleWithWebIdentity`, audience `sts.amazonaws.com`).
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AwsIdentity {
    /// The role. Example: `arn:aws:iam::123456789012:role/storefront-push`.
    #[serde(rename = "roleARN")]
    #[schemars(length(max = 2048), regex(pattern = patterns::ROLE_ARN))]
    pub role_arn: String,
}

/// An application or managed identity with a federated credential for the ServiceAccount (audience `api://AzureADTokenExchange`).
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AzureIdentity {
    /// Its tenant. Example: `72f988bf-0000-0000-0000-2d7cd011db47`.
    #[serde(rename = "tenantID")]
    #[schemars(regex(pattern = patterns::UUID))]
    pub tenant_id: String,
    /// Its client id. Example: `5f1c2e7a-0000-0000-0000-8b0c9d1e2f34`.
    #[serde(rename = "clientID")]
    #[schemars(regex(pattern = patterns::UUID))]
    pub client_id: String,
}

/// A workload identity pool that trusts the cluster: `workloadIdentityProvider` or, on GKE, `cluster`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.workloadIdentityProvider) != has(self.cluster)")
    .message("set either workloadIdentityProvider or cluster"))]
#[serde(rename_all = "camelCase")]
pub struct GoogleIdentity {
    /// The provider by its full name, whose audiences are the default ones. Example:
    /// `projects/123456789012/locations/global/workloadIdentityPools/clusters/providers/shop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = patterns::WORKLOAD_IDENTITY_PROVIDER))]
    pub workload_identity_provider: Option<String>,
    /// The GKE cluster that this is, with workload identity switched on. Example: `projects/shop-1234/locations/europe-west3/clusters/shop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = patterns::GKE_CLUSTER))]
    pub cluster: Option<String>,
    /// A Google service account to act as (`roles/iam.workloadIdentityUser`). Default: none, the ServiceAccount itself has rights in the
    /// registry. Example: `push@shop-1234.iam.gserviceaccount.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), regex(pattern = patterns::GOOGLE_ACCOUNT))]
    pub service_account_email: Option<String>,
}
