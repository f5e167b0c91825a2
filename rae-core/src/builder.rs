//! From options to an open store: the only place that names concrete backends and providers.

use crate::{
    Ctx, Rae,
    access::AccessBuffer,
    cost::{CostOptions, Desk, check_embedder},
    deps::{AnswerLookups, Deps, Lived, Lookups, Resumed, Shared},
    embedded::{
        cache::MemoryCache,
        vector::{MemoryVectors, VectorsConfig},
    },
    error::{Error, ErrorKind, Result},
    graphs::Graphs,
    guard::{Guarded, NoObserver, Observer, Policy},
    indexes::Indexes,
    jobs::{background::Background, feeder::Feeder},
    lifecycle::LifecyclePolicy,
    model::{IdGenerator, Op, Scope},
    ops,
    ports::{
        CacheStore, Clock, Embedder, EmbedderName, LlmRouter, NoProviders, RelationalStore, Reranker, SystemClock,
        TokenCounter, VectorFeed, VectorStore,
    },
    rae::embedder_mismatch,
};
use parking_lot::{Mutex, RwLock};
use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

/// How durable a commit is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// On the disk when the call returns (`synchronous=FULL`).
    #[default]
    Full,
    /// Safe from a crash of the process, not from one of the machine (`synchronous=NORMAL`).
    Normal,
}

impl std::str::FromStr for Durability {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "full" => Ok(Self::Full),
            "normal" => Ok(Self::Normal),
            _ => Err(Error::invalid("durability must be full or normal")),
        }
    }
}

/// What turns text into vectors.
#[derive(Debug, Clone, Default)]
pub enum Embedding {
    /// The built-in static table: no download, no network, microseconds a text.
    #[default]
    Builtin,
    /// An embedder of the caller's.
    Custom(Arc<dyn Embedder>),
    /// all-MiniLM-L6-v2 from a folder (feature `local`).
    Folder(PathBuf),
    /// A model that a provider runs (feature `http`). Its calls cost money: see [`Builder::costs`].
    Provider(EmbedderName),
}

impl Embedding {
    /// The embedder that a text names: a folder with all-MiniLM-L6-v2, or a model of a provider such as
    /// `openai:text-embedding-3-small`, with a dimension of one's own as in `openai:text-embedding-3-large@512`. InvalidInput with
    /// code `embedder_provider` for such a name without a model, or with a dimension that is none.
    pub fn named(name: impl Into<PathBuf>) -> Result<Self> {
        let folder: PathBuf = name.into();
        let name = folder.to_str().filter(|name| name.split_once(':').is_some_and(|(provider, _)| provider.len() > 1));
        match name {
            // One letter is a drive.
            Some(name) if !folder.exists() => Ok(Self::Provider(name.parse()?)),
            _ => Ok(Self::Folder(folder)),
        }
    }

    /// Loads it. The key of a provider is that of the environment (`providers::ProviderConfig::from_env`). InvalidInput with code
    /// `embedder_provider` where it has none, Unsupported with that code in a build without the feature `http`.
    pub fn load(self) -> Result<Arc<dyn Embedder>> {
        self.load_with(&NoProviders)
    }

    /// The same with the keys of these providers; those of the environment count for a provider that is not among them.
    pub fn load_with(self, providers: &dyn LlmRouter) -> Result<Arc<dyn Embedder>> {
        match self {
            Self::Custom(embedder) => Ok(embedder),
            #[cfg(feature = "static-table")]
            Self::Builtin => Ok(Arc::new(crate::providers::StaticEmbedder::builtin()?)),
            #[cfg(not(feature = "static-table"))]
            Self::Builtin => Err(Error::unsupported("this build has no built-in embedder (feature static-table)")),
            #[cfg(feature = "local")]
            Self::Folder(folder) => Ok(Arc::new(crate::providers::LocalEmbedder::load(&folder)?)),
            #[cfg(not(feature = "local"))]
            Self::Folder(_) => Err(Error::unsupported("this build cannot load a model from a folder (feature local)")),
            Self::Provider(name) => match providers.embedder_of(&name)? {
                Some(embedder) => Ok(embedder),
                None => of_the_environment(&name),
            },
        }
    }
}

