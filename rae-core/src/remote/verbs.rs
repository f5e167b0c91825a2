//! The verbs: each is a request and the reading of its answer. What can be found wrong without a store is found here, in the words
//! of the verb itself.

use super::{Remote, transport::Request};
use crate::{
    error::{Error, Result},
    ingest::{MemoryUpdate, NewMemory, NewRelation},
    model::{Memory, MemoryId, MemoryVersion, Timestamp},
    ops::{
        self, Audit, AuditOptions, ChangePage, ChangesOptions, Context, ContextOptions, ErasureOptions, ErasureReport,
        EventsOptions, Finding, Forget, Forgotten, Hits, JobPage, JobsOptions, ListOptions, Maintained, Page,
        RecallOptions, Receipt, RelationsOptions, Stats, Undone,
    },
    ports::EmbedRole,
    wire,
};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// Most items of one request: those of a transaction.
const ITEMS_MAX: usize = crate::limits::TRANSACTION_ITEMS_MAX;
/// Bytes of JSON after which a request is full; servers take 16 MiB.
const BYTES_MAX: usize = 8 << 20;

#[derive(Deserialize)]
struct Receipts {
    receipts: Vec<Receipt>,
}

#[derive(Deserialize)]
struct Vectors {
    vectors: Vec<Option<Vec<f32>>>,
}

#[derive(Deserialize)]
struct Vector {
    vector: Option<Vec<f32>>,
}

#[derive(Deserialize)]
struct Findings {
    findings: Vec<Finding>,
}

#[derive(Deserialize)]
struct Items {
    items: Vec<Value>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct History {
    versions: Vec<Value>,
}

impl Remote {
    /// Calls a verb with its arguments in JSON, as [`wire::call`] does on an open store.
    pub async fn call(&self, verb: &str, args: Map<String, Value>) -> Result<Value> {
        wire::call_remote(self, verb, args).await
    }

    /// As [`crate::Rae::remember`]. Without an idempotency key it gets one, so that it can be sent again when a connection breaks; an error
    /// of a call that may have been done all the same has the key in its details.
    pub async fn remember(&self, new: NewMemory) -> Result<Receipt> {
        named("remember", async {
            ops::check_items(std::slice::from_ref(&new))?;
            let key = new.idempotency_key.clone().or_else(|| Some(uuid::Uuid::new_v4().to_string()));
            let body = fields(&NewMemory { idempotency_key: key.clone(), ..new })?;
            self.json(Request { key, ..Request::post("v1/memories", &body)? }).await
        })
        .await
    }

    /// As [`crate::Rae::remember_many`]: all are checked before the first is sent, then one request per at most 1,000 items.
    pub async fn remember_many(&self, items: Vec<NewMemory>) -> Result<Vec<Receipt>> {
        named("remember_many", async {
            ops::check_items(&items)?;
            let mut receipts = Vec::with_capacity(items.len());
            let items = items.iter().map(text_of).collect::<Result<Vec<_>>>()?;
            let mut rest = items.as_slice();
            loop {
                let (now, later) = rest.split_at(fitting(rest));
                rest = later;
                let body = format!("{{\"items\":[{}]}}", now.join(","));
                let sent = self.json(Request::post_text("v1/memories/batch", body)).await;
                let sent = sent.and_then(|Receipts { receipts: more }| {
                    let error = || super::answer::foreign("it gave another number of receipts than of items");
                    if more.len() == now.len() { Ok(more) } else { Err(super::answer::may_be_done(error(), None)) }
                });
                match sent {
                    Ok(mut more) => receipts.append(&mut more),
                    Err(error) => return Err(with_receipts(error, receipts)),
                }
                if rest.is_empty() {
                    return Ok(receipts);
                }
            }
        })
        .await
    }

    /// As [`crate::Rae::recall`].
    pub async fn recall(&self, query: &str, options: RecallOptions) -> Result<Hits> {
        named("recall", async {
            finite("min_score", options.min_score)?;
            finite("graph_weight", options.graph_weight)?;
            let mut body = fields(&options)?;
            body.insert("query".to_owned(), query.into());
            self.json(Request::post("v1/memories/recall", &body)?.reads()).await
        })
        .await
    }

    /// As [`crate::Rae::context`].
    pub async fn context(&self, query: Option<&str>, options: ContextOptions) -> Result<Context> {
        named("context", async {
            finite("min_score", options.min_score)?;
            let mut body = fields(&options)?;
            body.extend(query.map(|query| ("query".to_owned(), query.into())));
            self.json(Request::post("v1/context", &body)?.reads()).await
        })
        .await
    }

