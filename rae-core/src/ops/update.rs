//! `update`: a new version; the old one stays in history.

use super::{
    carry::{carry, carry_late},
    get::missing,
};
use crate::{
    deps::Deps,
    error::{Error, ErrorKind, Result},
    ingest::MemoryUpdate,
    jobs::embed_debt,
    model::{MemoryId, Op, Outcome, PatchMode, Precondition, Scope, VectorRow},
    ops::Receipt,
};

/// Attempts against others who change the same memory at the same time.
const ATTEMPTS: usize = 8;

pub(crate) async fn update(deps: &Deps, scope: &Scope, id: MemoryId, update: MemoryUpdate) -> Result<Receipt> {
    let ctx = deps.ctx(scope)?;
    for attempt in 1.. {
        let current = deps.relational.get(&ctx, &[id]).await?.into_iter().next().flatten();
        let now = deps.clock.now();
        let current = current.filter(|m| !m.is_expired(now)).ok_or_else(|| missing(id))?;
        if let Some(expected) = update.expected_version.filter(|&v| v != current.version) {
            return Err(Error::conflict(format!(
                "the memory has version {}, not {expected}: read it again and decide anew",
                current.version
            ))
            .with_code("version_mismatch"));
        }
        let patch = update.clone().into_patch(&current, now)?;
        let mut next = current.clone();
        patch.apply_to(&mut next);
        next.version = current.version.checked_add(1).ok_or_else(|| {
            Error::conflict("the memory has as many versions as can be numbered; forget it and remember it anew")
        })?;
        // The vector belongs to the text with its date; everything else leaves it alone.
        let re_embed = patch.content.is_some() || patch.occurred_at.is_some();
        let mut ops = Vec::new();
        let mut degraded = Vec::new();
        let vector = if re_embed {
            let embedder = deps.embedder();
            let row = |vector| VectorRow { embedder: embedder.id().to_owned(), vector };
            let embedded = embed_debt::embed_documents(deps, &ctx, &*embedder, std::slice::from_ref(&next)).await;
            if let Some(error) = embedded.failed {
                if error.kind() == ErrorKind::InvalidInput {
                    return Err(error);
                }
                degraded.push("dense".to_owned());
                ops.push(embed_debt::job(deps, &[id], &error));
            }
            Some(embedded.vectors.into_iter().next().flatten().map(row))
        } else {
            None
        };
        let patched = Box::new(patch.clone());
        ops.insert(0, Op::PatchMemory { id, patch: patched, mode: PatchMode::NewVersion, vector });
        let unchanged = Precondition::VersionIs(id, current.version);
        let mut batch = deps.batch_if(vec![unchanged], ops);
        carry(deps, &ctx, (&current, &next), &patch, &mut batch).await?;
        match deps.relational.apply(&ctx, batch).await {
            Ok(applied) => {
                carry_late(deps, &ctx, &current, &next).await?;
                deps.background.nudge(scope);
                let Some(Outcome::Patched { version }) = applied.outcomes.first().cloned() else {
                    return Err(Error::internal("a patch had another outcome"));
                };
                if re_embed && deps.feeder.is_failing() && degraded.is_empty() {
                    degraded.push("dense".to_owned());
                }
                return Ok(Receipt { id, version, merged: false, degraded });
            }
            Err(error) if error.code() == "duplicate" => return Err(error),
            Err(error) if error.kind() == ErrorKind::Conflict && attempt < ATTEMPTS => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::internal("unreachable: the loop ends by returning"))
}
