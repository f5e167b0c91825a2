//! The verbs of the knowledge graph, on a server.

use super::{
    Remote,
    transport::Request,
    verbs::{fields, named},
};
use crate::{
    error::Result,
    graph::{EntityPage, Neighborhood, Path, Subgraph},
    ops::{EntitiesOptions, NeighborsOptions, PathOptions, Snapshot, SubgraphOptions},
};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Found {
    path: Option<Path>,
}

#[derive(Deserialize)]
struct Snapshots {
    snapshots: Vec<Snapshot>,
}

impl Remote {
    /// As [`crate::Rae::entities`].
    pub async fn entities(&self, options: EntitiesOptions) -> Result<EntityPage> {
        named("entities", async {
            let mut query = vec![("limit", options.limit.to_string())];
            query.extend(options.query.map(|text| ("query", text)));
            query.extend(options.cursor.map(|cursor| ("cursor", cursor)));
            query.extend(options.at.map(|at| ("at", at.to_string())));
            query.extend(options.snapshot.map(|label| ("snapshot", label)));
            self.json(Request { query, ..Request::get("v1/graph/entities") }).await
        })
        .await
    }

    /// As [`crate::Rae::neighbors`].
    pub async fn neighbors(&self, entity: &str, options: NeighborsOptions) -> Result<Neighborhood> {
        named("neighbors", async {
            let mut body = fields(&options)?;
            body.insert("entity".to_owned(), entity.into());
            self.json(Request::post("v1/graph/neighbors", &body)?.reads()).await
        })
        .await
    }

    /// As [`crate::Rae::path`].
    pub async fn path(&self, a: &str, b: &str, options: PathOptions) -> Result<Option<Path>> {
        named("path", async {
            let mut body = fields(&options)?;
            body.extend([("a".to_owned(), a.into()), ("b".to_owned(), b.into())]);
            let Found { path } = self.json(Request::post("v1/graph/path", &body)?.reads()).await?;
            Ok(path)
        })
        .await
    }

    /// As [`crate::Rae::subgraph`].
    pub async fn subgraph(&self, entities: &[String], options: SubgraphOptions) -> Result<Subgraph> {
        named("subgraph", async {
            let mut body = fields(&options)?;
            body.insert("entities".to_owned(), json!(entities));
            self.json(Request::post("v1/graph/subgraph", &body)?.reads()).await
        })
        .await
    }

    /// As [`crate::Rae::snapshot`]. It is not sent again when a connection breaks: a snapshot that was taken would be a Conflict.
    pub async fn snapshot(&self, label: &str) -> Result<Snapshot> {
        let body = json!({ "label": label });
        named("snapshot", async { self.json(Request::post("v1/graph/snapshots", &body)?).await }).await
    }

    /// As [`crate::Rae::snapshots`].
    pub async fn snapshots(&self) -> Result<Vec<Snapshot>> {
        named("snapshots", async {
            let Snapshots { snapshots } = self.json(Request::get("v1/graph/snapshots")).await?;
            Ok(snapshots)
        })
        .await
    }
}
