//! What the headers of a chat ask for, and the object `rae` of its body.

use super::{ApiError, ApiResult, request_id};
use crate::{http::auth::name, settings::Settings};
use axum::http::HeaderMap;
use rae_core::{
    Error,
    ops::{CacheOptions, ChatOptions, LlmOptions, MemoryOptions},
    wire,
};
use serde_json::{Map, Value};

/// The field of the body that no other server of OpenAI's wire format has, in requests and in answers.
pub const OWN: &str = "rae";

/// The headers of a request, and its own field.
#[derive(Debug)]
pub struct Asked {
    /// How it is answered.
    pub options: ChatOptions,
    /// Whether only the estimate is wanted.
    pub dry_run: bool,
    /// Whether the answer has the field as well.
    pub tells: bool,
}

impl Asked {
    /// Reads them, and takes the field out of the body; what they leave out is as the settings say. 400 where one has another value than
    /// it may have.
    pub fn of(settings: &Settings, headers: &HeaderMap, body: &mut Map<String, Value>) -> ApiResult<Self> {
        let memory = match choice(headers, "x-rae-memory", &["on", "off", "read"])? {
            Some("on") => Some(true),
            Some("read") => Some(false),
            Some(_) => None,
            None => settings.gateway_memory.then_some(true),
        };
        let session_id = name(headers, "x-session-id", "session")?.map(str::to_owned);
        let memory = memory.map(|remember| MemoryOptions { session_id, remember, ..MemoryOptions::default() });
        let cached =
            choice(headers, "x-rae-cache", &["on", "off"])?.map_or(settings.response_cache, |word| word == "on");
        let own = match body.remove(OWN) {
            None | Some(Value::Null) => None,
            Some(Value::Object(fields)) => Some(wire::llm_options(fields)?),
            Some(_) => return Err(Error::invalid("rae must be an object").into()),
        };
        let (tells, own) = (own.is_some(), own.unwrap_or_default());
        let llm = LlmOptions {
            user_id: own.user_id.or(name(headers, "x-user-id", "user")?.map(str::to_owned)),
            request_id: own.request_id.or_else(request_id),
            ..own
        };
        let dry_run = choice(headers, "x-dry-run", &["true", "false"])? == Some("true");
        Ok(Self { options: ChatOptions { llm, memory, cache: cached.then(|| kept(settings)) }, dry_run, tells })
    }
}

/// How the settings say that answers are kept.
pub fn kept(settings: &Settings) -> CacheOptions {
    CacheOptions { ttl: settings.response_cache_ttl, near: settings.response_cache_near }
}

fn choice<'a>(headers: &HeaderMap, header: &'static str, words: &[&'a str]) -> ApiResult<Option<&'a str>> {
    let Some(given) = name(headers, header, header)? else { return Ok(None) };
    let found = words.iter().find(|word| given.trim().eq_ignore_ascii_case(word)).copied();
    let wrong = || ApiError::bad("invalid_header", format!("the header {header} must be {}", words.join(" or ")));
    found.map(Some).ok_or_else(wrong)
}
