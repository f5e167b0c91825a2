//! Who is behind a request: the operator, the holder of a stored key, or nobody. What the store said is kept for a few seconds.

use crate::settings::{AuthMode, Secret};
use parking_lot::Mutex;
use rae_core::{
    Error, KeyCheck, Rae, Result,
    model::{ApiKey, KeyId},
};
use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};
use tokio::sync::{Mutex as AsyncMutex, OnceCell};

/// How long what the store said of a key counts. With the time of a look-up a revocation is known everywhere within five seconds.
const KEPT: Duration = Duration::from_secs(4);
/// How long a look-up may take.
const LOOK_UP: Duration = Duration::from_millis(900);
/// Keys kept; past that the old ones go.
const KEPT_MAX: usize = 10_000;

/// What the store said of an id, and when it was asked.
type Said = (Option<ApiKey>, Instant);

/// The keys this server knows.
#[derive(Debug)]
pub struct Keys {
    mode: AuthMode,
    master: Option<blake3::Hash>,
    check: OnceCell<KeyCheck>,
    known: Mutex<HashMap<KeyId, Said>>,
    /// Grows when a key was changed here: what was asked before is not kept.
    generation: AtomicU64,
    /// Whether the store has ever had keys, as far as is known. Never goes back.
    keyed: AtomicBool,
    /// When that was last asked.
    asked: AsyncMutex<Option<Instant>>,
}

impl Keys {
    /// Knows the operator's key, and no other one yet.
    pub fn new(mode: AuthMode, master: Option<&Secret>) -> Self {
        Self {
            mode,
            master: master.map(|key| blake3::hash(key.reveal().as_bytes())),
            check: OnceCell::new(),
            known: Mutex::default(),
            generation: AtomicU64::new(0),
            keyed: AtomicBool::new(false),
            asked: AsyncMutex::new(None),
        }
    }

    /// Whether this is the operator's key. Hashes of blake3 are compared in constant time.
    pub fn is_master(&self, shown: &[u8]) -> bool {
        self.master.is_some_and(|master| blake3::hash(shown) == master)
    }

    /// Whether there is an operator.
    pub fn has_master(&self) -> bool {
        self.master.is_some()
    }

    /// Whether the tenant header is trusted, as far as is known. Asks nobody.
    pub fn trusted_header(&self) -> bool {
        match self.mode {
            AuthMode::Header => true,
            AuthMode::Keys => false,
            AuthMode::Auto => !self.keyed.load(Ordering::Acquire),
        }
    }

    /// Whether the tenant header is trusted. In `auto` the store is asked every few seconds, until it has had a key; where it
    /// does not answer, nobody is let in.
    pub async fn trusts_header(&self, rae: &Rae) -> Result<bool> {
        if self.mode != AuthMode::Auto || self.keyed.load(Ordering::Acquire) {
            return Ok(self.trusted_header());
        }
        // One asks, the others wait for what it hears, but not one after the other for a store that does not answer.
        within(async {
            let mut asked = self.asked.lock().await;
            if asked.is_none_or(|at| at.elapsed() >= KEPT) && !self.keyed.load(Ordering::Acquire) {
                let now = Instant::now();
                if rae.has_had_keys().await? {
                    self.note_keyed();
                }
                *asked = Some(now);
            }
            Ok(())
        })
        .await?;
        Ok(self.trusted_header())
    }

    fn note_keyed(&self) {
        if !self.keyed.swap(true, Ordering::AcqRel) && self.mode == AuthMode::Auto {
            tracing::info!("the store has keys: from now on the tenant header is not trusted, and a key is asked for");
        }
    }

    /// The live key that was shown; `None` for anything else, whatever it is.
    pub async fn find(&self, rae: &Rae, shown: &[u8]) -> Result<Option<ApiKey>> {
        let check = self.check.get_or_try_init(|| within(rae.key_check())).await?;
        let Some(presented) = check.read(shown) else { return Ok(None) };
        let id = presented.id();
        let kept = self.known.lock().get(&id).filter(|(_, at)| at.elapsed() < KEPT).map(|(key, _)| key.clone());
        let key = match kept {
            Some(key) => key,
            None => {
                let (generation, at) = (self.generation.load(Ordering::Acquire), Instant::now());
                let key = within(rae.key(id)).await?;
                self.keep(id, (key.clone(), at), generation);
                key
            }
        };
        Ok(key.filter(|key| check.accepts(&presented, key)))
    }

    fn keep(&self, id: KeyId, said: Said, generation: u64) {
        let mut known = self.known.lock();
        // Under the lock: a change made here empties the map after it has raised the number.
        if self.generation.load(Ordering::Acquire) != generation {
            return;
        }
        if known.len() >= KEPT_MAX {
            known.retain(|_, (_, at)| at.elapsed() < KEPT);
        }
        if known.len() < KEPT_MAX {
            known.insert(id, said);
        }
    }

    /// A key was made, revoked or erased in this process: what is known of keys is asked again.
    pub fn changed(&self, made: bool) {
        if made {
            self.note_keyed();
        }
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.known.lock().clear();
    }
}

/// Whoever is not let in should hear so soon.
async fn within<T>(asked: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(LOOK_UP, asked).await {
        Ok(said) => said,
        Err(_) => Err(Error::unavailable("the store does not answer, so nobody can be let in")
            .with_code("no_keys")
            .temporary()),
    }
}
