//! Writes are data: one [`WriteBatch`] goes through one `apply` in one transaction, all or nothing.

use super::{JobKind, Memory, MemoryId, MemoryPatch, RecordKind, Timestamp};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

/// A set of changes to the scope of the call's `Ctx`.
///
/// `apply` is exactly-once per `id` for 24 h: a batch applied already gives the stored [`Applied`] and writes nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct WriteBatch {
    /// Id of the batch.
    pub id: Uuid,
    /// The engine's clock at planning; becomes `created_at` / `updated_at` and dates every row of the batch.
    pub now: Timestamp,
    /// All must hold, else nothing is written.
    pub preconditions: Vec<Precondition>,
    /// The changes, in order.
    pub ops: Vec<Op>,
}

/// What must be true at commit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Precondition {
    /// The memory is live and has this version; else Conflict (NotFound where it is not live).
    VersionIs(MemoryId, u32),
    /// The memory is live and the change with this number was the last that touched it ([`Memory::seq`]); else Conflict with code
    /// `version_changed` (NotFound where it is not live). Sees what makes no version, too: merges, feedback, vectors. For who writes what a
    /// merge adds to: tags, sources, witnesses.
    SeqIs(MemoryId, u64),
    /// No live memory has this id; else Conflict.
    Absent(MemoryId),
    /// No live memory has this `dedup_key`, ended ones and expired ones that are not purged included; else Conflict with code
    /// `exists`. For what there is one of: a put under it inserts and never merges.
    KeyFree([u8; 32]),
    /// The store's embedder is this id; else Conflict with code `embedder_changed`.
    EmbedderIs(String),
    /// The job is leased with this fencing number and the lease has not run out; else Conflict.
    LeaseHeld(Uuid, u64),
    /// There is a record of this kind and name, written at this instant; else Conflict with code `record_changed`. For what was
    /// made from a record over a long time: an erasure or a removal meanwhile stands.
    RecordIs(RecordKind, String, Timestamp),
}

/// A key that makes a write safe to repeat, unique per tenant, project and verb for 24 h.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The verb, for example `remember`.
    pub verb: &'static str,
    /// The caller's key.
    pub key: String,
    /// Hash of the request. Another body under the same key is Conflict with code `idempotency_key_reused`.
    pub body_hash: [u8; 32],
}

/// A vector as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorRow {
    /// Embedder id: `name@revision/dim`.
    pub embedder: String,
    /// Unit length, finite, never all zero.
    pub vector: Vec<f32>,
}

