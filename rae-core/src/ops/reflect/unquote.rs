//! A lesson whose quote goes with the event that it is from: the same lesson, made anew without it and without a history.

use crate::{
    Ctx,
    cost::Embedded,
    deps::Deps,
    error::Result,
    jobs::embed_debt,
    model::{Kind, Memory, MemoryId, Op, VectorRow},
    reflect::{quotes_any, without_quotes},
};
use std::collections::BTreeSet;

/// What puts a lesson or strategy in the place of one that is to go because it, or an older version of it, quotes an event that is
/// `going`: the same without those quotes. `None` where nothing is quoted; no op where it cannot be told apart from what somebody wrote.
pub(crate) async fn unquoted(
    deps: &Deps,
    ctx: &Ctx,
    memory: &Memory,
    going: &BTreeSet<MemoryId>,
) -> Result<Option<Vec<Op>>> {
    if !matches!(memory.kind, Kind::Lesson | Kind::Strategy) {
        return Ok(None);
    }
    let mut quotes = quotes_any(memory, going);
    if !quotes && memory.version > 1 {
        let history = deps.relational.history(ctx, memory.id).await?;
        quotes = history.iter().any(|version| quotes_any(&version.memory, going));
    }
    if !quotes {
        return Ok(None);
    }
    let Some(mut bare) = without_quotes(memory, going) else { return Ok(Some(Vec::new())) };
    bare.provenance.derived_from.retain(|id| !going.contains(id));
    if bare.provenance.derived_from.is_empty() {
        return Ok(Some(Vec::new()));
    }
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
