//! What only a real PostgreSQL server can show: migrations, the second wall, broken connections, deadlines, many writers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test reports by panicking

mod support;

use rae_core::{
    Ctx, ErrorKind,
    conformance::fixtures::{EMBEDDER, Rig, put, put_with_vector, start, unit},
    model::{
        Amount, BudgetChange, BudgetLevel, CallLabel, CallStatus, DropTarget, JobKind, Limits, NewJob, NewReservation,
        Op, Scope, Settlement, TokenUsage, Usd, WriteBatch,
    },
    ports::{AdminRead, JobRead, ManualClock, MemoryRead, RelationalStore},
};
use rae_server::adapters::postgres::{PostgresSettings, PostgresStore, Tls, migrate};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use support::{
    block_on,
    cut::Relay,
    postgres::{Cluster, Database},
};
use tokio_postgres::{Client, NoTls};

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(start()))
}

/// A connection of the superuser, past the adapter.
async fn raw(database: &Database<'_>) -> Client {
    let (client, connection) = tokio_postgres::connect(&database.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn number(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

#[test]
fn migrating_many_times_at_once_makes_one_store() {
    let database = Cluster::shared().empty();
    let settings = database.settings();
    block_on(async {
        let runs = (0..6).map(|_| migrate(&settings));
        futures::future::try_join_all(runs).await.unwrap();
        migrate(&settings).await.unwrap();
        let client = raw(&database).await;
        assert_eq!(number(&client, "SELECT count(*) - max(version) FROM rae.schema_version").await, 0);
        assert_eq!(number(&client, "SELECT count(*) FROM rae.meta").await, 1);
        let (a, b) = (
            PostgresStore::open(settings.clone()).await.unwrap(),
            PostgresStore::open(settings.clone()).await.unwrap(),
        );
        assert_eq!((a.store_uuid(), a.receipt_key().await.unwrap()), (b.store_uuid(), b.receipt_key().await.unwrap()));
    });
}

#[test]
fn a_store_of_an_earlier_schema_is_refused_until_it_is_migrated_and_keeps_what_is_in_it() {
    // Whoever made the other store made the role, too: it belongs to the whole cluster.
    let (_other, database) = (Cluster::shared().fresh(), Cluster::shared().empty());
    database.execute("CREATE SCHEMA rae; CREATE TABLE rae.schema_version (version integer PRIMARY KEY)");
    database.execute(include_str!("../src/adapters/postgres/migrations/0001_init.sql"));
    database.execute(include_str!("../src/adapters/postgres/migrations/0002_hosting.sql"));
    database.execute(
        "INSERT INTO rae.schema_version VALUES (1), (2); INSERT INTO rae.tenants (name) VALUES ('a'); \
         INSERT INTO rae.scopes (tid, project, seq) SELECT tid, 'p', 7 FROM rae.tenants",
    );
    let error = block_on(PostgresStore::open(database.settings())).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Unsupported, "no_schema"));
    block_on(migrate(&database.settings())).unwrap();
    let clock = clock();
    let store = database.open(&clock);
    block_on(async {
        let rig = Rig::new(&store, &clock).at("a", "p");
        assert_eq!(rig.seq().await, 7);
        spend(&rig).await;
        let funds = rae_core::ports::LedgerRead::funds(&store, &rig.ctx, &Limits::NONE).await.unwrap();
        assert_eq!(
            (funds.tenant.day.used.usd, funds.tenant.day.reserved.usd),
            (Usd::from_micros(3), Usd::from_micros(5))
        );
    });
}

#[test]
fn a_database_without_a_store_or_with_a_newer_one_is_refused() {
    let empty = Cluster::shared().empty();
    let error = block_on(PostgresStore::open(empty.settings())).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Unsupported, "no_schema"));
    assert!(error.message().contains("rae-server migrate"));
    let newer = Cluster::shared().fresh();
    newer.execute("INSERT INTO rae.schema_version (version) VALUES (999)");
    for error in [
        block_on(PostgresStore::open(newer.settings())).unwrap_err(),
        block_on(migrate(&newer.settings())).unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.code()), (ErrorKind::Unsupported, "newer_schema"), "{error}");
    }
    let missing = PostgresSettings::from_url(&Cluster::shared().url("nowhere")).unwrap();
    assert_eq!(block_on(PostgresStore::open(missing)).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_server_that_does_not_answer_is_unavailable_and_no_error_shows_the_password() {
    let port = support::process::free_port();
    let settings = PostgresSettings::from_url(&format!("postgres://ada:s3cret@127.0.0.1:{port}/x")).unwrap();
    for error in
        [block_on(PostgresStore::open(settings.clone())).unwrap_err(), block_on(migrate(&settings)).unwrap_err()]
    {
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true), "{error:?}");
        assert!(!format!("{error:?} {error}").contains("s3cret"));
    }
}

