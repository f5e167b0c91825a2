//! Bodies and query strings: read within limits, then handed to the engine's own parser.

use super::error::{ApiError, ApiResult, shown};
use crate::front::{Front, Held};
use axum::{
    body::Body,
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode, header},
};
use http_body_util::BodyExt;
use rae_core::{Error, ErrorKind};
use serde_json::{Map, Value};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// Deepest nesting of a body; the deepest that the engine takes is a filter in a request, 21.
pub const JSON_DEPTH_MAX: usize = 32;
/// Most values in a body that is not a batch.
pub const JSON_VALUES_MAX: usize = 50_000;
/// Most values in a batch.
const BATCH_VALUES_MAX: usize = 4_000_000;
/// Most values in a request to a chat model: messages, and schemas of tools.
const CHAT_VALUES_MAX: usize = 500_000;
/// About what a value takes in memory once it is parsed.
const VALUE_BYTES: usize = 64;

/// The fields of a JSON object that a request brought.
#[derive(Debug)]
pub struct Fields {
    /// The object.
    pub map: Map<String, Value>,
    /// What it takes of the memory for bodies.
    pub held: Held,
}

impl<S: AsRef<Front> + Send + Sync> FromRequest<Arc<S>> for Fields {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &Arc<S>) -> ApiResult<Self> {
        read(request, S::as_ref(state), &Bounds::usual(S::as_ref(state))).await
    }
}

/// The same for a batch, which may hold more values.
#[derive(Debug)]
pub struct BatchFields(pub Fields);

impl<S: AsRef<Front> + Send + Sync> FromRequest<Arc<S>> for BatchFields {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &Arc<S>) -> ApiResult<Self> {
        let bounds = Bounds { values: BATCH_VALUES_MAX, ..Bounds::usual(S::as_ref(state)) };
        read(request, S::as_ref(state), &bounds).await.map(Self)
    }
}

/// The same for a body that may be left out.
#[derive(Debug)]
pub struct MaybeFields(pub Fields);

impl<S: AsRef<Front> + Send + Sync> FromRequest<Arc<S>> for MaybeFields {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &Arc<S>) -> ApiResult<Self> {
        if axum::body::HttpBody::is_end_stream(request.body()) {
            return Ok(Self(Fields { map: Map::new(), held: Held::default() }));
        }
        read(request, S::as_ref(state), &Bounds::usual(S::as_ref(state))).await.map(Self)
    }
}

/// The same for a request to a chat model, which may hold pictures and is bounded by the engine: it may be longer than other
/// bodies, and deeper.
#[derive(Debug)]
pub struct ChatFields(pub Fields);

impl<S: AsRef<Front> + Send + Sync> FromRequest<Arc<S>> for ChatFields {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &Arc<S>) -> ApiResult<Self> {
        let usual = Bounds::usual(S::as_ref(state));
        let bytes = usual.bytes.max(rae_core::limits::CHAT_REQUEST_BYTES_MAX);
        let bounds = Bounds { bytes, depth: rae_core::limits::CHAT_DEPTH_MAX, values: CHAT_VALUES_MAX };
        read(request, S::as_ref(state), &bounds).await.map(Self)
    }
}

/// What a body may have.
struct Bounds {
    bytes: usize,
    depth: usize,
    values: usize,
}

impl Bounds {
    fn usual(app: &Front) -> Self {
        Self { bytes: app.settings.max_body_bytes, depth: JSON_DEPTH_MAX, values: JSON_VALUES_MAX }
    }
}

async fn read(request: Request, app: &Front, bounds: &Bounds) -> ApiResult<Fields> {
    let (parts, body) = request.into_parts();
    let limit = bounds.bytes;
    check_head(&parts.headers, limit as u64)?;
    let mut held = Held::default();
    let bytes = within(app.settings.request_timeout, collect(app, body, limit, &mut held)).await?;
    let values = scan(&bytes, bounds.depth, bounds.values)?;
    // The tree takes more room than its text.
    app.hold(&mut held, values * VALUE_BYTES)?;
    Ok(Fields { map: parse(&bytes)?, held })
}

