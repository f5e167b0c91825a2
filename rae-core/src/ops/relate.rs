//! `relate` and `relations`: a relation is a memory that carries a claim (ADR 11).

use super::{
    Page, Receipt,
    get::{missing, page_of, page_size},
    remember::{Item, commit},
};
use crate::{
    ctx::Ctx,
    deps::Deps,
    error::{Error, ErrorKind, Result},
    ingest::NewRelation,
    model::{Claim, Cmp, Field, Filter, MemoryId, Precondition, Scope, Value},
};
use serde::{Deserialize, Serialize};

/// Attempts against others who change the source at the same time.
const ATTEMPTS: usize = 8;

pub(crate) async fn relate(deps: &Deps, scope: &Scope, new: NewRelation) -> Result<Receipt> {
    let ctx = deps.ctx(scope)?;
    let source = new.source_id;
    let now = deps.clock.now();
    let mut memory = new.into_memory(scope, MemoryId(uuid::Uuid::nil()), now)?;
    for attempt in 1.. {
        let still_there = match source {
            Some(id) => vec![Precondition::VersionIs(id, version_of(deps, &ctx, id).await?)],
            None => Vec::new(),
        };
        // The id last: what is refused takes none.
        if attempt == 1 {
            memory.id = deps.ids.next(now);
        }
        let item = Item { memory: memory.clone(), idempotency: None, infer: false };
        match commit(deps, &ctx, vec![item], still_there).await {
            Ok(receipts) => {
                deps.background.nudge(scope);
                return receipts.into_iter().next().ok_or_else(|| Error::internal("a write gave no receipt"));
            }
            // Changed between the look and the write: it is looked for again.
            Err(error) if error.code() == "version_changed" && attempt < ATTEMPTS => {}
            Err(error) if source.is_some() && error.kind() == ErrorKind::NotFound && attempt < ATTEMPTS => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::internal("unreachable: the loop ends by returning"))
}

/// Whether it would be taken, as far as that can be said without a store.
#[cfg(feature = "remote")]
pub(crate) fn check_relation(new: &NewRelation) -> Result<()> {
    let epoch = crate::model::Timestamp::from_micros(0)?;
    new.clone().into_memory(&Scope::default(), MemoryId(uuid::Uuid::nil()), epoch).map(drop)
}

/// The version of a memory that must be there.
async fn version_of(deps: &Deps, ctx: &Ctx, id: MemoryId) -> Result<u32> {
    let found = deps.relational.get(ctx, &[id]).await?.into_iter().next().flatten();
    let live = found.filter(|m| !m.is_expired(deps.clock.now())).ok_or_else(|| missing(id))?;
    Ok(live.version)
}

/// What `relations` takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RelationsOptions {
    /// Only those of this subject, however it is spelt.
    pub subject: Option<String>,
    /// Only this relation.
    pub relation: Option<String>,
    /// Only those with this object, however it is spelt.
    pub object: Option<String>,
    /// Size of a page, 1 to 1,000; default 50.
    pub limit: i64,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl Default for RelationsOptions {
    fn default() -> Self {
        Self { subject: None, relation: None, object: None, limit: 50, cursor: None }
    }
}

pub(crate) async fn relations(deps: &Deps, scope: &Scope, options: RelationsOptions) -> Result<Page> {
    let ctx = deps.ctx(scope)?;
    let limit = page_size(options.limit)?;
    let text = |text: String| Cmp::Eq(Value::Text(text));
    let mut all = vec![Filter::Cmp(Field::Subject, Cmp::Ne(Value::Null))];
    if let Some(subject) = &options.subject {
        all.push(Filter::Cmp(Field::Subject, text(name_key("subject", subject)?)));
    }
    if let Some(relation) = &options.relation {
        all.push(Filter::Cmp(Field::Relation, text(Claim::relation_key(relation)?)));
    }
    if let Some(object) = &options.object {
        all.push(Filter::Cmp(Field::Object, text(name_key("object", object)?)));
    }
    page_of(deps, &ctx, Some(Filter::And(all)), options.cursor.as_deref(), limit).await
}

fn name_key(what: &str, name: &str) -> Result<String> {
    let key = Claim::name_key(name);
    if key.is_empty() {
        Err(Error::invalid(format!("{what} must not be empty; leave it out instead")))
    } else {
        Ok(key)
    }
}
