//! `audit`: duplicates, contradictions and orphans. Reads the project page by page, and changes nothing unless it is told to.
//!
//! The first round counts keys, the second one collects the memories of the keys that came more than once, so what is held is
//! some 20 bytes a key and never a text (docs/concepts/audit.md has the rules and the figures).

use crate::{
    Ctx,
    audit::{Buckets, Compared, Raw, Seen, compared},
    deps::Deps,
    error::{Error, Result},
    limits::{AUDIT_FINDINGS_MAX, AUDIT_PAGE, AUDIT_PASS_MEMORIES},
    model::{Cursor, Memory, MemoryId, Scan, Scope, Timestamp},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use uuid::Uuid;

mod mending;
mod rows;

/// What `audit` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditOptions {
    /// Most findings, 1 to 1,000; default 100. Wide, so that any number a caller has is judged here. No kind of finding crowds
    /// out the others: what one kind leaves of its share goes to the rest.
    pub limit: i64,
    /// Does what `automatic` of the findings that are told says, each a change that `undo` takes back. Default false.
    pub fix: bool,
}

impl Default for AuditOptions {
    fn default() -> Self {
        Self { limit: 100, fix: false }
    }
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AuditKind {
    /// Memories that say the same.
    Duplicate,
    /// Statements that cannot both hold.
    Contradiction,
    /// A memory that refers to memories which are gone.
    Orphan,
}

impl AuditKind {
    /// The name on every surface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Duplicate => "duplicate",
            Self::Contradiction => "contradiction",
            Self::Orphan => "orphan",
        }
    }
}

impl std::fmt::Display for AuditKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something `audit` found: for a person or a program to judge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditFinding {
    /// What it is about.
    pub kind: AuditKind,
    /// The memories, oldest first; at most 32.
    pub ids: Vec<MemoryId>,
    /// What was seen, without content.
    pub message: String,
    /// What to do, in the verbs of the engine.
    pub fix: String,
    /// What `fix` of the options would do about it, or did; `None` where somebody must decide.
    #[serde(default)]
    pub automatic: Option<String>,
    /// The change by which it was done; `None` where it was not.
    #[serde(default)]
    pub change: Option<Uuid>,
}

/// The answer of `audit`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Audit {
    /// Memories looked at: all that are live and have not expired.
    pub checked: u64,
    /// By kind, then by the oldest memory.
    pub findings: Vec<AuditFinding>,
    /// Whether there is more to find than is told.
    pub truncated: bool,
    /// How many of the findings were fixed.
    #[serde(default)]
    pub fixed: u64,
    /// Memories that no facts were read from although that was asked for, by reason; as far back as audit rows go.
    #[serde(default)]
    pub kept_out: BTreeMap<String, u64>,
}

pub(crate) async fn audit(deps: &Deps, scope: &Scope, options: AuditOptions) -> Result<Audit> {
    let ctx = deps.ctx(scope)?;
    let limit = usize::try_from(options.limit).ok().filter(|n| (1..=AUDIT_FINDINGS_MAX).contains(n));
    let limit = limit.ok_or_else(|| {
        Error::invalid(format!("limit must be a whole number from 1 to {AUDIT_FINDINGS_MAX}"))
            .with_code("invalid_limit")
    })?;
    if options.fix {
        // First: a fix drops the link to what is gone, by which its end is known not to be somebody's word.
        super::resume::resume(deps, scope).await?;
    }
    let passes = deps.relational.stats(&ctx).await?.memories.div_ceil(AUDIT_PASS_MEMORIES).max(1);
    let mut told = in_passes(deps, &ctx, limit, passes).await?;
    for finding in &mut told.findings {
        mending::mend(deps, &deps.ctx(scope)?, finding, options.fix).await?;
        told.fixed += u64::from(finding.change.is_some());
    }
    Ok(told)
}

