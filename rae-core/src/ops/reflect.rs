//! `reflect`: what sessions teach, kept as lessons, strategies and reflections.
//!
//! A session is looked at whole, and its summary says how far. Summary and lessons are one batch under the versions that were
//! read: two who reflect on one session at the same time count nothing twice.

mod ask;
mod buckets;
mod clusters;
mod joined;
mod marks;
mod unquote;

pub(crate) use ask::UNREADABLE;
pub(crate) use joined::{Brought, join_lesson, sum_up_anew, would_join};
pub(crate) use marks::{dropped as mark_dropped, of_memory as mark_of, trim as trim_marks};
pub(crate) use unquote::unquoted;

use super::{
    change_row,
    get::{ListOptions, Page, list},
    subject::{about, absent},
};
use crate::{
    Ctx,
    cost::Embedded,
    deps::Deps,
    error::{Error, ErrorKind, Result},
    ingest::event_name,
    jobs::embed_debt,
    limits::{PAGE_MAX, REFLECT_EVENTS_MAX, REFLECT_RIGHTED_MAX, REFLECT_SESSIONS_MAX, REFLECT_WEEKS_MAX},
    model::{
        Cursor, Filter, Job, JobKind, Kind, Layer, Memory, MemoryId, MemoryPatch, NewJob, Op, PatchMode, Precondition,
        Scan, Scope, Timestamp, VectorRow,
    },
    reflect::{Cited, Draft, Event, Subject, Verdict, drafts, evaluate, fixed_id, subjects},
};
use marks::Seen;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// Attempts against others who reflect on the same at the same time.
const ATTEMPTS: usize = 8;

/// What to reflect on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReflectOptions {
    /// This session; without one all sessions of the project that have news.
    pub session_id: Option<String>,
    /// Only sessions with an event at or after this time.
    pub since: Option<Timestamp>,
}

/// A memory that was made or grew stronger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reflected {
    /// Its id.
    pub id: MemoryId,
    /// `lesson`, `strategy` or `reflection`; `fact` for a statement that was consolidated.
    pub kind: Kind,
    /// What it says now.
    pub content: String,
    /// Its version.
    pub version: u32,
    /// Whether it is new.
    pub created: bool,
    /// The session that it sums up, where it is a reflection.
    pub session_id: Option<String>,
    /// The tool that failed, where one did.
    pub tool: Option<String>,
    /// The error in its general form.
    pub error: Option<String>,
    /// How often it happened.
    pub count: Option<u64>,
    /// In how many sessions.
    pub sessions: Option<u64>,
    /// How much it matters, 0 to 1.
    pub importance: f64,
    /// How sure it is, 0 to 1.
    pub confidence: f64,
    /// The events that it was learnt from, at most 64.
    pub sources: Vec<MemoryId>,
    /// `model` where one is configured and could not be asked: a job asks it later.
    pub degraded: Vec<String>,
}

impl Reflected {
    fn of(memory: &Memory, created: bool) -> Self {
        let text = |key: &str| memory.metadata.get(key).and_then(Value::as_str).map(str::to_owned);
        let number = |key: &str| memory.metadata.get(key).and_then(Value::as_u64);
        Self {
            id: memory.id,
            kind: memory.kind,
            content: memory.content.clone(),
            version: memory.version,
            created,
            session_id: text("session_id"),
            tool: text("tool"),
            error: text("error"),
            count: number("count"),
            sessions: number("sessions"),
            importance: memory.importance,
            confidence: memory.confidence,
            sources: memory.provenance.derived_from.clone(),
            degraded: Vec::new(),
        }
    }
}

