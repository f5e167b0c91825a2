//! Which texts tell of a failure, and which line of one says what went wrong. English, as tools write it.

use super::{
    endings::{ends_in_fail, has_head, is_conflict, is_failed_test, is_footer, is_placed},
    event::cut,
    figures::{came_right, is_count, is_value},
    origin::{Origin, Sort},
    spoken::{speaks_about, sums_up_failures},
};

/// Words that an error begins with.
const STARTS: [&str; 11] = [
    "error",
    "exception",
    "traceback",
    "fatal",
    "failed",
    "failure",
    "timeout",
    "timed out",
    "panic",
    "panicked",
    "err",
];
/// Words that follow such a beginning where it tells of a failure: "failed to", "timeout after". Another one makes the beginning a
/// part of a name: "timeout set to 30", "error rates fell".
const GOES_ON: [&str; 22] = [
    "a",
    "after",
    "an",
    "at",
    "because",
    "by",
    "calling",
    "code",
    "during",
    "error",
    "for",
    "from",
    "in",
    "line",
    "of",
    "on",
    "the",
    "to",
    "when",
    "while",
    "with",
    "executing",
];
/// What ends in "ing" after such a beginning and is no activity that failed: "error handling improved".
const TOPICS: [&str; 5] = ["handling", "logging", "reporting", "setting", "tracking"];
/// What an answer begins with that is an error whatever follows, where the answer is short.
const OPENINGS: [&str; 19] = [
    "mcp error -",
    "an error occurred (",
    "npm err!",
    "[error]",
    "[fatal]",
    "<error>",
    "<tool_use_error>",
    "uncaught ",
    "unhandled ",
    "could not ",
    "couldn't ",
    "cannot ",
    "can't ",
    "unable to ",
    "request failed",
    "command failed",
    "segmentation fault",
    "tool call failed",
    "bad request:",
];
/// What one begins with where what follows goes on about it, and is no topic: "access denied", not "access denied pages".
const SHORT: [&str; 26] = [
    "tool error",
    "validation error",
    "runtime error",
    "syntax error",
    "internal error",
    "api error",
    "server error",
    "network error",
    "connection error",
    "internal server error",
    "service unavailable",
    "bad gateway",
    "gateway timeout",
    "rate limit exceeded",
    "rate limit reached",
    "too many requests",
    "access denied",
    "permission denied",
    "invalid api key",
    "unauthorized",
    "forbidden",
    "connection refused",
    "no such file or directory",
    "command not found",
    "killed",
    "aborted",
];
/// What a program complains of, at the beginning or the end of what it says: `bash: foo: command not found`.
const COMPLAINTS: [&str; 17] = [
    "error is not recoverable",
    "exiting with failure status",
    "command not found",
    "no such file or directory",
    "permission denied",
    "is a directory",
    "not a directory",
    "connection refused",
    "connection timed out",
    "connection reset by peer",
    "operation not permitted",
    "no space left on device",
    "could not resolve host",
    "unrecognized arguments",
    "invalid option",
    "not a git repository",
    "error",
];
/// What it cannot do: `ls: cannot access`.
const CANNOT: [&str; 13] = [
    "access", "open", "stat", "create", "remove", "find", "connect", "read", "write", "execute", "copy", "move",
    "locate",
];
/// How one says that one cannot.
const UNABLE: [&str; 5] = ["could not ", "couldn't ", "cannot ", "can't ", "unable to "];
/// What databases answer of a question that they do not take, without a word before it.
const OF_DATABASES: [&str; 4] =
    ["duplicate key value violates ", "no such table: ", "no such column: ", "you have an error in your sql syntax"];
