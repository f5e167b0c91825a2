"""The containers of PostgreSQL and Redis as the chart and the compose file start them, with the programs of this machine."""

import signal
import subprocess
from pathlib import Path

import chart
import pytest
import support
from support import wait

# What a shell or a file of settings could trip over.
PASSWORD = "a\"b\\c d$e'f`g%h"


def values(kind: str) -> dict:
    return {
        "postgresql": {
            "primary": {
                "kind": kind,
                "extendedConfiguration": "work_mem = '7MB'\nmax_connections = 77",
                "initdb": {"scripts": {"own.sql": "CREATE TABLE own ();"}},
            }
        },
        "redis": {"master": {"kind": kind, "extendedConfiguration": "hz 42"}},
    }


@pytest.fixture
def folder():
    with chart.folder() as place:
        yield place


def entrypoint(folder: Path) -> Path:
    """In place of the image's own: it ends in the command that it was given, as that one does. test_stores prepares the volume."""
    place = folder / "entrypoint"
    place.mkdir(exist_ok=True)
    program = place / "docker-entrypoint.sh"
    program.write_text('#!/bin/sh\nexec "$@"\n')
    program.chmod(0o755)
    return place


def pod_of(kind: str, name: str, secrets: dict, folder: Path, programs=(), more=None) -> tuple[chart.Pod, dict]:
    objects = chart.render({**values(kind), **(more or {})})
    spec = chart.pick(objects, kind, name)["spec"]["template"]["spec"]
    return chart.Pod(objects, spec, secrets, folder, [str(p) for p in programs]), spec["containers"][0]