pub(crate) async fn reflect(deps: &Deps, scope: &Scope, options: ReflectOptions) -> Result<Vec<Reflected>> {
    event_name("session_id", options.session_id.as_deref())?;
    let ctx = deps.ctx(scope)?;
    let (sessions, days) = match &options.session_id {
        Some(session) => (vec![session.clone()], BTreeSet::new()),
        None => sessions_with_news(deps, &ctx, options.since).await?,
    };
    let since = options.session_id.as_ref().and(options.since);
    let mut all = Vec::new();
    for session in sessions {
        // Who names a session has it looked at again where its summary is gone.
        let is_named = options.session_id.is_some();
        let mut made = reflect_on(deps, &ctx, &session, (since, is_named)).await?;
        match ask::ask(deps, &ctx, &session, 0).await {
            Ok(more) => join(&mut made, more),
            // What the rules found stands, and is given. The money, or the model, may be there later.
            Err(error) => {
                tracing::warn!(kind = error.kind().name(), code = error.code(), "no model was asked about a session");
                made.iter_mut().for_each(|made| made.degraded.push("model".to_owned()));
                // One job is enough, however often this is called.
                if error.code() != UNREADABLE && !made.is_empty() {
                    ask::later(deps, &ctx, &session, &error).await?;
                }
            }
        }
        all.append(&mut made);
    }
    if options.session_id.is_none() {
        all.extend(buckets::sum_up(deps, &ctx, &days).await?);
        all.extend(clusters::deepen(deps, &ctx).await?);
    }
    Ok(all)
}

/// What `maintain` does when the jobs have run: insights, and what is consolidated. Gives how many memories it made or changed.
pub(crate) async fn deepen(deps: &Deps, scope: &Scope) -> Result<u64> {
    Ok(clusters::deepen(deps, &deps.ctx(scope)?).await?.len() as u64)
}

/// What a `Reflect` job does; gives how many memories it made or changed. Doing it twice changes nothing.
pub(crate) async fn run_reflect(deps: &Deps, scope: &Scope, job: &Job) -> Result<u64> {
    if job.payload.get("insights") == Some(&Value::Bool(true)) {
        return clusters::ask_insights(deps, &deps.ctx(scope)?, job.attempts).await;
    }
    let session = match job.payload.get("session_id") {
        None | Some(Value::Null) => {
            return reflect(deps, scope, ReflectOptions::default()).await.map(|made| made.len() as u64);
        }
        Some(Value::String(session)) => session,
        Some(_) => return Err(Error::corrupt("the payload of a reflect job does not name a session")),
    };
    let ctx = deps.ctx(scope)?;
    let mut made = reflect_on(deps, &ctx, session, (None, false)).await?;
    join(&mut made, ask::ask(deps, &ctx, session, job.attempts).await?);
    Ok(made.len() as u64)
}

/// Queues a reflection where a write passed a multiple of the number of changes that one is wanted after. At most one waits; that it
/// could not be queued is no fault of the write.
pub(crate) async fn reflect_after(deps: &Deps, ctx: &Ctx, (before, now): (u64, u64)) {
    let Some(every) = deps.reflect_after.filter(|every| before / every != now / every) else { return };
    let (id, payload) = (fixed_id(ctx.scope(), "reflect_after", &[]).0, json!({}));
    let job = NewJob { id, kind: JobKind::Reflect, payload, run_at: deps.clock.now() };
    let done = match deps.relational.apply(ctx, deps.batch(vec![Op::EnqueueJob { job }])).await {
        // It waits already; one that is a dead letter would wait for ever.
        Err(error) if error.code() == "exists" => {
            let again = deps.relational.apply(ctx, deps.batch(vec![Op::RequeueJob { id }])).await;
            again.map(|_| ())
        }
        queued => queued.map(|_| ()),
    };
    if let Err(error) = done {
        tracing::warn!(kind = error.kind().name(), every, "a reflection could not be queued");
    }
}

/// Each memory once, as it is after both.
fn join(made: &mut Vec<Reflected>, more: Vec<Reflected>) {
    for later in more {
        match made.iter_mut().find(|made| made.id == later.id) {
            Some(made) => *made = Reflected { created: made.created, ..later },
            None => made.push(later),
        }
    }
}