#[test]
fn outside_a_runtime_a_store_is_not_opened() {
    let settings = PostgresSettings::from_url("postgres://ada@127.0.0.1/x").unwrap();
    let error = rae_core::block_on(PostgresStore::open(settings)).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Unsupported, "no_runtime"));
}

fn api_key(rig: &Rig<'_>) -> rae_core::model::ApiKey {
    rae_core::model::ApiKey {
        // Ids of keys are unique in the store, and each rig counts its own.
        id: rae_core::model::KeyId(uuid::Uuid::new_v4()),
        tenant: rig.ctx.scope().tenant().to_owned(),
        project: None,
        role: rae_core::model::Role::Viewer,
        label: String::new(),
        created_at: rig.now(),
        expires_at: None,
        revoked_at: None,
        hash: *blake3::hash(rig.ctx.scope().tenant().as_bytes()).as_bytes(),
    }
}

/// A budget, a call under way and one that ended.
async fn spend(rig: &Rig<'_>) {
    let reserve = |id| {
        let reservation = NewReservation {
            id,
            amount: Amount { usd: Usd::from_micros(5), tokens: 5 },
            hold: Duration::from_secs(60),
            defaults: Limits::NONE,
            label: CallLabel::default(),
            attempt: 1,
        };
        Op::Reserve { reservation: Box::new(reservation) }
    };
    let settlement = Settlement {
        status: CallStatus::Ok,
        usage: TokenUsage::default(),
        estimated: false,
        cost: Usd::from_micros(3),
        saved: Usd::ZERO,
        error: None,
    };
    // Ids of attempts are unique in the store, and each rig counts its own.
    let (id, change) = (uuid::Uuid::new_v4(), BudgetChange { limits: [Some(Some(100)); 4], warning_threshold: None });
    rig.apply(vec![
        Op::SetBudget { level: BudgetLevel::Tenant, change },
        reserve(id),
        Op::Settle { id, settlement: Box::new(settlement), defaults: Limits::NONE },
        reserve(uuid::Uuid::new_v4()),
    ])
    .await;
}

/// Two tenants with everything in them.
fn two_tenants(store: &PostgresStore, clock: &ManualClock) {
    for tenant in ["a", "b"] {
        block_on(async {
            let rig = Rig::new(store, clock).at(tenant, "p");
            let memory = rig.full_memory();
            let id = memory.id;
            rig.apply(vec![
                put_with_vector(memory, EMBEDDER, unit(1)),
                put(rig.memory("gone")),
                Op::RecordAccess { counts: vec![(id, 1, rig.now())] },
                Op::Audit(rae_core::model::Audit { action: "note".into(), details: serde_json::json!({}) }),
                Op::PutSegment {
                    row: rae_core::model::SegmentRow { from_seq: 0, to_seq: 2, ids: vec![id], data: vec![1] },
                },
            ])
            .await;
            rig.patch(id, rae_core::conformance::fixtures::importance_patch(0.9)).await;
            let gone = rig.all(None).await.into_iter().find(|m| m.content == "gone").unwrap();
            rig.delete(gone.id).await;
            rig.enqueue(rig.now()).await;
            let key = rae_core::model::Idempotency { verb: "remember", key: "k".into(), body_hash: [0; 32] };
            let memory = Box::new(rig.memory("keyed"));
            rig.run(Op::PutMemory { memory, vector: None, idempotency: Some(key) }).await;
            rig.run(Op::PutKey { key: Box::new(api_key(&rig)) }).await;
            spend(&rig).await;
        });
    }
}

const TENANT_TABLES: [&str; 18] = [
    "tenants",
    "scopes",
    "memories",
    "versions",
    "access",
    "vectors",
    "derived",
    "tombstones",
    "segments",
    "batches",
    "idempotency",
    "jobs",
    "audit",
    "api_keys",
    "budgets",
    "spend",
    "reservations",
    "ledger",
];

