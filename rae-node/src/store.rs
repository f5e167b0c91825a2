//! The handle: a verb and its arguments as JSON in, a promise of JSON out.

use crate::{
    answer::{Answer, answer},
    embed::{EmbedderInfo, JsFunction, NodeEmbedder, Vectors},
    errors::{boundary, js},
    money::{self, ChatPieces},
};
use futures::future::{AbortHandle, AbortRegistration, Abortable};
use napi::{Either, Env, bindgen_prelude::PromiseRaw};
use napi_derive::napi;
use rae_core::{
    Durability, Embedding, Error, ErrorKind, LifecyclePolicy, Rae, Result, Timestamp, block_on,
    ports::{Clock, Embedder, ManualClock},
    remote::{Handle, Remote},
    wire,
};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::{
    future::Future,
    mem,
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
    time::Duration,
};

/// What `Store.open` takes, already checked for its types in JavaScript. No Debug: it holds keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenOptions {
    path: String,
    tenant: Option<String>,
    project: Option<String>,
    durability: Option<String>,
    #[serde(default)]
    reembed: bool,
    timeout: Option<f64>,
    embedder: Option<String>,
    providers: Option<Map<String, Value>>,
    prices: Option<Value>,
    unknown_model: Option<Value>,
    lifecycle: Option<Value>,
    model: Option<String>,
    reflect_after: Option<u64>,
    enrich: Option<String>,
    test_now: Option<String>,
    test_seed: Option<u64>,
}

/// What `Store.connect` takes, already checked for its types in JavaScript. No Debug: it holds a key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConnectOptions {
    url: String,
    api_key: Option<String>,
    tenant: Option<String>,
    project: Option<String>,
    timeout: Option<f64>,
    ca: Option<String>,
}

/// What all handles on one open store share.
struct Shared {
    rae: Option<Handle>,
    clock: Option<Arc<ManualClock>>,
    /// Embedders whose functions are let go at close. Weak: one that a reembed replaced, or that failed, goes before.
    embedders: Mutex<Vec<Weak<NodeEmbedder>>>,
}

impl Shared {
    fn keep(&self, embedder: Option<&Arc<NodeEmbedder>>) {
        let mut embedders = self.embedders.lock().unwrap_or_else(PoisonError::into_inner);
        embedders.retain(|embedder| embedder.strong_count() > 0);
        embedders.extend(embedder.map(Arc::downgrade));
    }

    fn release_embedders(&self) {
        let embedders = mem::take(&mut *self.embedders.lock().unwrap_or_else(PoisonError::into_inner));
        embedders.iter().filter_map(Weak::upgrade).for_each(|embedder| embedder.release());
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.release_embedders();
        // A handle that was collected without `close`. Every acknowledged write is on the disk already; waiting for the store's threads
        // would hold the event loop.
        if let Some(rae) = self.rae.take() {
            let _ = thread::Builder::new().name("rae-drop".into()).spawn(move || block_on(rae.close()));
        }
    }
}

/// Cancels one call.
#[napi]
pub struct Cancel {
    handle: AbortHandle,
    registration: Option<AbortRegistration>,
}

#[napi]
impl Cancel {
    /// For one call to come.
    #[napi(constructor)]
    #[allow(clippy::new_without_default)] // JavaScript's constructor
    pub fn new() -> Self {
        let (handle, registration) = AbortHandle::new_pair();
        Self { handle, registration: Some(registration) }
    }

    /// Ends the call: what was not committed is not written. A server may finish the call all the same.
    #[napi]
    pub fn cancel(&self) {
        self.handle.abort();
    }
}

/// The items of a large call, handed over piece by piece.
#[napi]
#[derive(Default)]
pub struct Batch(Vec<String>);

#[napi]
impl Batch {
    /// Empty.
    #[napi(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a JSON list of items.
    #[napi]
    pub fn push(&mut self, items: String) {
        self.0.push(items);
    }
}

/// An open store, for one tenant and project.
#[napi]
pub struct Store {
    rae: Handle,
    shared: Arc<Shared>,
}