/// One change.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Op {
    /// Inserts, or merges into the live memory with the same `dedup_key` (see `Memory::merge`, which says when the old state goes to
    /// history).
    /// One that expired by `now` does not merge: it is deleted and the new one inserted. One that ended or was superseded by
    /// `now` stays as it is, loses its `dedup_key`, and the new one is inserted.
    /// The store assigns `seq` and `seq_in_session`. Gives [`Outcome::Put`].
    PutMemory {
        /// The new memory, version 1.
        memory: Box<Memory>,
        /// Its vector, where it has one.
        vector: Option<VectorRow>,
        /// Makes this one write safe to repeat.
        idempotency: Option<Idempotency>,
    },
    /// Writes a memory exactly as given with its older versions (import). A live memory with the same id and version is left
    /// alone (`replayed`); another version is Conflict; one with the same `dedup_key` absorbs it, but for what is about the same subject
    /// and says something else: that is inserted without its key ([`Memory::restored_beside`]). Gives [`Outcome::Put`].
    RestoreMemory {
        /// The memory with its own version and times.
        memory: Box<Memory>,
        /// Its vector.
        vector: Option<VectorRow>,
        /// Older versions, oldest first.
        history: Vec<super::MemoryVersion>,
        /// Number of recalls that returned it, and the last of them.
        access: Option<(u64, Timestamp)>,
    },
    /// Changes a live memory; NotFound where there is none. Gives [`Outcome::Patched`].
    PatchMemory {
        /// Which.
        id: MemoryId,
        /// What moves.
        patch: Box<MemoryPatch>,
        /// Whether the old state goes to history.
        mode: PatchMode,
        /// The vector of the new content: `None` leaves the stored ones, `Some(None)` removes them, as new content has none yet.
        vector: Option<Option<VectorRow>>,
    },
    /// Removes a memory with its history, vectors, access data, idempotent receipts and every segment that holds it, and leaves
    /// a tombstone (id and seq only). Missing is fine. Gives [`Outcome::Deleted`].
    DeleteMemory {
        /// Which.
        id: MemoryId,
    },
    /// The same, but only where its time to live is over at `now`: it may have been given more since it was looked up. Gives
    /// [`Outcome::Deleted`].
    DeleteExpired {
        /// Which.
        id: MemoryId,
        /// When.
        now: Timestamp,
    },
    /// Lowers the strength of a live memory that nobody touched since it was looked up; one that is as low already stays. No version.
    /// Gives [`Outcome::Done`] or [`Outcome::Skipped`].
    Fade {
        /// Which, as it was looked up.
        stamp: super::LifeStamp,
        /// What its strength falls to.
        strength: f64,
    },
    /// Gives a live memory a strength where it still has exactly the one that was left; no version. Gives [`Outcome::Done`] or
    /// [`Outcome::Skipped`].
    RestoreStrength {
        /// Which.
        id: MemoryId,
        /// The strength that it must have.
        left: f64,
        /// The one that it gets.
        strength: f64,
    },
    /// As `DeleteMemory`, but only where nobody touched it since it was looked up. Gives [`Outcome::Deleted`].
    DeleteUntouched {
        /// Which, as it was looked up.
        stamp: super::LifeStamp,
    },
    /// Removes older versions of a live memory from its history, which then has a gap; the present version stays, and so do numbers
    /// that are none of its older versions. No change of the change log. Gives [`Outcome::Done`], or [`Outcome::Skipped`] where
    /// none of them was there.
    DropVersions {
        /// Which.
        id: MemoryId,
        /// Their numbers.
        versions: Vec<u32>,
    },
    /// Keeps the newest `keep` audit rows of the scope. Gives [`Outcome::Done`], or [`Outcome::Skipped`] where there were no more.
    TrimAudit {
        /// How many stay.
        keep: usize,
    },
    /// Stores the vector of a live memory that still has this version; else does nothing. Gives [`Outcome::Done`] or [`Outcome::Skipped`].
    PutVector {
        /// Which.
        id: MemoryId,
        /// Version that was embedded.
        version: u32,
        /// The vector.
        vector: VectorRow,
    },
    /// Keeps the newest `keep` live memories of a layer (of one session where named) and deletes the others as `DeleteMemory` does.
    /// Gives [`Outcome::Trimmed`].
    TrimLayer {
        /// Layer.
        layer: super::Layer,
        /// Session, where the capacity counts per session.
        session_id: Option<String>,
        /// How many stay.
        keep: usize,
    },
    /// Makes `embedder` the store's embedder and drops the vectors of all others (every tenant and project).
    SetEmbedder {
        /// Embedder id.
        embedder: String,
        /// Its dimension.
        dim: usize,
    },
    /// Adds to the access data, a side table outside sequence and version.
    RecordAccess {
        /// Memory, number of recalls that returned it, and the last of them.
        counts: Vec<(MemoryId, u32, Timestamp)>,
    },
    /// Stores a segment of the lexical index, unless a memory in it was deleted after `row.to_seq`
    /// ([`Outcome::Skipped`]). Segments inside the same range are replaced.
    PutSegment {
        /// The segment.
        row: SegmentRow,
    },
    /// Queues a job.
    EnqueueJob {
        /// The job.
        job: NewJob,
    },
    /// Removes a finished job (give [`Precondition::LeaseHeld`] with it).
    FinishJob {
        /// Which.
        id: Uuid,
    },
    /// Gives a leased job back: later, or to the dead letters past `limits::JOB_ATTEMPTS_MAX` attempts.
    RetryJob {
        /// Which.
        id: Uuid,
        /// Not before.
        run_at: Timestamp,
        /// Why, without content.
        error: String,
    },
    /// Lays a leased job aside as a dead letter at once, whatever attempts it has left: one that would fail of the same again.
    BuryJob {
        /// Which.
        id: Uuid,
        /// Why, without content.
        error: String,
    },
    /// Gives a leased job back as if it had not been taken: later, and with the attempt that the lease counted taken off again. For a
    /// job that may not run yet, rather than one that failed.
    ParkJob {
        /// Which.
        id: Uuid,
        /// Not before.
        run_at: Timestamp,
        /// Why, without content.
        error: String,
    },
    /// Takes a dead letter back into the queue, due at the batch's `now`, with all its attempts before it. Gives
    /// [`Outcome::Skipped`] where there is no such dead letter.
    RequeueJob {
        /// Which.
        id: Uuid,
    },
    /// Prolongs a lease.
    ExtendLease {
        /// Which.
        id: Uuid,
        /// Until when.
        until: Timestamp,
    },
    /// Records an automatic or administrative change.
    Audit(Audit),
    /// Erases everything of a session, user, project or tenant. Gives [`Outcome::Dropped`]. With a tenant go its keys, its
    /// registration, its budgets and all that was spent. Of a project go the budget and the names of users and requests in its
    /// ledger; of a user the name and the requests in that project's ledger. The amounts stay: the tenant's day and month must
    /// still add up. A project that is erased, by itself or with its tenant, has a higher floor than any number before, unless
    /// nothing was ever written to it.
    DropScope {
        /// What.
        target: DropTarget,
    },
    /// Registers the call's tenant. One that is registered stays as it is ([`Outcome::Skipped`]).
    PutTenant {
        /// What people call it.
        label: Option<String>,
    },
    /// Stores a key of the call's tenant, and notes for ever that this store has had keys. Another tenant in it is InvalidInput;
    /// an id that is there already is Conflict.
    PutKey {
        /// The key, with the hash of its secret.
        key: Box<super::ApiKey>,
    },
    /// Revokes a key of the call's tenant; one that is revoked already stays as it is. [`Outcome::Skipped`] where there is none.
    RevokeKey {
        /// Which.
        id: super::KeyId,
    },
    /// Changes the budget of the call's tenant or project. Gives [`Outcome::Budget`].
    SetBudget {
        /// Whose.
        level: super::BudgetLevel,
        /// What moves.
        change: super::BudgetChange,
    },
    /// Holds the worst cost of a call under every limit of the tenant and of the project, in the UTC day and month of the store's
    /// own clock: BudgetExceeded, and nothing is held, where it would pass one ([`super::Funds::check`]). Before that it settles
    /// and releases what ran out in this tenant, as [`Op::ExpireReservations`] does. Gives [`Outcome::Funds`].
    Reserve {
        /// What is held, and for which call.
        reservation: Box<super::NewReservation>,
    },
    /// Notes that the first byte of the call is about to leave: from now on a reservation that runs out is booked, not released.
    /// [`Outcome::Skipped`] where there is no such reservation: the call must not be made.
    MarkSent {
        /// Which.
        id: Uuid,
    },
    /// Ends a reservation: what it held goes, what the attempt cost is booked in full to the day and month of the reserve, and the
    /// ledger gets its row, with the id of the reservation. [`Outcome::Skipped`] where there is none (it ran out and was booked
    /// as unconfirmed); else gives [`Outcome::Funds`].
    Settle {
        /// Which.
        id: Uuid,
        /// How it ended.
        settlement: Box<super::Settlement>,
        /// The limits that count where the tenant's budget sets none, for the funds of the answer.
        defaults: super::Limits,
    },
    /// Ends a reservation for a caller that has nothing but its id, as [`Op::Settle`] does. Conflict with code `other_call`, and it
    /// goes on, where the reservation is of another provider or model: what the tokens cost was reckoned for that one.
    /// [`Outcome::Skipped`] where there is none in the call's project; else gives [`Outcome::Settled`].
    SettleCall {
        /// Which.
        id: Uuid,
        /// The provider that it must be of, byte for byte.
        provider: String,
        /// The model that it must be of, byte for byte.
        model: String,
        /// How it ended; `None` where nobody knows, which is booked at all that was held, as unconfirmed.
        settlement: Option<Box<super::Settlement>>,
        /// The limits that count where the tenant's budget sets none, for the funds of the answer.
        defaults: super::Limits,
    },
    /// Gives back what a call that was never sent held; no row. [`Outcome::Skipped`] where there is no such reservation, or it was sent.
    Release {
        /// Which.
        id: Uuid,
    },
    /// Writes a row of the ledger for an attempt without a reservation, dated by the store's clock. Gives [`Outcome::Done`].
    Book {
        /// The attempt.
        booking: Box<super::Booking>,
    },
    /// Ends the reservations of the call's tenant that ran out by the store's clock, at most `limits::EXPIRE_PAGE`: those that were
    /// not sent are released, the others booked at what they held, as unconfirmed. Gives [`Outcome::Expired`].
    ExpireReservations,
    /// Writes a document of the project in the place of the one with its kind and name, dated by the batch. No change of the
    /// change log. Gives [`Outcome::Done`].
    PutRecord {
        /// The document.
        record: Box<super::Record>,
    },
    /// Removes one; [`Outcome::Skipped`] where there is none.
    DropRecord {
        /// Its kind.
        kind: super::RecordKind,
        /// Its name.
        name: String,
    },
}