/// What only software says of itself, whatever the answer is about.
const MACHINES: [&str; 8] = [
    "[error]",
    "[fatal]",
    "<error>",
    "<tool_use_error>",
    "tool error:",
    "tool call failed",
    "request failed with status code",
    "mcp error -",
];
/// The phrases of HTTP.
const REASONS: [&str; 18] = [
    "bad request",
    "unauthorized",
    "payment required",
    "forbidden",
    "not found",
    "method not allowed",
    "not acceptable",
    "request timeout",
    "conflict",
    "gone",
    "payload too large",
    "unprocessable",
    "too many requests",
    "internal server error",
    "not implemented",
    "bad gateway",
    "service unavailable",
    "gateway timeout",
];
/// Words that the phrases of HTTP for the statuses from 400 on begin with.
pub(super) const PHRASES: [&str; 26] = [
    "bad",
    "client",
    "conflict",
    "error",
    "expectation",
    "failed",
    "forbidden",
    "gateway",
    "gone",
    "insufficient",
    "internal",
    "locked",
    "method",
    "network",
    "not",
    "payload",
    "payment",
    "precondition",
    "proxy",
    "range",
    "request",
    "response",
    "service",
    "too",
    "unauthorized",
    "unprocessable",
];
/// Texts that name no error.
const NOTHING: [&str; 11] = ["0", "none", "null", "nil", "no", "false", "n/a", "-", "ok", "[]", "{}"];
/// Lines and characters of an answer that may be an error by how it begins: a longer one may be a text about errors.
const SHORT_LINES: usize = 3;
const SHORT_CHARS: usize = 200;
/// Lines at the end of an output that say what came of it.
const LAST: usize = 3;
/// What a line begins with that goes on about the error before it.
const ON: [&str; 12] = [
    "hint:",
    "note:",
    "help:",
    "usage:",
    "warning:",
    "caused by",
    "for more information",
    "try ",
    "see ",
    "at ",
    "file \"",
    "-->",
];
/// What follows an error that is spoken about.
const ABOUT: [&str; 6] = ["what", "how", "why", "when", "where", "which"];
/// What programs say of themselves that is no line of their name.
const OWN: [(&str, &[&str]); 9] = [
    ("aws", &["An error occurred ("]),
    ("git", &["fatal: "]),
    ("psql", &["ERROR:  ", "FATAL:  "]),
    ("mysql", &["ERROR 1", "ERROR 2"]),
    ("mariadb", &["ERROR 1", "ERROR 2"]),
    ("sqlite3", &["Error: in prepare", "Parse error"]),
    ("docker", &["Error response from daemon", "Error: No such"]),
    ("kubectl", &["Error from server", "error: the server doesn't have"]),
    ("gh", &["GraphQL: ", "HTTP 4"]),
];
/// Longest line that is a sentence of an error, in characters.
const LINE_CHARS: usize = 400;

/// Whether a text names no error.
pub(super) fn names_nothing(text: &str) -> bool {
    text.is_empty() || NOTHING.contains(&text.to_lowercase().as_str())
}

/// Whether the answer of a tool, which says so in no field, tells of a failure.
pub(super) fn says_failed(text: &str, origin: Origin<'_>) -> bool {
    let lines: Vec<&str> = lines(text).collect();
    let Some(first) = lines.first() else { return false };
    let begins = |line: &str| (begins_badly(line) || opens_badly(line) || complains(line)) && !speaks_about(line);
    // In whatever form it was asked.
    if lines.len() == 1 && is_short(&lines) && is_of_database(first) && origin.asks_database() {
        return true;
    }
    match origin.sort() {
        Sort::Printed => lines.len() <= SHORT_LINES && lines.iter().any(|line| is_own(line, origin)),
        Sort::Contents => lines.len() == 1 && is_short(&lines) && begins(first) && !is_unable(first),
        Sort::Words => is_short(&lines) && is_machines(first) && !speaks_about(first),
        Sort::People => {
            let lower: String = first.chars().take(24).collect::<String>().to_lowercase();
            let is_marked = ["error", "timeout", "timed out"].iter().any(|start| lower.starts_with(start));
            is_short(&lines) && (is_machines(first) || (is_marked && begins_badly(first))) && !speaks_about(first)
        }
        Sort::Answer => {
            let is_trace = first.starts_with("Traceback (most") && lines.last().is_some_and(|line| is_exception(line));
            let mut last = lines.iter().rev().filter(|line| !is_footer(line)).take(LAST);
            let is_fatal = |line: &&str| line.starts_with("fatal: ");
            is_trace
                || last.any(|line| sums_up_failures(line))
                || (has_head(&lines) && begins(first))
                || (is_short(&lines) && (begins(first) || is_of_database(first) || lines.iter().any(is_fatal)))
        }
        Sort::Output => output_failed(text, &lines),
    }
}