    /// As [`crate::Rae::get`].
    pub async fn get(&self, id: MemoryId) -> Result<Memory> {
        named("get", async { read(self.json(Request::get(format!("v1/memories/{id}"))).await?) }).await
    }

    /// As [`crate::Rae::list`].
    pub async fn list(&self, options: ListOptions) -> Result<Page> {
        named("list", async {
            ops::page_size(options.limit)?;
            let mut query = vec![("limit", options.limit.to_string())];
            query.extend(options.cursor.map(|cursor| ("cursor", cursor)));
            query.extend(options.layer.map(|layer| ("layer", layer.as_str().to_owned())));
            query.extend(options.tags.into_iter().flatten().map(|tag| ("tags", tag)));
            query.extend(options.filter.map(|filter| ("filter", filter.to_string())));
            page(self, Request { query, ..Request::get("v1/memories") }).await
        })
        .await
    }

    /// As [`crate::Rae::update`].
    pub async fn update(&self, id: MemoryId, update: MemoryUpdate) -> Result<Receipt> {
        named("update", async {
            for (name, value) in [("importance", update.importance), ("confidence", update.confidence)] {
                finite(name, value)?;
            }
            finite("ttl", update.ttl.flatten())?;
            let request = Request::post(format!("v1/memories/{id}"), &wire::changes(&update)?)?;
            self.json(Request { method: Method::PATCH, ..request }).await
        })
        .await
    }

    /// As [`crate::Rae::history`].
    pub async fn history(&self, id: MemoryId) -> Result<Vec<MemoryVersion>> {
        named("history", async {
            let History { versions } = self.json(Request::get(format!("v1/memories/{id}/history"))).await?;
            versions.into_iter().map(|v| wire::read_version(v).map_err(super::answer::not_ours)).collect()
        })
        .await
    }

    /// As [`crate::Rae::forget`]. A tenant needs the operator's key.
    pub async fn forget(&self, what: Forget) -> Result<Forgotten> {
        named("forget", async {
            let erase = |body: Value| Request::post("v1/erasure", &body).map(Request::bulk);
            let request = match what {
                Forget::Id(id) => {
                    Request { method: Method::DELETE, writes: true, ..Request::get(format!("v1/memories/{id}")) }
                }
                Forget::Filter(filter) => erase(json!({ "filter": filter }))?,
                Forget::Scope(scope, target) => erase(json!({ "scope": scope.as_str(), "target": target }))?,
            };
            self.json(request).await
        })
        .await
    }

    /// As [`crate::Rae::verify_erasure`]. Unsupported with export files, which a server cannot read: the key that their ids are hashed
    /// with never leaves it.
    pub async fn verify_erasure(&self, receipt: &Value, exports: &[PathBuf]) -> Result<ErasureReport> {
        let options = ErasureOptions { exports: exports.to_vec(), ..ErasureOptions::default() };
        self.verify_erasure_with(receipt, &options).await
    }

    /// As [`crate::Rae::verify_erasure_with`]. A server looks for texts in the project, and never in the bytes of its files.
    pub async fn verify_erasure_with(&self, receipt: &Value, options: &ErasureOptions) -> Result<ErasureReport> {
        named("verify_erasure", async {
            if !options.exports.is_empty() {
                let text =
                    "a server reads no files of its callers; check export files with the store opened where it lies";
                return Err(Error::unsupported(text).with_code("no_files"));
            }
            let mut body = json!({ "receipt": receipt });
            if !options.texts.is_empty() {
                body["texts"] = json!(options.texts);
            }
            self.json(Request::post("v1/erasure/verify", &body)?.bulk().reads()).await
        })
        .await
    }

    /// As [`crate::Rae::feedback`].
    pub async fn feedback(&self, id: MemoryId, useful: bool) -> Result<Memory> {
        let body = json!({ "useful": useful });
        named("feedback", async {
            let answer = self.json(Request::post(format!("v1/memories/{id}/feedback"), &body)?).await?;
            read(answer).map_err(|e| super::answer::may_be_done(e, None))
        })
        .await
    }

