//! `forget`: erasure from rows, words, vectors, history and the log, with a receipt.

use super::{
    erase_answers, erased, mark_dropped, mark_of, may_have_answers, unquoted,
    verify_erasure::{NAME_FIELD, name_hash, project_hash},
};
use crate::{
    Ctx,
    deps::Deps,
    error::{Error, ErrorKind, Result},
    guard::within,
    ingest::event_name,
    jobs::{
        extract::{anew, forgotten_dropped, forgotten_noted, is_revived},
        feeder::feed,
        graph_sync, index_sync,
        vector_sync::Mode,
    },
    limits::{PAGE_MAX, VECTOR_FORGET_CHANGES},
    model::{
        DropTarget, Filter, KeyedIds, Kind, Memory, MemoryId, MemoryPatch, MemoryVersion, Op, Outcome, PatchMode,
        Precondition, Provenance, Scope,
    },
    ports::VectorFeed,
    reflect::{has_quotes, is_of_model, is_said_by},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

/// How long `forget` waits for a vector server.
const SERVER_WAIT: Duration = Duration::from_secs(5);
/// Memories from which sources are taken at once, and attempts against others who touch them.
const UNLINKED_AT_ONCE: usize = 64;
const ATTEMPTS: usize = 32;
/// Longest chain of memories derived from derived ones that is followed.
const CASCADE_DEPTH_MAX: usize = 64;

/// What to forget.
#[derive(Debug, Clone, PartialEq)]
pub enum Forget {
    /// One memory. Missing is no error: `deleted` is 0.
    Id(MemoryId),
    /// All that match a filter; an empty filter is InvalidInput.
    Filter(Value),
    /// A whole scope.
    Scope(ForgetScope, String),
}

/// A scope to erase; the target is its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForgetScope {
    /// A session of this project.
    Session,
    /// A user of this project.
    User,
    /// A project of this tenant.
    Project,
    /// This tenant: the target must repeat its name.
    Tenant,
}

impl ForgetScope {
    /// Its name on all surfaces.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::User => "user",
            Self::Project => "project",
            Self::Tenant => "tenant",
        }
    }
}

impl std::str::FromStr for ForgetScope {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "session" => Self::Session,
            "user" => Self::User,
            "project" => Self::Project,
            "tenant" => Self::Tenant,
            _ => return Err(Error::invalid("scope must be session, user, project or tenant")),
        })
    }
}

/// What was forgotten.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forgotten {
    /// Memories that were asked for and are gone.
    pub deleted: u64,
    /// Memories derived from these alone, gone with them.
    pub derived: u64,
    /// What still holds traces for now: `wal` while a reader keeps the log from being truncated, until the next `maintain`;
    /// `vectors` while a vector server is away, has much else to catch up with or a whole project to forget, until it has;
    /// `cache` where the cache did not answer: answers of chat models stay there until their time is over.
    pub pending: Vec<String>,
    /// What was done, when, with keyed hashes of the ids: enough to check, nothing to read.
    pub receipt: Value,
}

pub(crate) async fn forget(deps: &Deps, scope: &Scope, what: Forget) -> Result<Forgotten> {
    let ctx = deps.ctx(scope)?;
    let mut gone = Gone { keeps_away: !matches!(what, Forget::Scope(..)), ..Gone::default() };
    let described = match what {
        Forget::Id(id) => {
            delete(deps, &ctx, BTreeSet::from([id]), &mut gone).await?;
            json!({ "id": null })
        }
        Forget::Filter(filter) => {
            let filter = Filter::parse(&filter)?;
            if filter.is_trivial() {
                return Err(Error::invalid("an empty filter would forget everything; use scope=\"project\" for that")
                    .with_code("empty_filter"));
            }
            forget_matching(deps, &ctx, &filter, &mut gone).await?;
            json!({ "filter": true })
        }
        Forget::Scope(kind, target) => forget_scope(deps, &ctx, kind, target, &mut gone).await?,
    };
    finish(deps, &ctx, described, gone).await
}

