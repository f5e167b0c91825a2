//! Documents as one immutable block of bytes, for a row of the relational store.
//!
//! Layout: magic (8 bytes), format version (1 byte), BLAKE3 of the body (32 bytes), body. The body is postcard: the different terms,
//! the different strings, then one row a document that names both by number.

use super::{
    doc::{Columns, LexDoc, Terms},
    index::ScopeIndex,
    names::Names,
};
use crate::{
    error::{Error, Result},
    limits::{CONTENT_BYTES_MAX, TERM_BYTES_MAX},
    model::{Kind, Layer, MemoryId, Timestamp},
};
use serde::{Deserialize, Serialize};

const MAGIC: &[u8; 8] = b"RAE-lex\n";
const FORMAT: u8 = 1;
const HEADER: usize = MAGIC.len() + 1 + blake3::OUT_LEN;
/// Most terms of one document. The densest character decomposes into four words and has three bytes.
const DOC_TERMS_MAX: usize = 2 * CONTENT_BYTES_MAX + 1_024;

#[derive(Serialize, Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    terms: Vec<&'a str>,
    #[serde(borrow)]
    strings: Vec<&'a str>,
    rows: Vec<Row>,
}

#[derive(Serialize, Deserialize)]
struct Row {
    id: [u8; 16],
    seq: u64,
    version: u32,
    layer: Layer,
    kind: Kind,
    role_is_user: bool,
    speaker: Option<u32>,
    session: Option<u32>,
    agent: Option<u32>,
    user: Option<u32>,
    tags: Vec<u32>,
    occurred_at: Option<i64>,
    created_at: i64,
    updated_at: i64,
    valid_from: Option<i64>,
    valid_to: Option<i64>,
    expires_at: Option<i64>,
    importance: f32,
    strength: f32,
    seq_in_session: Option<u32>,
    terms: Vec<u32>,
}

/// Writes documents into a segment, in the order given. Internal when a document is one that `decode` would refuse (no
/// [`LexDoc::from_memory`] is): better no segment than one that cannot be read.
pub fn encode<'d>(docs: impl IntoIterator<Item = &'d LexDoc>) -> Result<Vec<u8>> {
    let (mut terms, mut strings) = (Names::default(), Names::default());
    let rows = docs.into_iter().map(|doc| row(doc, &mut terms, &mut strings)).collect::<Vec<_>>();
    if let Some(odd) = rows.iter().find_map(oddity) {
        return Err(Error::internal(format!("an index segment would be unreadable: it {odd}")));
    }
    let body = Body { terms: terms.all().collect(), strings: strings.all().collect(), rows };
    let mut out = Vec::with_capacity(HEADER);
    out.extend_from_slice(MAGIC);
    out.push(FORMAT);
    out.extend_from_slice(&[0; blake3::OUT_LEN]);
    let mut out = postcard::to_extend(&body, out)
        .map_err(|e| Error::internal("an index segment could not be encoded").with_source(e))?;
    let hash = out.get(HEADER..).map(blake3::hash);
    if let (Some(hash), Some(place)) = (hash, out.get_mut(MAGIC.len() + 1..HEADER)) {
        place.copy_from_slice(hash.as_bytes());
    }
    Ok(out)
}

fn row(doc: &LexDoc, terms: &mut Names, strings: &mut Names) -> Row {
    let columns = &doc.columns;
    let mut string = |text: &Option<String>| text.as_deref().map(|t| strings.intern(t));
    Row {
        id: *doc.id.0.as_bytes(),
        seq: doc.seq,
        version: doc.version,
        layer: columns.layer,
        kind: columns.kind,
        role_is_user: columns.role_is_user,
        speaker: string(&columns.speaker),
        session: string(&columns.session),
        agent: string(&columns.agent),
        user: string(&columns.user),
        tags: columns.tags.iter().map(|t| strings.intern(t)).collect(),
        occurred_at: columns.occurred_at,
        created_at: columns.created_at,
        updated_at: columns.updated_at,
        valid_from: columns.valid_from,
        valid_to: columns.valid_to,
        expires_at: columns.expires_at,
        importance: columns.importance,
        strength: columns.strength,
        seq_in_session: columns.seq_in_session,
        terms: doc.terms.iter().map(|t| terms.intern(t)).collect(),
    }
}

/// Reads a segment. Corrupt when anything is odd: magic, version, checksum, a number without its term or string, a time out of
/// range, a share that is not between 0 and 1, bytes left over. Memory is bounded by a small multiple of the input.
pub fn decode(bytes: &[u8]) -> Result<Vec<LexDoc>> {
    let body = open(bytes)?;
    body.rows.iter().map(|row| doc(row, &body)).collect()
}

