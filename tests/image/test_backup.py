"""The chart's backup, run: the rendered Job against a PostgreSQL that a real server filled, and the runbook's restore."""

import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import chart
import fakes
import pytest
import support
import yaml
from support import ask, wait

TENANT = {"X-Tenant-ID": "acme"}
TEXTS = ["The ferry leaves at ten past seven.", "The lighthouse keeper is called Marta."]
RUNBOOK = chart.dockerfile.ROOT / "docs/runbooks/backup-restore.md"
SECRETS = {
    "postgresql-password": "of the tests",
    "qdrant-api-key": "of qdrant",
    "access-key-id": "AKIATEST",
    "secret-access-key": "a/secret+of=s3",
}


@contextlib.contextmanager
def served(image, port: int, database: str):
    """An api process on a database."""
    store = {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "rae", "PGPASSWORD": "of the tests"}
    store |= {"PGDATABASE": database, "RAE_PORT": str(support.free_port())}
    migrated = image.run("migrate", env=store)
    assert migrated.returncode == 0, migrated.stderr
    running = image.start("api", env=store)
    try:
        http = int(store["RAE_PORT"])
        wait("ready", lambda: running.process.poll() is not None or ask(http, "/health/ready")[0] == 200)
        assert running.process.poll() is None, running.text()
        yield http
        running.signal(15)
        assert running.process.wait(40) == 0
    finally:
        if running.process.poll() is None:
            running.process.kill()


@pytest.fixture(scope="module")
def filled(image):
    """A PostgreSQL with memories: its port and its programs."""
    with support.postgres() as (port, programs):
        support.psql(programs, port, "postgres", "CREATE DATABASE rae_memory")
        with served(image, port, "rae_memory") as http:
            for text in TEXTS:
                assert ask(http, "/v1/memories", "POST", {"content": text}, TENANT)[0] in (200, 201)
        yield port, programs


@pytest.fixture
def folder():
    with chart.folder() as place:
        yield place


class Backup:
    """The Job's pod on this machine."""

    def __init__(self, image, filled, folder, more=None, **values):
        self.image, (self.port, programs) = image, filled
        objects = chart.render({"backup": {"enabled": True, **values}, **(more or {})})
        cron = chart.pick(objects, "CronJob", "rae-memory-backup")["spec"]
        spec = cron["jobTemplate"]["spec"]["template"]["spec"]
        self.pod = chart.Pod(objects, spec, SECRETS, folder, [str(programs)])
        [self.dump], [self.keep] = spec["initContainers"], spec["containers"]
        self.kept = self.pod.volumes["backups"]

    def run_dump(self, env=None):
        where = {"PGHOST": "127.0.0.1", "PGPORT": str(self.port)}
        return self.pod.run(self.dump, env={**where, **(env or {})}, network=True)

    def run_keep(self, env):
        # In the image of RAE, with its curl.
        return self.pod.run(self.keep, env=env, root=self.image.root, network=True)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.kept.iterdir() if path.name != ".work")


def well(done: subprocess.CompletedProcess) -> str:
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    return done.stdout


def restore_script() -> str:
    text = RUNBOOK.read_text()
    return re.search(r"<!-- restore -->\n```bash\n(.*?)```\n<!-- /restore -->", text, re.S)[1]


def restore(filled, place, database: str) -> subprocess.CompletedProcess:
    port, programs = filled
    env = {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "rae", "PGPASSWORD": "of the tests"}
    env |= {"PGDATABASE": database, "BACKUP": str(place), "PATH": f"{programs}:/usr/bin:/bin"}
    return subprocess.run(["bash", "-s"], input=restore_script(), capture_output=True, text=True, env=env)


