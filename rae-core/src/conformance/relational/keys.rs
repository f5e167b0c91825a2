//! Keys and tenants.

use super::scopes::LOOKALIKES;
use crate::{
    conformance::fixtures::{Rig, put},
    error::ErrorKind,
    limits::PAGE_MAX,
    model::{ApiKey, DropTarget, KeyId, Op, Outcome, Role, Tenant},
    ports::{ManualClock, RelationalStore},
};

fn key(rig: &Rig<'_>) -> ApiKey {
    let (id, created_at) = (KeyId(rig.uuid()), rig.now());
    ApiKey {
        id,
        tenant: rig.ctx.scope().tenant().to_owned(),
        project: None,
        role: Role::Viewer,
        label: String::new(),
        created_at,
        expires_at: None,
        revoked_at: None,
        hash: [7; 32],
    }
}

async fn put_key(rig: &Rig<'_>) -> ApiKey {
    let key = key(rig);
    assert_eq!(rig.run(Op::PutKey { key: Box::new(key.clone()) }).await, Outcome::Done);
    key
}

/// A key is found by its id alone, with every field as it was given.
pub async fn a_key_is_found_by_its_id(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock).at("t\u{e9}nant \u{202e}", "p");
    assert!(!store.has_had_keys().await.unwrap());
    for role in Role::ALL {
        let key = ApiKey {
            role,
            project: Some("p%_'\u{301}".into()),
            label: "caf\u{e9} \u{0} \u{1f511}".into(),
            expires_at: Some(rig.now().saturating_add_seconds(60)),
            revoked_at: Some(rig.now()),
            hash: std::array::from_fn(|i| i as u8 ^ 0xff),
            ..key(&rig)
        };
        rig.run(Op::PutKey { key: Box::new(key.clone()) }).await;
        assert_eq!(store.key(key.id).await.unwrap(), Some(key));
    }
    assert_eq!(store.key(KeyId(rig.uuid())).await.unwrap(), None);
    assert!(store.has_had_keys().await.unwrap());
    assert!(store.scopes().await.unwrap().is_empty(), "a key is no change of the scope");
}

/// Keys are listed for their own tenant alone, by id, in pages.
pub async fn keys_are_listed_for_their_own_tenant(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let mut all: Vec<ApiKey> = Vec::new();
    for (tenant, project) in LOOKALIKES {
        for _ in 0..3 {
            all.push(put_key(&rig.at(tenant, project)).await);
        }
    }
    for (tenant, _) in LOOKALIKES {
        let there = rig.at(tenant, "any");
        let mut own: Vec<_> = all.iter().filter(|key| key.tenant == tenant).cloned().collect();
        own.sort_by_key(|key| key.id);
        assert_eq!(store.keys(&there.ctx, None, PAGE_MAX).await.unwrap(), own);
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let page = store.keys(&there.ctx, after, 2).await.unwrap();
            let Some(last) = page.last() else { break };
            assert!(page.len() <= 2);
            after = Some(last.id);
            paged.extend(page);
        }
        assert_eq!(paged, own);
    }
    assert_eq!(store.keys(&rig.ctx, None, 0).await.unwrap_err().kind(), ErrorKind::InvalidInput);
}

/// A key is revoked once, by a call of its own tenant only.
pub async fn a_key_is_revoked_within_its_tenant(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let key = put_key(&rig.at("a", "b")).await;
    for (tenant, project) in LOOKALIKES.into_iter().filter(|(tenant, _)| *tenant != "a") {
        assert_eq!(rig.at(tenant, project).run(Op::RevokeKey { id: key.id }).await, Outcome::Skipped);
    }
    assert_eq!(store.key(key.id).await.unwrap(), Some(key.clone()));
    let at = rig.now();
    assert_eq!(rig.at("a", "other").run(Op::RevokeKey { id: key.id }).await, Outcome::Done);
    clock.advance_seconds(5);
    assert_eq!(rig.at("a", "b").run(Op::RevokeKey { id: key.id }).await, Outcome::Done);
    assert_eq!(store.key(key.id).await.unwrap(), Some(ApiKey { revoked_at: Some(at), ..key }));
}

