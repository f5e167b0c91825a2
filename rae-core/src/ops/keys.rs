//! Tenants and keys: for the operator of a service, not for an agent.

use crate::{
    deps::Deps,
    error::{Error, Result},
    limits::{NAME_BYTES_MAX, PAGE_MAX},
    model::{ApiKey, Audit, KeyId, Op, Outcome, Role, Scope, Tenant, Timestamp},
    ports::Clock,
};
use serde_json::json;
use std::{fmt, sync::Arc};
use uuid::Uuid;

/// What every key begins with.
const PREFIX: &str = "rae_";
/// Bytes of a secret: 256 bits of the system's generator.
const SECRET_BYTES: usize = 32;
/// Bytes of an id that prove that this store gave it out.
const SEAL_BYTES: usize = 5;

/// A key to make for the tenant of the handle.
#[derive(Debug, Clone, PartialEq)]
pub struct NewKey {
    /// The only project that it shall reach; `None` reaches all of the tenant.
    pub project: Option<String>,
    /// What it may do.
    pub role: Role,
    /// What its owner calls it; at most 256 bytes, may be empty.
    pub label: String,
    /// From when on it lets nobody in; `None` is never. Must be in the future.
    pub expires_at: Option<Timestamp>,
}

/// A key that was made. The secret is here and nowhere else.
#[derive(Clone)]
pub struct CreatedKey {
    /// What is stored.
    pub key: ApiKey,
    secret: String,
}

impl CreatedKey {
    /// The whole key, to be shown once: `rae_<32 hexadecimal digits>_<64 hexadecimal digits>`.
    pub fn reveal(&self) -> &str {
        &self.secret
    }
}

impl fmt::Debug for CreatedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreatedKey").field("key", &self.key).finish_non_exhaustive()
    }
}

/// Tells keys of one store from everything else. Asks nobody, so it can be kept.
#[derive(Clone)]
pub struct KeyCheck {
    seals: [u8; 32],
    hashes: [u8; 32],
    clock: Arc<dyn Clock>,
}

/// A key as somebody showed it: its id, and the hash of its secret.
#[derive(Clone)]
pub struct Presented {
    id: KeyId,
    hash: blake3::Hash,
}

impl Presented {
    /// The id, under which the store may have a key.
    pub fn id(&self) -> KeyId {
        self.id
    }
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presented").field("id", &self.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for KeyCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyCheck").finish_non_exhaustive()
    }
}

impl KeyCheck {
    fn new(receipt_key: &[u8; 32], clock: Arc<dyn Clock>) -> Self {
        let derive = |what| blake3::derive_key(what, receipt_key);
        Self { seals: derive("rae 2026 ids of api keys"), hashes: derive("rae 2026 secrets of api keys"), clock }
    }

    /// Reads what somebody showed. `None` for what is no key, or has an id that this store never gave out: nobody can make it
    /// look those up.
    pub fn read(&self, shown: &[u8]) -> Option<Presented> {
        let text = std::str::from_utf8(shown).ok()?.strip_prefix(PREFIX)?;
        let (id, secret) = text.split_once('_')?;
        let id: KeyId = id.parse().ok()?;
        let sane = secret.len() == SECRET_BYTES * 2 && secret.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let sealed = self.seal(id.0.as_bytes()) == *id.0.as_bytes();
        (sane && sealed).then(|| Presented { id, hash: self.hash(id, secret) })
    }

    /// Whether what was shown is this key, and the key lets anybody in now. Hashes are compared in constant time.
    pub fn accepts(&self, shown: &Presented, key: &ApiKey) -> bool {
        shown.id == key.id && shown.hash == key.hash && key.is_live(self.clock.now())
    }

    /// The id with the seal that belongs to its other bytes.
    fn seal(&self, id: &[u8; 16]) -> [u8; 16] {
        let (body, mut sealed) = (16 - SEAL_BYTES, *id);
        let seal = blake3::keyed_hash(&self.seals, &id[..body]);
        sealed[body..].copy_from_slice(&seal.as_bytes()[..SEAL_BYTES]);
        sealed
    }

