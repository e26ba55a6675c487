//! What runs in the cluster? One reconcile per object at a time, triggered by watches and by the time that a plan asked for.
//!
//! Correctness does not rest on triggers: a pass reads everything it needs, and a missed or repeated one changes nothing.

mod admin;
mod context;
mod leader;
mod pacing;
mod passes;
mod reconcile;
mod slots;
mod telemetry;
mod triggers;
mod turns;

pub use crate::act::Leadership;
pub use context::{Clock, Context};
pub use leader::{LeaderArgs, LeaderElection, Led, Timings, TimingsError};
pub use pacing::Pacing;
pub use telemetry::{Metrics, init_logs};

use crate::observe::Identities;
use crate::observe::{Cluster, Logins, Memory, Outside, Places, Stores};
use anyhow::{Context as _, bail};
use futures::channel::mpsc;
use futures::{FutureExt, StreamExt, stream};
use gowindows_clients::git::GitClient;
use gowindows_clients::identity::Exchanger;
use gowindows_clients::oci::OciRegistry;
use gowindows_core::read::base_repositories;
use gowindows_model::ports::{Git, Registry};
use gowindows_model::settings::Settings;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::events::Reporter;
use kube::{Client, Config};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

/// Arguments of `gowindows controller`.
#[derive(Clone, Debug, clap::Args)]
pub struct ControllerArgs {
    /// Settings file (YAML): toolchains, stepImage, bases, registries, ... See docs/settings.md.
    #[arg(long, value_name = "FILE", env = "GOWINDOWS_CONFIG")]
    pub config: PathBuf,
    /// Address of /healthz, /readyz and /metrics.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// What is logged, in tracing's filter syntax.
    #[arg(long, value_name = "FILTER", env = "RUST_LOG", default_value = "info")]
    pub log: String,
    /// How it is logged.
    #[arg(long, value_enum, default_value = "json")]
    pub log_format: telemetry::LogFormat,
    /// Which replica works.
    #[command(flatten)]
    pub leader: LeaderArgs,
}

/// Runs the controller until SIGTERM or SIGINT, or until something it cannot live without ends.
///
/// # Errors
/// Unusable settings, no API server, a watch that ended, a leadership that was lost.
pub async fn run(args: ControllerArgs) -> anyhow::Result<()> {
    let settings = Arc::new(Settings::load(&args.config, |path| std::fs::read_to_string(path))?);
    settings.check_controller()?;
    let client = client().await.context("find the cluster: neither in-cluster credentials nor a kubeconfig work")?;
    let metrics = Arc::new(Metrics::default());
    let clock: Clock = Arc::new(Timestamp::now);
    let election = args.leader.election(&client, &clock, &metrics)?;
    let admin = admin::serve(args.listen, metrics.clone());
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let stop = async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!("stopping: passes under way are finished first");
    }
    .shared();
    let namespaces =
        if settings.watch_namespaces.is_empty() { vec![None] } else { settings.watch_namespaces.iter().cloned().map(Some).collect() };
    tracing::info!(version = env!("CARGO_PKG_VERSION"), namespaces = ?settings.watch_namespaces, "gowindows starts");
    let git: Arc<dyn Git> = Arc::new(GitClient::default());
    let registry: Arc<dyn Registry> = Arc::new(OciRegistry::new(settings.registries.clone()));
    let logins = Arc::new(Logins::new(Arc::new(Identities::new(client.clone(), Exchanger::new(settings.registries.clone())))));
    let outside = Arc::new(Outside::default());
    let work = |leadership: Leadership| {
        let controllers = namespaces.into_iter().map(|namespace| {
            let controller = Controller {
                client: client.clone(),
                namespace,
                settings: settings.clone(),
                git: git.clone(),
                registry: registry.clone(),
                logins: logins.clone(),
                outside: outside.clone(),
                clock: clock.clone(),
                metrics: metrics.clone(),
                leadership: leadership.clone(),
            };
            controller.run(stop.clone())
        });
        futures::future::join_all(controllers)
    };
    let led = async {
        match election {
            Some(election) => election.lead(work, stop.clone()).await,
            None => Led::Ended(work(Leadership::always()).await),
        }
    };
    tokio::select! {
        result = admin => result.context("serve /healthz, /readyz and /metrics"),
        led = led => match led {
            Led::Lost => bail!("leadership was lost; the kubelet starts the operator again, as a standby"),
            Led::Ended(_) if stop.now_or_never().is_none() => {
                bail!("a watch ended, which it never should; the kubelet starts the operator again")
            }
            Led::Ended(_) | Led::Stopped => Ok(()),
        }
    }
}

/// A client that tries nothing twice: a pass is repeated as a whole, at a pace that is ours, and a create whose first attempt had been
/// applied would come back as a conflict.
async fn client() -> anyhow::Result<Client> {
    let mut config = Config::infer().await?;
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

/// One controller over one namespace, or over all of them. Whatever it meets outside is handed to it, so that a simulation runs
/// the same code.
pub struct Controller {
    /// The API server.
    pub client: Client,
    /// The namespace; `None` for all.
    pub namespace: Option<String>,
    /// The operator's settings.
    pub settings: Arc<Settings>,
    /// Git servers.
    pub git: Arc<dyn Git>,
    /// Registries.
    pub registry: Arc<dyn Registry>,
    /// What opens registries where no Secret does.
    pub logins: Arc<Logins>,
    /// How much is asked of all of them at a time.
    pub outside: Arc<Outside>,
    /// What time it is.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Asked before each write.
    pub leadership: Leadership,
}

impl Controller {
    /// Watches and reconciles until `stop`; passes under way are finished. Ends before only if a watch ends, which it never should.
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) {
        let Self { client, namespace, settings, git, registry, logins, outside, clock, metrics, leadership } = self;
        metrics.leads(leadership.clone());
        let (memory, woken) = Memory::new();
        let (memory, queue_changed) = (Arc::new(memory), Arc::new(Notify::new()));
        let (places, bases) = (Places::default(), base_repositories(&settings));
        let (queue, stores) =
            triggers::triggers(&client, namespace.as_deref(), bases, memory.clone(), places.clone(), queue_changed.clone());
        metrics.watch(stores.clone());
        let reporter = Reporter { controller: "gowindows".into(), instance: std::env::var("POD_NAME").ok() };
        let bindings = settings.bindings();
        let cluster = Cluster { client, stores, memory, outside, git, registry, logins, bindings, namespace, places };
        let context = Arc::new(Context { cluster, settings, metrics, reporter, clock, leadership, pacing: Pacing::default() });
        let (wake, told) = mpsc::unbounded();
        // Nobody listens any more where the operator stops.
        let wake = move |object| drop(wake.unbounded_send(object));
        let events = queue.filter_map(|event| std::future::ready(event.ok()));
        // Only a watch or `stop` may end it.
        let queue = stream::select(events, stream::select(woken, told).chain(stream::pending())).take_until(stop);
        let slots = slots::keep(context.clone(), queue_changed, wake);
        let ready = async { context.cluster.stores.ready().await };
        let passes = passes::run(queue.boxed(), ready, |object, seat| reconcile::reconcile(object, seat, &context).boxed());
        tokio::select! {
            () = passes => {}
            () = slots => {}
        }
    }
}

impl Stores {
    /// Waits until every store has been filled once: a decision on an empty store would take everything for absent.
    pub(crate) async fn ready(&self) {
        self.images.ready().await;
        self.jobs.ready().await;
        self.pods.ready().await;
        self.deployments.ready().await;
        self.nodes.ready().await;
    }
}