#[napi]
impl Store {
    /// Opens a store. `options` is JSON; `embedder` and `function` belong together.
    #[napi(ts_return_type = "Promise<Store>")]
    pub fn open<'env>(
        env: &'env Env,
        options: String,
        embedder: Option<EmbedderInfo>,
        function: Option<JsFunction<'_>>,
    ) -> napi::Result<PromiseRaw<'env, Store>> {
        let custom = custom(embedder, function)?;
        env.spawn_future(boundary(async move { open(&options, custom).await }))
    }

    /// Calls a verb with its arguments in JSON, or `remember_many` with a batch.
    #[napi(ts_return_type = "Promise<string | Answer>")]
    pub fn call<'env>(
        &self,
        env: &'env Env,
        verb: String,
        args: Either<String, &mut Batch>,
        cancel: Option<&mut Cancel>,
    ) -> napi::Result<PromiseRaw<'env, Either<String, Answer>>> {
        // The call holds the store: a handle that is collected while it runs must not close it under its feet.
        let (rae, shared) = (self.rae.clone(), Arc::clone(&self.shared));
        let args = match args {
            Either::A(json) => Args::Object(json),
            Either::B(batch) => Args::Items(mem::take(&mut batch.0)),
        };
        let call = async move {
            let _shared = shared;
            Ok(answer(rae.call(&verb, args.read()?).await?))
        };
        env.spawn_future(boundary(cancellable(call, cancel)))
    }

    /// Asks a model for an answer in pieces; `args` are those of the verb `llm`, in JSON.
    #[napi(ts_return_type = "Promise<ChatPieces>")]
    pub fn llm_stream<'env>(
        &self,
        env: &'env Env,
        args: String,
        cancel: Option<&mut Cancel>,
    ) -> napi::Result<PromiseRaw<'env, ChatPieces>> {
        let (rae, shared) = (self.rae.clone(), Arc::clone(&self.shared));
        let call = async move {
            let (request, options) = wire::chat(Args::Object(args).read()?)?;
            let stream = rae.llm_stream(request, options).await;
            drop(shared);
            Ok(ChatPieces::new(stream?))
        };
        env.spawn_future(boundary(cancellable(call, cancel)))
    }

    /// Changes the embedding model of the whole store; without an embedder to the built-in one.
    #[napi(ts_return_type = "Promise<string>")]
    pub fn reembed<'env>(
        &self,
        env: &'env Env,
        name: Option<String>,
        embedder: Option<EmbedderInfo>,
        function: Option<JsFunction<'_>>,
        cancel: Option<&mut Cancel>,
    ) -> napi::Result<PromiseRaw<'env, String>> {
        let custom = custom(embedder, function)?;
        let (rae, shared) = (self.rae.clone(), Arc::clone(&self.shared));
        let call = async move {
            shared.keep(custom.as_ref());
            let done = rae.reembed(rae.load_embedder(embedding(name, custom)?)?).await?;
            serde_json::to_string(&done).map_err(|e| Error::internal("an answer could not be written").with_source(e))
        };
        env.spawn_future(boundary(cancellable(call, cancel)))
    }

    /// Vectors of a batch of texts on one side of a search.
    #[napi(ts_return_type = "Promise<Vectors>")]
    pub fn embed<'env>(
        &self,
        env: &'env Env,
        texts: &mut Batch,
        role: Option<String>,
        cancel: Option<&mut Cancel>,
    ) -> napi::Result<PromiseRaw<'env, Vectors>> {
        let (rae, shared) = (self.rae.clone(), Arc::clone(&self.shared));
        let texts = mem::take(&mut texts.0);
        let call = async move {
            let mut args = Map::from_iter([("texts".to_owned(), joined(texts)?)]);
            args.extend(role.map(|role| ("role".to_owned(), Value::String(role))));
            let (texts, role) = wire::embed(args)?;
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let vectors = rae.embed(&texts, role).await;
            drop(shared);
            Ok(Vectors::from(vectors?))
        };
        env.spawn_future(boundary(cancellable(call, cancel)))
    }

    /// The stored vector of a memory, as the only one.
    #[napi(ts_return_type = "Promise<Vectors>")]
    pub fn vector<'env>(
        &self,
        env: &'env Env,
        id: String,
        cancel: Option<&mut Cancel>,
    ) -> napi::Result<PromiseRaw<'env, Vectors>> {
        let (rae, shared) = (self.rae.clone(), Arc::clone(&self.shared));
        let call = async move {
            let vector = rae.vector(id.parse()?).await;
            drop(shared);
            Ok(Vectors::from(vec![vector?]))
        };
        env.spawn_future(boundary(cancellable(call, cancel)))
    }

    /// The same store for another tenant or project.
    #[napi]
    pub fn with_scope(&self, tenant: Option<String>, project: Option<String>) -> napi::Result<Store> {
        let rae = self.rae.with_scope(tenant, project).map_err(|e| js(&e))?;
        Ok(Store { rae, shared: Arc::clone(&self.shared) })
    }

    /// The store of a server; `options` is JSON. Does not touch the network.
    #[napi(ts_return_type = "Promise<Store>")]
    pub fn connect<'env>(env: &'env Env, options: String) -> napi::Result<PromiseRaw<'env, Store>> {
        env.spawn_future(boundary(async move { connect(&options) }))
    }

    /// The tenant; empty where the server's key decides.
    #[napi(getter)]
    pub fn tenant(&self) -> String {
        self.rae.tenant().to_owned()
    }

    /// The project; empty where the server or its key decides.
    #[napi(getter)]
    pub fn project(&self) -> String {
        self.rae.project().to_owned()
    }

    /// Whether an API key goes to another machine without encryption.
    #[napi(getter)]
    pub fn is_key_in_clear(&self) -> bool {
        matches!(&self.rae, Handle::Remote(remote) if remote.is_key_in_clear())
    }

    /// Closes the store for all handles.
    #[napi(ts_return_type = "Promise<void>")]
    pub fn close<'env>(&self, env: &'env Env) -> napi::Result<PromiseRaw<'env, ()>> {
        let (rae, shared) = (self.rae.clone(), Arc::clone(&self.shared));
        env.spawn_future(boundary(async move {
            let closed = rae.close().await;
            shared.release_embedders();
            closed
        }))
    }

    /// Moves the clock of a store that was opened with one of its own.
    #[napi]
    pub fn test_advance(&self, seconds: i64) -> napi::Result<()> {
        let clock = self.shared.clock.as_ref();
        let clock = clock.ok_or_else(|| js(&Error::invalid("the store was opened without a clock of its own")))?;
        clock.advance_seconds(seconds);
        Ok(())
    }
}

