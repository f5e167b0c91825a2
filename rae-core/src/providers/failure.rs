//! What providers say when a call fails, as errors of the port: one kind a cause, the provider's reason without secrets, and what
//! the call costs.

use super::config::Secret;
use crate::{
    error::{Error, ErrorKind},
    limits::LLM_REASON_CHARS_MAX,
    model::{ChatContent, ChatMessage, ChatPart, Usage},
    ports::{Charge, LlmFailure},
};
use reqwest::header::HeaderMap;
use serde_json::Value;
use std::time::Duration;

/// Longest pause that is read from an answer.
const PAUSE_MAX: Duration = Duration::from_secs(86_400);
/// Bytes of a request that a reason may repeat before it counts as quoting.
const QUOTE_BYTES: usize = 12;

/// Causes of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    RateLimited,
    Authentication,
    ContextLength,
    Content,
    Rejected,
    Unavailable,
    Timeout,
}

/// What a provider says of a failure.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Told {
    /// The cause, where its words tell more than the status.
    pub cause: Option<Cause>,
    /// Its reason, as it came.
    pub reason: String,
    /// The pause that the body asks for.
    pub pause: Option<Duration>,
}

impl Told {
    pub fn new(cause: Cause, reason: impl Into<String>) -> Self {
        Self { cause: Some(cause), reason: reason.into(), pause: None }
    }

    /// An answer that does not look like one.
    pub fn misread(what: &str) -> Self {
        Self::new(Cause::Unavailable, format!("its answer cannot be read ({what})"))
    }
}

/// Makes errors of one call.
#[derive(Debug, Clone)]
pub(super) struct Teller {
    pub provider: String,
    pub model: String,
    pub key: Option<Secret>,
}

impl Teller {
    /// The failure of a call that was answered with a status other than success. `said` are the texts of the request.
    pub fn status(&self, status: u16, headers: &HeaderMap, mut told: Told, said: &[&str]) -> LlmFailure {
        let cause = told.cause.unwrap_or_else(|| cause_of(status));
        let charge = match status {
            // The model may have run.
            408 | 500..=502 | 504..=528 | 530.. => Charge::Unknown,
            _ => Charge::Nothing,
        };
        if quotes(&told.reason, said) {
            "its reason quotes the request and is left out".clone_into(&mut told.reason);
        }
        let pause = told.pause.take().or_else(|| pause_of(headers));
        let reason = format!("{} (status {status})", told.reason.trim());
        LlmFailure { error: self.error(cause, &reason, pause), charge }
    }

    /// The failure of a call that was begun with success. `usage` is what the provider had counted.
    pub fn begun(&self, told: Told, usage: Option<Usage>) -> LlmFailure {
        let charge = usage.map_or(Charge::Unknown, Charge::Usage);
        let cause = told.cause.unwrap_or(Cause::Unavailable);
        LlmFailure { error: self.error(cause, &told.reason, told.pause), charge }
    }

    /// The failure of a call whose connection did not come about, broke, or was silent for too long.
    pub fn connection(&self, error: reqwest::Error, usage: Option<Usage>) -> LlmFailure {
        // The address is the operator's business.
        let error = error.without_url();
        let (cause, charge) = if error.is_connect() || error.is_builder() {
            (Cause::Unavailable, Charge::Nothing)
        } else {
            let cause = if error.is_timeout() { Cause::Timeout } else { Cause::Unavailable };
            (cause, usage.map_or(Charge::Unknown, Charge::Usage))
        };
        let reason = match (error.is_connect(), cause) {
            (true, _) => format!("it cannot be reached: {}", root(&error)),
            (false, Cause::Timeout) => "it gave no answer in time".to_owned(),
            _ => format!("the connection broke: {}", root(&error)),
        };
        let shown = self.error(cause, &reason, None).with_source(error);
        LlmFailure { error: shown, charge }
    }

    /// A request that this provider cannot be asked; nothing was sent.
    pub fn unfit(&self, what: &str) -> LlmFailure {
        LlmFailure::free(self.error(Cause::Rejected, what, None))
    }