/// Each pass takes the keys of its share.
async fn in_passes(deps: &Deps, ctx: &Ctx, limit: usize, passes: u64) -> Result<Audit> {
    let now = deps.clock.now();
    let mut found = Found { limit, ..Found::default() };
    let rows = rows::told(deps, ctx, now).await?;
    rows.named.into_iter().for_each(|finding| found.take(finding));
    let mut checked = 0;
    for pass in 0..passes {
        let mut seen = Seen::default();
        let mut pages = Pages::new(now);
        while let Some(page) = pages.next(deps, ctx).await? {
            if pass == 0 {
                checked += page.len() as u64;
                orphans(deps, ctx, &page, now, &mut found).await?;
            }
            let keys = page.iter().flat_map(|m| compared(m, now)).map(|c| c.key());
            keys.filter(|key| key % passes == pass).for_each(|key| seen.note(key));
        }
        let repeated = seen.repeated();
        if repeated.is_empty() {
            continue;
        }
        let (mut buckets, mut pages) = (Buckets::default(), Pages::new(now));
        while let Some(page) = pages.next(deps, ctx).await? {
            for memory in &page {
                for compared in compared(memory, now).filter(|c| repeated.contains(&c.key())) {
                    buckets.add(memory, compared);
                }
            }
        }
        found.truncated |= buckets.overflowed;
        for mut raw in buckets.findings() {
            found.truncated |= raw.has_more;
            if matches!(raw.sort, Compared::Text(_)) && raw.has_derived {
                undescended(deps, ctx, &mut raw.ids).await?;
            }
            if raw.ids.len() > 1 {
                found.take(spoken(&raw));
            }
        }
    }
    Ok(Audit { kept_out: rows.kept_out, ..found.told(checked) })
}

/// Leaves out what was made from others of these: it says what they say, and is no second memory of it.
async fn undescended(deps: &Deps, ctx: &Ctx, ids: &mut Vec<MemoryId>) -> Result<()> {
    let memories = deps.relational.get(ctx, ids).await?;
    let descends = |m: &Memory| m.provenance.derived_from.iter().any(|source| ids.contains(source));
    let gone: HashSet<MemoryId> = memories.into_iter().flatten().filter(descends).map(|m| m.id).collect();
    ids.retain(|id| !gone.contains(id));
    Ok(())
}

/// All live memories, oldest first, a page at a time.
struct Pages {
    scan: Option<Scan>,
    now: Timestamp,
}

impl Pages {
    fn new(now: Timestamp) -> Self {
        Self { scan: Some(Scan { filter: None, after: None, limit: AUDIT_PAGE }), now }
    }

    async fn next(&mut self, deps: &Deps, ctx: &Ctx) -> Result<Option<Vec<Memory>>> {
        let Some(scan) = &mut self.scan else { return Ok(None) };
        let mut page = deps.relational.scan(ctx, scan).await?;
        match page.last().filter(|_| page.len() == AUDIT_PAGE) {
            Some(last) => scan.after = Some(Cursor(last.id)),
            None => self.scan = None,
        }
        page.retain(|m| !m.is_expired(self.now));
        Ok(Some(page))
    }
}

/// Findings so far: of each kind the ones with the oldest memories, no more than may be told.
#[derive(Default)]
struct Found {
    limit: usize,
    kept: BTreeMap<AuditKind, BTreeMap<Vec<MemoryId>, AuditFinding>>,
    truncated: bool,
}

impl Found {
    fn take(&mut self, finding: AuditFinding) {
        let kept = self.kept.entry(finding.kind).or_default();
        // The same memories under two keys are one finding.
        kept.insert(finding.ids.clone(), finding);
        if kept.len() > self.limit {
            kept.pop_last();
            self.truncated = true;
        }
    }

    /// Shares the limit among the kinds.
    fn told(self, checked: u64) -> Audit {
        let mut shares: BTreeMap<AuditKind, usize> = self.kept.keys().map(|&kind| (kind, 0)).collect();
        let all: usize = self.kept.values().map(BTreeMap::len).sum();
        let mut left = self.limit.min(all);
        while left > 0 {
            for (kind, share) in &mut shares {
                if left > 0 && self.kept.get(kind).is_some_and(|kept| *share < kept.len()) {
                    *share += 1;
                    left -= 1;
                }
            }
        }
        let truncated = self.truncated || all > self.limit;
        let share = |kind: &AuditKind| shares.get(kind).copied().unwrap_or(0);
        let findings = self.kept.into_iter().flat_map(|(kind, kept)| kept.into_values().take(share(&kind))).collect();
        Audit { checked, findings, truncated, ..Audit::default() }
    }
}

