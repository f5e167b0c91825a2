//! Asking a model about a session that failed, where one is configured: after the rules, whose lessons stand whatever it says.

use super::{Reflected, about, apply, mark, marks, read_events, summary_of};
use crate::{
    Ctx,
    deps::Deps,
    error::{Error, Result},
    jobs::embed_debt,
    limits::{REFLECT_ASKED_MAX, REFLECT_INSIGHT_CHARS_MAX},
    model::{DropTarget, InfoClass, JobKind, NewJob, Op},
    ops::{LlmOptions, llm},
    reflect::{
        Answer, Cited, Event, Said, Subject, Verdict, chosen, counted, cut, evaluate, explained, is_of_nobody,
        is_of_one, is_unexplained, lesson_subjects, model_failed, model_request, read_answer, repair, sentence,
        was_asked,
    },
};
use std::time::Duration;

/// The code of an answer that could not be read, twice.
pub(crate) const UNREADABLE: &str = "reply_unreadable";
/// Attempts against others who change the same lessons.
const ATTEMPTS: usize = 8;
/// When a job tries what could not be asked on demand.
const LATER: Duration = Duration::from_secs(30);
/// How long who asks is believed to be still asking: longer than an answer takes, shorter than all attempts of a job.
const ASKING: Duration = Duration::from_secs(300);

/// Asks about what no model has seen of the session; gives what it made stronger. Nobody pays again for an answer that could not be
/// read, which makes the job a dead letter, but for the first attempt of a job (`attempts` is 1, and 0 on demand): one after a crash
/// fails of it. Requeued, it is asked again. Who comes while another one asks does not pay either.
pub(super) async fn ask(deps: &Deps, ctx: &Ctx, session: &str, attempts: u32) -> Result<Vec<Reflected>> {
    let Some(model) = deps.model.as_deref() else { return Ok(Vec::new()) };
    let Some(summary) = summary_of(deps, ctx, session).await? else { return Ok(Vec::new()) };
    let Some(upto) = mark(&summary).filter(|upto| was_asked(&summary).is_none_or(|asked| asked < *upto)) else {
        return Ok(Vec::new());
    };
    if attempts != 1 && model_failed(&summary) == Some(upto) {
        return Err(unreadable());
    }
    let Some(events) = read_events(deps, ctx, session, None).await? else { return Ok(Vec::new()) };
    // What came after the summary has its own turn.
    let events: Vec<_> = events.into_iter().filter(|event| event.seq <= upto).collect();
    let verdict = evaluate(&events, None);
    let went_wrong = !verdict.failings.is_empty() || verdict.outcome.is_some_and(|outcome| outcome.is_bad());
    if !went_wrong || !is_due(deps, ctx, (&events, &verdict)).await? {
        return Ok(Vec::new());
    }
    let chosen = chosen(&events, &verdict);
    let asking = marks::claim(deps, ctx, session, upto, ASKING).await?;
    let kept = ask_claimed(deps, ctx, session, (model, &events, &chosen), (&verdict, upto)).await;
    marks::release(deps, ctx, asking).await;
    kept
}

/// Whether there is anything to ask: a failure that no model was asked about since it has happened twice as often, or a bad end that
/// none explains.
async fn is_due(deps: &Deps, ctx: &Ctx, session: (&[Event], &Verdict)) -> Result<bool> {
    let subjects = lesson_subjects(ctx.scope(), session);
    if subjects.is_empty() {
        return Ok(true);
    }
    let now = deps.clock.now();
    let own: Vec<Subject> = subjects.iter().flatten().copied().collect();
    let known = about(deps, ctx, &own).await?;
    // One that somebody forgot or ended is asked about no more; one of several owners has no lesson, and no word of a model.
    Ok(known.values().any(|lesson| !lesson.is_over(now) && is_unexplained(lesson)))
}

/// Asks, unless somebody did between the look at the summary and the claim, and keeps the answer.
async fn ask_claimed(
    deps: &Deps,
    ctx: &Ctx,
    session: &str,
    (model, events, chosen): (&str, &[Event], &[Event]),
    (verdict, upto): (&Verdict, u32),
) -> Result<Vec<Reflected>> {
    let summary = summary_of(deps, ctx, session).await?;
    if summary.is_none_or(|summary| was_asked(&summary).is_some_and(|asked| asked >= upto)) {
        return Ok(Vec::new());
    }
    let (answer, failed) = answer_of(deps, ctx, (model, chosen, verdict)).await?;
    keep_all(deps, ctx, session, (answer, events, chosen), (verdict, upto, failed)).await
}

/// Asks, once more where the answer cannot be read. Gives it, and whether it could not be read twice.
async fn answer_of(
    deps: &Deps,
    ctx: &Ctx,
    (model, chosen, verdict): (&str, &[Event], &Verdict),
) -> Result<(Answer, bool)> {
    let request = model_request(model, chosen, verdict);
    let options = || LlmOptions { operation: "reflect".to_owned(), ..LlmOptions::default() };
    let first = llm(deps, ctx.scope(), request.clone(), options()).await?.response.message.plain_text();
    let answer = match read_answer(&first, verdict) {
        Ok(answer) => Ok(answer),
        Err(why) => {
            tracing::debug!(why, "a model's reflection could not be read; asking once more");
            let again = llm(deps, ctx.scope(), repair(request, &first, &why), options()).await?;
            read_answer(&again.response.message.plain_text(), verdict)
        }
    };
    Ok(match answer {
        Ok(answer) => (answer, false),
        Err(why) => {
            tracing::warn!(why, "a model's reflection could not be read");
            (Answer::default(), true)
        }
    })
}

