//! From the engine's answers.

use super::{
    Audit, AuditFinding, Claim, Context, ContextSource, EmbedderInfo, ErasurePlace, ErasureReport, Exported, Finding,
    Forgotten, Hit, Imported, Jobs, Maintained, Memory, MemoryVersion, Page, Passage, Receipt, Reembedded, Reflected,
    Signals, Stats,
    field::{Counts, Json, Time},
};
use rae_core::MemoryId;
use serde_json::Value;

impl From<rae_core::Receipt> for Receipt {
    fn from(r: rae_core::Receipt) -> Self {
        Self { id: r.id.to_string(), version: r.version, merged: r.merged, degraded: r.degraded }
    }
}

impl From<rae_core::Hit> for Hit {
    fn from(h: rae_core::Hit) -> Self {
        let s = h.signals;
        Self {
            id: h.id.to_string(),
            content: h.content,
            score: h.score,
            relevance: h.relevance,
            signals: Signals {
                dense: s.dense,
                lexical: s.lexical,
                passage: s.passage,
                actor: s.actor,
                session: s.session,
                time: s.time,
                graph: s.graph,
                recency: s.recency,
                importance: s.importance,
            },
            passage: Passage { start: h.passage.start, end: h.passage.end },
            kind: h.kind.to_string(),
            layer: h.layer.to_string(),
            role: h.role,
            speaker: h.speaker,
            session_id: h.session_id,
            tags: h.tags,
            metadata: Json(Value::Object(h.metadata)),
            occurred_at: h.occurred_at.map(Time),
            created_at: Time(h.created_at),
            importance: h.importance,
            version: h.version,
        }
    }
}

/// Both memory classes have the same fields; a macro, since they share no type.
macro_rules! memory {
    ($m:expr $(, $extra:ident: $value:expr)*) => {{
        let m = $m;
        Self {
            id: m.id.to_string(),
            tenant: m.scope.tenant().to_owned(),
            project: m.scope.project().to_owned(),
            content: m.content,
            kind: m.kind.to_string(),
            layer: m.layer.to_string(),
            role: m.role,
            speaker: m.speaker,
            session_id: m.session_id,
            agent_id: m.agent_id,
            user_id: m.user_id,
            tags: m.tags,
            metadata: Json(Value::Object(m.metadata)),
            importance: m.importance,
            strength: m.strength,
            confidence: m.confidence,
            trust_level: m.trust_level.map(|t| t.to_string()),
            info_class: m.info_class.to_string(),
            sources: m.provenance.sources,
            derived_from: m.provenance.derived_from.iter().map(MemoryId::to_string).collect(),
            created_at: Time(m.created_at),
            updated_at: Time(m.updated_at),
            occurred_at: m.occurred_at.map(Time),
            valid_from: m.valid_from.map(Time),
            valid_to: m.valid_to.map(Time),
            superseded_by: m.superseded_by.map(|id| id.to_string()),
            expires_at: m.expires_at.map(Time),
            version: m.version,
            seq: m.seq,
            seq_in_session: m.seq_in_session,
            content_hash: m.content_hash.iter().map(|b| format!("{b:02x}")).collect(),
            witness_count: m.witness_count,
            claim: m.claim.map(Into::into),
            $($extra: $value,)*
        }
    }};
}

impl From<rae_core::Claim> for Claim {
    fn from(c: rae_core::Claim) -> Self {
        Self { subject: c.subject, relation: c.relation, object: c.object, weight: c.weight }
    }
}

impl From<rae_core::Memory> for Memory {
    fn from(m: rae_core::Memory) -> Self {
        memory!(m)
    }
}

impl From<rae_core::MemoryVersion> for MemoryVersion {
    fn from(v: rae_core::MemoryVersion) -> Self {
        memory!(v.memory, replaced_at: v.replaced_at.map(Time))
    }
}

