//! Does the identity fit the registry, and which servers exchange it?
//!
//! | registry | token is made out for | exchanged by | and by |
//! |---|---|---|---|
//! | `ACCOUNT.dkr.ecr.REGION.amazonaws.com` (`.com.cn`, `amazonaws.eu`) | `sts.amazonaws.com` | `sts.REGION.amazonaws.com` | `api.ecr.REGION.amazonaws.com` |
//! | `NAME.azurecr.io` (`.cn`, `.us`) | `api://AzureADTokenExchange` (`China`, `USGov`) | `login.microsoftonline.com` (each cloud's own) | the registry |
//! | `REGION-docker.pkg.dev`, `gcr.io`, `REGION.gcr.io` | the pool's provider, or GKE's pool | `sts.googleapis.com` | `iamcredentials.googleapis.com` |
//!
//! Nobody but the operator's owner can name other servers (`registries[].identity`), and nobody at all another audience: a tenant must
//! not choose who gets a token, nor make one out for the API server.

use super::Refusal;
use super::checks::{Check, invalid};
use super::{Request, object_name};
use crate::settings::{IdentityProvider, IdentitySettings, RegistrySettings, Settings};
use crate::wire::identity::{Exchange, Identity};
use gowindows_crds::patterns;
use gowindows_crds::v1alpha1::{AwsIdentity, AzureIdentity, GoogleIdentity, IdentitySpec};

/// Whom the identity is of.
enum Asked {
    Aws { role: String },
    Azure { tenant: String, client: String },
    Google { provider: String, audience: String, account: Option<String> },
}

/// # Errors
/// What is wrong with which field, or that the registry belongs to another cloud.
pub(super) fn identity(spec: IdentitySpec, namespace: &str, repository: &str, settings: &Settings) -> Result<Identity, Refusal> {
    let IdentitySpec { service_account_name, aws, azure, google } = spec;
    let service_account = object_name("image.identity.serviceAccountName", &service_account_name)?;
    let asked = match (aws, azure, google) {
        (Some(aws), None, None) => role(&aws)?,
        (None, Some(azure), None) => application(&azure)?,
        (None, None, Some(google)) => pool(google)?,
        _ => return Err(invalid("image.identity", "", "set exactly one of aws, azure and google")),
    };
    let host = repository.split('/').next().unwrap_or_default().to_ascii_lowercase();
    let registry = settings.registries.iter().find(|registry| registry.host.eq_ignore_ascii_case(&host));
    let place = Place { host: &host, registry, told: registry.and_then(|registry| registry.identity.as_ref()) };
    let (audience, exchange) = match asked {
        Asked::Aws { role } => place.aws(role)?,
        Asked::Azure { tenant, client } => place.azure(tenant, client)?,
        Asked::Google { provider, audience, account } => place.google(provider, audience, account)?,
    };
    Ok(Identity { host, namespace: namespace.to_owned(), service_account, audience, exchange })
}

/// The registries that are mirrored in the identity's.
pub(super) fn mirrored(identity: &Identity, settings: &Settings) -> Vec<String> {
    let inside = |registry: &&RegistrySettings| registry.mirror.as_ref().is_some_and(|mirror| identity.opens(&format!("{mirror}/")));
    settings.registries.iter().filter(inside).map(|registry| registry.host.clone()).collect()
}

impl Request {
    /// Builders read docker configurations alone, and what they are given is the same for every pod.
    pub(super) fn check_identity(&self) -> Result<(), Refusal> {
        match (self.identity(), self.build.engine.registry_cache()) {
            (Some(identity), Some(cache)) if identity.opens(cache) => {
                let remedy = format!(
                    "{} has no use for image.identity, and this is its registry; put the cache into another one, leave it out, or push with image.pushSecretRef",
                    self.build.engine.kind().as_str()
                );
                Err(invalid("build.cache.registry.repository", cache, &remedy))
            }
            _ => Ok(()),
        }
    }
}

fn role(aws: &AwsIdentity) -> Result<Asked, Refusal> {
    let AwsIdentity { role_arn } = aws;
    let remedy = "use the ARN of an IAM role, such as arn:aws:iam::123456789012:role/storefront-push";
    Ok(Asked::Aws { role: Check::new("image.identity.aws.roleARN", role_arn, remedy).form(patterns::ROLE_ARN)? })
}

fn application(azure: &AzureIdentity) -> Result<Asked, Refusal> {
    let AzureIdentity { tenant_id, client_id } = azure;
    let remedy = "use the id itself, such as 72f988bf-0000-0000-0000-2d7cd011db47, and no name";
    let id = |field: &str, id: &str| Check::new(field, id, remedy).form(patterns::UUID);
    Ok(Asked::Azure { tenant: id("image.identity.azure.tenantID", tenant_id)?, client: id("image.identity.azure.clientID", client_id)? })
}

