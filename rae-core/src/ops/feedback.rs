//! `feedback`: a memory helped, or it did not.

use super::get::missing;
use crate::{
    deps::Deps,
    error::Result,
    model::{Memory, MemoryId, MemoryPatch, Op, PatchMode, Scope},
};

/// Share of the way to 1 (useful) or to 0 (not useful) that one word of feedback moves strength, and half of it importance.
const STEP: f64 = 0.2;

pub(crate) async fn feedback(deps: &Deps, scope: &Scope, id: MemoryId, useful: bool) -> Result<Memory> {
    let ctx = deps.ctx(scope)?;
    let current = deps.relational.get(&ctx, &[id]).await?.into_iter().next().flatten();
    let mut memory = current.filter(|m| !m.is_expired(deps.clock.now())).ok_or_else(|| missing(id))?;
    let target = if useful { 1.0 } else { 0.0 };
    let patch = MemoryPatch {
        strength: Some(memory.strength + STEP * (target - memory.strength)),
        importance: Some(memory.importance + STEP / 2.0 * (target - memory.importance)),
        ..MemoryPatch::default()
    };
    patch.apply_to(&mut memory);
    let op = Op::PatchMemory { id, patch: Box::new(patch), mode: PatchMode::InPlace, vector: None };
    let mut ops = vec![op];
    if useful {
        // A use, but no recall: what was useful today does not fade from the day it was stored.
        ops.push(Op::RecordAccess { counts: vec![(id, 0, deps.clock.now())] });
    }
    deps.relational.apply(&ctx, deps.batch(ops)).await?;
    deps.background.nudge(scope);
    Ok(memory)
}
