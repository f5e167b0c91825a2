//! The actor: the steps of a session, each a call of a tool and what came of it. By the order of events alone.

use super::{
    call::Arguments,
    error_text::normalised,
    event::{Event, Owner, What},
    failing::{Said, said},
    origin::Origin,
};
use crate::{
    lexical::analyse,
    model::{EventType, MemoryId, SessionOutcome, Timestamp},
};
use std::collections::BTreeSet;

/// Calls without an answer that are remembered.
const OPEN_CALLS: usize = 64;
/// Share of the words of an error that the end of the session repeats where it is the same failure.
const SAME: f64 = 0.75;

/// What went wrong.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    /// The error in its general form.
    pub general: String,
    /// As it was said.
    pub said: String,
}

impl Failure {
    fn of(said: Option<&str>) -> Self {
        let said = said.unwrap_or_default();
        let general = normalised(said);
        let general = if general.is_empty() { "an error without a text".to_owned() } else { general };
        Self { general, said: said.to_owned() }
    }

    /// Whether the other says the same, with words around it perhaps.
    fn is_in(&self, other: &Self) -> bool {
        let (own, rest) = (terms(&self.said), terms(&other.said));
        let both = own.intersection(&rest).count() as f64;
        let fewer = own.len().min(rest.len());
        self.general == other.general || (fewer > 2 && both / fewer as f64 >= SAME)
    }
}

/// The words of an error, without the type that it begins with.
fn terms(text: &str) -> BTreeSet<String> {
    let is_type = |head: &str| !head.contains(' ') && (head.ends_with("Error") || head.ends_with("Exception"));
    let text = text.split_once(": ").filter(|(head, _)| is_type(head)).map_or(text, |(_, rest)| rest);
    let mut terms = BTreeSet::new();
    analyse(text, &mut |term, _, _| {
        terms.insert(term.to_owned());
    });
    terms
}

/// A call, or what is known of it.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub id: MemoryId,
    pub seq: u32,
    pub tool: Option<String>,
    call_id: Option<String>,
    pub arguments: Arguments,
    /// Calls with no other event between them are made at once.
    round: usize,
    lasts: bool,
}

/// One step of a tool.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub call: Option<Call>,
    pub tool: Option<String>,
    pub event: MemoryId,
    pub seq: u32,
    pub at: Timestamp,
    pub owner: Owner,
    /// `None` where it worked.
    pub failure: Option<Failure>,
    /// Whether its answer says that it worked, and not only nothing else.
    pub is_told: bool,
    /// Whether nothing of it is to be gone at some time: only then it is quoted.
    pub lasts: bool,
}

impl Step {
    fn new(event: &Event, call: Option<Call>, tool: Option<String>, said: Option<Said>) -> Self {
        let lasts = event.expires_at.is_none() && call.as_ref().is_none_or(|call| call.lasts);
        let is_told = said == Some(Said::Worked);
        let failure = match said {
            Some(Said::Failed(reason)) => Some(Failure::of(reason.as_deref())),
            Some(Said::Worked) | None => None,
        };
        let (seq, at, owner) = (event.seq, event.at, event.owner.clone());
        Self { call, tool, event: event.id, seq, at, owner, failure, is_told, lasts }
    }

    /// The events that show it.
    pub fn events(&self) -> Vec<MemoryId> {
        let call = self.call.as_ref().map(|call| call.id).filter(|id| *id != self.event);
        call.into_iter().chain([self.event]).collect()
    }

    /// What went wrong, as it was said.
    pub fn error(&self) -> &str {
        self.failure.as_ref().map_or("", |failure| failure.said.as_str())
    }

    /// The program that a shell ran.
    pub fn program(&self) -> Option<&str> {
        self.call.as_ref()?.arguments.program.as_deref()
    }
}

/// The error of a call that a session which ended badly left without an answer.
pub(super) const NO_ANSWER: &str = "no answer";

/// What is read from the events so far.
#[derive(Default)]
struct Reader {
    steps: Vec<Step>,
    open: Vec<Call>,
    round: usize,
    /// Whether the last event was a call, and whether somebody spoke since the last one.
    in_calls: bool,
    is_spoken: bool,
}

/// The steps of a session, in the order of their answers, and how it ended.
pub(super) fn steps(events: &[Event]) -> (Vec<Step>, Option<(SessionOutcome, Option<String>, u32)>) {
    let (mut reader, mut end) = (Reader::default(), None);
    for event in events {
        match &event.what {
            What::Event(EventType::ToolCall) => reader.called(event),
            What::Event(EventType::ToolResponse) => reader.answered(event),
            What::Event(EventType::ErrorEvent) => reader.broke(event),
            What::End(outcome, error) => {
                end = Some((*outcome, error.clone(), event.seq));
                if outcome.is_bad() {
                    reader.ended_badly(event, error.as_deref());
                }
            }
            What::Event(EventType::UserInput | EventType::LlmResponse) => reader.is_spoken = true,
            What::Event(_) => {}
        }
        reader.in_calls = event.is(EventType::ToolCall);
    }
    (reader.steps, end)
}