fn pool(google: GoogleIdentity) -> Result<Asked, Refusal> {
    let GoogleIdentity { workload_identity_provider, cluster, service_account_email } = google;
    let (provider, audience) = match (workload_identity_provider, cluster) {
        (Some(provider), None) => {
            let remedy = "use the provider's full name, projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER";
            let field = "image.identity.google.workloadIdentityProvider";
            let provider =
                format!("//iam.googleapis.com/{}", Check::new(field, &provider, remedy).form(patterns::WORKLOAD_IDENTITY_PROVIDER)?);
            // One of the two default audiences of such a provider, in which it stands with its scheme.
            (provider.clone(), format!("https:{provider}"))
        }
        (None, Some(cluster)) => {
            let remedy = "use the cluster's full name, projects/PROJECT/locations/LOCATION/clusters/CLUSTER";
            let cluster = Check::new("image.identity.google.cluster", &cluster, remedy).form(patterns::GKE_CLUSTER)?;
            let pool = format!("{}.svc.id.goog", cluster.split('/').nth(1).unwrap_or_default());
            (format!("identitynamespace:{pool}:https://container.googleapis.com/v1/{cluster}"), pool)
        }
        _ => return Err(invalid("image.identity.google", "", "set either workloadIdentityProvider or cluster")),
    };
    let remedy = "use the whole address of a Google service account, such as push@shop-1234.iam.gserviceaccount.com";
    let field = "image.identity.google.serviceAccountEmail";
    let account = service_account_email.map(|email| Check::new(field, &email, remedy).form(patterns::GOOGLE_ACCOUNT)).transpose()?;
    Ok(Asked::Google { provider, audience, account })
}

/// The registry, and what the operator's settings say of it.
struct Place<'a> {
    host: &'a str,
    registry: Option<&'a RegistrySettings>,
    told: Option<&'a IdentitySettings>,
}

impl Place<'_> {
    fn aws(&self, role: String) -> Result<(String, Exchange), Refusal> {
        let named = ecr(self.host);
        self.belongs_to(IdentityProvider::AWS, named.is_some(), "ACCOUNT.dkr.ecr.REGION.amazonaws.com", "aws")?;
        let region = self.told.and_then(|told| told.region.clone()).or(named.as_ref().map(|(region, _)| region.clone()));
        let region = region.ok_or_else(|| {
            invalid(
                "image.repository",
                self.host,
                "its name has no region; ask the operator's owner to set identity.region of this registry",
            )
        })?;
        let domain = named.map_or("amazonaws.com", |(_, domain)| domain);
        let (sts, ecr) = self.servers(&format!("https://sts.{region}.{domain}"), &format!("https://api.ecr.{region}.{domain}"));
        Ok(("sts.amazonaws.com".into(), Exchange::Aws { role, region, sts, ecr }))
    }

    fn azure(&self, tenant: String, client: String) -> Result<(String, Exchange), Refusal> {
        let clouds = [
            (".azurecr.io", "https://login.microsoftonline.com", ""),
            (".azurecr.cn", "https://login.partner.microsoftonline.cn", "China"),
            (".azurecr.us", "https://login.microsoftonline.us", "USGov"),
        ];
        let cloud = clouds.iter().find(|(domain, ..)| self.host.strip_suffix(domain).is_some_and(is_label));
        self.belongs_to(IdentityProvider::Azure, cloud.is_some(), "NAME.azurecr.io", "azure")?;
        let (_, login, suffix) = cloud.unwrap_or(&clouds[0]);
        let scheme = if self.registry.is_some_and(|registry| registry.plain_http) { "http" } else { "https" };
        let (login, registry) = self.servers(login, &format!("{scheme}://{}", self.host));
        Ok((format!("api://AzureADTokenExchange{suffix}"), Exchange::Azure { tenant, client, login, registry }))
    }

    fn google(&self, provider: String, audience: String, account: Option<String>) -> Result<(String, Exchange), Refusal> {
        let named =
            self.host == "gcr.io" || ["-docker.pkg.dev", ".gcr.io"].iter().any(|end| self.host.strip_suffix(end).is_some_and(is_label));
        self.belongs_to(IdentityProvider::Google, named, "REGION-docker.pkg.dev or gcr.io", "google")?;
        let (sts, credentials) = self.servers("https://sts.googleapis.com", "https://iamcredentials.googleapis.com");
        Ok((audience, Exchange::Google { provider, account, sts, credentials }))
    }

    fn belongs_to(&self, provider: IdentityProvider, named: bool, form: &str, field: &str) -> Result<(), Refusal> {
        if self.told.map_or(named, |told| told.provider == provider) {
            return Ok(());
        }
        let remedy = match self.told {
            Some(told) => format!(
                "the operator's settings say that it takes identities of {:?}, and image.identity is of {provider:?}",
                told.provider
            ),
            None => format!(
                "image.identity.{field} is for {form}; use pushSecretRef for another registry, or ask the operator's owner to set identity of this one in registries"
            ),
        };
        Err(invalid("image.repository", self.host, &remedy))
    }

    fn servers(&self, first: &str, second: &str) -> (String, String) {
        let chosen = |told: Option<&String>, usual: &str| told.map_or(usual, String::as_str).trim_end_matches('/').to_owned();
        (
            chosen(self.told.and_then(|told| told.token_server.as_ref()), first),
            chosen(self.told.and_then(|told| told.password_server.as_ref()), second),
        )
    }
}

/// Region and domain of a registry of ECR.
fn ecr(host: &str) -> Option<(String, &'static str)> {
    let (account, rest) = host.split_once(".dkr.ecr.")?;
    let (region, domain) = rest.split_once('.')?;
    let domain = ["amazonaws.com", "amazonaws.com.cn", "amazonaws.eu"].into_iter().find(|known| *known == domain)?;
    let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    (is_account && is_label(region)).then(|| (region.to_owned(), domain))
}

fn is_label(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}
