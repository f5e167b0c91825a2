//! What a call passes to its tool, and in what two calls differ.

use super::{
    event::{Event, cut},
    origin::{Origin, is_shell},
    verbs::{names_the_thing, shape},
};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Fields that hold the arguments of a call.
const ARGUMENT_KEYS: [&str; 6] = ["arguments", "input", "args", "params", "parameters", "kwargs"];
/// Fields of a call in JSON that are none.
const NO_ARGUMENTS: [&str; 13] = [
    "call_id",
    "event",
    "function",
    "function_name",
    "id",
    "jsonrpc",
    "method",
    "name",
    "tool",
    "tool_call_id",
    "tool_name",
    "tool_use_id",
    "type",
];
/// Arguments that hold a command.
const COMMANDS: [&str; 5] = ["command", "cmd", "script", "commands", "args"];
/// Programs that only run another one.
const PREFIXES: [&str; 8] = ["sudo", "env", "time", "nohup", "exec", "timeout", "cd", "export"];
/// Values that two calls may have in common by chance.
const COMMON: [&str; 12] = ["true", "false", "null", "none", "yes", "no", "the", "and", "for", "get", "all", "from"];
/// Characters of a value in the difference of two calls.
const VALUE_CHARS: usize = 60;
/// Characters of a whole call.
const CALL_CHARS: usize = 100;
/// Arguments that may differ where a difference is told.
const DIFFERENT: usize = 2;
/// The name of an argument that has none.
const PLACE: &str = "argument ";

/// The arguments of a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Arguments {
    /// By name, or by place.
    named: BTreeMap<String, String>,
    /// Where the call is a command, or one text of several words: those.
    words: Vec<String>,
    /// The program that a command runs.
    pub program: Option<String>,
}

/// In what a call differs from one that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    /// What differs, without values: what is the same in the next case.
    pub what: String,
    /// How, with the values of these two calls.
    pub how: String,
    /// The values that differ: of which argument, the old and the new.
    changed: Vec<(String, String, String)>,
}

impl Difference {
    /// Whether the call that worked was about another thing, and not the same one done otherwise: by the name of an argument, or as the
    /// error is about its value. Values of another form, as of a date, are of the same thing.
    pub fn is_of_another_thing(&self, error: &str) -> bool {
        self.changed.iter().any(|(name, old, new)| {
            (names_the_thing(name) || stands_in(error, old)) && (new.is_empty() || shape(old) == shape(new))
        })
    }
}

/// What a number before it measures: "timeout after 30 s" is not about `days=30`.
const UNITS: [&str; 20] = [
    "s", "sec", "secs", "second", "seconds", "ms", "min", "mins", "minute", "minutes", "h", "hour", "hours", "kb",
    "mb", "gb", "bytes", "times", "attempts", "retries",
];

/// Whether a value stands in a text as a word.
fn stands_in(text: &str, value: &str) -> bool {
    let (text, value) = (text.to_lowercase(), value.trim_matches(['\'', '"']).to_lowercase());
    let is_apart = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    let is_number = value.chars().all(|c| c.is_ascii_digit());
    let measures = |rest: &str| {
        let unit = rest.split_whitespace().next().unwrap_or_default();
        is_number && UNITS.contains(&unit.trim_matches(|c: char| c.is_ascii_punctuation()))
    };
    !value.is_empty()
        && text.match_indices(&value).any(|(at, found)| {
            let before = text.get(..at).and_then(|head| head.chars().next_back());
            let rest = text.get(at + found.len()..).unwrap_or_default();
            is_apart(before) && is_apart(rest.chars().next()) && !measures(rest)
        })
}

impl Arguments {
    /// Those of the event of a call.
    pub fn of(event: &Event, tool: Option<&str>) -> Self {
        let own = ARGUMENT_KEYS.iter().find_map(|key| event.metadata.get(*key)).and_then(object);
        let mut arguments = Self::default();
        match own.or_else(|| event.body().map(of_json)) {
            Some(map) => arguments.take(&map),
            None => arguments.read(event.text.trim(), tool),
        }
        arguments.find_words(tool);
        arguments
    }

    fn take(&mut self, map: &Map<String, Value>) {
        for (name, value) in map {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            self.named.insert(name.clone(), one_line(&value));
        }
    }