/// The same of what a program prints: by its last lines, as the ones before may be about anything, or where it says nothing else.
fn output_failed(text: &str, lines: &[&str]) -> bool {
    // A page, and what it is about.
    if text.trim_start().starts_with("# ") {
        return false;
    }
    let begins = |line: &str| (begins_badly(line) || opens_badly(line) || complains(line)) && !speaks_about(line);
    let is_on = |line: &str| {
        let lower: String = line.chars().take(24).collect::<String>().to_lowercase();
        ON.iter().any(|start| lower.starts_with(start))
    };
    let own: Vec<&str> = lines.iter().copied().filter(|line| !is_on(line) && !is_footer(line)).collect();
    let mut last = own.iter().rev().take(LAST);
    let ends_badly = own.last().is_some_and(|line| (complains(line) || is_exception(line)) && !speaks_about(line));
    let is_told = |line: &str| is_marked(line) || is_placed(line) || is_conflict(line);
    ends_badly
        || ends_in_fail(&own)
        || (has_head(lines) && begins_badly(text))
        || last.clone().any(|line| sums_up_failures(line))
        || last.any(|line| is_told(line) && !speaks_about(line))
        || (!own.is_empty() && own.iter().all(|line| begins(line) || exit_code_of(line).is_some_and(|code| code != 0)))
}

/// Whether a line is what a program that prints what it read says of itself: `cat: x: No such file or directory`.
fn is_own(line: &str, origin: Origin<'_>) -> bool {
    let is_named = line.split_once(": ").is_some_and(|(name, _)| {
        let name = name.rsplit('/').next().unwrap_or(name);
        origin.runs(name) || matches!(name, "bash" | "sh" | "zsh")
    });
    let says = |(program, starts): &(&str, &[&str])| {
        origin.runs(program) && starts.iter().any(|start| line.starts_with(start))
    };
    (is_named && complains(line)) || OWN.iter().any(says)
}

/// Whether an answer is as short as an error; the lines of a stack count for nothing.
fn is_short(lines: &[&str]) -> bool {
    let said = lines.iter().filter(|line| !line.starts_with("at ") && !line.starts_with("File \""));
    said.clone().count() <= SHORT_LINES && said.map(|line| line.chars().count()).sum::<usize>() <= SHORT_CHARS
}

/// The exit code that a text gives in its first or last line: `Exit code: 1`, `exited with status 1`.
pub(super) fn exit_code(text: &str) -> Option<i64> {
    let first = lines(text).next();
    [first, lines(text).last()].into_iter().flatten().find_map(exit_code_of)
}

fn exit_code_of(line: &str) -> Option<i64> {
    const NAMES: [&str; 6] =
        ["exit code", "exit status", "exited with code", "exited with status", "exited with exit code", "exitcode"];
    let lower = line.to_lowercase();
    if lower.chars().count() > 100 {
        return None;
    }
    let rest = NAMES.iter().find_map(|name| lower.split_once(name).map(|(_, rest)| rest))?;
    let digits: String = rest
        .trim_start_matches([':', '=', ' ', '(', '\u{a0}'])
        .chars()
        .take_while(|c| c.is_ascii_digit() || *c == '-')
        .collect();
    digits.parse().ok()
}

/// The lines that say something, without what decorates them.
fn lines(text: &str) -> impl DoubleEndedIterator<Item = &str> {
    text.lines().map(bare).filter(|line| !line.is_empty())
}

fn bare(line: &str) -> &str {
    let is_decoration = |c: char| {
        c.is_whitespace()
            || matches!(c, '*' | '#' | '>' | '=' | '\u{fe0f}' | '•' | '✗' | '✘' | '✖' | '✕' | '❌' | '⚠' | '🚫' | '❗')
    };
    line.trim_start_matches(is_decoration).trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '*' | '='))
}

