//! The evaluator: which calls failed, of what, and what worked afterwards. By the order of events alone.

use super::{
    error_text::normalised,
    event::{Event, What},
    failing::{Said, said},
};
use crate::{
    limits::{REFLECT_FAILURES_MAX, REFLECT_WAYS_MAX},
    model::{EventType, InfoClass, MemoryId, SessionOutcome},
};

/// Calls without an answer that are remembered.
const OPEN_CALLS: usize = 64;

/// A way out of a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// The same call once more.
    Again,
    /// The same tool with other arguments.
    OtherArguments,
    /// Another tool.
    Tool(String),
}

impl Way {
    /// In words, after "what worked then was".
    pub fn in_words(&self) -> String {
        match self {
            Self::Again => "making the same call again".to_owned(),
            Self::OtherArguments => "calling it with other arguments".to_owned(),
            Self::Tool(tool) => format!("calling `{tool}` instead"),
        }
    }
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
    /// The normalised error.
    pub error: String,
    pub times: Times,
    /// What worked afterwards.
    pub ways: Vec<(Way, Times)>,
}

/// What a session shows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Verdict {
    /// How it ended; `None` while it has not.
    pub outcome: Option<SessionOutcome>,
    /// The error that its end names.
    pub error: Option<String>,
    pub failings: Vec<Failing>,
    /// The strictest class of its events.
    pub info_class: Option<InfoClass>,
}

/// A call, or what is known of it.
#[derive(Debug, Clone)]
struct Call {
    id: MemoryId,
    tool: Option<String>,
    call_id: Option<String>,
    arguments: String,
}

/// One step of a tool.
struct Step {
    call: Option<Call>,
    tool: Option<String>,
    event: MemoryId,
    seq: u32,
    /// The normalised error; `None` where it worked.
    error: Option<String>,
}

impl Step {
    fn events(&self) -> Vec<MemoryId> {
        let call = self.call.as_ref().map(|call| call.id).filter(|id| *id != self.event);
        call.into_iter().chain([self.event]).collect()
    }
}

/// Judges a session. What has a place up to `mark` was counted by an earlier reflection.
pub(crate) fn evaluate(events: &[Event], mark: Option<u32>) -> Verdict {
    let mut verdict = Verdict::default();
    let (mut steps, mut open): (Vec<Step>, Vec<Call>) = (Vec::new(), Vec::new());
    let mut end = None;
    for event in events {
        verdict.info_class = verdict.info_class.max(Some(event.info_class));
        match &event.what {
            What::Event(EventType::ToolCall) => called(event, &mut open, &mut steps),
            What::Event(EventType::ToolResponse) => answered(event, &mut open, &mut steps),
            What::Event(EventType::ErrorEvent) => broke(event, &mut open, &mut steps),
            What::End(outcome, error) => {
                verdict.outcome = Some(*outcome);
                end = Some((*outcome, event.seq));
                verdict.error.clone_from(error);
                if outcome.is_bad() {
                    ended_badly(event, error.as_deref(), &mut open, &mut steps);
                }
            }
            What::Event(_) => {}
        }
    }
    verdict.failings = failings(&steps, mark, end);
    verdict
}

fn general(error: Option<&str>) -> String {
    let error = normalised(error.unwrap_or_default());
    if error.is_empty() { "an error without a text".to_owned() } else { error }
}

fn called(event: &Event, open: &mut Vec<Call>, steps: &mut Vec<Step>) {
    let call = Call {
        id: event.id,
        tool: event.tool(),
        call_id: event.call_id().map(str::to_owned),
        arguments: event.text.split_whitespace().collect::<Vec<_>>().join(" "),
    };
    // Some write the call and its result in one event. Its text is the caller's own: only the fields count.
    let structured = Event { text: String::new(), ..event.clone() };
    match said(&structured) {
        Some(said) => {
            let error = match said {
                Said::Worked => None,
                Said::Failed(error) => Some(general(error.as_deref())),
            };
            steps.push(Step { tool: call.tool.clone(), call: Some(call), event: event.id, seq: event.seq, error });
        }
        None => {
            if open.len() == OPEN_CALLS {
                open.remove(0);
            }
            open.push(call);
        }
    }
}

/// Takes the call that an event answers: by its id, else the last one of the same tool, else the last one.
fn take_call(event: &Event, tool: Option<&str>, open: &mut Vec<Call>) -> Option<Call> {
    let by_id = event.call_id().and_then(|id| open.iter().rposition(|call| call.call_id.as_deref() == Some(id)));
    let place = match (by_id, tool) {
        (Some(place), _) => Some(place),
        (None, Some(tool)) => open.iter().rposition(|call| call.tool.as_deref().is_none_or(|named| named == tool)),
        (None, None) => open.len().checked_sub(1),
    };
    place.map(|place| open.remove(place))
}

