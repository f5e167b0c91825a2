"""The real thing, small: PostgreSQL, Redis, a stand-in for Qdrant and for OpenAI, every role of the real rae-server, Prometheus.

All of it listens on free ports of this machine only, keeps its files in one temporary folder, and ends with the context.
"""

import http.client
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import rendered
import yaml

MASTER = "the-key-of-the-operator"
WAIT = 90
INTERVAL = "1s"


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def program(name: str, *places: str) -> str:
    found = next(
        (str(p) for place in places for p in sorted(Path("/").glob(place), reverse=True)), None
    ) or shutil.which(name)
    if not found:
        raise RuntimeError(f"these tests need {name}")
    return found


def server_binary() -> str:
    binary = os.environ.get("RAE_TEST_SERVER_BINARY")
    if not binary or not Path(binary).is_file():
        raise RuntimeError("name the program rae-server in RAE_TEST_SERVER_BINARY")
    return binary


class FakeModel(BaseHTTPRequestHandler):
    """Answers as OpenAI does. A prompt that says so gets an error."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
        time.sleep(0.02 if "quick" in asked else 0.12)
        usage = {"prompt_tokens": 800, "completion_tokens": 150, "total_tokens": 950}
        usage |= {
            "prompt_tokens_details": {"cached_tokens": 200},
            "completion_tokens_details": {"reasoning_tokens": 30},
        }
        message = {"role": "assistant", "content": "The ferry leaves at ten."}
        body, status = (
            {"id": "x", "object": "chat.completion", "created": 1, "model": json.loads(asked)["model"], "usage": usage},
            200,
        )
        body["choices"] = [{"index": 0, "message": message, "finish_reason": "stop"}]
        if "please fail" in asked:
            body, status = {"error": {"message": "no such thing", "type": "invalid_request_error"}}, 400
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


class Process:
    def __init__(self, stack: "Stack", name: str, command: list, env: dict | None = None, ready=None, user=None):
        self.stack, self.name, self.command, self.env, self.ready, self.user = stack, name, command, env, ready, user
        self.start()

    def start(self) -> None:
        kept = {k: os.environ[k] for k in ("PATH", "LANG", "LD_LIBRARY_PATH") if k in os.environ}
        log = (self.stack.folder / f"{self.name}.log").open("ab")
        who = {"user": self.user, "group": pwd.getpwnam(self.user).pw_gid} if self.user else {}
        self.process = subprocess.Popen(
            [str(word) for word in self.command],
            env=kept | (self.env or {}),
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
            **who,
        )
        end = time.monotonic() + WAIT
        while self.ready and not self.ready():
            if self.process.poll() is not None or time.monotonic() > end:
                log.flush()
                raise RuntimeError(
                    f"{self.name} did not start:\n{(self.stack.folder / f'{self.name}.log').read_text()[-4000:]}"
                )
            time.sleep(0.1)

    def stop(self, how: int = signal.SIGTERM) -> None:
        if self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


def answers(port: int, path: str | None = None):
    def ask() -> bool:
        try:
            if path is None:
                socket.create_connection(("127.0.0.1", port), 2).close()
                return True
            return call(f"127.0.0.1:{port}", "GET", path)[0] == 200
        except OSError:
            return False

    return ask


def call(address: str, method: str, path: str, body=None, headers=None) -> tuple[int, dict | list | str]:
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None, headers or {})
        answer = connection.getresponse()
        text = answer.read().decode()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text
    finally:
        connection.close()


class Stack:
    """Names of pods are those of the targets: api-0, api-1, worker-0, ml-0, reranker-0."""

    def __enter__(self) -> "Stack":
        self.folder = Path(tempfile.mkdtemp(prefix="rae-monitoring-"))
        self.folder.chmod(0o755)
        self.running = ExitStack()
        self.running.callback(shutil.rmtree, self.folder, ignore_errors=True)
        try:
            self._start()
        except BaseException:
            self.running.close()
            raise
        return self

    def __exit__(self, *_) -> None:
        self.running.close()

    def _run(self, name: str, command: list, how: int = signal.SIGTERM, **more) -> Process:
        process = Process(self, name, command, **more)
        self.running.callback(process.stop, how)
        return process

    def _start(self) -> None:
        self._postgresql()
        redis = free_port()
        self.redis = self._run(
            "redis",
            [program("redis-server"), "--port", redis, "--bind", "127.0.0.1", "--save", "", "--dir", self.folder],
            ready=answers(redis),
        )
        qdrant = free_port()
        standin = rendered.ROOT / "rae-server" / "tests" / "qdrant" / "standin.py"
        self.qdrant = self._run(
            "qdrant",
            [sys.executable, "-B", standin, "--port", qdrant, "--folder", self.folder / "qdrant"],
            how=signal.SIGKILL,
            ready=answers(qdrant),
        )
        provider = ThreadingHTTPServer(("127.0.0.1", 0), FakeModel)
        threading.Thread(target=provider.serve_forever, daemon=True).start()
        self.running.callback(provider.shutdown)
        ml, reranker = free_port(), free_port()
        self.ports = {
            "ml-0": ml,
            "reranker-0": reranker,
            "api-0": free_port(),
            "api-1": free_port(),
            "worker-0": free_port(),
        }
        env = {
            "DATABASE_URL": self.database,
            "REDIS_URL": f"redis://127.0.0.1:{redis}/0",
            "QDRANT_URL": f"http://127.0.0.1:{qdrant}",
            "RAE_VECTOR_SETTLE": "2",
            "RAE_ML_URL": f"http://127.0.0.1:{ml}",
            "RAE_RERANKER_URL": f"http://127.0.0.1:{reranker}",
            "RAE_ML_TIMEOUT": "2",
            "RAE_API_MASTER_KEY": MASTER,
            "RAE_AUTH": "header",
            "RAE_RATE_LIMIT": "400",
            "RAE_RATE_LIMIT_WINDOW": "10",
            "RAE_RESPONSE_CACHE": "on",
            "OPENAI_API_KEY": "sk-fake",
            "RAE_OPENAI_BASE_URL": f"http://127.0.0.1:{provider.server_port}",
            "RAE_MAINTAIN_EVERY": "15",
            "RAE_EVALUATE_EVERY": "10",
            "RAE_WORKER_RETRY_DELAY": "2",
            "RAE_WORKER_CONCURRENCY": "2",
            "RAE_WORKER_MAX_TASKS_PER_CHILD": "10",
            "RAE_LOG_FORMAT": "json",
        }
        binary = server_binary()
        done = subprocess.run([binary, "migrate"], env=env, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"rae-server migrate failed:\n{done.stderr}")
        self.pods = {}
        for pod, port in self.ports.items():
            role = pod.split("-")[0]
            own = {"RAE_WORKER_PORT" if role == "worker" else "RAE_PORT": str(port)}
            self.pods[pod] = self._run(pod, [binary, role], env=env | own, ready=answers(port, "/health/ready"))
        self.api = f"127.0.0.1:{self.ports['api-0']}"
        self.apis = [f"127.0.0.1:{self.ports[pod]}" for pod in ("api-0", "api-1")]
        self._prometheus()

    def _postgresql(self) -> None:
        user = "postgres" if os.geteuid() == 0 else None
        data, port = self.folder / "pg" / "data", free_port()
        data.parent.mkdir()
        if user:
            shutil.chown(data.parent, user)
        bin_ = Path(
            os.environ.get("RAE_TEST_PG_BIN") or Path(program("initdb", "usr/lib/postgresql/*/bin/initdb")).parent
        )
        who = {"user": user} if user else {}
        done = subprocess.run(
            [
                bin_ / "initdb",
                "-D",
                data,
                "-U",
                "rae",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
            ],
            cwd="/",
            capture_output=True,
            text=True,
            **who,
        )
        if done.returncode:
            raise RuntimeError(f"initdb failed:\n{done.stderr}")
        command = [
            bin_ / "postgres",
            "-D",
            data,
            "-p",
            port,
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            f"unix_socket_directories={data.parent}",
            "-c",
            "fsync=off",
        ]
        self.postgresql = self._run(
            "postgresql",
            command,
            how=signal.SIGINT,
            user=user,
            ready=lambda: (
                subprocess.run([bin_ / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]).returncode == 0
            ),
        )
        self.database = f"postgres://rae@127.0.0.1:{port}/postgres?sslmode=disable"

    def _prometheus(self) -> None:
        """Scrapes by the monitors that the chart renders; only the interval is shorter. Evaluates the rules that it renders."""
        everything = rendered.of_kind("ServiceMonitor") + rendered.of_kind("PodMonitor")
        scrapes = []
        for made in everything:
            component = made["metadata"]["name"].removeprefix(f"{rendered.RELEASE}-")
            role = next(role for role, name in rendered.JOBS.items() if name == component)
            pods = {pod: f"127.0.0.1:{port}" for pod, port in self.ports.items() if pod.split("-")[0] == role}
            scrapes.append(rendered.scrape_config(made, pods, INTERVAL))
        assert len(scrapes) == 4
        rules, config, port = self.folder / "rules.yaml", self.folder / "prometheus.yaml", free_port()
        rules.write_text(yaml.safe_dump({"groups": rendered.groups()}))
        whole = {"global": {"evaluation_interval": "5s"}, "rule_files": [str(rules)], "scrape_configs": scrapes}
        config.write_text(yaml.safe_dump(whole))
        subprocess.run([program("promtool"), "check", "config", config], check=True, capture_output=True)
        self.prometheus = f"127.0.0.1:{port}"
        command = [
            program("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={self.folder / 'tsdb'}",
            f"--web.listen-address={self.prometheus}",
            "--log.level=warn",
        ]
        self._run("prometheus", command, ready=answers(port, "/-/ready"))

    def ask(self, path: str, **query) -> dict | list:
        from urllib.parse import urlencode

        status, answer = call(self.prometheus, "GET", f"/api/v1/{path}?{urlencode(query)}")
        assert status == 200, f"{path} {query}: {answer}"
        return answer["data"]