#[test]
fn without_a_tenant_nothing_is_visible_and_no_tenant_reaches_another_ones_rows() {
    let (database, clock) = (Cluster::shared().fresh(), clock());
    two_tenants(&database.open(&clock), &clock);
    block_on(async {
        let client = raw(&database).await;
        // Every table that is not the store's own has the wall.
        let open = "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class \
                    WHERE relnamespace = 'rae'::regnamespace AND relkind = 'r' AND NOT relrowsecurity";
        let open: String = client.query_one(open, &[]).await.unwrap().get(0);
        assert_eq!(open, "embedders meta schema_version");
        client.batch_execute("BEGIN; SET LOCAL ROLE rae_app").await.unwrap();
        for table in TENANT_TABLES {
            assert_eq!(
                number(&client, &format!("SELECT count(*) FROM rae.{table}")).await,
                0,
                "{table} without a tenant"
            );
        }
        client.batch_execute("COMMIT").await.unwrap();
        for tenant in ["", "c", "A", "%", "a "] {
            client.batch_execute("BEGIN; SET LOCAL ROLE rae_app").await.unwrap();
            client.execute("SELECT set_config('rae.tenant', $1, true)", &[&tenant]).await.unwrap();
            assert_eq!(number(&client, "SELECT count(*) FROM rae.memories").await, 0, "{tenant:?}");
            client.batch_execute("COMMIT").await.unwrap();
        }
        let all = number(&client, "SELECT count(*) FROM rae.memories").await;
        assert_eq!(all, 4, "the superuser sees both");
        for (own, other) in [("a", "b"), ("b", "a")] {
            let as_own = format!("BEGIN; SET LOCAL ROLE rae_app; SET LOCAL rae.tenant = '{own}'");
            client.batch_execute(&as_own).await.unwrap();
            let tid = number(&client, "SELECT tid FROM rae.tenants").await;
            assert_eq!(number(&client, "SELECT count(*) FROM rae.memories").await, 2);
            for table in &TENANT_TABLES[1..] {
                let seen = number(&client, &format!("SELECT count(*) FROM rae.{table}")).await;
                assert!(seen > 0, "{table} holds something of {own}");
                let foreign = format!("SELECT count(*) FROM rae.{table} WHERE tid <> {tid}");
                assert_eq!(number(&client, &foreign).await, 0, "{table} shows rows of {other} to {own}");
            }
            // Neither changing nor deleting without a condition reaches the other one's rows.
            assert_eq!(client.execute("UPDATE rae.memories SET importance = 0", &[]).await.unwrap(), 2);
            assert_eq!(client.execute("DELETE FROM rae.audit", &[]).await.unwrap(), 1);
            assert_eq!(client.execute("DELETE FROM rae.ledger", &[]).await.unwrap(), 1);
            client.batch_execute("ROLLBACK").await.unwrap();
            let stolen = number(&client, &format!("SELECT tid FROM rae.tenants WHERE name = '{other}'")).await;
            for write in [
                format!("INSERT INTO rae.audit (tid, scope, at, action, details) VALUES ({stolen}, 1, 0, '', '')"),
                format!("UPDATE rae.memories SET tid = {stolen}"),
                "DELETE FROM rae.meta".to_owned(),
                "UPDATE rae.meta SET receipt_key = receipt_key".to_owned(),
                "UPDATE rae.ledger SET cost_usd = 0".to_owned(),
                "UPDATE rae.reservations SET usd = 0".to_owned(),
                format!("UPDATE rae.spend SET tid = {stolen}"),
                "DELETE FROM rae.embedders".to_owned(),
                "DROP TABLE rae.memories".to_owned(),
            ] {
                client.batch_execute(&as_own).await.unwrap();
                let error = client.batch_execute(&write).await.unwrap_err();
                assert_eq!(error.code().map(|c| c.code()), Some("42501"), "{write}: {error}");
                client.batch_execute("ROLLBACK").await.unwrap();
            }
        }
        let without = "BEGIN; SET LOCAL ROLE rae_app; \
                       INSERT INTO rae.audit (tid, scope, at, action, details) VALUES (1, 1, 0, '', '')";
        assert_eq!(client.batch_execute(without).await.unwrap_err().code().map(|c| c.code()), Some("42501"));
    });
}

/// Of two tenants, the first with a small part of them.
const MANY_ROWS_OF_MONEY: [&str; 3] = [
    "INSERT INTO rae.spend (tid, project, period) SELECT 2 - (n % 20 = 0)::integer, 'p' || n % 50, n FROM generate_series(1, 20000) n",
    "INSERT INTO rae.reservations (tid, id, project, reserved_at, expires_at, usd, tokens, provider, model, operation, attempt) \
     SELECT 2 - (n % 20 = 0)::integer, gen_random_uuid(), 'p' || n % 50, n, n, 1, 1, '', '', '', 1 FROM generate_series(1, 20000) n",
    "INSERT INTO rae.ledger (tid, id, project, at, settled_at, provider, model, operation, attempt, status, input_tokens, \
     cached_input_tokens, output_tokens, reasoning_tokens, estimated, cost_usd, saved_usd) \
     SELECT 2 - (n % 20 = 0)::integer, gen_random_uuid(), 'p' || n % 50, n, n, '', '', '', 1, 'ok', 1, 0, 1, 0, false, 1, 0 \
     FROM generate_series(1, 20000) n",
];

