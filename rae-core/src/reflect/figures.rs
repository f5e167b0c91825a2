//! Lines that begin as errors do and tell of none: values, counts, and what came right after all.

use super::spoken::is_of_run;

/// What may follow the number of a count: "failed: 3 of 10".
const COUNTS_ON: [&str; 9] = ["of", "out", "in", "since", "today", "this", "last", "per", "so"];
/// Words of a name that is no count: "failed to connect", "failed with code".
const TELLING: [&str; 8] = ["to", "with", "at", "on", "for", "because", "after", "during"];
/// How it came right, and what a clause about that may begin with.
const RIGHT: [&str; 4] = ["passed", "succeeded", "worked", "recovered"];
const BEFORE: [&str; 10] = ["and", "but", "then", "finally", "later", "now", "it", "has", "eventually", "since"];
/// What may follow "passed" where it is no number and no argument: "passed on 4 May", not "passed null".
const WHEN: [&str; 7] = ["on", "at", "after", "later", "again", "now", "today"];

/// Whether what follows a word such as "timeout" gives a number with at most a unit, as settings and measurements are written: `: 30s`,
/// `: ±0.2 mm`. With `has_codes` a whole number by itself is the code of an error: `error: 404`.
pub(super) fn is_value(rest: &str, has_codes: bool) -> bool {
    let Some(value) = rest.trim_start().strip_prefix([':', '=']) else { return false };
    let value = value.trim().trim_end_matches(['.', ',', ';']);
    let is_figure =
        |c: char| c.is_ascii_digit() || matches!(c, '.' | ',' | '+' | '-' | '±' | '~' | '<' | '>' | '≤' | '≥');
    let (number, unit) = value.split_at(value.find(|c| !is_figure(c)).unwrap_or(value.len()));
    let unit = unit.trim();
    let is_unit = unit.chars().count() <= 12
        && unit.chars().all(|c| c.is_alphabetic() || matches!(c, '%' | '‰' | '°' | '/' | '²' | '³'));
    let is_code = has_codes && unit.is_empty() && number.parse::<i64>().is_ok();
    number.contains(|c: char| c.is_ascii_digit()) && is_unit && !is_code
}

/// Whether what follows "failed" counts something: `(2): job-1, job-2`, ` logins: 3`, `: 3 of 10`. The tests of a run are not counted
/// so: their failures are those of the call.
pub(super) fn is_count(rest: &str) -> bool {
    let rest = rest.trim();
    if is_of_run(rest) {
        return false;
    }
    let is_listed = rest
        .strip_prefix('(')
        .and_then(|inside| inside.split_once(')'))
        .is_some_and(|(count, after)| count.parse::<u64>().is_ok() && after.trim_start().starts_with(':'));
    let Some((what, count)) = rest.split_once([':', '=']) else { return is_listed };
    let names: Vec<&str> = what.split_whitespace().collect();
    // Of several: "failed login: 3 attempts left" is one that failed.
    let is_many = names.last().is_none_or(|last| last.ends_with('s'));
    let is_named = names.len() <= 3
        && is_many
        && names.iter().all(|name| name.chars().all(|c| c.is_alphabetic() || c == '_') && !TELLING.contains(name));
    let count = count.trim_start();
    let after = count.trim_start_matches(|c: char| c.is_ascii_digit());
    let word = after.split_whitespace().next().unwrap_or_default();
    let is_over = after.is_empty() || after.starts_with([',', ';', '.', '|', '/', '%']) || COUNTS_ON.contains(&word);
    is_listed || (is_named && after.len() < count.len() && is_over)
}

/// Whether the last clause of a line says that it came right: "failed on 3 May, passed on 4 May", "was retried and succeeded".
pub(super) fn came_right(line: &str) -> bool {
    let line = line.replace(" and ", ", ").replace(" then ", ", ").replace(" but ", ", ");
    let mut clauses = line.trim_end_matches(['.', '!', ' ']).split([',', ';', '.']).map(str::trim);
    let last = clauses.rfind(|clause| !clause.is_empty()).unwrap_or_default();
    let mut words = last.split_whitespace().skip_while(|word| BEFORE.contains(word));
    let (Some(how), next) = (words.next(), words.next()) else { return false };
    RIGHT.contains(&how) && (how != "passed" || next.is_none_or(|next| WHEN.contains(&next)))
}