/// What the headers say of the body: how long it is, and that it is not packed. Any type will do: `curl -d` says that it sends a form.
pub fn check_head(headers: &HeaderMap, limit: u64) -> ApiResult<()> {
    if headers.get(header::CONTENT_ENCODING).is_some_and(|v| !v.as_bytes().eq_ignore_ascii_case(b"identity")) {
        let error =
            Error::invalid("a body must be sent as it is, without Content-Encoding").with_code("unsupported_encoding");
        return Err(ApiError::with_status(error, StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
    if length.is_some_and(|n| n > limit) { Err(too_large(limit)) } else { Ok(()) }
}

/// 413.
pub fn too_large(limit: u64) -> ApiError {
    let error = Error::invalid(format!("the body is longer than {limit} bytes")).with_code("body_too_large");
    let error = error.with_details(serde_json::json!({ "limit": limit }));
    ApiError::with_status(error, StatusCode::PAYLOAD_TOO_LARGE)
}

/// Ends a read that takes too long.
pub async fn within<T>(limit: Duration, read: impl Future<Output = ApiResult<T>>) -> ApiResult<T> {
    match tokio::time::timeout(limit, read).await {
        Ok(read) => read,
        Err(_) => {
            let error = Error::new(ErrorKind::Timeout, "the body took too long to arrive").with_code("slow_body");
            Err(ApiError::with_status(error, StatusCode::REQUEST_TIMEOUT))
        }
    }
}

/// A body that broke off.
pub fn broken(error: impl std::fmt::Display) -> ApiError {
    ApiError::bad("broken_body", format!("the body did not arrive whole: {error}"))
}

async fn collect(app: &Front, mut body: Body, limit: usize, held: &mut Held) -> ApiResult<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        if bytes.len() + data.len() > limit {
            return Err(too_large(limit as u64));
        }
        app.hold(held, data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

fn parse(bytes: &[u8]) -> ApiResult<Map<String, Value>> {
    if bytes.is_empty() {
        return Err(ApiError::bad("empty_body", "the body is empty; send a JSON object"));
    }
    // The parser's message may quote what it read: only the place is told.
    let value: Value = serde_json::from_slice(bytes).map_err(|e| {
        let place = format!("the body is not JSON: line {}, column {}", e.line(), e.column());
        ApiError::from(Error::invalid(place).with_code("malformed_json").with_source(e))
    })?;
    match value {
        Value::Object(map) => Ok(map),
        _ => Err(ApiError::of_body(Error::invalid("the body must be a JSON object"))),
    }
}

/// Counts depth and values of a JSON text without building anything.
fn scan(bytes: &[u8], depth_max: usize, values_max: usize) -> ApiResult<usize> {
    let (mut depth, mut values, mut in_text, mut escaped) = (0usize, 1usize, false, false);
    for &byte in bytes {
        if in_text {
            in_text = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b'[' | b'{' => {
                depth += 1;
                values += 1;
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => values += 1,
            _ => {}
        }
        if depth > depth_max {
            return Err(ApiError::bad("json_too_deep", format!("the body is more than {depth_max} levels deep")));
        }
        if values > values_max {
            return Err(ApiError::bad("json_too_many_values", format!("the body has more than {values_max} values")));
        }
    }
    Ok(values)
}

/// A query string as arguments of `list`. `tags` may be repeated, the rest may not.
pub fn list_arguments(query: &str, page_max: usize) -> ApiResult<Map<String, Value>> {
    let mut args = Map::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name == "tags" {
            let tags = args.entry("tags").or_insert_with(|| Value::Array(Vec::new()));
            tags.as_array_mut().into_iter().for_each(|tags| tags.push(value.as_ref().into()));
            continue;
        }
        let value = match &*name {
            "cursor" | "layer" => Value::String(value.into_owned()),
            "limit" => limit(&value, page_max)?,
            "filter" => {
                scan(value.as_bytes(), JSON_DEPTH_MAX, JSON_VALUES_MAX)?;
                let filter = serde_json::from_str(&value);
                filter.map_err(|_| ApiError::bad("malformed_json", "the parameter filter must be a JSON object"))?
            }
            _ => return Err(ApiError::bad("unknown_parameter", format!("unknown parameter {}", shown(&name)))),
        };
        if args.insert(name.clone().into_owned(), value).is_some() {
            return Err(ApiError::bad("repeated_parameter", format!("the parameter {name} is given more than once")));
        }
    }
    Ok(args)
}

/// What a query string asks of a page.
#[derive(Debug)]
pub struct PageArguments {
    /// Size of the page; default 50.
    pub limit: usize,
    /// Where it begins.
    pub cursor: Option<String>,
    /// The other parameters.
    pub other: HashMap<&'static str, String>,
}

/// A query string with `limit`, `cursor` and the parameters in `other`, each at most once.
pub fn page_arguments(query: Option<&str>, page_max: usize, other: &[&'static str]) -> ApiResult<PageArguments> {
    const DEFAULT: usize = 50;
    let (mut size, mut cursor, mut rest) = (None, None, HashMap::new());
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let repeated = match &*name {
            "limit" => size.replace(count(&value, page_max)?).is_some(),
            "cursor" => cursor.replace(value.into_owned()).is_some(),
            _ => {
                let known = other.iter().find(|known| ***known == *name);
                let known = known
                    .ok_or_else(|| ApiError::bad("unknown_parameter", format!("unknown parameter {}", shown(&name))))?;
                rest.insert(*known, value.into_owned()).is_some()
            }
        };
        if repeated {
            return Err(ApiError::bad("repeated_parameter", format!("the parameter {name} is given more than once")));
        }
    }
    Ok(PageArguments { limit: size.unwrap_or(DEFAULT.min(page_max)), cursor, other: rest })
}

fn limit(value: &str, page_max: usize) -> ApiResult<Value> {
    count(value, page_max).map(Value::from)
}

/// The size of a page.
pub fn count(value: &str, page_max: usize) -> ApiResult<usize> {
    let wrong = || ApiError::bad("invalid_limit", format!("limit must be a whole number from 1 to {page_max}"));
    let number = value.parse::<usize>().ok().filter(|n| (1..=page_max).contains(n));
    number.ok_or_else(wrong)
}

/// For routes that take no parameters.
pub fn no_parameters(query: Option<&str>) -> ApiResult<()> {
    match form_urlencoded::parse(query.unwrap_or_default().as_bytes()).next() {
        None => Ok(()),
        Some((name, _)) => Err(ApiError::bad("unknown_parameter", format!("unknown parameter {}", shown(&name)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_and_values_are_counted_outside_of_texts() {
        assert_eq!(scan(br#"{"a": "[[[,,,\"{{", "b": [1, 2]}"#, JSON_DEPTH_MAX, 100).unwrap(), 5);
        assert!(scan(&[b'['; JSON_DEPTH_MAX], JSON_DEPTH_MAX, 100).is_ok());
        assert!(scan(&[b'['; JSON_DEPTH_MAX + 1], JSON_DEPTH_MAX, 100).is_err());
        assert!(scan(b"[0,0,0,0]", JSON_DEPTH_MAX, 4).is_err());
        assert!(scan(br#"{"a\\": [["#, JSON_DEPTH_MAX, 100).is_ok());
    }

    #[test]
    fn a_query_string_becomes_the_arguments_of_list() {
        let args = list_arguments("limit=5&tags=a%20b&tags=c&layer=semantic&filter=%7B%22kind%22%3A%22fact%22%7D", 10)
            .unwrap();
        let expected =
            serde_json::json!({ "limit": 5, "tags": ["a b", "c"], "layer": "semantic", "filter": { "kind": "fact" } });
        assert_eq!(Value::Object(args), expected);
        for bad in ["limit=0", "limit=11", "limit=x", "limit=1&limit=2", "page=1", "filter=%7B", "filter=", "tag=a"] {
            assert!(list_arguments(bad, 10).is_err(), "{bad}");
        }
    }
}