def test_a_backup_is_restored_by_the_runbook_and_recalled(image, filled, folder):
    backup = Backup(image, filled, folder)
    assert backup.pod.uid == 1000
    assert "dumped rae_memory" in well(backup.run_dump())
    collections = {"rae_one": b"vectors of one", "rae_two": b"vectors of two"}
    with fakes.qdrant("of qdrant", collections) as (url, left):
        told = well(backup.run_keep({"QDRANT_URL": url}))
    assert "kept /backups/" in told and not left, "snapshots are not left behind on Qdrant"
    [name] = backup.names()
    assert re.fullmatch(r"\d{8}T\d{6}Z", name) and not (backup.kept / ".work").exists()
    kept = backup.kept / name
    assert kept.stat().st_mode & 0o077 == 0, "a dump holds memories"
    for collection, content in collections.items():
        assert (kept / f"qdrant/{collection}.snapshot").read_bytes() == content
    listed = {line[66:] for line in (kept / "SHA256SUMS").read_text().splitlines()}
    assert listed == {"rae.dump", "contents.txt", "server.txt", "qdrant/rae_one.snapshot", "qdrant/rae_two.snapshot"}

    # Into a server where the database is empty, as after a loss.
    with support.postgres() as lost:
        told = well(restore(lost, kept, "rae_memory"))
        assert "restored" in told
        with served(image, lost[0], "rae_memory") as http:
            for query, word in {
                "When does the ferry leave?": "ten past seven",
                "Who keeps the lighthouse?": "Marta",
            }.items():
                status, found = ask(http, "/v1/memories/recall", "POST", {"query": query}, TENANT)
                assert status == 200 and word in found
            # Rows are still guarded: another tenant sees nothing.
            found = ask(http, "/v1/memories/recall", "POST", {"query": "ferry"}, {"X-Tenant-ID": "other"})
            assert "ferry leaves" not in found[1]
            # And it is a store to write to.
            assert ask(http, "/v1/memories", "POST", {"content": "A new one."}, TENANT)[0] in (200, 201)


def test_a_restore_beside_a_live_database_keeps_the_old_one(image, filled, folder):
    backup = Backup(image, filled, folder, qdrantSnapshots=False)
    well(backup.run_dump())
    well(backup.run_keep({}))
    kept = backup.kept / backup.names()[0]
    port, programs = filled
    support.psql(programs, port, "postgres", "CREATE DATABASE live")
    with served(image, port, "live") as http:
        assert ask(http, "/v1/memories", "POST", {"content": "Only in the live one."}, TENANT)[0] in (200, 201)
        # While somebody is connected, nothing happens to it.
        refused = restore(filled, kept, "live")
        assert refused.returncode != 0 and "being accessed by other users" in refused.stderr
    support.psql(programs, port, "postgres", "DROP DATABASE rae_restored")
    well(restore(filled, kept, "live"))
    databases = support.psql(programs, port, "postgres", "SELECT datname FROM pg_database").split()
    assert {"live", "live_before_restore"} <= set(databases)
    count = "SELECT count(*) FROM rae.memories"
    assert support.psql(programs, port, "live", count) == "2"
    assert support.psql(programs, port, "live_before_restore", count) == "1"


