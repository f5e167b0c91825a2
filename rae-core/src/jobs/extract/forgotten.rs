//! What somebody forgot, or undid, of what was read from a memory: that memory is not read so again, whatever of its other words changes.
//!
//! Of each such fact and each of its sources there is a record. Its name is two keyed hashes, of the source and of both together, its body
//! the id of the source: nothing to read. It goes with the source.

use super::anew::{Dates, of};
use crate::{
    ctx::Ctx,
    deps::Deps,
    error::{Error, Result},
    facts::{Draft, WITHDRAWN, sentence},
    limits::PAGE_MAX,
    model::{Claim, Kind, Memory, MemoryId, Op, Record, RecordKind, Timestamp},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashSet};

/// Memories that go at once whose records are looked up one by one; of more, all records are read.
const LOOKED_UP_MAX: usize = 64;
/// What is kept of a hash, in hexadecimal digits.
const HASH_CHARS: usize = 32;

#[derive(Debug, Serialize, Deserialize)]
struct Body {
    source: MemoryId,
}

/// The names of records, by the key of the store.
struct Names([u8; 32]);

impl Names {
    async fn of(deps: &Deps) -> Result<Self> {
        let key = deps.relational.receipt_key().await?;
        Ok(Self(blake3::derive_key("rae fact that was taken back", &key)))
    }

    /// How the names of all records of a source begin.
    fn begin(&self, source: MemoryId) -> String {
        self.hash(source.0.as_bytes())
    }

    fn name(&self, source: MemoryId, fact: &str) -> String {
        let both = [source.0.as_bytes().as_slice(), fact.as_bytes()].concat();
        self.begin(source) + &self.hash(&both)
    }

    fn hash(&self, of: &[u8]) -> String {
        blake3::keyed_hash(&self.0, of).to_hex().chars().take(HASH_CHARS).collect()
    }
}

/// The ops that note of these facts, which somebody forgets, that their sources are not read so again. Sources that are `going` say
/// nothing any more.
pub(crate) async fn noted(deps: &Deps, ctx: &Ctx, ids: &[MemoryId], going: &BTreeSet<MemoryId>) -> Result<Vec<Op>> {
    let (names, now) = (Names::of(deps).await?, deps.clock.now());
    let mut ops = Vec::new();
    for page in ids.chunks(PAGE_MAX) {
        for fact in deps.relational.get(ctx, page).await?.into_iter().flatten() {
            let Some(claim) = fact.claim.as_ref().filter(|claim| is_of_text(&fact, claim)) else { continue };
            let what = what(&claim.subject, &claim.relation, &claim.object, false);
            let rest: Vec<MemoryId> =
                fact.provenance.derived_from.iter().copied().filter(|id| !going.contains(id)).collect();
            for source in deps.relational.get(ctx, &rest).await?.into_iter().flatten() {
                if says_its_end_alone(&source, claim) {
                    continue;
                }
                ops.push(put(source.id, names.name(source.id, &what), now)?);
            }
        }
    }
    Ok(ops)
}

fn put(source: MemoryId, name: String, at: Timestamp) -> Result<Op> {
    let body = serde_json::to_value(Body { source })
        .map_err(|e| Error::internal("an id cannot be written as JSON").with_source(e))?;
    Ok(Op::PutRecord { record: Box::new(Record { kind: RecordKind::TakenBack, name, at, body }) })
}

/// The ops that note of facts that a memory said them too, or (`true`) their end, and that somebody took that back; or, `is_redone`, did it
/// again.
pub(crate) async fn undone_noted(
    deps: &Deps,
    ctx: &Ctx,
    source: MemoryId,
    facts: &[(MemoryId, bool)],
    is_redone: bool,
) -> Result<Vec<Op>> {
    let (names, now) = (Names::of(deps).await?, deps.clock.now());
    let ids: Vec<MemoryId> = facts.iter().map(|(id, _)| *id).collect();
    let found = deps.relational.get(ctx, &ids).await?;
    if deps.relational.get(ctx, &[source]).await?.into_iter().flatten().next().is_none() {
        return Ok(Vec::new());
    }
    let claims = facts.iter().zip(found).filter_map(|((_, is_end), fact)| Some((fact?.claim?, *is_end)));
    let op = |(claim, is_end): (Claim, bool)| {
        let name = names.name(source, &what(&claim.subject, &claim.relation, &claim.object, is_end));
        if is_redone { Ok(Op::DropRecord { kind: RecordKind::TakenBack, name }) } else { put(source, name, now) }
    };
    claims.map(op).collect()
}

