//! What an audit does about a finding when it is told to: one batch, under the versions that were looked at, with its
//! audit row.

use super::{AuditFinding, AuditKind};
use crate::{
    Ctx,
    audit::mend::{self, Found, Patches},
    deps::Deps,
    error::{ErrorKind, Result},
    jobs::extract::is_said_of_oneself,
    model::{Memory, MemoryId, Op, PatchMode, Precondition},
    ops::change_row,
};
use serde_json::json;
use std::collections::HashSet;

/// Attempts against others who touch the memories of a finding at the same time.
const ATTEMPTS: usize = 8;

/// Says what can be done about a finding without anybody's judgement, and does it where `fix` says so. What somebody
/// changed since it was found is judged anew, and left alone where others keep changing it.
pub(super) async fn mend(deps: &Deps, ctx: &Ctx, finding: &mut AuditFinding, fix: bool) -> Result<()> {
    for _ in 0..ATTEMPTS {
        finding.automatic = None;
        if try_mend(deps, ctx, finding, fix).await? {
            return Ok(());
        }
    }
    finding.automatic = None;
    Ok(())
}

/// Whether nothing is left to do; not, where somebody else was faster.
async fn try_mend(deps: &Deps, ctx: &Ctx, finding: &mut AuditFinding, fix: bool) -> Result<bool> {
    let found = found(deps, ctx, &finding.ids).await?;
    // Some of it is gone by now.
    if found.len() != finding.ids.len() {
        return Ok(true);
    }
    let Some((says, patches)) = plan(deps, ctx, finding.kind, &found).await? else { return Ok(true) };
    finding.automatic = Some(says);
    if !fix {
        return Ok(true);
    }
    let memory = |id: MemoryId| found.iter().map(|f| &f.memory).find(|m| m.id == id);
    // Tags, sources and witnesses are written whole: what a merge added since must not be lost.
    let preconditions = found.iter().map(|f| Precondition::SeqIs(f.memory.id, f.memory.seq)).collect();
    let patch = |(id, patch)| Op::PatchMemory { id, patch: Box::new(patch), mode: PatchMode::NewVersion, vector: None };
    let mut batch = deps.batch_if(preconditions, patches.into_iter().map(patch).collect());
    let known: Vec<&Memory> = finding.ids.iter().filter_map(|id| memory(*id)).collect();
    let more = json!({ "finding": finding.kind });
    let row = change_row("audit_fix", batch.id, &batch.ops, &known, None, more);
    batch.ops.push(row);
    let id = batch.id;
    match deps.relational.apply(ctx, batch).await {
        Ok(_) => {
            finding.change = Some(id);
            deps.background.nudge(ctx.scope());
            Ok(true)
        }
        Err(error) if matches!(error.kind(), ErrorKind::NotFound) || error.code() == "version_changed" => Ok(false),
        Err(error) => Err(error),
    }
}

/// The memories of a finding that are still there.
async fn found(deps: &Deps, ctx: &Ctx, ids: &[MemoryId]) -> Result<Vec<Found>> {
    let now = deps.clock.now();
    let (memories, access) = (deps.relational.get(ctx, ids).await?, deps.relational.access(ctx, ids).await?);
    let live =
        memories.into_iter().zip(access).filter_map(|(m, access)| Some((m.filter(|m| !m.is_expired(now))?, access.0)));
    let mut found = Vec::with_capacity(ids.len());
    for (memory, uses) in live {
        let is_protected = deps.lifecycle.protects(memory.kind, &memory.tags);
        let is_own = is_said_of_oneself(deps, ctx, &memory).await?;
        found.push(Found { memory, uses, is_protected, is_own });
    }
    Ok(found)
}

async fn plan(deps: &Deps, ctx: &Ctx, kind: AuditKind, found: &[Found]) -> Result<Option<(String, Patches)>> {
    let now = deps.clock.now();
    Ok(match kind {
        AuditKind::Duplicate => mend::duplicates(found, now).map(|(kept, patches)| {
            let takes = "which takes tags, sources and witnesses of the others";
            (format!("keeps {kept}, {takes}, and ends them, superseded by it"), patches)
        }),
        AuditKind::Contradiction => mend::contradiction(found, now).map(|patches| {
            let ended: Vec<String> = patches.iter().map(|(id, _)| id.to_string()).collect();
            (format!("ends {} where the next other value begins, superseded by that", ended.join(", ")), patches)
        }),
        AuditKind::Orphan => {
            let links = |f: &Found| {
                let sources = f.memory.provenance.derived_from.iter().copied();
                sources.chain(f.memory.superseded_by).collect::<Vec<_>>()
            };
            let named: Vec<MemoryId> = found.iter().flat_map(links).collect();
            let live: HashSet<MemoryId> = deps
                .relational
                .get(ctx, &named)
                .await?
                .into_iter()
                .flatten()
                .filter(|m| !m.is_expired(now))
                .map(|m| m.id)
                .collect();
            let patches = found.first().and_then(|f| mend::orphan(f, &live, now));
            patches.map(|patches| ("drops its links to what is gone; what was over stays over".to_owned(), patches))
        }
    })
}
