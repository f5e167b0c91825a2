//! The profile of a block: what holds of the person it is for, whatever the question is about.

use super::{ContextOptions, plan, recall_options};
use crate::{
    Ctx,
    deps::Deps,
    error::Result,
    jobs::{
        extract::{is_of_oneself, me},
        index_sync,
    },
    limits::PAGE_MAX,
    model::{Claim, Kind, Memory, MemoryId, Owner, TrustLevel},
    ops::recall::RecallOptions,
};
use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
};

/// What is said of a person first: how to address, what to mind, where at home.
const FIRST: [&str; 7] = ["is_named", "allergic_to", "diet", "lives_in", "works_as", "works_at", "married_to"];
/// Facts of the person that are enough, the newest, beside those that come first.
const NEWEST: usize = 200;
/// Facts that these are looked for among, the newest.
const LOOKED_AT: usize = 2_000;
/// Names of the person that those are looked for under.
const NAMES: usize = 8;
/// Sources of a fact that are looked at for who said it.
const SOURCES: usize = 8;

/// The person that a block is for.
struct Person {
    /// Whose facts count.
    user: Option<String>,
    /// How facts call the person; `None` where only what people say of themselves tells.
    name: Option<String>,
}

impl Person {
    fn called(&self) -> Option<&str> {
        self.name.as_deref().or(self.user.as_deref())
    }
}

/// What is known of the person, the most telling first. The person is `user_id`, else the only one who speaks among the recent turns
/// of the session. Nothing where there is neither.
pub(super) async fn profile(
    deps: &Deps,
    ctx: &Ctx,
    (options, recent): (&ContextOptions, &[Memory]),
) -> Result<Vec<Memory>> {
    let Some(person) = person(options, recent) else { return Ok(Vec::new()) };
    let user_id = person.user.clone();
    let mut plan = plan(deps, RecallOptions { kinds: Some(vec![Kind::Fact]), user_id, ..recall_options(options) })?;
    if let Some(filter) = &plan.metadata_filter {
        plan.filter.only = Some(deps.relational.matching(ctx, filter).await?);
    }
    let state = index_sync::fresh(deps, ctx).await?;
    let allowed = {
        let index = state.index.read();
        index.allowed(&plan.filter).map(|set| index.ids(&set)).unwrap_or_default()
    };
    let is_meant = |fact: &Memory| {
        fact.user_id == person.user
            && fact.trust_level != Some(TrustLevel::Low)
            && fact.claim_session().is_none_or(|own| options.session_id.as_deref() == Some(own))
    };
    let mut newest: Vec<MemoryId> = allowed.iter().copied().collect();
    newest.sort_unstable_by_key(|id| Reverse(*id));
    newest.truncate(LOOKED_AT);
    let mut facts = Vec::new();
    for page in newest.chunks(NEWEST) {
        let page = deps.relational.get(ctx, page).await?.into_iter().flatten().filter(is_meant).collect();
        facts.extend(of_oneself(deps, ctx, &person, page).await?);
        if facts.len() >= NEWEST {
            break;
        }
    }
    // What comes first may have been said long ago.
    let mut names: Vec<&str> = person.called().into_iter().collect();
    for name in facts.iter().filter_map(subject) {
        if names.len() < NAMES && !names.contains(&name) {
            names.push(name);
        }
    }
    let owner = Owner { user_id: person.user.clone(), agent_id: options.agent_id.clone() };
    let keys: Vec<[u8; 16]> =
        names.iter().flat_map(|name| FIRST.map(|relation| Claim::key_of(name, relation))).collect();
    let known: BTreeSet<MemoryId> = facts.iter().map(|fact| fact.id).collect();
    let first = deps.relational.claims(ctx, &keys, Some(&owner), PAGE_MAX).await?;
    let is_new = |fact: &Memory| allowed.contains(&fact.id) && !known.contains(&fact.id) && is_meant(fact);
    facts.extend(first.into_iter().filter(is_new));
    facts.sort_by_key(|fact| {
        let relation = fact.claim.as_ref().map_or("", |claim| claim.relation.as_str());
        let place = FIRST.iter().position(|first| *first == relation).unwrap_or(FIRST.len());
        (place, Reverse(fact.valid_start()), fact.id)
    });
    Ok(facts)
}

fn subject(fact: &Memory) -> Option<&str> {
    fact.claim.as_ref().map(|claim| claim.subject.as_str())
}

fn person(options: &ContextOptions, recent: &[Memory]) -> Option<Person> {
    if let Some(user) = &options.user_id {
        return Some(Person { user: Some(user.clone()), name: None });
    }
    let is_person = |turn: &&Memory| turn.role.as_deref().is_none_or(|role| role.eq_ignore_ascii_case("user"));
    let mut people = recent.iter().filter(is_person).map(|turn| (turn.user_id.clone(), me(turn)));
    let (user, name) = people.next()?;
    people.all(|other| other == (user.clone(), name.clone())).then_some(Person { user, name: Some(name) })
}

/// Those of these facts that are about the person.
async fn of_oneself(deps: &Deps, ctx: &Ctx, person: &Person, facts: Vec<Memory>) -> Result<Vec<Memory>> {
    let called = person.called().map(Claim::name_key);
    let is_called = |fact: &Memory| subject(fact).map(Claim::name_key) == called;
    let (mut own, others): (Vec<Memory>, Vec<Memory>) = facts.into_iter().partition(is_called);
    if person.name.is_some() {
        return Ok(own);
    }
    let behind = |fact: &Memory| fact.provenance.derived_from.iter().take(SOURCES).copied().collect::<Vec<_>>();
    let ids: BTreeSet<MemoryId> = others.iter().flat_map(behind).collect();
    let mut sources = HashMap::new();
    for page in ids.into_iter().collect::<Vec<_>>().chunks(PAGE_MAX) {
        let page = deps.relational.get(ctx, page).await?;
        sources.extend(page.into_iter().flatten().map(|source| (source.id, source)));
    }
    let is_own = |fact: &Memory| behind(fact).iter().filter_map(|id| sources.get(id)).any(|s| is_of_oneself(s, fact));
    own.extend(others.into_iter().filter(is_own));
    Ok(own)
}
