//! Tenants by name, and the keys that let callers in.

use super::Timestamp;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// What a key may do; each role may do what those before it may. docs/operations.md has the table of routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads memories.
    Viewer,
    /// Also exports, and sees numbers.
    Analyst,
    /// Also writes and forgets.
    Developer,
    /// Also imports, and erases users.
    Admin,
    /// Also erases projects.
    Owner,
}

impl Role {
    /// All roles, the weakest first.
    pub const ALL: [Self; 5] = [Self::Viewer, Self::Analyst, Self::Developer, Self::Admin, Self::Owner];

    /// The name in stores, requests and claims.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Analyst => "analyst",
            Self::Developer => "developer",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }
}

impl FromStr for Role {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| {
            Error::invalid("role must be viewer, analyst, developer, admin or owner").with_code("invalid_role")
        })
    }
}

/// The public part of a key: 16 bytes that sort by the time the key was made. No secret; it may stand in logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub Uuid);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

impl FromStr for KeyId {
    type Err = Error;
    /// 32 hexadecimal digits in lower case.
    fn from_str(text: &str) -> Result<Self> {
        let sane = text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let id = sane.then(|| Uuid::try_parse(text).ok()).flatten();
        id.map(Self).ok_or_else(|| Error::invalid("the id of a key has 32 hexadecimal digits").with_code("invalid_id"))
    }
}

impl Serialize for KeyId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A stored key. Its secret is not here: `hash` is a keyed hash of it, and is neither shown nor serialized.
#[derive(Clone, PartialEq, Serialize)]
pub struct ApiKey {
    /// Its public part.
    pub id: KeyId,
    /// The tenant that it is bound to.
    pub tenant: String,
    /// The only project that it reaches; `None`, the default, reaches all of the tenant.
    pub project: Option<String>,
    /// What it may do.
    pub role: Role,
    /// What its owner calls it.
    pub label: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it lets nobody in; `None` is never.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Keyed hash of the secret.
    #[serde(skip)]
    pub hash: [u8; 32],
}

impl ApiKey {
    /// Whether it lets anybody in at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey")
            .field("id", &self.id)
            .field("tenant", &self.tenant)
            .field("project", &self.project)
            .field("role", &self.role)
            .field("expires_at", &self.expires_at)
            .field("revoked_at", &self.revoked_at)
            .finish_non_exhaustive()
    }
}

/// A tenant as the operator sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tenant {
    /// Its name, as in X-Tenant-ID.
    pub id: String,
    /// What people call it.
    pub label: Option<String>,
    /// When it was registered; `None` where it is known only by its memories.
    pub created_at: Option<Timestamp>,
}