/// Lessons, strategies and reflections, as `list` gives memories.
pub(crate) async fn reflections(deps: &Deps, scope: &Scope, limit: i64, cursor: Option<String>) -> Result<Page> {
    let kinds = [Kind::Lesson, Kind::Strategy, Kind::Reflection];
    let filter = json!({ "kind": { "in": kinds } });
    list(deps, scope, ListOptions { limit, cursor, filter: Some(filter), ..ListOptions::default() }).await
}

/// Sessions with an event that no reflection has seen, in the order of their first such event, and the newest days with events; at
/// most `limits::REFLECT_SESSIONS_MAX` sessions, as the next call finds the others.
async fn sessions_with_news(deps: &Deps, ctx: &Ctx, since: Option<Timestamp>) -> Result<(Vec<String>, BTreeSet<i64>)> {
    let filter = Filter::parse(&json!({ "kind": Kind::Conversation, "session_id": { "ne": null } }))?;
    let now = deps.clock.now();
    let mut scan = Scan { filter: Some(filter), after: None, limit: PAGE_MAX };
    let (mut news, mut days): (Vec<String>, BTreeSet<i64>) = (Vec::new(), BTreeSet::new());
    let mut marks: HashMap<String, Option<Seen>> = HashMap::new();
    while news.len() < REFLECT_SESSIONS_MAX {
        let page = deps.relational.scan(ctx, &scan).await?;
        let Some(last) = page.last() else { break };
        scan.after = Some(Cursor(last.id));
        let full = page.len() == scan.limit;
        let is_due =
            |m: &Memory| !m.is_expired(now) && !m.is_over(now) && since.is_none_or(|since| m.event_time() >= since);
        // What cannot be read as an event is no news: nobody would ever have seen it.
        let event = |mut m: Memory| {
            let (day, session) = (buckets::day_of(&m), m.session_id.take());
            Event::read(m).zip(session).map(|(event, session)| (session, (event.seq, event.written), day))
        };
        let events: Vec<(String, (u32, Timestamp), i64)> = page.into_iter().filter(is_due).filter_map(event).collect();
        // One look at the marks of a page's sessions; they do not pile up over pages.
        marks.retain(|session, _| events.iter().any(|(named, ..)| named == session));
        let named: BTreeSet<&String> = events.iter().map(|(session, ..)| session).collect();
        let summary = |session: &String| (session.clone(), Subject::summary(ctx.scope(), session));
        let asked: Vec<(String, Subject)> =
            named.into_iter().filter(|s| !marks.contains_key(*s)).map(summary).collect();
        let found = about(deps, ctx, &asked.iter().map(|(_, subject)| *subject).collect::<Vec<_>>()).await?;
        for (session, subject) in asked {
            let seen = match found.get(&subject) {
                Some(summary) => Seen::of(summary),
                None => marks::of_session(deps, ctx, &session).await?,
            };
            marks.insert(session, seen);
        }
        for (session, event, day) in events {
            days.insert(day);
            if marks.get(&session).copied().flatten().is_some_and(|seen| !seen.is_stale && seen.has(event, now)) {
                continue;
            }
            if !news.contains(&session) && news.len() < REFLECT_SESSIONS_MAX {
                news.push(session);
            }
        }
        // Those of the newest weeks are enough.
        while days.len() > 7 * REFLECT_WEEKS_MAX {
            days.pop_first();
        }
        if !full {
            break;
        }
    }
    Ok((news, days))
}

async fn summary_of(deps: &Deps, ctx: &Ctx, session: &str) -> Result<Option<Memory>> {
    let subject = Subject::summary(ctx.scope(), session);
    Ok(about(deps, ctx, &[subject]).await?.remove(&subject))
}

/// How far a session was looked at.
fn mark(summary: &Memory) -> Option<u32> {
    summary.metadata.get("upto").and_then(Value::as_u64).and_then(|upto| u32::try_from(upto).ok())
}