/// Memories of the page that refer to what is gone.
async fn orphans(deps: &Deps, ctx: &Ctx, page: &[Memory], now: Timestamp, found: &mut Found) -> Result<()> {
    let of = |m: &Memory| m.provenance.derived_from.iter().copied().chain(m.superseded_by).collect::<Vec<_>>();
    let named: HashSet<MemoryId> = page.iter().flat_map(of).collect();
    let mut live: HashSet<MemoryId> = page.iter().map(|m| m.id).filter(|id| named.contains(id)).collect();
    let asked: Vec<MemoryId> = named.difference(&live).copied().collect();
    for ids in asked.chunks(AUDIT_PAGE) {
        let memories = deps.relational.get(ctx, ids).await?;
        live.extend(memories.into_iter().flatten().filter(|m| !m.is_expired(now)).map(|m| m.id));
    }
    for memory in page {
        let id = memory.id;
        let sources = &memory.provenance.derived_from;
        let has_no_source = !sources.is_empty() && !sources.iter().any(|source| live.contains(source));
        let successor = memory.superseded_by.filter(|by| !live.contains(by));
        let lost = match sources.len() {
            1 => "the only memory it was derived from is gone".to_owned(),
            n => format!("all {n} memories it was derived from are gone"),
        };
        let (message, fix) = match (has_no_source, successor) {
            (false, None) => continue,
            (true, None) => (lost, format!("forget(\"{id}\") unless it holds without them")),
            (false, Some(by)) => (
                format!("it is superseded by {by}, and there is no such memory"),
                format!("update(\"{id}\", superseded_by=...) with the memory that replaced it, or None to clear it"),
            ),
            (true, Some(by)) => (
                format!("{lost}, and so is {by}, which superseded it"),
                format!("forget(\"{id}\") unless it holds without them; then update(\"{id}\", superseded_by=None)"),
            ),
        };
        found.take(AuditFinding {
            kind: AuditKind::Orphan,
            ids: vec![id],
            message,
            fix,
            automatic: None,
            change: None,
        });
    }
    Ok(())
}

/// A finding in words.
fn spoken(raw: &Raw) -> AuditFinding {
    let count = raw.ids.len();
    let (kind, message, fix) = match raw.sort {
        Compared::Text(_) => (
            AuditKind::Duplicate,
            match raw.across_layers {
                true => format!("{count} memories in different layers say the same"),
                false => format!("{count} memories say the same but for case, punctuation or white space"),
            },
            "compare them with get(id), keep one and forget(id) the others",
        ),
        Compared::Value(..) => (
            AuditKind::Contradiction,
            format!("{count} statements give different values for what can have only one, at the same time"),
            REPLACE,
        ),
        Compared::Denial(..) => (
            AuditKind::Contradiction,
            format!("of {count} statements that hold at the same time, some say what others deny"),
            REPLACE,
        ),
    };
    AuditFinding { kind, ids: raw.ids.clone(), message, fix: fix.to_owned(), automatic: None, change: None }
}

const REPLACE: &str = "read them with get(id); for one that no longer holds update(id, valid_to=..., superseded_by=...) \
                       with the one that does, for one that never held forget(id); if all hold, leave them";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NewMemory, Rae, block_on};

    #[test]
    fn any_number_of_passes_finds_the_same() {
        block_on(async {
            let mem = Rae::builder().open().await.unwrap();
            let text = |i: usize| match i % 4 {
                0 => format!("Locker {i} is empty."),
                1 => format!("locker {} is empty", i - 1),
                2 => format!("The code of locker {i} is 12."),
                _ => format!("The code of locker {} is 13.", i - 1),
            };
            mem.remember_many((0..400).map(|i| NewMemory::new(text(i))).collect()).await.unwrap();
            let (deps, scope) = mem.parts();
            let ctx = deps.ctx(scope).unwrap();
            let whole = in_passes(deps, &ctx, 1_000, 1).await.unwrap();
            assert_eq!((whole.checked, whole.findings.len(), whole.truncated), (400, 200, false));
            let few = in_passes(deps, &ctx, 50, 1).await.unwrap();
            assert_eq!((few.findings.len(), few.truncated), (50, true));
            for passes in [2, 7, 25] {
                assert_eq!(in_passes(deps, &ctx, 1_000, passes).await.unwrap(), whole);
                assert_eq!(in_passes(deps, &ctx, 50, passes).await.unwrap(), few);
            }
        });
    }
}