    /// Reads `name(a=1, 'b')`, `name {..}` or a command.
    fn read(&mut self, text: &str, tool: Option<&str>) {
        let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/');
        let end = text.find(|c: char| !is_name(c)).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let rest = rest.trim();
        if rest.is_empty() && !name.is_empty() && tool.is_none_or(|tool| !is_shell(tool) || tool == name) {
            return;
        }
        if let Some(inner) = rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
            for (place, part) in parts(inner).into_iter().enumerate() {
                let (name, value) = split_named(&part).unwrap_or_else(|| (format!("{PLACE}{}", place + 1), part));
                self.named.insert(name, unquoted(&value));
            }
            return;
        }
        if let Ok(map) = serde_json::from_str::<Map<String, Value>>(rest) {
            return self.take(&map);
        }
        // `bash: cargo build`.
        let head = name.strip_suffix(':').filter(|head| tool == Some(*head));
        let command = if head.is_some() { rest } else { text };
        self.named.insert(COMMANDS[0].to_owned(), one_line(command));
    }

    /// One text of several words is told apart by its words, a command by its program too.
    fn find_words(&mut self, tool: Option<&str>) {
        let command = COMMANDS.iter().find_map(|key| self.named.get(*key));
        let is_command = command.is_some() || tool.is_some_and(is_shell);
        let sole = self.named.values().next().filter(|_| self.named.len() == 1);
        let Some(text) = command.or(sole) else { return };
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        if is_command {
            self.program = program(text);
        }
        if is_command || words.len() > 1 {
            self.words = words;
        }
    }

    /// The command that a shell ran.
    pub fn command(&self) -> Option<&str> {
        let command = COMMANDS.iter().find_map(|key| self.named.get(*key)).or_else(|| self.named.values().next());
        command.map(String::as_str).filter(|_| self.program.is_some())
    }

    /// What its answer is the answer of.
    pub fn origin<'a>(&'a self, tool: Option<&'a str>) -> Origin<'a> {
        Origin { tool, program: self.program.as_deref(), command: self.command() }
    }

    /// Whether they are the same.
    pub fn is_same(&self, other: &Self) -> bool {
        self.named == other.named
    }

    /// In what `self`, which worked, differs from the call that failed; `None` where they have too little in common to be about the
    /// same.
    pub fn differs(&self, failed: &Self) -> Option<Difference> {
        if !failed.words.is_empty() && !self.words.is_empty() {
            return self.other_words(failed);
        }
        let (mut same, mut what, mut how) = (0, Vec::new(), Vec::new());
        let (mut changed, mut values) = (0, Vec::new());
        for (name, value) in &self.named {
            match failed.named.get(name) {
                Some(old) if old == value => same += 1,
                Some(old) => {
                    changed += 1;
                    values.push((name.clone(), old.clone(), value.clone()));
                    what.push(format!("another `{}`", plain(name)));
                    how.push(format!("{} instead of {}", pair(name, value), pair(name, old)));
                }
                None => {
                    what.push(format!("`{}`", plain(name)));
                    how.push(format!("with {}", pair(name, value)));
                }
            }
        }
        for (name, old) in failed.named.iter().filter(|(name, _)| !self.named.contains_key(*name)) {
            changed += 1;
            what.push(format!("no `{}`", plain(name)));
            how.push(format!("without {}", pair(name, old)));
        }
        // Most of the arguments are those of the call that failed.
        let is_near = same >= changed && same + usize::from(changed == 0) > 0 && what.len() <= DIFFERENT;
        (is_near && !what.is_empty()).then(|| Difference {
            what: format!("calling it with {}", what.join(" and ")),
            how: how.join(", "),
            changed: values,
        })
    }

    /// The same program, or the same first word, and most of the words.
    fn other_words(&self, failed: &Self) -> Option<Difference> {
        let first = |words: &[String]| words.first().cloned();
        let name = match (&self.program, &failed.program) {
            (Some(a), Some(b)) => Some(a.clone()).filter(|_| a == b),
            _ => first(&self.words).filter(|word| first(&failed.words).as_ref() == Some(word)),
        }?;
        let own: BTreeSet<&String> = self.words.iter().collect();
        let kept = failed.words.iter().filter(|word| own.contains(word)).count();
        // Of words those with digits: `where id=5`.
        let trimmed = |word: &String| word.trim_matches(|c: char| c.is_ascii_punctuation()).to_owned();
        let has_digit = |word: &&String| word.chars().any(|c| c.is_ascii_digit());
        let gone = failed.words.iter().filter(|word| !own.contains(word)).filter(has_digit).map(trimmed);
        let old: BTreeSet<&String> = failed.words.iter().collect();
        let come = self.words.iter().filter(|word| !old.contains(word)).filter(has_digit).map(trimmed);
        let changed = gone.zip(come).map(|(old, new)| split_values(&old, &new)).collect();
        (2 * kept > failed.words.len()).then(|| Difference {
            changed,
            what: format!("calling `{}` with other words", plain(&name)),
            how: format!("`{}` instead of `{}`", shown(&self.text()), shown(&failed.text())),
        })
    }

    /// The call in one line.
    pub fn text(&self) -> String {
        if !self.words.is_empty() {
            return self.words.join(" ");
        }
        let pairs: Vec<String> = self.named.iter().map(|(name, value)| pair(name, value)).collect();
        pairs.join(", ")
    }

    /// Whether the two have a value, or a word of one, in common that says something.
    pub fn shares(&self, other: &Self) -> bool {
        !self.values().is_disjoint(&other.values())
    }

    fn values(&self) -> BTreeSet<String> {
        let trim = |text: &str| {
            text.trim_matches(|c: char| !c.is_alphanumeric() && !matches!(c, '/' | '~' | '.')).to_lowercase()
        };
        let says = |text: &String| text.chars().count() > 2 && !COMMON.contains(&text.as_str());
        let words = |value: &String| value.split_whitespace().map(trim).filter(says).collect::<Vec<_>>();
        let whole = self.named.values().map(|value| trim(value)).filter(|text| text.chars().count() > 1);
        self.named.values().flat_map(words).chain(whole).filter(|text| !COMMON.contains(&text.as_str())).collect()
    }
}

