//! Fades as changes: what their rows say, and giving strength back.

use super::{Row, changed_since};
use crate::{
    ctx::Ctx,
    deps::Deps,
    error::Result,
    limits::PAGE_MAX,
    model::{Applied, Audit, MemoryId, Op, Outcome},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::HashMap;
use uuid::Uuid;

/// A strength that moved: whose, from what, to what. As a list it is short: a page of them is one row.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Faded(pub MemoryId, pub f64, pub f64);

/// The ops that give back what is still as the change left it, with their audit row. What was recalled and faded further, or moved by
/// feedback, stays. Conflict where nothing is as it was left.
pub(super) async fn plan(deps: &Deps, ctx: &Ctx, (id, row): (Uuid, &Row), batch: Uuid) -> Result<Vec<Op>> {
    let mut present = HashMap::new();
    for page in row.faded.chunks(PAGE_MAX) {
        let ids: Vec<MemoryId> = page.iter().map(|faded| faded.0).collect();
        present.extend(deps.relational.get(ctx, &ids).await?.into_iter().flatten().map(|m| (m.id, m.strength)));
    }
    let is_left = |faded: &&Faded| present.get(&faded.0).is_some_and(|now| now.to_bits() == faded.2.to_bits());
    let back: Vec<Faded> = row.faded.iter().filter(is_left).map(|Faded(id, from, to)| Faded(*id, *to, *from)).collect();
    if back.is_empty() {
        return Err(changed_since());
    }
    let mut ops: Vec<Op> = back
        .iter()
        .map(|Faded(id, left, strength)| Op::RestoreStrength { id: *id, left: *left, strength: *strength })
        .collect();
    let details = json!({ "change": batch, "undone": id, "faded": back });
    ops.push(Op::Audit(Audit { action: "undo".to_owned(), details }));
    Ok(ops)
}

/// Whose strengths the ops of an undoing give back.
pub(super) fn raised(ops: &[Op]) -> Vec<MemoryId> {
    ops.iter().filter_map(|op| if let Op::RestoreStrength { id, .. } = op { Some(*id) } else { None }).collect()
}

/// Whose strength it was that came back: of what somebody touched between the look and the undoing it did not.
pub(super) fn given_back(ops: &[MemoryId], applied: &Applied) -> Vec<MemoryId> {
    let done = ops.iter().zip(&applied.outcomes).filter(|(_, outcome)| matches!(outcome, Outcome::Done));
    done.map(|(id, _)| *id).collect()
}
