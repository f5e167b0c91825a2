//! The verbs in JSON: `snake_case` names in, plain JSON out. The Node module speaks it, and the scenarios that are replayed
//! on every surface are written in it. Parsing is strict: an unknown name, a wrong type or a null where a value is needed is
//! InvalidInput that names the field.
//!
//! `export`, `import`, `backup` and `verify_erasure` take paths of this machine. A surface that faces a network must not pass those on.

mod entities;
mod evals;
mod input;
mod money;
mod output;
#[cfg(feature = "http")]
mod providers;
pub mod services;
mod sessions;
mod usage;

use crate::{
    MemoryId, Rae,
    error::{Error, Result},
};
use input::Fields;
use serde_json::{Map, Value};

pub use input::{
    audit, context, embed, forget, job_state, list, new_key, new_memories, new_memory, new_tenant, recall, relation,
    relations, update,
};
pub use money::{
    MeterStart, Words, budget_change, chat, cost_log, costs, llm_answer, llm_chunk, llm_end, llm_estimate, llm_options,
    metered_call, metered_end, prices, sums,
};
#[cfg(feature = "remote")]
pub(crate) use output::{changes, read_memory, read_version};
pub use output::{memory, version};
#[cfg(feature = "http")]
pub use providers::providers;
pub use sessions::{events, new_event, reflect, session_end};

/// Every verb that [`call`] knows, by its name on all surfaces.
pub const VERBS: [&str; 52] = [
    "remember",
    "remember_many",
    "recall",
    "context",
    "get",
    "list",
    "update",
    "history",
    "forget",
    "verify_erasure",
    "feedback",
    "embed",
    "vector",
    "relate",
    "relations",
    "stats",
    "export",
    "import",
    "maintain",
    "audit",
    "changes",
    "undo",
    "jobs",
    "requeue_job",
    "doctor",
    "evaluate",
    "compare_evaluations",
    "set_questions",
    "question_sets",
    "run_questions",
    "evaluations",
    "backup",
    "set_budget",
    "limits",
    "budget",
    "costs",
    "cost_log",
    "meter",
    "end_metered",
    "llm",
    "llm_estimate",
    "log_event",
    "end_session",
    "events",
    "reflect",
    "reflections",
    "entities",
    "neighbors",
    "path",
    "subgraph",
    "snapshot",
    "snapshots",
];

