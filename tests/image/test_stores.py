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
    pod, one = pod_of(kind, "rae-memory-postgresql", {"postgresql-password": PASSWORD}, folder, [programs])
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
    assert not list(pod.volumes["data"].iterdir()), "nothing is kept"


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