impl ScopeIndex {
    /// Puts all documents of a segment; gives their number. As `decode` and `put` of each, but faster, because a term is looked up
    /// once a segment. On an error nothing has changed.
    pub fn load(&mut self, bytes: &[u8]) -> Result<usize> {
        let body = open(bytes)?;
        let columns = body.rows.iter().map(|row| columns(row, &body)).collect::<Result<Vec<_>>>()?;
        if body.rows.iter().flat_map(|r| &r.terms).any(|t| *t as usize >= body.terms.len()) {
            return Err(corrupt("names a term that it does not have"));
        }
        let mut ids = Vec::new();
        let mut numbers = Vec::new();
        let mut generation = None;
        for (row, columns) in body.rows.iter().zip(&columns) {
            let id = MemoryId(uuid::Uuid::from_bytes(row.id));
            if self.is_stale(id, row.seq) {
                continue;
            }
            // A compaction on the way gives terms other numbers.
            if generation != Some(self.generation()) {
                generation = Some(self.generation());
                numbers = body.terms.iter().map(|t| self.terms.intern(t)).collect::<Vec<_>>();
            }
            ids.clear();
            ids.extend(row.terms.iter().filter_map(|t| numbers.get(*t as usize)));
            self.replace(id, row.seq, row.version, columns, &ids);
        }
        Ok(body.rows.len())
    }
}

fn corrupt(what: &str) -> Error {
    Error::corrupt(format!("an index segment {what}")).with_code("segment_corrupt")
}

/// Checks everything but the single rows.
fn open(bytes: &[u8]) -> Result<Body<'_>> {
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| corrupt("has no known magic"))?;
    let (format, rest) = rest.split_first().ok_or_else(|| corrupt("is cut off"))?;
    if *format != FORMAT {
        return Err(corrupt("has an unknown format version"));
    }
    let (hash, body) = rest.split_at_checked(blake3::OUT_LEN).ok_or_else(|| corrupt("is cut off"))?;
    if blake3::hash(body).as_bytes() != hash {
        return Err(corrupt("does not match its checksum"));
    }
    let (body, left) =
        postcard::take_from_bytes::<Body<'_>>(body).map_err(|e| corrupt("cannot be read").with_source(e))?;
    if !left.is_empty() {
        return Err(corrupt("has bytes left over"));
    }
    if body.terms.iter().any(|t| t.is_empty() || t.len() > TERM_BYTES_MAX) {
        return Err(corrupt("has a term of a wrong length"));
    }
    Ok(body)
}

fn doc(row: &Row, body: &Body<'_>) -> Result<LexDoc> {
    let columns = columns(row, body)?;
    let mut terms = Terms::with_capacity(row.terms.len(), 8 * row.terms.len());
    for number in &row.terms {
        terms.push(body.terms.get(*number as usize).ok_or_else(|| corrupt("names a term that it does not have"))?);
    }
    Ok(LexDoc { id: MemoryId(uuid::Uuid::from_bytes(row.id)), seq: row.seq, version: row.version, columns, terms })
}

/// What no row may have.
fn oddity(row: &Row) -> Option<&'static str> {
    let times = [row.occurred_at, row.valid_from, row.valid_to, row.expires_at].into_iter().flatten();
    if row.terms.len() > DOC_TERMS_MAX || row.tags.len() > usize::from(u16::MAX) {
        Some("has a document that is too long")
    } else if times.chain([row.created_at, row.updated_at]).any(|t| Timestamp::from_micros(t).is_err()) {
        Some("has a time out of range")
    } else if ![row.importance, row.strength].iter().all(|share| (0.0..=1.0).contains(share)) {
        Some("has a share that is not between 0 and 1")
    } else {
        None
    }
}

fn columns(row: &Row, body: &Body<'_>) -> Result<Columns> {
    let string = |number: u32| {
        let text = body.strings.get(number as usize).ok_or_else(|| corrupt("names a string that it does not have"))?;
        Ok::<_, Error>((*text).to_owned())
    };
    if let Some(odd) = oddity(row) {
        return Err(corrupt(odd));
    }
    Ok(Columns {
        layer: row.layer,
        kind: row.kind,
        role_is_user: row.role_is_user,
        speaker: row.speaker.map(string).transpose()?,
        session: row.session.map(string).transpose()?,
        agent: row.agent.map(string).transpose()?,
        user: row.user.map(string).transpose()?,
        tags: row.tags.iter().map(|t| string(*t)).collect::<Result<_>>()?,
        occurred_at: row.occurred_at,
        created_at: row.created_at,
        updated_at: row.updated_at,
        valid_from: row.valid_from,
        valid_to: row.valid_to,
        expires_at: row.expires_at,
        importance: row.importance,
        strength: row.strength,
        seq_in_session: row.seq_in_session,
    })
}
