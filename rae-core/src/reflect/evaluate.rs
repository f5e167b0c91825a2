//! The evaluator: which calls failed, of what, and what worked afterwards.

use super::{
    call::{Difference, shown},
    event::{Event, Owner},
    quote::quotable,
    steps::{Step, steps},
    verbs::{do_the_same, is_destructive, only_looks},
};
use crate::{
    limits::{REFLECT_FAILURES_MAX, REFLECT_WAYS_MAX},
    model::{InfoClass, MemoryId, SessionOutcome, Timestamp},
};

/// The same call once more, in words.
pub(crate) const AGAIN: &str = "making the same call again";
/// Calls before the one that worked which a way out names.
const FIRST_MAX: usize = 3;
/// Programs that change nothing, so that nothing works because of them.
const IDLE: [&str; 14] =
    ["ls", "cat", "head", "tail", "grep", "rg", "find", "pwd", "echo", "sed", "wc", "which", "sleep", "cd"];
/// Words in the names of tools that say nothing of what they are for.
const VERBS: [&str; 20] = [
    "get", "set", "list", "read", "write", "run", "do", "call", "fetch", "make", "create", "send", "search", "find",
    "update", "delete", "add", "tool", "check", "query",
];

/// A way out of a failure, in words that are the same for the next case of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Way {
    /// After "what worked then was".
    pub words: String,
    /// How it was done the last time, with the values of that case.
    pub example: Option<Quote>,
    /// The place of the call that worked.
    pub seq: u32,
}

/// What events said that did not say that it is to be repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Quote {
    pub text: String,
    /// The events whose words these are.
    pub events: Vec<MemoryId>,
    /// When it was said: the newest is told.
    pub at: Timestamp,
}

/// How often something happened, and where.
#[derive(Debug, Clone, Default)]
pub(crate) struct Times {
    /// The events of each since the last reflection.
    pub new: Vec<Vec<MemoryId>>,
    /// How often before it.
    pub old: u64,
}

impl Times {
    /// How often altogether.
    pub fn all(&self) -> u64 {
        self.old.saturating_add(self.new.len() as u64)
    }

    fn count(&mut self, is_new: bool, events: Vec<MemoryId>) {
        if is_new {
            self.new.push(events);
        } else {
            self.old += 1;
        }
    }
}

/// A failure in its general form.
#[derive(Debug, Clone)]
pub(crate) struct Failing {
    /// The tool; `None` where none was called.
    pub tool: Option<String>,
    /// The program that it ran, where it is a shell.
    pub program: Option<String>,
    /// The normalised error.
    pub error: String,
    /// The error as it was said last.
    pub quote: Option<Quote>,
    /// When it happened last.
    pub last: Timestamp,
    /// The places of its first and last time in the session.
    pub first_seq: u32,
    pub last_seq: u32,
    pub times: Times,
    /// What worked afterwards.
    pub ways: Vec<(Way, Times)>,
}

/// A call that worked.
#[derive(Debug, Clone)]
pub(crate) struct Worked {
    pub tool: String,
    pub program: Option<String>,
    pub owner: Owner,
    pub seq: u32,
    /// Whether no reflection has counted it.
    pub is_new: bool,
}

/// What a session shows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Verdict {
    /// How it ended; `None` while it has not.
    pub outcome: Option<SessionOutcome>,
    pub failings: Vec<Failing>,
    /// The calls that worked.
    pub worked: Vec<Worked>,
    /// The strictest class of its events.
    pub info_class: Option<InfoClass>,
}

/// Judges a session. What has a place up to `mark` was counted by an earlier reflection.
pub(crate) fn evaluate(events: &[Event], mark: Option<u32>) -> Verdict {
    let (steps, end) = steps(events);
    let end = end.map(|(outcome, _, seq)| (outcome, seq));
    let worked = steps.iter().filter(|step| step.failure.is_none()).filter_map(|step| {
        let (program, owner) = (step.program().map(str::to_owned), step.owner.clone());
        let is_new = mark.is_none_or(|mark| step.seq > mark);
        Some(Worked { tool: step.tool.clone()?, program, owner, seq: step.seq, is_new })
    });
    Verdict {
        outcome: end.map(|(outcome, _)| outcome),
        worked: worked.collect(),
        failings: failings(&steps, mark, end),
        info_class: events.iter().map(|event| event.info_class).max(),
    }
}

