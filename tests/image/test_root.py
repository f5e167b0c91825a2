"""The image's contents, as the Dockerfile lists them, run as a hardened container runs them."""

import json
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path

import container
import dockerfile
import pytest
import support
from support import ask, wait

TENANT = {"X-Tenant-ID": "acme"}


@pytest.fixture(scope="module")
def stores(image):
    with support.postgres() as (port, programs), support.redis() as cache:
        support.psql(programs, port, "postgres", "CREATE DATABASE rae_memory")
        yield {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(port),
            "PGUSER": "rae",
            "PGPASSWORD": "of the tests",
            "PGDATABASE": "rae_memory",
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": str(cache),
            "REDIS_PASSWORD": "of the tests",
        }


def port_of() -> tuple[int, dict[str, str]]:
    port = support.free_port()
    return port, {"RAE_PORT": str(port)}


def ready(port: int, running: container.Running):
    def check():
        assert running.process.poll() is None, running.text()
        return ask(port, "/health/ready")[0] == 200

    wait("ready", check)


def stopped(running: container.Running) -> str:
    running.signal(signal.SIGTERM)
    assert running.process.wait(40) == 0, running.text()
    return running.text()


def test_the_binary_finds_its_libraries(image):
    done = image.run("--version")
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("rae-server ")


def test_s098_s099_s100_the_process_is_confined(image):
    shown = image.run("cat", "/proc/self/status", entry=False).stdout
    status = dict(line.split(":\t", 1) for line in shown.splitlines() if ":\t" in line)
    assert status["Uid"].split() == status["Gid"].split() == ["1000"] * 4
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert status["NoNewPrivs"].strip() == "1"


def test_s099_nothing_but_the_declared_folders_is_written(image):
    for place in ["/tmp", *dockerfile.read()[1][-1].folders()]:
        assert image.run("touch", f"{place}/file", entry=False).returncode == 0, place
    for place in ["/", "/etc", "/usr/local/bin", "/run", "/var", "/var/log", "/home", "/root"]:
        assert image.run("touch", f"{place}/file", entry=False).returncode != 0, place
    assert image.run("sh", "-c", ": >> /usr/local/bin/rae-server", entry=False).returncode != 0


def test_the_user_and_its_folders_are_the_dockerfile_s(image):
    assert image.run("id", entry=False).stdout == "uid=1000(rae) gid=1000(rae) groups=1000(rae)\n"
    root = image.root
    for folder in image.image.folders():
        found = (root / folder.lstrip("/")).stat()
        assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (1000, 1000, 0o750), folder
    assert (root / "usr/local/bin/rae-server").stat().st_uid == 0


def test_all_serves_keeps_and_ends(image, tmp_path_factory):
    data = support.owned("rae-image-data-")
    try:
        port, env = port_of()
        # The command of the image, on the address of the image.
        arguments = json.loads(image.image.last("CMD"))
        running = image.start(*arguments, env=env, writable={"/var/lib/rae": data})
        ready(port, running)
        # curl of the image, as the chart's README has it.
        shown = image.run("curl", "-sf", f"http://127.0.0.1:{port}/health", entry=False)
        assert shown.returncode == 0 and json.loads(shown.stdout), shown.stderr
        check = json.loads(image.image.last("HEALTHCHECK").partition(" CMD ")[2])
        assert image.run(*check, env=env, entry=False).returncode == 0
        body = {"content": "The ferry leaves at ten past seven."}
        assert ask(port, "/v1/memories", "POST", body, TENANT)[0] in (200, 201)
        stopped(running)
        assert image.run(*check, env=env, entry=False).returncode == 1, "nobody is there any more"
        # The volume holds the memories; a new container finds them.
        assert (data / "rae-data/memory.rae").exists()
        running = image.start(*arguments, env=env, writable={"/var/lib/rae": data})
        ready(port, running)
        status, found = ask(port, "/v1/memories/recall", "POST", {"query": "When does the ferry leave?"}, TENANT)
        assert status == 200 and "ten past seven" in found
        stopped(running)
    finally:
        shutil.rmtree(data, ignore_errors=True)


