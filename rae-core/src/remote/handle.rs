//! A memory that lies here or on a server: what the bindings hold.

use super::{Remote, Streamed};
use crate::{
    Embedding, MemoryId, Rae,
    error::{Error, Result},
    eval::{Comparison, Evaluation, Question},
    graph::{self, EntityPage, Neighborhood, Subgraph},
    http::OnReactor,
    ingest::{MemoryUpdate, NewMemory, NewRelation},
    model::{BudgetChange, BudgetLevel, ChatRequest, Limits, Memory, MemoryVersion, Scope, Timestamp},
    ops::{
        Audit, AuditOptions, BudgetStatus, ChangePage, ChangesOptions, Context, ContextOptions, CostLog,
        CostLogOptions, Costs, CostsOptions, EntitiesOptions, ErasureOptions, ErasureReport, EvaluationRun,
        EventsOptions, Exported, Finding, Forget, Forgotten, Hits, Imported, ListOptions, LlmAnswer, LlmEstimate,
        LlmOptions, Maintained, MeterEnd, MeterSettled, MeteredCall, NeighborsOptions, NewEvent, Page, PathOptions,
        QuestionSet, RecallOptions, Receipt, Reembedded, ReflectOptions, Reflected, RelationsOptions, SessionEnd,
        Snapshot, Stats, SubgraphOptions, Undone,
    },
    ports::{EmbedRole, Embedder},
    wire::{self, MeterStart},
};
use serde_json::{Map, Value};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use uuid::Uuid;

/// An open store, or one on a server, with the same methods. See [`Rae`] for what they do.
#[derive(Debug, Clone)]
pub enum Handle {
    /// A store of this process.
    Local(Rae),
    /// One on a server.
    Remote(Remote),
}

/// The methods that both have.
macro_rules! both {
    ($($name:ident($($arg:ident: $type:ty),*) -> $answer:ty;)+) => { $(
        #[doc = concat!("As [`Rae::", stringify!($name), "`].")]
        pub async fn $name(&self, $($arg: $type),*) -> Result<$answer> {
            match self {
                Self::Local(rae) => rae.$name($($arg),*).await,
                Self::Remote(remote) => remote.$name($($arg),*).await,
            }
        }
    )+ };
}

impl Handle {
    both! {
        remember(new: NewMemory) -> Receipt;
        remember_many(items: Vec<NewMemory>) -> Vec<Receipt>;
        recall(query: &str, options: RecallOptions) -> Hits;
        context(query: Option<&str>, options: ContextOptions) -> Context;
        get(id: MemoryId) -> Memory;
        list(options: ListOptions) -> Page;
        update(id: MemoryId, update: MemoryUpdate) -> Receipt;
        history(id: MemoryId) -> Vec<MemoryVersion>;
        forget(what: Forget) -> Forgotten;
        verify_erasure(receipt: &Value, exports: &[PathBuf]) -> ErasureReport;
        verify_erasure_with(receipt: &Value, options: &ErasureOptions) -> ErasureReport;
        feedback(id: MemoryId, useful: bool) -> Memory;
        embed(texts: &[&str], role: EmbedRole) -> Vec<Option<Vec<f32>>>;
        vector(id: MemoryId) -> Option<Vec<f32>>;
        relate(new: NewRelation) -> Receipt;
        relations(options: RelationsOptions) -> Page;
        stats() -> Stats;
        export(path: &Path) -> Exported;
        import(path: &Path) -> Imported;
        audit(options: AuditOptions) -> Audit;
        changes(options: ChangesOptions) -> ChangePage;
        undo(id: Uuid) -> Undone;
        evaluate(questions: &[Question], options: RecallOptions) -> Evaluation;
        compare_evaluations(a: &Evaluation, b: &Evaluation) -> Comparison;
        set_questions(name: &str, questions: Vec<Question>) -> ();
        question_sets() -> Vec<QuestionSet>;
        run_questions(name: &str, options: RecallOptions) -> EvaluationRun;
        evaluations(name: &str) -> Vec<EvaluationRun>;
        doctor() -> Vec<Finding>;
        backup(path: &Path) -> ();
        set_budget(level: BudgetLevel, change: BudgetChange) -> Limits;
        limits(level: BudgetLevel) -> Limits;
        budget(level: BudgetLevel) -> BudgetStatus;
        costs(options: CostsOptions) -> Costs;
        cost_log(options: CostLogOptions) -> CostLog;
        end_metered(id: Uuid, call: MeteredCall, end: MeterEnd) -> MeterSettled;
        llm_estimate(request: ChatRequest, options: LlmOptions) -> LlmEstimate;
        log_event(session: &str, event: NewEvent) -> Receipt;
        end_session(session: &str, end: SessionEnd) -> Receipt;
        events(session: &str, options: EventsOptions) -> Page;
        reflections(options: EventsOptions) -> Page;
        entities(options: EntitiesOptions) -> EntityPage;
        neighbors(entity: &str, options: NeighborsOptions) -> Neighborhood;
        path(a: &str, b: &str, options: PathOptions) -> Option<graph::Path>;
        subgraph(entities: &[String], options: SubgraphOptions) -> Subgraph;
        snapshot(label: &str) -> Snapshot;
        snapshots() -> Vec<Snapshot>;
    }