/// Whether a text begins as an error does.
pub(super) fn begins_badly(text: &str) -> bool {
    let first = lines(text).next().unwrap_or_default();
    let lower: String = first.chars().take(200).collect::<String>().to_lowercase();
    let starts = STARTS.iter().any(|start| lower.strip_prefix(start).is_some_and(|rest| tells_of_failure(start, rest)))
        || is_http_failure(&lower);
    // `ValueError: bad`, `java.io.IOException: gone`.
    starts || (first.contains(':') && is_exception(first))
}

/// The same for what is an error only in a short answer: a long one may be a text about errors.
fn opens_badly(first: &str) -> bool {
    if first.chars().count() > LINE_CHARS {
        return false;
    }
    let lower = first.to_lowercase();
    let open = OPENINGS.iter().any(|start| lower.strip_prefix(start).is_some_and(|rest| !is_nothing(rest)));
    let short = |start: &&str| {
        lower.strip_prefix(*start).is_some_and(|rest| {
            let word = word_after(rest);
            let is_apart = rest.chars().next().is_none_or(|c| !c.is_alphanumeric() && c != '_');
            // "Killed by the butler" is the plot of a novel.
            let goes_on = goes_on(&word) && !matches!(*start, "killed" | "aborted");
            let is_topic = ABOUT.contains(&word.as_str());
            let is_figure = is_value(rest, true);
            is_apart
                && !is_topic
                && !is_figure
                && !is_nothing_said(rest)
                && (word.is_empty() || !rest.starts_with(' ') || goes_on)
        })
    };
    open || SHORT.iter().any(short) || is_status_line(&lower)
}

/// Whether a short text is the complaint of a database.
fn is_of_database(first: &str) -> bool {
    let lower: String = first.chars().take(40).collect::<String>().to_lowercase();
    OF_DATABASES.iter().any(|start| lower.starts_with(start))
}

/// Whether somebody says that something cannot be, and not a program that it cannot do its work: "Can't wait! Friday please."
fn is_unable(first: &str) -> bool {
    let lower = first.to_lowercase();
    let rest = UNABLE.iter().find_map(|start| lower.strip_prefix(start));
    rest.is_some_and(|rest| !rest.split(' ').next().is_some_and(|verb| CANNOT.contains(&verb)))
}

/// Whether a line is what only software says of itself: the type of an exception, a status of HTTP, a mark.
fn is_machines(line: &str) -> bool {
    let lower: String = line.chars().take(40).collect::<String>().to_lowercase();
    MACHINES.iter().any(|start| lower.starts_with(start))
        || line.starts_with("Traceback (most")
        || is_http_failure(&lower)
        // "Error: a mistake" names no type.
        || (is_exception(line) && line.split_once(": ").is_some_and(|(name, _)| !matches!(name, "Error" | "Exception")))
}

/// The first word of what follows.
fn word_after(rest: &str) -> String {
    rest.trim_start_matches([' ', ':', '-', ',']).chars().take_while(|c| c.is_alphabetic()).collect()
}

/// Whether a phrase goes on about itself; "is" and "when" begin to tell of it.
fn goes_on(word: &str) -> bool {
    (GOES_ON.contains(&word) && !ABOUT.contains(&word)) || matches!(word, "try" | "please" | "you" | "and")
}

/// `404 not found`, `500 internal server error: x`.
fn is_status_line(lower: &str) -> bool {
    let (status, rest) = lower.split_at_checked(3).unwrap_or((lower, ""));
    if !is_status(status) || !rest.starts_with([' ', ':', '-']) {
        return false;
    }
    let rest = rest.trim_start_matches([':', ' ', '-']);
    REASONS.iter().any(|reason| {
        rest.strip_prefix(reason).is_some_and(|rest| {
            let word = word_after(rest);
            let is_apart = rest.is_empty() || rest.starts_with([':', '.', ',', ';', '!', '(', '-']);
            !ABOUT.contains(&word.as_str()) && (is_apart || goes_on(&word))
        })
    })
}

/// A status of HTTP from 400 on.
pub(super) fn is_status(status: &str) -> bool {
    status.len() == 3 && status.starts_with(['4', '5']) && status.bytes().all(|b| b.is_ascii_digit())
}