async fn reflect_on(deps: &Deps, ctx: &Ctx, session: &str, how: (Option<Timestamp>, bool)) -> Result<Vec<Reflected>> {
    for attempt in 1.. {
        match try_once(deps, ctx, session, how).await {
            Err(error) if is_raced(&error) && attempt < ATTEMPTS => {}
            done => return done,
        }
    }
    Err(Error::internal("unreachable: the loop ends by returning"))
}

/// Whether somebody else was faster: then everything is read once more.
fn is_raced(error: &Error) -> bool {
    error.kind() == ErrorKind::NotFound
        || (error.kind() == ErrorKind::Conflict
            && !matches!(error.code(), "lease_lost" | "embedder_changed" | "versions_used_up"))
}

async fn try_once(
    deps: &Deps,
    ctx: &Ctx,
    session: &str,
    (since, is_named): (Option<Timestamp>, bool),
) -> Result<Vec<Reflected>> {
    let scope = ctx.scope();
    // The summary first: what is written after this look is news to the batch below.
    let mut summary = summary_of(deps, ctx, session).await?;
    let seen = match &summary {
        Some(summary) => Seen::of(summary),
        None => marks::of_session(deps, ctx, session).await?,
    };
    // Summed up once more, where what was counted stays counted: its summary went with an event, or somebody names the session.
    let is_again = summary.is_none() && seen.is_some_and(|seen| is_named || seen.is_stale);
    let Some(events) = read_events(deps, ctx, session, since).await? else { return Ok(Vec::new()) };
    let now = deps.clock.now();
    let is_new = |event: &Event| seen.is_none_or(|seen| !seen.has((event.seq, event.written), now));
    if events.is_empty() || !(is_again || events.iter().any(is_new)) {
        return Ok(Vec::new());
    }
    tracing::debug!(events = events.len(), "reflecting on a session");
    // Where places are given again, what was said of those before says nothing of these.
    let is_anew = events.iter().any(|event| seen.is_some_and(|seen| event.seq <= seen.upto) && is_new(event));
    if let Some(summary) = summary.as_mut().filter(|_| is_anew) {
        ["asked", "model_failed"].into_iter().for_each(|mark| drop(summary.metadata.remove(mark)));
    }
    let mark = seen.filter(|_| !is_anew).map(|seen| seen.upto);
    let verdict = evaluate(&events, mark);
    let righted = righted(deps, ctx, &verdict).await?;
    let mut known = about(deps, ctx, &subjects(scope, session, (&events, &verdict))).await?;
    known.extend(righted.iter().filter_map(|memory| Some((Subject::of(scope, memory)?, memory.clone()))));
    // The mark counts as it was read before the events.
    match summary {
        Some(summary) => known.insert(Subject::summary(scope, session), summary),
        None => known.remove(&Subject::summary(scope, session)),
    };
    let mut drafts = drafts(scope, session, (&events, &verdict), (&known, &righted), is_again);
    // Nor is a model paid again because somebody erased something.
    if let Some(mark) = mark.filter(|_| is_again && deps.model.is_some()) {
        let main = drafts.iter_mut().find(|draft| draft.subject == Subject::summary(scope, session));
        main.into_iter().for_each(|draft| drop(draft.metadata.insert("asked".to_owned(), json!(mark))));
    }
    write(deps, ctx, drafts, &known, now).await
}

