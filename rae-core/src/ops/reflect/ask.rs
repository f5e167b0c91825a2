//! Asking a model about a session that failed, where one is configured: after the rules, whose lessons stand whatever it says.

use super::{Reflected, about, apply, mark, read_events, summary_of};
use crate::{
    Ctx,
    deps::Deps,
    error::{Error, Result},
    jobs::embed_debt,
    model::{JobKind, NewJob, Op},
    ops::{LlmOptions, llm},
    reflect::{
        Answer, Cited, Event, Subject, chosen, evaluate, explained, is_of_one, lessons, model_failed, model_request,
        read_answer, repair, was_asked,
    },
};
use serde_json::json;
use std::time::Duration;

/// The code of an answer that could not be read, twice.
pub(crate) const UNREADABLE: &str = "reply_unreadable";
/// Attempts against others who change the same lessons.
const ATTEMPTS: usize = 8;
/// When a job tries what could not be asked on demand.
const LATER: Duration = Duration::from_secs(30);

/// Asks about what no model has seen of the session; gives what it made stronger. A job's later attempts (`attempts` above 1) do
/// not pay again for an answer that could not be read: they fail of it until it is a dead letter. Requeued, it is asked again.
pub(super) async fn ask(deps: &Deps, ctx: &Ctx, session: &str, attempts: u32) -> Result<Vec<Reflected>> {
    let Some(model) = deps.model.as_deref() else { return Ok(Vec::new()) };
    let Some(summary) = summary_of(deps, ctx, session).await? else { return Ok(Vec::new()) };
    let Some(upto) = mark(&summary).filter(|upto| was_asked(&summary).is_none_or(|asked| asked < *upto)) else {
        return Ok(Vec::new());
    };
    if attempts > 1 && model_failed(&summary) == Some(upto) {
        return Err(unreadable());
    }
    let Some(events) = read_events(deps, ctx, session, None).await? else { return Ok(Vec::new()) };
    // What came after the summary has its own turn.
    let events: Vec<_> = events.into_iter().filter(|event| event.seq <= upto).collect();
    let verdict = evaluate(&events, None);
    let went_wrong = !verdict.failings.is_empty() || verdict.outcome.is_some_and(|outcome| outcome.is_bad());
    if !went_wrong {
        return Ok(Vec::new());
    }
    let chosen = chosen(&events, &verdict);
    let request = model_request(model, &chosen, &verdict);
    let options = || LlmOptions { operation: "reflect".to_owned(), ..LlmOptions::default() };
    let first = llm(deps, ctx.scope(), request.clone(), options()).await?.response.message.plain_text();
    let answer = match read_answer(&first, &verdict) {
        Ok(answer) => Ok(answer),
        Err(why) => {
            tracing::debug!(why, "a model's reflection could not be read; asking once more");
            let again = llm(deps, ctx.scope(), repair(request, &first, &why), options()).await?;
            read_answer(&again.response.message.plain_text(), &verdict)
        }
    };
    let (answer, failed) = match answer {
        Ok(answer) => (answer, false),
        Err(why) => {
            tracing::warn!(why, "a model's reflection could not be read");
            (Answer::default(), true)
        }
    };
    let lessons = lessons(ctx.scope(), &verdict);
    // What is said of all is nobody's own, and is not kept.
    let answer = Answer { insight: answer.insight.filter(|_| is_of_one(&events)), ..answer };
    let shown: Vec<Cited> = chosen.iter().map(Event::cited).collect();
    for attempt in 1.. {
        match keep(deps, ctx, session, (&answer, &shown), (&lessons, upto, failed)).await {
            Err(error) if super::is_raced(&error) && attempt < ATTEMPTS => {}
            Ok(_) if failed => return Err(unreadable()),
            done => return done,
        }
    }
    Err(Error::internal("unreachable: the loop ends by returning"))
}

pub(super) fn unreadable() -> Error {
    Error::unavailable("the model's reflection could not be read, twice").with_code(UNREADABLE)
}

/// Puts what the model said into the lessons that are there, and notes in the summary that it was asked.
async fn keep(
    deps: &Deps,
    ctx: &Ctx,
    session: &str,
    (answer, shown): (&Answer, &[Cited]),
    (lessons, upto, failed): (&[Subject], u32, bool),
) -> Result<Vec<Reflected>> {
    let Some(summary) = summary_of(deps, ctx, session).await? else { return Ok(Vec::new()) };
    let known = about(deps, ctx, lessons).await?;
    let now = deps.clock.now();
    let mut changes = Vec::new();
    for (n, said) in &answer.failures {
        // A lesson that somebody forgot or ended stays so.
        if let Some(lesson) = lessons.get(*n).and_then(|lesson| known.get(lesson)).filter(|lesson| !lesson.is_over(now))
        {
            changes.extend(explained(lesson, said, shown).map(|patch| (lesson.clone(), patch)));
        }
    }
    let insight = answer.insight.as_deref().filter(|_| !summary.is_over(now));
    changes.push((summary.clone(), crate::reflect::asked(&summary, insight, (upto, failed), shown)));
    let patched = changes.into_iter().map(|(old, patch)| super::patched(&old, patch)).collect::<Result<_>>()?;
    apply(deps, ctx, patched, shown).await
}

/// Queues what could not be asked now.
pub(super) async fn later(deps: &Deps, ctx: &Ctx, session: &str, failed: &Error) -> Result<()> {
    let now = deps.clock.now();
    let run_at = embed_debt::parked_until(failed, now).unwrap_or_else(|| now.saturating_add(LATER));
    let payload = json!({ "session_id": session });
    let job = NewJob { id: deps.ids.next_uuid(now), kind: JobKind::Reflect, payload, run_at };
    deps.relational.apply(ctx, deps.batch(vec![Op::EnqueueJob { job }])).await.map(|_| ())
}
