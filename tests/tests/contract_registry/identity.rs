//! Registries that let nobody in but workload identities: the build's last step pushes, and the controller's client reads, each by its own
//! exchange with servers that check every word of it.

use crate::push::{compiled, run_step_with};
use crate::server::{BASE, RealRegistry};
use anyhow::{Context, Result, bail, ensure};
use gowindows_clients::identity::Exchanger;
use gowindows_clients::oci::OciRegistry;
use gowindows_crds::GoWindowsImage;
use gowindows_crds::conditions::Reason;
use gowindows_model::call_error::CallError;
use gowindows_model::facts::Published;
use gowindows_model::ports::{Registry, SecretData};
use gowindows_model::request::Request;
use gowindows_model::settings::{IdentityProvider, IdentitySettings, RegistrySettings, Settings};
use gowindows_model::wire::assemble::{AssembleFailure, AssembleOutcome, AssembleRequest, AssembleResult};
use gowindows_model::wire::identity::Identity;
use gowindows_tests::clouds::{ACCOUNT, CLIENT, Cloud, Issuer, PROVIDER, Provider, REGION, ROLE, TENANT, Trust};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use tokio::net::TcpListener;
use windows_image::verify::Author;

const SUBJECT: &str = "system:serviceaccount:shop:push";
const TAG: &str = "gw-0123456789abcdef";

/// A cloud in front of a registry, and what the operator makes of an object that is pushed there.
struct Place {
    cloud: Cloud,
    issuer: Issuer,
    identity: Identity,
    registries: Vec<RegistrySettings>,
}

impl Place {
    async fn new(provider: Provider, spec: Value, behind: &str) -> Result<Self> {
        let issuer = Issuer::new()?;
        let trust = Trust { issuer: Issuer::NAME.into(), keys: issuer.keys(), subject: SUBJECT.into() };
        let cloud = Cloud::start(TcpListener::bind("127.0.0.1:0").await?, provider, trust, behind)?;
        let here = format!("http://{}", cloud.address);
        let told = IdentitySettings {
            provider: match provider {
                Provider::Aws => IdentityProvider::AWS,
                Provider::Azure => IdentityProvider::Azure,
                Provider::Google => IdentityProvider::Google,
            },
            region: (provider == Provider::Aws).then(|| REGION.into()),
            token_server: Some(here.clone()),
            password_server: Some(here),
        };
        let registries =
            vec![RegistrySettings { host: cloud.address.clone(), plain_http: true, identity: Some(told), ..RegistrySettings::default() }];
        let settings = Settings {
            registries: registries.clone(),
            toolchains: [("1.26".into(), "r.example.com/go:1.26".into())].into(),
            step_image: "r.example.com/gowindows:1".into(),
            ..Settings::default()
        };
        let object: GoWindowsImage = serde_json::from_value(json!({
            "apiVersion": "gowindows.dev/v1alpha1", "kind": "GoWindowsImage", "metadata": {"name": "app", "namespace": "shop"},
            "spec": {
                "source": {"git": {"url": "https://git.example.com/app.git"}},
                "image": {"repository": format!("{}/shop/app", cloud.address), "identity": spec},
            },
        }))?;
        let request = Request::new(&object, &settings).map_err(|refusal| anyhow::anyhow!("{}", refusal.message))?;
        Ok(Self { identity: request.identity().cloned().context("an identity")?, cloud, issuer, registries })
    }

    fn token(&self) -> Result<String> {
        self.issuer.token(SUBJECT, &self.identity.audience, 600)
    }

    /// The build's last step, with this token in its file. The base is in the same registry.
    async fn push(&self, compiled: &Path, token: &str) -> Result<AssembleOutcome> {
        let address = &self.cloud.address;
        let name = json!({"org.opencontainers.image.base.name": BASE});
        let request = AssembleRequest {
            repository: format!("{address}/shop/app"),
            tag: TAG.into(),
            assembly: serde_json::from_value(json!({"bases": [format!("{address}/{BASE}")], "annotations": name, "epoch": 0}))?,
            expected: None,
            reused_program: None,
            identity: Some(self.identity.clone()),
            registries: self.registries.clone(),
            absent_apis: vec![],
            timeout_seconds: 120,
        };
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), format!("{token}\n"))?;
        run_step_with(compiled, &request, &["--identity-token", file.path().to_str().context("UTF-8")?]).await
    }

    /// What the controller asks of the registry, with a password of its own.
    async fn read(&self, secret: &SecretData) -> Result<Option<Published>, CallError> {
        let repository = format!("{}/shop/app", self.cloud.address);
        OciRegistry::new(self.registries.clone()).published(&repository, TAG, Author::Us, Some(secret)).await
    }

    async fn secret(&self) -> Result<SecretData> {
        let login = Exchanger::new(self.registries.clone()).login(&self.identity, &self.token()?).await?;
        let config = json!({"auths": {&self.identity.host: {"username": login.username, "password": login.password}}});
        Ok(SecretData::from([(".dockerconfigjson".to_owned(), config.to_string().into_bytes())]))
    }
}

