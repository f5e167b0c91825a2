//! What lessons say together, and what is said again and again: over all sessions of a project. Written only where it is new.

use super::{
    Reflected, about, apply,
    ask::{UNREADABLE, unreadable},
    is_raced, news, patched, write,
};
use crate::{
    Ctx,
    deps::Deps,
    error::{Error, ErrorKind, Result},
    limits::{PAGE_MAX, REFLECT_CLUSTERS_MAX, REFLECT_LESSONS_MAX},
    model::{Cursor, Filter, JobKind, Kind, Memory, NewJob, Op, Scan},
    ops::{LlmOptions, llm},
    reflect::{
        Draft, Event, Statements, fixed_id, has_failed, insight_request, insights, is_due, read_insight, repair, told,
    },
};
use serde_json::{Value, json};
use std::collections::VecDeque;

/// Attempts against others who do the same.
const ATTEMPTS: usize = 8;

/// Insights over the lessons, and statements where the policy asks for them.
pub(super) async fn deepen(deps: &Deps, ctx: &Ctx) -> Result<Vec<Reflected>> {
    for attempt in 1.. {
        match once(deps, ctx).await {
            Err(error) if is_raced(&error) && attempt < ATTEMPTS => {}
            Ok(made) => {
                if deps.model.is_some() && !due(deps, ctx).await?.iter().all(has_failed) {
                    later(deps, ctx).await?;
                }
                return Ok(made);
            }
            failed => return failed,
        }
    }
    Err(Error::internal("unreachable: the loop ends by returning"))
}

/// Queues the question to a model; at most one such job waits.
async fn later(deps: &Deps, ctx: &Ctx) -> Result<()> {
    let (id, payload) = (fixed_id(ctx.scope(), "insights", &[]).0, json!({ "insights": true }));
    let job = NewJob { id, kind: JobKind::Reflect, payload, run_at: deps.clock.now() };
    match deps.relational.apply(ctx, deps.batch(vec![Op::EnqueueJob { job }])).await {
        // It waits already; a dead letter gives way to what is new.
        Err(error) if error.code() == "exists" => {
            deps.relational.apply(ctx, deps.batch(vec![Op::RequeueJob { id }])).await.map(|_| ())
        }
        queued => queued.map(|_| ()),
    }
}

/// The insights that a model is to be asked about.
async fn due(deps: &Deps, ctx: &Ctx) -> Result<Vec<Memory>> {
    let mut due = Vec::new();
    pages(deps, ctx, json!({ "kind": Kind::Reflection, "layer": "reflective" }), |memory| {
        if is_due(&memory) && due.len() < REFLECT_CLUSTERS_MAX {
            due.push(memory);
        }
    })
    .await?;
    Ok(due)
}

/// Asks a model about the insights that are due; gives how many it said something of. An answer that cannot be read
/// makes the job a dead letter; an attempt after a crash does not pay for it again. Requeued, it asks again.
pub(super) async fn ask_insights(deps: &Deps, ctx: &Ctx, attempts: u32) -> Result<u64> {
    let Some(model) = deps.model.as_deref() else { return Ok(0) };
    let (mut said, mut failed) = (0, None);
    let due = due(deps, ctx).await?;
    // Where there is news, the job is about that: what could not be read before is not paid for along with it. A job without news is
    // one that somebody requeued.
    let has_news = due.iter().any(|insight| !has_failed(insight));
    for insight in due.into_iter().filter(|insight| !has_news || !has_failed(insight)) {
        match ask_one(deps, ctx, model, &insight, attempts).await {
            Ok(says) => said += u64::from(says),
            // One that cannot be read does not keep the others waiting.
            Err(error) if error.code() == UNREADABLE => failed = Some(error),
            Err(error) => return Err(error),
        }
    }
    failed.map_or(Ok(said), Err)
}