/// What a program says of itself: `psql: error: ...`, `bash: foo: command not found`, `make: *** [all] Error 2`.
fn complains(line: &str) -> bool {
    let Some((program, said)) = line.split_once(": ") else { return false };
    let is_program = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '@' | '+');
    if program.is_empty() || program.chars().count() > 40 || !program.chars().all(is_program) {
        return false;
    }
    let said = said.trim().to_lowercase();
    let end = said.trim_end_matches(['.', '!']);
    let cannot = said.strip_prefix("cannot ").or_else(|| said.strip_prefix("unable to "));
    let word = |rest: &str| rest.split(' ').next().unwrap_or_default().to_owned();
    let named = COMPLAINTS.iter().any(|what| {
        let goes_on = |rest: &str| rest.is_empty() || rest.starts_with([':', ' ', '(', ',', '.']);
        let starts = said.strip_prefix(what).is_some_and(|rest| goes_on(rest) && !is_nothing(rest));
        let starts = if *what == "error" { said.starts_with("error: ") && starts } else { starts };
        starts || (*what != "error" && end.strip_suffix(what).is_some_and(|head| head.ends_with([' ', ':'])))
    });
    named
        || said.starts_with("*** ")
        || said.starts_with("fatal: ")
        || cannot.is_some_and(|rest| CANNOT.contains(&word(rest).as_str()))
        || (program == "curl" && said.starts_with('('))
}

/// A line of a program that is an error wherever it stands.
fn is_marked(line: &str) -> bool {
    let lower: String = line.chars().take(20).collect::<String>().to_lowercase();
    const MARKS: [&str; 8] =
        ["error: ", "error[", "fatal: ", "npm err!", "[error] ", "traceback (most", "panic: ", "an error occurred ("];
    let is_measured =
        line.get("error".len()..).is_some_and(|rest| lower.starts_with("error: ") && is_value(rest, true));
    MARKS.iter().any(|mark| lower.starts_with(mark))
        && !is_measured
        && !is_nothing(lower.split_once(':').map_or("x", |(_, rest)| rest))
        || line.contains("' panicked at ")
}

/// `KeyError: 'x'`, `java.io.IOException: gone`: a type and what it says.
fn is_exception(line: &str) -> bool {
    let head = line.split(':').next().unwrap_or_default();
    let is_type = (head.ends_with("Error") || head.ends_with("Exception")) && !head.contains([' ', '(', '"']);
    is_type && !is_nothing(line.get(head.len()..).unwrap_or_default())
}

/// Whether what follows a word such as "error" makes it the beginning of one.
fn tells_of_failure(start: &str, rest: &str) -> bool {
    let Some(next) = rest.chars().next() else { return true };
    if next.is_alphanumeric() || next == '_' {
        return false;
    }
    // `error.log` is a name.
    let is_name = rest.strip_prefix('.').is_some_and(|rest| rest.starts_with(|c: char| c.is_alphanumeric()));
    if is_name || (rest.starts_with(':') && ABOUT.contains(&word_after(rest).as_str())) {
        return false;
    }
    let rest = rest.trim_start();
    let word: String = rest.chars().take_while(|c| c.is_alphabetic()).collect();
    // `failed: 0`, `failed logins: none`.
    let counted = rest.rsplit([':', '=']).next().unwrap_or_default();
    let counted = counted.split([',', ';', '.']).next().unwrap_or_default().trim();
    let has_codes = !matches!(start, "timeout" | "timed out");
    let is_of_thing = matches!(start, "failed" | "failure") && (is_count(rest) || came_right(rest));
    if NOTHING.contains(&counted) || is_nothing(rest) || is_value(rest, has_codes) || is_of_thing {
        return false;
    }
    let is_doing = word.ends_with("ing") && !TOPICS.contains(&word.as_str());
    word.is_empty() || start == "failed" || is_doing || GOES_ON.contains(&word.as_str())
}

/// Whether the first that follows the punctuation says that there is nothing: `: 0, passed: 12`.
fn is_nothing(rest: &str) -> bool {
    let after = rest.trim_start_matches([':', '=', ' ', '\u{2013}', '\u{2014}']);
    NOTHING.contains(&after.split([',', ';', '.']).next().unwrap_or_default().trim())
}

/// The same of what says nothing at all: the end of a text is no nothing.
fn is_nothing_said(rest: &str) -> bool {
    !rest.is_empty() && is_nothing(rest)
}

