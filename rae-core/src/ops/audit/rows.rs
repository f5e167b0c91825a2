//! What the audit rows tell beside the memories: what facts were not read from, and what a model could not bring together.

use super::{AuditFinding, AuditKind, REPLACE};
use crate::{
    Ctx,
    deps::Deps,
    error::Result,
    limits::{AUDIT_ROWS_MAX, PAGE_MAX},
    model::{Memory, MemoryId, Timestamp},
};
use serde::Deserialize;
use std::collections::{BTreeMap, HashSet};

/// A row of facts, as far as it is told here.
#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    skipped: BTreeMap<String, Vec<MemoryId>>,
    #[serde(default)]
    contradicts: Vec<MemoryId>,
    #[serde(default)]
    added: Vec<Added>,
}

#[derive(Deserialize)]
struct Added {
    id: MemoryId,
}

/// What the rows say.
#[derive(Default)]
pub(super) struct Told {
    /// Memories that facts were not read from, by the reason that was noted last.
    pub kept_out: BTreeMap<String, u64>,
    /// What a model found to contradict each other.
    pub named: Vec<AuditFinding>,
}

pub(super) async fn told(deps: &Deps, ctx: &Ctx, now: Timestamp) -> Result<Told> {
    let (mut told, mut named, mut known) = (Told::default(), Vec::new(), HashSet::new());
    let (mut before, mut seen) = (None, 0);
    while seen < AUDIT_ROWS_MAX {
        ctx.check()?;
        let page = deps.relational.audit_page(ctx, before, PAGE_MAX).await?;
        let Some((last, ..)) = page.last() else { break };
        before = Some(*last);
        seen += page.len();
        for (_, _, audit) in page.into_iter().filter(|(_, _, audit)| audit.action == "facts") {
            // Rows of other versions tell less.
            let Ok(row) = serde_json::from_value::<Row>(audit.details) else { continue };
            for (reason, ids) in row.skipped {
                let news = ids.into_iter().filter(|id| known.insert(*id)).count() as u64;
                *told.kept_out.entry(reason).or_default() += news;
            }
            if !row.contradicts.is_empty() {
                named.push(row.added.into_iter().map(|added| added.id).chain(row.contradicts).collect::<Vec<_>>());
            }
        }
    }
    told.kept_out.retain(|_, count| *count > 0);
    for ids in named {
        told.named.extend(finding(deps, ctx, ids, now).await?);
    }
    Ok(told)
}

/// Those that hold still, where there are two.
async fn finding(deps: &Deps, ctx: &Ctx, ids: Vec<MemoryId>, now: Timestamp) -> Result<Option<AuditFinding>> {
    let holds = |m: &Memory| !m.is_expired(now) && !m.is_over(now) && m.superseded_by.is_none();
    let found = deps.relational.get(ctx, &ids).await?;
    let mut ids: Vec<MemoryId> = found.into_iter().flatten().filter(holds).map(|m| m.id).collect();
    ids.sort_unstable();
    ids.dedup();
    let message = format!("a model found that these {} facts cannot all hold", ids.len());
    let (kind, fix) = (AuditKind::Contradiction, REPLACE.to_owned());
    Ok((ids.len() > 1).then_some(AuditFinding { kind, ids, message, fix, automatic: None, change: None }))
}
