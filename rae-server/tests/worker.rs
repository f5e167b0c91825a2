//! The role worker: the real binary on a real PostgreSQL. What each job did is counted by the database itself: a trigger keeps
//! every lease and every end, and the change number of a project grows by one for each vector that is stored.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // a test reports by panicking

#[path = "http/support.rs"]
#[allow(dead_code)]
mod http;
mod support;

use http::{Folder, Server, until};
use rae_core::{
    Ctx, MeteredCall, NewMemory, Rae,
    embedded::sqlite::{OpenOptions, SqliteStore},
    model::{JobKind, NewJob, Op, Scope, WriteBatch},
    ports::{Clock, JobRead, RelationalStore, SystemClock},
};
use rae_server::adapters::postgres::PostgresStore;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
    sync::Arc,
};
use support::{
    block_on,
    postgres::{Cluster, Database},
};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

/// Every lease and every end of a job, in order. While somebody holds the advisory lock 42, no job ends.
const WATCH: &str = "
CREATE TABLE public.seen (n bigserial, job uuid, tid bigint, what text);
CREATE FUNCTION public.watch() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM pg_advisory_xact_lock_shared(42), pg_sleep(0.02);
        INSERT INTO public.seen (job, tid, what) VALUES (OLD.id, OLD.tid, 'end');
    ELSIF TG_OP = 'INSERT' THEN
        INSERT INTO public.seen (job, tid, what) VALUES (NEW.id, NEW.tid, 'queued');
    ELSIF NEW.fence <> OLD.fence THEN
        INSERT INTO public.seen (job, tid, what) VALUES (NEW.id, NEW.tid, 'begin');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER watch AFTER INSERT OR UPDATE OR DELETE ON rae.jobs FOR EACH ROW EXECUTE FUNCTION public.watch();
";

/// A database whose jobs are watched, and the store in it.
struct Site {
    database: Database<'static>,
    store: Arc<PostgresStore>,
    rae: Rae,
}

impl Site {
    fn new() -> Self {
        let database = Cluster::shared().fresh();
        database.execute(WATCH);
        let (store, rae) = block_on(async {
            let store = Arc::new(PostgresStore::open(database.settings()).await.unwrap());
            let rae = Rae::builder().relational(Arc::clone(&store) as Arc<dyn RelationalStore>).open().await.unwrap();
            (store, rae)
        });
        Self { database, store, rae }
    }

    /// Starts a worker with so many children.
    fn worker(&self, children: usize, env: &[(&str, &str)]) -> Server {
        let (url, children) = (self.database.url(), children.to_string());
        let mut all = vec![
            ("DATABASE_URL", url.as_str()),
            ("RAE_WORKER_CONCURRENCY", children.as_str()),
            ("RAE_WORKER_LEASE", "2"),
            ("RAE_MAINTAIN_EVERY", "0"),
            ("RAE_EVALUATE_EVERY", "0"),
        ];
        all.extend(env);
        Server::role(&["worker", "--worker-port", "0"], Arc::new(Folder::new()), &all)
    }

    /// Stores `n` memories of a tenant, and for each of them a job that stores its vector.
    fn load(&self, tenant: &str, n: usize) {
        block_on(async {
            let scope = Scope::new(tenant, "default").unwrap();
            let items = (0..n).map(|i| NewMemory::new(format!("Crate {i} of {tenant} holds apples."))).collect();
            let receipts = self.rae.with_scope(scope.clone()).remember_many(items).await.unwrap();
            let jobs = receipts.iter().map(|receipt| json!({ "ids": [receipt.id] })).collect();
            enqueue(&*self.store, &scope, jobs).await;
        });
    }

    fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        block_on(async {
            let rows = self.client().await.simple_query(sql).await.unwrap();
            let row = |m: tokio_postgres::SimpleQueryMessage| match m {
                tokio_postgres::SimpleQueryMessage::Row(row) => {
                    Some((0..row.len()).map(|i| row.get(i).unwrap_or_default().to_owned()).collect())
                }
                _ => None,
            };
            rows.into_iter().filter_map(row).collect()
        })
    }

    async fn client(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.database.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    fn count(&self, sql: &str) -> u64 {
        self.rows(sql)[0][0].parse().unwrap()
    }

    fn seen(&self, what: &str) -> u64 {
        self.count(&format!("SELECT count(*) FROM seen WHERE what = '{what}'"))
    }

    fn wait_until_done(&self) {
        until(|| Some(()).filter(|()| self.count("SELECT count(*) FROM rae.jobs") == 0));
    }

    /// Every job ended once, and whatever it wrote was written once. Gives how many leases there were.
    fn each_effect_once(&self, jobs: &[(&str, u64)]) -> u64 {
        for (tenant, n) in jobs {
            let sql =
                format!("SELECT s.seq FROM rae.scopes s JOIN rae.tenants t USING (tid) WHERE t.name = '{tenant}'");
            assert_eq!(self.count(&sql), 2 * n, "a change for each memory, one for each vector");
        }
        let all = jobs.iter().map(|(_, n)| n).sum::<u64>();
        assert_eq!((self.seen("queued"), self.seen("end")), (all, all));
        let mut ended = BTreeSet::new();
        for row in self.rows("SELECT job, what FROM seen ORDER BY n") {
            assert!(!ended.contains(&row[0]), "nothing happens to a job that has ended");
            if row[1] == "end" {
                ended.insert(row[0].clone());
            }
        }
        self.seen("begin")
    }

    /// Lets no job end until the client is dropped.
    fn hold_ends(&self) -> Client {
        block_on(async {
            let client = self.client().await;
            client.batch_execute("SELECT pg_advisory_lock(42)").await.unwrap();
            client
        })
    }
}

async fn enqueue(store: &dyn RelationalStore, scope: &Scope, payloads: Vec<Value>) {
    let now = SystemClock.now();
    let job =
        |payload| Op::EnqueueJob { job: NewJob { id: Uuid::new_v4(), kind: JobKind::Embed, payload, run_at: now } };
    let ops = payloads.into_iter().map(job).collect();
    let batch = WriteBatch { id: Uuid::new_v4(), now, preconditions: Vec::new(), ops };
    store.apply(&Ctx::new(scope.clone()), batch).await.unwrap();
}

