//! Memories to rows and back.

use super::errors::Res;
use rae_core::{
    Error, Result,
    limits::{DIM_MAX, PAGE_MAX},
    model::{InfoClass, Kind, Layer, Memory, MemoryId, Provenance, Scope, Timestamp, TrustLevel, VectorRow},
};
use std::{str::FromStr, time::Duration};
use tokio_postgres::{Row, types::FromSql};
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
        concat!($crate::adapters::postgres::row::head_columns!(), ", m.metadata, m.content")
    };
}
pub(super) use {columns, head_columns};

/// A count or sequence number as a column; what the database cannot hold is held at its greatest number.
pub(super) fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A count or sequence number from a column.
pub(super) fn uint(row: &Row, column: usize) -> Res<u64> {
    let n: i64 = row.try_get(column)?;
    Ok(u64::try_from(n).map_err(|_| unreadable())?)
}

fn small(row: &Row, column: usize) -> Res<u32> {
    Ok(u32::try_from(uint(row, column)?).map_err(|_| unreadable())?)
}

/// A version or count from a column that never exceeds 32 bits.
pub(super) fn version(row: &Row, column: usize) -> Res<u32> {
    small(row, column)
}

fn unreadable() -> Error {
    Error::corrupt("a stored row does not read back; check the store with doctor")
}

pub(super) fn id(row: &Row, column: usize) -> Res<MemoryId> {
    Ok(MemoryId(row.try_get::<_, Uuid>(column)?))
}

pub(super) fn ids(ids: &[MemoryId]) -> Vec<Uuid> {
    ids.iter().map(|id| id.0).collect()
}

pub(super) fn time(row: &Row, column: usize) -> Res<Timestamp> {
    Ok(Timestamp::from_micros(row.try_get(column)?).map_err(|_| unreadable())?)
}

pub(super) fn time_opt(row: &Row, column: usize) -> Res<Option<Timestamp>> {
    let micros: Option<i64> = row.try_get(column)?;
    Ok(micros.map(Timestamp::from_micros).transpose().map_err(|_| unreadable())?)
}

pub(super) fn micros(time: Option<Timestamp>) -> Option<i64> {
    time.map(Timestamp::micros)
}

pub(super) fn text_opt(row: &Row, column: usize) -> Res<Option<String>> {
    let bytes: Option<Vec<u8>> = row.try_get(column)?;
    Ok(bytes.map(String::from_utf8).transpose().map_err(|_| unreadable())?)
}

pub(super) fn text(row: &Row, column: usize) -> Res<String> {
    Ok(text_opt(row, column)?.ok_or_else(unreadable)?)
}

pub(super) fn bytes(text: Option<&String>) -> Option<&[u8]> {
    text.map(String::as_bytes)
}

/// A duration as the database takes it: whole milliseconds, at least one.
pub(super) fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX).max(1)
}

/// The rows one call may ask for.
pub(super) fn page(limit: usize) -> Result<i64> {
    if limit == 0 {
        return Err(Error::invalid(format!("limit must be 1 to {PAGE_MAX}")));
    }
    Ok(i64::try_from(limit.min(PAGE_MAX)).unwrap_or(i64::MAX))
}

pub(super) fn named<T: FromStr>(row: &Row, column: usize) -> Res<T> {
    let text: &str = row.try_get(column)?;
    Ok(text.parse().map_err(|_| unreadable())?)
}

fn json<T: serde::de::DeserializeOwned + Default>(row: &Row, column: usize) -> Res<T> {
    let text: Option<&str> = row.try_get(column)?;
    Ok(text.map_or_else(|| Ok(T::default()), serde_json::from_str)?)
}

/// Bytes of a fixed number.
pub(super) fn array<'r, const N: usize>(row: &'r Row, column: usize) -> Res<Option<[u8; N]>>
where
    Option<&'r [u8]>: FromSql<'r>,
{
    let bytes: Option<&[u8]> = row.try_get(column)?;
    Ok(bytes.map(<[u8; N]>::try_from).transpose().map_err(|_| unreadable())?)
}

/// Reads [`columns`] from the first column on: the row number, and the memory.
pub(super) fn decode(row: &Row, scope: &Scope) -> Res<(i64, Memory)> {
    let place: Option<i64> = row.try_get(3)?;
    let trust: Option<&str> = row.try_get(21)?;
    let memory = Memory {
        id: id(row, 1)?,
        scope: scope.clone(),
        seq: uint(row, 2)?,
        seq_in_session: place.map(u32::try_from).transpose().map_err(|_| unreadable())?,
        version: small(row, 4)?,
        witness_count: small(row, 5)?,
        importance: row.try_get(6)?,
        strength: row.try_get(7)?,
        confidence: row.try_get(8)?,
        created_at: time(row, 9)?,
        updated_at: time(row, 10)?,
        occurred_at: time_opt(row, 11)?,
        valid_from: time_opt(row, 12)?,
        valid_to: time_opt(row, 13)?,
        expires_at: time_opt(row, 14)?,
        superseded_by: row.try_get::<_, Option<Uuid>>(15)?.map(MemoryId),
        content_hash: array(row, 16)?.ok_or_else(unreadable)?,
        dedup_key: array(row, 17)?,
        layer: named::<Layer>(row, 18)?,
        kind: named::<Kind>(row, 19)?,
        info_class: named::<InfoClass>(row, 20)?,
        trust_level: trust.map(TrustLevel::from_str).transpose().map_err(|_| unreadable())?,
        role: text_opt(row, 22)?,
        speaker: text_opt(row, 23)?,
        session_id: text_opt(row, 24)?,
        agent_id: text_opt(row, 25)?,
        user_id: text_opt(row, 26)?,
        tags: json(row, 27)?,
        provenance: json(row, 28)?,
        claim: json(row, 29)?,
        metadata: json(row, 30)?,
        content: text(row, 31)?,
    };
    Ok((row.try_get(0)?, memory))
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
        let (tags, provenance, metadata) = (&memory.tags, &memory.provenance, &memory.metadata);
        Ok(Self {
            tags: (!tags.is_empty()).then(|| serde_json::to_string(tags)).transpose()?,
            provenance: (*provenance != Provenance::default())
                .then(|| serde_json::to_string(provenance))
                .transpose()?,
            metadata: (!metadata.is_empty()).then(|| serde_json::to_string(metadata)).transpose()?,
            claim: memory.claim.as_ref().map(serde_json::to_string).transpose()?,
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
    Ok(v.iter().flat_map(|x| x.to_le_bytes()).collect())
}

/// A stored vector.
pub(super) fn vector_from(bytes: &[u8]) -> Result<Vec<f32>> {
    let (numbers, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(Error::corrupt("a stored vector is cut off; check the store with doctor"));
    }
    Ok(numbers.iter().map(|b| f32::from_le_bytes(*b)).collect())
}

pub(super) fn vector_opt(row: &Row, column: usize) -> Res<Option<Vec<f32>>> {
    let bytes: Option<&[u8]> = row.try_get(column)?;
    Ok(bytes.map(vector_from).transpose()?)
}
