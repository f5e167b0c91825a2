"""What the tests share. They import the installed package, never the folder beside them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import rae


@pytest.fixture
def mem() -> Iterator[rae.Rae]:
    with rae.open(":memory:") as opened:
        yield opened


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "agent.rae"


class Python:
    """Runs code in another process."""

    def __init__(self, cwd: Path) -> None:
        self._cwd = cwd

    def start(self, code: str, *args: object, **options: Any) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            "-X",
            "faulthandler",
            "-c",
            textwrap.dedent(code),
            *map(str, args),
        ]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, cwd=self._cwd, text=True, **(pipes | options))

    def run(self, code: str, *args: object, **options: Any) -> str:
        """The output of code that must succeed."""
        process = self.start(code, *args, **options)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, f"exit {process.returncode}\n{out}\n{err}"
        return out.strip()


@pytest.fixture
def python(tmp_path: Path) -> Python:
    return Python(tmp_path)


class ScenarioServer:
    """The example `scenario_server` of rae-server: stores on a server, with clocks and seeds."""

    KEY = "the-key-of-the-scenarios"

    def __init__(self) -> None:
        program = os.environ.get("RAE_TEST_SCENARIO_SERVER")
        if not program:
            pytest.fail(
                "RAE_TEST_SCENARIO_SERVER must name the example scenario_server: "
                "cargo build --profile ci -p rae-server --example scenario_server"
            )
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen([program], text=True, **pipes)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip().removeprefix("listening on ")

    def post(self, path: str, body: object) -> Any:
        data = json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data)) as answer:
            return json.load(answer)

    def store(self, **options: object) -> str:
        """The address of a fresh store."""
        return self.url + str(self.post("/open", options)["path"])

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="session")
def scenario_server() -> Iterator[ScenarioServer]:
    server = ScenarioServer()
    yield server
    server.stop()


def turns(count: int, **fields: object) -> list[dict[str, object]]:
    """Memories that are all different."""
    return [
        {"content": f"note {i} about subject {i % 97}", "session_id": f"s{i % 50}", **fields}
        for i in range(count)
    ]


def file_bytes(path: Path) -> dict[str, bytes]:
    """The file and everything beside it."""
    return {p.name: p.read_bytes() for p in path.parent.glob(path.name + "*") if p.is_file()}


def has_fork() -> bool:
    return hasattr(os, "fork")


def interrupt(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGINT)
