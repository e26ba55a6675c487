//! How much is asked of the outside world at a time? A question takes a permit of its namespace for the host that it goes to, and one of that host,
//! so that neither a tenant nor a server that never answers keeps anybody else waiting, or other questions of the same tenant; and whoever asks
//! gives back its seat among the passes until the answer is there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Questions of one namespace to one host at a time.
const OF_A_NAMESPACE: usize = 8;
/// Questions to one host at a time.
const TO_A_HOST: usize = 32;

/// Permits for questions.
#[derive(Default)]
pub struct Outside {
    namespaces: Limits<OF_A_NAMESPACE>,
    hosts: Limits<TO_A_HOST>,
}

impl Outside {
    /// Waits for both permits, and asks. `whom` is an address or an image reference.
    pub async fn ask<T>(&self, namespace: &str, whom: &str, question: impl Future<Output = T>) -> T {
        // Always in this order: nobody who waits for a host keeps the permit of another one.
        let _namespace = self.of_namespace(namespace, whom).await;
        self.at_host(whom, question).await
    }

    /// Waits for the permit of a namespace for a host alone.
    pub(super) async fn of_namespace(&self, namespace: &str, whom: &str) -> Option<OwnedSemaphorePermit> {
        self.namespaces.permit(&format!("{namespace} {}", host(whom))).await
    }

    /// Waits for the permit of a host alone, and asks.
    pub(super) async fn at_host<T>(&self, whom: &str, question: impl Future<Output = T>) -> T {
        let _host = self.hosts.permit(host(whom)).await;
        question.await
    }
}

/// `git.example.com:8443` of `https://git.example.com:8443/team/shop.git`, `registry.example.com` of `registry.example.com/team/shop`.
fn host(whom: &str) -> &str {
    let whom = whom.split_once("://").map_or(whom, |(_, rest)| rest);
    whom.split('/').next().unwrap_or_default()
}

/// So many permits for each name. Names of which no permit is out or waited for are not kept.
#[derive(Default)]
struct Limits<const MOST: usize> {
    open: Mutex<HashMap<String, Weak<Semaphore>>>,
}

impl<const MOST: usize> Limits<MOST> {
    /// None only where the semaphore was closed, which nobody does.
    async fn permit(&self, name: &str) -> Option<OwnedSemaphorePermit> {
        let semaphore = {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            match open.get(name).and_then(Weak::upgrade) {
                Some(semaphore) => semaphore,
                None => {
                    open.retain(|_, semaphore| semaphore.strong_count() > 0);
                    let semaphore = Arc::new(Semaphore::new(MOST));
                    open.insert(name.to_owned(), Arc::downgrade(&semaphore));
                    semaphore
                }
            }
        };
        semaphore.acquire_owned().await.ok()
    }
}

/// A seat among the passes that are worked on at a time.
pub struct Seat {
    seats: Arc<Semaphore>,
    held: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Seat {
    /// A seat that was taken.
    pub fn new(seats: Arc<Semaphore>, held: OwnedSemaphorePermit) -> Self {
        Self { seats, held: Mutex::new(Some(held)) }
    }

    /// Waits for something outside, and lets another pass work meanwhile. Whoever comes back is served before those who begin.
    pub async fn outside<T>(&self, call: impl Future<Output = T>) -> T {
        drop(self.held().take());
        let answer = call.await;
        let seat = self.seats.clone().acquire_owned().await.ok();
        *self.held() = seat;
        answer
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Option<OwnedSemaphorePermit>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use futures::future::{join_all, pending, ready};

    #[test]
    fn hosts_are_those_of_addresses_and_of_references() {
        for (whom, expected) in [
            ("https://git.example.com:8443/team/shop.git", "git.example.com:8443"),
            ("registry.example.com/team/shop@sha256:0", "registry.example.com"),
            ("golang:1.26", "golang:1.26"),
        ] {
            assert_eq!(host(whom), expected);
        }
    }

    #[tokio::test]
    async fn a_server_that_never_answers_keeps_nobody_else_waiting() {
        let outside = Outside::default();
        let of_one = |host: &'static str, namespace: String| {
            let outside = &outside;
            async move { outside.ask(&namespace, host, pending::<()>()).await }
        };
        // More than a namespace may ask of it, and more namespaces than fill a host.
        let hangs = join_all((0..100).map(|n| of_one("https://hangs.example.com/a", format!("team-{}", n % 10))));
        let mut hangs = Box::pin(hangs);
        assert!((&mut hangs).now_or_never().is_none());
        assert!(outside.ask("other", "https://git.example.com/a", ready(())).now_or_never().is_some(), "another host");
        assert!(outside.ask("other", "https://hangs.example.com/b", ready(())).now_or_never().is_none(), "this one has its limit");
        assert!(
            outside.ask("team-1", "https://git.example.com/a", ready(())).now_or_never().is_some(),
            "also for who has asked this one too much"
        );
        drop(hangs);
        assert!(outside.ask("team-1", "https://hangs.example.com/a", ready(())).now_or_never().is_some());
        assert!(outside.hosts.open.lock().expect("unpoisoned").len() <= 2, "names are not kept");
    }

    #[tokio::test]
    async fn who_waits_outside_gives_its_seat_to_others() {
        let seats = Arc::new(Semaphore::new(1));
        let seat = Seat::new(seats.clone(), seats.clone().acquire_owned().await.expect("a seat"));
        assert!(seats.try_acquire().is_err());
        let mut outside = Box::pin(seat.outside(async {
            assert_eq!(seats.available_permits(), 1);
            tokio::task::yield_now().await;
        }));
        assert!((&mut outside).now_or_never().is_none());
        let other = seats.clone().try_acquire_owned().expect("a seat");
        assert!((&mut outside).now_or_never().is_none(), "it comes back when there is a seat again");
        drop(other);
        outside.await;
        assert_eq!(seats.available_permits(), 0);
    }
}