/// The arguments of a call, parsed off the event loop.
enum Args {
    Object(String),
    Items(Vec<String>),
}

impl Args {
    fn read(self) -> Result<Map<String, Value>> {
        match self {
            Self::Object(json) => serde_json::from_str(&json).map_err(not_json),
            Self::Items(pieces) => Ok(Map::from_iter([("items".to_owned(), joined(pieces)?)])),
        }
    }
}

/// The list that was handed over in pieces.
fn joined(pieces: Vec<String>) -> Result<Value> {
    let mut items = Vec::new();
    for piece in pieces {
        items.extend(serde_json::from_str::<Vec<Value>>(&piece).map_err(not_json)?);
    }
    Ok(Value::Array(items))
}

fn not_json(e: serde_json::Error) -> Error {
    Error::invalid("the arguments are not JSON").with_source(e)
}

/// Lets a call be given up: its future is dropped, and what was not committed yet is not written. A server
/// that was asked may finish the call all the same.
pub(crate) fn cancellable<T, F: Future<Output = Result<T>>>(
    call: F,
    cancel: Option<&mut Cancel>,
) -> impl Future<Output = Result<T>> + use<T, F> {
    let registration = cancel.and_then(|cancel| cancel.registration.take());
    // Without anybody who could cancel, the pair below is never aborted.
    let registration = registration.unwrap_or_else(|| AbortHandle::new_pair().1);
    let call = Abortable::new(call, registration);
    async move {
        call.await.unwrap_or_else(|_| {
            let message = "the call was aborted; what was not committed is not written, but a server may finish the call all the same";
            Err(Error::new(ErrorKind::Cancelled, message))
        })
    }
}