/// `http 404`, `http/1.1 503`, `http 404 not found`; not `http 404 page counter: 0`.
fn is_http_failure(lower: &str) -> bool {
    let Some(rest) = lower.strip_prefix("http") else { return false };
    let version = rest.find(' ').filter(|_| rest.starts_with('/') || rest.starts_with(' '));
    let Some(rest) = version.and_then(|at| rest.get(at + 1..)) else { return false };
    let (status, rest) = rest.split_at_checked(3).unwrap_or((rest, ""));
    if !is_status(status) || rest.starts_with(|c: char| c.is_alphanumeric()) {
        return false;
    }
    let word: String = rest.trim_start().chars().take_while(|c| c.is_alphabetic()).collect();
    word.is_empty() || GOES_ON.contains(&word.as_str()) || PHRASES.contains(&word.as_str())
}

/// The line of a text that says what went wrong, without what says only that it is an error; of a program's output (`is_output`) the
/// last one where none is marked. Empty where no line says anything.
pub(super) fn telling_line(text: &str, is_output: bool) -> String {
    let mut said: Vec<&str> = lines(text).filter(|line| !is_header(line)).collect();
    if said.is_empty() {
        return String::new();
    }
    let is_trace = |line: &&str| line.starts_with("Traceback (most recent");
    if let Some(at) = said.iter().position(is_trace) {
        let after = said.get(at + 1..).unwrap_or_default();
        // The last exception of the trace; one without words is a line alone.
        let last = after.iter().rev().find(|line| is_exception(line)).or_else(|| after.last());
        return clean(last.or_else(|| said.get(at)).copied().unwrap_or_default());
    }
    said.retain(|line| !is_code(line) || line.contains(' '));
    let with_words = |line: &&&str| !clean(line).is_empty() && exit_code_of(line).is_none();
    let first = said.first().filter(|line| begins_badly(line) || opens_badly(line) || complains(line));
    let words = said.iter().filter(with_words);
    let found = first
        .filter(|line| with_words(line) && !is_code(line))
        .or_else(|| words.clone().find(|line| is_exception(line.trim_start_matches("E ").trim_start())))
        .or_else(|| words.clone().find(|line| is_marked(line) && !is_code(line)))
        .or_else(|| words.clone().find(|line| line.to_lowercase().contains("error: ") || complains(line)))
        .or_else(|| words.clone().find(|line| begins_badly(line) || opens_badly(line)))
        .or_else(|| words.clone().find(|line| is_placed(line) || is_conflict(line) || is_failed_test(line)))
        .or_else(|| words.clone().rev().find(|line| sums_up_failures(line)))
        .or_else(|| if is_output { words.clone().next_back() } else { words.clone().next() })
        .or_else(|| said.first());
    clean(found.copied().unwrap_or_default())
}

/// What heads a part of an output and says nothing itself.
fn is_header(line: &str) -> bool {
    let lower = line.trim_end_matches(':').to_lowercase();
    matches!(
        lower.as_str(),
        "stdout" | "stderr" | "output" | "error output" | "failures" | "errors" | "failed examples" | "^"
    ) || lower.starts_with("<exit_code>")
}

/// `npm ERR! code ERESOLVE`: the line after it says more.
fn is_code(line: &str) -> bool {
    line.to_lowercase().strip_prefix("npm err! code").is_some()
}

/// The line without its marks.
fn clean(line: &str) -> String {
    const MARKS: [&str; 11] = [
        "stderr:",
        "npm err!",
        "[error]",
        "[fatal]",
        "<error>",
        "<tool_use_error>",
        "e   ",
        "tool error:",
        "error:",
        "err:",
        "uncaught ",
    ];
    let mut rest = bare(line);
    while let Some(shorter) = MARKS.iter().find_map(|mark| {
        let head = rest.get(..mark.len())?;
        if head.eq_ignore_ascii_case(mark) { rest.get(mark.len()..).map(bare) } else { None }
    }) {
        rest = shorter;
    }
    let rest = ["</error>", "</tool_use_error>"].iter().fold(rest, |rest, end| rest.trim_end_matches(end));
    cut(rest.trim(), 2_000)
}