def test_it_is_reached_from_outside_itself(image):
    port, env = port_of()
    running = image.start("all", env=env)
    ready(port, running)
    listening = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    assert f"00000000:{port:04X} 00000000:0000 0A" in listening, "RAE_HOST of the image is every address"
    stopped(running)


@pytest.mark.parametrize("role", ["api", "worker", "migrate"])
def test_a_role_of_replicas_refuses_to_start_without_a_database(image, role):
    done = image.run(role, env={"RAE_PORT": "0", "RAE_WORKER_PORT": "0"})
    assert done.returncode == 1 and "neither DATABASE_URL nor PGHOST is set" in done.stderr, done.stderr


def test_api_and_worker_serve_from_postgresql_and_redis(image, stores):
    assert image.run("migrate", env=stores).returncode == 0
    port, env = port_of()
    worker_port = support.free_port()
    both = {
        **stores,
        **env,
        "RAE_WORKER_PORT": str(worker_port),
        "RAE_WORKER_CONCURRENCY": "2",
        "RAE_ENRICH": "rules",
        "RAE_RATE_LIMIT": "100",
    }
    api, worker = image.start("api", env=both), image.start("worker", env=both)
    ready(port, api)
    ready(worker_port, worker)
    body = {"content": "Alice works at Acme Corp.", "infer": True}
    assert ask(port, "/v1/memories", "POST", body, TENANT)[0] in (200, 201)
    assert "Acme" in ask(port, "/v1/memories/recall", "POST", {"query": "Where does Alice work?"}, TENANT)[1]
    # The worker's children did the job that the write queued.
    wait("a job", lambda: 'rae_jobs_total{kind="extract",result="done"} 1' in ask(worker_port, "/metrics")[1])
    # The counters of the rate limit lie in Redis: the connection is there, with its password.
    wait("a key in Redis", lambda: support.redis_size(int(stores["REDIS_PORT"])))
    check = image.run("healthcheck", "--port", str(worker_port), env=both)
    assert check.returncode == 0, check.stderr
    stopped(worker)
    stopped(api)


def test_sigterm_answers_what_runs_and_takes_no_more(image, stores):
    image.run("migrate", env=stores)
    port, env = port_of()
    running = image.start("api", env={**stores, **env})
    ready(port, running)
    body = json.dumps({"content": "Written while the server was told to stop."}).encode()
    head = f"POST /v1/memories HTTP/1.1\r\nHost: localhost\r\nX-Tenant-ID: acme\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), 30) as caller:
        caller.sendall(head.encode() + body[:10])
        # The server has read the head before it is told to stop.
        threading.Event().wait(0.5)
        running.signal(signal.SIGTERM)

        def refused():
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except ConnectionRefusedError:
                return True
            return False

        wait("the port closed", refused)
        assert running.process.poll() is None, "it waits for the request that runs"
        caller.sendall(body[10:])
        caller.settimeout(30)
        answer = caller.recv(4096).decode()
    assert answer.split(" ")[1] in ("200", "201"), answer
    assert running.process.wait(30) == 0, running.text()


def test_sigterm_stops_the_worker_and_its_children(image, stores):
    image.run("migrate", env=stores)
    port = support.free_port()
    running = image.start("worker", env={**stores, "RAE_WORKER_PORT": str(port), "RAE_WORKER_CONCURRENCY": "2"})
    ready(port, running)

    def children():
        return subprocess.run(["pgrep", "-P", str(running.pid)], capture_output=True, text=True).stdout.split()

    wait("two children", lambda: len(children()) == 2)
    left = children()
    stopped(running)
    assert not [pid for pid in left if Path(f"/proc/{pid}").exists()]


@pytest.mark.parametrize("role", ["ml", "reranker"])
def test_the_model_services_serve(image, role):
    port, env = port_of()
    running = image.start(role, env=env)
    ready(port, running)
    assert ask(port, "/health")[0] == 200
    if role == "ml":
        status, found = ask(port, "/embeddings", "POST", {"texts": ["The ferry leaves at ten."]})
        assert status == 200 and len(json.loads(found)["embeddings"][0]) == json.loads(found)["dim"]
    stopped(running)
