//! What makes two errors the same: ids, numbers, paths, addresses, times and quoted texts that differ are put in one form.

use super::{
    event::cut,
    mask::{masked, signed},
    telling::{PHRASES, is_status, telling_line},
};
use crate::limits::REFLECT_ERROR_CHARS_MAX;

/// Stands for a quoted text until the words are apart.
const QUOTED: &str = "\u{1}";
/// Characters of an error that are looked at.
const LOOKED_AT: usize = 2_000;
/// Words with digits that are names, not ids.
const NAMES: [&str; 27] = [
    "2fa", "3d", "3-d", "oauth2", "ipv4", "ipv6", "http2", "http3", "utf8", "utf16", "sha1", "sha256", "sha512", "md5",
    "base64", "s3", "ec2", "x509", "i18n", "p2p", "k8s", "int32", "int64", "float32", "float64", "mp3", "mp4",
];
/// What stands before an error and says no more than that it is one.
const LABELS: [&str; 8] = ["error:", "err:", "fatal:", "failed:", "failure:", "exception:", "tool error:", "[error]"];
/// What a number after it belongs to: `ISO 8601`, `exit code 137`.
const NUMBERED: [&str; 9] = ["iso", "rfc", "utf", "sha", "tls", "ieee", "errno", "python", "node"];
/// The months, by which a number is a date.
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
/// Endings of file names.
const FILES: [&str; 24] = [
    "csv", "json", "txt", "py", "rs", "js", "mjs", "ts", "md", "pdf", "html", "xml", "yaml", "yml", "log", "png",
    "jpg", "db", "sql", "toml", "zip", "gz", "sh", "xlsx",
];

/// The error in its general form: lower case, one line, bounded. Empty where there is nothing left.
pub(crate) fn normalised(error: &str) -> String {
    let unquoted = without_quotes(&masked(&cut(&telling_line(error, false), LOOKED_AT), false));
    let words: Vec<&str> = unquoted.split_whitespace().collect();
    let mut general: Vec<String> = Vec::with_capacity(words.len());
    let mut before = [String::new(), String::new()];
    for (at, word) in words.iter().enumerate() {
        let next = words.get(at + 1).map(|next| next.to_lowercase());
        let is_status = general.is_empty() && begins_with_status(word, next.as_deref());
        let is_code =
            before[0].starts_with("exit") && matches!(before[1].as_str(), "code" | "code:" | "status" | "status:");
        let word_is = |kept: bool| kept.then(|| word.trim_end_matches(['.', ',', ';', ':']).to_owned());
        let kept = word_is(is_status || is_code || (NUMBERED.contains(&before[1].as_str()) && is_short_number(word)))
            .or_else(|| kept_code(word, &before[1]));
        general.push(kept.unwrap_or_else(|| general_word(word, &before[1])));
        before = [std::mem::take(&mut before[1]), word.to_lowercase()];
    }
    general.retain(|word| !word.is_empty());
    let out = dated(general).join(" ");
    let out = signed(&out.to_lowercase().replace(QUOTED, "<text>"), '<', '>');
    let out = without_label(&out);
    let out = out.trim_end_matches(|c: char| c.is_ascii_punctuation() && !matches!(c, '>' | ')' | '%'));
    cut(out.trim(), REFLECT_ERROR_CHARS_MAX).trim_end().to_owned()
}

/// `429 Too Many Requests`, `404: no such page`, `503`: the status that a text begins with.
fn begins_with_status(word: &str, next: Option<&str>) -> bool {
    let bare = word.trim_end_matches([':', ',', '.']);
    let phrase = |next: &str| PHRASES.contains(&next.trim_matches(|c: char| !c.is_alphabetic()));
    is_status(bare) && (word.len() > bare.len() || next.is_none_or(phrase))
}

fn is_short_number(word: &str) -> bool {
    let bare = word.trim_matches(|c: char| c.is_ascii_punctuation());
    (1..=5).contains(&bare.len()) && bare.chars().all(|c| c.is_ascii_digit() || matches!(c, '-' | '.'))
}

/// The code of an error of a compiler, which is a name: `error[E0308]:`, `error TS2322:`.
fn kept_code(word: &str, before: &str) -> Option<String> {
    let bracketed = word.to_lowercase().starts_with("error[") && word.trim_end_matches(':').ends_with(']');
    let core = word.trim_end_matches(':');
    let letters = core.chars().take_while(char::is_ascii_uppercase).count();
    let digits = core.chars().skip(letters).all(|c| c.is_ascii_digit());
    let named = before == "error" && (1..=4).contains(&letters) && digits && (letters + 2..=9).contains(&core.len());
    (bracketed || named).then(|| word.to_owned())
}