#[test]
fn the_wall_does_not_keep_look_ups_from_their_indexes() {
    let (database, clock) = (Cluster::shared().fresh(), clock());
    let store = database.open(&clock);
    two_tenants(&store, &clock);
    block_on(async {
        let rig = Rig::new(&store, &clock).at("a", "p");
        let memory = |i: u128| rae_core::model::Memory {
            id: rae_core::MemoryId(uuid::Uuid::from_u128(i)),
            layer: if i.is_multiple_of(50) { rae_core::Layer::Sensory } else { rae_core::Layer::Semantic },
            provenance: rae_core::model::Provenance {
                derived_from: vec![rae_core::MemoryId(uuid::Uuid::from_u128(i + 1))],
                ..Default::default()
            },
            session_id: Some(format!("s{i}")),
            ..rig.statement(&i.to_string())
        };
        let batch = WriteBatch { id: uuid::Uuid::from_u128(1), ..rig.batch((1..3_000).map(memory).map(put).collect()) };
        store.apply(&rig.ctx, batch).await.unwrap();
        let client = raw(&database).await;
        for many in MANY_ROWS_OF_MONEY {
            client.batch_execute(many).await.unwrap();
        }
        client.batch_execute("ANALYZE").await.unwrap();
        client.batch_execute("BEGIN; SET LOCAL ROLE rae_app; SET LOCAL rae.tenant = 'a'").await.unwrap();
        for (index, sql) in [
            (
                "memories_id",
                "SELECT * FROM rae.memories WHERE scope = 1 AND id = ANY (ARRAY['00000000-0000-0000-0000-000000000001'::uuid])",
            ),
            (
                "memories_dedup",
                "SELECT * FROM rae.memories WHERE scope = 1 AND dedup_key = ANY (ARRAY['\\x00'::bytea])",
            ),
            ("memories_seq", "SELECT * FROM rae.memories WHERE scope = 1 AND seq > 7 ORDER BY seq LIMIT 5"),
            (
                "memories_session",
                "SELECT seq_in_session FROM rae.memories WHERE scope = 1 AND session_id = '\\x00' ORDER BY seq_in_session DESC LIMIT 1",
            ),
            (
                "memories_sensory",
                "SELECT id FROM rae.memories WHERE scope = 1 AND layer = 'sensory' ORDER BY created_at DESC, id DESC OFFSET 5",
            ),
            (
                "derived_pkey",
                "SELECT memory FROM rae.derived WHERE scope = 1 AND source = ANY (ARRAY['00000000-0000-0000-0000-000000000001'::uuid])",
            ),
            (
                "spend_pkey",
                "SELECT * FROM rae.spend WHERE tid = 1 AND project = ANY (ARRAY['', 'p']) AND period = ANY (ARRAY[7::bigint])",
            ),
            (
                "reservations_pkey",
                "SELECT * FROM rae.reservations WHERE tid = 1 AND id = '00000000-0000-0000-0000-000000000001'",
            ),
            (
                "reservations_expiry",
                "SELECT * FROM rae.reservations WHERE tid = 1 AND expires_at <= 7 ORDER BY expires_at, id LIMIT 100",
            ),
            ("ledger_no", "SELECT * FROM rae.ledger WHERE tid = 1 AND no < 20000 ORDER BY no DESC LIMIT 10"),
            ("ledger_at", "SELECT sum(cost_usd) FROM rae.ledger WHERE tid = 1 AND at >= 7 AND at < 9"),
            (
                "ledger_project",
                "SELECT sum(cost_usd) FROM rae.ledger WHERE tid = 1 AND project = 'p3' AND at >= 7 AND at < 900",
            ),
            ("ledger_id_key", "SELECT 1 FROM rae.ledger WHERE tid = 1 AND id = '00000000-0000-0000-0000-000000000001'"),
        ] {
            let rows = client.query(&format!("EXPLAIN {sql}"), &[]).await.unwrap();
            let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
            assert!(plan.iter().any(|line| line.contains(index)), "{index}: {plan:#?}");
        }
    });
}

#[test]
fn whole_store_work_passes_by_the_wall_through_its_doors() {
    let (database, clock) = (Cluster::shared().fresh(), clock());
    let store = database.open(&clock);
    two_tenants(&store, &clock);
    block_on(async {
        let names: Vec<_> = store.scopes().await.unwrap().iter().map(|s| s.tenant().to_owned()).collect();
        assert_eq!(names, ["a", "b"]);
        let rig = Rig::new(&store, &clock).at("a", "p");
        rig.run(Op::SetEmbedder { embedder: "other@1/4".into(), dim: 4 }).await;
        let client = raw(&database).await;
        assert_eq!(number(&client, "SELECT count(*) FROM rae.vectors").await, 0, "vectors of both tenants go");
        clock.advance_seconds(86_401);
        store.checkpoint(&rig.ctx, rig.now()).await.unwrap();
        assert_eq!(number(&client, "SELECT count(*) FROM rae.idempotency").await, 0, "keys of both tenants go");
        assert_eq!(number(&client, "SELECT count(*) FROM rae.batches").await, 0);
    });
}

