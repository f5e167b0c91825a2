//! What memories have again when a change is undone: keys, so that what another memory came to say meanwhile is not said twice, and what
//! replaced them.

use crate::{
    ctx::Ctx,
    deps::Deps,
    error::{Error, Result},
    model::{Memory, MemoryId, MemoryPatch, Op},
};
use std::collections::BTreeSet;

/// The keys that memories are to have again, with whose they are.
pub(super) fn given_back(ops: &[Op]) -> Vec<(MemoryId, [u8; 32])> {
    let key = |op: &Op| match op {
        Op::PatchMemory { id, patch, .. } => Some((*id, patch.dedup_key.flatten()?)),
        _ => None,
    };
    ops.iter().filter_map(key).collect()
}

/// Where one is to get the key that another one gives up, that is done first: a key is free before it is taken.
pub(super) fn free_first(back: &mut [(Memory, MemoryPatch)]) {
    let is_moved =
        |(memory, patch): &&(Memory, MemoryPatch)| patch.dedup_key.is_some_and(|key| key != memory.dedup_key);
    let given_up: BTreeSet<[u8; 32]> =
        back.iter().filter(is_moved).filter_map(|(memory, _)| memory.dedup_key).collect();
    let is_taken =
        |(_, patch): &(Memory, MemoryPatch)| patch.dedup_key.flatten().is_some_and(|key| given_up.contains(&key));
    if back.iter().filter(is_moved).any(is_taken) {
        back.sort_by_key(|(_, patch)| patch.dedup_key.flatten().is_some());
    }
}

/// Why what was said before cannot be said again: another memory says it since, and two that say the same do not hold at once.
pub(super) async fn said_elsewhere(deps: &Deps, ctx: &Ctx, keys: &[(MemoryId, [u8; 32])]) -> Result<Error> {
    let held = deps.relational.keyed(ctx, &keys.iter().map(|(_, key)| *key).collect::<Vec<_>>()).await?;
    let by = held.into_iter().zip(keys).find_map(|(held, (id, _))| held.filter(|held| held.id != *id));
    let by = by.map_or_else(|| "another memory".to_owned(), |by| format!("memory {}", by.id));
    let text =
        format!("{by} says since what this change took away; forget that one first, or leave the change as it is");
    Ok(Error::conflict(text).with_code("said_elsewhere"))
}

/// What is over as before names nothing that is gone as what replaced it.
pub(super) async fn name_none_that_is_gone(deps: &Deps, ctx: &Ctx, back: &mut [(Memory, MemoryPatch)]) -> Result<()> {
    let named: Vec<MemoryId> = back.iter().filter_map(|(_, patch)| patch.superseded_by.flatten()).collect();
    let found = deps.relational.get(ctx, &named).await?;
    let gone: BTreeSet<MemoryId> =
        named.into_iter().zip(found).filter_map(|(id, found)| found.is_none().then_some(id)).collect();
    for (_, patch) in back.iter_mut() {
        if patch.superseded_by.flatten().is_some_and(|by| gone.contains(&by)) {
            patch.superseded_by = Some(None);
        }
    }
    Ok(())
}