    fn hash(&self, id: KeyId, secret: &str) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.hashes);
        hasher.update(id.0.as_bytes()).update(secret.as_bytes());
        hasher.finalize()
    }

    /// A fresh id and secret. The id begins with the time, so that ids sort by it.
    fn fresh(&self, now: Timestamp) -> Result<(KeyId, String, [u8; 32])> {
        let mut random = [0u8; 16 + SECRET_BYTES];
        getrandom::fill(&mut random).map_err(|e| {
            Error::unavailable("the system's generator of random numbers does not answer").with_source(e)
        })?;
        let (id, secret) = random.split_at(16);
        let mut id: [u8; 16] = id.try_into().map_err(|e| Error::internal("16 bytes are 16 bytes").with_source(e))?;
        let millis = u64::try_from(now.micros().div_euclid(1_000)).unwrap_or(0).to_be_bytes();
        id[..6].copy_from_slice(&millis[2..]);
        let id = KeyId(Uuid::from_bytes(self.seal(&id)));
        let secret = secret.iter().fold(String::with_capacity(SECRET_BYTES * 2), |mut text, byte| {
            text.extend([byte >> 4, byte & 15].map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)])));
            text
        });
        let hash = *self.hash(id, &secret).as_bytes();
        Ok((id, format!("{PREFIX}{id}_{secret}"), hash))
    }
}

pub(crate) async fn key_check(deps: &Deps) -> Result<KeyCheck> {
    Ok(KeyCheck::new(&deps.relational.receipt_key().await?, Arc::clone(&deps.clock)))
}

fn label(text: &str) -> Result<()> {
    if text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(Error::invalid(format!(
            "label must have at most {NAME_BYTES_MAX} bytes and no control characters"
        )));
    }
    Ok(())
}

pub(crate) async fn create_key(deps: &Deps, scope: &Scope, new: NewKey) -> Result<CreatedKey> {
    let ctx = deps.ctx(scope)?;
    let now = deps.clock.now();
    label(&new.label)?;
    if let Some(project) = &new.project {
        Scope::new(scope.tenant(), project.clone())?;
    }
    if new.expires_at.is_some_and(|end| end <= now) {
        return Err(Error::invalid("expires_at must be in the future").with_code("invalid_expiry"));
    }
    let (id, secret, hash) = key_check(deps).await?.fresh(now)?;
    let NewKey { project, role, label, expires_at } = new;
    let tenant = scope.tenant().to_owned();
    let key = ApiKey { id, tenant, project, role, label, created_at: now, expires_at, revoked_at: None, hash };
    let details = json!({ "key": key.id, "project": key.project, "role": key.role, "expires_at": key.expires_at });
    let ops = vec![
        Op::PutTenant { label: None },
        Op::PutKey { key: Box::new(key.clone()) },
        Op::Audit(Audit { action: "create_key".to_owned(), details }),
    ];
    deps.relational.apply(&ctx, deps.batch(ops)).await?;
    Ok(CreatedKey { key, secret })
}

pub(crate) async fn revoke_key(deps: &Deps, id: KeyId) -> Result<ApiKey> {
    let missing = || Error::not_found(format!("there is no key {id}")).with_code("no_such_key");
    let key = deps.relational.key(id).await?.ok_or_else(missing)?;
    // The key says whose it is; the change is made inside that tenant.
    let ctx = deps.ctx(&Scope::new(key.tenant.clone(), "default")?)?;
    if key.revoked_at.is_none() {
        let audit = Audit { action: "revoke_key".to_owned(), details: json!({ "key": id }) };
        deps.relational.apply(&ctx, deps.batch(vec![Op::RevokeKey { id }, Op::Audit(audit)])).await?;
    }
    deps.relational.key(id).await?.ok_or_else(missing)
}

pub(crate) async fn key(deps: &Deps, id: KeyId) -> Result<Option<ApiKey>> {
    deps.relational.key(id).await
}

pub(crate) async fn has_had_keys(deps: &Deps) -> Result<bool> {
    deps.relational.has_had_keys().await
}

/// The rows of one page, which must be 1 to [`PAGE_MAX`] long.
fn page(limit: usize) -> Result<usize> {
    let sane = (1..=PAGE_MAX).contains(&limit);
    sane.then_some(limit).ok_or_else(|| Error::invalid(format!("limit must be 1 to {PAGE_MAX}")))
}

pub(crate) async fn keys(deps: &Deps, scope: &Scope, after: Option<KeyId>, limit: usize) -> Result<Vec<ApiKey>> {
    deps.relational.keys(&deps.ctx(scope)?, after, page(limit)?).await
}

