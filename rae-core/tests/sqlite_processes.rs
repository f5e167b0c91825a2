//! One file and several processes: this test runs itself as the child, which the environment tells what to do.
#![cfg(unix)]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod sqlite_support;

use futures::executor::block_on;
use rae_core::{
    ErrorKind,
    embedded::sqlite::{OpenOptions, SqliteStore},
    model::*,
    ports::*,
};
use sqlite_support::*;
use std::{
    collections::HashSet,
    io::{BufRead, BufReader, Write},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};
use uuid::Uuid;

const ROLE: &str = "RAE_TEST_SQLITE_ROLE";
const FILE: &str = "RAE_TEST_SQLITE_FILE";

fn child(role: &str, file: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "as_a_child", "--nocapture", "--test-threads=1"]).env(ROLE, role).env(FILE, file);
    command.stdout(Stdio::piped());
    command
}

/// What the child printed, without the harness's own lines.
fn lines(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    let out = BufReader::new(child.stdout.take().unwrap());
    out.lines().map_while(Result::ok).filter_map(|l| l.find("rae:").map(|at| l[at + 4..].to_owned()))
}

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nrae:{text}").unwrap();
    out.flush().unwrap();
}

#[test]
fn as_a_child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let file = PathBuf::from(std::env::var_os(FILE).unwrap());
    match role.as_str() {
        "write" => write_some(&file),
        "write-for-ever" => write_for_ever(&file),
        "spend" => spend_what_is_left(&file),
        "spend-for-ever" => spend_for_ever(&file),
        "read-only" => read_only(&file),
        "refused" => say(SqliteStore::open(OpenOptions::file(&file)).unwrap_err().code()),
        "fill" => fill(&file),
        other => panic!("{other}"),
    }
}

fn write_some(file: &Path) {
    let s = Store::file(file);
    for i in 0..60 {
        let ops: Vec<_> = (0..5).map(|j| s.put(&format!("{} {i} {j}", std::process::id()))).collect();
        for outcome in s.apply(ops).unwrap().outcomes {
            let Outcome::Put { id, .. } = outcome else { panic!("{outcome:?}") };
            say(&id.to_string());
        }
    }
    block_on(s.store.close()).unwrap();
}

#[test]
fn processes_that_write_one_fresh_file_at_once_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.rae");
    let mut children: Vec<_> = (0..3).map(|_| child("write", &file).spawn().unwrap()).collect();
    let acknowledged: HashSet<String> = children.iter_mut().flat_map(lines).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let s = Store::file(&file);
    let stored: HashSet<String> = s.all().iter().map(|m| m.id.to_string()).collect();
    assert_eq!(stored.len(), 900);
    assert_eq!(stored, acknowledged);
    assert_eq!(block_on(s.store.head(&s.ctx)).unwrap().seq, 900);
    s.assert_sound();
}

fn write_for_ever(file: &Path) {
    let s = Store::file(file);
    let vector = VectorRow { embedder: "e@1/64".into(), vector: vec![0.125; 64] };
    loop {
        let put = |_| {
            let mut m = s.memory(&"some words of a memory that is written in bulk ".repeat(4));
            m.session_id = Some("s".into());
            Op::PutMemory { memory: Box::new(m), vector: Some(vector.clone()), idempotency: None }
        };
        let applied = s.apply((0..20).map(put).collect()).unwrap();
        let Outcome::Put { id, .. } = applied.outcomes[19] else { panic!("{applied:?}") };
        say(&format!("{} {id}", applied.seq));
    }
}

#[test]
fn what_was_acknowledged_survives_kill_9_in_the_middle_of_bulk_writes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.rae");
    let mut written = 0;
    for round in 1..=4 {
        let mut child = child("write-for-ever", &file).spawn().unwrap();
        let mut out = lines(&mut child);
        let mut acknowledged: Vec<String> = out.by_ref().take(15 * round).collect();
        child.kill().unwrap();
        acknowledged.extend(out);
        child.wait().unwrap();
        let s = Store::file(&file);
        s.assert_sound();
        let all = s.all();
        let ids: HashSet<String> = all.iter().map(|m| m.id.to_string()).collect();
        for line in &acknowledged {
            let (_, id) = line.split_once(' ').unwrap();
            assert!(ids.contains(id), "{id} was acknowledged and is gone");
        }
        let last: u64 = acknowledged.last().unwrap().split_once(' ').unwrap().0.parse().unwrap();
        let head = block_on(s.store.head(&s.ctx)).unwrap().seq;
        // At most the batch in flight came on top, and only as a whole.
        assert!(head == last || head == last + 20, "{head} {last}");
        let mut seqs: Vec<_> = all.iter().map(|m| m.seq).collect();
        seqs.sort_unstable();
        assert!(seqs.into_iter().eq(1..=head), "numbers are contiguous");
        let mut places: Vec<_> = all.iter().filter_map(|m| m.seq_in_session).collect();
        places.sort_unstable();
        assert!(places.into_iter().map(u64::from).eq(0..head));
        assert!(head > written);
        written = head;
    }
}