    /// As [`Rae::meter_by_id`].
    pub async fn meter_by_id(&self, call: MeteredCall) -> Result<MeterStart> {
        match self {
            Self::Local(rae) => rae.meter_by_id(call).await.map(MeterStart::from),
            Self::Remote(remote) => remote.meter_by_id(call).await,
        }
    }

    /// As [`Rae::llm`], on any executor.
    pub async fn llm(&self, request: ChatRequest, options: LlmOptions) -> Result<LlmAnswer> {
        match self {
            Self::Local(rae) => OnReactor::new(Box::pin(rae.llm(request, options)))?.await,
            Self::Remote(remote) => remote.llm(request, options).await,
        }
    }

    /// As [`Rae::maintain`], on any executor: a model may be asked.
    pub async fn maintain(&self, now: Option<Timestamp>) -> Result<Maintained> {
        match self {
            Self::Local(rae) if rae.model().is_some() => OnReactor::new(Box::pin(rae.maintain(now)))?.await,
            Self::Local(rae) => rae.maintain(now).await,
            Self::Remote(remote) => remote.maintain(now).await,
        }
    }

    /// As [`Rae::reflect`], on any executor: a model may be asked.
    pub async fn reflect(&self, options: ReflectOptions) -> Result<Vec<Reflected>> {
        match self {
            Self::Local(rae) if rae.model().is_some() => OnReactor::new(Box::pin(rae.reflect(options)))?.await,
            Self::Local(rae) => rae.reflect(options).await,
            Self::Remote(remote) => remote.reflect(options).await,
        }
    }

    /// As [`Rae::llm_stream`], on any executor.
    pub async fn llm_stream(&self, request: ChatRequest, options: LlmOptions) -> Result<Streamed> {
        match self {
            Self::Local(rae) => Streamed::local(OnReactor::new(Box::pin(rae.llm_stream(request, options)))?.await?),
            Self::Remote(remote) => remote.llm_stream(request, options).await.map(Streamed::remote),
        }
    }

    /// As [`Rae::reembed`]. Unsupported on a server, whose operator chooses the embedder.
    pub async fn reembed(&self, embedder: Arc<dyn Embedder>) -> Result<Reembedded> {
        match self {
            Self::Local(rae) => rae.reembed(embedder).await,
            Self::Remote(_) => Err(foreign_embedder()),
        }
    }

    /// As [`Rae::load_embedder`]. Unsupported on a server, as [`Self::reembed`].
    pub fn load_embedder(&self, embedding: Embedding) -> Result<Arc<dyn Embedder>> {
        match self {
            Self::Local(rae) => rae.load_embedder(embedding),
            Self::Remote(_) => Err(foreign_embedder()),
        }
    }

    /// Calls a verb with its arguments in JSON: see [`wire::call`].
    pub async fn call(&self, verb: &str, args: Map<String, Value>) -> Result<Value> {
        match self {
            // The clients of providers need a runtime; nothing else does.
            Self::Local(rae) if verb == "llm" || (rae.model().is_some() && matches!(verb, "reflect" | "maintain")) => {
                OnReactor::new(Box::pin(wire::call(rae, verb, args)))?.await
            }
            Self::Local(rae) => wire::call(rae, verb, args).await,
            Self::Remote(remote) => remote.call(verb, args).await,
        }
    }

    /// Numbers per vector of the embedder in use. A server is asked.
    pub async fn dim(&self) -> Result<usize> {
        match self {
            Self::Local(rae) => Ok(rae.dim()),
            Self::Remote(remote) => Ok(remote.stats().await?.embedder.dim),
        }
    }

    /// As [`Rae::close`] or [`Remote::close`].
    pub async fn close(&self) -> Result<()> {
        match self {
            Self::Local(rae) => rae.close().await,
            Self::Remote(remote) => {
                remote.close();
                Ok(())
            }
        }
    }

    /// The same for another tenant or project; `None` keeps the present one.
    pub fn with_scope(&self, tenant: Option<String>, project: Option<String>) -> Result<Self> {
        Ok(match self {
            Self::Local(rae) => {
                let tenant = tenant.unwrap_or_else(|| rae.scope().tenant().to_owned());
                let project = project.unwrap_or_else(|| rae.scope().project().to_owned());
                Self::Local(rae.with_scope(Scope::new(tenant, project)?))
            }
            Self::Remote(remote) => Self::Remote(remote.with_scope(tenant, project)?),
        })
    }

    /// The tenant; empty where the server's key decides.
    pub fn tenant(&self) -> &str {
        match self {
            Self::Local(rae) => rae.scope().tenant(),
            Self::Remote(remote) => remote.tenant().unwrap_or_default(),
        }
    }

    /// The project; empty where the server or its key decides.
    pub fn project(&self) -> &str {
        match self {
            Self::Local(rae) => rae.scope().project(),
            Self::Remote(remote) => remote.project().unwrap_or_default(),
        }
    }

    /// The address of the server, where it is one.
    pub fn url(&self) -> Option<&str> {
        match self {
            Self::Local(_) => None,
            Self::Remote(remote) => Some(remote.url()),
        }
    }
}

fn foreign_embedder() -> Error {
    let message = "the embedder of a server is its operator's choice: ask there, or export the project and import it into a \
                   store that you open yourself";
    Error::unsupported(message).with_code("not_over_http").with_operation("reembed")
}
