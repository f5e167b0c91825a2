//! A JavaScript function as an embedder. `lib/embedder.js` wraps the caller's function: it never throws, and gives flat numbers.

use crate::errors::Thrown;
use async_trait::async_trait;
use napi::{
    Status,
    bindgen_prelude::{Float32Array, FnArgs, Function, Promise, Uint32Array},
    threadsafe_function::ThreadsafeFunction,
};
use napi_derive::napi;
use rae_core::{
    Error, Result,
    ports::{EmbedRole, Embedder},
};
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// Texts, and `document` or `query`.
type Request = FnArgs<(Vec<String>, String)>;

/// What the wrapped function is in JavaScript.
pub(crate) type JsFunction<'a> = Function<'a, Request, Promise<EmbedReply>>;

/// Weak: it does not keep the process alive.
type Callback = ThreadsafeFunction<Request, Promise<EmbedReply>, Request, Status, false, true>;

/// What the wrapped function resolves to.
#[napi(object)]
pub struct EmbedReply {
    /// All numbers, vector after vector.
    pub flat: Option<Float32Array>,
    /// Numbers of the texts that have no vector.
    pub missing: Option<Uint32Array>,
    /// Why there are no vectors.
    pub message: Option<String>,
    /// The finer code of a wrong answer.
    pub reason: Option<String>,
    /// The number under which JavaScript keeps what was thrown.
    pub thrown: Option<u32>,
}

/// Vectors that the engine gives.
#[napi(object)]
pub struct Vectors {
    /// All numbers, vector after vector.
    pub flat: Float32Array,
    /// For each text whether it has a vector.
    pub has: Vec<bool>,
}

impl From<Vec<Option<Vec<f32>>>> for Vectors {
    fn from(vectors: Vec<Option<Vec<f32>>>) -> Self {
        let has = vectors.iter().map(Option::is_some).collect();
        Self { flat: vectors.into_iter().flatten().flatten().collect::<Vec<f32>>().into(), has }
    }
}

/// Id and dimension of an embedder.
#[napi(object)]
pub struct EmbedderInfo {
    /// Stored with each vector.
    pub id: String,
    /// Numbers of a vector.
    pub dim: u32,
}

pub(crate) struct NodeEmbedder {
    /// Let go when the store closes.
    callback: Mutex<Option<Arc<Callback>>>,
    id: String,
    dim: usize,
}

impl fmt::Debug for NodeEmbedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeEmbedder").field("id", &self.id).field("dim", &self.dim).finish_non_exhaustive()
    }
}

impl NodeEmbedder {
    pub fn new(info: EmbedderInfo, function: &JsFunction<'_>) -> napi::Result<Arc<Self>> {
        let callback = function.build_threadsafe_function().weak::<true>().build()?;
        let callback = Mutex::new(Some(Arc::new(callback)));
        Ok(Arc::new(Self { callback, id: info.id, dim: info.dim as usize }))
    }

    /// Lets go of the function; later calls fail.
    pub fn release(&self) {
        self.callback.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn vectors(&self, texts: usize, reply: EmbedReply) -> Result<Vec<Option<Vec<f32>>>> {
        let Some(flat) = reply.flat else {
            let message = reply.message.unwrap_or_else(|| "the embedder gave no vectors".to_owned());
            return Err(match reply.thrown {
                Some(number) => Error::unavailable(message).with_code("embedder_failed").with_source(Thrown(number)),
                None => Error::invalid(message).with_code(reply.reason.unwrap_or_else(|| "embedder_output".to_owned())),
            });
        };
        let missing = reply.missing.map(|m| m.to_vec()).unwrap_or_default();
        let mut rows = flat.chunks_exact(self.dim);
        let vectors = (0..texts).map(|i| match u32::try_from(i).is_ok_and(|i| missing.contains(&i)) {
            true => Some(None),
            false => rows.next().map(|row| Some(row.to_vec())),
        });
        vectors.collect::<Option<Vec<_>>>().ok_or_else(|| {
            Error::invalid(format!("the embedder must give {} numbers for each text", self.dim))
                .with_code("wrong_dimension")
        })
    }
}

#[async_trait]
impl Embedder for NodeEmbedder {
    fn id(&self) -> &str {
        &self.id
    }

    fn dim(&self) -> usize {
        self.dim
    }

    async fn embed(&self, texts: &[&str], role: EmbedRole) -> Result<Vec<Option<Vec<f32>>>> {
        let gone = || Error::unavailable("the store is closed; open it again").with_code("closed");
        let callback = self.callback.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(gone)?;
        let role = match role {
            EmbedRole::Document => "document",
            EmbedRole::Query => "query",
        };
        let owned = texts.iter().map(|&text| text.to_owned()).collect();
        // What fails here is the way to the JavaScript thread, which ends with it.
        let failed = |e: napi::Error| {
            Error::unavailable("the embedder's thread is gone")
                .with_code("embedder_failed")
                .with_source(Lost(e.reason.clone()))
        };
        let promise = callback.call_async_catch(FnArgs::from((owned, role.to_owned()))).await.map_err(failed)?;
        let reply = promise.await.map_err(failed)?;
        self.vectors(texts.len(), reply)
    }
}

#[derive(Debug)]
struct Lost(String);

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Lost {}