/// The worst that a call of the tests costs.
const CALL: Amount = Amount { usd: Usd::from_micros(100), tokens: 10 };

/// A store whose clock stands still, so that no midnight comes in between.
fn still(file: &Path) -> Store {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(start()));
    Store::open(OpenOptions { clock, ..OpenOptions::file(file) })
}

fn new_reservation(s: &Store, hold: Duration) -> NewReservation {
    let (id, label, defaults) = (s.ids.next_uuid(s.now), CallLabel::default(), Limits::NONE);
    NewReservation { id, amount: CALL, hold, defaults, label, attempt: 1 }
}

fn reserve(s: &Store, hold: Duration) -> rae_core::Result<Uuid> {
    let new = new_reservation(s, hold);
    let id = new.id;
    s.apply(vec![Op::Reserve { reservation: Box::new(new) }]).map(|_| id)
}

fn settle(s: &Store, id: Uuid) {
    let cost = Amount { usd: Usd::from_micros(60), tokens: 7 };
    let settlement = Box::new(Settlement { status: CallStatus::Ok, ..Settlement::unconfirmed(cost) });
    let settled = s.apply(vec![Op::Settle { id, settlement, defaults: Limits::NONE }]).unwrap();
    assert!(matches!(settled.outcomes[0], Outcome::Funds(_)));
}

/// What the tenant spent and holds this month, and its ledger.
fn month(s: &Store) -> (Spent, CostRow) {
    let level = BudgetLevel::Tenant;
    let query = CostQuery { level, group_by: vec![], since: None, until: None, limit: 1 };
    let mut sums = block_on(s.store.costs(&s.ctx, &query)).unwrap();
    (block_on(s.store.funds(&s.ctx, &Limits::NONE)).unwrap().tenant.month, sums.remove(0))
}

fn spend_what_is_left(file: &Path) {
    let s = still(file);
    loop {
        match reserve(&s, Duration::from_secs(3_600)) {
            Ok(id) => say(&id.to_string()),
            Err(error) => {
                assert_eq!(error.code(), "monthly_usd_budget_exceeded");
                break;
            }
        }
    }
    block_on(s.store.close()).unwrap();
}

#[test]
fn processes_that_spend_at_once_never_pass_a_limit_together() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.rae");
    let s = still(&file);
    let limits = [None, Some(Some(30_050)), None, None];
    let change = BudgetChange { limits, ..BudgetChange::default() };
    s.apply(vec![Op::SetBudget { level: BudgetLevel::Tenant, change }]).unwrap();
    let mut children: Vec<_> = (0..3).map(|_| child("spend", &file).spawn().unwrap()).collect();
    let held: HashSet<String> = children.iter_mut().flat_map(lines).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(held.len(), 300, "as many as the limit has room for, from all three together");
    let wanted = Amount { usd: Usd::from_micros(30_000), tokens: 3_000 };
    assert_eq!(month(&s).0, Spent { used: Amount::default(), reserved: wanted });
    s.assert_sound();
}

fn spend_for_ever(file: &Path) {
    let s = still(file);
    loop {
        let id = reserve(&s, Duration::from_secs(3_600)).unwrap();
        s.apply(vec![Op::MarkSent { id }]).unwrap();
        // These two run out at once: the next reserve gives the first back and books the second.
        reserve(&s, Duration::ZERO).unwrap();
        let lost = new_reservation(&s, Duration::ZERO);
        let sent = Op::MarkSent { id: lost.id };
        s.apply(vec![Op::Reserve { reservation: Box::new(lost) }, sent]).unwrap();
        settle(&s, id);
        say("settled");
    }
}

#[test]
fn after_kill_9_in_the_middle_of_spending_the_sums_are_those_of_the_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.rae");
    let mut booked = 0;
    for round in 1..=4 {
        let mut child = child("spend-for-ever", &file).spawn().unwrap();
        let mut out = lines(&mut child);
        let mut settled = out.by_ref().take(10 * round).count();
        child.kill().unwrap();
        settled += out.count();
        child.wait().unwrap();
        let s = still(&file);
        s.assert_sound();
        let (spent, ledger) = month(&s);
        assert_eq!((spent.used.usd, spent.used.tokens), (ledger.cost_usd, ledger.usage.total()));
        assert!(ledger.calls >= booked + settled as u64, "what was acknowledged is booked: {ledger:?}");
        // What ran out is given back, or booked where it was sent; each process that died held one call more.
        s.apply(vec![Op::ExpireReservations]).unwrap();
        s.assert_sound();
        let (spent, ledger) = month(&s);
        assert_eq!((spent.used.usd, spent.used.tokens), (ledger.cost_usd, ledger.usage.total()));
        assert!(spent.reserved.tokens <= CALL.tokens * round as u64, "{spent:?}");
        booked = ledger.calls;
    }
}

