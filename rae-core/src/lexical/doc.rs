//! A memory as the index sees it: columns and terms.

use super::{analyse, mark, speakers::is_generic};
use crate::{
    error::{Error, Result},
    limits::{PIECE_TERMS, TERM_BYTES_MAX},
    model::{Kind, Layer, Memory, MemoryId},
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The terms of one memory, in order. Pieces are runs of `limits::PIECE_TERMS` of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Terms {
    // One text and its cuts instead of a string a term: a segment of 100,000 memories has a million terms.
    text: String,
    ends: Vec<usize>,
}

impl Terms {
    /// Number of terms.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Number of pieces: at least one.
    pub fn pieces(&self) -> usize {
        self.len().div_ceil(PIECE_TERMS).max(1)
    }

    /// The terms in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let term = self.text.get(start..end).unwrap_or_default();
            start = end;
            term
        })
    }

    /// Room for that many terms, all together of that many bytes.
    pub(super) fn with_capacity(terms: usize, bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes), ends: Vec::with_capacity(terms) }
    }

    /// Adds a term at the end.
    pub(super) fn push(&mut self, term: &str) {
        self.text.push_str(term);
        self.ends.push(self.text.len());
    }
}

impl<'t> FromIterator<&'t str> for Terms {
    fn from_iter<I: IntoIterator<Item = &'t str>>(terms: I) -> Self {
        let mut out = Self::default();
        terms.into_iter().for_each(|t| out.push(t));
        out
    }
}

impl TryFrom<Vec<String>> for Terms {
    type Error = Error;
    fn try_from(terms: Vec<String>) -> Result<Self> {
        if terms.iter().any(|t| t.is_empty() || t.len() > TERM_BYTES_MAX) {
            return Err(Error::corrupt(format!("an index term must have 1 to {TERM_BYTES_MAX} bytes")));
        }
        Ok(terms.iter().map(String::as_str).collect())
    }
}

impl From<Terms> for Vec<String> {
    fn from(terms: Terms) -> Self {
        terms.iter().map(str::to_owned).collect()
    }
}

/// What of a memory is filtered and scored by, beside its words. Times are microseconds since 1970, UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // the names and meanings are those of `Memory`
pub struct Columns {
    pub layer: Layer,
    pub kind: Kind,
    /// Whether the role is `user` (in any case): such a memory starts a new exchange of its session.
    pub role_is_user: bool,
    /// As written by the caller; generic ones (`user`, `assistant`, `system`, `tool`) too.
    pub speaker: Option<String>,
    pub session: Option<String>,
    pub agent: Option<String>,
    pub user: Option<String>,
    pub tags: Vec<String>,
    pub occurred_at: Option<i64>,
    pub created_at: i64,
    pub updated_at: i64,
    pub valid_from: Option<i64>,
    pub valid_to: Option<i64>,
    pub expires_at: Option<i64>,
    pub importance: f32,
    pub strength: f32,
    pub seq_in_session: Option<u32>,
}

/// A memory as the index holds it and as a segment stores it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LexDoc {
    /// The memory.
    pub id: MemoryId,
    /// Number of the change that last touched it.
    pub seq: u64,
    /// Its version.
    pub version: u32,
    /// What it is filtered and scored by.
    pub columns: Columns,
    /// Its words.
    pub terms: Terms,
}

impl LexDoc {
    /// Analyses a memory: date and speaker in front of its content. The costly part of indexing; needs no lock.
    pub fn from_memory(memory: &Memory) -> Self {
        let prefix = prefix(memory, true);
        // English has about six bytes a term after stop words; stems are shorter than words.
        let content = mark::blanked(&memory.content);
        let bytes = prefix.len() + content.len();
        let mut terms = Terms::with_capacity(bytes / 6 + 1, bytes / 2 + 8);
        for text in [prefix.as_str(), &*content] {
            analyse(text, &mut |term, _, _| terms.push(term));
        }
        terms.text.shrink_to_fit();
        terms.ends.shrink_to_fit();
        Self { id: memory.id, seq: memory.seq, version: memory.version, columns: columns(memory), terms }
    }
}