    fn error(&self, cause: Cause, reason: &str, pause: Option<Duration>) -> Error {
        let (kind, code, what) = match cause {
            Cause::RateLimited => {
                (ErrorKind::RateLimited, "provider_rate_limited", "lets no more requests through for now")
            }
            Cause::Authentication => {
                (ErrorKind::PermissionDenied, "provider_authentication", "does not serve this key")
            }
            Cause::ContextLength => (ErrorKind::InvalidInput, "context_length", "takes no request of this length"),
            Cause::Content => (ErrorKind::InvalidInput, "content_refused", "refuses the content"),
            Cause::Rejected => (ErrorKind::InvalidInput, "provider_rejected", "rejects the request"),
            Cause::Unavailable => (ErrorKind::Unavailable, "provider_unavailable", "is not available"),
            Cause::Timeout => (ErrorKind::Timeout, "provider_timeout", "is too slow"),
        };
        let reason = self.shown(reason);
        let colon = if reason.is_empty() { "" } else { ": " };
        let message = format!("the provider {} {what} (model {}){colon}{reason}", self.provider, self.model);
        let mut error = Error::new(kind, message)
            .with_code(code)
            .with_context("provider", self.provider.as_str())
            .with_context("model", self.model.as_str());
        if cause == Cause::Unavailable {
            error = error.temporary();
        }
        match pause.filter(|_| matches!(cause, Cause::RateLimited | Cause::Unavailable)) {
            Some(pause) => error.with_retry_after(pause),
            None => error,
        }
    }

    /// A reason in a few words of one line, without keys.
    fn shown(&self, reason: &str) -> String {
        let mut text = reason.to_owned();
        if let Some(key) = self.key.as_ref().map(Secret::expose).filter(|key| !key.is_empty()) {
            text = text.replace(key, "[key]");
        }
        // Providers repeat a wrong key in parts.
        let secret = |word: &str| {
            let word = word.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
            word.contains("**") || ["sk-", "AIza", "gsk_", "xai-", "hf_"].iter().any(|mark| word.starts_with(mark))
        };
        let words = text.split_whitespace().map(|word| if secret(word) { "[key]" } else { word });
        let line = words.collect::<Vec<_>>().join(" ");
        let mut shown: String = line.chars().filter(|c| !c.is_control()).take(LLM_REASON_CHARS_MAX).collect();
        if shown.len() < line.len() {
            shown.push('…');
        }
        shown
    }
}

/// The cause that a status stands for.
fn cause_of(status: u16) -> Cause {
    match status {
        429 => Cause::RateLimited,
        401..=403 => Cause::Authentication,
        408 | 409 | 425 | 500.. => Cause::Unavailable,
        _ => Cause::Rejected,
    }
}

/// The texts of a conversation.
pub(super) fn said(messages: &[ChatMessage]) -> Vec<&str> {
    let mut texts = Vec::new();
    for message in messages {
        match &message.content {
            Some(ChatContent::Text(text)) => texts.push(text.as_str()),
            Some(ChatContent::Parts(parts)) => texts.extend(parts.iter().filter_map(|part| match part {
                ChatPart::Text(text) => Some(text.as_str()),
                ChatPart::Image { .. } | ChatPart::Other(_) => None,
            })),
            None => {}
        }
        texts.extend(message.tool_calls.iter().map(|call| call.arguments.as_str()));
    }
    texts
}

/// Whether a reason repeats some of the texts. Pieces of it at fixed distances are looked for: whatever repeats twice their length
/// holds one of them whole.
fn quotes(reason: &str, said: &[&str]) -> bool {
    let reason: String = reason.chars().take(2 * LLM_REASON_CHARS_MAX).collect();
    let pieces: Vec<&str> = (0..reason.len())
        .step_by(QUOTE_BYTES / 2)
        .filter_map(|from| reason.get(from..from + QUOTE_BYTES))
        .filter(|piece| piece.trim().len() > QUOTE_BYTES / 2)
        .collect();
    let repeats = |text: &str| {
        let text = text.trim();
        let whole = text.len() >= 4 && text.len() <= 2 * QUOTE_BYTES && reason.contains(text);
        whole || pieces.iter().any(|piece| text.contains(piece))
    };
    said.iter().any(|text| repeats(text))
}