/// The verbs by name, on whatever has methods of these names.
macro_rules! dispatch {
    ($rae:expr, $verb:expr, $args:expr) => {{
        let mut args = $args;
        Ok(match $verb {
            "remember" => output::plain(&$rae.remember(new_memory(args.rest())?).await?)?,
            "remember_many" => {
                let items = args.required("items", new_memories)?;
                args.finish()?;
                output::plain(&$rae.remember_many(items).await?)?
            }
            "recall" => {
                let query = args.required("query", input::text)?;
                output::plain(&$rae.recall(&query, recall(args.rest())?).await?)?
            }
            "context" => {
                let query = args.optional("query", input::text)?;
                output::plain(&$rae.context(query.as_deref(), context(args.rest())?).await?)?
            }
            "get" => output::memory(&$rae.get(id(args)?).await?)?,
            "list" => output::page(&$rae.list(list(args.rest())?).await?)?,
            "update" => {
                let id = args.required("id", input::name)?;
                output::plain(&$rae.update(id, update(args.rest())?).await?)?
            }
            "history" => output::versions(&$rae.history(id(args)?).await?)?,
            "forget" => output::plain(&$rae.forget(forget(args.rest())?).await?)?,
            "verify_erasure" => {
                let (receipt, options) = input::erasure(args)?;
                output::plain(&$rae.verify_erasure_with(&receipt, &options).await?)?
            }
            "feedback" => {
                let (id, useful) = (args.required("id", input::name)?, args.required("useful", input::flag)?);
                args.finish()?;
                output::memory(&$rae.feedback(id, useful).await?)?
            }
            "embed" => {
                let (texts, role) = input::embed(args.rest())?;
                let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                output::plain(&$rae.embed(&texts, role).await?)?
            }
            "vector" => output::plain(&$rae.vector(id(args)?).await?)?,
            "relate" => output::plain(&$rae.relate(relation(args.rest())?).await?)?,
            "relations" => output::page(&$rae.relations(relations(args.rest())?).await?)?,
            "stats" => {
                args.finish()?;
                output::plain(&$rae.stats().await?)?
            }
            "export" => output::plain(&$rae.export(path(args)?).await?)?,
            "import" => output::plain(&$rae.import(path(args)?).await?)?,
            "maintain" => {
                let now = args.optional("now", input::time)?;
                args.finish()?;
                output::plain(&$rae.maintain(now).await?)?
            }
            "audit" => output::plain(&$rae.audit(input::audit(args.rest())?).await?)?,
            "changes" => output::plain(&$rae.changes(input::changes(args.rest())?).await?)?,
            "undo" => output::plain(&$rae.undo(input::change(args)?).await?)?,
            "jobs" => output::plain(&$rae.jobs(input::jobs(args.rest())?).await?)?,
            "requeue_job" => {
                let id = input::job(args)?;
                $rae.requeue_job(id).await?;
                output::requeued(id)
            }
            "doctor" => {
                args.finish()?;
                output::plain(&$rae.doctor().await?)?
            }
            "evaluate" => {
                let (questions, options) = evals::evaluate(args.rest())?;
                evals::evaluation(&$rae.evaluate(&questions, options).await?)?
            }
            "compare_evaluations" => {
                let (a, b) = evals::compare(args.rest())?;
                evals::comparison(&$rae.compare_evaluations(&a, &b).await?)?
            }
            "set_questions" => {
                let (name, questions) = evals::set_questions(args.rest())?;
                $rae.set_questions(&name, questions).await?;
                Value::Null
            }
            "question_sets" => {
                args.finish()?;
                output::plain(&$rae.question_sets().await?)?
            }
            "run_questions" => {
                let (name, options) = evals::run_questions(args.rest())?;
                evals::evaluation_run(&$rae.run_questions(&name, options).await?)?
            }
            "evaluations" => {
                let runs = $rae.evaluations(&evals::set_name(args.rest())?).await?;
                runs.iter().map(evals::evaluation_run).collect::<Result<Vec<Value>>>()?.into()
            }
            "backup" => {
                $rae.backup(path(args)?).await?;
                Value::Null
            }
            "set_budget" => {
                let level = money::level(&mut args)?;
                let change = budget_change(args.rest(), Words::Verbs)?;
                output::plain(&$rae.set_budget(level, change).await?.named())?
            }
            "limits" => output::plain(&$rae.limits(money::only_level(args)?).await?.named())?,
            "budget" => output::plain(&$rae.budget(money::only_level(args)?).await?)?,
            "costs" => sums(&$rae.costs(costs(args.rest())?).await?)?,
            "cost_log" => output::plain(&$rae.cost_log(cost_log(args.rest())?).await?)?,
            "meter" => {
                let call = metered_call(args.rest(), Words::Verbs)?;
                let input_tokens = call.input_tokens;
                let start = MeterStart::from($rae.meter_by_id(call).await?);
                output::plain(&MeterStart { input_tokens, ..start })?
            }
            "end_metered" => {
                let id = args.required("id", money::reservation)?;
                let (call, end) = metered_end(args.rest(), Words::Verbs)?;
                serde_json::json!({ "cost_usd": $rae.end_metered(id, call, end).await?.cost_usd })
            }
            "llm" => {
                let (request, options) = chat(args.rest())?;
                llm_answer(&$rae.llm(request, options).await?)
            }
            "llm_estimate" => {
                let (request, options) = chat(args.rest())?;
                llm_estimate(&$rae.llm_estimate(request, options).await?)
            }
            "log_event" => {
                let session = args.required("session_id", input::text)?;
                output::plain(&$rae.log_event(&session, new_event(args.rest())?).await?)?
            }
            "end_session" => {
                let session = args.required("session_id", input::text)?;
                output::plain(&$rae.end_session(&session, session_end(args.rest())?).await?)?
            }
            "events" => {
                let session = args.required("session_id", input::text)?;
                output::page(&$rae.events(&session, events(args.rest())?).await?)?
            }
            "reflect" => output::plain(&$rae.reflect(reflect(args.rest())?).await?)?,
            "reflections" => output::page(&$rae.reflections(events(args.rest())?).await?)?,
            "entities" => output::plain(&$rae.entities(entities::entities(args.rest())?).await?)?,
            "neighbors" => {
                let (entity, options) = entities::neighbors(args.rest())?;
                output::plain(&$rae.neighbors(&entity, options).await?)?
            }
            "path" => {
                let (a, b, options) = entities::path(args.rest())?;
                output::plain(&$rae.path(&a, &b, options).await?)?
            }
            "subgraph" => {
                let (entities, options) = entities::subgraph(args.rest())?;
                output::plain(&$rae.subgraph(&entities, options).await?)?
            }
            "snapshot" => output::plain(&$rae.snapshot(&entities::snapshot(args.rest())?).await?)?,
            "snapshots" => {
                args.finish()?;
                output::plain(&$rae.snapshots().await?)?
            }
            _ => {
                return Err(
                    Error::unsupported(format!("there is no verb {}", input::shown($verb))).with_code("no_such_verb")
                );
            }
        })
    }};
}

/// Calls a verb with its arguments by name, as the other surfaces name them. `reembed` and `close` are not here: the first
/// takes an embedder, which is not JSON, and the second belongs to whoever opened the store. `meter` and `end_metered` are
/// [`Rae::meter_by_id`] and [`Rae::end_metered`]. `llm` needs a Tokio runtime, as the providers' clients do.
///
/// ```
/// # rae_core::block_on(async {
/// use serde_json::json;
/// let mem = rae_core::Rae::builder().open().await?;
/// let args = |v: serde_json::Value| v.as_object().cloned().unwrap_or_default();
/// rae_core::wire::call(&mem, "remember", args(json!({ "content": "The ferry leaves at ten." }))).await?;
/// let hits = rae_core::wire::call(&mem, "recall", args(json!({ "query": "When does the ferry leave?", "k": 1 }))).await?;
/// assert_eq!(hits["hits"][0]["content"], "The ferry leaves at ten.");
/// mem.close().await
/// # }).unwrap();
/// ```
pub async fn call(rae: &Rae, verb: &str, args: Map<String, Value>) -> Result<Value> {
    dispatch!(rae, verb, Fields::new(args))
}

/// The same on a server: the arguments are parsed here, so that what is wrong with them is said in the same words.
#[cfg(feature = "remote")]
pub(crate) async fn call_remote(remote: &crate::remote::Remote, verb: &str, args: Map<String, Value>) -> Result<Value> {
    dispatch!(remote, verb, Fields::new(args))
}

/// The one argument `id`.
fn id(mut args: Fields) -> Result<MemoryId> {
    let id = args.required("id", input::name)?;
    args.finish()?;
    Ok(id)
}

/// The one argument `path`.
fn path(mut args: Fields) -> Result<String> {
    let path = args.required("path", input::text)?;
    args.finish()?;
    if path.is_empty() || path.contains('\0') {
        return Err(Error::invalid("path must not be empty or contain NUL"));
    }
    Ok(path)
}

#[cfg(test)]
mod tests;