/// A number between 0 and 1: an f32 is precise enough for one small part of a score.
#[allow(clippy::cast_possible_truncation)]
fn share(value: f64) -> f32 {
    if value.is_finite() { value.clamp(0.0, 1.0) as f32 } else { 0.0 }
}

fn columns(memory: &Memory) -> Columns {
    Columns {
        layer: memory.layer,
        kind: memory.kind,
        role_is_user: memory.role.as_deref().is_some_and(|r| r.eq_ignore_ascii_case("user")),
        speaker: memory.speaker.clone(),
        session: memory.session_id.clone(),
        agent: memory.agent_id.clone(),
        user: memory.user_id.clone(),
        tags: memory.tags.clone(),
        occurred_at: memory.occurred_at.map(|t| t.micros()),
        created_at: memory.created_at.micros(),
        updated_at: memory.updated_at.micros(),
        valid_from: memory.valid_from.map(|t| t.micros()),
        valid_to: memory.valid_to.map(|t| t.micros()),
        expires_at: memory.expires_at.map(|t| t.micros()),
        importance: share(memory.importance),
        strength: share(memory.strength),
        seq_in_session: memory.seq_in_session,
    }
}

/// `(8 May, 2023) ` where the time is known, `Speaker: ` where asked for and there is one with a name of his own.
fn prefix(memory: &Memory, with_speaker: bool) -> String {
    let mut out = String::new();
    if let Some(time) = memory.occurred_at {
        out = format!("({}) ", time.in_words());
    }
    if let Some(speaker) = memory.speaker.as_deref().filter(|s| with_speaker && !is_generic(s)) {
        out.push_str(speaker);
        out.push_str(": ");
    }
    out
}

/// The text whose words are indexed: `(8 May, 2023) Speaker: content`; the date only where `occurred_at` is known, the speaker only
/// where there is one that is not generic (`user`, `assistant`, `system`, `tool`). Where memories of a prompt stand in it there are
/// spaces: what was recalled is not found again as news.
pub fn document_text(memory: &Memory) -> Cow<'_, str> {
    with_prefix(prefix(memory, true), mark::blanked(&memory.content))
}

/// The text that is embedded: `(8 May, 2023) content`, without the speaker, because names belong in metadata and not in vectors,
/// and without memories of a prompt that stand in it.
pub fn embed_text(memory: &Memory) -> Cow<'_, str> {
    let content = match mark::blanked(&memory.content) {
        Cow::Borrowed(all) => Cow::Borrowed(all.trim()),
        Cow::Owned(_) => Cow::Owned(mark::without_blocks(&memory.content)),
    };
    with_prefix(prefix(memory, false), content)
}

fn with_prefix(mut prefix: String, content: Cow<'_, str>) -> Cow<'_, str> {
    if prefix.is_empty() {
        return content;
    }
    prefix.push_str(&content);
    Cow::Owned(prefix)
}

/// Byte spans of the pieces in the content, one a piece. They tile the content: the first starts at 0, each next starts at its first
/// term, the last ends with the content. The terms of date and speaker count in the first pieces but have no place in the content.
pub fn piece_spans(memory: &Memory) -> Vec<(usize, usize)> {
    let mut count = 0usize;
    let mut starts = vec![0usize];
    analyse(&prefix(memory, true), &mut |_, _, _| {
        if count > 0 && count.is_multiple_of(PIECE_TERMS) {
            starts.push(0);
        }
        count += 1;
    });
    analyse(&mark::blanked(&memory.content), &mut |_, start, _| {
        if count > 0 && count.is_multiple_of(PIECE_TERMS) {
            starts.push(start);
        }
        count += 1;
    });
    let ends = starts.iter().skip(1).copied().chain([memory.content.len()]).collect::<Vec<_>>();
    starts.into_iter().zip(ends).collect()
}