fn failings(steps: &[Step], mark: Option<u32>, end: Option<(SessionOutcome, u32)>) -> Vec<Failing> {
    let mut failings: Vec<Failing> = Vec::new();
    let is_new = |seq: u32| mark.is_none_or(|mark| seq > mark);
    for (i, step) in steps.iter().enumerate() {
        let Some(failure) = &step.failure else { continue };
        let place = failings.iter().position(|f| f.tool == step.tool && f.error == failure.general);
        if place.is_none() && failings.len() == REFLECT_FAILURES_MAX {
            continue;
        }
        let place = place.unwrap_or_else(|| {
            failings.push(Failing {
                tool: step.tool.clone(),
                program: step.program().map(str::to_owned),
                error: failure.general.clone(),
                quote: None,
                last: step.at,
                first_seq: step.seq,
                last_seq: step.seq,
                times: Times::default(),
                ways: Vec::new(),
            });
            failings.len() - 1
        });
        let Some(failing) = failings.get_mut(place) else { continue };
        failing.last = failing.last.max(step.at);
        failing.last_seq = step.seq;
        if step.lasts {
            let text = quotable(&failure.said);
            let says_more = text.to_lowercase() != failing.error;
            failing.quote = says_more.then(|| Quote { text, events: vec![step.event], at: step.at });
        }
        failing.times.count(is_new(step.seq), step.events());
        let Some((way, events, known_at)) = way_out(steps, i, end) else { continue };
        let place = failing.ways.iter().position(|(known, _)| known.words == way.words);
        if place.is_none() && failing.ways.len() == REFLECT_WAYS_MAX {
            continue;
        }
        let place = place.unwrap_or_else(|| {
            failing.ways.push((way.clone(), Times::default()));
            failing.ways.len() - 1
        });
        if let Some((known, times)) = failing.ways.get_mut(place) {
            known.example = way.example.or(known.example.take());
            known.seq = known.seq.max(way.seq);
            times.count(is_new(known_at), events);
        }
    }
    failings
}

/// How a later step of the same tool stands to one that failed.
enum Relation {
    Same,
    Near(Difference),
    /// About the same thing, with other arguments.
    Related,
}

fn relation(failed: &Step, step: &Step) -> Option<Relation> {
    if step.tool != failed.tool {
        return None;
    }
    let (Some(old), Some(new)) = (&failed.call, &step.call) else { return Some(Relation::Same) };
    if new.arguments.is_same(&old.arguments) {
        return Some(Relation::Same);
    }
    let near = new.arguments.differs(&old.arguments).map(Relation::Near);
    // What a shell runs is another call, whatever file it is about.
    let is_shell = old.arguments.program.is_some();
    near.or_else(|| (!is_shell && new.arguments.shares(&old.arguments)).then_some(Relation::Related))
}

