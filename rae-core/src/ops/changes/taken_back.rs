//! What undoing a change of facts says of the memory that they were read from: it is not read so again. What the change added stays and
//! tells so itself; that the memory said a known fact too, or its end, is noted.

use super::{Known, Row};
use crate::{
    Ctx,
    deps::Deps,
    error::Result,
    jobs::extract::undone_noted,
    model::{MemoryId, Op},
};
use std::collections::HashMap;
use uuid::Uuid;

/// What is taken back, or done again.
pub(super) struct Taken {
    source: MemoryId,
    /// Facts, and whether it is their end that the memory said.
    facts: Vec<(MemoryId, bool)>,
    is_redone: bool,
}

/// What undoing `target` takes back of a change of facts, itself or what it undid.
pub(super) fn taken(all: &HashMap<Uuid, Known>, target: Uuid) -> Option<Taken> {
    let (mut of, mut undos) = (target, 0);
    while let Some(before) = all.get(&of).and_then(|one| one.row.undone) {
        (of, undos) = (before, undos + 1);
    }
    let one = all.get(&of).filter(|one| one.action == "facts" && one.row.withdrawn.is_null())?;
    let source = serde_json::from_value(one.row.source.clone()).ok()?;
    Some(Taken { source, facts: said(&one.row), is_redone: undos % 2 == 1 })
}

fn said(row: &Row) -> Vec<(MemoryId, bool)> {
    let merged = row.merged.iter().map(|merged| (merged.id, false));
    let has = |fields: &[String], name: &str| fields.iter().any(|field| field == name);
    // Who says a fact again, or ends it without another value, is noted as a source of it.
    let noted = row.changed.iter().filter(|c| has(&c.fields, "provenance") && !has(&c.fields, "superseded_by"));
    merged.chain(noted.map(|c| (c.id, has(&c.fields, "valid_to")))).collect()
}

/// The ops that note it, or that it is so after all.
pub(super) async fn noted(deps: &Deps, ctx: &Ctx, taken: Option<Taken>) -> Result<Vec<Op>> {
    let Some(Taken { source, facts, is_redone }) = taken.filter(|taken| !taken.facts.is_empty()) else {
        return Ok(Vec::new());
    };
    undone_noted(deps, ctx, source, &facts, is_redone).await
}