async fn ask_one(deps: &Deps, ctx: &Ctx, model: &str, insight: &Memory, attempts: u32) -> Result<bool> {
    if attempts > 1 && has_failed(insight) {
        return Err(unreadable());
    }
    let lessons = deps.relational.get(ctx, &insight.provenance.derived_from).await?;
    let lessons: Vec<Memory> = lessons.into_iter().flatten().collect();
    let request = insight_request(model, &lessons);
    let options = || LlmOptions { operation: "reflect".to_owned(), ..LlmOptions::default() };
    let first = llm(deps, ctx.scope(), request.clone(), options()).await?.response.message.plain_text();
    let answer = match read_insight(&first) {
        Ok(answer) => Ok(answer),
        Err(why) => {
            tracing::debug!(why, "a model's insight could not be read; asking once more");
            let again = llm(deps, ctx.scope(), repair(request, &first, &why), options()).await?;
            read_insight(&again.response.message.plain_text())
        }
    };
    let patch = told(insight, answer.as_ref().map(Option::as_deref).map_err(|_| ()));
    let says = matches!(&answer, Ok(Some(_)));
    match apply(deps, ctx, vec![patched(insight, patch)?], &[]).await {
        Ok(_) => {}
        // Somebody changed or forgot it meanwhile: what was said is of what is not there any more.
        Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound) && is_raced(&error) => {}
        Err(error) => return Err(error),
    }
    if answer.is_err() { Err(unreadable()) } else { Ok(says) }
}

async fn once(deps: &Deps, ctx: &Ctx) -> Result<Vec<Reflected>> {
    let mut lessons: VecDeque<Memory> = VecDeque::new();
    pages(deps, ctx, json!({ "kind": Kind::Lesson, "layer": "reflective" }), |lesson| {
        if lessons.len() == REFLECT_LESSONS_MAX {
            lessons.pop_front();
        }
        lessons.push_back(lesson);
    })
    .await?;
    let mut drafts = insights(ctx.scope(), lessons.make_contiguous());
    if let Some(sessions) = deps.lifecycle.consolidate_sessions {
        let mut said = Statements::default();
        pages(deps, ctx, json!({ "kind": Kind::Conversation, "session_id": { "ne": null } }), |mut memory| {
            let session = memory.session_id.take().unwrap_or_default();
            if let Some(event) = Event::read(memory) {
                said.take(&session, &event);
            }
        })
        .await?;
        drafts.extend(said.drafts(ctx.scope(), sessions));
    }
    let known = about(deps, ctx, &drafts.iter().map(|draft| draft.subject).collect::<Vec<_>>()).await?;
    let now = deps.clock.now();
    let keep_words = |mut draft: Draft| {
        if let Some(old) = known.get(&draft.subject) {
            draft.keep_words(old);
        }
        draft
    };
    let news = news(deps, ctx, drafts.into_iter().map(keep_words), (&known, now)).await?;
    let mut made = Vec::new();
    // What cites much is written bit by bit: a batch must stay small.
    let mut rest = news.into_iter().peekable();
    while rest.peek().is_some() {
        made.extend(write(deps, ctx, rest.by_ref().take(BATCH).collect(), &known, now).await?);
    }
    Ok(made)
}

/// Memories written in one batch.
const BATCH: usize = 16;

/// The live memories that match, in the order of their ids.
async fn pages(deps: &Deps, ctx: &Ctx, filter: Value, mut take: impl FnMut(Memory)) -> Result<()> {
    let now = deps.clock.now();
    let mut scan = Scan { filter: Some(Filter::parse(&filter)?), after: None, limit: PAGE_MAX };
    loop {
        let page = deps.relational.scan(ctx, &scan).await?;
        let Some(last) = page.last() else { return Ok(()) };
        scan.after = Some(Cursor(last.id));
        let full = page.len() == scan.limit;
        page.into_iter().filter(|m| !m.is_expired(now) && !m.is_over(now)).for_each(&mut take);
        if !full {
            return Ok(());
        }
    }
}