/// Whether a patch makes a new version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchMode {
    /// The old state goes to history, `version` grows, `updated_at` moves.
    NewVersion,
    /// A number moves (feedback, decay); no version.
    InPlace,
}

/// What a scope erasure erases, within the tenant of the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DropTarget {
    /// A session of the call's project.
    Session(String),
    /// A user of the call's project.
    User(String),
    /// A project of the call's tenant.
    Project(String),
    /// The call's whole tenant.
    Tenant,
}

impl WriteBatch {
    /// The idempotency keys of what it puts, where everything that it puts has one. A store that has receipts for all of them answers
    /// by these, whatever has changed since: the preconditions do not count then.
    pub fn keys(&self) -> Option<Vec<&Idempotency>> {
        let puts = self.ops.iter().filter_map(|op| match op {
            Op::PutMemory { idempotency, .. } => Some(idempotency.as_ref()),
            _ => None,
        });
        puts.collect::<Option<Vec<_>>>().filter(|keys| !keys.is_empty())
    }
}

impl DropTarget {
    /// The payload of the jobs that are about a session: they name it, so they go with it.
    pub fn job_of(session: &str) -> Value {
        json!({ "session_id": session })
    }
}

/// An audit row: who did what to which, never content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    /// What happened, for example `forget`.
    pub action: String,
    /// Numbers and ids.
    pub details: Value,
}

