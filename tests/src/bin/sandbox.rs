//! `cargo sandbox`: from nothing to a Windows program that answers, on this machine, with real parts.

use anyhow::{Context, Result, bail};
use clap::Parser;
use gowindows_crds::GoWindowsImage;
use gowindows_crds::v1alpha1::{GoWindowsImageStatus, ImageStatus, RolloutPhase};
use gowindows_tests::lab::git::Access;
use gowindows_tests::lab::progress::Progress;
use gowindows_tests::lab::windows_base::{self, Sizes};
use gowindows_tests::lab::{Lab, available};
use gowindows_tests::thread::{Operator, Storefront, Tenant, follow, page};
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

const NAMESPACE: &str = "shop";
const NAME: &str = "storefront";
/// A cold module proxy and a loaded machine included.
const LIMIT: Duration = Duration::from_secs(600);

/// Boots a real cluster with a Windows node on this machine, installs the operator, and takes a Go service from source to a
/// running Windows program and on to its next commit.
///
/// The first start installs packages and builds the cluster's components, some ten minutes on two cores; later ones take one or two.
#[derive(Parser)]
#[command(name = "cargo sandbox")]
struct Cli {
    /// End when everything was shown, instead of leaving the cluster up until Ctrl-C.
    #[arg(long)]
    once: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(reason) = available() {
        eprintln!("sandbox: {reason}");
        return ExitCode::FAILURE;
    }
    let progress = Progress::stdout();
    let mut terminate = match signal(SignalKind::terminate()) {
        Ok(signal) => signal,
        Err(error) => {
            eprintln!("sandbox: cannot listen for signals: {error}");
            return ExitCode::FAILURE;
        }
    };
    // Whichever ends first drops the other: the lab takes itself away, and everything that it started.
    let result = tokio::select! {
        result = show(&progress, cli.once) => result,
        _ = tokio::signal::ctrl_c() => { progress.say("taking everything away"); Ok(()) }
        _ = terminate.recv() => { progress.say("taking everything away"); Ok(()) }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sandbox: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn show(progress: &Progress, once: bool) -> Result<()> {
    let lab = Lab::start(progress).await?;
    progress.step("the Windows bases", windows_base::publish(lab.registry(), Sizes::default())).await?;
    let node = lab.windows_node("windows-1", "10.0.20348.5499", progress).await?;
    let operator = Operator::install(&lab, progress).await?;
    let result = thread(&lab, progress, &operator).await;
    if let Err(error) = result {
        return Err(error.context(format!("the operator's log ends with:\n{}", operator.log().await)));
    }
    if !once {
        next_steps(&lab);
        std::future::pending::<()>().await;
    }
    node.stop().await;
    Ok(())
}

/// Source -> build -> digest -> rollout -> answer, and the same again for a commit.
async fn thread(lab: &Lab, progress: &Progress, operator: &Operator) -> Result<()> {
    progress.say("a team makes a namespace, a repository, Secrets, a Deployment for Windows, and one GoWindowsImage");
    let tenant = Tenant::create(lab, NAMESPACE).await?;
    let login = Access::Password { user: "git".into(), password: "sesame".into() };
    let storefront = Storefront::create(lab, &format!("{NAMESPACE}/{NAME}"), login).await?;
    tenant.grant_access(("git", "sesame"), None).await?;
    tenant.kubectl.apply(&tenant.sample("storefront-deployment.yaml", NAME)?).await?;
    let object = tenant.sample("storefront.yaml", NAME)?.replace("interval: 1m", "interval: 5s");
    println!("\n{object}");
    tenant.kubectl.apply(&object).await?;

    let mut told = Vec::new();
    let first = rolled_out(lab, progress, &mut told, None).await?;
    let url = service(&tenant).await?;
    println!("\n{}", page(&url).await.context("ask the first program for its page")?);
    sizes(&first);

    let commit = storefront.greet("Fresh bread, and now cake.").await?;
    progress.say(format!("a commit is pushed: {commit}"));
    let second = rolled_out(lab, progress, &mut told, Some(&first.digest)).await?;
    let answer = page(&url).await.context("ask the second program for its page")?;
    println!("\n{answer}");
    if !answer.contains("and now cake") || !answer.contains(&commit) || !answer.contains("windows/amd64") {
        bail!("the second program's page is not the second commit's");
    }
    sizes(&second);
    println!("\n$ kubectl get gwi -o wide\n{}", tenant.kubectl.run(&["get", "gwi", "-o", "wide"]).await?);
    println!(
        "$ kubectl get events\n{}",
        tenant.kubectl.run(&["get", "events", "--field-selector", "involvedObject.kind=GoWindowsImage"]).await?
    );
    println!("the same on this machine, without the cluster: {} build --help", operator.program.display());
    Ok(())
}

/// Follows the object until another digest than `before` runs in its target.
async fn rolled_out(lab: &Lab, progress: &Progress, told: &mut Vec<String>, before: Option<&str>) -> Result<ImageStatus> {
    let is_new = |status: &GoWindowsImageStatus| {
        let image = status.image.as_ref().filter(|image| Some(image.digest.as_str()) != before);
        let rollout = status.rollout.as_ref().filter(|rollout| rollout.phase == RolloutPhase::Complete);
        image.zip(rollout).is_some_and(|(image, rollout)| image.digest == rollout.digest)
    };
    let object: GoWindowsImage = follow(&lab.client(), NAMESPACE, NAME, LIMIT, told, |line| progress.say(line), is_new).await?;
    object.status.and_then(|status| status.image).context("a status without an image")
}

/// The Service's address, which this machine reaches as a pod would.
async fn service(tenant: &Tenant) -> Result<String> {
    let address = tenant.kubectl.run(&["get", "service", NAME, "--output", "jsonpath={.spec.clusterIP}"]).await?;
    Ok(format!("http://{address}/"))
}

fn sizes(image: &ImageStatus) {
    let megabytes = |bytes: i64| format!("{:.1} MB", bytes as f64 / 1e6);
    println!("digest                 {}", image.digest);
    for platform in &image.platforms {
        println!("os.version             {}", platform.os_version);
        println!(
            "our layer              {}, of {} in {} layers",
            megabytes(platform.app_bytes),
            megabytes(platform.total_bytes),
            platform.layers
        );
    }
    if let Some(binary) = &image.binary {
        println!("program                {}, {}", binary.name, megabytes(binary.bytes));
    }
    if let Some(pull) = &image.pull_bytes {
        println!("a node has to pull     {} beside a cached base, {} without", megabytes(pull.base_cached), megabytes(pull.cold));
    }
    println!();
}

fn next_steps(lab: &Lab) {
    println!("The cluster stays up until Ctrl-C. In another terminal:\n");
    println!("  export KUBECONFIG={}", lab.kubeconfig().display());
    if let Ok(kubectl) = lab.tool("kubectl") {
        println!("  alias kubectl={}", kubectl.display());
    }
    println!("  kubectl -n {NAMESPACE} get gwi,deployments,pods,jobs");
    println!("  kubectl -n {NAMESPACE} describe gwi {NAME}");
    println!("  kubectl explain gwi.spec.image");
    println!("  kubectl -n {NAMESPACE} annotate gwi {NAME} gowindows.dev/rebuild=$(date +%s)");
    println!("  kubectl -n gowindows-system logs --selector app.kubernetes.io/name=gowindows --prefix --follow\n");
}