    /// As [`crate::Rae::embed`], by the server's embedder.
    pub async fn embed(&self, texts: &[&str], role: EmbedRole) -> Result<Vec<Option<Vec<f32>>>> {
        named("embed", async {
            ops::check_texts(texts)?;
            let role = match role {
                EmbedRole::Document => "document",
                EmbedRole::Query => "query",
            };
            let mut vectors = Vec::with_capacity(texts.len());
            let written = texts.iter().map(text_of).collect::<Result<Vec<_>>>()?;
            let mut rest = written.as_slice();
            loop {
                let (now, later) = rest.split_at(fitting(rest));
                rest = later;
                let body = format!("{{\"role\":\"{role}\",\"texts\":[{}]}}", now.join(","));
                let answer: Vectors = self.json(Request::post_text("v1/embed", body).reads()).await?;
                vectors.extend(answer.vectors);
                if rest.is_empty() {
                    break;
                }
            }
            if vectors.len() == texts.len() {
                Ok(vectors)
            } else {
                Err(super::answer::foreign("it gave another number of vectors than of texts"))
            }
        })
        .await
    }

    /// As [`crate::Rae::vector`].
    pub async fn vector(&self, id: MemoryId) -> Result<Option<Vec<f32>>> {
        named("vector", async {
            let Vector { vector } = self.json(Request::get(format!("v1/memories/{id}/vector"))).await?;
            Ok(vector)
        })
        .await
    }

    /// As [`crate::Rae::relate`].
    pub async fn relate(&self, new: NewRelation) -> Result<Receipt> {
        named("relate", async {
            ops::check_relation(&new)?;
            self.json(Request::post("v1/graph/relations", &fields(&new)?)?).await
        })
        .await
    }

    /// As [`crate::Rae::relations`].
    pub async fn relations(&self, options: RelationsOptions) -> Result<Page> {
        named("relations", async {
            ops::page_size(options.limit)?;
            let mut query = vec![("limit", options.limit.to_string())];
            let given = [
                ("subject", options.subject),
                ("relation", options.relation),
                ("object", options.object),
                ("cursor", options.cursor),
            ];
            query.extend(given.into_iter().filter_map(|(name, value)| Some((name, value?))));
            page(self, Request { query, ..Request::get("v1/graph/relations") }).await
        })
        .await
    }

    /// As [`crate::Rae::stats`].
    pub async fn stats(&self) -> Result<Stats> {
        named("stats", self.json(Request::get("v1/stats"))).await
    }

    /// As [`crate::Rae::maintain`]. Another time than now needs the operator's key.
    pub async fn maintain(&self, now: Option<Timestamp>) -> Result<Maintained> {
        let body = json!({ "now": now });
        named("maintain", async { self.json(Request::post("v1/maintain", &body)?.bulk()).await }).await
    }

    /// As [`crate::Rae::audit`].
    pub async fn audit(&self, options: AuditOptions) -> Result<Audit> {
        named("audit", async {
            if options.fix {
                return self.json(Request::post("v1/audit", &options)?.bulk()).await;
            }
            let query = vec![("limit", options.limit.to_string())];
            self.json(Request { query, ..Request::get("v1/audit") }.bulk()).await
        })
        .await
    }

    /// As [`crate::Rae::changes`].
    pub async fn changes(&self, options: ChangesOptions) -> Result<ChangePage> {
        named("changes", async {
            ops::page_size(options.limit)?;
            let mut query = vec![("limit", options.limit.to_string())];
            query.extend(options.cursor.map(|cursor| ("cursor", cursor)));
            self.json(Request { query, ..Request::get("v1/changes") }).await
        })
        .await
    }

    /// As [`crate::Rae::undo`]. It may be sent again: what is undone is not undone twice.
    pub async fn undo(&self, id: uuid::Uuid) -> Result<Undone> {
        let body = json!({});
        named("undo", async { self.json(Request::post(format!("v1/changes/{id}/undo"), &body)?.reads()).await }).await
    }

    /// As [`crate::Rae::jobs`].
    pub async fn jobs(&self, options: JobsOptions) -> Result<JobPage> {
        named("jobs", async {
            options.check()?;
            let mut query = vec![("limit", options.limit.to_string())];
            query.extend(options.state.map(|state| ("state", state.as_str().to_owned())));
            query.extend(options.cursor.map(|cursor| ("cursor", cursor)));
            self.json(Request { query, ..Request::get("v1/jobs") }).await
        })
        .await
    }

    /// As [`crate::Rae::requeue_job`].
    pub async fn requeue_job(&self, id: uuid::Uuid) -> Result<()> {
        named("requeue_job", async {
            self.json::<Value>(Request::post(format!("v1/jobs/{id}/requeue"), &json!({}))?).await.map(drop)
        })
        .await
    }

