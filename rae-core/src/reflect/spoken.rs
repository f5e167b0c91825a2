//! Lines that look like failures: which of them count those of a run of tests, and which only speak about errors.

/// What is done to an error where it is defined, and what follows then: "raised when", "returned if".
const DEFINED: [&str; 8] = ["raised", "thrown", "returned", "signalled", "occurs", "happens", "emitted", "reported"];
const WHEN: [&str; 4] = ["when", "if", "whenever", "unless"];
/// Sorts of texts that titles name, what goes on about one, and what says that something is wrong with it.
const WRITINGS: [&str; 22] = [
    "biography",
    "cheatsheet",
    "chronicle",
    "essay",
    "explanation",
    "explainer",
    "fable",
    "glossary",
    "guide",
    "handbook",
    "history",
    "introduction",
    "memoir",
    "novel",
    "overview",
    "play",
    "poem",
    "primer",
    "song",
    "story",
    "tale",
    "tutorial",
];
const OF: [&str; 8] = ["about", "by", "for", "from", "in", "of", "on", "to"];
const TELLS: [&str; 12] =
    ["already", "are", "cannot", "could", "exists", "failed", "is", "missing", "must", "needed", "not", "required"];
/// What may follow the failures of a run without a comma.
const RUN: [&str; 14] = [
    "and",
    "assertions",
    "cases",
    "checks",
    "examples",
    "in",
    "of",
    "out",
    "scenarios",
    "specs",
    "steps",
    "suites",
    "test",
    "tests",
];
/// What things come to that are no tests, beside those that failed.
const STATES: [&str; 14] = [
    "active",
    "canceled",
    "cancelled",
    "closed",
    "delivered",
    "done",
    "finished",
    "new",
    "open",
    "paid",
    "queued",
    "running",
    "sent",
    "waiting",
];
/// The last line of a run of tests with failures: `1 failed, 2 passed in 1.2s`.
pub(super) fn sums_up_failures(line: &str) -> bool {
    let lower = line.trim_matches(|c: char| matches!(c, '=' | '-') || c.is_whitespace()).to_lowercase();
    if lower.chars().count() > 160 {
        return false;
    }
    let words: Vec<&str> = lower.split_whitespace().collect();
    // Some set no colon behind the name of what they count.
    let is_number = |rest: &str| rest.trim_start().starts_with(|c: char| c.is_ascii_digit());
    let begins = is_number(&lower)
        || ["tests:", "test result:", "tests run:", "test suites:"].iter().any(|start| lower.starts_with(start))
        || ["tests ", "test files "].iter().any(|start| lower.strip_prefix(start).is_some_and(is_number));
    (begins && (counts_failures(&words) || names_failures(&words)))
        || lower.starts_with("test result: failed")
        || lower.starts_with("failed (failures=")
        || lower.starts_with("failed (errors=")
}

/// Whether a line names the tests of a run, or what came of them: what it counts is of that run.
pub(super) fn is_of_run(lower: &str) -> bool {
    let mut words = lower.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
    words.any(|word| {
        matches!(
            word,
            "passed" | "passing" | "skipped" | "test" | "tests" | "suites" | "specs" | "scenarios" | "assertions"
        )
    })
}

/// Whether what stands before a number names failures: `tests: 3, assertions: 5, failures: 1.`
fn names_failures(words: &[&str]) -> bool {
    words.windows(2).any(|pair| match pair {
        ["failures:" | "errors:" | "failed:", count] => {
            count.trim_end_matches([',', '.', ';']).parse::<u64>().is_ok_and(|count| count > 0)
        }
        _ => false,
    })
}

/// Whether words count failures as a run does: `1 failed, 2 passed in 1.2s`, `2 of 5 tests, 1 failed`. What goes on about something
/// else is no count of a run: "1 failed login", "2 failed in history".
fn counts_failures(words: &[&str]) -> bool {
    let is_number = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
    let is_path = |word: &str| word.trim_end_matches(['.', ',']).contains(['.', '/', '_', ':']);
    let has_time = words.windows(2).all(|pair| match pair {
        ["in", next] => is_number(next) || is_path(next),
        _ => true,
    });
    let is_counted = |at: usize| {
        let (Some(count), Some(what)) = (words.get(at), words.get(at + 1)) else { return false };
        let bare = what.trim_end_matches([',', ';', '.', ':', '|', '!']);
        let is_apart = bare != *what
            || words.get(at + 2).is_none_or(|next| {
                is_number(next) || next.starts_with(['|', '(', '/', '-', '–', '—']) || RUN.contains(next)
            });
        let count = count.trim_start_matches('(').parse::<u64>();
        count.is_ok_and(|count| count > 0)
            && matches!(bare, "failed" | "failing" | "failures" | "failure" | "errored")
            && is_apart
    };
    // "1 failed, 3 done" are jobs, or rows.
    let is_other = |pair: &[&str]| match pair {
        [count, what] => {
            let what = what.trim_end_matches([',', ';', '.', ':', '|', '!']);
            count.trim_start_matches('(').parse::<u64>().is_ok() && STATES.contains(&what)
        }
        _ => false,
    };
    has_time && !words.windows(2).any(is_other) && (0..words.len()).any(is_counted)
}

/// Whether a line that begins as an error speaks about one: a definition ("ValueError: raised when ..."), or a title that says what sort
/// of text follows ("Access denied: a short story").
pub(super) fn speaks_about(line: &str) -> bool {
    let Some((_, rest)) = line.split_once(": ") else { return false };
    let lower: String = rest.chars().take(120).collect::<String>().to_lowercase();
    let words: Vec<&str> =
        lower.split_whitespace().map(|word| word.trim_matches(['.', ',', '!', '(', ')', '*'])).collect();
    let is_defined = match words.as_slice() {
        ["is" | "are" | "gets", what, when, ..] | [what, when, ..] if DEFINED.contains(what) => WHEN.contains(when),
        ["means" | "indicates" | "signals", "that" | "the" | "a" | "an", ..] => true,
        _ => false,
    };
    let is_title = words.first().is_some_and(|word| matches!(*word, "a" | "an"))
        && words.iter().take(5).position(|word| WRITINGS.contains(word)).is_some_and(|at| {
            let rest = words.get(at + 1..).unwrap_or_default();
            rest.first().is_none_or(|next| OF.contains(next)) && !rest.iter().any(|word| TELLS.contains(word))
        });
    is_defined || is_title
}