#[test]
fn neither_migrating_nor_serving_needs_a_superuser() {
    let cluster = Cluster::shared();
    // What `migrate` needs once is not what a server needs: the one owns the database, the other belongs to a role.
    cluster.execute(
        "postgres",
        "CREATE ROLE keeper LOGIN CREATEROLE; CREATE ROLE server LOGIN; CREATE ROLE stranger LOGIN",
    );
    cluster.execute("postgres", "CREATE DATABASE kept OWNER keeper");
    let database = Database { cluster, name: "kept".to_owned() };
    let as_user =
        |user: &str| PostgresSettings::from_url(&database.url().replace("rae@", &format!("{user}@"))).unwrap();
    block_on(migrate(&as_user("keeper"))).unwrap();
    cluster.execute("postgres", "GRANT rae_app TO server");
    let clock = clock();
    for user in ["keeper", "server"] {
        let mut settings = as_user(user);
        settings.clock = Some(clock.clone());
        let store = block_on(PostgresStore::open(settings)).unwrap();
        block_on(async {
            let rig = Rig::new(&store, &clock).at(user, "p");
            rig.put_with_vector(rig.memory("a"), unit(1)).await;
            rig.run(Op::SetEmbedder { embedder: format!("{user}@1/4"), dim: 4 }).await;
            assert!(rig.changes(0).await.puts[0].vector.is_none(), "former vectors go");
            store.checkpoint(&rig.ctx, rig.now()).await.unwrap();
            assert_eq!(store.verify(&rig.ctx).await.unwrap(), Vec::<String>::new());
            store.close().await.unwrap();
        });
    }
    block_on(async {
        let server = PostgresStore::open(as_user("server")).await.unwrap();
        assert_eq!(server.scopes().await.unwrap().len(), 2);
        // Past the adapter, such a user sees nothing at all: its rights come with the role.
        let url = database.url().replace("rae@", "server@");
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        assert_eq!(number(&client, "SELECT count(*) FROM rae.memories").await, 0);
        let error = PostgresStore::open(as_user("stranger")).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::PermissionDenied, "no_permission"));
        assert!(error.message().contains("GRANT rae_app"));
        let error = migrate(&as_user("stranger")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    });
}

fn encrypted(settings: PostgresSettings, database: &Database<'_>) -> rae_core::Result<bool> {
    block_on(async {
        let store = PostgresStore::open(settings).await?;
        store.ping().await?;
        let sql = "SELECT bool_or(s.ssl) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) \
                   WHERE a.application_name = 'rae' AND a.datname = current_database()";
        let seen = raw(database).await.query_one(sql, &[]).await.unwrap().get(0);
        store.close().await?;
        Ok(seen)
    })
}

#[test]
fn connections_are_encrypted_and_checked_as_sslmode_says() {
    let database = Cluster::shared().fresh();
    let root = Cluster::shared().certificate();
    // The test may read what only the server's user may.
    let with = |host: &str, query: &str| {
        let url = database.url().replace("127.0.0.1", host) + "?" + query;
        encrypted(PostgresSettings::from_url(&url).unwrap(), &database)
    };
    let copy = tempfile::NamedTempFile::new().unwrap();
    std::fs::copy(&root, copy.path()).unwrap();
    let trusted = copy.path().display();
    assert!(!with("127.0.0.1", "sslmode=disable").unwrap());
    assert!(with("127.0.0.1", "sslmode=prefer").unwrap());
    assert!(with("127.0.0.1", "sslmode=require").unwrap());
    assert!(with("127.0.0.1", &format!("sslmode=verify-ca&sslrootcert={trusted}")).unwrap());
    assert!(with("localhost", &format!("sslmode=verify-full&sslrootcert={trusted}")).unwrap());
    for (host, query) in [
        ("127.0.0.1", format!("sslmode=verify-full&sslrootcert={trusted}")),
        ("localhost", "sslmode=verify-full".to_owned()),
        ("localhost", "sslmode=verify-ca".to_owned()),
    ] {
        let error = with(host, &query).unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Unavailable, "tls"), "{host} {query}: {error:?}");
    }
    let settings =
        PostgresSettings::from_url(&format!("{}?sslmode=require&sslrootcert=/nowhere", database.url())).unwrap();
    assert_eq!(
        (settings.tls, encrypted(settings, &database).unwrap_err().kind()),
        (Tls::Require, ErrorKind::InvalidInput)
    );
}

/// Holds the row of a scope, so that writers wait.
async fn hold(client: &Client) {
    client.batch_execute("BEGIN; SELECT * FROM rae.scopes FOR UPDATE").await.unwrap();
}