/// A job to queue.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// Opaque id.
    pub id: Uuid,
    /// What it does.
    pub kind: JobKind,
    /// Ids and numbers it needs.
    pub payload: Value,
    /// Not before.
    pub run_at: Timestamp,
}

/// A segment of the lexical index as stored: covers the changes in `(from_seq, to_seq]` of the scope.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentRow {
    /// Exclusive start.
    pub from_seq: u64,
    /// Inclusive end.
    pub to_seq: u64,
    /// Every memory in it: what a deletion looks up.
    pub ids: Vec<MemoryId>,
    /// The segment, encoded and checksummed by `lexical`.
    pub data: Vec<u8>,
}

/// What `apply` did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Applied {
    /// The scope's sequence before the batch.
    pub seq_before: u64,
    /// The scope's sequence after the batch.
    pub seq: u64,
    /// One outcome per op, in order.
    pub outcomes: Vec<Outcome>,
    /// Reservations of the tenant that ran out and that this batch booked as unconfirmed, in the order in which they ran out:
    /// those that [`Op::ExpireReservations`] and [`Op::Reserve`] ended.
    pub ran_out: Vec<super::EndedCall>,
}

impl Applied {
    /// First byte of one that is stored; what follows is postcard.
    const FORMAT: u8 = 2;

