//! Memories to rows and back.

use super::errors::Res;
use crate::{
    error::{Error, Result},
    limits::{DIM_MAX, PAGE_MAX},
    model::{InfoClass, Kind, Layer, Memory, MemoryId, Provenance, Scope, Timestamp, VectorRow},
};
use rusqlite::{
    Row,
    types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, Type, ValueRef},
};
use std::str::FromStr;
use uuid::Uuid;

/// The columns of `memories m` that [`decode`] reads, up to the ones a filter may not need.
macro_rules! head_columns {
    () => {
        "m.rid, m.id, m.seq, m.seq_in_session, m.version, m.witness_count, m.importance, m.strength, m.confidence, \
         m.created_at, m.updated_at, m.occurred_at, m.valid_from, m.valid_to, m.expires_at, m.superseded_by, \
         m.content_hash, m.dedup_key, m.layer, m.kind, m.info_class, m.trust_level, m.role, m.speaker, m.session_id, \
         m.agent_id, m.user_id, m.tags, m.provenance, m.claim"
    };
}

/// All columns of `memories m` in the order of [`decode`].
macro_rules! columns {
    () => {
        concat!($crate::embedded::sqlite::row::head_columns!(), ", m.metadata, m.content")
    };
}
pub(super) use {columns, head_columns};

/// An instant as a column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Micros(pub Timestamp);

impl ToSql for Micros {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.micros().into())
    }
}

impl FromSql for Micros {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let micros = value.as_i64()?;
        Timestamp::from_micros(micros).map(Self).map_err(|_| FromSqlError::OutOfRange(micros))
    }
}

/// A 16-byte id as a column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Id(pub Uuid);

impl ToSql for Id {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(self.0.as_bytes())))
    }
}

impl FromSql for Id {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        <[u8; 16]>::column_result(value).map(|b| Self(Uuid::from_bytes(b)))
    }
}

impl From<Id> for MemoryId {
    fn from(id: Id) -> Self {
        Self(id.0)
    }
}

/// A count or sequence number as a column; what SQLite cannot hold is held at its greatest number.
pub(super) fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A count or sequence number from a column.
pub(super) fn uint(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let n: i64 = row.get(column)?;
    u64::try_from(n).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, n))
}

/// A dimension from a column.
pub(super) fn dimension(row: &Row<'_>, column: usize) -> rusqlite::Result<usize> {
    let n: i64 = row.get(column)?;
    usize::try_from(n).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, n))
}

/// The rows one call may ask for.
pub(super) fn page(limit: usize) -> Result<i64> {
    if limit == 0 {
        return Err(Error::invalid(format!("limit must be 1 to {PAGE_MAX}")));
    }
    Ok(i64::try_from(limit.min(PAGE_MAX)).unwrap_or(i64::MAX))
}

fn named<T: FromStr<Err = Error>>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    parse(row.get_ref(column)?.as_str()?, column)
}

fn parse<T: FromStr<Err = Error>>(text: &str, column: usize) -> rusqlite::Result<T> {
    text.parse().map_err(|e: Error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(e)))
}

fn json<T: serde::de::DeserializeOwned + Default>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    match row.get_ref(column)?.as_str_or_null()? {
        None => Ok(T::default()),
        Some(text) => serde_json::from_str(text)
            .map_err(|e| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(e))),
    }
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<Micros>>(column)?.map(|m| m.0))
}

/// Reads [`columns`]: the row number, and the memory.
pub(super) fn decode(row: &Row<'_>, scope: &Scope) -> rusqlite::Result<(i64, Memory)> {
    let memory = Memory {
        id: row.get::<_, Id>(1)?.into(),
        scope: scope.clone(),
        seq: uint(row, 2)?,
        seq_in_session: row.get(3)?,
        version: row.get(4)?,
        witness_count: row.get(5)?,
        importance: row.get(6)?,
        strength: row.get(7)?,
        confidence: row.get(8)?,
        created_at: row.get::<_, Micros>(9)?.0,
        updated_at: row.get::<_, Micros>(10)?.0,
        occurred_at: time(row, 11)?,
        valid_from: time(row, 12)?,
        valid_to: time(row, 13)?,
        expires_at: time(row, 14)?,
        superseded_by: row.get::<_, Option<Id>>(15)?.map(Into::into),
        content_hash: row.get(16)?,
        dedup_key: row.get(17)?,
        layer: named::<Layer>(row, 18)?,
        kind: named::<Kind>(row, 19)?,
        info_class: named::<InfoClass>(row, 20)?,
        trust_level: row.get_ref(21)?.as_str_or_null()?.map(|t| parse(t, 21)).transpose()?,
        role: row.get(22)?,
        speaker: row.get(23)?,
        session_id: row.get(24)?,
        agent_id: row.get(25)?,
        user_id: row.get(26)?,
        tags: json(row, 27)?,
        provenance: json(row, 28)?,
        claim: json(row, 29)?,
        metadata: json(row, 30)?,
        content: row.get(31)?,
    };
    Ok((row.get(0)?, memory))
}

/// The columns that are JSON; `None` is stored for what is empty, which most are.
#[derive(Debug)]
pub(super) struct Texts {
    pub tags: Option<String>,
    pub provenance: Option<String>,
    pub metadata: Option<String>,
    pub claim: Option<String>,
}

impl Texts {
    pub fn of(memory: &Memory) -> Res<Self> {
        let encode = |empty: bool, text: &dyn Fn() -> serde_json::Result<String>| match empty {
            true => Ok(None),
            false => text().map(Some),
        };
        Ok(Self {
            tags: encode(memory.tags.is_empty(), &|| serde_json::to_string(&memory.tags))?,
            provenance: encode(memory.provenance == Provenance::default(), &|| {
                serde_json::to_string(&memory.provenance)
            })?,
            metadata: encode(memory.metadata.is_empty(), &|| serde_json::to_string(&memory.metadata))?,
            claim: encode(memory.claim.is_none(), &|| serde_json::to_string(&memory.claim))?,
        })
    }
}

/// Checks a vector and gives its bytes.
pub(super) fn vector_bytes(row: &VectorRow) -> Result<Vec<u8>> {
    let v = &row.vector;
    if v.is_empty() || v.len() > DIM_MAX || !v.iter().all(|x| x.is_finite()) || v.iter().all(|x| *x == 0.0) {
        return Err(Error::invalid(format!("a vector must have 1 to {DIM_MAX} finite numbers that are not all zero"))
            .with_code("invalid_vector"));
    }
    let mut bytes = Vec::with_capacity(v.len() * 4);
    v.iter().for_each(|x| bytes.extend_from_slice(&x.to_le_bytes()));
    Ok(bytes)
}

/// A stored vector.
pub(super) fn vector_from(bytes: &[u8]) -> Result<Vec<f32>> {
    let (numbers, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(Error::corrupt("a stored vector is cut off; check the store with doctor"));
    }
    Ok(numbers.iter().map(|b| f32::from_le_bytes(*b)).collect())
}

/// Where the vector of a memory row under an embedder lies.
pub(super) fn vector_key(rid: i64, embedder: i64) -> i64 {
    (rid << 8) | embedder
}

/// Whether sorted 16-byte ids, end to end, hold `id`.
pub(super) fn holds_id(ids: &[u8], id: MemoryId) -> bool {
    ids.as_chunks::<16>().0.binary_search(id.0.as_bytes()).is_ok()
}
