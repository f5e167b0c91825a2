"""Runs the containers of rendered pods with the real rae-server, PostgreSQL and Redis: their arguments, their variables with
every reference resolved, their probes, and nothing to write but their volumes. Names of services become addresses of here."""

from __future__ import annotations

import base64
import glob
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from support import REPOSITORY, Object, Objects, main_container, pod_of, resolve

BINARY = os.environ.get(
    "RAE_TEST_SERVER_BINARY",
    str(Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")) / "ci" / "rae-server"),
)
UID = 1000
WAIT = 90
ROLES = {"api": "api", "celery-worker": "worker", "ml-service": "ml", "reranker": "reranker"}


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def program(name: str, pattern: str, setting: str) -> str:
    found = os.environ.get(setting) or shutil.which(name) or next(iter(sorted(glob.glob(pattern), reverse=True)), None)
    assert found, f"{name} is not installed; {setting} may name it"
    return found


def get(url: str, headers: dict[str, str] | None = None, body: bytes | None = None, method: str | None = None):
    request = urllib.request.Request(url, body, headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def wait_for(what: str, ready: Callable[[], bool], alive: Callable[[], bool] = lambda: True) -> None:
    end = time.monotonic() + WAIT
    while time.monotonic() < end and alive():
        try:
            if ready():
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"{what} did not come up")


def secrets_of(objects: Objects) -> dict[str, dict[str, str]]:
    found = {}
    for o in objects.of("Secret"):
        plain = {k: base64.b64decode(v).decode() for k, v in (o.get("data") or {}).items()}
        found[o["metadata"]["name"]] = plain | (o.get("stringData") or {})
    return found


def sandboxed() -> bool:
    """Whether the containers can have a read-only root here."""
    if not shutil.which("bwrap"):
        return False
    as_user = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups"] if os.geteuid() == 0 else []
    tried = [*as_user, "bwrap", "--unshare-user", "--ro-bind", "/", "/", "true"]
    return subprocess.run(tried, capture_output=True).returncode == 0


def terminate(process: subprocess.Popen) -> None:
    """SIGTERM to the server, as the kubelet sends it to process 1; bubblewrap stands before it and ends as it does."""
    pid = process.pid
    while Path(f"/proc/{pid}/comm").read_text().strip() != "rae-server":
        (pid, *_) = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    os.kill(pid, signal.SIGTERM)


class Stack:
    """The stores, and then one process for each container that is started."""

    def __init__(self, objects: Objects, secrets: dict[str, dict[str, str]]) -> None:
        self.objects = objects
        self.secrets = secrets_of(objects) | secrets
        # Not pytest's folder: others than its owner must come in, as PostgreSQL does not run as root.
        self.folder = Path(tempfile.mkdtemp(prefix="rae-chart-"))
        self.folder.chmod(0o755)
        # The user of the pods may not come to where it was built.
        self.binary = Path(shutil.copy(BINARY, self.folder / "rae-server"))
        self.processes: list[tuple[str, subprocess.Popen, int]] = []
        # Service name and port -> the port of here.
        self.ports = {
            (s["metadata"]["name"], p["port"]): free_port() for s in objects.of("Service") for p in s["spec"]["ports"]
        }
        self.pod_ports: dict[str, int] = {}

    def run(self, name: str, command: list[str], stop: int = signal.SIGTERM, **options) -> subprocess.Popen:
        with (self.folder / f"{name}.log").open("w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, **options)
        self.processes.append((name, process, stop))
        return process

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def close(self) -> None:
        for _, process, stop in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(stop)
        for _, process, _ in reversed(self.processes):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def stores(self) -> None:
        """PostgreSQL and Redis with the names and passwords that the chart's own pods would give them."""
        database = resolve(main_container(self.objects.workload("postgresql")), self.objects, self.secrets)
        port = self.ports["rae-memory-postgresql", 5432]
        bin_ = Path(program("initdb", "/usr/lib/postgresql/*/bin/initdb", "RAE_TEST_PG_INITDB")).resolve().parent
        if os.environ.get("RAE_TEST_PG_BIN"):
            bin_ = Path(os.environ["RAE_TEST_PG_BIN"])
        who = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
        place = self.folder / "pg"
        place.mkdir()
        password = place / "password"
        password.write_text(database["POSTGRES_PASSWORD"])
        if who:
            shutil.chown(place, "postgres")
            shutil.chown(password, "postgres")
        # As the image does it: trust on the socket, a password over TCP.
        subprocess.run(
            [
                bin_ / "initdb",
                "-D",
                place / "data",
                "-U",
                database["POSTGRES_USER"],
                f"--pwfile={password}",
                "--no-sync",
                *["--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"],
            ],
            check=True,
            capture_output=True,
            cwd="/",
            **who,
        )
        options = [f"-cunix_socket_directories={place}", "-clisten_addresses=127.0.0.1", "-cfsync=off"]
        server = self.run(
            "postgresql",
            [str(bin_ / "postgres"), "-D", str(place / "data"), "-p", str(port), *options],
            signal.SIGINT,
            cwd="/",
            **who,
        )
        self.psql = [str(bin_ / "psql"), "-h", str(place), "-p", str(port), "-U", database["POSTGRES_USER"]]
        asked = [str(bin_ / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        wait_for("PostgreSQL", lambda: subprocess.run(asked).returncode == 0, lambda: server.poll() is None)
        subprocess.run(
            [*self.psql, "-d", "postgres", "-qc", f'CREATE DATABASE "{database["POSTGRES_DB"]}"'], check=True
        )

        redis = resolve(main_container(self.objects.workload("redis")), self.objects, self.secrets)
        port = self.ports["rae-memory-redis-master", 6379]
        command = [program("redis-server", "/usr/bin/redis-server", "RAE_TEST_REDIS_SERVER"), "--port", str(port)]
        command += ["--bind", "127.0.0.1", "--save", "", "--requirepass", redis["REDISCLI_AUTH"]]
        self.run("redis", command, cwd=self.folder)

        def answers() -> bool:
            with socket.create_connection(("127.0.0.1", port), 1):
                return True

        wait_for("Redis", answers)

    def environment(self, container: Object, ports: dict[str, int]) -> dict[str, str]:
        """The resolved variables, with this machine's addresses in place of the services'."""
        found = resolve(container, self.objects, self.secrets)
        for host, port in (("PGHOST", "PGPORT"), ("REDIS_HOST", "REDIS_PORT")):
            if host in found:
                found[port] = str(self.ports[found[host], int(found[port])])
                found[host] = "127.0.0.1"
        for name, value in found.items():
            if hit := re.fullmatch(r"http://([a-z-]+):(\d+)", value):
                found[name] = f"http://127.0.0.1:{self.ports[hit[1], int(hit[2])]}"
        if "RAE_HOST" in found:
            assert found["RAE_HOST"] == "0.0.0.0", "a pod is reached by its own address"
            found["RAE_HOST"] = "127.0.0.1"
        for name, declared in (("RAE_PORT", "http"), ("RAE_WORKER_PORT", "metrics")):
            if name in found and declared in ports:
                found[name] = str(ports[declared])
        return found

    def start(self, component: str, container: Object | None = None) -> subprocess.Popen:
        """One container of a component, the first of its own or the one that is given."""
        workload = self.objects.workload(component)
        own = container is None
        container = main_container(workload) if own else container
        ports = {}
        if own:
            (port,) = container["ports"]
            known = [
                self.ports[s["metadata"]["name"], p["port"]]
                for s in self.objects.of("Service")
                for p in s["spec"]["ports"]
                if s["spec"]["selector"].items() <= pod_of(workload)["metadata"]["labels"].items()
            ]
            self.pod_ports[component] = ports[port["name"]] = (known or [free_port()])[0]
        name = f"{component}-{container['name']}"
        command, options = self.contained(name, workload, container)
        environment = {"PATH": "/usr/bin:/bin", **self.environment(container, ports)}
        assert not container.get("command"), "the entry of the image is the binary"
        return self.run(name, [*command, *container["args"]], env=environment, **options)

    def contained(self, name: str, workload: Object, container: Object) -> tuple[list[str], dict]:
        """The command that runs the binary as the kubelet would: UID 1000, a read-only root, the volumes in their places."""
        volumes = {v["name"]: v for v in pod_of(workload)["spec"]["volumes"]}
        mounts = []
        for mount in container["volumeMounts"]:
            assert "emptyDir" in volumes[mount["name"]], mount
            place = self.folder / f"{name}-{mount['name']}"
            place.mkdir(exist_ok=True)
            if os.geteuid() == 0:
                os.chown(place, UID, UID)
            mounts.append((place, mount["mountPath"]))
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        if not sandboxed():
            place = {path: p for p, path in mounts}[container["workingDir"]]
            return [str(self.binary)], {
                "cwd": place,
                **({"user": UID, "group": UID, "extra_groups": []} if os.geteuid() == 0 else {}),
            }
        outer = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups"] if os.geteuid() == 0 else []
        outer += ["bwrap", "--unshare-user", "--uid", str(UID), "--gid", str(UID), "--die-with-parent"]
        outer += ["--cap-drop", "ALL", "--new-session", "--tmpfs", "/", "--dev", "/dev", "--proc", "/proc"]
        for system in ("/usr", "/lib", "/lib64", "/bin", "/etc"):
            if Path(system).exists():
                outer += ["--ro-bind", system, system]
        outer += ["--ro-bind", str(self.binary), "/rae-server"]
        for place, path in mounts:
            outer += ["--bind", str(place), path]
        return [*outer, "--remount-ro", "/", "--chdir", container["workingDir"], "/rae-server"], {}
