//! What the model services take, in JSON: see docs/ml.md.

use super::input::{Fields, integer, number, text, texts};
use crate::{
    error::{Error, Result},
    limits::{CONTENT_BYTES_MAX, ENTITIES_MAX, KEYWORDS_MAX, NAME_BYTES_MAX, QUERY_BYTES_MAX, RERANK_TEXTS_MAX},
};
use serde_json::{Map, Value};

/// Keywords given where none are asked for by number.
const KEYWORDS: usize = 10;
/// Likeness from which two names mean one thing, where none is given.
const THRESHOLD: f64 = 0.85;

/// What `/extract-keywords` takes: a text, and how many keywords (1 to 1,000, default 10).
pub fn keywords(fields: Map<String, Value>) -> Result<(String, usize)> {
    let mut f = Fields::new(fields);
    let (text, limit) = (f.required("text", bounded)?, f.optional("limit", integer)?);
    f.finish()?;
    Ok((text, count("limit", limit, KEYWORDS, KEYWORDS_MAX)?))
}

/// What `/extract-triples` takes: a text.
pub fn triples(fields: Map<String, Value>) -> Result<String> {
    let mut f = Fields::new(fields);
    let text = f.required("text", bounded)?;
    f.finish()?;
    Ok(text)
}

/// What `/resolve-entities` takes: at most 500 names of at most 256 bytes, and the likeness from which two are one (0 to 1,
/// default 0.85).
pub fn entities(fields: Map<String, Value>) -> Result<(Vec<String>, f64)> {
    let mut f = Fields::new(fields);
    let (names, threshold) = (f.required("entities", texts)?, f.optional("threshold", number)?.unwrap_or(THRESHOLD));
    f.finish()?;
    if names.len() > ENTITIES_MAX {
        return Err(Error::invalid(format!(
            "{} entities were given; at most {ENTITIES_MAX} are resolved",
            names.len()
        )));
    }
    if let Some(i) = names.iter().position(|name| name.len() > NAME_BYTES_MAX) {
        return Err(Error::invalid(format!("entity {i} has more than {NAME_BYTES_MAX} bytes")));
    }
    if !(0.0..=1.0).contains(&threshold) {
        return Err(Error::invalid("threshold must be from 0 to 1"));
    }
    Ok((names, threshold))
}

/// What `/rerank` takes: a query, at most 1,000 texts as `documents` or `texts`, and how many results (default all).
pub fn rerank(fields: Map<String, Value>) -> Result<(String, Vec<String>, usize)> {
    let mut f = Fields::new(fields);
    let query = f.required("query", text)?;
    let (documents, same) = (f.optional("documents", texts)?, f.optional("texts", texts)?);
    let top = f.optional("top_k", integer)?;
    f.finish()?;
    let documents = match (documents, same) {
        (Some(texts), None) | (None, Some(texts)) => texts,
        (None, None) => return Err(Error::invalid("documents is missing")),
        (Some(_), Some(_)) => return Err(Error::invalid("documents and texts are one field; give one of them")),
    };
    if query.len() > QUERY_BYTES_MAX {
        return Err(Error::invalid(format!("query has {} bytes; at most {QUERY_BYTES_MAX}", query.len())));
    }
    if documents.len() > RERANK_TEXTS_MAX {
        let found = documents.len();
        return Err(Error::invalid(format!("{found} documents were given; at most {RERANK_TEXTS_MAX} are scored")));
    }
    if let Some(i) = documents.iter().position(|text| text.len() > CONTENT_BYTES_MAX) {
        return Err(Error::invalid(format!("document {i} has more than {CONTENT_BYTES_MAX} bytes (1 MiB)")));
    }
    let top = count("top_k", top, RERANK_TEXTS_MAX, RERANK_TEXTS_MAX)?;
    Ok((query, documents, top))
}

fn bounded(field: &str, value: Value) -> Result<String> {
    let text = text(field, value)?;
    if text.len() > CONTENT_BYTES_MAX {
        return Err(Error::invalid(format!("{field} has {} bytes; at most {CONTENT_BYTES_MAX} (1 MiB)", text.len())));
    }
    Ok(text)
}

fn count(field: &str, given: Option<i64>, default: usize, most: usize) -> Result<usize> {
    let Some(given) = given else { return Ok(default) };
    let found = usize::try_from(given).ok().filter(|n| (1..=most).contains(n));
    found.ok_or_else(|| Error::invalid(format!("{field} must be a whole number from 1 to {most}")))
}