/// Waits until somebody waits for a lock.
async fn somebody_waits(client: &Client) -> i32 {
    let sql = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'rae' \
               AND wait_event_type = 'Lock'";
    loop {
        if let Some(row) = client.query_opt(sql, &[]).await.unwrap() {
            return row.get(0);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn a_deadline_ends_a_call_that_waits_and_nothing_is_written() {
    let (database, clock) = (Cluster::shared().fresh(), clock());
    let store = database.open(&clock);
    block_on(async {
        let rig = Rig::new(&store, &clock);
        rig.put(rig.memory("first")).await;
        let holder = raw(&database).await;
        hold(&holder).await;
        let batch = rig.batch(vec![put(rig.memory("late"))]);
        let short = Ctx::new(Scope::default()).with_timeout(Duration::from_millis(300));
        let began = std::time::Instant::now();
        assert_eq!(store.apply(&short, batch.clone()).await.unwrap_err().kind(), ErrorKind::Timeout);
        assert!(began.elapsed() < Duration::from_secs(5));
        // Readers do not wait for writers.
        assert_eq!(rig.all(None).await.len(), 1);
        holder.batch_execute("ROLLBACK").await.unwrap();
        assert_eq!(rig.all(None).await.len(), 1);
        store.apply(&rig.ctx, batch).await.unwrap();
        assert_eq!(rig.all(None).await.len(), 2);
    });
}

#[test]
fn a_pool_that_is_in_use_is_unavailable_for_now() {
    let (database, clock) = (Cluster::shared().fresh(), clock());
    let mut settings = database.settings();
    (settings.pool_size, settings.pool_wait) = (1, Duration::from_millis(100));
    settings.clock = Some(clock.clone());
    let store = Arc::new(block_on(PostgresStore::open(settings)).unwrap());
    block_on(async {
        let rig = Rig::new(&*store, &clock);
        rig.put(rig.memory("first")).await;
        let holder = raw(&database).await;
        hold(&holder).await;
        let (waiting, ctx, batch) = (Arc::clone(&store), rig.ctx.clone(), rig.batch(vec![put(rig.memory("second"))]));
        let waiting = tokio::spawn(async move { waiting.apply(&ctx, batch).await });
        let watcher = raw(&database).await;
        somebody_waits(&watcher).await;
        let error = store.head_of(&rig.ctx).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.code(), error.is_temporary()),
            (ErrorKind::Unavailable, "pool_exhausted", true)
        );
        holder.batch_execute("ROLLBACK").await.unwrap();
        waiting.await.unwrap().unwrap();
        assert_eq!(store.head_of(&rig.ctx).await.unwrap(), 2);
    });
}

#[test]
fn of_two_open_transactions_the_later_number_is_not_seen_first() {
    let (database, clock) = (Cluster::shared().fresh(), clock());
    let store = Arc::new(database.open(&clock));
    block_on(async {
        let rig = Rig::new(&*store, &clock);
        rig.put(rig.memory("first")).await;
        // Another server took number 2 and has yet to commit.
        let other = raw(&database).await;
        other.batch_execute("BEGIN; UPDATE rae.scopes SET seq = seq + 1").await.unwrap();
        let (own, ctx, batch) = (Arc::clone(&store), rig.ctx.clone(), rig.batch(vec![put(rig.memory("third"))]));
        let waiting = tokio::spawn(async move { own.apply(&ctx, batch).await });
        somebody_waits(&raw(&database).await).await;
        assert_eq!((rig.seq().await, rig.changes(0).await.puts.len()), (1, 1), "number 3 is not there before number 2");
        other.batch_execute("COMMIT").await.unwrap();
        assert_eq!(waiting.await.unwrap().unwrap().seq_before, 2);
        assert_eq!((rig.seq().await, rig.changes(2).await.puts.len()), (3, 1));
    });
}

#[test]
fn writers_who_wait_for_one_scope_leave_connections_to_the_others() {
    let (database, clock) = (Cluster::shared().fresh(), clock());
    let mut settings = database.settings();
    (settings.pool_size, settings.pool_wait) = (2, Duration::from_secs(2));
    settings.clock = Some(clock.clone());
    let store = Arc::new(block_on(PostgresStore::open(settings)).unwrap());
    block_on(async {
        let rig = Rig::new(&*store, &clock);
        rig.put(rig.memory("first")).await;
        let holder = raw(&database).await;
        hold(&holder).await;
        let mut waiting = Vec::new();
        for n in 0..10 {
            let (store, ctx, batch) =
                (Arc::clone(&store), rig.ctx.clone(), rig.batch(vec![put(rig.memory(&n.to_string()))]));
            waiting.push(tokio::spawn(async move { store.apply(&ctx, batch).await }));
        }
        let watcher = raw(&database).await;
        somebody_waits(&watcher).await;
        let other = rig.at("other", "p");
        other.put(other.memory("is written meanwhile")).await;
        assert_eq!(rig.all(None).await.len(), 1, "and readers read");
        holder.batch_execute("ROLLBACK").await.unwrap();
        for one in waiting {
            one.await.unwrap().unwrap();
        }
        assert_eq!(rig.seq().await, 11);
    });
}

/// Short for what many tests ask.
trait HeadOf {
    async fn head_of(&self, ctx: &Ctx) -> rae_core::Result<u64>;
}

impl HeadOf for PostgresStore {
    async fn head_of(&self, ctx: &Ctx) -> rae_core::Result<u64> {
        rae_core::ports::IndexRead::head(self, ctx).await.map(|head| head.seq)
    }
}

#[test]
fn a_connection_that_breaks_in_the_middle_of_a_batch_writes_nothing_and_a_retry_writes_once() {
    let (database, clock) = (Cluster::shared().fresh(), clock());
    let store = Arc::new(database.open(&clock));
    block_on(async {
        let rig = Rig::new(&*store, &clock);
        rig.put(rig.memory("first")).await;
        let (holder, watcher) = (raw(&database).await, raw(&database).await);
        hold(&holder).await;
        let batch = rig.batch(vec![put(rig.memory("second")), put(rig.memory("third"))]);
        let (own, ctx, same) = (Arc::clone(&store), rig.ctx.clone(), batch.clone());
        let waiting = tokio::spawn(async move { own.apply(&ctx, same).await });
        let pid = somebody_waits(&watcher).await;
        watcher.execute("SELECT pg_terminate_backend($1)", &[&pid]).await.unwrap();
        let error = waiting.await.unwrap().unwrap_err();
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true), "{error:?}");
        holder.batch_execute("ROLLBACK").await.unwrap();
        assert_eq!(rig.seq().await, 1);
        let applied = store.apply(&rig.ctx, batch.clone()).await.unwrap();
        assert_eq!(store.apply(&rig.ctx, batch).await.unwrap(), applied);
        assert_eq!((rig.seq().await, rig.all(None).await.len()), (3, 3));
    });
}