fn cases() -> [(Provider, Value); 4] {
    let google = json!({"workloadIdentityProvider": PROVIDER});
    let account = json!({"workloadIdentityProvider": PROVIDER, "serviceAccountEmail": ACCOUNT});
    [
        (Provider::Aws, json!({"serviceAccountName": "push", "aws": {"roleARN": ROLE}})),
        (Provider::Azure, json!({"serviceAccountName": "push", "azure": {"tenantID": TENANT, "clientID": CLIENT}})),
        (Provider::Google, json!({"serviceAccountName": "push", "google": google})),
        (Provider::Google, json!({"serviceAccountName": "push", "google": account})),
    ]
}

fn succeeded(outcome: AssembleOutcome) -> Result<AssembleResult> {
    match outcome {
        AssembleOutcome::Succeeded(result) => Ok(result),
        AssembleOutcome::Failed { failure } => bail!("{failure:?}"),
    }
}

fn failed(outcome: AssembleOutcome) -> Result<AssembleFailure> {
    match outcome {
        AssembleOutcome::Succeeded(result) => bail!("it was let in: {}", result.reference),
        AssembleOutcome::Failed { failure } => Ok(failure),
    }
}

async fn pushes_and_reads(provider: Provider, spec: Value) -> Result<()> {
    let (registry, compiled) = (RealRegistry::start().await?, compiled()?);
    let door = registry.door().await?;
    let place = Place::new(provider, spec, &door.host).await?;
    let result = succeeded(place.push(compiled.path(), &place.token()?).await?).context("push")?;
    let secret = place.secret().await?;
    let told = |error: CallError| anyhow::anyhow!("{}", error.message);
    let found = place.read(&secret).await.map_err(told)?.context("it was pushed")?;
    ensure!(found.image.digest == result.digest && found.violations.is_empty(), "{found:?}");
    ensure!(place.cloud.exchanged() >= 2, "step and controller, each for itself");

    // A password that was taken back opens nothing, and the next exchange does.
    place.cloud.revoke();
    let error = place.read(&secret).await.err().context("it was taken back")?;
    ensure!(error.reason == Reason::RegistryAuthFailed, "{error:?}");
    place.read(&place.secret().await?).await.map_err(told)?.context("with a new one")?;

    place.cloud.set_lasts(Duration::from_secs(1));
    let short = place.secret().await?;
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let error = place.read(&short).await.err().context("it is over")?;
    ensure!(error.reason == Reason::RegistryAuthFailed, "{error:?}");
    place.cloud.set_lasts(Duration::from_secs(3600));

    // Nobody else comes in, and nothing of a token is told.
    let (other, right) = (Issuer::new()?, place.identity.audience.as_str());
    let tokens = [
        ("forged", other.token(SUBJECT, right, 600)?),
        ("over", place.issuer.token(SUBJECT, right, -60)?),
        ("for the API server", place.issuer.token(SUBJECT, "https://kubernetes.default.svc", 600)?),
        ("of a neighbour", place.issuer.token("system:serviceaccount:other:push", right, 600)?),
        ("none", "not-a-token".to_owned()),
    ];
    for (what, token) in tokens {
        let failure = failed(place.push(compiled.path(), &token).await?).context(what)?;
        ensure!((failure.reason.as_str(), failure.transient) == ("IdentityRefused", false), "{what}: {failure:?}");
        let shown = failure.message.contains(&place.cloud.address) && failure.message.starts_with("image.identity: ");
        ensure!(shown && !failure.message.contains(&token), "{what}: {}", failure.message);
    }
    place.cloud.set_busy(true);
    let busy = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        place.cloud.set_busy(false);
    };
    let token = place.token()?;
    let (outcome, ()) = tokio::join!(place.push(compiled.path(), &token), busy);
    succeeded(outcome?).context("it waits for a busy server").map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_cloud_lets_its_own_identities_in_and_nobody_else() -> Result<()> {
    for (number, (provider, spec)) in cases().into_iter().enumerate() {
        pushes_and_reads(provider, spec).await.with_context(|| format!("case {number}, {provider:?}"))?;
    }
    Ok(())
}
