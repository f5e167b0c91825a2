//! The parts of Qdrant's answers that are used.

use super::client::{Answer, Call, Client};
use rae_core::{Error, MemoryId, Result, model::VectorHit, ports::Watermark};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::time::Duration;
use uuid::Uuid;

/// `GET /collections/{name}`.
#[derive(Deserialize)]
pub(super) struct Info {
    config: Config,
    payload_schema: Map<String, Value>,
}

#[derive(Deserialize)]
struct Config {
    params: Params,
}

#[derive(Deserialize)]
struct Params {
    vectors: Vectors,
}

#[derive(Deserialize)]
struct Vectors {
    size: usize,
    distance: String,
}

impl Info {
    pub fn fits(&self, dim: usize) -> bool {
        let vectors = &self.config.params.vectors;
        vectors.size == dim && vectors.distance == "Cosine"
    }

    pub fn has_index(&self, field: &str) -> bool {
        self.payload_schema.contains_key(field)
    }
}

/// `POST /collections/{name}/points/query`.
#[derive(Deserialize)]
pub(super) struct Points {
    points: Vec<Point>,
}

#[derive(Deserialize)]
struct Point {
    id: Uuid,
    score: f32,
    payload: Option<Memory>,
}

#[derive(Deserialize)]
struct Memory {
    memory: Uuid,
}

impl Points {
    /// Memories with their cosines.
    pub fn hits(self) -> Result<Vec<VectorHit>> {
        let hit = |point: Point| {
            let memory = point.payload.ok_or_else(|| damaged("a point of Qdrant names no memory"))?;
            Ok(VectorHit { id: MemoryId(memory.memory), cosine: cosine(point.score) })
        };
        self.points.into_iter().map(hit).collect()
    }

    /// Points with their cosines.
    pub fn scores(self) -> impl Iterator<Item = (Uuid, f32)> {
        self.points.into_iter().map(|point| (point.id, cosine(point.score)))
    }
}

/// Rounding may go past the end.
fn cosine(score: f32) -> f32 {
    score.clamp(-1.0, 1.0)
}

/// `POST /collections/{name}/points/count`.
#[derive(Deserialize)]
pub(super) struct Count {
    pub count: usize,
}

/// What became of a write.
#[derive(Deserialize)]
pub(super) struct Updated {
    status: String,
}

impl Updated {
    pub fn is_completed(&self) -> bool {
        self.status == "completed"
    }
}

/// `POST /collections/{name}/points`, for the watermark.
#[derive(Deserialize)]
pub(super) struct Mark {
    payload: MarkPayload,
}

#[derive(Deserialize)]
struct MarkPayload {
    applied: String,
    settled: String,
}

impl Mark {
    pub fn watermark(&self) -> Result<Watermark> {
        let number = |text: &String| text.parse().map_err(|_| damaged("a watermark on Qdrant is no number"));
        Ok(Watermark { applied: number(&self.payload.applied)?, settled: number(&self.payload.settled)? })
    }
}

fn damaged(what: &str) -> Error {
    Error::corrupt(format!("{what}; delete the collection, and it is written anew")).with_code("vectors_answer")
}

/// `GET /`.
#[derive(Deserialize)]
struct Root {
    version: String,
}

impl Client {
    /// Major and minor version of the server.
    pub async fn version(&self, limit: Duration) -> Result<(u64, u64)> {
        let call = Call { method: Method::GET, path: "/", body: None, limit, items_bytes: 0 };
        let not_ours =
            || Error::unsupported("QDRANT_URL leads to something that is not Qdrant").with_code("qdrant_version");
        let Answer::Got(root) = self.call::<Root>(call).await? else { return Err(not_ours()) };
        let mut numbers = root.version.split('.').map(|part| part.parse().ok());
        match (numbers.next().flatten(), numbers.next().flatten()) {
            (Some(major), Some(minor)) => Ok((major, minor)),
            _ => Err(not_ours()),
        }
    }
}