/// The lessons and strategies of the tools that worked in a session: they weigh less for it. The newest of them.
async fn righted(deps: &Deps, ctx: &Ctx, verdict: &Verdict) -> Result<Vec<Memory>> {
    let tools: BTreeSet<&str> =
        verdict.worked.iter().filter(|worked| worked.is_new).map(|worked| worked.tool.as_str()).collect();
    if tools.is_empty() {
        return Ok(Vec::new());
    }
    let now = deps.clock.now();
    let filter = Filter::parse(&json!({
        "kind": { "in": [Kind::Lesson, Kind::Strategy] }, "layer": Layer::Reflective, "metadata.tool": { "in": tools },
    }))?;
    let mut scan = Scan { filter: Some(filter), after: None, limit: PAGE_MAX };
    let mut all: VecDeque<Memory> = VecDeque::new();
    loop {
        let page = deps.relational.scan(ctx, &scan).await?;
        let Some(last) = page.last() else { break };
        scan.after = Some(Cursor(last.id));
        let full = page.len() == scan.limit;
        all.extend(
            page.into_iter().filter(|m| Subject::of(ctx.scope(), m).is_some() && !m.is_expired(now) && !m.is_over(now)),
        );
        all.drain(..all.len().saturating_sub(REFLECT_RIGHTED_MAX));
        if !full {
            break;
        }
    }
    Ok(all.into())
}

/// The newest events of a session in their order; `None` where none is at or after `since`.
async fn read_events(deps: &Deps, ctx: &Ctx, session: &str, since: Option<Timestamp>) -> Result<Option<Vec<Event>>> {
    let filter = Filter::parse(&json!({ "session_id": session, "kind": Kind::Conversation }))?;
    let now = deps.clock.now();
    let mut scan = Scan { filter: Some(filter), after: None, limit: PAGE_MAX };
    let (mut events, mut is_recent) = (Vec::new(), since.is_none());
    loop {
        let page = deps.relational.scan(ctx, &scan).await?;
        let Some(last) = page.last() else { break };
        scan.after = Some(Cursor(last.id));
        let full = page.len() == scan.limit;
        for memory in page.into_iter().filter(|m| !m.is_expired(now) && !m.is_over(now)) {
            is_recent |= since.is_some_and(|since| memory.event_time() >= since);
            events.extend(Event::read(memory));
        }
        // The end of the session sorts last.
        events.sort_by_key(|event: &Event| (event.seq, event.id));
        events.drain(..events.len().saturating_sub(REFLECT_EVENTS_MAX));
        if !full {
            break;
        }
    }
    Ok(Some(events).filter(|_| is_recent))
}

/// The drafts that say what is not there: nothing of what somebody ended, or let go, from no more than it was made from.
async fn news(
    deps: &Deps,
    ctx: &Ctx,
    drafts: impl Iterator<Item = Draft>,
    (known, now): (&HashMap<Subject, Memory>, Timestamp),
) -> Result<Vec<Draft>> {
    let mut news = Vec::new();
    for draft in drafts {
        let says = match known.get(&draft.subject) {
            Some(old) => !old.is_over(now) && draft.is_news(Some(old)),
            None => !marks::was_let_go(deps, ctx, &draft.subject, (draft.kind, &draft.metadata)).await?,
        };
        if says {
            news.push(draft);
        }
    }
    Ok(news)
}

/// Writes what was learnt.
async fn write(
    deps: &Deps,
    ctx: &Ctx,
    drafts: Vec<Draft>,
    known: &HashMap<Subject, Memory>,
    now: Timestamp,
) -> Result<Vec<Reflected>> {
    let (mut changes, mut cited): (Vec<Change>, Vec<Cited>) = (Vec::new(), Vec::new());
    for draft in drafts {
        let subject = draft.subject;
        match known.get(&subject) {
            // What somebody ended or replaced stays as it is.
            Some(old) if old.is_over(now) && !draft.revives(old) => {
                let mark = draft.mark_alone(old).map(|patch| patched(old, patch)).transpose()?;
                changes.extend(mark.map(|change| Change { is_told: false, ..change }));
                continue;
            }
            known => {
                cited.extend(draft.cited().copied());
                changes.push(match known {
                    None => {
                        let memory = draft.into_memory(deps.ids.next(now), ctx.scope(), now);
                        Change {
                            memory,
                            subject: Some(subject),
                            patch: None,
                            is_told: true,
                            mode: PatchMode::NewVersion,
                        }
                    }
                    Some(old) => {
                        let mode = if draft.is_quiet { PatchMode::InPlace } else { PatchMode::NewVersion };
                        Change { is_told: !draft.is_quiet, mode, ..patched(old, draft.into_patch(old))? }
                    }
                });
            }
        }
    }
    apply(deps, ctx, changes, &cited).await
}