#[cfg(feature = "http")]
fn of_the_environment(name: &EmbedderName) -> Result<Arc<dyn Embedder>> {
    let providers = crate::providers::Providers::from_env(|variable| std::env::var(variable).ok())?;
    providers.embedder_of(name)?.ok_or_else(|| {
        let provider = &name.provider;
        Error::invalid(format!(
            "the embedder {name} needs the provider {provider}, which is not configured: set its key (or, of a server of your \
             own, its address) in the environment, for example OPENAI_API_KEY for openai, or give it as a provider when the \
             store is opened"
        ))
        .with_code("embedder_provider")
    })
}

#[cfg(not(feature = "http"))]
fn of_the_environment(name: &EmbedderName) -> Result<Arc<dyn Embedder>> {
    let message = format!("this build cannot ask a provider for the embedder {name} (feature http)");
    Err(Error::unsupported(message).with_code("embedder_provider"))
}

/// A model as calls name it: `openai:gpt-4.1-mini` is `openai/gpt-4.1-mini`, unless a provider knows it by the name as it is.
fn model_name(name: &str, providers: &dyn LlmRouter) -> String {
    let slashed = name.split_once(':').map(|(provider, model)| format!("{provider}/{model}"));
    // One that is routed whole was not taken apart: then the colon is the model's own.
    let is_known = |slashed: &String| providers.route(slashed).is_ok_and(|routed| routed.model != *slashed);
    slashed.filter(is_known).unwrap_or_else(|| name.to_owned())
}

/// How long a write to a vector server may be under way.
const VECTOR_SETTLE: Duration = Duration::from_secs(60);

/// What a store is called where its vectors lie beside those of others. Says nothing about the key.
fn store_name(key: &[u8; 32]) -> String {
    let hash = blake3::derive_key("rae 2026 name of a store on a vector server", key);
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Whether it may pass by waiting.
fn is_away(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::RateLimited)
}

/// An embedder behind the guard's policy.
pub(crate) fn guarded(embedder: Arc<dyn Embedder>, observer: &Arc<dyn Observer>) -> Arc<dyn Embedder> {
    Arc::new(Guarded::embedder(embedder, Policy::default()).with_observer(Arc::clone(observer)))
}

/// The truth, the vectors, and the same vectors where they are in this process.
type Stores = (Arc<dyn RelationalStore>, Arc<dyn VectorStore>, Option<Arc<MemoryVectors>>);

/// Whether what is remembered is enriched without being asked to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Enrich {
    /// Only what `infer` asks for.
    #[default]
    Off,
    /// Facts are read from all that is remembered, by rules and without a model.
    Rules,
    /// The same, and by the model of [`Builder::model`] after the rules, within the budgets.
    Model,
}

impl std::str::FromStr for Enrich {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "off" => Ok(Self::Off),
            "rules" => Ok(Self::Rules),
            "model" => Ok(Self::Model),
            _ => Err(Error::invalid("enrich must be off, rules or model")),
        }
    }
}

/// Options for opening a store; see [`Rae::builder`]. Defaults: in memory, tenant and project `default`, the built-in
/// embedder, full durability, no time limit.
#[derive(Debug, Default)]
pub struct Builder {
    path: Option<PathBuf>,
    tenant: Option<String>,
    project: Option<String>,
    embedding: Embedding,
    durability: Durability,
    reembed: bool,
    timeout: Option<Duration>,
    clock: Option<Arc<dyn Clock>>,
    seed: Option<u64>,
    reranker: Option<Arc<dyn Reranker>>,
    tokens: Option<Arc<dyn TokenCounter>>,
    relational: Option<Arc<dyn RelationalStore>>,
    vectors: Option<Arc<dyn VectorStore>>,
    cache: Option<Arc<dyn CacheStore>>,
    observer: Option<Arc<dyn Observer>>,
    vector_settle: Option<Duration>,
    no_vector_feeder: bool,
    costs: CostOptions,
    providers: Option<Arc<dyn LlmRouter>>,
    lifecycle: LifecyclePolicy,
    model: Option<String>,
    reflect_after: Option<u64>,
    enrich: Enrich,
}