/// A month and its number as one date: `june 31`, `31 june 2026`.
fn dated(words: Vec<String>) -> Vec<String> {
    let is_number = |word: &str| matches!(word.trim_end_matches([',', '.', ';', ')']), "<n>" | "<n> st" | "<n> th");
    let is_month = |word: &str| {
        let bare = word.trim_end_matches([',', '.']).to_lowercase();
        MONTHS.iter().any(|month| bare.starts_with(month))
            && (bare.len() == 3 || crate::model::MONTHS.contains(&bare.as_str()))
    };
    let mut out: Vec<String> = Vec::with_capacity(words.len());
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        let next_is = |what: &dyn Fn(&str) -> bool, next: Option<&String>| next.is_some_and(|next| what(next));
        if is_month(&word) && next_is(&is_number, words.peek()) || is_number(&word) && next_is(&is_month, words.peek())
        {
            while words.next_if(|next| is_number(next) || is_month(next)).is_some() {}
            out.push("<time>".to_owned());
        } else {
            out.push(word);
        }
    }
    out
}

/// Without the words that only say that it is an error: `error: timeout` is `timeout`.
fn without_label(error: &str) -> &str {
    let mut rest = error;
    while let Some(bare) = LABELS.iter().find_map(|label| rest.strip_prefix(label)).map(str::trim_start)
        && !bare.is_empty()
    {
        rest = bare;
    }
    rest
}

/// Each quoted text as one sign. An apostrophe inside a word is no quote.
fn without_quotes(text: &str) -> String {
    let chars: Vec<char> = text.chars().filter(|c| *c != '\u{1}').collect();
    let (mut out, mut at) = (String::with_capacity(text.len()), 0);
    while let Some(&c) = chars.get(at) {
        let close = match c {
            '\'' | '"' | '`' => Some(c),
            '\u{201c}' => Some('\u{201d}'),
            '\u{2018}' => Some('\u{2019}'),
            _ => None,
        };
        let opens = at == 0 || chars.get(at - 1).is_none_or(|before| !before.is_alphanumeric());
        let end = close.filter(|_| opens).and_then(|close| {
            let rest = chars.get(at + 1..)?;
            let closes = |i: usize, c: char| c == close && rest.get(i + 1).is_none_or(|next| !next.is_alphanumeric());
            rest.iter().enumerate().position(|(i, c)| closes(i, *c)).map(|i| at + 1 + i)
        });
        match end {
            Some(end) => {
                out.push_str(QUOTED);
                at = end + 1;
            }
            None => {
                out.push(c);
                at += 1;
            }
        }
    }
    out
}

/// A word between blanks. `before` is the word before it, in lower case.
fn general_word(word: &str, before: &str) -> String {
    let is_frame = |c: char| matches!(c, '(' | ')' | '[' | ']' | '{' | '}' | '<' | '>' | ',' | ';' | '!' | '?' | '#');
    let core = word.trim_matches(is_frame).trim_end_matches(['.', ':']);
    let Some(at) = word.find(core).filter(|_| !core.is_empty()) else { return String::new() };
    let (head, tail) = (word.get(..at).unwrap_or_default(), word.get(at + core.len()..).unwrap_or_default());
    let general = general_core(core, before);
    format!("{}{general}{}", head.replace(['#', '<'], ""), tail.replace('>', ""))
}

fn general_core(core: &str, before: &str) -> String {
    if core.contains("://") {
        return "<url>".to_owned();
    }
    if is_time(core) {
        return "<time>".to_owned();
    }
    if core.len() <= 8 && core.get(..5).is_some_and(|head| head.eq_ignore_ascii_case("http/")) {
        return "http".to_owned();
    }
    if core.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.')) {
        return "<email>".to_owned();
    }
    if is_path(core) {
        return "<path>".to_owned();
    }
    if let Some(number) = number(core, before) {
        return number;
    }
    // `id=42`, `user:42`: the name stays, the value is general.
    if let Some(at) = core.find(['=', ':'])
        && let (Some(name), Some(rest)) = (core.get(..=at), core.get(at + 1..))
        && !rest.is_empty()
    {
        let plain = name.chars().any(char::is_alphabetic) && !name.chars().any(|c| c.is_ascii_digit());
        let name = if plain {
            name.to_owned()
        } else {
            format!("{}{}", segments(core.get(..at).unwrap_or_default()), core.get(at..=at).unwrap_or_default())
        };
        return joined(format!("{name}{}", general_core(rest, before)));
    }
    segments(core)
}

fn is_time(core: &str) -> bool {
    let shape: String = core.chars().take(10).map(|c| if c.is_ascii_digit() { 'd' } else { c }).collect();
    let is_date = shape.starts_with("dddd-dd-dd") || shape.starts_with("dddd/dd/dd");
    let is_clock = (shape.starts_with("dd:dd") || shape.starts_with("d:dd"))
        && core.chars().all(|c| c.is_ascii_digit() || matches!(c, ':' | '.' | ',' | 'Z' | 'z'));
    let day_first = core.split('/').map(|part| part.len() * usize::from(part.bytes().all(|b| b.is_ascii_digit())));
    let is_day_first = matches!(day_first.collect::<Vec<_>>()[..], [1 | 2, 1 | 2, 2 | 4]);
    is_date || is_clock || is_day_first
}