/// What has gone so far.
#[derive(Default)]
struct Gone {
    ids: BTreeSet<MemoryId>,
    deleted: u64,
    derived: u64,
    projects: BTreeSet<String>,
    /// Projects whose answers of chat models go, all of them: what was said goes, whether or not it was remembered.
    answers: BTreeSet<String>,
    /// The keys of claims among them.
    claims: BTreeSet<[u8; 16]>,
    /// The session or user, by the kind of its scope.
    name: Option<(&'static str, String)>,
    /// Whether facts that are asked for are not to be read again: it is they that somebody forgets, and not whose they are.
    keeps_away: bool,
    /// What takes the place of a lesson that goes for its quotes alone, or of a fact for its dates, by its id.
    instead: HashMap<MemoryId, Vec<Op>>,
}

async fn forget_matching(deps: &Deps, ctx: &Ctx, filter: &Filter, gone: &mut Gone) -> Result<()> {
    let ids = deps.relational.matching(ctx, filter).await?;
    delete(deps, ctx, ids.iter().copied().collect(), gone).await
}

async fn forget_scope(deps: &Deps, ctx: &Ctx, kind: ForgetScope, target: String, gone: &mut Gone) -> Result<Value> {
    event_name("target", Some(&target))?;
    let (name, drop) = match kind {
        ForgetScope::Session => {
            forget_matching(deps, ctx, &Filter::parse(&json!({ "session_id": target }))?, gone).await?;
            gone.name = Some(("session", target.clone()));
            ("session", DropTarget::Session(target))
        }
        ForgetScope::User => {
            forget_matching(deps, ctx, &Filter::parse(&json!({ "user_id": target }))?, gone).await?;
            gone.name = Some(("user", target.clone()));
            ("user", DropTarget::User(target))
        }
        ForgetScope::Project => ("project", DropTarget::Project(target)),
        ForgetScope::Tenant => {
            if target != ctx.scope().tenant() {
                return Err(Error::invalid("to erase a tenant, target must repeat the name of the tenant in use"));
            }
            ("tenant", DropTarget::Tenant)
        }
    };
    gone.answers.insert(match &drop {
        DropTarget::Project(project) => project.clone(),
        _ => ctx.scope().project().to_owned(),
    });
    // A project that is erased whole has a new floor by that, a part of one has not.
    let part = matches!(kind, ForgetScope::Session | ForgetScope::User);
    let mark = match &drop {
        DropTarget::Session(session) => Some(mark_dropped(deps, ctx.scope(), session).await?),
        _ => None,
    };
    let mut batch = deps.batch(std::iter::once(Op::DropScope { target: drop }).chain(mark).collect());
    let marked = part && may_have_answers(deps, ctx).await?;
    if marked {
        batch.ops.extend(erased(ctx.scope(), batch.now)?);
    }
    // For sessions and users this takes what was written between the two steps.
    let applied = deps.relational.apply(ctx, batch).await?;
    // The first answer of the project may have come between the look and the erasure.
    if part && !marked && may_have_answers(deps, ctx).await? {
        deps.relational.apply(ctx, deps.batch(erased(ctx.scope(), deps.clock.now())?)).await?;
    }
    if let Some(Outcome::Dropped { memories, projects }) = applied.outcomes.into_iter().next() {
        gone.deleted += memories;
        gone.answers.extend(projects.iter().cloned());
        gone.projects.extend(projects);
    }
    if matches!(kind, ForgetScope::Project | ForgetScope::Tenant) {
        for project in &gone.projects {
            let scope = Scope::new(ctx.scope().tenant(), project.clone())?;
            deps.indexes.remove(&scope);
            deps.graphs.remove(&scope);
            if deps.vectors.capability().feed == VectorFeed::Reader {
                deps.vectors.drop_scope(&deps.ctx(&scope)?, &deps.collection()).await?;
            }
        }
    }
    Ok(json!({ "scope": name }))
}

/// Deletes `asked` and before it, wave by wave, what was derived from nothing else or repeats it. Interrupted, what was asked for is still
/// there, and asking again goes on.
async fn delete(deps: &Deps, ctx: &Ctx, asked: BTreeSet<MemoryId>, gone: &mut Gone) -> Result<()> {
    gone.ids.extend(asked.iter().copied());
    let mut waves: Vec<(bool, Vec<MemoryId>)> = vec![(true, asked.into_iter().collect())];
    while let Some((is_asked, wave)) = waves.last() {
        let is_asked = *is_asked;
        if waves.len() > CASCADE_DEPTH_MAX {
            return Err(Error::internal(
                "memories derived from one another form too long a chain; forget the last ones first",
            ));
        }
        let (orphans, shared) = derived(deps, ctx, wave, (&gone.ids, &mut gone.instead)).await?;
        unlink(deps, ctx, shared, &gone.ids).await?;
        if !orphans.is_empty() {
            gone.ids.extend(orphans.iter().copied());
            waves.push((false, orphans));
            continue;
        }
        for page in wave.chunks(PAGE_MAX) {
            gone.claims.extend(super::resume::keys(deps, ctx, page).await?);
        }
        let mut more = forgotten_dropped(deps, ctx, wave).await?;
        if is_asked && gone.keeps_away {
            more.extend(forgotten_noted(deps, ctx, wave, &gone.ids).await?);
        }
        let existed = delete_wave(deps, ctx, wave, (&gone.ids, &mut gone.instead), more).await?;
        if is_asked {
            gone.deleted += existed
        } else {
            gone.derived += existed
        }
        // Whoever reflects at the same time may have written between the look and the erasure. Later ones fail: they ask for
        // their sources to be there.
        let (late, shared) = derived(deps, ctx, wave, (&gone.ids, &mut gone.instead)).await?;
        waves.pop();
        unlink(deps, ctx, shared, &gone.ids).await?;
        if !late.is_empty() {
            gone.ids.extend(late.iter().copied());
            waves.push((false, late));
        }
    }
    Ok(())
}

/// Deletes a wave together with the older versions that repeat it, and does `more` with that; gives how many memories there were.
async fn delete_wave(
    deps: &Deps,
    ctx: &Ctx,
    wave: &[MemoryId],
    (going, instead): (&BTreeSet<MemoryId>, &mut HashMap<MemoryId, Vec<Op>>),
    mut more: Vec<Op>,
) -> Result<u64> {
    let mut seq = deps.relational.head(ctx).await?.seq;
    let (mut existed, mut is_alone) = (0, true);
    more.extend(old_versions(deps, ctx, wave, going).await?);
    while more.len() > PAGE_MAX {
        let page = more.split_off(more.len() - PAGE_MAX);
        deps.relational.apply(ctx, deps.batch(page)).await?;
    }
    for page in wave.chunks(PAGE_MAX) {
        let mut ops: Vec<Op> = page.iter().map(|&id| Op::DeleteMemory { id }).collect();
        ops.append(&mut more);
        ops.extend(page.iter().filter_map(|id| instead.remove(id)).flatten());
        let applied = deps.relational.apply(ctx, deps.batch(ops)).await?;
        existed += applied.outcomes.iter().filter(|o| matches!(o, Outcome::Deleted { existed: true })).count() as u64;
        is_alone &= applied.seq_before == seq;
        seq = applied.seq;
    }
    // Who wrote between the look and the erasure may have left more of them; who writes later cannot.
    if !is_alone {
        for page in old_versions(deps, ctx, wave, going).await?.chunks(PAGE_MAX) {
            deps.relational.apply(ctx, deps.batch(page.to_vec())).await?;
        }
    }
    Ok(existed)
}

/// The ops that take from the history of memories which stay the versions that may repeat one of `wave`, though the present version
/// is no longer derived from it.
async fn old_versions(deps: &Deps, ctx: &Ctx, wave: &[MemoryId], going: &BTreeSet<MemoryId>) -> Result<Vec<Op>> {
    let mut ops = Vec::new();
    if wave.is_empty() {
        return Ok(ops);
    }
    for (id, versions) in deps.relational.once_derived_from(ctx, wave).await? {
        if !going.contains(&id) && ever_repeats(&deps.relational.history(ctx, id).await?) {
            ops.push(Op::DropVersions { id, versions });
        }
    }
    Ok(ops)
}

/// Memories derived from `wave`, a page of them: those with no source left or that may repeat one that goes, and the others, from which the
/// sources are to be taken that go. Both are gone from the next page.
async fn derived(
    deps: &Deps,
    ctx: &Ctx,
    wave: &[MemoryId],
    (going, instead): (&BTreeSet<MemoryId>, &mut HashMap<MemoryId, Vec<Op>>),
) -> Result<(Vec<MemoryId>, Vec<Memory>)> {
    let (mut orphans, mut shared, mut seen, mut marks) = (Vec::new(), Vec::new(), HashSet::new(), Vec::new());
    for page in wave.chunks(PAGE_MAX) {
        for memory in deps.relational.derived_from(ctx, page, PAGE_MAX).await? {
            if going.contains(&memory.id) || !seen.insert(memory.id) {
                continue;
            }
            let rest = left(&memory, going).derived_from;
            if rest.is_empty() || may_repeat(&memory) || !is_still_said(deps, ctx, &memory, &rest).await? {
                orphans.push(memory.id);
                marks.extend(mark_of(deps, &memory, deps.clock.now()).await?);
            } else if let Some(ops) = unquoted(deps, ctx, &memory, going).await? {
                orphans.push(memory.id);
                instead.insert(memory.id, ops);
            } else if let Some(ops) = anew(deps, ctx, &memory, going).await? {
                orphans.push(memory.id);
                instead.insert(memory.id, ops);
            } else {
                shared.push(memory);
            }
        }
    }
    // What summed up more than what goes is made again from the rest.
    if !marks.is_empty() {
        deps.relational.apply(ctx, deps.batch(marks)).await?;
    }
    Ok((orphans, shared))
}

/// Where a memory came from, without what goes.
fn left(memory: &Memory, going: &BTreeSet<MemoryId>) -> Provenance {
    let mut provenance = memory.provenance.clone();
    provenance.derived_from.retain(|id| !going.contains(id));
    provenance
}

/// Takes the sources that go from memories that have others, too. They are written whole: under what was read, so that a source which a
/// merge adds meanwhile stays, and is followed when it is forgotten in its turn.
async fn unlink(deps: &Deps, ctx: &Ctx, mut shared: Vec<Memory>, going: &BTreeSet<MemoryId>) -> Result<()> {
    while !shared.is_empty() {
        let mut some: Vec<Memory> = shared.split_off(shared.len().saturating_sub(UNLINKED_AT_ONCE));
        for attempt in 1.. {
            let unchanged = some.iter().map(|m| Precondition::SeqIs(m.id, m.seq)).collect();
            let patch = |m: &Memory| {
                let patch = Box::new(MemoryPatch { provenance: Some(left(m, going)), ..MemoryPatch::default() });
                Op::PatchMemory { id: m.id, patch, mode: PatchMode::InPlace, vector: None }
            };
            let batch = deps.batch_if(unchanged, some.iter().map(patch).collect());
            match deps.relational.apply(ctx, batch).await {
                Ok(_) => break,
                Err(error) if attempt < ATTEMPTS && is_touched(&error) => {}
                Err(error) => return Err(error),
            }
            // What has no source left by now, or is gone, is seen to by the look behind the erasure.
            let ids: Vec<MemoryId> = some.iter().map(|m| m.id).collect();
            some = deps.relational.get(ctx, &ids).await?.into_iter().flatten().collect();
            some.retain(|m| m.provenance.derived_from.iter().any(|id| going.contains(id)));
            some.retain(|m| !left(m, going).derived_from.is_empty());
            if some.is_empty() {
                break;
            }
        }
    }
    Ok(())
}

/// Whether somebody touched, or removed, a memory between the look and the write.
fn is_touched(error: &Error) -> bool {
    error.kind() == ErrorKind::NotFound || error.code() == "version_changed"
}

/// Whether the error of a lesson or strategy, which is the words of a tool in their general form, is said by what is left of its
/// sources.
async fn is_still_said(deps: &Deps, ctx: &Ctx, memory: &Memory, rest: &[MemoryId]) -> Result<bool> {
    if !matches!(memory.kind, Kind::Lesson | Kind::Strategy) {
        return Ok(true);
    }
    let sources = deps.relational.get(ctx, rest).await?.into_iter().flatten().collect();
    Ok(is_said_by(memory, sources))
}

/// Whether any version may say what one of its sources says, or has words of a model or quotes, which can be taken out of the present one.
pub(super) fn ever_repeats(history: &[MemoryVersion]) -> bool {
    let has = |memory: &Memory| {
        let learnt = matches!(memory.kind, Kind::Lesson | Kind::Strategy);
        may_repeat(memory) || has_quotes(memory) || (learnt && is_of_model(memory))
    };
    // What is said again is dated by who says it now, its older versions by others.
    history.iter().any(|version| has(&version.memory) || is_revived(&version.memory))
}

/// Whether this version may say what one of its sources says, and cannot be had without it. Summaries quote them word for word. Lessons
/// and strategies are looked at by themselves.
fn may_repeat(memory: &Memory) -> bool {
    match memory.kind {
        Kind::Reflection | Kind::EntitySummary => true,
        // Both names, whichever of them a source has; and what a user said again and again is quoted from the newest of it.
        Kind::Fact => super::joins::is_joined(memory) || memory.metadata.contains_key("consolidated"),
        _ => false,
    }
}

async fn finish(deps: &Deps, ctx: &Ctx, what: Value, gone: Gone) -> Result<Forgotten> {
    // What they had ended holds again, and its end no longer tells when they were said. It is gone whatever comes of this.
    if let Err(error) = super::resume::resume_some(deps, ctx, &gone.claims).await {
        tracing::warn!(kind = error.kind().name(), "what was forgotten had ended facts; maintain gives them back");
    }
    let key = deps.relational.receipt_key().await?;
    let now = deps.clock.now();
    let hashes: Vec<String> =
        gone.ids.iter().map(|id| blake3::Hash::from(KeyedIds::hash(&key, *id)).to_hex().to_string()).collect();
    let mut receipt = json!({
        "version": 1,
        "at": now,
        "what": what,
        "deleted": gone.deleted,
        "derived": gone.derived,
        "project_keyed_blake3": project_hash(&key, ctx.scope()),
        "ids_keyed_blake3": hashes,
    });
    if let Some((kind, name)) = &gone.name {
        receipt[NAME_FIELD] = json!(name_hash(&key, ctx.scope(), kind, name).to_hex().to_string());
    }
    let counts = json!({ "what": receipt["what"], "deleted": gone.deleted, "derived": gone.derived });
    let mut batch = deps.batch(Vec::new());
    super::count_row(&mut batch, "forget", counts);
    deps.relational.apply(ctx, batch).await?;
    // The indexes in memory forget now, not at the next read.
    if deps.indexes.get(ctx.scope()).is_some() {
        index_sync::fresh(deps, ctx).await?;
    }
    if deps.graphs.holds(ctx.scope()) {
        graph_sync::fresh(deps, ctx).await?.then.lock().take();
    }
    let mut pending = Vec::new();
    if !forget_vectors(deps, ctx, &gone.projects).await? {
        pending.push("vectors".to_owned());
    }
    if !forget_answers(deps, ctx, &gone).await? {
        pending.push("cache".to_owned());
    }
    if !deps.relational.checkpoint(ctx, now).await? {
        pending.push("wal".to_owned());
    }
    deps.background.nudge(ctx.scope());
    Ok(Forgotten { deleted: gone.deleted, derived: gone.derived, pending, receipt })
}

/// Whether no answer of a chat model is left in the cache that what is gone was part of.
async fn forget_answers(deps: &Deps, ctx: &Ctx, gone: &Gone) -> Result<bool> {
    if gone.answers.is_empty() {
        return Ok(gone.ids.is_empty() || erase_answers(deps, ctx, Some(&gone.ids)).await);
    }
    let mut all = true;
    for project in &gone.answers {
        let scope = Scope::new(ctx.scope().tenant(), project.as_str())?;
        all &= erase_answers(deps, &deps.ctx(&scope)?, None).await;
    }
    Ok(all)
}

/// Whether no vector of what was deleted is left where vectors lie.
async fn forget_vectors(deps: &Deps, ctx: &Ctx, projects: &BTreeSet<String>) -> Result<bool> {
    if deps.vectors.capability().feed == VectorFeed::Reader {
        deps.vectors.purge(ctx, &deps.collection()).await?;
        return Ok(true);
    }
    let mut all = true;
    let own = ctx.scope().project();
    for project in projects.iter().map(String::as_str).chain((!projects.contains(own)).then_some(own)) {
        let scope = Scope::new(ctx.scope().tenant(), project)?;
        let wait = ctx.remaining().map_or(SERVER_WAIT, |left| left.min(SERVER_WAIT));
        // The truth has forgotten already: a server that is away learns of it later.
        let done = match within(Some(wait), feed(deps, &scope, VECTOR_FORGET_CHANGES, Mode::FollowOnly)).await {
            Ok(progress) => progress.behind == 0,
            Err(error) => {
                tracing::warn!(kind = error.kind().name(), "the vector server learns later of what was forgotten");
                false
            }
        };
        if !done {
            deps.feeder.nudge(&scope);
        }
        all &= done;
    }
    Ok(all)
}
