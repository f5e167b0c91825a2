//! Keys and registered tenants of the reference store.

use super::State;
use crate::{
    error::{Error, Result},
    model::{ApiKey, KeyId, Tenant, Timestamp},
};
use std::{collections::BTreeMap, sync::Arc};

/// What concerns who may come in.
#[derive(Debug, Clone, Default)]
pub(super) struct Doors {
    pub keys: BTreeMap<KeyId, ApiKey>,
    /// Registered ones by name: label and time.
    pub tenants: BTreeMap<String, (Option<String>, Timestamp)>,
    /// Whether there has ever been a key.
    pub keyed: bool,
}

impl State {
    /// Tenants that are registered or have memories.
    pub fn tenants(&self) -> BTreeMap<String, Tenant> {
        let living = self.scopes.iter().filter(|(_, state)| !state.rows.is_empty()).map(|(scope, _)| scope.tenant());
        let plain = |id: &str| (id.to_owned(), Tenant { id: id.to_owned(), label: None, created_at: None });
        let mut all: BTreeMap<_, _> = living.map(plain).collect();
        for (id, (label, at)) in &self.doors.tenants {
            all.insert(id.clone(), Tenant { id: id.clone(), label: label.clone(), created_at: Some(*at) });
        }
        all
    }

    fn doors_mut(&mut self) -> &mut Doors {
        Arc::make_mut(&mut self.doors)
    }

    /// Registers a tenant; whether it was new.
    pub fn put_tenant(&mut self, tenant: &str, label: Option<&String>, at: Timestamp) -> bool {
        let new = !self.doors.tenants.contains_key(tenant);
        if new {
            self.doors_mut().tenants.insert(tenant.to_owned(), (label.cloned(), at));
        }
        new
    }

    /// Stores a key of `tenant`.
    pub fn put_key(&mut self, tenant: &str, key: &ApiKey) -> Result<()> {
        if key.tenant != tenant {
            return Err(Error::invalid("a key must name the tenant of the call that writes it"));
        }
        if self.doors.keys.contains_key(&key.id) {
            return Err(Error::conflict(format!("there is a key {} already", key.id)).with_code("exists"));
        }
        let doors = self.doors_mut();
        doors.keys.insert(key.id, key.clone());
        doors.keyed = true;
        Ok(())
    }

    /// Revokes a key of `tenant`; whether there is one.
    pub fn revoke_key(&mut self, tenant: &str, id: KeyId, at: Timestamp) -> bool {
        let key = self.doors_mut().keys.get_mut(&id).filter(|key| key.tenant == tenant);
        key.map(|key| key.revoked_at.get_or_insert(at)).is_some()
    }

    /// Forgets a tenant's registration and its keys.
    pub fn shut_doors(&mut self, tenant: &str) {
        let doors = self.doors_mut();
        doors.keys.retain(|_, key| key.tenant != tenant);
        doors.tenants.remove(tenant);
    }
}