fn is_root() -> bool {
    // Only root may write to a file whose mode forbids it.
    let probe = tempfile::NamedTempFile::new().unwrap();
    std::fs::set_permissions(probe.path(), std::fs::Permissions::from_mode(0o400)).unwrap();
    std::fs::OpenOptions::new().write(true).open(probe.path()).is_ok()
}

fn read_only(file: &Path) {
    let s = Store::file(file);
    assert!(s.store.capability().read_only);
    assert_eq!(s.all().len(), 10);
    assert_eq!(block_on(s.store.stats(&s.ctx)).unwrap().memories, 10);
    let error = s.apply(vec![s.put("b")]).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::PermissionDenied, "read_only"));
    block_on(s.store.close()).unwrap();
    say("done");
}

/// Runs the child without the rights of root, which no permission stops.
fn as_nobody(mut command: Command) -> Vec<String> {
    if is_root() {
        command.uid(65_534).gid(65_534);
    }
    let mut child = command.spawn().unwrap();
    let said = lines(&mut child).collect();
    assert!(child.wait().unwrap().success());
    said
}

fn copy_of_the_test() -> tempfile::TempDir {
    tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o755)).tempdir().unwrap()
}

#[test]
fn a_file_or_folder_that_may_not_be_written_opens_read_only() {
    let folder = copy_of_the_test();
    let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    // Another user must be able to run this test itself.
    let program = folder.path().join("program");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let run = |role: &str, file: &Path| {
        let mut command = Command::new(&program);
        command.args(["--exact", "as_a_child", "--nocapture", "--test-threads=1"]).env(ROLE, role).env(FILE, file);
        command.stdout(Stdio::piped()).current_dir("/");
        as_nobody(command)
    };
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    let file = inner.join("a?%41.rae");
    let s = Store::file(&file);
    s.apply((0..10).map(|i| s.put(&i.to_string())).collect()).unwrap();
    block_on(s.store.close()).unwrap();
    let before = std::fs::read(&file).unwrap();
    for (file_mode, folder_mode) in [(0o444, 0o777), (0o444, 0o555), (0o666, 0o555)] {
        mode(&file, file_mode);
        mode(&inner, folder_mode);
        assert_eq!(run("read-only", &file), ["done"], "{file_mode:o} in {folder_mode:o}");
    }
    assert!(std::fs::read(&file).unwrap() == before);
    assert_eq!(run("refused", &inner.join("new.rae")), ["no_permission"], "nothing can be made there");
    mode(&file, 0o000);
    assert_eq!(run("refused", &file), ["no_permission"]);
    mode(&inner, 0o755);
}

fn fill(file: &Path) {
    let s = Store::file(file);
    let mut written = 0;
    let error = loop {
        match s.apply(vec![s.put(&format!("{written} {}", "x".repeat(20_000)))]) {
            Ok(_) => written += 1,
            Err(e) => break e,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    // What was acknowledged is there, and reading goes on.
    assert_eq!(s.all().len(), written);
    s.assert_sound();
    say(&format!("{written} {}", error.code()));
}

#[test]
fn a_file_that_can_grow_no_more_keeps_what_was_acknowledged() {
    // The limit on the size of files stands in for a full disk: it needs no rights and no mount. Its signal is
    // ignored, so that writing fails instead.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.rae");
    let program = child("fill", &file);
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "trap '' XFSZ; ulimit -f 4000; exec \"$0\" \"$@\""])
        .arg(program.get_program())
        .args(program.get_args());
    limited.env(ROLE, "fill").env(FILE, &file).stdout(Stdio::piped());
    let mut child = limited.spawn().unwrap();
    let said: Vec<_> = lines(&mut child).collect();
    assert!(child.wait().unwrap().success());
    let (written, code) = said[0].split_once(' ').unwrap();
    assert!(["io_error", "disk_full"].contains(&code), "{code}");
    let s = Store::file(&file);
    let written: usize = written.parse().unwrap();
    assert!(written > 10);
    // A batch whose commit failed may still have reached the log as a whole: its id makes a retry safe.
    assert!([written, written + 1].contains(&s.all().len()));
    s.assert_sound();
}