/// A fact, or its end.
fn what(subject: &str, relation: &str, object: &str, is_end: bool) -> String {
    let mut what = of(subject, relation, object);
    if is_end {
        what.push_str(" ends");
    }
    what
}

/// Whether a fact was read from what was said, and is not what its source stopped saying: that was taken back by the source itself.
fn is_of_text(fact: &Memory, claim: &Claim) -> bool {
    fact.kind == Kind::Fact
        && fact.content == sentence(&claim.subject, &claim.relation, &claim.object)
        && !fact.metadata.contains_key(WITHDRAWN)
}

/// "I left Acme" is no statement that one works there.
fn says_its_end_alone(source: &Memory, claim: &Claim) -> bool {
    let mut dates = Dates::default();
    dates.add(source, claim);
    dates.is_end_alone()
}

/// Whether somebody forgot or undid this as read from this memory.
pub(super) async fn is_forgotten(deps: &Deps, ctx: &Ctx, source: MemoryId, draft: &Draft) -> Result<bool> {
    let name = Names::of(deps).await?.name(source, &what(&draft.subject, &draft.relation, &draft.object, draft.is_end));
    Ok(deps.relational.record(ctx, RecordKind::TakenBack, &name).await?.is_some())
}

/// Whether somebody forgot anything as read from this memory: it was read, then.
pub(crate) async fn is_noted(deps: &Deps, ctx: &Ctx, source: MemoryId) -> Result<bool> {
    let begin = Names::of(deps).await?.begin(source);
    let next = deps.relational.records(ctx, RecordKind::TakenBack, Some(&begin), 1).await?;
    Ok(next.first().is_some_and(|record| record.name.starts_with(&begin)))
}

/// The ops that remove the records of memories that are erased.
pub(crate) async fn dropped(deps: &Deps, ctx: &Ctx, gone: &[MemoryId]) -> Result<Vec<Op>> {
    let page = |after: Option<String>, limit| async move {
        deps.relational.records(ctx, RecordKind::TakenBack, after.as_deref(), limit).await
    };
    if gone.is_empty() || page(None, 1).await?.is_empty() {
        return Ok(Vec::new());
    }
    let names = Names::of(deps).await?;
    let begins: HashSet<String> = gone.iter().map(|id| names.begin(*id)).collect();
    let mut found = Vec::new();
    let starts = match begins.len() > LOOKED_UP_MAX {
        true => vec![None],
        false => begins.iter().cloned().map(Some).collect(),
    };
    for start in starts {
        let mut after = start.clone();
        loop {
            let records = page(after, PAGE_MAX).await?;
            let Some(last) = records.last().map(|record| record.name.clone()) else { break };
            let is_last = records.len() < PAGE_MAX || start.as_ref().is_some_and(|start| !last.starts_with(start));
            let is_gone = |record: &Record| record.name.get(..HASH_CHARS).is_some_and(|begin| begins.contains(begin));
            found.extend(records.into_iter().filter(is_gone).map(|record| record.name));
            if is_last {
                break;
            }
            after = Some(last);
        }
    }
    // What stands behind the records of one may be those of another.
    let found: BTreeSet<String> = found.into_iter().collect();
    Ok(found.into_iter().map(|name| Op::DropRecord { kind: RecordKind::TakenBack, name }).collect())
}

