//! A PostgreSQL cluster for the tests of one binary, and a fresh database for each of them.

use super::{
    block_on,
    process::{User, Watchdog, free_port, run},
};
use rae_core::{
    conformance::fixtures::start,
    ports::{Clock, ManualClock, RelationalStore},
};
use rae_server::adapters::postgres::{PostgresSettings, PostgresStore, migrate};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tokio_postgres::NoTls;

/// A running cluster. Trusts whoever comes from this machine; listens there only.
pub struct Cluster {
    bin: PathBuf,
    user: User,
    pub port: u16,
    next: AtomicU32,
    watchdog: Watchdog,
}

/// Where the programs of the newest PostgreSQL lie.
fn programs() -> PathBuf {
    if let Some(named) = std::env::var_os("RAE_TEST_PG_BIN") {
        return named.into();
    }
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<_> = installed.map(|e| e.path().join("bin")).filter(|p| p.join("initdb").exists()).collect();
    versions.sort_by_key(|p| p.parent().and_then(|v| v.file_name()?.to_str()?.parse::<u32>().ok()));
    if let Some(newest) = versions.pop() {
        return newest;
    }
    let asked = Command::new("pg_config").arg("--bindir").output().ok();
    let folder = asked.map(|o| PathBuf::from(String::from_utf8_lossy(&o.stdout).trim())).unwrap_or_default();
    assert!(
        folder.join("initdb").exists(),
        "these tests need a PostgreSQL server: apt-get install postgresql (or name the folder of its programs in RAE_TEST_PG_BIN)"
    );
    folder
}

impl Cluster {
    /// Starts one. `durable` says whether a commit waits for the disk, as it does in life: tests need not.
    pub fn start(durable: bool) -> Self {
        let (bin, user) = (programs(), User::unprivileged());
        let folder = user.folder("rae-pg-");
        let data = folder.join("data");
        run(user.command(bin.join("initdb")).arg("-D").arg(&data).args([
            "-U",
            "rae",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        ]));
        let port = free_port();
        certificate(user, &data);
        let careless = "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\nautovacuum = off\n";
        let config = format!(
            "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{}'\nmax_connections = 200\n\
             shared_buffers = 128MB\nssl = on\n{}",
            folder.display(),
            if durable { "" } else { careless }
        );
        let file = data.join("postgresql.conf");
        fs::write(&file, fs::read_to_string(&file).unwrap() + &config).unwrap();
        let ctl =
            format!("'{}' -D '{}' -l '{}'", bin.join("pg_ctl").display(), data.display(), folder.join("log").display());
        let watchdog = Watchdog::start(
            user,
            folder,
            &format!("{ctl} -w -t 30 start"),
            &format!("{ctl} -w -t 10 -m immediate stop"),
        );
        let cluster = Self { bin, user, port, next: AtomicU32::new(0), watchdog };
        cluster.wait();
        cluster
    }