fn custom(info: Option<EmbedderInfo>, function: Option<JsFunction<'_>>) -> napi::Result<Option<Arc<NodeEmbedder>>> {
    info.zip(function).map(|(info, function)| NodeEmbedder::new(info, &function)).transpose()
}

fn embedding(name: Option<String>, custom: Option<Arc<NodeEmbedder>>) -> Result<Embedding> {
    match (custom, name) {
        (Some(embedder), _) => Ok(Embedding::Custom(embedder as Arc<dyn Embedder>)),
        (None, Some(name)) => Embedding::named(name),
        (None, None) => Ok(Embedding::Builtin),
    }
}

async fn open(options: &str, custom: Option<Arc<NodeEmbedder>>) -> Result<Store> {
    let options: OpenOptions =
        serde_json::from_str(options).map_err(|e| Error::invalid(format!("the options of open are wrong: {e}")))?;
    let mut builder = Rae::builder().reembed(options.reembed).embedding(embedding(options.embedder, custom.clone())?);
    builder = money::priced(builder, options.providers, options.prices, options.unknown_model)?;
    if let Some(policy) = options.lifecycle {
        builder = builder.lifecycle(LifecyclePolicy::parse(policy)?);
    }
    if let Some(model) = options.model {
        builder = builder.model(model);
    }
    builder = builder.reflect_after(options.reflect_after.unwrap_or_default());
    if let Some(enrich) = options.enrich {
        builder = builder.enrich(enrich.parse()?);
    }
    if options.path != ":memory:" {
        builder = builder.path(options.path);
    }
    if let Some(tenant) = options.tenant {
        builder = builder.tenant(tenant);
    }
    if let Some(project) = options.project {
        builder = builder.project(project);
    }
    if let Some(durability) = options.durability {
        builder = builder.durability(durability.parse::<Durability>()?);
    }
    if let Some(seconds) = options.timeout {
        builder = builder.timeout(limit(seconds)?);
    }
    let mut clock = None;
    if let Some(now) = options.test_now {
        let manual = Arc::new(ManualClock::new(Timestamp::parse(&now)?));
        clock = Some(Arc::clone(&manual));
        builder = builder.clock(manual as Arc<dyn Clock>);
    }
    if let Some(seed) = options.test_seed {
        builder = builder.seed(seed);
    }
    let rae = Handle::Local(builder.open().await?);
    let shared = Shared { rae: Some(rae.clone()), clock, embedders: Mutex::default() };
    shared.keep(custom.as_ref());
    Ok(Store { shared: Arc::new(shared), rae })
}

fn limit(seconds: f64) -> Result<Duration> {
    let timeout = if seconds > 0.0 { Duration::try_from_secs_f64(seconds).ok() } else { None };
    timeout.ok_or_else(|| Error::invalid("timeout must be a number of seconds above 0"))
}

fn connect(options: &str) -> Result<Store> {
    // The parser's message may quote what it read, and that may be the key.
    let options: ConnectOptions =
        serde_json::from_str(options).map_err(|_| Error::invalid("the options of connect are wrong"))?;
    let mut connect = Remote::connect(options.url);
    if let Some(key) = options.api_key {
        connect = connect.api_key(key);
    }
    if let Some(tenant) = options.tenant {
        connect = connect.tenant(tenant);
    }
    if let Some(project) = options.project {
        connect = connect.project(project);
    }
    if let Some(seconds) = options.timeout {
        connect = connect.timeout(limit(seconds)?);
    }
    if let Some(file) = options.ca {
        connect = connect.authorities(file);
    }
    let rae = Handle::Remote(connect.open()?);
    let shared = Shared { rae: Some(rae.clone()), clock: None, embedders: Mutex::default() };
    Ok(Store { shared: Arc::new(shared), rae })
}
