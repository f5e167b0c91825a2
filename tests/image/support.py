"""Servers for these tests: PostgreSQL and Redis in folders of their own, on free ports of the loopback address."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

UID = 1000  # of the image; PostgreSQL does not run as root, and these tests may
LIMIT = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait(what: str, check, limit: float = LIMIT):
    """The first true answer of `check`; connections that are refused count as no."""
    end = time.monotonic() + limit
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if found := check():
                return found
        assert time.monotonic() < end, f"{what}: not within {limit:.0f} s"
        time.sleep(0.05)


def ask(port: int, path: str, method="GET", body=None, headers=None, limit=30):
    """Status and body of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=limit)
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def as_user(uid: int = UID) -> dict:
    """For subprocess: another user than root, where this is root."""
    return {"user": uid, "group": uid, "extra_groups": []} if os.geteuid() == 0 else {}


def owned(prefix: str, uid: int = UID, mode: int = 0o700) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    folder.chmod(mode)
    if os.geteuid() == 0:
        os.chown(folder, uid, uid)
    return folder


def postgres_programs() -> Path:
    named = os.environ.get("RAE_TEST_PG_BIN")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    if not named and not found:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql, or set RAE_TEST_PG_BIN")
    return Path(named) if named else found[-1].parent


def redis_program() -> str:
    found = os.environ.get("RAE_TEST_REDIS_SERVER") or shutil.which("redis-server")
    if not found:
        pytest.skip("Redis is not installed: apt-get install redis-server, or set RAE_TEST_REDIS_SERVER")
    return found


def server_binary() -> Path:
    named = os.environ.get("RAE_TEST_SERVER_BINARY")
    if not named:
        pytest.skip("no rae-server to test: set RAE_TEST_SERVER_BINARY to the program")
    return Path(named).resolve()


def end(process: subprocess.Popen, by=signal.SIGTERM, limit: float = 30) -> int:
    if process.poll() is None:
        process.send_signal(by)
    try:
        return process.wait(limit)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


@contextlib.contextmanager
def postgres(password: str = "of the tests"):
    """A cluster with the user rae, who has a password and may do everything. Yields its port and the folder of its programs."""
    programs, folder, port = postgres_programs(), owned("rae-image-pg-"), free_port()
    secret = folder / "password"
    secret.write_text(password)
    secret.chmod(0o644)
    initdb = [programs / "initdb", "-D", folder / "data", "-U", "rae", f"--pwfile={secret}", "--auth=scram-sha-256"]
    subprocess.run(
        [*initdb, "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"],
        check=True,
        stdout=subprocess.DEVNULL,
        **as_user(),
    )
    log = (folder / "log").open("w")
    options = ["-p", str(port), "-k", str(folder), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
    process = subprocess.Popen([programs / "postgres", "-D", folder / "data", *options], stderr=log, **as_user())
    try:
        ready = [programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
        wait("PostgreSQL", lambda: subprocess.run(ready).returncode == 0)
        yield port, programs
    finally:
        end(process, signal.SIGQUIT)
        shutil.rmtree(folder, ignore_errors=True)


def psql(programs: Path, port: int, database: str, statement: str, password="of the tests") -> str:
    command = [programs / "psql", "-h", "127.0.0.1", "-p", str(port), "-U", "rae", "-d", database, "-Atqc", statement]
    done = subprocess.run(command, env={"PGPASSWORD": password}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@contextlib.contextmanager
def redis(password: str = "of the tests"):
    port = free_port()
    settings = f'bind 127.0.0.1\nport {port}\nsave ""\nrequirepass "{password}"\n'
    process = subprocess.Popen(
        [redis_program(), "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, **as_user()
    )
    process.stdin.write(settings)
    process.stdin.close()
    try:
        wait("Redis", lambda: socket.create_connection(("127.0.0.1", port), 1).close() or True)
        yield port
    finally:
        end(process)


def redis_size(port: int, password: str = "of the tests") -> int:
    """How many keys it has."""
    with socket.create_connection(("127.0.0.1", port), 5) as asked:
        asked.sendall(f'AUTH "{password}"\r\nDBSIZE\r\nQUIT\r\n'.encode())
        answer = b""
        while piece := asked.recv(4096):
            answer += piece
    assert answer.startswith(b"+OK\r\n:"), answer
    return int(answer.split(b"\r\n")[1][1:])
