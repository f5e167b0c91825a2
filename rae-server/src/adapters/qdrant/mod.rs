//! The vectors on a Qdrant server, 1.11 or newer, over its REST interface.
//!
//! One collection an embedder, cosine. The tenant is the partition key; each scope has a field of its own to be found by, and
//! filters compare for equality alone. The engine feeds it by the change log ([`VectorFeed::Outbox`]); the watermark of a
//! scope is a point of the same collection, so that it is lost and restored with the vectors it speaks of.
//!
//! Losing Qdrant costs the dense part of a recall. Nothing here is the truth: a collection that is deleted is written anew.
//! Calls run as tasks of the Tokio runtime it was opened in.

mod client;
mod names;
mod wire;

use async_trait::async_trait;
use client::{Answer, Call, Client, Envelope, closed};
use names::Names;
use parking_lot::Mutex;
use rae_core::{
    Ctx, Error, ErrorKind, MemoryId, Result,
    limits::DIM_MAX,
    model::{VectorFilter, VectorHit, VectorPoint},
    ports::{Collection, VectorCapability, VectorFeed, VectorStore, Watermark},
};
use reqwest::{Method, Url};
use serde_json::{Value, json};
use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use uuid::Uuid;

/// Oldest version that can be used: the first with a partition key.
const OLDEST: (u64, u64) = (1, 11);
/// Longest time of a read, and of a write.
const READ: Duration = Duration::from_secs(3);
const WRITE: Duration = Duration::from_secs(10);
/// Points and bytes of one request.
const REQUEST_POINTS: usize = 256;
const REQUEST_BYTES: usize = 8 << 20;
/// Ids named in one filter.
const FILTER_IDS: usize = 4_096;
/// With more ids allowed than this, the nearest of all are tried first.
const ALLOWED_MANY: usize = 4 * FILTER_IDS;
/// Answers asked for without knowing how many there are.
const ANSWERS: usize = 4_096;
/// How many more than asked for are looked at where they are equally near.
const TIES: usize = 1_024;
/// Bytes of one point in an answer.
const ITEM_BYTES: usize = 512;

/// Where Qdrant is. `Debug` shows neither key nor path.
#[derive(Clone)]
pub struct QdrantSettings {
    url: String,
    shown: String,
    key: Option<String>,
    prefix: String,
}

impl QdrantSettings {
    /// Reads `http://host:6333` or `https://...`, and the key where there is one. InvalidInput (`invalid_qdrant_url`); the
    /// message never repeats the URL.
    pub fn new(url: &str, key: Option<&str>) -> Result<Self> {
        let bad = || {
            Error::invalid("QDRANT_URL must be http://host:6333 or https://host:6333; a key goes into QDRANT_API_KEY")
                .with_code("invalid_qdrant_url")
        };
        let parsed = Url::parse(url).map_err(|_| bad())?;
        let plain = parsed.username().is_empty() && parsed.password().is_none();
        let bare = parsed.query().is_none() && parsed.fragment().is_none();
        let host = parsed.host_str().filter(|host| !host.is_empty()).ok_or_else(bad)?;
        if !matches!(parsed.scheme(), "http" | "https") || !plain || !bare {
            return Err(bad());
        }
        let port = parsed.port_or_known_default().unwrap_or_default();
        Ok(Self {
            shown: format!("{}://{host}:{port}", parsed.scheme()),
            url: parsed.as_str().trim_end_matches('/').to_owned(),
            key: key.filter(|key| !key.is_empty()).map(str::to_owned),
            prefix: "rae".to_owned(),
        })
    }

    /// What the names of collections begin with; default `rae`. Stores are apart without it: it is for what is no store.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.prefix);
        self
    }

    /// Whether the key would go over the network as it is.
    pub fn shows_its_key(&self) -> bool {
        let here = ["http://localhost:", "http://127.", "http://[::1]:"];
        self.key.is_some() && self.shown.starts_with("http:") && !here.iter().any(|h| self.shown.starts_with(h))
    }
}

impl fmt::Debug for QdrantSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QdrantSettings").field("server", &self.shown).finish_non_exhaustive()
    }
}