/// How long to wait, by the headers that providers send.
fn pause_of(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let seconds = |text: &str| text.parse().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
    let asked = text("retry-after-ms")
        .and_then(|t| t.parse().ok())
        .and_then(|millis: f64| Duration::try_from_secs_f64(millis / 1_000.0).ok())
        .or_else(|| text("retry-after").and_then(seconds));
    let spent = |what: &str| {
        let left = text(&format!("x-ratelimit-remaining-{what}"))?;
        text(&format!("x-ratelimit-reset-{what}")).filter(|_| left == "0").and_then(span)
    };
    asked.or_else(|| spent("requests").max(spent("tokens"))).map(|pause| pause.min(PAUSE_MAX))
}

/// Reads `6m0s`, `1.5s` or `20ms`.
pub(super) fn span(text: &str) -> Option<Duration> {
    let (mut rest, mut sum) = (text.trim(), Duration::ZERO);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let seconds = match &rest[..unit] {
            "ms" => number / 1_000.0,
            "s" => number,
            "m" => number * 60.0,
            "h" => number * 3_600.0,
            "d" => number * 86_400.0,
            _ => return None,
        };
        sum = sum.checked_add(Duration::try_from_secs_f64(seconds).ok()?)?;
        rest = &rest[unit..];
    }
    Some(sum.min(PAUSE_MAX))
}

/// The innermost cause, in a few words.
fn root(error: &reqwest::Error) -> String {
    let mut at: &dyn std::error::Error = error;
    while let Some(source) = at.source() {
        at = source;
    }
    at.to_string()
}

/// The text at a place of a body.
pub(super) fn text_at<'a>(body: &'a Value, pointer: &str) -> Option<&'a str> {
    body.pointer(pointer).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderName, HeaderValue};

    fn teller() -> Teller {
        Teller { provider: "p".into(), model: "m".into(), key: Some(Secret::new("geheim-123")) }
    }

    #[test]
    fn a_reason_is_one_line_within_bounds_and_without_keys() {
        let reason = "no key geheim-123,\n or sk-ab***yz. or 'AIzaSy1' \u{1b}[31m fits";
        let told = Told { reason: reason.to_owned(), ..Told::default() };
        let failure = teller().status(400, &HeaderMap::new(), told, &[]);
        let text = format!("{failure:?}");
        for secret in ["geheim", "sk-", "yz", "AIza", "\u{1b}", "\\n"] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
        let told = Told { reason: "x ".repeat(5_000), ..Told::default() };
        let failure = teller().status(400, &HeaderMap::new(), told, &[]);
        assert!(failure.error.message().len() < 400);
    }

    #[test]
    fn a_reason_that_quotes_the_request_is_left_out() {
        for (reason, said, quoted) in [
            ("Invalid value: 'my cat is called Minka'.", "You know: my cat is called Minka, and she bites.", true),
            ("Invalid value: 'PIN 4711'.", "PIN 4711", true),
            ("The model does not exist.", "my cat is called Minka", false),
            ("The model does not exist.", "", false),
        ] {
            let told = Told { reason: reason.to_owned(), ..Told::default() };
            let message = teller().status(400, &HeaderMap::new(), told, &[said]).error.message().to_owned();
            assert_eq!(message.contains("quotes the request"), quoted, "{message}");
            assert_ne!(message.contains(reason), quoted, "{message}");
        }
    }

    #[test]
    fn pauses_are_read_from_the_headers_of_all_providers() {
        let of = |pairs: &[(&str, &str)]| {
            let pair = |(name, value): &(&str, &str)| {
                (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
            };
            pause_of(&pairs.iter().map(pair).collect::<HeaderMap>()).map(|p| p.as_millis())
        };
        assert_eq!(of(&[("retry-after", "7")]), Some(7_000));
        assert_eq!(of(&[("retry-after-ms", "250"), ("retry-after", "1")]), Some(250));
        assert_eq!(of(&[("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT")]), None);
        assert_eq!(of(&[("retry-after", "-1")]), None);
        assert_eq!(of(&[("retry-after", "1e300")]), None);
        let openai = [
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "1m0.5s"),
            ("x-ratelimit-remaining-tokens", "9"),
            ("x-ratelimit-reset-tokens", "6h"),
        ];
        assert_eq!(of(&openai), Some(60_500));
        assert_eq!(span("20ms"), Some(Duration::from_millis(20)));
        assert_eq!((span(""), span("5"), span("s"), span("9999999d")), (None, None, None, Some(PAUSE_MAX)));
    }
}