    /// As [`crate::Rae::doctor`].
    pub async fn doctor(&self) -> Result<Vec<Finding>> {
        named("doctor", async {
            let Findings { findings } = self.json(Request::get("v1/doctor").bulk()).await?;
            Ok(findings)
        })
        .await
    }
}

pub(super) async fn named<T>(operation: &'static str, call: impl Future<Output = Result<T>>) -> Result<T> {
    call.await.map_err(|e| e.with_operation(operation))
}

/// A number that JSON can say. NaN would be sent as no value.
pub(super) fn finite(name: &str, value: Option<f64>) -> Result<()> {
    match value {
        Some(value) if !value.is_finite() => Err(Error::invalid(format!("{name} must be a number, not {value}"))),
        _ => Ok(()),
    }
}

/// A page of memories.
async fn page(remote: &Remote, request: Request) -> Result<Page> {
    let page: Items = remote.json(request).await?;
    let items = page.items.into_iter().map(read).collect::<Result<_>>()?;
    Ok(Page { items, next_cursor: page.next_cursor })
}

/// A page of memories that a route gives.
pub(super) async fn page_of(remote: &Remote, path: String, options: EventsOptions) -> Result<Page> {
    ops::page_size(options.limit)?;
    let mut query = vec![("limit", options.limit.to_string())];
    query.extend(options.cursor.map(|cursor| ("cursor", cursor)));
    page(remote, Request { query, ..Request::get(path) }).await
}

/// Options as the fields of a request, without those that say nothing.
pub(super) fn fields(options: &impl Serialize) -> Result<Map<String, Value>> {
    let unwritten = |e| Error::internal("the arguments could not be written as JSON").with_source(e);
    match serde_json::to_value(options).map_err(unwritten)? {
        Value::Object(map) => Ok(map.into_iter().filter(|(_, value)| !value.is_null()).collect()),
        _ => Err(Error::internal("the arguments are not an object")),
    }
}

/// An item of a list as JSON.
fn text_of(item: &impl Serialize) -> Result<String> {
    let unwritten = |e| Error::internal("the arguments could not be written as JSON").with_source(e);
    let mut value = serde_json::to_value(item).map_err(unwritten)?;
    if let Some(map) = value.as_object_mut() {
        map.retain(|_, value| !value.is_null());
    }
    Ok(value.to_string())
}

/// How many items go into the next request: at least one where there is one.
fn fitting(items: &[String]) -> usize {
    let mut bytes = 0;
    let fits = |item: &&String| {
        bytes += item.len() + 1;
        bytes <= BYTES_MAX
    };
    let count = items.iter().take(ITEMS_MAX).take_while(fits).count();
    count.max(1).min(items.len())
}

fn read(value: Value) -> Result<Memory> {
    wire::read_memory(value).map_err(super::answer::not_ours)
}

/// The error of a later request of a batch, with what was committed by the earlier ones and by itself.
fn with_receipts(error: Error, mut receipts: Vec<Receipt>) -> Error {
    if receipts.is_empty() {
        return error;
    }
    let own = error.details().and_then(|d| serde_json::from_value::<Vec<Receipt>>(d.get("receipts")?.clone()).ok());
    receipts.extend(own.unwrap_or_default());
    ops::with_prefix(error, &receipts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_holds_what_fits_and_one_item_at_least() {
        assert_eq!(fitting(&[]), 0);
        assert_eq!(fitting(&vec![String::new(); 3]), 3);
        assert_eq!(fitting(&vec![String::new(); ITEMS_MAX + 1]), ITEMS_MAX);
        assert_eq!(fitting(&["x".repeat(BYTES_MAX + 1), String::new()]), 1);
        assert_eq!(fitting(&["x".repeat(BYTES_MAX / 2), "x".repeat(BYTES_MAX / 2), String::new()]), 1);
    }

    #[test]
    fn a_change_says_what_is_cleared_and_nothing_of_what_stays() {
        let update = MemoryUpdate { speaker: Some(None), importance: Some(0.5), ..MemoryUpdate::default() };
        assert_eq!(Value::Object(wire::changes(&update).unwrap()), json!({ "speaker": null, "importance": 0.5 }));
    }

    #[test]
    fn an_error_after_the_first_request_counts_all_that_was_committed() {
        let receipt =
            |version| Receipt { id: MemoryId(uuid::Uuid::nil()), version, merged: false, degraded: Vec::new() };
        let own = Error::unavailable("full").with_details(json!({ "committed": 1, "receipts": [receipt(2)] }));
        let error = with_receipts(own, vec![receipt(1)]);
        let details = error.details().unwrap();
        assert_eq!((&details["committed"], &details["receipts"][1]["version"]), (&json!(2), &json!(2)));
    }
}