def test_the_restore_of_the_chart_s_readme(image, filled, folder):
    """Into the live database itself, all or nothing."""
    command = re.search(r"^ *(pg_restore -U rae -d rae_memory .*)$", (chart.CHART / "README.md").read_text(), re.M)[1]
    backup = Backup(image, filled, folder, qdrantSnapshots=False)
    well(backup.run_dump())
    well(backup.run_keep({}))
    port, programs = filled
    support.psql(programs, port, "postgres", "CREATE DATABASE replaced")
    with served(image, port, "replaced") as http:
        assert ask(http, "/v1/memories", "POST", {"content": "Of after the backup."}, TENANT)[0] in (200, 201)
    words = command.replace("-d rae_memory", "-d replaced").split()
    env = {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGPASSWORD": "of the tests"}
    with (backup.kept / backup.names()[0] / "rae.dump").open("rb") as dump:
        done = subprocess.run([programs / words[0], *words[1:]], stdin=dump, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    with served(image, port, "replaced") as http:
        found = ask(http, "/v1/memories/recall", "POST", {"query": "When does the ferry leave?"}, TENANT)[1]
        assert "ten past seven" in found and "after the backup" not in found


def test_a_damaged_backup_is_not_restored(image, filled, folder):
    backup = Backup(image, filled, folder, qdrantSnapshots=False)
    well(backup.run_dump())
    well(backup.run_keep({}))
    kept = backup.kept / backup.names()[0]
    with (kept / "rae.dump").open("r+b") as file:
        file.seek(100)
        file.write(b"damaged")
    done = restore(filled, kept, "rae_memory")
    assert done.returncode != 0 and "rae.dump: FAILED" in done.stdout
    port, programs = filled
    assert support.psql(programs, port, "rae_memory", "SELECT count(*) FROM rae.memories") == "2"


def test_only_so_many_are_kept(image, filled, folder):
    backup = Backup(image, filled, folder, qdrantSnapshots=False, retention=3)
    for day in range(1, 6):
        old = backup.kept / f"2026010{day}T020000Z"
        old.mkdir()
        os.chown(old, 1000, 1000)
    (backup.kept / "of somebody else").mkdir()
    well(backup.run_dump())
    told = well(backup.run_keep({}))
    assert told.count("removed") == 3
    old = [name for name in backup.names() if name.startswith("202601")]
    assert old == ["20260104T020000Z", "20260105T020000Z"] and "of somebody else" in backup.names()
    assert len(backup.names()) == 4


def test_the_dump_is_kept_when_qdrant_fails_and_the_job_fails(image, filled, folder):
    backup = Backup(image, filled, folder)
    well(backup.run_dump())
    with fakes.qdrant("another key", {"rae_one": b""}) as (url, _):
        done = backup.run_keep({"QDRANT_URL": url})
    assert done.returncode == 1 and "the dump is kept without them" in done.stderr
    [name] = backup.names()
    assert (backup.kept / name / "rae.dump").stat().st_size > 1000 and not (backup.kept / name / "qdrant").exists()


@pytest.mark.parametrize("pieces", [False, True])
def test_a_backup_goes_to_s3_signed_and_whole(image, filled, folder, pieces):
    s3 = {"bucket": "backups", "region": "eu-central-1", "existingSecret": "s3", "prefix": "rae/prod"}
    backup = Backup(image, filled, folder, destination="s3", s3=s3, qdrantSnapshots=False)
    well(backup.run_dump())
    dump = (backup.kept / ".work/rae.dump").read_bytes()
    with fakes.s3("AKIATEST", SECRETS["secret-access-key"], "eu-central-1") as (url, objects):
        env = {"S3_URL": f"{url}/backups", **({"S3_PIECE_BYTES": "20000"} if pieces else {})}
        well(backup.run_keep(env))
        assert not (backup.kept / ".work").exists()
        # A wrong key is refused, and the Job says so.
        well(backup.run_dump())
        assert backup.run_keep({**env, "S3_SECRET_ACCESS_KEY": "wrong"}).returncode != 0
    [sums] = [path for path in objects if path.endswith("/SHA256SUMS")]
    prefix = sums.removesuffix("SHA256SUMS")
    assert re.fullmatch(r"/backups/rae/prod/\d{8}T\d{6}Z/", prefix)
    parts = sorted(path for path in objects if path.startswith(f"{prefix}rae.dump"))
    assert (len(parts) > 1) is pieces
    whole = b"".join(objects[part] for part in parts)
    assert whole == dump and hashlib.sha256(whole).hexdigest() in objects[sums].decode()


def test_the_address_of_the_app_s_secret_works_too(image, filled, folder):
    backup = Backup(image, filled, folder, {"postgresql": {"enabled": False}}, qdrantSnapshots=False)
    port, programs = filled
    statement = """CREATE ROLE "o'n e" LOGIN SUPERUSER PASSWORD 'p@ss/w%rd:#'"""
    support.psql(programs, port, "postgres", statement)
    url = f"postgresql://o%27n%20e:p%40ss%2Fw%25rd%3A%23@127.0.0.1:{port}/rae_memory?sslmode=disable"
    told = well(backup.run_dump({"DATABASE_URL": url, "PGHOST": "nowhere.invalid", "PGPASSWORD": "wrong"}))
    assert "dumped rae_memory of 127.0.0.1" in told
    assert backup.run_dump({"DATABASE_URL": "mysql://a:b@c/d"}).returncode != 0
    support.psql(programs, port, "postgres", """DROP ROLE "o'n e" """)


def test_the_owner_dumps_where_the_server_is_only_a_member(image, filled, folder):
    """The server may serve as a member of rae_app, which may not read all; the dump is then the owner's, also beside an address."""
    port, programs = filled
    for statement in (
        "CREATE ROLE owner LOGIN NOSUPERUSER PASSWORD 'of the tests'",
        "GRANT rae_app TO owner",
        "CREATE DATABASE owned OWNER owner",
        "CREATE ROLE member LOGIN IN ROLE rae_app PASSWORD 'of member'",
    ):
        support.psql(programs, port, "postgres", statement)
    store = {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "owner", "PGPASSWORD": "of the tests"}
    migrated = image.run("migrate", env={**store, "PGDATABASE": "owned"})
    assert migrated.returncode == 0, migrated.stderr
    url = {"DATABASE_URL": f"postgresql://member:of%20member@127.0.0.1:{port}/owned"}
    external = {"postgresql": {"enabled": False}}
    refused = Backup(image, filled, folder, external, qdrantSnapshots=False).run_dump(url)
    assert refused.returncode != 0 and "permission denied" in refused.stderr
    reference = {"secretKeyRef": {"name": "rae-owner", "key": "postgresql-password"}}
    owner = [{"name": "PGUSER", "value": "owner"}, {"name": "PGPASSWORD", "valueFrom": reference}]
    backup = Backup(image, filled, folder, external, qdrantSnapshots=False, extraEnv=owner)
    assert "dumped owned" in well(backup.run_dump(url))
    # Without a name of the database it is that of the address's user, as ever.
    unnamed = backup.run_dump({"DATABASE_URL": url["DATABASE_URL"].removesuffix("/owned")})
    assert 'database "member" does not exist' in unnamed.stderr


def test_a_database_without_memories_is_no_backup(image, filled, folder):
    backup = Backup(image, filled, folder, qdrantSnapshots=False)
    done = backup.run_dump({"PGDATABASE": "postgres"})
    assert done.returncode != 0 and "no table of RAE" in done.stderr


def test_no_secret_is_in_the_job_s_arguments(image, filled, folder):
    backup = Backup(image, filled, folder)
    for one in (backup.dump, backup.keep):
        assert one["command"][1:] in (["/scripts/dump.sh"], ["/scripts/keep.sh"]) and "args" not in one
        plain = [variable["value"] for variable in one["env"] if "value" in variable]
        assert not set(plain) & set(SECRETS.values())


@pytest.mark.parametrize("name", ["dump.sh", "keep.sh"])
def test_the_scripts_pass_shellcheck(name):
    shell = "bash" if name == "dump.sh" else "sh"
    program = Path(sys.executable).with_name("shellcheck")
    script = chart.CHART / "files/backup" / name
    done = subprocess.run([program, f"--shell={shell}", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_runbook_s_pod_is_one_of_this_chart():
    text = re.search(r"```yaml\n(# restore-pod.yaml.*?)```", RUNBOOK.read_text(), re.S)[1]
    pod = yaml.safe_load(text)
    objects = chart.render({"backup": {"enabled": True}})
    [mounted] = [
        v["persistentVolumeClaim"]["claimName"] for v in pod["spec"]["volumes"] if "persistentVolumeClaim" in v
    ]
    assert chart.pick(objects, "PersistentVolumeClaim", mounted)
    env = {
        one["name"]: one.get("value") or one["valueFrom"]["secretKeyRef"] for one in pod["spec"]["containers"][0]["env"]
    }
    assert chart.pick(objects, "Service", env["PGHOST"])
    secret = env["PGPASSWORD"]
    assert secret["key"] in chart.pick(objects, "Secret", secret["name"])["data"]
    # The policy of the database lets its labels in, and they have a way out.
    [rule] = chart.pick(objects, "NetworkPolicy", env["PGHOST"])["spec"]["ingress"]
    labels = pod["metadata"]["labels"]
    assert any(peer["podSelector"]["matchLabels"].items() <= labels.items() for peer in rule["from"])
    # What the profile "restricted" asks for, and what the chart's own pods have.
    whole, one = pod["spec"]["securityContext"], pod["spec"]["containers"][0]["securityContext"]
    assert whole["runAsNonRoot"] and whole["seccompProfile"] == {"type": "RuntimeDefault"}
    assert one == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert pod["spec"]["containers"][0]["image"] == "postgres:17"


def test_the_runbook_lets_go_of_the_vectors(image):
    text = re.search(r"--overrides='(\{.*?\})'\n", RUNBOOK.read_text(), re.S)[1]
    [one] = json.loads(text.replace("\n", " "))["spec"]["containers"]
    collections = {"rae_one": b"", "rae_two": b""}
    with fakes.qdrant("of qdrant", collections) as (url, _):
        script = one["command"][2].replace("http://rae-memory-qdrant:6333", url)
        done = image.run(*one["command"][:2], script, env={"KEY": "of qdrant"}, entry=False)
    assert done.returncode == 0, done.stderr
    assert collections == {}, "only those of RAE, and all of them"