/// The vector store. See the module's documentation.
pub struct QdrantStore {
    client: Client,
    shown: String,
    prefix: String,
    version_seen: AtomicBool,
    /// Names of collections that are known to be there.
    ensured: Mutex<HashSet<String>>,
    closed: AtomicBool,
}

impl fmt::Debug for QdrantStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QdrantStore").field("server", &self.shown).finish_non_exhaustive()
    }
}

/// A scope of a collection, named as on the server.
struct Space {
    collection: String,
    path: String,
    names: Names,
}

impl QdrantStore {
    /// Prepares the store; the server is asked when it is first used, so that a service starts without it. Must be called
    /// inside a Tokio runtime with worker threads. Errors: Unsupported (`no_runtime`), InvalidInput.
    pub fn open(settings: &QdrantSettings) -> Result<Self> {
        Ok(Self {
            client: Client::new(settings, WRITE)?,
            shown: settings.shown.clone(),
            prefix: settings.prefix.clone(),
            version_seen: AtomicBool::new(false),
            ensured: Mutex::default(),
            closed: AtomicBool::new(false),
        })
    }

    fn space(&self, ctx: &Ctx, collection: &Collection) -> Space {
        let collection = names::collection(&self.prefix, collection);
        Space { path: format!("/collections/{collection}"), collection, names: Names::of(ctx.scope()) }
    }