impl From<rae_core::Reflected> for Reflected {
    fn from(r: rae_core::Reflected) -> Self {
        Self {
            id: r.id.to_string(),
            kind: r.kind.to_string(),
            content: r.content,
            version: r.version,
            created: r.created,
            session_id: r.session_id,
            tool: r.tool,
            error: r.error,
            count: r.count,
            sessions: r.sessions,
            importance: r.importance,
            confidence: r.confidence,
            sources: r.sources.iter().map(MemoryId::to_string).collect(),
            degraded: r.degraded,
        }
    }
}

impl From<rae_core::Page> for Page {
    fn from(p: rae_core::Page) -> Self {
        Self { items: p.items.into_iter().map(Into::into).collect(), next_cursor: p.next_cursor }
    }
}

impl From<rae_core::Context> for Context {
    fn from(c: rae_core::Context) -> Self {
        let source = |s: rae_core::ContextSource| ContextSource {
            id: s.id.to_string(),
            kind: s.kind.to_string(),
            layer: s.layer.to_string(),
            start: s.start,
            end: s.end,
            score: s.score,
        };
        let sources = c.sources.into_iter().map(source).collect();
        Self { text: c.text, token_count: c.token_count, sources, degraded: c.degraded }
    }
}

impl From<rae_core::Forgotten> for Forgotten {
    fn from(f: rae_core::Forgotten) -> Self {
        Self { deleted: f.deleted, derived: f.derived, pending: f.pending, receipt: Json(f.receipt) }
    }
}

impl From<rae_core::Stats> for Stats {
    fn from(s: rae_core::Stats) -> Self {
        Self {
            memories: s.memories,
            by_layer: Counts(s.by_layer.into_iter().map(|(layer, n)| (layer.to_string(), n)).collect()),
            vectors: s.vectors,
            bytes: s.bytes,
            jobs: Jobs { queued: s.jobs.queued, dead: s.jobs.dead },
            embedder: EmbedderInfo { id: s.embedder.id, dim: s.embedder.dim },
            seq: s.seq,
            schema_version: s.schema_version,
        }
    }
}

impl From<rae_core::Exported> for Exported {
    fn from(e: rae_core::Exported) -> Self {
        Self { memories: e.memories, bytes: e.bytes }
    }
}

impl From<rae_core::Imported> for Imported {
    fn from(i: rae_core::Imported) -> Self {
        Self { imported: i.imported, merged: i.merged, unchanged: i.unchanged }
    }
}

impl From<rae_core::Reembedded> for Reembedded {
    fn from(r: rae_core::Reembedded) -> Self {
        Self { from_: r.from, to: r.to, vectors: r.vectors }
    }
}

impl From<rae_core::Maintained> for Maintained {
    fn from(m: rae_core::Maintained) -> Self {
        Self { ran: Counts(m.ran) }
    }
}

impl From<rae_core::Finding> for Finding {
    fn from(f: rae_core::Finding) -> Self {
        Self { level: f.level, check: f.check, message: f.message }
    }
}

impl From<rae_core::Audit> for Audit {
    fn from(a: rae_core::Audit) -> Self {
        let finding = |f: rae_core::AuditFinding| AuditFinding {
            kind: f.kind.to_string(),
            ids: f.ids.iter().map(MemoryId::to_string).collect(),
            message: f.message,
            fix: f.fix,
            automatic: f.automatic,
            change: f.change.map(|id| id.to_string()),
        };
        let findings = a.findings.into_iter().map(finding).collect();
        Self { checked: a.checked, findings, truncated: a.truncated, fixed: a.fixed, kept_out: Counts(a.kept_out) }
    }
}

impl From<rae_core::ErasureReport> for ErasureReport {
    fn from(r: rae_core::ErasureReport) -> Self {
        let place =
            |p: rae_core::ErasurePlace| ErasurePlace { place: p.place, found: p.found, state: p.state, note: p.note };
        Self { clean: r.clean, ids: r.ids, bound: r.bound, places: r.places.into_iter().map(place).collect() }
    }
}
