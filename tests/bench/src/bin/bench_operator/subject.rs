//! What is measured? A controller as a process of its own: the operator, or the naive one.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use gowindows_bench::{Memory, cpu, memory, sum};
use gowindows_tests::lab::ControlPlane;
use gowindows_tests::lab::process::Process;
use tokio::process::Command;

use crate::bench::end_of;

/// Which controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `gowindows controller`.
    Operator,
    /// [`crate::naive`].
    Naive,
}

impl Kind {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Operator => "gowindows",
            Self::Naive => "naive",
        }
    }
}

/// What a controller is started with.
#[derive(Clone, Debug)]
pub struct Files {
    /// `gowindows`.
    pub operator: PathBuf,
    /// This program.
    pub bench: PathBuf,
    /// The operator's settings.
    pub settings: PathBuf,
    /// What the naive one makes.
    pub template: PathBuf,
}

/// A running controller.
pub struct Subject {
    process: Process,
    address: SocketAddr,
    http: reqwest::Client,
    /// When its process was started.
    pub started: Instant,
}

impl Subject {
    /// Starts it.
    pub fn start(plane: &ControlPlane, kind: Kind, files: &Files) -> Result<Self> {
        // Whoever takes the port before the operator does makes it end, with words in its log.
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = match kind {
            Kind::Operator => {
                let mut command = Command::new(&files.operator);
                command.args(["controller", "--leader-elect=false", "--listen", &address.to_string(), "--config"]).arg(&files.settings);
                command
            }
            Kind::Naive => {
                let mut command = Command::new(&files.bench);
                command.args(["naive", "--template"]).arg(&files.template);
                command
            }
        };
        command.env("KUBECONFIG", plane.kubeconfig()).env_remove("RUST_LOG");
        let started = Instant::now();
        let process = plane.spawn(kind.name(), command)?;
        Ok(Self { process, address, http: reqwest::Client::new(), started })
    }

    /// Waits until `/readyz` says yes. Returns the time since the process was started.
    pub async fn ready(&mut self, limit: Duration) -> Result<Duration> {
        let end = Instant::now() + limit;
        while !self.is_ready().await {
            if Instant::now() > end {
                // Says why, with the end of the log.
                self.process.ready(Duration::ZERO, || std::future::ready(false)).await?;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(self.started.elapsed())
    }

    /// What `/readyz` says.
    pub async fn is_ready(&self) -> bool {
        let asked = self.http.get(format!("http://{}/readyz", self.address)).timeout(Duration::from_secs(5)).send().await;
        asked.is_ok_and(|answer| answer.status().is_success())
    }

    /// What the operator counts.
    pub async fn metrics(&self) -> Result<String> {
        let url = format!("http://{}/metrics", self.address);
        let answer = self.http.get(&url).timeout(Duration::from_secs(30)).send().await.context("ask the operator for its metrics")?;
        Ok(answer.text().await?)
    }

    /// How many passes the operator has ended, well or not.
    pub async fn passes(&self) -> Result<u64> {
        Ok(sum(&self.metrics().await?, "gowindows_reconciles_total") as u64)
    }

    /// Processor time until now.
    pub fn cpu(&self) -> Result<Duration> {
        cpu(self.pid()?)
    }

    /// Memory now.
    pub fn memory(&self) -> Result<Memory> {
        memory(self.pid()?)
    }

    /// What its log ends with.
    pub fn log(&self) -> Result<String> {
        end_of(self.process.log())
    }

    /// Ends it as a crash does.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.kill().await
    }

    /// Starts it again after [`Subject::kill`].
    pub fn start_again(&mut self) -> Result<()> {
        self.started = Instant::now();
        self.process.start_again()
    }

    /// Ends it.
    pub async fn stop(self) -> Result<()> {
        self.process.stop().await
    }

    fn pid(&self) -> Result<u32> {
        self.process.id().with_context(|| format!("{} has ended; see {}", self.process.name(), self.process.log().display()))
    }
}