fn answered(event: &Event, open: &mut Vec<Call>, steps: &mut Vec<Step>) {
    let tool = event.tool();
    let call = take_call(event, tool.as_deref(), open);
    let tool = tool.or_else(|| call.as_ref().and_then(|call| call.tool.clone()));
    let error = match said(event) {
        Some(Said::Failed(error)) => Some(general(error.as_deref())),
        Some(Said::Worked) | None => None,
    };
    steps.push(Step { call, tool, event: event.id, seq: event.seq, error });
}

/// An error event: of the tool that it names, else of the call that waits for an answer. One that says again what the step
/// before it said is the same failure.
fn broke(event: &Event, open: &mut Vec<Call>, steps: &mut Vec<Step>) {
    let reason = match said(event) {
        Some(Said::Failed(Some(reason))) => reason,
        _ => event.text.clone(),
    };
    let error = general(Some(&reason));
    let named = event.tool();
    let same_tool = |step: &Step| named.is_none() || step.tool == named;
    if open.is_empty() && steps.last().is_some_and(|last| last.error.as_ref() == Some(&error) && same_tool(last)) {
        return;
    }
    let call = take_call(event, named.as_deref(), open);
    let tool = named.or_else(|| call.as_ref().and_then(|call| call.tool.clone()));
    steps.push(Step { call, tool, event: event.id, seq: event.seq, error: Some(error) });
}

/// A bad end: the call that never got an answer failed, and so did what the end names, unless a step says so already.
fn ended_badly(event: &Event, error: Option<&str>, open: &mut Vec<Call>, steps: &mut Vec<Step>) {
    let named = error.map(|error| general(Some(error)));
    let known = steps.iter().any(|step| step.error.is_some() && step.error == named);
    if let Some(call) = open.pop().filter(|call| call.tool.is_some()) {
        let error = named.clone().filter(|_| !known).unwrap_or_else(|| "no answer".to_owned());
        let tool = call.tool.clone();
        steps.push(Step { call: Some(call), tool, event: event.id, seq: event.seq, error: Some(error) });
    } else if let Some(error) = named.filter(|_| !known) {
        steps.push(Step { call: None, tool: None, event: event.id, seq: event.seq, error: Some(error) });
    }
}

fn failings(steps: &[Step], mark: Option<u32>, end: Option<(SessionOutcome, u32)>) -> Vec<Failing> {
    let mut failings: Vec<Failing> = Vec::new();
    let is_new = |seq: u32| mark.is_none_or(|mark| seq > mark);
    for (i, step) in steps.iter().enumerate() {
        let Some(error) = &step.error else { continue };
        let known = failings.iter().position(|f| f.tool == step.tool && f.error == *error);
        if known.is_none() && failings.len() == REFLECT_FAILURES_MAX {
            continue;
        }
        if known.is_none() {
            let times = Times::default();
            failings.push(Failing { tool: step.tool.clone(), error: error.clone(), times, ways: Vec::new() });
        }
        let place = known.unwrap_or(failings.len() - 1);
        let Some(failing) = failings.get_mut(place) else { continue };
        failing.times.count(is_new(step.seq), step.events());
        let after = steps.get(i + 1..).unwrap_or_default();
        let Some((way, worked, known_at)) = way_out(step, after, end) else { continue };
        let events: Vec<MemoryId> = step.events().into_iter().chain(worked.events()).collect();
        let place = failing.ways.iter().position(|(known, _)| *known == way);
        if place.is_none() && failing.ways.len() == REFLECT_WAYS_MAX {
            continue;
        }
        if place.is_none() {
            failing.ways.push((way, Times::default()));
        }
        let place = place.unwrap_or(failing.ways.len() - 1);
        if let Some((_, times)) = failing.ways.get_mut(place) {
            times.count(is_new(known_at), events);
        }
    }
    failings
}

/// What worked after a step that failed, and from which place on that is known: the same tool before it failed so again, else, where
/// the session came to something, the next tool that worked. The latter shows only at the end, however often the session was looked
/// at before.
fn way_out<'a>(failed: &Step, after: &'a [Step], end: Option<(SessionOutcome, u32)>) -> Option<(Way, &'a Step, u32)> {
    failed.tool.as_ref()?;
    let same = after.iter().find(|step| step.tool == failed.tool);
    if let Some(step) = same
        && step.error.is_none()
    {
        let arguments = |step: &Step| step.call.as_ref().map(|call| call.arguments.clone());
        let way = match (arguments(failed), arguments(step)) {
            (Some(a), Some(b)) if a != b => Way::OtherArguments,
            _ => Way::Again,
        };
        return Some((way, step, step.seq));
    }
    // Later calls of the same tool have their own way out.
    let (_, ended) = end.filter(|(outcome, _)| same.is_none() && !outcome.is_bad())?;
    let step = after.iter().find(|step| step.error.is_none() && step.tool.is_some())?;
    step.tool.clone().map(|tool| (Way::Tool(tool), step, ended.max(step.seq)))
}