/// A memory as it will be: for a new one what there may be no other of, for one that is there the change and the version that it has.
struct Change {
    memory: Memory,
    subject: Option<Subject>,
    patch: Option<(MemoryPatch, u32)>,
    /// Whether the caller hears of it.
    is_told: bool,
    /// Whether it makes a version. Numbers that move with every call that works do not: they would fill the history.
    mode: PatchMode,
}

fn patched(old: &Memory, patch: MemoryPatch) -> Result<Change> {
    let mut memory = old.clone();
    patch.apply_to(&mut memory);
    let version = old.version.checked_add(1);
    memory.version = version.ok_or_else(|| {
        Error::conflict("a lesson has as many versions as can be numbered; forget it").with_code("versions_used_up")
    })?;
    Ok(Change { memory, subject: None, patch: Some((patch, old.version)), is_told: true, mode: PatchMode::NewVersion })
}

/// Makes the changes in one batch, each under the version that was read, and while what they cite is there as it was read: what
/// was forgotten meanwhile must not come back. A vector that fails is owed as a job.
async fn apply(deps: &Deps, ctx: &Ctx, changes: Vec<Change>, cited: &[Cited]) -> Result<Vec<Reflected>> {
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    let embedder = deps.embedder();
    let memories: Vec<Memory> = changes.iter().map(|change| change.memory.clone()).collect();
    let Embedded { mut vectors, failed } = embed_debt::embed_documents(deps, ctx, &*embedder, &memories).await;
    let owed: Vec<MemoryId> = memories.iter().skip(vectors.len()).map(|memory| memory.id).collect();
    vectors.resize(memories.len(), None);
    let mut preconditions = vec![Precondition::EmbedderIs(embedder.id().to_owned())];
    let sources: BTreeMap<MemoryId, u32> = cited.iter().map(|source| (source.id, source.version)).collect();
    preconditions.extend(sources.into_iter().map(|(id, version)| Precondition::VersionIs(id, version)));
    let (mut ops, mut reflected, mut before) = (Vec::new(), Vec::new(), Vec::new());
    for (Change { memory, subject, patch, is_told, mode }, vector) in changes.into_iter().zip(vectors) {
        if is_told {
            reflected.push(Reflected::of(&memory, patch.is_none()));
        }
        let vector = vector.map(|vector| VectorRow { embedder: embedder.id().to_owned(), vector });
        let id = memory.id;
        match patch {
            None => {
                preconditions.extend(subject.iter().flat_map(absent));
                ops.push(Op::PutMemory { memory: Box::new(memory), vector, idempotency: None });
            }
            Some((patch, version)) => {
                // Tags, sources and witnesses are written whole: what a merge added since must not be lost.
                preconditions.push(Precondition::SeqIs(id, memory.seq));
                // The vector belongs to the text.
                let vector = patch.content.is_some().then_some(vector);
                before.push(Memory { version, ..memory });
                ops.push(Op::PatchMemory { id, patch: Box::new(patch), mode, vector });
            }
        }
    }
    if let Some(error) = failed {
        ops.push(embed_debt::job(deps, &owed, &error));
    }
    let mut batch = deps.batch_if(preconditions, ops);
    let old: Vec<&Memory> = before.iter().collect();
    let row = change_row("reflect", batch.id, &batch.ops, &old, None, json!({}));
    batch.ops.push(row);
    batch.ops.extend(marks::noted(deps, memories.iter(), batch.now).await?);
    deps.relational.apply(ctx, batch).await?;
    deps.background.nudge(ctx.scope());
    Ok(reflected)
}