fn children(worker: &Server) -> Vec<u32> {
    let output = Command::new("ps").args(["-o", "pid=", "--ppid", &worker.pid().to_string()]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

fn kill(pid: u32) {
    // It may have ended by itself.
    let _ = Command::new("kill").args(["-9", &pid.to_string()]).stderr(std::process::Stdio::null()).status().unwrap();
}

fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn a_killed_child_repeats_at_most_the_job_in_hand_and_loses_nothing() {
    let site = Site::new();
    let loads = [("a", 40), ("b", 30), ("c", 30)];
    loads.iter().for_each(|(tenant, n)| site.load(tenant, *n as usize));
    let worker = site.worker(3, &[]);
    let mut kills = 0;
    for share in 1..=4 {
        until(|| Some(()).filter(|()| site.seen("end") >= share * 15));
        let pid = until(|| children(&worker).first().copied());
        kill(pid);
        kills += 1;
    }
    site.wait_until_done();
    let begun = site.each_effect_once(&loads);
    assert!((100..=100 + kills).contains(&begun), "{begun} leases, {kills} kills");
    until(|| Some(()).filter(|()| worker.metric("rae_worker_child_restarts_total") >= 4.0));
    until(|| Some(()).filter(|()| worker.metric("rae_worker_children") == 3.0));
    println!("{begun} leases of 100 jobs, {kills} kills");
}

#[test]
fn a_killed_worker_leaves_no_orphan_and_another_one_goes_on() {
    let site = Site::new();
    let loads = [("a", 50), ("b", 50)];
    loads.iter().for_each(|(tenant, n)| site.load(tenant, *n as usize));
    let mut worker = site.worker(3, &[]);
    until(|| Some(()).filter(|()| site.seen("end") >= 20));
    let orphans = children(&worker);
    assert_eq!(orphans.len(), 3);
    // All at once, and the parent alone: both happen.
    worker.signal("-KILL");
    kill(orphans[0]);
    worker.wait();
    until(|| Some(()).filter(|()| !orphans.iter().any(|pid| is_alive(*pid))));
    assert!(site.count("SELECT count(*) FROM rae.jobs") > 0, "there is work left");
    let _next = site.worker(2, &[]);
    site.wait_until_done();
    let begun = site.each_effect_once(&loads);
    assert!((100..=103).contains(&begun), "{begun} leases");
}

#[test]
fn two_workers_share_the_jobs_and_run_none_twice() {
    let site = Site::new();
    let loads = [("a", 40), ("b", 40)];
    let lease = [("RAE_WORKER_LEASE", "50")];
    let workers = [site.worker(2, &lease), site.worker(2, &lease)];
    // All children of both have a job in hand before the first one ends.
    let held = site.hold_ends();
    loads.iter().for_each(|(tenant, n)| site.load(tenant, *n as usize));
    until(|| Some(()).filter(|()| site.seen("begin") == 4));
    drop(held);
    site.wait_until_done();
    assert_eq!(site.each_effect_once(&loads), 80);
    let done = |worker: &Server| worker.metric("rae_jobs_total{kind=\"embed\",result=\"done\"}");
    until(|| Some(()).filter(|()| workers.iter().map(done).sum::<f64>() == 80.0));
    assert!(workers.iter().all(|worker| done(worker) > 0.0));
}

#[test]
fn a_child_is_replaced_after_its_number_of_jobs() {
    let site = Site::new();
    site.load("a", 20);
    let worker = site.worker(2, &[("RAE_WORKER_MAX_TASKS_PER_CHILD", "3")]);
    site.wait_until_done();
    // 20 jobs, at most 3 by each child: at least six were replaced.
    until(|| Some(()).filter(|()| worker.metric("rae_worker_children_recycled_total") >= 6.0));
    assert_eq!(worker.metric("rae_worker_child_restarts_total"), 0.0);
    assert_eq!(site.each_effect_once(&[("a", 20)]), 20);
}

#[test]
fn a_tenant_with_many_jobs_does_not_starve_one_with_few() {
    let site = Site::new();
    site.load("loud", 300);
    site.load("quiet", 2);
    let _worker = site.worker(1, &[]);
    site.wait_until_done();
    let order = site.rows("SELECT t.name FROM seen JOIN rae.tenants t USING (tid) WHERE what = 'begin' ORDER BY n");
    let quiet: Vec<_> = (0..order.len()).filter(|i| order[*i][0] == "quiet").collect();
    assert!(quiet.len() == 2 && quiet[1] <= 3, "the two jobs of the quiet tenant were taken at {quiet:?}");
}

#[test]
fn a_signal_finishes_the_job_in_hand_and_takes_no_other() {
    let site = Site::new();
    let held = site.hold_ends();
    site.load("a", 5);
    let mut worker = site.worker(1, &[("RAE_DRAIN_TIMEOUT", "50")]);
    until(|| Some(()).filter(|()| site.seen("begin") == 1));
    worker.signal("-TERM");
    until(|| Some(()).filter(|()| worker.get("/health/ready").status == 503));
    assert_eq!(worker.get("/health/live").status, 200);
    drop(held);
    assert!(worker.wait().success());
    assert_eq!((site.seen("begin"), site.seen("end")), (1, 1), "{}", worker.log());
    assert_eq!(site.count("SELECT count(*) FROM rae.jobs"), 4);
}

#[test]
fn a_second_signal_stops_at_once() {
    let site = Site::new();
    let held = site.hold_ends();
    site.load("a", 2);
    let mut worker = site.worker(1, &[("RAE_DRAIN_TIMEOUT", "3600")]);
    until(|| Some(()).filter(|()| site.seen("begin") == 1));
    let pids = children(&worker);
    worker.signal("-TERM");
    until(|| Some(()).filter(|()| worker.get("/health/ready").status == 503));
    worker.signal("-TERM");
    worker.wait();
    until(|| Some(()).filter(|()| !pids.iter().any(|pid| is_alive(*pid))));
    assert_eq!(site.seen("end"), 0);
    drop(held);
}

#[test]
fn dead_letters_are_listed_and_requeued_over_http() {
    let site = Site::new();
    let scope = Scope::new("t", "default").unwrap();
    // No list of ids: this job can only fail.
    block_on(enqueue(&*site.store, &scope, vec![json!({ "ids": "SECRET" }), json!({ "ids": "SECRET" })]));
    let worker = site.worker(2, &[("RAE_WORKER_RETRY_DELAY", "0.01")]);
    let url = site.database.url();
    let env = [("DATABASE_URL", url.as_str()), ("RAE_API_MASTER_KEY", "the-operators-own-key"), ("RAE_AUTH", "header")];
    let api = Server::role(&["api", "--port", "0"], Arc::new(Folder::new()), &env);
    let list = |path: &str| api.get(path).json()["items"].as_array().unwrap().clone();
    let dead = until(|| Some(list("/v1/jobs?state=dead")).filter(|items| items.len() == 2));
    for job in &dead {
        assert_eq!(
            (&job["state"], &job["attempts"], &job["last_error"]),
            (&json!("dead"), &json!(5), &json!("corrupt"))
        );
    }
    assert_eq!(site.seen("begin"), 10, "five attempts each");
    assert!(!api.get("/v1/jobs").text().contains("SECRET"), "no payload is shown");
    assert!(!worker.log().contains("SECRET"));
    until(|| Some(()).filter(|()| worker.metric("rae_jobs_queued{kind=\"embed\",state=\"dead\"}") == 2.0));
    until(|| Some(()).filter(|()| worker.metric("rae_jobs_total{kind=\"embed\",result=\"dead\"}") == 2.0));
    until(|| Some(()).filter(|()| worker.metric("rae_jobs_total{kind=\"embed\",result=\"retried\"}") == 8.0));

    // A page at a time, of this tenant alone; the operator sees whose they are.
    let first = api.get("/v1/jobs?limit=1").json();
    let rest = api.get(&format!("/v1/jobs?limit=1&cursor={}", first["next_cursor"].as_str().unwrap())).json();
    assert_eq!((&first["items"][0], &rest["items"][0]), (&dead[0], &dead[1]));
    assert_eq!(api.call_as("other", "GET", "/v1/jobs", "").json()["items"], json!([]));
    api.get("/v1/admin/jobs").is_error(403, "permission_denied", "operator_only");
    let operator = [("X-API-Key", "the-operators-own-key")];
    let all = api.send("GET", "/v1/admin/jobs?state=dead", &operator, b"").json();
    assert_eq!((all["items"].as_array().unwrap().len(), &all["items"][1]["tenant"]), (2, &json!("t")));
    for (query, code) in [
        ("limit=0", "invalid_limit"),
        ("limit=9999", "invalid_limit"),
        ("state=lost", "invalid_state"),
        ("cursor=x", "invalid_cursor"),
        ("cursor=-1", "invalid_cursor"),
        ("cursor=18446744073709551615", "invalid_cursor"),
        ("page=2", "unknown_parameter"),
        ("limit=1&limit=1", "repeated_parameter"),
    ] {
        api.get(&format!("/v1/jobs?{query}")).is_error(400, "invalid_input", code);
    }

    // Once the reason is gone, a requeued job is done.
    let id = dead[0]["id"].as_str().unwrap();
    let path = format!("/v1/jobs/{id}/requeue");
    api.call_as("other", "POST", &path, "").is_error(404, "not_found", "job_not_found");
    api.call("POST", "/v1/jobs/x/requeue", "").is_error(400, "invalid_input", "invalid_id");
    site.database.execute("UPDATE rae.jobs SET payload = '{\"ids\": []}'");
    assert_eq!(api.call("POST", &path, "").json(), json!({ "id": id, "state": "queued" }));
    until(|| Some(()).filter(|()| list("/v1/jobs").len() == 1));
    api.call("POST", &path, "").is_error(404, "not_found", "job_not_found");
    assert_eq!(list("/v1/jobs")[0]["id"], dead[1]["id"]);
}

#[test]
fn a_schedule_brings_one_job_a_period_however_many_workers_there_are() {
    let site = Site::new();
    let old = NewMemory { ttl: Some(1.0), ..NewMemory::new("Gone in a second.") };
    block_on(async {
        site.rae.remember(NewMemory::new("This one stays.")).await.unwrap();
        site.rae.remember(old).await.unwrap();
    });
    let every = [("RAE_MAINTAIN_EVERY", "2")];
    let mut workers = vec![site.worker(2, &every), site.worker(2, &every)];
    until(|| Some(()).filter(|()| site.seen("end") >= 2));
    // One that is killed takes no period with it.
    workers.pop().unwrap().signal("-KILL");
    until(|| Some(()).filter(|()| site.seen("end") >= 4));
    let jobs = site.rows("SELECT DISTINCT job FROM seen").len() as u64;
    assert_eq!(site.seen("queued"), jobs);
    assert_eq!(site.count("SELECT count(*) FROM rae.schedules"), 1);
    // The database says when each was queued, and between two ends of periods lies a period.
    assert_eq!(site.count("SELECT count(*) FROM rae.memories"), 1, "what expired was purged");
    let looked = site.rows("SELECT due_at FROM rae.schedules")[0][0].parse::<u64>().unwrap();
    assert_eq!(
        looked % 2_000_000,
        site.count("SELECT mod((hashint8(sid)::bigint + 2147483648) * 1000, 2000000) FROM rae.scopes")
    );
}

#[test]
fn a_worker_counts_what_its_children_book_of_that_which_ran_out() {
    let site = Site::new();
    let held = block_on(async {
        site.rae.remember(NewMemory::new("A project with a memory is looked after.")).await.unwrap();
        let call = MeteredCall { output_tokens: Some(100), ..MeteredCall::new("openai", "gpt-4o-mini", 10_000) };
        site.rae.meter_by_id(call).await.unwrap().1
    });
    site.database.execute("UPDATE rae.reservations SET expires_at = reserved_at + 1");
    let worker = site.worker(1, &[("RAE_MAINTAIN_EVERY", "1")]);
    let series = "rae_llm_cost_total{model=\"gpt-4o-mini\",operation=\"chat\",provider=\"openai\"}";
    until(|| Some(()).filter(|()| worker.metric(series) == held.usd.dollars()));
    assert_eq!(worker.metric("rae_llm_calls_total{provider=\"openai\",status=\"unconfirmed\"}"), 1.0);
    assert_eq!(site.count("SELECT count(*) FROM rae.reservations"), 0);
    assert!(!worker.log().contains("is not understood"), "{}", worker.log());
}

#[test]
fn a_worker_shows_how_it_does() {
    let site = Site::new();
    site.load("a", 3);
    let worker = site.worker(2, &[]);
    site.wait_until_done();
    until(|| Some(()).filter(|()| worker.metric("rae_job_duration_seconds_count{kind=\"embed\"}") == 3.0));
    let text = worker.get("/metrics").text();
    for line in [
        "# TYPE rae_jobs_queued gauge",
        "# TYPE rae_jobs_oldest_due_seconds gauge",
        "# TYPE rae_jobs_total counter",
        "# TYPE rae_job_duration_seconds histogram",
        "# TYPE rae_worker_children gauge",
        "# TYPE rae_worker_child_restarts_total counter",
        "# TYPE rae_worker_children_recycled_total counter",
        "rae_jobs_total{kind=\"embed\",result=\"done\"} 3",
        "rae_worker_children 2",
    ] {
        assert_eq!(text.lines().filter(|l| *l == line).count(), 1, "{line}\n{text}");
    }
    for path in ["/health", "/health/live", "/health/ready"] {
        assert_eq!(worker.get(path).status, 200, "{path}");
    }
    worker.get("/v1/memories").is_error(404, "not_found", "no_such_route");
}

#[test]
fn the_embedded_store_is_served_by_all_and_by_a_worker_but_not_by_an_api() {
    let folder = Arc::new(Folder::new());
    let api = Server::role(&["api", "--port", "0", "--data", "rae-data"], Arc::clone(&folder), &[]);
    let id = api.remember("The lighthouse is white.");
    let store = SqliteStore::open(OpenOptions::file(folder.0.join("rae-data/memory.rae"))).unwrap();
    let scope = Scope::new("t", "default").unwrap();
    let left = || block_on(store.jobs(&Ctx::new(scope.clone()), 10)).unwrap();
    let seq = || api.get("/v1/stats").json()["seq"].as_u64().unwrap();
    block_on(enqueue(&store, &scope, vec![json!({ "ids": [id] })]));
    let roles: BTreeMap<&str, &[&str]> =
        [("all", &["all", "--port", "0"][..]), ("worker", &["worker", "--worker-port", "0", "--data", "rae-data"][..])]
            .into();
    for (role, args) in roles {
        assert_eq!(left().first().map(|job| job.attempts), Some(0), "nobody took it yet");
        let before = seq();
        let mut server = Server::role(args, Arc::clone(&folder), &[]);
        until(|| Some(()).filter(|()| left().is_empty()));
        assert_eq!(seq(), before + 1, "{role}");
        until(|| Some(()).filter(|()| server.metric("rae_jobs_total{kind=\"embed\",result=\"done\"}") == 1.0));
        assert!(server.stop().success(), "{role}: {}", server.log());
        block_on(enqueue(&store, &scope, vec![json!({ "ids": [id] })]));
    }
}
