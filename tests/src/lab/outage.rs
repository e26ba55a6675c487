//! How is one component taken away for a while, as a crash or a maintenance does, with the others running on?
//!
//! It is killed and later started again with the same arguments. Each start is noted in the lab's record, so cleaning knows it.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpStream;
use tokio::sync::MappedMutexGuard;
use tokio::sync::MutexGuard;

use super::process::Process;
use super::{Lab, apiserver, kubelet, registry};

/// A component that can be taken away and brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The API server. etcd keeps what it has.
    ApiServer,
    /// The Linux node's kubelet. Containers run on without it.
    Kubelet,
    /// The registry that [`Lab::start_spare_registry`] started.
    SpareRegistry,
}

impl Part {
    fn process(self) -> &'static str {
        match self {
            Self::ApiServer => apiserver::NAME,
            Self::Kubelet => kubelet::NAME,
            Self::SpareRegistry => registry::SPARE,
        }
    }
}

impl Lab {
    /// Takes a component away.
    ///
    /// # Errors
    /// When it was not there.
    pub async fn take_away(&self, part: Part) -> Result<()> {
        self.part(part).await?.kill().await
    }

    /// Brings a component back and waits until it answers.
    pub async fn bring_back(&self, part: Part) -> Result<()> {
        let mut process = self.part(part).await?;
        process.start_again()?;
        match part {
            Part::ApiServer => apiserver::serves(&mut process, &self.client).await,
            Part::Kubelet => {
                let address = (self.network().address(), kubelet::PORT);
                process.ready(Duration::from_secs(60), || async { TcpStream::connect(address).await.is_ok() }).await
            }
            Part::SpareRegistry => registry::listens(&mut process, &self.spare_registry()).await,
        }
    }

    async fn part(&self, part: Part) -> Result<MappedMutexGuard<'_, Process>> {
        let name = part.process();
        let found =
            MutexGuard::try_map(self.processes.lock().await, |processes| processes.iter_mut().find(|process| process.name() == name));
        found.ok().with_context(|| format!("this lab has started no {name}"))
    }
}