/// Removes the records of memories that expired or that a policy let go.
pub(crate) async fn trim(deps: &Deps, ctx: &Ctx) -> Result<()> {
    let mut after: Option<String> = None;
    loop {
        let page = deps.relational.records(ctx, RecordKind::TakenBack, after.as_deref(), PAGE_MAX).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.name.clone());
        let is_last = page.len() < PAGE_MAX;
        let source = |record: &Record| serde_json::from_value::<Body>(record.body.clone()).map(|body| body.source);
        let sources: Vec<MemoryId> = page
            .iter()
            .map(source)
            .collect::<std::result::Result<_, _>>()
            .map_err(|e| Error::corrupt("a record of what was forgotten does not read as one").with_source(e))?;
        let live = deps.relational.get(ctx, &sources).await?;
        let is_gone = page.into_iter().zip(live).filter(|(_, source)| source.is_none());
        let ops: Vec<Op> = is_gone.map(|(Record { kind, name, .. }, _)| Op::DropRecord { kind, name }).collect();
        if !ops.is_empty() {
            deps.relational.apply(ctx, deps.batch(ops)).await?;
        }
        if is_last {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Forget, NewMemory, Rae, block_on, ports::Clock};
    use std::sync::Arc;

    async fn records(mem: &Rae) -> Vec<Record> {
        let (deps, scope) = mem.parts();
        deps.relational.records(&deps.ctx(scope).unwrap(), RecordKind::TakenBack, None, PAGE_MAX).await.unwrap()
    }

    async fn told(mem: &Rae, text: &str, ttl: Option<f64>) -> MemoryId {
        let new = NewMemory { speaker: Some("Ada".into()), infer: true, ttl, ..NewMemory::new(text) };
        let id = mem.remember(new).await.unwrap().id;
        mem.maintain(None).await.unwrap();
        id
    }

    async fn forget_facts(mem: &Rae) {
        mem.forget(Forget::Filter(serde_json::json!({ "kind": "fact" }))).await.unwrap();
    }

    #[test]
    fn what_tells_that_a_fact_was_forgotten_has_no_words_and_goes_with_its_memory() {
        block_on(async {
            let mem = Rae::builder().open().await.unwrap();
            let oslo = told(&mem, "I live in Oslo, and I like tea.", None).await;
            let rome = told(&mem, "I work at Initech.", None).await;
            forget_facts(&mem).await;
            let all = records(&mem).await;
            assert_eq!(all.len(), 3);
            for Record { name, body, .. } in &all {
                assert!(name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit()), "{name}");
                let source = body.get("source").unwrap().as_str().unwrap();
                assert!(body.as_object().unwrap().len() == 1 && [oslo, rome].iter().any(|id| id.to_string() == source));
            }
            mem.forget(Forget::Id(oslo)).await.unwrap();
            let left = records(&mem).await;
            assert_eq!(left.len(), 1);
            assert_eq!(left[0].body["source"], rome.to_string());
            mem.close().await.unwrap();
        });
    }

    #[test]
    fn of_many_memories_that_go_at_once_all_records_go_and_no_others() {
        block_on(async {
            let mem = Rae::builder().open().await.unwrap();
            let many = (0..=LOOKED_UP_MAX).map(|n| NewMemory {
                speaker: Some(format!("P{n}")),
                session_id: Some("s".into()),
                infer: true,
                ..NewMemory::new("I live in Oslo.")
            });
            mem.remember_many(many.collect()).await.unwrap();
            let stays = told(&mem, "I live in Rome.", None).await;
            forget_facts(&mem).await;
            assert_eq!(records(&mem).await.len(), LOOKED_UP_MAX + 2);
            mem.forget(Forget::Filter(serde_json::json!({ "session_id": "s" }))).await.unwrap();
            let left = records(&mem).await;
            assert_eq!((left.len(), &left[0].body["source"]), (1, &serde_json::json!(stays)));
            mem.close().await.unwrap();
        });
    }

    #[test]
    fn the_daily_pass_removes_what_is_noted_of_memories_that_expired() {
        block_on(async {
            let clock = Arc::new(crate::ports::ManualClock::new(crate::Timestamp::parse("2026-01-01").unwrap()));
            let mem = Rae::builder().clock(Arc::clone(&clock) as Arc<dyn Clock>).open().await.unwrap();
            told(&mem, "I live in Oslo.", Some(3_600.0)).await;
            told(&mem, "I live in Rome.", None).await;
            forget_facts(&mem).await;
            assert_eq!(records(&mem).await.len(), 2);
            clock.advance_seconds(3 * 86_400);
            mem.maintain(None).await.unwrap();
            assert_eq!(records(&mem).await.len(), 1);
            mem.close().await.unwrap();
        });
    }
}