pub(crate) async fn create_tenant(deps: &Deps, scope: &Scope, name: Option<String>) -> Result<Tenant> {
    let ctx = deps.ctx(scope)?;
    name.as_deref().map_or(Ok(()), label)?;
    let audit = Audit { action: "create_tenant".to_owned(), details: json!({}) };
    let applied =
        deps.relational.apply(&ctx, deps.batch(vec![Op::PutTenant { label: name }, Op::Audit(audit)])).await?;
    if applied.outcomes.first() == Some(&Outcome::Skipped) {
        return Err(Error::conflict("this tenant is registered already").with_code("tenant_exists"));
    }
    tenant(deps, scope).await
}

pub(crate) async fn tenant(deps: &Deps, scope: &Scope) -> Result<Tenant> {
    let found = deps.relational.tenant(&deps.ctx(scope)?).await?;
    found.ok_or_else(|| Error::not_found("there is no such tenant").with_code("no_such_tenant"))
}

pub(crate) async fn tenants(deps: &Deps, after: Option<&str>, limit: usize) -> Result<Vec<Tenant>> {
    deps.relational.tenants(after, page(limit)?).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::ManualClock;

    fn check(seed: u8) -> (KeyCheck, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(Timestamp::parse("2026-01-01").unwrap()));
        (KeyCheck::new(&[seed; 32], Arc::clone(&clock) as Arc<dyn Clock>), clock)
    }

    fn stored(check: &KeyCheck) -> (ApiKey, String) {
        let now = check.clock.now();
        let (id, text, hash) = check.fresh(now).unwrap();
        let (tenant, label) = ("t".to_owned(), String::new());
        let (role, created_at) = (Role::Viewer, now);
        (ApiKey { id, tenant, project: None, role, label, created_at, expires_at: None, revoked_at: None, hash }, text)
    }

    #[test]
    fn a_key_is_accepted_and_anything_else_is_not() {
        let (check, _) = check(1);
        let (key, text) = stored(&check);
        assert_eq!(text.len(), 4 + 32 + 1 + 64);
        assert!(check.accepts(&check.read(text.as_bytes()).unwrap(), &key));
        let (other, other_text) = stored(&check);
        assert!(!check.accepts(&check.read(text.as_bytes()).unwrap(), &other));
        // The id of one with the secret of the other.
        let mixed = format!("{}_{}", &text[..36], &other_text[37..]);
        assert!(!check.accepts(&check.read(mixed.as_bytes()).unwrap(), &key));
        for at in 0..text.len() {
            let mut bent = text.clone().into_bytes();
            bent[at] ^= 1;
            let accepted = check.read(&bent).is_some_and(|shown| check.accepts(&shown, &key));
            assert!(!accepted, "{at}");
        }
    }

    #[test]
    fn an_id_that_this_store_did_not_give_out_is_not_even_looked_up() {
        let (own, _) = check(1);
        let (foreign, _) = check(2);
        let (_, text) = stored(&foreign);
        assert!(own.read(text.as_bytes()).is_none());
        for bad in ["", "rae_", "rae__", "rae_x_y", &text[..text.len() - 1], &text.to_uppercase(), &format!("{text} ")]
        {
            assert!(foreign.read(bad.as_bytes()).is_none(), "{bad:?}");
        }
        assert!(foreign.read(b"rae_\xff").is_none());
    }

    #[test]
    fn a_key_ends_at_its_expiry_and_with_its_revocation() {
        let (check, clock) = check(1);
        let (key, text) = stored(&check);
        let shown = check.read(text.as_bytes()).unwrap();
        let key = ApiKey { expires_at: Some(key.created_at.saturating_add_seconds(10)), ..key };
        assert!(check.accepts(&shown, &key));
        clock.set(key.created_at.saturating_add_seconds(10));
        assert!(!check.accepts(&shown, &key));
        let key = ApiKey { expires_at: None, ..key };
        assert!(check.accepts(&shown, &key));
        assert!(!check.accepts(&shown, &ApiKey { revoked_at: Some(key.created_at), ..key }));
    }

    #[test]
    fn ids_sort_by_the_time_and_neither_secrets_nor_hashes_are_printed() {
        let (check, clock) = check(1);
        let (first, text) = stored(&check);
        clock.set(first.created_at.saturating_add_seconds(1));
        let (second, _) = stored(&check);
        assert!(first.id < second.id);
        let created = CreatedKey { key: first.clone(), secret: text.clone() };
        let shown = format!("{created:?} {first:?} {:?} {check:?}", check.read(text.as_bytes()));
        assert!(!shown.contains(&text[37..]) && !shown.contains("hash"), "{shown}");
        assert!(!serde_json::to_string(&first).unwrap().contains("hash"));
    }
}
