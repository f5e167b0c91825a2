//! What makes two writes the same.

use crate::{
    error::{Error, Result},
    model::{Claim, Memory},
};
use serde::Serialize;
use unicode_normalization::UnicodeNormalization;

/// BLAKE3 of the content as given.
pub fn content_hash(content: &str) -> [u8; 32] {
    *blake3::hash(content.as_bytes()).as_bytes()
}

/// The text as compared for merging: Unicode NFC, runs of white space as one blank, none at the ends. Case stays: "US" is not
/// "us", and a merge keeps only the first wording.
pub fn normalised(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        if word.is_ascii() { out.push_str(word) } else { out.extend(word.nfc()) }
    }
    out
}

/// The key under which a live memory is unique in its scope; `None` for what never merges.
///
/// A statement is the same when layer, agent, user and normalised text are: a user's statement must stay findable under that
/// user. A conversation turn is an event: it needs its own time, session and speaker too. A
/// claim is the same when its three parts are and it was given the same validity: who works somewhere again has two jobs there,
/// one after the other. How it is put in words and how strong it is do not count.
pub fn dedup_key(memory: &Memory) -> Option<[u8; 32]> {
    let mut hash = blake3::Hasher::new();
    // Each part is prefixed by its length, so that no two lists of parts read the same.
    let mut part = |bytes: Option<&[u8]>| {
        let len = bytes.map_or(u64::MAX, |b| b.len() as u64);
        hash.update(&len.to_le_bytes());
        hash.update(bytes.unwrap_or_default());
    };
    part(Some(memory.layer.as_str().as_bytes()));
    part(memory.agent_id.as_deref().map(str::as_bytes));
    part(memory.user_id.as_deref().map(str::as_bytes));
    if let Some(claim) = &memory.claim {
        part(Some(b"claim"));
        part(Some(Claim::name_key(&claim.subject).as_bytes()));
        part(Some(claim.relation.as_bytes()));
        part(Some(Claim::name_key(&claim.object).as_bytes()));
        for end in [memory.valid_from, memory.valid_to] {
            part(end.map(|at| at.micros().to_le_bytes()).as_ref().map(|bytes| &bytes[..]));
        }
        // What a nameless speaker says is a thing of that session alone.
        if let Some(session) = memory.claim_session() {
            part(Some(session.as_bytes()));
        }
        return Some(*hash.finalize().as_bytes());
    }
    if memory.kind.is_statement() {
        part(Some(b"statement"));
    } else if memory.kind == crate::model::Kind::Conversation {
        let at = memory.occurred_at?;
        part(Some(b"turn"));
        part(memory.session_id.as_deref().map(str::as_bytes));
        part(memory.speaker.as_deref().map(str::as_bytes));
        part(Some(&at.micros().to_le_bytes()));
    } else {
        return None;
    }
    part(Some(normalised(&memory.content).as_bytes()));
    Some(*hash.finalize().as_bytes())
}

/// Hash of a request as its JSON, for idempotency keys.
pub fn request_hash<T: Serialize>(request: &T) -> Result<[u8; 32]> {
    let json = serde_json::to_vec(request)
        .map_err(|e| Error::internal("a request cannot be written as JSON").with_source(e))?;
    Ok(*blake3::hash(&json).as_bytes())
}