#[test]
fn a_commit_whose_answer_was_lost_is_not_done_twice() {
    let (database, clock) = (Cluster::shared().fresh(), clock());
    let relay = Relay::start(Cluster::shared().port, b"COMMIT\0");
    let url = format!("postgres://rae@127.0.0.1:{}/{}?sslmode=disable", relay.port, database.name);
    let mut settings = PostgresSettings::from_url(&url).unwrap();
    settings.clock = Some(clock.clone());
    let store = block_on(PostgresStore::open(settings)).unwrap();
    // Reads go past the relay: the ends of their transactions are no concern of this test.
    let direct = database.open(&clock);
    block_on(async {
        let rig = Rig::new(&direct, &clock);
        rig.put(rig.memory("first")).await;
        for round in 0..5u64 {
            let batch = rig.batch(vec![put(rig.memory("again")), put(rig.memory("and again"))]);
            relay.arm();
            let error = store.apply(&rig.ctx, batch.clone()).await.unwrap_err();
            assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true), "{error:?}");
            let applied = store.apply(&rig.ctx, batch).await.unwrap();
            assert_eq!(applied.seq_before, 1 + 2 * round, "the first attempt was committed");
            assert_eq!(rig.seq().await, 3 + 2 * round, "and the second wrote nothing");
        }
    });
}

#[test]
fn a_killed_backend_and_a_restarted_server_are_survived() {
    // A cluster of its own: a killed backend makes the server throw everybody out.
    let cluster = Cluster::start(true);
    let (database, clock) = (cluster.fresh(), clock());
    let store = Arc::new(database.open(&clock));
    block_on(async {
        let rig = Rig::new(&*store, &clock);
        rig.put(rig.memory("first")).await;
        let (holder, watcher) = (raw(&database).await, raw(&database).await);
        hold(&holder).await;
        let batch = rig.batch(vec![put(rig.memory("second"))]);
        let (own, ctx, same) = (Arc::clone(&store), rig.ctx.clone(), batch.clone());
        let waiting = tokio::spawn(async move { own.apply(&ctx, same).await });
        let pid = somebody_waits(&watcher).await;
        support::process::run(std::process::Command::new("kill").arg("-9").arg(pid.to_string()));
        let error = waiting.await.unwrap().unwrap_err();
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true), "{error:?}");
        let mut tries = 0;
        let applied = loop {
            match store.apply(&rig.ctx, batch.clone()).await {
                Ok(applied) => break applied,
                Err(error) => {
                    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true), "{error:?}")
                }
            }
            tries += 1;
            assert!(tries < 500, "the server does not recover");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert_eq!((applied.seq_before, applied.seq), (1, 2));
        assert_eq!(store.apply(&rig.ctx, batch).await.unwrap(), applied);
    });
    for round in 3..6 {
        cluster.restart();
        // The very next call works, though every connection of the pool is broken.
        block_on(async {
            let rig = Rig::new(&*store, &clock).at("default", "default");
            let memory =
                rae_core::model::Memory { id: rae_core::MemoryId(uuid::Uuid::from_u128(round)), ..rig.memory("x") };
            let batch = WriteBatch { id: uuid::Uuid::from_u128(round), ..rig.batch(vec![put(memory)]) };
            assert_eq!(store.apply(&rig.ctx, batch).await.unwrap().seq, u64::try_from(round).unwrap());
        });
    }
    cluster.stop();
    let ctx = Ctx::new(Scope::default());
    let error = block_on(store.head_of(&ctx)).unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true), "{error:?}");
}

