//! What the writer of a store fixture (`examples/make_fixture.rs`) and its reader (`tests/fixtures.rs`) share: the clock, an
//! embedder that no later version changes, and how a store is told as JSON.
#![allow(dead_code, clippy::unwrap_used)] // each of the two uses its part

use async_trait::async_trait;
use rae_core::{
    Builder, Ctx, Embedding, Error, ListOptions, Rae, RecallOptions, Result, Timestamp,
    embedded::sqlite::{OpenOptions, SqliteStore},
    model::{BudgetLevel, CostGroup, CostQuery, LedgerScan, Limits, Scope},
    ports::{Clock, EmbedRole, Embedder, LedgerRead, ManualClock},
};
use serde_json::{Value, json};
use std::{path::Path, sync::Arc};

/// The projects of the fixture.
pub const SCOPES: [(&str, &str); 3] = [("default", "default"), ("default", "Second %"), ("tenant 2", "default")];
/// The day after the fixture was written, by its clock.
pub const READ_AT: &str = "2026-03-02T12:00:00Z";

/// Four numbers by the bytes of a text. It cannot be reached for texts that say so: their vectors are owed.
#[derive(Debug)]
pub struct Bytes {
    pub reachable: bool,
}

#[async_trait]
impl Embedder for Bytes {
    fn id(&self) -> &str {
        "fixture@1/4"
    }

    fn dim(&self) -> usize {
        4
    }

    async fn embed(&self, texts: &[&str], _role: EmbedRole) -> Result<Vec<Option<Vec<f32>>>> {
        if !self.reachable && texts.iter().any(|t| t.contains("owed")) {
            return Err(Error::unavailable("the embedder of the fixture is away"));
        }
        let vector = |text: &str| {
            let mut sums = vec![0.5_f32; 4];
            text.bytes().enumerate().for_each(|(i, byte)| sums[i % 4] += f32::from(byte % 16));
            Some(sums)
        };
        Ok(texts.iter().map(|t| vector(t)).collect())
    }
}

pub fn clock(at: &str) -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::parse(at).unwrap()))
}

pub fn builder(path: &Path, clock: &Arc<ManualClock>, reachable: bool) -> Builder {
    Rae::builder()
        .path(path)
        .clock(Arc::clone(clock) as Arc<dyn Clock>)
        .embedding(Embedding::Custom(Arc::new(Bytes { reachable })))
}

pub fn scoped(mem: &Rae, (tenant, project): (&str, &str)) -> Rae {
    mem.with_scope(Scope::new(tenant, project).unwrap())
}

/// All that a project of a store answers, in words that do not depend on how it ranks.
pub async fn told(mem: &Rae) -> Value {
    let all = ListOptions { limit: 1_000, ..ListOptions::default() };
    let memories = mem.list(all).await.unwrap().items;
    let mut history = Vec::new();
    for changed in memories.iter().filter(|m| m.version > 1) {
        history.push(mem.history(changed.id).await.unwrap());
    }
    let stats = mem.stats().await.unwrap();
    let at = |text: &str| Some(Timestamp::parse(text).unwrap());
    let mut recalled = Vec::new();
    for options in [
        RecallOptions::default(),
        RecallOptions { tags: Some(vec!["wheel".into()]), ..RecallOptions::default() },
        RecallOptions { as_of: at("2021-06-01"), ..RecallOptions::default() },
        RecallOptions { known_at: at("2026-03-01T12:00:30Z"), ..RecallOptions::default() },
    ] {
        let hits = mem.recall("What of the mill?", RecallOptions { k: 1_000, ..options }).await.unwrap().hits;
        let mut found: Vec<_> = hits.into_iter().map(|h| (h.id, h.content)).collect();
        found.sort_unstable();
        recalled.push(found);
    }
    json!({
        "scope": mem.scope(),
        "history": history,
        "stats": {
            "memories": stats.memories, "by_layer": stats.by_layer, "vectors": stats.vectors,
            "jobs": stats.jobs, "embedder": stats.embedder, "seq": stats.seq,
        },
        "recalled": recalled,
        "memories": memories,
    })
}

/// The store alone, by the clock of the fixture.
pub fn store(path: &Path, clock: &Arc<ManualClock>) -> SqliteStore {
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    SqliteStore::open(OpenOptions { clock, ..OpenOptions::file(path) }).unwrap()
}

pub fn ctx((tenant, project): (&str, &str)) -> Ctx {
    Ctx::new(Scope::new(tenant, project).unwrap())
}

/// All that a project of a store answers about money.
pub async fn told_of_money(store: &SqliteStore, ctx: &Ctx) -> Value {
    let mut levels = Vec::new();
    for level in BudgetLevel::ALL {
        let scan = LedgerScan { level, since: None, until: None, before: None, limit: 1_000 };
        let rows = store.ledger(ctx, &scan).await.unwrap();
        let numbers: Vec<_> = rows.iter().map(|row| row.no).collect();
        let query = CostQuery { level, group_by: CostGroup::ALL.to_vec(), since: None, until: None, limit: 1_000 };
        let costs = store.costs(ctx, &query).await.unwrap();
        let costs: Vec<_> =
            costs.into_iter().map(|row| json!([row.keys, row.calls, row.failed, row.cost_usd])).collect();
        let budget = store.budget(ctx, level).await.unwrap();
        levels.push(json!({"budget": budget, "ledger": rows, "numbers": numbers, "costs": costs}));
    }
    json!({"funds": store.funds(ctx, &Limits::NONE).await.unwrap(), "levels": levels})
}