    /// As stores keep it.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        postcard::to_extend(self, vec![Self::FORMAT])
            .map_err(|e| Error::internal("what a batch answered cannot be kept").with_source(e))
    }

    /// From what [`Applied::to_bytes`] made, of this build or one before it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let unreadable =
            || Error::corrupt("what an earlier batch answered does not read back; give the batch a new id");
        let read = |body: &[u8]| postcard::from_bytes(body).map_err(|e| unreadable().with_source(e));
        match bytes.split_first() {
            Some((&Self::FORMAT, body)) => read(body),
            // It did not say what ran out: an empty list is one zero at the end.
            Some((1, body)) => read(&[body, &[0]].concat()),
            _ => Err(unreadable()),
        }
    }
}

impl Applied {
    /// Ids of memories in the answers.
    pub fn ids(&self) -> impl Iterator<Item = MemoryId> + '_ {
        self.outcomes
            .iter()
            .flat_map(|outcome| match outcome {
                Outcome::Put { id, .. } => std::slice::from_ref(id),
                Outcome::Trimmed { ids } => ids.as_slice(),
                _ => &[],
            })
            .copied()
    }
}

/// What became of one op.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// A memory was put.
    Put {
        /// Id of the memory that holds the text now: the older one when it merged.
        id: MemoryId,
        /// Its version.
        version: u32,
        /// Whether it merged into an existing one.
        merged: bool,
        /// Whether it was there already (an idempotency key seen before, a restore repeated), so that nothing was written.
        replayed: bool,
    },
    /// A memory was patched.
    Patched {
        /// Its version now.
        version: u32,
    },
    /// A memory was deleted.
    Deleted {
        /// Whether there was one.
        existed: bool,
    },
    /// A layer was trimmed.
    Trimmed {
        /// Memories that went.
        ids: Vec<MemoryId>,
    },
    /// A scope was erased.
    Dropped {
        /// Number of memories erased.
        memories: u64,
        /// Projects whose indexes must be dropped or caught up.
        projects: Vec<String>,
    },
    /// Done.
    Done,
    /// Nothing to do any more.
    Skipped,
    /// A budget was changed.
    Budget(super::Budget),
    /// Where limits and spending stand now.
    Funds(Box<super::Funds>),
    /// Reservations ended.
    Expired {
        /// Given back.
        released: u64,
        /// Booked as unconfirmed.
        booked: u64,
    },
    /// A reservation was ended by its id.
    Settled {
        /// Where limits and spending stand now.
        funds: Box<super::Funds>,
        /// Which call it was for, and what was held for it.
        call: super::EndedCall,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_reads_back_also_one_of_the_format_before() {
        let call =
            super::super::EndedCall::new("p", &super::super::CallLabel::default(), super::super::Amount::default());
        let applied =
            Applied { seq_before: 3, seq: 5, outcomes: vec![Outcome::Done, Outcome::Skipped], ran_out: vec![call] };
        assert_eq!(Applied::from_bytes(&applied.to_bytes().unwrap()).unwrap(), applied);
        // Format 1 ended with the outcomes.
        let old = postcard::to_extend(&(3u64, 5u64, &applied.outcomes), vec![1]).unwrap();
        assert_eq!(Applied::from_bytes(&old).unwrap(), Applied { ran_out: Vec::new(), ..applied });
        for unreadable in [&[][..], &[0], &[3, 1, 1], &old[..3]] {
            assert_eq!(
                Applied::from_bytes(unreadable).unwrap_err().kind(),
                crate::ErrorKind::Corrupt,
                "{unreadable:?}"
            );
        }
    }
}
