//! `get`, `list` and `history`: reading what is stored.

use crate::{
    ctx::Ctx,
    deps::Deps,
    error::{Error, Result},
    ingest::check_tags,
    limits::PAGE_MAX,
    model::{Cursor, Filter, Layer, Memory, MemoryId, MemoryVersion, Scan, Scope},
};
use serde::{Deserialize, Serialize};

/// What `list` takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListOptions {
    /// Size of a page, 1 to 1,000; default 50.
    pub limit: i64,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Only this layer.
    pub layer: Option<Layer>,
    /// All of these tags.
    pub tags: Option<Vec<String>>,
    /// A filter.
    pub filter: Option<serde_json::Value>,
}

impl Default for ListOptions {
    fn default() -> Self {
        Self { limit: 50, cursor: None, layer: None, tags: None, filter: None }
    }
}

/// A page of memories, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Page {
    /// The memories.
    pub items: Vec<Memory>,
    /// Where the next page begins; `None` on the last one.
    pub next_cursor: Option<String>,
}

/// NotFound for a missing id, in one wording everywhere.
pub(super) fn missing(id: MemoryId) -> Error {
    Error::not_found(format!("there is no memory {id} in this project")).with_code("memory_not_found")
}

pub(crate) async fn get(deps: &Deps, scope: &Scope, id: MemoryId) -> Result<Memory> {
    let ctx = deps.ctx(scope)?;
    let memory = deps.relational.get(&ctx, &[id]).await?.into_iter().next().flatten();
    memory.filter(|m| !m.is_expired(deps.clock.now())).ok_or_else(|| missing(id))
}

pub(crate) async fn history(deps: &Deps, scope: &Scope, id: MemoryId) -> Result<Vec<MemoryVersion>> {
    let ctx = deps.ctx(scope)?;
    let versions = deps.relational.history(&ctx, id).await?;
    match versions.last() {
        Some(last) if !last.memory.is_expired(deps.clock.now()) => Ok(versions),
        _ => Err(missing(id)),
    }
}

/// The size of a page within its bounds.
pub(crate) fn page_size(limit: i64) -> Result<usize> {
    let size = usize::try_from(limit).ok().filter(|n| (1..=PAGE_MAX).contains(n));
    size.ok_or_else(|| Error::invalid(format!("limit must be a whole number from 1 to {PAGE_MAX}")))
}

pub(crate) async fn list(deps: &Deps, scope: &Scope, options: ListOptions) -> Result<Page> {
    let ctx = deps.ctx(scope)?;
    let limit = page_size(options.limit)?;
    let mut all = Vec::new();
    if let Some(layer) = options.layer {
        all.push(Filter::parse(&serde_json::json!({ "layer": layer }))?);
    }
    for tag in check_tags(options.tags.unwrap_or_default())? {
        all.push(Filter::parse(&serde_json::json!({ "tags": { "contains": tag } }))?);
    }
    all.extend(options.filter.map(|f| Filter::parse(&f)).transpose()?.filter(|f| !f.is_trivial()));
    let filter = if all.is_empty() { None } else { Some(Filter::And(all)) };
    page_of(deps, &ctx, filter, options.cursor.as_deref(), limit).await
}

/// A page of what matches and has not expired.
pub(super) async fn page_of(
    deps: &Deps,
    ctx: &Ctx,
    filter: Option<Filter>,
    cursor: Option<&str>,
    limit: usize,
) -> Result<Page> {
    let after = cursor.map(Cursor::decode).transpose()?;
    let now = deps.clock.now();
    let mut scan = Scan { filter, after, limit };
    let mut items: Vec<Memory> = Vec::with_capacity(limit.min(64));
    loop {
        let page = deps.relational.scan(ctx, &scan).await?;
        let Some(last) = page.last() else { return Ok(Page { items, next_cursor: None }) };
        scan.after = Some(Cursor(last.id));
        let full = page.len() == limit;
        for memory in page.into_iter().filter(|m| !m.is_expired(now)) {
            if items.len() == limit {
                let next_cursor = items.last().map(|m| Cursor(m.id).encode());
                return Ok(Page { items, next_cursor });
            }
            items.push(memory);
        }
        if !full {
            return Ok(Page { items, next_cursor: None });
        }
    }
}