impl Builder {
    /// One file, made where there is none, plus its log and index beside it.
    pub fn path(mut self, path: impl Into<PathBuf>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Tenant of the handle.
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// Project of the handle.
    pub fn project(mut self, project: impl Into<String>) -> Self {
        self.project = Some(project.into());
        self
    }

    /// What turns text into vectors. A store refuses another one than it was made with. One of a provider has its key from
    /// [`Builder::providers`] or from the environment, and must have a price (InvalidInput with code `unknown_model_price`).
    pub fn embedding(mut self, embedding: Embedding) -> Self {
        self.embedding = embedding;
        self
    }

    /// Re-embeds a store that was made with another embedder instead of refusing it.
    pub fn reembed(mut self, reembed: bool) -> Self {
        self.reembed = reembed;
        self
    }

    /// How durable a commit is.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Longest time of one call.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Another clock, for tests that replay.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Ids from a seed, for tests that replay.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Whether facts are read from all that is remembered, as `infer` does for one memory. Default off. With `Model` opening fails with
    /// InvalidInput (`enrich_model`) where no model is named.
    pub fn enrich(mut self, enrich: Enrich) -> Self {
        self.enrich = enrich;
        self
    }

    /// A reranker for `recall(rerank=true)`.
    pub fn reranker(mut self, reranker: Arc<dyn Reranker>) -> Self {
        self.reranker = Some(reranker);
        self
    }

    /// Another token counter for `context` and `max_tokens`.
    pub fn tokens(mut self, tokens: Arc<dyn TokenCounter>) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// A relational store of your own, already migrated. It must pass the conformance suite.
    pub fn relational(mut self, store: Arc<dyn RelationalStore>) -> Self {
        self.relational = Some(store);
        self
    }

    /// A vector store of your own. It must pass the conformance suite.
    pub fn vectors(mut self, store: Arc<dyn VectorStore>) -> Self {
        self.vectors = Some(store);
        self
    }

    /// How long a write to a vector server may be under way before it is taken for lost: what was changed is looked at again
    /// after this time. Default 60 s. Only for a vector store that is fed by the outbox.
    pub fn vector_settle(mut self, time: Duration) -> Self {
        self.vector_settle = Some(time);
        self
    }

    /// Whether a thread of this process feeds the vector server, after writes and once a minute. Default true. With false
    /// another process on the same store must do it; `forget` still does its part before it answers. Only for a vector store
    /// that is fed by the outbox.
    pub fn vector_feeder(mut self, feeds: bool) -> Self {
        self.no_vector_feeder = !feeds;
        self
    }

    /// A cache of your own, for example one that several servers share. It must pass the conformance suite; losing it costs
    /// time, never an answer.
    pub fn cache(mut self, cache: Arc<dyn CacheStore>) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Told of every call of a store, the cache, the embedder and the reranker, for metrics. Default: nobody.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// How model calls are paid for: limits, prices, retries. Default: every call is booked, and nothing is limited until a budget
    /// is set.
    pub fn costs(mut self, costs: CostOptions) -> Self {
        self.costs = costs;
        self
    }

    /// Providers of chat models for `llm`, and of embedders (`providers::Providers`, or a router of your own). Default: none.
    pub fn providers(mut self, providers: Arc<dyn LlmRouter>) -> Self {
        self.providers = Some(providers);
        self
    }

    /// What `maintain` does with memories as they age. Default: strength sinks without use, and nothing is deleted that has no time
    /// to live and no capacity.
    pub fn lifecycle(mut self, policy: LifecyclePolicy) -> Self {
        self.lifecycle = policy;
        self
    }

    /// The chat model that background work may ask, such as `openai:gpt-4.1-mini`: reflection on sessions that failed. Its calls
    /// are booked under the operation `reflect` and held to the budgets; they need a Tokio runtime, as `llm` does, in `reflect`,
    /// `maintain` and whatever runs jobs. Default: none, and everything works by rules alone.
    /// Opening fails with InvalidInput (`unknown_model_provider`, `unknown_model_price`) where it has no provider or no price.
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// Queues a reflection on the sessions with news after every so many changes of a project: for agents that do not say when
    /// a session ends. Default, and 0: never.
    pub fn reflect_after(mut self, changes: u64) -> Self {
        self.reflect_after = (changes > 0).then_some(changes);
        self
    }

    /// Opens the store. Errors: InvalidInput (a directory, a missing folder, bad names, an embedder
    /// without a key or a price), Corrupt (not a store of ours; it is left as
    /// it is), Unsupported (made by a newer version), Conflict with code `embedder_mismatch`, PermissionDenied, Unavailable.
    pub async fn open(self) -> Result<Rae> {
        let scope =
            Scope::new(self.tenant.as_deref().unwrap_or("default"), self.project.as_deref().unwrap_or("default"))?;
        self.lifecycle.check().map_err(|e| e.with_operation("open"))?;
        if self.enrich == Enrich::Model && self.model.is_none() {
            let text = "enrich is model, and no model is named: give model, or RAE_MODEL";
            return Err(Error::invalid(text).with_code("enrich_model").with_operation("open"));
        }
        let observer = self.observer.clone().unwrap_or_else(|| Arc::new(NoObserver));
        let providers = self.providers.clone().unwrap_or_else(|| Arc::new(NoProviders));
        let model = self.model.as_deref().map(|name| model_name(name, &*providers));
        let embedder = guarded(self.embedding.clone().load_with(&*providers)?, &observer);
        let clock: Arc<dyn Clock> = self.clock.clone().unwrap_or_else(|| Arc::new(SystemClock));
        let (relational, vectors, in_process) = self.stores(&clock)?;
        let tokens = match self.tokens.clone() {
            Some(tokens) => tokens,
            None => crate::providers::default_tokens(),
        };
        let cache = self.cache.clone().unwrap_or_else(|| Arc::new(MemoryCache::default()));
        let reranker = self.reranker.clone().map(|reranker| -> Arc<dyn Reranker> {
            Arc::new(Guarded::reranker(reranker, Policy::default()).with_observer(Arc::clone(&observer)))
        });
        let seen = || Arc::clone(&observer);
        let relational: Arc<dyn RelationalStore> =
            Arc::new(Guarded::relational(relational, Policy::default()).with_observer(seen()));
        let store = match relational.receipt_key().await {
            Ok(key) => store_name(&key),
            Err(error) => {
                // The error that matters is the one being returned.
                let _ = relational.close().await;
                return Err(error.with_operation("open"));
            }
        };
        let shared = Shared {
            relational,
            vectors: Arc::new(Guarded::vector(vectors, Policy::default()).with_observer(seen())),
            cache: Arc::new(Guarded::cache(cache, Policy::default()).with_observer(seen())),
            embedder: RwLock::new(Arc::clone(&embedder)),
            tokens,
            reranker,
            in_process,
            observer: seen(),
            clock,
            ids: self.seed.map_or_else(IdGenerator::random, IdGenerator::seeded),
            indexes: Indexes::default(),
            graphs: Graphs::default(),
            access: AccessBuffer::default(),
            background: Background::default(),
            feeder: Feeder::new(self.vector_settle.unwrap_or(VECTOR_SETTLE)),
            store,
            lookups: Lookups::default(),
            answers: AnswerLookups::default(),
            desk: Desk::new(self.costs.clone(), providers),
            lifecycle: self.lifecycle.clone(),
            lived: Lived::default(),
            resumed: Resumed::default(),
            model,
            reflect_after: self.reflect_after,
            enrich: self.enrich,
            closed: AtomicBool::new(false),
            checkpointed: Mutex::new(None),
        };
        let deps = Deps { shared: Arc::new(shared), timeout: self.timeout };
        let settled = match ops::check_model(&deps) {
            Ok(()) => self.settle_embedder(&deps, &scope, embedder).await,
            Err(error) => Err(error),
        };
        if let Err(error) = settled {
            // The error that matters is the one being returned.
            let _ = deps.relational.close().await;
            return Err(error.with_operation("open"));
        }
        let no_thread = |e| Error::unavailable("no thread could be started").with_source(e);
        deps.background.start(&deps).map_err(no_thread)?;
        let fed = deps.vectors.capability().feed == VectorFeed::Outbox && !self.no_vector_feeder;
        if fed && !deps.relational.capability().read_only {
            deps.feeder.start(&deps).map_err(no_thread)?;
        }
        Ok(Rae::new(deps, scope))
    }

    /// Makes sure that store and embedder belong together.
    async fn settle_embedder(&self, deps: &Deps, scope: &Scope, embedder: Arc<dyn Embedder>) -> Result<()> {
        check_embedder(deps, &*embedder)?;
        let ctx: Ctx = deps.ctx(scope)?;
        let head = deps.relational.head(&ctx).await?;
        match head.embedder {
            Some((id, _)) if id == embedder.id() => {}
            Some((id, _)) if self.reembed => {
                tracing::info!(from = %id, to = embedder.id(), "re-embedding the store");
                ops::reembed(deps, embedder).await?;
            }
            Some((id, _)) => return Err(embedder_mismatch(&id, embedder.id())),
            None if deps.relational.capability().read_only => {}
            None => {
                let op = Op::SetEmbedder { embedder: embedder.id().to_owned(), dim: embedder.dim() };
                deps.relational.apply(&ctx, deps.batch(vec![op])).await?;
            }
        }
        let ensured = deps.vectors.ensure(&ctx, &deps.collection()).await;
        deps.feeder.note(&ensured);
        match ensured {
            // A server that is away now comes back; until then recall answers without it.
            Err(error) if deps.vectors.capability().feed == VectorFeed::Outbox && is_away(&error) => {
                tracing::warn!(%error, "the vector server does not answer; starting without it");
                Ok(())
            }
            ensured => ensured,
        }
    }

    fn stores(&self, clock: &Arc<dyn Clock>) -> Result<Stores> {
        let mut config = VectorsConfig::default();
        let relational = match &self.relational {
            Some(store) => Arc::clone(store),
            None => self.sqlite(clock, &mut config)?,
        };
        Ok(match &self.vectors {
            Some(store) => (relational, Arc::clone(store), None),
            None => {
                let vectors = Arc::new(MemoryVectors::new(config));
                (relational, Arc::<MemoryVectors>::clone(&vectors), Some(vectors))
            }
        })
    }

    #[cfg(feature = "embedded")]
    fn sqlite(&self, clock: &Arc<dyn Clock>, config: &mut VectorsConfig) -> Result<Arc<dyn RelationalStore>> {
        use crate::embedded::sqlite::{self, SqliteStore};
        let durability = match self.durability {
            Durability::Full => sqlite::Durability::Full,
            Durability::Normal => sqlite::Durability::Normal,
        };
        let store = SqliteStore::open(sqlite::OpenOptions {
            path: self.path.clone(),
            durability,
            clock: Arc::clone(clock),
            seed: self.seed,
            ..sqlite::OpenOptions::default()
        })?;
        if let Some(path) = &self.path
            && !store.capability().read_only
        {
            let mut folder = path.clone().into_os_string();
            folder.push("-index");
            config.index_dir = Some(PathBuf::from(folder));
        }
        config.store_uuid = store.store_uuid();
        Ok(Arc::new(store))
    }

    #[cfg(not(feature = "embedded"))]
    fn sqlite(&self, _: &Arc<dyn Clock>, _: &mut VectorsConfig) -> Result<Arc<dyn RelationalStore>> {
        Err(Error::unsupported(
            "this build has no embedded store (feature embedded); give a relational store of your own",
        ))
    }
}
