//! What the outputs of programs end with: lines that go on after it was said what came of it, and lines that say it.

/// What a line begins with that says nothing of what came of it: when, how long, by which program, and what to run again.
const FOOTERS: [&str; 8] = [
    "snapshots: ",
    "time: ",
    "ran all test suites",
    "start at ",
    "duration ",
    "node.js v",
    "failed examples:",
    "rspec ./",
];

/// Whether a line stands behind the result of a run and is none.
pub(super) fn is_footer(line: &str) -> bool {
    let lower: String = line.chars().take(24).collect::<String>().to_lowercase();
    FOOTERS.iter().any(|start| lower.starts_with(start))
}

/// An error at a place in a file: `src/a.ts(3,5): error TS2322: ...`, `a.py:3: error: ...`, `a.c:3:5: fatal error: ...`.
pub(super) fn is_placed(line: &str) -> bool {
    let Some((place, said)) = [": error", ": fatal error"].iter().find_map(|mark| line.split_once(mark)) else {
        return false;
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let is_in_brackets = place
        .strip_suffix(')')
        .and_then(|place| place.rsplit_once('('))
        .is_some_and(|(file, at)| !file.is_empty() && at.split(',').all(is_number));
    let is_behind_colon = place
        .split_once(':')
        .is_some_and(|(file, at)| !file.is_empty() && at.rsplit(':').next().is_some_and(is_number));
    let is_code = |code: &str| code.ends_with(|c: char| c.is_ascii_digit()) && code.chars().all(char::is_alphanumeric);
    let is_said = said.starts_with(": ")
        || said.strip_prefix(' ').and_then(|said| said.split_once(": ")).is_some_and(|(code, _)| is_code(code));
    !place.contains(char::is_whitespace) && (is_in_brackets || is_behind_colon) && is_said
}

/// What version control says of a merge that it leaves to others.
pub(super) fn is_conflict(line: &str) -> bool {
    line.strip_prefix("CONFLICT (").is_some_and(|rest| rest.contains("): "))
}

/// A test of Go that failed, as its output has it.
pub(super) fn is_failed_test(line: &str) -> bool {
    line.starts_with("--- FAIL: ") || line.starts_with("FAIL\t")
}

/// Whether an output ends as that of a run of Go's tests with failures: `FAIL`, after those that failed.
pub(super) fn ends_in_fail(lines: &[&str]) -> bool {
    lines.last().is_some_and(|last| *last == "FAIL" || last.starts_with("FAIL\t"))
        && lines.iter().any(|line| is_failed_test(line))
}

/// Whether an answer is that of a server which failed, with its head: `HTTP/1.1 500 ...`, and a field after it.
pub(super) fn has_head(lines: &[&str]) -> bool {
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let is_field = |line: &&str| line.split_once(':').is_some_and(|(name, _)| is_name(name));
    lines.first().is_some_and(|first| first.starts_with("HTTP/")) && lines.get(1).is_some_and(is_field)
}