    fn start(&self, ctx: &Ctx) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(closed());
        }
        ctx.check()
    }

    /// One request; a collection that is missing is an error.
    async fn ask<T>(&self, ctx: &Ctx, space: &Space, method: Method, tail: &str, body: Value, items: usize) -> Result<T>
    where
        T: serde::de::DeserializeOwned + Send + 'static,
    {
        let longest = if tail.contains("wait=true") { WRITE } else { READ };
        let limit = ctx.remaining().map_or(longest, |left| left.min(longest));
        let path = format!("{}{tail}", space.path);
        let call =
            Call { method, path: &path, body: Some(&body), limit, items_bytes: items.saturating_mul(ITEM_BYTES) };
        match self.client.call::<Envelope<T>>(call).await? {
            Answer::Got(answer) => Ok(answer.result),
            Answer::Missing => {
                // Whoever feeds it makes it anew.
                self.ensured.lock().remove(&space.collection);
                Err(Error::unavailable("Qdrant does not have the collection; it is written anew")
                    .with_code("no_collection"))
            }
            Answer::Exists => {
                Err(Error::unavailable("Qdrant is changing the collection").with_code("no_vectors").temporary())
            }
        }
    }

    async fn check_version(&self, ctx: &Ctx) -> Result<()> {
        if self.version_seen.load(Ordering::Relaxed) {
            return Ok(());
        }
        let limit = ctx.remaining().map_or(READ, |left| left.min(READ));
        let version = self.client.version(limit).await?;
        if version < OLDEST {
            let (major, minor) = OLDEST;
            return Err(Error::unsupported(format!(
                "this Qdrant has version {}.{}; {major}.{minor} or newer is needed",
                version.0, version.1
            ))
            .with_code("qdrant_version"));
        }
        self.version_seen.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// What is there under the name, checked; `false` where there is nothing.
    async fn inspect(&self, ctx: &Ctx, space: &Space, collection: &Collection) -> Result<Option<wire::Info>> {
        let limit = ctx.remaining().map_or(READ, |left| left.min(READ));
        let call = Call { method: Method::GET, path: &space.path, body: None, limit, items_bytes: 0 };
        match self.client.call::<Envelope<wire::Info>>(call).await? {
            Answer::Got(found) if found.result.fits(collection.dim) => Ok(Some(found.result)),
            Answer::Got(_) => Err(Error::conflict(format!(
                "Qdrant's collection {} has another size or distance than {} needs; delete it, and it is written anew",
                space.collection, collection.embedder
            ))
            .with_code("collection_differs")),
            Answer::Missing | Answer::Exists => Ok(None),
        }
    }

    async fn create(&self, ctx: &Ctx, space: &Space, dim: usize) -> Result<()> {
        // Graphs within the tenants' parts alone: nobody searches across tenants.
        let body = json!({
            "vectors": { "size": dim, "distance": "Cosine" },
            "hnsw_config": { "m": 0, "payload_m": 16 },
        });
        let limit = ctx.remaining().map_or(WRITE, |left| left.min(WRITE));
        let call = Call { method: Method::PUT, path: &space.path, body: Some(&body), limit, items_bytes: 0 };
        // Another process may have been quicker; some versions call that a wrong request.
        match self.client.call::<Envelope<bool>>(call).await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == "vectors_refused" => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn nearest(
        &self,
        ctx: &Ctx,
        space: &Space,
        vector: &[f32],
        filter: &Value,
        k: usize,
    ) -> Result<Vec<VectorHit>> {
        let (mut limit, mut all) = (k.saturating_add(1), usize::MAX);
        if limit > ANSWERS {
            let body = json!({ "filter": filter, "exact": true });
            let counted: wire::Count = self.ask(ctx, space, Method::POST, "/points/count", body, 0).await?;
            all = counted.count;
        }
        loop {
            limit = limit.min(all);
            if limit == 0 {
                return Ok(Vec::new());
            }
            let body = json!({
                "query": vector, "filter": filter, "limit": limit,
                "with_payload": [names::MEMORY], "with_vector": false,
            });
            let found: wire::Points = self.ask(ctx, space, Method::POST, "/points/query", body, limit).await?;
            let mut hits = found.hits()?;
            hits.sort_unstable_by(|a, b| b.cosine.total_cmp(&a.cosine).then(a.id.cmp(&b.id)));
            let whole = hits.len() < limit || limit == all || limit >= k.saturating_add(TIES);
            // Of equally near ones the least ids come; whether those are here is sure once a farther one is.
            let cut = k.checked_sub(1).and_then(|last| hits.get(last)).map(|hit| hit.cosine);
            if whole || cut.is_none_or(|cut| hits.last().is_some_and(|last| last.cosine < cut)) {
                hits.truncate(k);
                return Ok(hits);
            }
            limit = limit.saturating_mul(2).min(k.saturating_add(TIES));
        }
    }

    async fn nearest_of(
        &self,
        ctx: &Ctx,
        space: &Space,
        vector: &[f32],
        only: &HashSet<MemoryId>,
        k: usize,
    ) -> Result<Vec<VectorHit>> {
        if only.len() > ALLOWED_MANY {
            let near = self.nearest(ctx, space, vector, &space.names.filter(None), ANSWERS.max(k)).await?;
            let mut allowed: Vec<VectorHit> = near.into_iter().filter(|hit| only.contains(&hit.id)).collect();
            if allowed.len() >= k {
                allowed.truncate(k);
                return Ok(allowed);
            }
        }
        let points: Vec<Uuid> = only.iter().map(|id| space.names.point(*id)).collect();
        let mut best = Vec::new();
        for page in points.chunks(FILTER_IDS) {
            best.extend(self.nearest(ctx, space, vector, &space.names.filter(Some(page)), k).await?);
            best.sort_unstable_by(|a: &VectorHit, b| b.cosine.total_cmp(&a.cosine).then(a.id.cmp(&b.id)));
            best.truncate(k);
        }
        Ok(best)
    }

    /// Sends operations that the server does one after the other, and waits for the last.
    async fn update(&self, ctx: &Ctx, space: &Space, operations: Vec<Value>) -> Result<()> {
        let (count, body) = (operations.len(), json!({ "operations": operations }));
        let tail = "/points/batch?wait=true&ordering=strong";
        let done: Vec<wire::Updated> = self.ask(ctx, space, Method::POST, tail, body, count).await?;
        if done.len() != count || done.iter().any(|update| !update.is_completed()) {
            return Err(Error::unavailable("Qdrant did not finish a write in time")
                .with_code("no_vectors")
                .temporary());
        }
        Ok(())
    }
}

/// InvalidInput unless the vector can be compared: right length, finite, not all zero.
fn check_vector(collection: &Collection, vector: &[f32]) -> Result<()> {
    let bad = |what: &str, code: &'static str| Err(Error::invalid(what.to_owned()).with_code(code));
    if vector.len() != collection.dim {
        return bad("the vector has another length than its embedder gives", "invalid_dimension");
    }
    if vector.iter().any(|x| !x.is_finite()) {
        return bad("a vector must not hold NaN or infinity", "invalid_vector");
    }
    if vector.iter().all(|x| *x == 0.0) {
        return bad("a vector must not be all zeros: a text without one has no vector", "invalid_vector");
    }
    Ok(())
}

#[async_trait]
impl VectorStore for QdrantStore {
    fn capability(&self) -> VectorCapability {
        VectorCapability::new(VectorFeed::Outbox, false).without_whole_writes()
    }

    async fn ensure(&self, ctx: &Ctx, collection: &Collection) -> Result<()> {
        self.start(ctx)?;
        if collection.dim == 0 || collection.dim > DIM_MAX {
            return Err(Error::invalid(format!("an embedder's dimension must be 1 to {DIM_MAX}"))
                .with_code("invalid_dimension"));
        }
        let space = self.space(ctx, collection);
        if self.ensured.lock().contains(&space.collection) {
            return Ok(());
        }
        self.check_version(ctx).await?;
        let info = match self.inspect(ctx, &space, collection).await? {
            Some(info) => info,
            None => {
                self.create(ctx, &space, collection.dim).await?;
                let made = self.inspect(ctx, &space, collection).await?;
                made.ok_or_else(|| Error::unavailable("Qdrant made no collection").with_code("no_collection"))?
            }
        };
        for (field, schema) in [
            (names::TENANT, json!({ "type": "keyword", "is_tenant": true })),
            (names::SCOPE, json!({ "type": "keyword" })),
        ] {
            if !info.has_index(field) {
                let body = json!({ "field_name": field, "field_schema": schema });
                let done: wire::Updated = self.ask(ctx, &space, Method::PUT, "/index?wait=true", body, 0).await?;
                if !done.is_completed() {
                    return Err(Error::unavailable("Qdrant is still making an index").with_code("no_vectors"));
                }
            }
        }
        self.ensured.lock().insert(space.collection);
        Ok(())
    }

    async fn write(
        &self,
        ctx: &Ctx,
        collection: &Collection,
        upsert: Vec<VectorPoint>,
        delete: &[MemoryId],
        watermark: Option<Watermark>,
    ) -> Result<()> {
        self.start(ctx)?;
        upsert.iter().try_for_each(|point| check_vector(collection, &point.vector))?;
        let space = self.space(ctx, collection);
        // A number takes at most some 15 signs.
        let page = (REQUEST_BYTES / (collection.dim * 16 + 256)).clamp(1, REQUEST_POINTS);
        let mut operations: Vec<Value> = Vec::new();
        for points in upsert.chunks(page) {
            let points: Vec<Value> = points
                .iter()
                .map(|p| json!({ "id": space.names.point(p.id), "vector": p.vector, "payload": space.names.payload(p.id) }))
                .collect();
            operations.push(json!({ "upsert": { "points": points } }));
        }
        for ids in delete.chunks(FILTER_IDS) {
            let points: Vec<Uuid> = ids.iter().map(|id| space.names.point(*id)).collect();
            operations.push(json!({ "delete": { "points": points } }));
        }
        if let Some(Watermark { applied, settled }) = watermark {
            let mut vector = vec![0.0; collection.dim];
            vector.first_mut().into_iter().for_each(|x| *x = 1.0);
            let payload = space.names.mark_payload(applied, settled);
            let point = json!({ "id": space.names.mark(), "vector": vector, "payload": payload });
            operations.push(json!({ "upsert": { "points": [point] } }));
        }
        // The last of the points and what follows it go together; the watermark is the last of all.
        while operations.len() > 3 {
            let first = operations.remove(0);
            self.update(ctx, &space, vec![first]).await?;
        }
        if operations.is_empty() { Ok(()) } else { self.update(ctx, &space, operations).await }
    }

    async fn query(
        &self,
        ctx: &Ctx,
        collection: &Collection,
        vector: &[f32],
        filter: &VectorFilter,
        k: usize,
    ) -> Result<Vec<VectorHit>> {
        self.start(ctx)?;
        check_vector(collection, vector)?;
        if k == 0 {
            return Ok(Vec::new());
        }
        let space = self.space(ctx, collection);
        match filter.only.as_deref() {
            None => self.nearest(ctx, &space, vector, &space.names.filter(None), k).await,
            Some(only) => self.nearest_of(ctx, &space, vector, only, k).await,
        }
    }

    async fn score(
        &self,
        ctx: &Ctx,
        collection: &Collection,
        vector: &[f32],
        ids: &[MemoryId],
    ) -> Result<Vec<Option<f32>>> {
        self.start(ctx)?;
        check_vector(collection, vector)?;
        let space = self.space(ctx, collection);
        let asked: HashMap<Uuid, MemoryId> = ids.iter().map(|id| (space.names.point(*id), *id)).collect();
        let mut found: HashMap<MemoryId, f32> = HashMap::with_capacity(asked.len());
        let points: Vec<Uuid> = asked.keys().copied().collect();
        for page in points.chunks(FILTER_IDS) {
            let body = json!({
                "query": vector, "filter": space.names.filter(Some(page)), "limit": page.len(),
                "params": { "exact": true }, "with_payload": false, "with_vector": false,
            });
            let scored: wire::Points = self.ask(ctx, &space, Method::POST, "/points/query", body, page.len()).await?;
            for (point, cosine) in scored.scores() {
                found.extend(asked.get(&point).map(|id| (*id, cosine)));
            }
        }
        Ok(ids.iter().map(|id| found.get(id).copied()).collect())
    }

    async fn watermark(&self, ctx: &Ctx, collection: &Collection) -> Result<Watermark> {
        self.start(ctx)?;
        let space = self.space(ctx, collection);
        let body = json!({ "ids": [space.names.mark()], "with_payload": true, "with_vector": false });
        let found: Vec<wire::Mark> = self.ask(ctx, &space, Method::POST, "/points", body, 1).await?;
        found.first().map_or(Ok(Watermark::default()), wire::Mark::watermark)
    }

    /// Nothing is kept beside the server.
    async fn loaded(&self, _: &Ctx, _: &Collection, _: u64) -> Result<()> {
        Ok(())
    }

    /// The server's business: it writes its segments anew once enough of them was deleted.
    async fn purge(&self, _: &Ctx, _: &Collection) -> Result<()> {
        Ok(())
    }

    /// The process holds nothing of a scope.
    async fn release(&self, _: &Ctx, _: &Collection) -> Result<()> {
        Ok(())
    }

    async fn drop_scope(&self, ctx: &Ctx, collection: &Collection) -> Result<()> {
        self.start(ctx)?;
        let space = self.space(ctx, collection);
        // The watermark first: without it the scope is written anew, whatever was left of it.
        let operations = vec![
            json!({ "delete": { "points": [space.names.mark()] } }),
            json!({ "delete": { "filter": space.names.filter(None) } }),
        ];
        match self.update(ctx, &space, operations).await {
            // Where there is no collection there is no scope.
            Err(error) if error.kind() == ErrorKind::Unavailable && error.code() == "no_collection" => Ok(()),
            done => done,
        }
    }

    async fn close(&self) -> Result<()> {
        self.closed.store(true, Ordering::Release);
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test reports by panicking
mod tests {
    use super::*;

    #[test]
    fn neither_errors_nor_debug_show_the_key_and_only_plain_addresses_are_taken() {
        let settings = QdrantSettings::new("https://db.example:6333/base/", Some("s3cret")).unwrap();
        let shown = format!("{settings:?}");
        assert!(shown.contains("https://db.example:6333") && !shown.contains("s3cret"), "{shown}");
        assert!(!settings.shows_its_key());
        assert!(QdrantSettings::new("http://db.example:6333", Some("k")).unwrap().shows_its_key());
        assert!(!QdrantSettings::new("http://127.0.0.1:6333", Some("k")).unwrap().shows_its_key());
        for wrong in ["s3cret", "ftp://h", "http://u:s3cret@h:6333", "http://h:6333?api-key=s3cret", "http://"] {
            let error = QdrantSettings::new(wrong, None).unwrap_err();
            assert!(!format!("{error:?} {error}").contains("s3cret"), "{wrong}");
            assert_eq!(error.code(), "invalid_qdrant_url");
        }
    }
}
