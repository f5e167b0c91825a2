//! A lesson whose quote, or whose words of a model, go with an event: the same lesson, made anew without them and without a history.

use crate::{
    Ctx,
    cost::Embedded,
    deps::Deps,
    error::Result,
    jobs::embed_debt,
    model::{Kind, Memory, MemoryId, Op, VectorRow},
    reflect::{bare, is_of_model, keep_origin, quotes_any},
};
use std::collections::BTreeSet;

/// What puts a lesson or strategy in the place of one that is to go because it, or an older version of it, quotes an event that is
/// `going`, or has words of a model, which may have been shown it: the same without these, and with its numbers. `None` where there is nothing
/// of the kind; no op where it cannot be told apart from what somebody wrote.
pub(crate) async fn unquoted(
    deps: &Deps,
    ctx: &Ctx,
    memory: &Memory,
    going: &BTreeSet<MemoryId>,
) -> Result<Option<Vec<Op>>> {
    if !matches!(memory.kind, Kind::Lesson | Kind::Strategy) {
        return Ok(None);
    }
    let has = |memory: &Memory| quotes_any(memory, going) || is_of_model(memory);
    let mut quotes = has(memory);
    if !quotes && memory.version > 1 {
        let history = deps.relational.history(ctx, memory.id).await?;
        quotes = history.iter().any(|version| has(&version.memory));
    }
    if !quotes {
        return Ok(None);
    }
    let Some(mut bare) = bare(memory, going) else { return Ok(Some(Vec::new())) };
    bare.provenance.derived_from.retain(|id| !going.contains(id));
    if bare.provenance.derived_from.is_empty() {
        return Ok(Some(Vec::new()));
    }
    keep_origin(&mut bare, memory);
    // It holds for as long as it did, though it is written now.
    bare.valid_from = Some(memory.valid_start());
    (bare.id, bare.version, bare.seq) = (deps.ids.next(deps.clock.now()), 1, 0);
    let embedder = deps.embedder();
    let memories = [bare];
    let Embedded { mut vectors, failed } = embed_debt::embed_documents(deps, ctx, &*embedder, &memories).await;
    let [bare] = memories;
    let mut ops = Vec::new();
    let vector = vectors.pop().flatten();
    if let Some(error) = failed.filter(|_| vector.is_none()) {
        ops.push(embed_debt::job(deps, &[bare.id], &error));
    }
    let vector = vector.map(|vector| VectorRow { embedder: embedder.id().to_owned(), vector });
    ops.insert(0, Op::PutMemory { memory: Box::new(bare), vector, idempotency: None });
    Ok(Some(ops))
}
