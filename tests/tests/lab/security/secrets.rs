//! A tenant who may create objects and nothing else names Secrets of his namespace that are not meant for his server, with a commit that needs
//! no look at it (H4): no Job is made, his server hears no login, and what is missing is told as a line to run.

use super::{Team, changed, rule};
use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::try_join_all;
use gowindows_crds::GoWindowsImage;
use gowindows_crds::conditions::{ConditionType, Reason};
use gowindows_crds::names::ANNOTATION_HOSTS;
use gowindows_crds::v1alpha1::GoWindowsImageStatus;
use gowindows_tests::lab::git::{Access, GitServer};
use gowindows_tests::thread::{LIMIT, Ledger, Stage, Tenant, User, forbidden, is_for, message, until};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{ListParams, PostParams};
use serde_json::{Value, json};
use std::sync::Arc;

const TEAM: &str = "lenders";
const USER: &str = "app_user";
/// The one that is bound in the end, and then opens the repository.
const LENT: &str = "unbound";

/// A Secret, and what is said of it.
struct Case {
    name: &'static str,
    /// The hosts that it names; none where it has no annotation.
    hosts: Option<String>,
    /// A token, and no user with a password.
    token: bool,
    reason: Reason,
}

pub async fn a_pinned_commit_leads_around_no_secret(stage: Arc<Stage>) -> Result<()> {
    let ledger = Ledger::open(stage.lab.client());
    let git = stage.lab.start_git("git-of-the-tenant").await?;
    let door = Access::Password { user: USER.into(), password: password(LENT) };
    let team = Team::create_on(&stage, &git, TEAM, door).await?;
    let host = git.base().trim_start_matches("https://").to_owned();
    let cases = cases(&host);
    lend(&team.tenant, &git, &cases).await?;
    let user = tenant_without_secrets(&stage).await?;
    let names: Vec<&str> = cases.iter().map(|case| case.name).chain(["absent"]).collect();
    for name in &names {
        let mut object = team.object(&stage, name);
        object["spec"]["source"]["git"]["ref"] = json!({"commit": team.commit});
        object["spec"]["source"]["git"]["secretRef"] = json!({"name": name});
        let object: GoWindowsImage = serde_json::from_value(object)?;
        user.own::<GoWindowsImage>().create(&PostParams::default(), &object).await.with_context(|| format!("create {name}"))?;
    }
    let told = try_join_all(cases.iter().map(|case| refused(&stage, case.name, case.reason))).await?;
    for (case, told) in cases.iter().zip(&told) {
        says_the_line(case, told, &host)?;
    }
    // AZ7: whether there is such a Secret is not told.
    let absent = refused(&stage, "absent", Reason::SecretUnavailable).await?;
    ensure!(told[0].replace(cases[0].name, "absent") == absent, "{} differs from {absent}", told[0]);
    for name in &names {
        team.looked_at(&stage, name, "still").await?;
        ensure!(ledger.of(TEAM, name) == 0, "{name}: a Job was made");
    }
    ensure!(git.logins().is_empty(), "the tenant's server was told {:?}", git.logins());
    goes_on(&stage, &team, &git, &told).await?;
    for name in names.iter().filter(|name| **name != LENT) {
        ensure!(ledger.of(TEAM, name) == 0, "{name}: a Job was made");
    }
    Ok(())
}

fn cases(host: &str) -> Vec<Case> {
    let address = host.split(':').next().unwrap_or_default();
    let case = |name, hosts: Option<String>, reason| Case { name, hosts, token: false, reason };
    vec![
        // The audit's own: nothing lets the operator read it, whatever it is bound to.
        case("unreadable", Some(host.to_owned()), Reason::SecretUnavailable),
        case(LENT, None, Reason::SecretUnbound),
        case("elsewhere", Some("git.example.com".into()), Reason::SecretUnbound),
        case("look-alike", Some(format!("{host}.evil.example,x{host},{address},{address}:1,*")), Reason::SecretUnbound),
        Case { token: true, ..case("token", None, Reason::SecretUnbound) },
    ]
}

/// Nobody's login is another's.
fn password(name: &str) -> String {
    format!("canary-of-{name}")
}