/// Two words as the values of an argument: `id=5` and `id=6`.
fn split_values(old: &str, new: &str) -> (String, String, String) {
    match (old.split_once('='), new.split_once('=')) {
        (Some((name, old)), Some((same, new))) if name == same => (name.to_owned(), old.to_owned(), new.to_owned()),
        _ => (String::new(), old.to_owned(), new.to_owned()),
    }
}

/// A command as it stands in a sentence.
pub(super) fn shown(text: &str) -> String {
    short(text, CALL_CHARS)
}

fn short(text: &str, most: usize) -> String {
    let text = plain(text);
    if text.chars().count() > most { format!("{}…", cut(&text, most)) } else { text }
}

/// Without what could end the quotes that it stands in.
fn plain(text: &str) -> String {
    text.replace('`', "'")
}

fn pair(name: &str, value: &str) -> String {
    let value = short(value, VALUE_CHARS);
    if name.starts_with(PLACE) { value } else { format!("{}={value}", short(name, VALUE_CHARS)) }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The program of a command: of several the last, as it is the one that the exit code is of.
fn program(command: &str) -> Option<String> {
    let last = command.rsplit(['|', ';', '&']).find(|part| !part.trim().is_empty()).unwrap_or(command);
    let is_prefix = |word: &&str| PREFIXES.contains(word) || word.contains('=') || word.starts_with('-');
    let word = last.split_whitespace().find(|word| !is_prefix(word))?;
    let name = word.rsplit('/').next().unwrap_or(word);
    Some(cut(name.trim_matches(['"', '\'', '(']), VALUE_CHARS)).filter(|name| !name.is_empty())
}

fn object(value: &Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(map) => Some(map.clone()),
        Value::String(text) => serde_json::from_str(text).ok(),
        _ => None,
    }
}

/// The arguments of a call in JSON, as the providers and MCP write it.
fn of_json(mut body: Map<String, Value>) -> Map<String, Value> {
    if let Some(Value::Object(function)) = body.get("function") {
        body = function.clone();
    }
    for key in ARGUMENT_KEYS {
        if let Some(inner) = body.get(key).and_then(object) {
            return match inner.get("arguments").and_then(object) {
                Some(arguments) if inner.contains_key("name") => arguments,
                _ => inner,
            };
        }
    }
    body.retain(|key, _| !NO_ARGUMENTS.contains(&key.as_str()));
    body
}

/// The parts between the commas that stand in no quotes or brackets.
fn parts(inner: &str) -> Vec<String> {
    let (mut out, mut part, mut quote, mut depth) = (Vec::new(), String::new(), None, 0_usize);
    for c in inner.chars() {
        match (quote, c) {
            (Some(open), c) if open == c => quote = None,
            (None, '\'' | '"') if !part.ends_with(char::is_alphanumeric) => quote = Some(c),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                out.push(std::mem::take(&mut part));
                continue;
            }
            _ => {}
        }
        part.push(c);
    }
    out.push(part);
    out.into_iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

fn split_named(part: &str) -> Option<(String, String)> {
    let at = part.find(['=', ':'])?;
    let (name, value) = (part.get(..at)?.trim(), part.get(at + 1..)?.trim());
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
    (is_name && name.starts_with(char::is_alphabetic)).then(|| (name.to_owned(), value.to_owned()))
}

fn unquoted(value: &str) -> String {
    let inner = ['\'', '"'].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    one_line(inner.unwrap_or(value))
}
