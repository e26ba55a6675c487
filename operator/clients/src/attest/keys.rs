//! Which keys are open? Opening an encrypted one takes some 0.3 s and up to 128 MiB: one is opened at a time, and the last few stay open in memory.
//!
//! A Secret that was edited is another one here, and one that may not be read any more is never asked for.

use super::{InvalidKey, SigningKey};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Semaphore;
use windows_image::Digest;

/// So many stay open. That a Secret holds no key is remembered likewise.
const KEPT: usize = 64;

type Opened = Result<Arc<SigningKey>, InvalidKey>;

/// Keys that were opened, by the digest of the data of their Secrets.
pub struct Keys {
    kept: Mutex<VecDeque<(Digest, Opened)>>,
    turn: Arc<Semaphore>,
}

impl Default for Keys {
    fn default() -> Self {
        Self { kept: Mutex::default(), turn: Arc::new(Semaphore::new(1)) }
    }
}

impl Keys {
    /// The key in a Secret's data. Whoever waits for its turn can give up waiting.
    ///
    /// # Errors
    /// See [`SigningKey::from_secret`].
    pub async fn open(&self, data: &BTreeMap<String, Vec<u8>>) -> Result<Arc<SigningKey>, InvalidKey> {
        let failed = |error: &dyn std::fmt::Display| InvalidKey::new(format!("could not be opened: {error}"));
        let name = Digest::of(&serde_json::to_vec(data).map_err(|error| failed(&error))?);
        if let Some(known) = self.known(&name) {
            return known;
        }
        let turn = self.turn.clone().acquire_owned().await.map_err(|error| failed(&error))?;
        if let Some(known) = self.known(&name) {
            return known;
        }
        let data = data.clone();
        let opening = tokio::task::spawn_blocking(move || {
            // Whoever asked may be gone: the turn lasts as long as the work.
            let _turn = turn;
            SigningKey::from_secret(&data).map(Arc::new)
        });
        let opened = opening.await.map_err(|error| failed(&error))?;
        let mut kept = self.kept();
        kept.push_back((name, opened.clone()));
        if kept.len() > KEPT {
            kept.pop_front();
        }
        opened
    }

    fn known(&self, name: &Digest) -> Option<Opened> {
        self.kept().iter().find(|(known, _)| known == name).map(|(_, opened)| opened.clone())
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<(Digest, Opened)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(content: &str) -> BTreeMap<String, Vec<u8>> {
        BTreeMap::from([("cosign.key".to_owned(), content.as_bytes().to_vec())])
    }

    #[tokio::test]
    async fn a_secret_is_opened_once_and_an_edited_one_again() {
        let keys = Keys::default();
        let first = keys.open(&secret("nothing")).await.expect_err("no key");
        assert_eq!(keys.open(&secret("nothing")).await.err(), Some(first));
        assert_eq!(keys.kept().len(), 1);
        for number in 0..2 * KEPT {
            assert!(keys.open(&secret(&number.to_string())).await.is_err());
        }
        assert_eq!(keys.kept().len(), KEPT);
        assert!(keys.known(&Digest::of(&serde_json::to_vec(&secret("nothing")).expect("JSON"))).is_none(), "the oldest goes");
    }

    #[tokio::test]
    async fn whoever_gives_up_leaves_no_work_behind() {
        let keys = Keys::default();
        let turn = keys.turn.clone().acquire_owned().await.expect("a turn");
        let (one, two) = (secret("one"), secret("two"));
        let waiting = tokio::time::timeout(std::time::Duration::from_millis(10), keys.open(&one)).await;
        assert!(waiting.is_err(), "another one is being opened");
        drop(turn);
        assert!(keys.open(&two).await.is_err());
        assert_eq!(keys.kept().len(), 1, "only what is still asked for");
    }
}