def prepare(pod: chart.Pod, one: dict) -> None:
    """What the image's entrypoint does on an empty volume: initdb with the variables, the database, and who may come by network."""
    env = pod.environment(one)
    script = """
      printf %s "$POSTGRES_PASSWORD" > /tmp/password
      mkdir -p "$PGDATA"
      initdb --username="$POSTGRES_USER" --pwfile=/tmp/password $POSTGRES_INITDB_ARGS --no-sync > /tmp/log
      method=$(postgres -C password_encryption -c config_file=/etc/rae/postgresql.conf)
      echo "host all all all $method" >> "$PGDATA/pg_hba.conf"
      pg_ctl -D "$PGDATA" -w -o "-c listen_addresses='' -c config_file=/etc/rae/postgresql.conf" start >> /tmp/log
      psql -v ON_ERROR_STOP=1 --no-password -U "$POSTGRES_USER" -d postgres -c "CREATE DATABASE $POSTGRES_DB"
      for file in /docker-entrypoint-initdb.d/*.sql; do
        psql -v ON_ERROR_STOP=1 --no-password -U "$POSTGRES_USER" -d "$POSTGRES_DB" -f "$file"
      done
      pg_ctl -D "$PGDATA" -m fast -w stop >> /tmp/log
    """
    assert env["POSTGRES_PASSWORD"] == PASSWORD
    done = pod.run(one, ["/bin/bash", "-euc", script])
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_s101_s109_postgresql_starts_as_the_chart_says(folder, kind):
    programs = support.postgres_programs()
    pod, one = postgresql(kind, folder)
    assert pod.uid == 999 and one["env"]
    prepare(pod, one)
    # The image stops it by SIGINT.
    with pod.running(one, stop=signal.SIGINT) as execute:
        pod.probed(one, execute)
        for name in ("readinessProbe", "livenessProbe"):
            pod.probed(one, execute, name)
        # The seed's command, on the local socket, asks for no password.
        shown = execute("psql", "-w", "-U", "rae", "-d", "rae_memory", "-Atc", "SELECT current_user", env=False)
        assert shown.stdout == "rae\n", shown.stderr
        tcp = ("psql", "-w", "-h", "127.0.0.1", "-U", "rae", "-d", "rae_memory", "-Atc", "SELECT 1")
        refused = execute(*tcp, env=False)
        assert refused.returncode != 0 and "no password" in refused.stderr
        with_password = execute("env", f"PGPASSWORD={PASSWORD}", *tcp, env=False)
        assert with_password.stdout == "1\n", with_password.stderr

        def setting(name):
            return execute("psql", "-U", "rae", "-d", "rae_memory", "-Atc", f"SHOW {name}", env=False).stdout.strip()

        assert setting("work_mem") == "7MB" and setting("max_connections") == "77", "your lines come last"
        assert setting("listen_addresses") == "*" and setting("data_checksums") == "on"
        assert setting("server_encoding") == "UTF8" and setting("data_directory") == "/var/lib/postgresql/data/pgdata"
        assert setting("shared_buffers") == "256MB"
        tables = execute("psql", "-U", "rae", "-d", "rae_memory", "-Atc", r"\dt own", env=False).stdout
        assert "own" in tables, "the scripts of initdb ran"
        # The folders of the pod are the only ones that are written.
        assert execute("touch", "/usr/file", "/etc/file").returncode != 0
        # A session that stays open does not hold up the stop.
        sleeping = subprocess.Popen(
            [
                *["nsenter", f"--target={execute.pid}", "--mount", "--net", "--", programs / "psql"],
                *["-h", "/var/run/postgresql", "-U", "rae", "-d", "rae_memory", "-c", "SELECT pg_sleep(600)"],
            ],
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        count = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'"
        asked = ("psql", "-U", "rae", "-d", "rae_memory", "-Atc", count)
        wait("the session", lambda: execute(*asked, env=False).stdout == "1\n")
    assert sleeping.wait(30) != 0
    # What was written is there after a new start.
    with pod.running(one, stop=signal.SIGINT) as execute:
        pod.probed(one, execute)


def postgresql(kind: str, folder: Path) -> tuple[chart.Pod, dict]:
    programs = [support.postgres_programs(), "/entrypoint"]
    pod, one = pod_of(kind, "rae-memory-postgresql", {"postgresql-password": PASSWORD}, folder, programs)
    pod.files["/entrypoint"] = entrypoint(folder)
    return pod, one


def refused(pod: chart.Pod, one: dict) -> None:
    """A second pod on the same volume, in namespaces of its own, ends and touches nothing."""
    second = pod.run(one)
    assert second.returncode == 1, f"{second.stdout}{second.stderr}"
    assert "another server runs on this volume" in second.stderr


def test_no_second_postgresql_on_one_volume(folder):
    """A rollback across a change of the kind starts the new pod before the old one is gone. PostgreSQL's own lock does not see a
    server of another container, as both are process 1."""
    pod, one = postgresql("Deployment", folder)
    prepare(pod, one)
    other = pod_of("StatefulSet", "rae-memory-postgresql", {"postgresql-password": PASSWORD}, folder)[1]
    with pod.running(one, stop=signal.SIGINT) as execute:
        pod.probed(one, execute)
        refused(pod, other)
        pod.probed(one, execute, "readinessProbe")
    # The lock goes with the server, also where it was killed.
    with pod.running(other, stop=signal.SIGINT) as execute:
        pod.probed(other, execute)


@pytest.mark.parametrize("auth", [True, False])
def test_no_second_redis_on_one_volume(folder, auth):
    program = Path(support.redis_program()).parent
    secrets = {"redis-password": PASSWORD} if auth else {}
    more = {"redis": {"auth": {"enabled": auth}}}
    pod, one = pod_of("Deployment", "rae-memory-redis-master", secrets, folder, [program], more)
    with pod.running(one) as execute:
        pod.probed(one, execute)
        refused(pod, one)
    with pod.running(one) as execute:
        pod.probed(one, execute)


def test_recovery_of_postgresql_is_no_reason_to_kill_it(folder):
    """pg_isready ends with 1 while the server says that it starts up, and with 2 where nobody answers."""
    _, one = postgresql("Deployment", folder)
    programs = folder / "fakes"
    programs.mkdir()
    for name, taken in {"startupProbe": {0, 1}, "livenessProbe": {0, 1}, "readinessProbe": {0}}.items():
        for code in (0, 1, 2, 3):
            fake = programs / "pg_isready"
            fake.write_text(f"#!/bin/sh\nexit {code}\n")
            fake.chmod(0o755)
            done = subprocess.run(one[name]["exec"]["command"], env={"PATH": f"{programs}:/usr/bin:/bin"})
            assert (done.returncode == 0) == (code in taken), (name, code)


def redis_answers(execute, *words, env=True):
    return execute("redis-cli", *words, env=env).stdout.strip()


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_s101_s110_redis_starts_as_the_chart_says(folder, kind):
    program = Path(support.redis_program()).parent
    pod, one = pod_of(kind, "rae-memory-redis-master", {"redis-password": PASSWORD}, folder, [program])
    assert pod.uid == 999
    with pod.running(one) as execute:
        for name in ("startupProbe", "readinessProbe", "livenessProbe"):
            pod.probed(one, execute, name)
        # The seed's command.
        assert redis_answers(execute, "ping") == "PONG"
        assert "NOAUTH" in redis_answers(execute, "ping", env=False)
        line = Path(f"/proc/{execute.pid}/cmdline").read_bytes().decode()
        assert line.startswith("redis-server"), "the server itself is process 1, and gets the signals"
        assert 'a"b' not in line and PASSWORD not in line
        assert redis_answers(execute, "CONFIG", "GET", "requirepass").split("\n")[1] == PASSWORD
        assert redis_answers(execute, "CONFIG", "GET", "appendonly").endswith("yes")
        assert redis_answers(execute, "CONFIG", "GET", "hz").endswith("42")
        assert redis_answers(execute, "CONFIG", "GET", "maxmemory-policy").endswith("allkeys-lru")
        assert redis_answers(execute, "SET", "key", "kept") == "OK"
    assert any((pod.volumes["data"] / "appendonlydir").iterdir())
    with pod.running(one) as execute:
        pod.probed(one, execute)
        assert redis_answers(execute, "GET", "key") == "kept"


def test_redis_without_a_password(folder):
    program = Path(support.redis_program()).parent
    more = {"redis": {"auth": {"enabled": False}, "master": {"appendonly": False}}}
    pod, one = pod_of("Deployment", "rae-memory-redis-master", {}, folder, [program], more)
    with pod.running(one) as execute:
        pod.probed(one, execute)
        assert redis_answers(execute, "SET", "key", "lost") == "OK"
    assert [found.name for found in pod.volumes["data"].iterdir()] == [".lock"], "nothing is kept"


def test_redis_of_the_compose_file_takes_its_password(folder):
    import yaml

    service = yaml.safe_load((chart.dockerfile.ROOT / "docker-compose.yml").read_text())["services"]["redis"]
    program = Path(support.redis_program()).parent
    spec = {
        "securityContext": {"runAsUser": 999, "runAsGroup": 999, "fsGroup": 999},
        "volumes": [{"name": "data", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}],
    }
    one = {
        "command": [*service["entrypoint"], *(text.replace("$$", "$") for text in service["command"])],
        "env": [{"name": name, "value": PASSWORD} for name in service["environment"]],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "tmp", "mountPath": "/tmp"}],
    }
    pod = chart.Pod([], spec, {}, folder, [str(program)])
    with pod.running(one) as execute:
        wait("PONG", lambda: redis_answers(execute, "ping") == "PONG")
        assert "NOAUTH" in redis_answers(execute, "ping", env=False)