impl Reader {
    fn called(&mut self, event: &Event) {
        self.round += usize::from(!self.in_calls);
        self.is_spoken = false;
        let tool = event.tool();
        let call = Call {
            id: event.id,
            seq: event.seq,
            call_id: event.call_id(),
            arguments: Arguments::of(event, tool.as_deref()),
            tool,
            round: self.round,
            lasts: event.expires_at.is_none(),
        };
        // Some write the call and its result in one event. Its text is the caller's own: only the fields count.
        let fields = Event { text: String::new(), ..event.clone() };
        let origin = call.arguments.origin(call.tool.as_deref());
        if let Some(said) = said(&fields, origin) {
            let tool = call.tool.clone();
            self.steps.push(Step::new(event, Some(call), tool, Some(said)));
            return;
        }
        if self.open.len() == OPEN_CALLS {
            self.open.remove(0);
        }
        self.open.push(call);
    }

    /// Takes the call that an event answers: by its id, else by the tool, else by the only tool that the answer names; of several the
    /// first of those that were called at once last.
    fn take(&mut self, event: &Event, tool: Option<&str>) -> Option<Call> {
        let by_id =
            event.call_id().and_then(|id| self.open.iter().rposition(|call| call.call_id.as_ref() == Some(&id)));
        let of = |call: &Call, tool: &str| call.tool.as_deref().is_none_or(|named| named == tool);
        let named = || {
            let mut named = self.open.iter().filter_map(|call| call.tool.as_deref());
            let first = named.clone().find(|tool| event.text.contains(*tool))?;
            let is_sole = named.all(|tool| tool == first || !event.text.contains(tool));
            is_sole.then(|| first.to_owned())
        };
        let tool = tool.map(str::to_owned).or_else(named);
        let fits = |call: &&Call| tool.as_deref().is_none_or(|tool| of(call, tool));
        let round = self.open.iter().filter(fits).map(|call| call.round).max();
        let first = || self.open.iter().position(|call| fits(&call) && Some(call.round) == round);
        let place = by_id.or_else(first)?;
        Some(self.open.remove(place))
    }

    fn answered(&mut self, event: &Event) {
        let tool = event.tool();
        let call = self.take(event, tool.as_deref());
        let tool = tool.or_else(|| call.as_ref().and_then(|call| call.tool.clone()));
        let origin = call.as_ref().map_or_else(Origin::default, |call| call.arguments.origin(None));
        let said = said(event, Origin { tool: tool.as_deref(), ..origin });
        self.steps.push(Step::new(event, call, tool, said));
    }

    /// An error event: of the tool that it names, else of the call that waits for an answer. One that says again what the step
    /// before it said is the same failure.
    fn broke(&mut self, event: &Event) {
        let reason = match said(event, Origin::default()) {
            Some(Said::Failed(Some(reason))) => reason,
            _ => super::telling::telling_line(&event.text, false),
        };
        let failure = Failure::of(Some(&reason));
        let named = event.tool();
        let is_again = |step: &Step| {
            let same_tool = named.is_none() || step.tool == named;
            same_tool && step.failure.as_ref().is_some_and(|known| known.general == failure.general)
        };
        if self.open.is_empty() && self.steps.last().is_some_and(is_again) {
            return;
        }
        let call = self.take(event, named.as_deref());
        let tool = named.or_else(|| call.as_ref().and_then(|call| call.tool.clone()));
        self.steps.push(Step::new(event, call, tool, Some(Said::Failed(Some(reason)))));
    }

    /// A bad end: the last call, where it never got an answer and nobody went on, failed, and so did what the end names, unless a
    /// step says so already.
    fn ended_badly(&mut self, event: &Event, error: Option<&str>) {
        let named = error.map(|error| super::telling::telling_line(error, false));
        let failure = named.as_deref().map(|error| Failure::of(Some(error)));
        let is_known = |named: &Failure| {
            self.steps.iter().filter_map(|step| step.failure.as_ref()).any(|known| known.is_in(named))
        };
        let news = failure.filter(|named| !is_known(named)).map(|named| named.said);
        let is_waiting =
            |call: &Call| call.tool.is_some() && !self.is_spoken && self.steps.iter().all(|step| step.seq < call.seq);
        let waiting = self.open.pop().filter(is_waiting);
        let reason = match &waiting {
            Some(_) => news.or_else(|| Some(NO_ANSWER.to_owned())),
            None => news,
        };
        if let Some(reason) = reason {
            let tool = waiting.as_ref().and_then(|call| call.tool.clone());
            self.steps.push(Step::new(event, waiting, tool, Some(Said::Failed(Some(reason)))));
        }
    }
}