/// The Secrets, each with the authority of the tenant's server, as many applications' have one; and the Role by which the operator reads all but
/// those that are unreadable.
async fn lend(tenant: &Tenant, git: &GitServer, cases: &[Case]) -> Result<()> {
    for Case { name, hosts, token, .. } in cases {
        let login = if *token { json!({"bearerToken": password(name)}) } else { json!({"username": USER, "password": password(name)}) };
        let kind = if *token { "Opaque" } else { "kubernetes.io/basic-auth" };
        let annotations: Value = hosts.iter().map(|hosts| (ANNOTATION_HOSTS.to_owned(), json!(hosts))).collect();
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "annotations": annotations}, "type": kind,
            "stringData": changed(login, &json!({"ca.crt": git.authority()})),
        });
        tenant.kubectl.apply(&secret.to_string()).await?;
    }
    let readable: Vec<&str> = cases.iter().filter(|case| case.reason == Reason::SecretUnbound).map(|case| case.name).collect();
    let known = "[git-auth, registry-auth, storefront-signing, base-auth, buildkit-tls, modules-auth]";
    let access = tenant.sample("secret-access.yaml", "storefront")?;
    let ours = access.replace(known, &format!("{readable:?}"));
    ensure!(ours != access, "the sample names other Secrets: {access}");
    tenant.kubectl.apply(&ours).await.map(drop)
}

async fn tenant_without_secrets(stage: &Stage) -> Result<User> {
    let rules = json!([rule("gowindows.dev", &["gowindowsimages"], &["create", "get", "list"])]);
    let user = User::create(&stage.lab, TEAM, "developer", &rules).await?;
    forbidden(user.own::<Secret>().get(LENT).await).context("the tenant reads a Secret")?;
    forbidden(user.own::<Pod>().list(&ListParams::default()).await).context("the tenant looks at pods")?;
    forbidden(user.own::<Job>().list(&ListParams::default()).await).context("the tenant looks at Jobs")?;
    Ok(user)
}

/// What is told of an object whose Secret is not used.
async fn refused(stage: &Stage, name: &str, reason: Reason) -> Result<String> {
    // A build that has begun is not waited for to end.
    let so = |status: &GoWindowsImageStatus| is_for(status, ConditionType::Built, reason) || status.build.is_some();
    let status = until(&stage.lab.client(), TEAM, name, LIMIT, so).await.with_context(|| format!("{name}: {reason}"))?;
    let told = message(&status, ConditionType::Built);
    eprintln!("{TEAM}/{name}: {reason}: {told}");
    ensure!(status.build.is_none() && status.image.is_none(), "{name}: {status:?}");
    ensure!(told.contains("source.git.secretRef") && told.contains(&format!("Secret {name}")), "{name}: {told}");
    ensure!(!told.contains("canary"), "{name}: {told}");
    Ok(told)
}

/// The remedy is a line that names the Secret and its server, and keeps the hosts that it had where it repeats them.
fn says_the_line(case: &Case, told: &str, host: &str) -> Result<()> {
    let remedy = match (case.reason, &case.hosts) {
        (Reason::SecretUnavailable, _) => "secret-access.yaml".into(),
        (_, Some(hosts)) if !hosts.contains('*') => format!("secret {} '{ANNOTATION_HOSTS}={hosts},{host}'", case.name),
        _ => format!("secret {} '{ANNOTATION_HOSTS}={host}'", case.name),
    };
    ensure!(told.contains(&remedy), "{}: {remedy:?} is not in {told}", case.name);
    Ok(())
}

/// The Secret's owner runs the line that was told, and the build goes on; the tenant's server hears that login and no other.
async fn goes_on(stage: &Stage, team: &Team, git: &GitServer, told: &[String]) -> Result<()> {
    let line = told.iter().find(|told| told.contains(&format!("Secret {LENT} "))).context("a line")?;
    let line = line.split_once("kubectl ").and_then(|(_, rest)| rest.split_once(';')).context("a command")?.0;
    let words: Vec<&str> = line.split_whitespace().map(|word| word.trim_matches('\'')).collect();
    team.tenant.kubectl.run(&words).await.with_context(|| format!("kubectl {line}"))?;
    let image = team.published(stage, LENT).await?.image.context("an image")?;
    ensure!(image.revision.is_some_and(|revision| revision.contains(&team.commit)), "another commit was built");
    let sent = format!("Basic {}", STANDARD.encode(format!("{USER}:{}", password(LENT))));
    let logins = git.logins();
    // Otherwise nothing was shown by the silence before.
    ensure!(!logins.is_empty() && logins.iter().all(|login| *login == sent), "the tenant's server was told {logins:?}");
    Ok(())
}
