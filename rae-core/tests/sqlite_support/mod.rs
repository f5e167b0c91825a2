//! Shared by the tests of the SQLite store.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use futures::executor::block_on;
use rae_core::{
    Ctx,
    embedded::sqlite::{OpenOptions, SqliteStore},
    model::*,
    ports::*,
};
use serde_json::json;
use std::path::Path;

pub struct Store {
    pub store: SqliteStore,
    pub ctx: Ctx,
    pub ids: IdGenerator,
    pub now: Timestamp,
}

pub fn start() -> Timestamp {
    Timestamp::parse("2026-01-01").unwrap()
}

pub fn ctx(tenant: &str, project: &str) -> Ctx {
    Ctx::new(Scope::new(tenant, project).unwrap())
}

impl Store {
    pub fn open(options: OpenOptions) -> Self {
        let store = SqliteStore::open(options).unwrap();
        Self { store, ctx: ctx("default", "default"), ids: IdGenerator::random(), now: start() }
    }

    pub fn file(path: &Path) -> Self {
        Self::open(OpenOptions::file(path))
    }

    pub fn memory(&self, content: &str) -> Memory {
        memory(self.ids.next(self.now), self.ctx.scope(), content, self.now)
    }

    pub fn put(&self, content: &str) -> Op {
        put(self.memory(content))
    }

    pub fn batch(&self, ops: Vec<Op>) -> WriteBatch {
        WriteBatch { id: self.ids.next_uuid(self.now), now: self.now, preconditions: Vec::new(), ops }
    }

    pub fn apply(&self, ops: Vec<Op>) -> rae_core::Result<Applied> {
        block_on(self.store.apply(&self.ctx, self.batch(ops)))
    }

    pub fn get(&self, id: MemoryId) -> Option<Memory> {
        block_on(self.store.get(&self.ctx, &[id])).unwrap().remove(0)
    }

    pub fn all(&self) -> Vec<Memory> {
        let mut all: Vec<Memory> = Vec::new();
        loop {
            let after = all.last().map(|m| Cursor(m.id));
            let page = block_on(self.store.scan(&self.ctx, &Scan { filter: None, after, limit: 1_000 })).unwrap();
            if page.is_empty() {
                return all;
            }
            all.extend(page);
        }
    }

    pub fn assert_sound(&self) {
        assert_eq!(block_on(self.store.verify(&self.ctx)).unwrap(), Vec::<String>::new());
    }
}

pub fn put(memory: Memory) -> Op {
    Op::PutMemory { memory: Box::new(memory), vector: None, idempotency: None }
}

pub fn memory(id: MemoryId, scope: &Scope, content: &str, now: Timestamp) -> Memory {
    serde_json::from_value(json!({
        "id": id, "scope": scope, "layer": "semantic", "kind": "text", "content": content, "tags": [], "metadata": {},
        "importance": 0.5, "strength": 1.0, "confidence": 1.0, "info_class": "internal", "provenance": {},
        "created_at": now, "updated_at": now, "version": 1, "seq": 0, "witness_count": 1,
        "content_hash": *blake3::hash(content.as_bytes()).as_bytes()
    }))
    .unwrap()
}
