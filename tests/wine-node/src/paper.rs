//! How does a cluster get a hundred Windows nodes on one small machine? Nothing runs on them but on paper.
//!
//! A program that is started runs until it is asked to end, and is well. Image references, releases and pull errors are real:
//! manifest and config are read from the registry, no layer is. A program whose environment, the image's or the pod's, has
//! [`EXIT`] ends by itself with the exit code that stands there.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use futures::future::{BoxFuture, FutureExt, pending};
use tokio::time::sleep;

use crate::{
    images::Images,
    platform::{Order, WindowsVersion},
    registry::Client,
    runtime::{Container, NewContainer, Runtime, Sandbox},
};

/// The variable that makes a program end by itself: its value is the exit code.
pub const EXIT: &str = "PAPER_EXIT";
/// How long a program that ends by itself runs.
const LIFE: Duration = Duration::from_millis(200);

/// Runs programs on paper.
#[derive(Debug)]
pub struct Paper {
    images: Images,
    addresses: Arc<Addresses>,
}

/// The addresses of a node's pods.
#[derive(Debug)]
struct Addresses {
    network: [u8; 3],
    taken: Mutex<BTreeSet<u8>>,
}

impl Paper {
    /// The runtime of a node of version `host`, whose pods have addresses that begin with `network`.
    pub fn new(folder: &Path, network: [u8; 3], host: WindowsVersion, order: Order, plain_http: bool) -> Result<Self> {
        let images = Images::new(folder.join("images"), None, host, order, Client::new(plain_http)?)?;
        Ok(Self { images, addresses: Arc::new(Addresses { network, taken: Mutex::default() }) })
    }
}

impl Runtime for Paper {
    fn sandbox<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<Box<dyn Sandbox>>> {
        async move {
            let addresses = self.addresses.clone();
            let host = addresses.take().context("every address of this node is taken")?;
            Ok(Box::new(Pod { addresses, host }) as Box<dyn Sandbox>)
        }
        .boxed()
    }

    fn images(&self) -> &Images {
        &self.images
    }

    fn listens(&self) -> bool {
        false
    }
}

impl Addresses {
    fn take(&self) -> Option<u8> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let free = (1..u8::MAX).find(|host| !taken.contains(host))?;
        taken.insert(free);
        Some(free)
    }
}

struct Pod {
    addresses: Arc<Addresses>,
    host: u8,
}

impl Sandbox for Pod {
    fn ip(&self) -> IpAddr {
        let [a, b, c] = self.addresses.network;
        [a, b, c, self.host].into()
    }

    fn create(&self, new: NewContainer) -> Result<Box<dyn Container>> {
        let exit = new.line.environment.get(EXIT).map(|code| code.parse::<i32>());
        let exit = exit.transpose().with_context(|| format!("the variable {EXIT} is no exit code"))?;
        Ok(Box::new(PaperContainer { exit }))
    }

    fn remove(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        async { Ok(()) }.boxed()
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.addresses.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.host);
    }
}

struct PaperContainer {
    exit: Option<i32>,
}

impl Container for PaperContainer {
    fn start(&mut self) -> BoxFuture<'_, Result<()>> {
        async { Ok(()) }.boxed()
    }

    fn wait(&mut self) -> BoxFuture<'_, Result<i32>> {
        async move {
            match self.exit {
                Some(code) => {
                    sleep(LIFE).await;
                    Ok(code)
                }
                None => pending().await,
            }
        }
        .boxed()
    }

    fn stop(&mut self, _: Duration) -> BoxFuture<'_, Result<i32>> {
        async { Ok(0) }.boxed()
    }

    fn termination_message(&self, _: &str) -> Option<String> {
        self.exit.map(|code| format!("{EXIT}={code}"))
    }
}
