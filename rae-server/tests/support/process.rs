//! Servers as children that do not outlive the tests.

use std::{
    fs,
    io::Write,
    net::TcpListener,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A shell that starts a server, waits until the tests are gone, and then stops the server and removes its folder. It
/// learns of their end by the end of its input, which comes also when they are killed.
pub struct Watchdog {
    child: Child,
    input: Option<ChildStdin>,
    pub folder: PathBuf,
}

/// Whom servers run as: PostgreSQL refuses root.
#[derive(Debug, Clone, Copy)]
pub struct User(Option<(u32, u32)>);

impl User {
    /// The user of the tests, or an unprivileged one where that is root.
    pub fn unprivileged() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let root = status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"));
        if !root {
            return Self(None);
        }
        let passwd = fs::read_to_string("/etc/passwd").unwrap();
        let find = |name: &str| {
            let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
            let mut fields = line.split(':').skip(2);
            Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
        };
        Self(Some(
            find("postgres").or_else(|| find("nobody")).expect("root needs a user postgres or nobody to run servers"),
        ))
    }

    pub fn command(self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        if let Self(Some((uid, gid))) = self {
            command.uid(uid).gid(gid);
        }
        command.current_dir("/").env("LC_ALL", "C").env_remove("PGHOST").env_remove("PGPORT");
        command
    }

    /// The user of the tests, whoever that is.
    pub fn same() -> Self {
        Self(None)
    }

    /// A folder of its own, where only it can look.
    pub fn folder(self, prefix: &str) -> PathBuf {
        // Short: the path of a Unix socket has a limit.
        let folder = tempfile::Builder::new().prefix(prefix).tempdir_in("/tmp").unwrap().keep();
        self.own(&folder);
        folder
    }

    pub fn own(self, path: &Path) {
        if let Self(Some((uid, gid))) = self {
            chown(path, Some(uid), Some(gid)).unwrap();
        }
    }
}

impl Watchdog {
    /// Starts `start`; runs `stop` when the tests are gone. Both are shell commands.
    pub fn start(user: User, folder: PathBuf, start: &str, stop: &str) -> Self {
        let script = format!("{start}\ncat >/dev/null\n{stop}\nrm -rf \"$FOLDER\"\n");
        let log = fs::File::create(folder.join("watchdog.log")).unwrap();
        let mut child = user
            .command("/bin/sh")
            .args(["-c", &script])
            .env("FOLDER", &folder)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            // Ctrl-C on the tests must reach it as the end of its input, not as a signal.
            .process_group(0)
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        Self { child, input, folder }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.input.take());
        let end = Instant::now() + Duration::from_secs(15);
        while Instant::now() < end && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Runs a command to its end; panics with what it said when it fails.
pub fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    if !output.status.success() {
        let _ = std::io::stderr().write_all(&output.stderr);
        let _ = std::io::stderr().write_all(&output.stdout);
        panic!("{command:?} failed");
    }
}