    /// The one that the tests of a binary share.
    pub fn shared() -> &'static Self {
        static CLUSTER: OnceLock<Cluster> = OnceLock::new();
        CLUSTER.get_or_init(|| Self::start(false))
    }

    fn wait(&self) {
        let end = Instant::now() + Duration::from_secs(30);
        while block_on(tokio_postgres::connect(&self.url("postgres"), NoTls)).is_err() {
            assert!(Instant::now() < end, "the cluster did not come up:\n{}", self.log());
            thread::sleep(Duration::from_millis(30));
        }
    }

    fn log(&self) -> String {
        let read = |name| fs::read_to_string(self.watchdog.folder.join(name)).unwrap_or_default();
        format!("{}\n{}", read("watchdog.log"), read("log"))
    }

    /// The certificate that the server shows, which signed itself. Made out to localhost.
    pub fn certificate(&self) -> PathBuf {
        self.watchdog.folder.join("data/server.crt")
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://rae@127.0.0.1:{}/{database}", self.port)
    }

    /// Stops it at once, without a clean end, and starts it again.
    pub fn restart(&self) {
        self.stop();
        self.again();
    }

    /// Starts it again after a stop.
    pub fn again(&self) {
        self.ctl(&["-w", "-t", "30", "start"]);
        self.wait();
    }

    /// Stops it at once, without a clean end.
    pub fn stop(&self) {
        self.ctl(&["-w", "-m", "immediate", "stop"]);
    }

    /// Kills it, as `kill -9` does, and starts it again.
    pub fn kill(&self) {
        let file = fs::read_to_string(self.watchdog.folder.join("data/postmaster.pid")).unwrap();
        let server: u32 = file.lines().next().unwrap().trim().parse().unwrap();
        run(Command::new("kill").arg("-9").arg(server.to_string()));
        let end = Instant::now() + Duration::from_secs(30);
        // The processes that work for it go by themselves when they notice; only then may it start again.
        while Path::new(&format!("/proc/{server}")).exists() || self.has_processes() {
            assert!(Instant::now() < end, "the cluster did not die:\n{}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
        self.again();
    }

    /// Whether a process works in the folder of the data.
    fn has_processes(&self) -> bool {
        let data = self.watchdog.folder.join("data");
        let mut all = fs::read_dir("/proc").into_iter().flatten().flatten();
        all.any(|process| fs::read_link(process.path().join("cwd")).is_ok_and(|folder| folder == data))
    }

    fn ctl(&self, args: &[&str]) {
        let (data, log) = (self.watchdog.folder.join("data"), self.watchdog.folder.join("log"));
        run(self.user.command(self.bin.join("pg_ctl")).arg("-D").arg(data).arg("-l").arg(log).args(args));
    }

    /// Runs statements as the superuser.
    pub fn execute(&self, database: &str, sql: &str) {
        block_on(async {
            let (client, connection) = tokio_postgres::connect(&self.url(database), NoTls).await.unwrap();
            let driver = tokio::spawn(connection);
            client.batch_execute(sql).await.unwrap();
            drop(client);
            driver.await.unwrap().unwrap();
        });
    }

    /// An empty database.
    pub fn empty(&self) -> Database<'_> {
        let name = format!("case_{}", self.next.fetch_add(1, Ordering::Relaxed));
        self.execute("postgres", &format!("CREATE DATABASE {name}"));
        Database { cluster: self, name }
    }

    /// A database with an empty store.
    pub fn fresh(&self) -> Database<'_> {
        static MADE: std::sync::Mutex<Vec<u16>> = std::sync::Mutex::new(Vec::new());
        {
            let mut made = MADE.lock().unwrap();
            if !made.contains(&self.port) {
                self.execute("postgres", "CREATE DATABASE rae_template");
                block_on(migrate(&PostgresSettings::from_url(&self.url("rae_template")).unwrap())).unwrap();
                made.push(self.port);
            }
        }
        let name = format!("case_{}", self.next.fetch_add(1, Ordering::Relaxed));
        self.execute("postgres", &format!("CREATE DATABASE {name} TEMPLATE rae_template"));
        Database { cluster: self, name }
    }
}

/// A key and a certificate that signs itself, where the server looks for them.
fn certificate(user: User, data: &Path) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    for (name, text) in [("server.crt", made.cert.pem()), ("server.key", made.signing_key.serialize_pem())] {
        let path = data.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        user.own(&path);
    }
}

/// A database that goes when this does.
pub struct Database<'a> {
    pub cluster: &'a Cluster,
    pub name: String,
}

impl Database<'_> {
    pub fn url(&self) -> String {
        self.cluster.url(&self.name)
    }

    pub fn settings(&self) -> PostgresSettings {
        PostgresSettings::from_url(&self.url()).unwrap()
    }

    pub fn execute(&self, sql: &str) {
        self.cluster.execute(&self.name, sql);
    }

    /// A store in it that goes by `clock`.
    pub fn open(&self, clock: &Arc<ManualClock>) -> PostgresStore {
        let mut settings = self.settings();
        settings.clock = Some(Arc::clone(clock) as Arc<dyn Clock>);
        block_on(PostgresStore::open(settings)).unwrap()
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        let (url, name) = (self.cluster.url("postgres"), self.name.clone());
        // On a thread of its own: whoever drops this may be inside the runtime. What cannot be dropped goes with the cluster.
        let _ = thread::spawn(move || {
            block_on(async {
                if let Ok((client, connection)) = tokio_postgres::connect(&url, NoTls).await {
                    tokio::spawn(connection);
                    let _ = client.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await;
                }
            });
        })
        .join();
    }
}

/// A store in a fresh database of the shared cluster, its clock, and what must outlive it.
pub fn store() -> (Arc<dyn RelationalStore>, Arc<ManualClock>, Database<'static>) {
    let database = Cluster::shared().fresh();
    let clock = Arc::new(ManualClock::new(start()));
    (Arc::new(database.open(&clock)), clock, database)
}
