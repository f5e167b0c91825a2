//! Vectors, a cache and an embedder as plain as they can be.

use async_trait::async_trait;
use rae_core::{
    Ctx, Error, Result,
    model::{MemoryId, Scope, Timestamp, VectorFilter, VectorHit, VectorPoint},
    ports::{
        CacheStore, Clock, Collection, EmbedRole, Embedder, ManualClock, VectorCapability, VectorFeed, VectorStore,
    },
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

#[derive(Debug, Default)]
struct Space {
    points: BTreeMap<MemoryId, Vec<f32>>,
    watermark: u64,
}

/// A map per scope and collection.
#[derive(Debug, Default)]
pub struct Vectors(Mutex<HashMap<(Scope, Collection), Space>>);

impl Vectors {
    fn with<T>(&self, ctx: &Ctx, collection: &Collection, work: impl FnOnce(&mut Space) -> T) -> T {
        work(self.0.lock().unwrap().entry((ctx.scope().clone(), collection.clone())).or_default())
    }
}

fn check(collection: &Collection, vector: &[f32]) -> Result<()> {
    let good =
        vector.len() == collection.dim && vector.iter().all(|x| x.is_finite()) && vector.iter().any(|x| *x != 0.0);
    if good { Ok(()) } else { Err(Error::invalid("a vector must have the dimension, be finite and not all zero")) }
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>().clamp(-1.0, 1.0)
}

#[async_trait]
impl VectorStore for Vectors {
    fn capability(&self) -> VectorCapability {
        VectorCapability::new(VectorFeed::Reader, true)
    }

    async fn ensure(&self, _: &Ctx, _: &Collection) -> Result<()> {
        Ok(())
    }

    async fn write(
        &self,
        ctx: &Ctx,
        collection: &Collection,
        upsert: Vec<VectorPoint>,
        delete: &[MemoryId],
        watermark: Option<u64>,
    ) -> Result<()> {
        upsert.iter().try_for_each(|point| check(collection, &point.vector))?;
        self.with(ctx, collection, |space| {
            space.points.retain(|id, _| !delete.contains(id));
            space.points.extend(upsert.into_iter().map(|point| (point.id, point.vector)));
            space.watermark = watermark.unwrap_or(space.watermark);
        });
        Ok(())
    }

    async fn query(
        &self,
        ctx: &Ctx,
        collection: &Collection,
        vector: &[f32],
        filter: &VectorFilter,
        k: usize,
    ) -> Result<Vec<VectorHit>> {
        check(collection, vector)?;
        let mut hits: Vec<_> = self.with(ctx, collection, |space| {
            let allowed =
                space.points.iter().filter(|(id, _)| filter.only.as_ref().is_none_or(|only| only.contains(id)));
            allowed.map(|(id, v)| VectorHit { id: *id, cosine: cosine(vector, v) }).collect()
        });
        hits.sort_by(|a, b| b.cosine.total_cmp(&a.cosine).then(a.id.cmp(&b.id)));
        hits.truncate(k);
        Ok(hits)
    }

    async fn score(
        &self,
        ctx: &Ctx,
        collection: &Collection,
        vector: &[f32],
        ids: &[MemoryId],
    ) -> Result<Vec<Option<f32>>> {
        check(collection, vector)?;
        Ok(self.with(ctx, collection, |s| ids.iter().map(|id| Some(cosine(vector, s.points.get(id)?))).collect()))
    }

    async fn watermark(&self, ctx: &Ctx, collection: &Collection) -> Result<u64> {
        Ok(self.with(ctx, collection, |space| space.watermark))
    }

    async fn drop_scope(&self, ctx: &Ctx, collection: &Collection) -> Result<()> {
        self.with(ctx, collection, |space| *space = Space::default());
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

type Slot = (Scope, String);

/// Two maps with the time each entry ends.
#[derive(Debug)]
pub struct Cache {
    clock: Arc<ManualClock>,
    values: Mutex<HashMap<Slot, (Arc<[u8]>, Timestamp)>>,
    counters: Mutex<HashMap<Slot, (i64, Timestamp)>>,
}

impl Cache {
    pub fn new(clock: Arc<ManualClock>) -> Self {
        Self { clock, values: Mutex::default(), counters: Mutex::default() }
    }

    fn end(&self, ttl: Duration) -> Timestamp {
        self.clock.now().saturating_add_seconds(i64::try_from(ttl.as_secs()).unwrap())
    }
}

fn slot(ctx: &Ctx, key: &str) -> Slot {
    (ctx.scope().clone(), key.to_owned())
}

#[async_trait]
impl CacheStore for Cache {
    async fn get(&self, ctx: &Ctx, key: &str) -> Result<Option<Arc<[u8]>>> {
        let now = self.clock.now();
        let values = self.values.lock().unwrap();
        Ok(values.get(&slot(ctx, key)).filter(|(_, end)| *end > now).map(|(value, _)| value.clone()))
    }

    async fn put(&self, ctx: &Ctx, key: &str, value: Arc<[u8]>, ttl: Duration) -> Result<()> {
        self.values.lock().unwrap().insert(slot(ctx, key), (value, self.end(ttl)));
        Ok(())
    }

    async fn remove(&self, ctx: &Ctx, key: &str) -> Result<()> {
        self.values.lock().unwrap().remove(&slot(ctx, key));
        self.counters.lock().unwrap().remove(&slot(ctx, key));
        Ok(())
    }

    async fn add(&self, ctx: &Ctx, key: &str, amount: i64, ttl: Duration) -> Result<i64> {
        let (now, end) = (self.clock.now(), self.end(ttl));
        let mut counters = self.counters.lock().unwrap();
        let counter = counters.entry(slot(ctx, key)).or_insert((0, end));
        if counter.1 <= now {
            *counter = (0, end);
        }
        counter.0 += amount;
        Ok(counter.0)
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// A bag of words, hashed.
#[derive(Debug)]
pub struct Words;

#[async_trait]
impl Embedder for Words {
    fn id(&self) -> &str {
        "words@1/512"
    }

    fn dim(&self) -> usize {
        512
    }

    async fn embed(&self, texts: &[&str], _: EmbedRole) -> Result<Vec<Option<Vec<f32>>>> {
        let one = |text: &&str| {
            let mut vector = vec![0.0f32; 512];
            let lower = text.to_lowercase();
            for word in lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
                let sum = word.bytes().fold(7usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
                vector[sum % 512] += 1.0;
            }
            vector.iter().any(|x| *x != 0.0).then_some(vector)
        };
        Ok(texts.iter().map(one).collect())
    }
}