fn is_path(core: &str) -> bool {
    let rooted =
        ["/", "~/", "./", "../", "\\\\"].iter().any(|start| core.starts_with(start) && core.len() > start.len());
    let drive = core.get(1..3) == Some(":\\");
    let deep = core.matches('/').count() >= 2 || core.contains('\\');
    let file = core
        .rsplit_once('.')
        .is_some_and(|(stem, end)| !stem.is_empty() && FILES.iter().any(|known| end.eq_ignore_ascii_case(known)));
    rooted || drive || deep || file
}

/// A number, with its unit where it has one. The status of an HTTP answer says what went wrong, and stays.
fn number(core: &str, before: &str) -> Option<String> {
    let bare = core.trim_start_matches(['-', '+', '$']);
    let digits = bare.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | ',' | '_')).unwrap_or(bare.len());
    if digits == 0 || !bare.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let (value, unit) = bare.split_at(digits);
    let names_status = ["status", "status:", "code", "code:", "error:", "returned"].contains(&before);
    if is_status(value) && unit.is_empty() && (before.starts_with("http") || names_status) {
        return Some(value.to_owned());
    }
    match unit {
        "" | "%" => Some(format!("<n>{unit}")),
        _ if unit.chars().count() <= 3 && unit.chars().all(char::is_alphabetic) => Some(format!("<n> {unit}")),
        _ => None,
    }
}

/// A word in its parts, each general: `order-1234` is `order-<n>`, `req_8f3a` is `req_<id>`.
fn segments(core: &str) -> String {
    let hex = |c: char| c.is_ascii_hexdigit() || c == '-';
    let has_digit = core.chars().any(|c| c.is_ascii_digit());
    if core.len() == 36 && core.matches('-').count() == 4 && core.chars().all(hex) {
        return "<id>".to_owned();
    }
    if !has_digit || NAMES.iter().any(|name| core.eq_ignore_ascii_case(name)) {
        return core.to_owned();
    }
    let mut out = String::new();
    let mut part = String::new();
    for c in core.chars() {
        if c.is_alphanumeric() {
            part.push(c);
        } else {
            out.push_str(general_part(&std::mem::take(&mut part)));
            out.push(c);
        }
    }
    out.push_str(general_part(&part));
    joined(out)
}

/// Parts of one number as one: an address, a version, a range.
fn joined(mut text: String) -> String {
    for joint in ['.', '-', ':', '/', ','] {
        let pair = format!("<n>{joint}<n>");
        while text.contains(&pair) {
            text = text.replace(&pair, "<n>");
        }
    }
    text
}

fn general_part(part: &str) -> &str {
    let digits = part.chars().filter(char::is_ascii_digit).count();
    if digits == 0 || NAMES.iter().any(|name| part.eq_ignore_ascii_case(name)) {
        part
    } else if digits == part.chars().count() {
        "<n>"
    } else {
        "<id>"
    }
}

/// What can be done before the next try, by the sort of the error.
pub(crate) fn advice(error: &str) -> &'static str {
    const SORTS: [(&[&str], &str); 8] = [
        (&["rate limit", "too many requests", "429", "quota", "throttl"], "wait a while and space the calls out"),
        (
            &["timeout", "timed out", "deadline", "no answer"],
            "ask for less at once or allow more time, and do not simply repeat it",
        ),
        (
            &[
                "unauthor",
                "forbidden",
                "permission",
                "access denied",
                "401",
                "403",
                "credential",
                "api key",
                "token expired",
                "login",
            ],
            "check the credentials and the rights first; repeating the call does not help",
        ),
        (
            &["not found", "no such", "does not exist", "404", "unknown", "missing file", "undefined"],
            "check that what it is asked for exists and is spelled so",
        ),
        (
            &[
                "invalid",
                "required",
                "missing",
                "schema",
                "validation",
                "argument",
                "parse",
                "bad request",
                "400",
                "422",
                "type",
                "syntax",
            ],
            "check its arguments against what the tool takes",
        ),
        (
            &["connection", "refused", "unreachable", "network", "dns", "unavailable", "502", "503", "504"],
            "check that the service answers, and have another way ready",
        ),
        (&["disk", "memory", "space", "too large", "too long", "exceed", "limit"], "ask for less at once"),
        (&["conflict", "exists", "locked", "409", "busy"], "look at the present state first"),
    ];
    let sort = SORTS.iter().find(|(words, _)| words.iter().any(|word| error.contains(word)));
    sort.map_or("check its arguments and the cause that the error names", |(_, advice)| advice)
}