/// A key of another tenant is not stored, nor one whose id is taken; nothing of the batch is.
pub async fn a_key_never_lands_in_another_tenant(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let foreign = key(&rig.at("a", "b"));
    let error = rig.at("A", "b").try_apply(Vec::new(), vec![Op::PutKey { key: Box::new(foreign.clone()) }]).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(store.key(foreign.id).await.unwrap(), None);
    let mine = put_key(&rig.at("a", "b")).await;
    let taken = ApiKey { tenant: "A".into(), ..mine.clone() };
    let there = rig.at("A", "b");
    let memory = there.memory("not stored");
    let error = there.try_apply(Vec::new(), vec![put(memory.clone()), Op::PutKey { key: Box::new(taken) }]).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!((there.get(memory.id).await, store.key(mine.id).await.unwrap()), (None, Some(mine)));
}

/// A tenant is listed when it is registered or has live memories, by name, in pages; registering twice changes nothing.
pub async fn tenants_are_listed_by_name(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let mut names: Vec<_> = LOOKALIKES.iter().map(|(tenant, _)| *tenant).collect();
    names.sort_unstable();
    names.dedup();
    let mut all = Vec::new();
    for (n, name) in names.iter().enumerate() {
        let there = rig.at(name, "p");
        assert_eq!(store.tenant(&there.ctx).await.unwrap(), None);
        let mut tenant = Tenant { id: (*name).to_owned(), label: None, created_at: None };
        if n % 2 == 0 {
            there.put(there.memory("one")).await;
        }
        if n % 3 != 0 || n % 2 == 1 {
            tenant.label = (n % 3 == 1).then(|| "A \u{0} label".to_owned());
            tenant.created_at = Some(rig.now());
            assert_eq!(there.run(Op::PutTenant { label: tenant.label.clone() }).await, Outcome::Done);
            clock.advance_seconds(1);
            assert_eq!(there.run(Op::PutTenant { label: Some("again".into()) }).await, Outcome::Skipped);
        }
        assert_eq!(store.tenant(&there.ctx).await.unwrap(), Some(tenant.clone()));
        all.push(tenant);
    }
    assert_eq!(store.tenants(None, PAGE_MAX).await.unwrap(), all);
    let (mut paged, mut after): (Vec<Tenant>, Option<String>) = (Vec::new(), None);
    loop {
        let page = store.tenants(after.as_deref(), 4).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        paged.extend(page);
    }
    assert_eq!(paged, all);
    assert_eq!(store.tenants(None, 0).await.unwrap_err().kind(), ErrorKind::InvalidInput);
}

/// With a tenant go its keys and its registration, and no other one's; that there were keys is not forgotten.
pub async fn erasing_a_tenant_takes_its_keys(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let mut keys = Vec::new();
    for (tenant, project) in LOOKALIKES {
        let there = rig.at(tenant, project);
        there.run(Op::PutTenant { label: Some("x".into()) }).await;
        there.put(there.memory("one")).await;
        keys.push(put_key(&there).await);
    }
    rig.at("a", "b").erase(DropTarget::Project("b".into())).await;
    rig.at("a", "elsewhere").erase(DropTarget::Tenant).await;
    for key in keys {
        let there = rig.at(&key.tenant, "p");
        let (found, tenant) = (store.key(key.id).await.unwrap(), store.tenant(&there.ctx).await.unwrap());
        let listed = store.keys(&there.ctx, None, PAGE_MAX).await.unwrap();
        if key.tenant == "a" {
            assert_eq!((found, tenant, listed), (None, None, Vec::new()));
        } else {
            assert!(found.is_some() && tenant.is_some() && listed.contains(&key));
        }
    }
    assert!(store.tenants(None, PAGE_MAX).await.unwrap().iter().all(|t| t.id != "a"));
    assert!(store.has_had_keys().await.unwrap());
    // The name may be used again.
    assert_eq!(rig.at("a", "b").run(Op::PutTenant { label: None }).await, Outcome::Done);
}