/// What worked after a step that failed, the events that show it, and from which place on that is known. Nothing of a session that
/// ended badly; and an answer that does not say that it worked counts only where the session ended in success.
fn way_out(steps: &[Step], i: usize, end: Option<(SessionOutcome, u32)>) -> Option<(Way, Vec<MemoryId>, u32)> {
    let failed = steps.get(i)?;
    failed.tool.as_ref()?;
    if end.is_some_and(|(outcome, _)| outcome.is_bad()) {
        return None;
    }
    let success = end.filter(|(outcome, _)| *outcome == SessionOutcome::Success).map(|(_, seq)| seq);
    let is_credible = |step: &Step| step.failure.is_none() && (step.is_told || success.is_some());
    let after = steps.get(i + 1..)?;
    let same = after.iter().enumerate().find_map(|(at, step)| Some((at, step, relation(failed, step)?)));
    let Some((at, step, relation)) = same else {
        let (_, ended) = end?;
        let step = after.iter().find(|step| is_credible(step) && is_instead(failed, step))?;
        let words = format!("calling `{}` instead", step.tool.as_deref()?);
        let events = failed.events().into_iter().chain(step.events()).collect();
        return Some((Way { words, example: None, seq: step.seq }, events, ended.max(step.seq)));
    };
    // A later failure of the same call has its own way out.
    if !is_credible(step) {
        return None;
    }
    let all_between = || after.iter().take(at).filter(|step| is_credible(step) && is_between(failed, step));
    let mut between: Vec<&Step> = all_between().filter(|step| is_for(failed, step)).collect();
    let mut example = None;
    let words = match relation {
        Relation::Near(difference) if difference.is_of_another_thing(failed.error()) => return None,
        Relation::Near(Difference { what, how, .. }) => {
            between.clear();
            example = Some(how);
            what
        }
        Relation::Same if between.is_empty() => {
            // What was done between may have helped, and nothing says that it did.
            let is_idle = |step: &Step| step.tool.as_deref().is_some_and(only_looks);
            all_between().all(is_idle).then(|| AGAIN.to_owned())?
        }
        Relation::Same => first(&between, &mut example)?,
        Relation::Related => {
            between.retain(|step| shares(failed, step));
            first(&between, &mut example)?
        }
    };
    example = example.filter(|how| !is_destructive(how));
    let all = [failed, step].into_iter().chain(between.iter().copied());
    let events: Vec<MemoryId> = all.clone().flat_map(Step::events).collect();
    let lasts = all.clone().all(|step| step.lasts);
    let is_told = all.skip(1).all(|step| step.is_told);
    let known_at = success.filter(|_| !is_told).map_or(step.seq, |ended| ended.max(step.seq));
    let quote = |how: String| Quote { text: quotable(&how), events: events.clone(), at: step.at };
    Some((Way { words, example: example.filter(|_| lasts).map(quote), seq: step.seq }, events, known_at))
}

/// Whether a step was begun after the failure, and did something else.
fn is_between(failed: &Step, step: &Step) -> bool {
    let is_later = step.call.as_ref().is_none_or(|call| call.seq > failed.seq);
    let is_idle = step.program().is_some_and(|program| IDLE.contains(&program));
    step.tool.is_some() && is_later && !is_idle
}

/// Whether it was done for the call that failed: with the same, or as the error names it.
fn is_for(failed: &Step, step: &Step) -> bool {
    let error = failed.error().to_lowercase();
    let said: Vec<&str> = error.split(|c: char| !c.is_alphanumeric()).collect();
    let name = step.program().or(step.tool.as_deref()).unwrap_or_default();
    !is_destructive(name) && (shares(failed, step) || things(name).iter().any(|thing| said.contains(&thing.as_str())))
}

/// The words in the name of a tool that say what it is for.
fn things(name: &str) -> Vec<String> {
    let parts = name.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
    parts.filter(|part| part.chars().count() > 2 && !VERBS.contains(&part.as_str())).collect()
}

/// The way by calls that came before.
fn first(between: &[&Step], example: &mut Option<String>) -> Option<String> {
    let mut names: Vec<String> = Vec::new();
    for step in between.iter().rev() {
        let name = step.program().or(step.tool.as_deref())?;
        let name = format!("`{}`", name.replace('`', "'"));
        if !names.contains(&name) && names.len() < FIRST_MAX {
            names.insert(0, name);
        }
    }
    let last = between.last()?;
    let call = last.call.as_ref().map(|call| call.arguments.text()).filter(|text| !text.is_empty());
    *example = call.map(|text| match last.program() {
        Some(_) => shown(&text),
        None => shown(&format!("{}({text})", last.tool.as_deref().unwrap_or_default())),
    });
    Some(format!("calling {} first", names.join(" and ")))
}

fn shares(failed: &Step, step: &Step) -> bool {
    match (&failed.call, &step.call) {
        (Some(a), Some(b)) => b.arguments.shares(&a.arguments),
        _ => false,
    }
}

/// Whether another tool did what the one that failed was called for: it was called about the same, and does the same.
fn is_instead(failed: &Step, step: &Step) -> bool {
    let (Some(old), Some(new)) = (&failed.tool, &step.tool) else { return false };
    let is_later = step.call.as_ref().is_none_or(|call| call.seq > failed.seq);
    old != new && is_later && shares(failed, step) && do_the_same(old, new) && !is_destructive(new)
}
