//! The arguments of the verbs of the knowledge graph.

use super::input::{Fields, integer, text, texts, time};
use crate::{
    error::Result,
    ops::{EntitiesOptions, NeighborsOptions, PathOptions, SubgraphOptions},
};
use serde_json::{Map, Value};

/// What `entities` takes.
pub fn entities(fields: Map<String, Value>) -> Result<EntitiesOptions> {
    let (mut f, default) = (Fields::new(fields), EntitiesOptions::default());
    let options = EntitiesOptions {
        query: f.optional("query", text)?,
        limit: f.optional("limit", integer)?.unwrap_or(default.limit),
        cursor: f.optional("cursor", text)?,
        at: f.optional("at", time)?,
        snapshot: f.optional("snapshot", text)?,
    };
    f.finish()?;
    Ok(options)
}

/// What `neighbors` takes: the entity, and the rest.
pub fn neighbors(fields: Map<String, Value>) -> Result<(String, NeighborsOptions)> {
    let (mut f, default) = (Fields::new(fields), NeighborsOptions::default());
    let entity = f.required("entity", text)?;
    let options = NeighborsOptions {
        depth: f.optional("depth", integer)?.unwrap_or(default.depth),
        relation: f.optional("relation", text)?,
        limit: f.optional("limit", integer)?.unwrap_or(default.limit),
        at: f.optional("at", time)?,
        snapshot: f.optional("snapshot", text)?,
    };
    f.finish()?;
    Ok((entity, options))
}

/// What `path` takes: its ends, and the rest.
pub fn path(fields: Map<String, Value>) -> Result<(String, String, PathOptions)> {
    let mut f = Fields::new(fields);
    let (a, b) = (f.required("a", text)?, f.required("b", text)?);
    let options = PathOptions { at: f.optional("at", time)?, snapshot: f.optional("snapshot", text)? };
    f.finish()?;
    Ok((a, b, options))
}

/// What `subgraph` takes: the entities, and the rest.
pub fn subgraph(fields: Map<String, Value>) -> Result<(Vec<String>, SubgraphOptions)> {
    let (mut f, default) = (Fields::new(fields), SubgraphOptions::default());
    let entities = f.required("entities", texts)?;
    let options = SubgraphOptions {
        depth: f.optional("depth", integer)?.unwrap_or(default.depth),
        limit: f.optional("limit", integer)?.unwrap_or(default.limit),
        at: f.optional("at", time)?,
        snapshot: f.optional("snapshot", text)?,
    };
    f.finish()?;
    Ok((entities, options))
}

/// What `snapshot` takes: its label.
pub fn snapshot(fields: Map<String, Value>) -> Result<String> {
    let mut f = Fields::new(fields);
    let label = f.required("label", text)?;
    f.finish()?;
    Ok(label)
}