#[test]
fn eight_writers_of_two_servers_lose_nothing_in_one_scope_and_in_many() {
    let (database, clock) = (Cluster::shared().fresh(), clock());
    let stores = [Arc::new(database.open(&clock)), Arc::new(database.open(&clock))];
    for many in [false, true] {
        block_on(async {
            let mut writers = Vec::new();
            for writer in 0..8u64 {
                let (store, clock) = (Arc::clone(&stores[usize::try_from(writer % 2).unwrap()]), Arc::clone(&clock));
                writers.push(tokio::spawn(async move {
                    let scope = if many { format!("p{writer}") } else { "one".to_owned() };
                    let rig = Rig::new(&*store, &clock).at("t", &scope);
                    for n in 0..25u64 {
                        let salt = (u128::from(many) << 100) | (u128::from(writer) << 64) | (u128::from(n) << 8);
                        let memory = |i| {
                            let id = rae_core::MemoryId(uuid::Uuid::from_u128(salt | i | 1 << 120));
                            rae_core::model::Memory { id, ..rig.turn("s", &format!("{writer} {n} {i}")) }
                        };
                        let ops = vec![put(memory(1)), put(memory(2))];
                        let batch = WriteBatch { id: uuid::Uuid::from_u128(salt | 1 << 120), ..rig.batch(ops) };
                        store.apply(&rig.ctx, batch).await.unwrap();
                    }
                }));
            }
            for writer in writers {
                writer.await.unwrap();
            }
            for project in if many { (0..8).map(|i| format!("p{i}")).collect() } else { vec!["one".to_owned()] } {
                let rig = Rig::new(&*stores[0], &clock).at("t", &project);
                let all = rig.all(None).await;
                let expected = if many { 50 } else { 400 };
                let seqs: BTreeSet<_> = all.iter().map(|m| m.seq).collect();
                assert_eq!(seqs, (1..=expected).collect(), "{project}");
                let places: BTreeSet<_> = all.iter().filter_map(|m| m.seq_in_session).map(u64::from).collect();
                assert_eq!(places, (0..expected).collect(), "{project}");
                assert_eq!(stores[1].verify(&rig.ctx).await.unwrap(), Vec::<String>::new());
            }
        });
    }
}

#[test]
fn erasures_embedder_changes_and_housekeeping_do_not_lock_each_other_out() {
    let (database, clock) = (Cluster::shared().fresh(), clock());
    let store = Arc::new(database.open(&clock));
    block_on(async {
        let mut tasks = Vec::new();
        for worker in 0..8u128 {
            let (store, clock) = (Arc::clone(&store), Arc::clone(&clock));
            tasks.push(tokio::spawn(async move {
                for n in 0..15u128 {
                    let rig = Rig::new(&*store, &clock).at("t", &format!("p{}", (worker + n) % 4));
                    let id = rae_core::MemoryId(uuid::Uuid::from_u128(1 << 120 | worker << 64 | n));
                    let memory = rae_core::model::Memory { id, ..rig.statement(&format!("{}", n % 3)) };
                    let embedder = format!("e{}@1/4", n % 2);
                    let ops = match (worker, n % 5) {
                        (0, 0) => vec![Op::DropScope { target: DropTarget::Tenant }],
                        (1, 0) => vec![Op::DropScope { target: DropTarget::Project("p1".into()) }, put(memory)],
                        (2, 0) => vec![Op::SetEmbedder { embedder, dim: 4 }],
                        _ => vec![put_with_vector(memory, &embedder, unit(1))],
                    };
                    let batch = WriteBatch { id: uuid::Uuid::from_u128(1 << 120 | worker << 64 | n), ..rig.batch(ops) };
                    store.apply(&rig.ctx, batch).await.unwrap();
                    if worker == 3 {
                        store.checkpoint(&rig.ctx, rig.now()).await.unwrap();
                    }
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        let ctx = Ctx::new(Scope::new("t", "p0").unwrap());
        assert_eq!(store.verify(&ctx).await.unwrap(), Vec::<String>::new());
    });
}

#[test]
fn leases_run_out_by_the_databases_clock_where_no_other_is_given() {
    let database = Cluster::shared().fresh();
    let store = block_on(PostgresStore::open(database.settings())).unwrap();
    let clock = ManualClock::new(rae_core::ports::Clock::now(&rae_core::ports::SystemClock));
    block_on(async {
        let rig = Rig::new(&store, &clock);
        let job = NewJob { id: rig.uuid(), kind: JobKind::Embed, payload: serde_json::json!({}), run_at: start() };
        rig.run(Op::EnqueueJob { job }).await;
        let minute = Duration::from_secs(60);
        let taken = store.lease(&rig.ctx, rig.now(), minute, 10).await.unwrap();
        assert_eq!(taken.len(), 1);
        // A server whose own clock is an hour ahead takes nothing away from the one that works.
        let ahead = rig.now().saturating_add_seconds(3_600);
        assert!(store.lease(&rig.ctx, ahead, minute, 10).await.unwrap().is_empty());
        assert!((taken[0].until.days_since(rig.now()) * 86_400.0 - 60.0).abs() < 30.0);
        assert!(store.get(&rig.ctx, &[]).await.unwrap().is_empty());
    });
}