/// Keeps an answer that was paid for, whatever happens to the lessons meanwhile. Of what was said about events that are not as they
/// were shown any more nothing is kept but that it was asked.
async fn keep_all(
    deps: &Deps,
    ctx: &Ctx,
    session: &str,
    (answer, events, chosen): (Answer, &[Event], &[Event]),
    (verdict, upto, failed): (&Verdict, u32, bool),
) -> Result<Vec<Reflected>> {
    let lessons = lesson_subjects(ctx.scope(), (events, verdict));
    let mut answer = for_owners(answer, events, verdict);
    let mut shown: Vec<Cited> = chosen.iter().map(Event::cited).collect();
    let class = chosen.iter().map(|event| event.info_class).max().unwrap_or(InfoClass::Internal);
    for attempt in 1.. {
        match keep(deps, ctx, session, (&answer, &shown, class), (&lessons, upto, failed)).await {
            Err(error) if super::is_raced(&error) && attempt < ATTEMPTS => {
                let now = read_events(deps, ctx, session, None).await?.unwrap_or_default();
                let same = |was: &Event| now.iter().find(|is| is.id == was.id && is.text == was.text).map(Event::cited);
                match chosen.iter().map(same).collect::<Option<Vec<Cited>>>() {
                    Some(still) => shown = still,
                    None => (answer, shown) = (Answer::default(), Vec::new()),
                }
            }
            Ok(_) if failed => return Err(unreadable()),
            done => return done,
        }
    }
    Err(Error::internal("unreachable: the loop ends by returning"))
}

/// What may be kept of an answer. A lesson is for everybody in the project: of events that have an owner it gets no word. What is
/// said of the events of one owner goes to that owner's summary.
fn for_owners(answer: Answer, events: &[Event], verdict: &Verdict) -> Answer {
    if is_of_nobody(events) {
        return answer;
    }
    if !is_of_one(events) {
        return Answer::default();
    }
    let rule = |(n, said): (&usize, &Said)| {
        let tool = verdict.failings.get(*n).and_then(|failing| failing.tool.as_deref()).unwrap_or_default();
        let of = if tool.is_empty() { String::new() } else { format!(" of `{tool}`") };
        format!("A failure{of}: {} Rule: {}", sentence(&said.cause), sentence(&said.rule))
    };
    let words: Vec<String> =
        answer.insight.iter().map(|text| sentence(text)).chain(answer.failures.iter().map(rule)).collect();
    let insight = Some(cut(&words.join(" "), REFLECT_INSIGHT_CHARS_MAX)).filter(|text| !text.is_empty());
    Answer { insight, ..Answer::default() }
}

pub(super) fn unreadable() -> Error {
    Error::unavailable("the model's reflection could not be read, twice").with_code(UNREADABLE)
}

/// Puts what the model said into the lessons that are there, and notes in the summary that it was asked.
async fn keep(
    deps: &Deps,
    ctx: &Ctx,
    session: &str,
    (answer, shown, class): (&Answer, &[Cited], InfoClass),
    (lessons, upto, failed): (&[Option<Subject>], u32, bool),
) -> Result<Vec<Reflected>> {
    let Some(summary) = summary_of(deps, ctx, session).await? else { return Ok(Vec::new()) };
    let subjects: Vec<Subject> = lessons.iter().flatten().copied().collect();
    let known = about(deps, ctx, &subjects).await?;
    let now = deps.clock.now();
    let mut changes = Vec::new();
    for (n, lesson) in lessons.iter().enumerate().filter(|_| !failed) {
        // A lesson that somebody forgot or ended stays so.
        let lesson = lesson.and_then(|lesson| known.get(&lesson)).filter(|lesson| !lesson.is_over(now));
        let Some(lesson) = lesson.filter(|lesson| n < REFLECT_ASKED_MAX && is_unexplained(lesson)) else { continue };
        let told = answer.failures.get(&n).and_then(|said| explained(lesson, said, (shown, class)));
        changes.push((lesson.clone(), counted(lesson, told)));
    }
    let insight = answer.insight.as_deref().filter(|_| !summary.is_over(now));
    changes.push((summary.clone(), crate::reflect::asked(&summary, insight, (upto, failed), (shown, class))));
    let patched = changes.into_iter().map(|(old, patch)| super::patched(&old, patch)).collect::<Result<_>>()?;
    apply(deps, ctx, patched, shown).await
}

/// Queues what could not be asked now.
pub(super) async fn later(deps: &Deps, ctx: &Ctx, session: &str, failed: &Error) -> Result<()> {
    let now = deps.clock.now();
    let run_at = embed_debt::parked_until(failed, now).unwrap_or_else(|| now.saturating_add(LATER));
    let payload = DropTarget::job_of(session);
    let job = NewJob { id: deps.ids.next_uuid(now), kind: JobKind::Reflect, payload, run_at };
    deps.relational.apply(ctx, deps.batch(vec![Op::EnqueueJob { job }])).await.map(|_| ())
}
