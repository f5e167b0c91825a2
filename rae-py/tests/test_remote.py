"""`connect` and `aconnect` where the network, the server or something between misbehaves."""

from __future__ import annotations

import asyncio
import os
import pickle
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import rae

from conftest import Python, ScenarioServer, has_fork, interrupt

PATIENCE = 60


@pytest.fixture
def url(scenario_server: ScenarioServer) -> str:
    return scenario_server.store()


@pytest.fixture
def far(scenario_server: ScenarioServer, url: str) -> Iterator[rae.Rae]:
    with rae.connect(url, api_key=scenario_server.KEY, tenant="t") as mem:
        yield mem


class Raw:
    """A TCP server that answers as it is told, or not at all."""

    def __init__(self, answer: Callable[[socket.socket], None]) -> None:
        self.calls = 0
        self.heads: list[bytes] = []
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._kept: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._kept.append(connection)
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            got = connection.recv(65536)
            if not got:
                return
            head += got
        self.heads.append(head)
        self.calls += 1
        try:
            self._answer(connection)
        except OSError:
            return

    def stop(self) -> None:
        self._listener.close()
        for connection in self._kept:
            connection.close()


@pytest.fixture
def raw() -> Iterator[Callable[[bytes | Callable[[socket.socket], None]], Raw]]:
    started: list[Raw] = []

    def start(answer: bytes | Callable[[socket.socket], None]) -> Raw:
        def send(connection: socket.socket) -> None:
            assert isinstance(answer, bytes)
            connection.sendall(answer)
            connection.shutdown(socket.SHUT_RDWR)

        server = Raw(send if isinstance(answer, bytes) else answer)
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


def response(status: str, body: bytes, kind: str = "application/json", more: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}"
    return f"{head}Connection: close\r\n\r\n".encode() + body


def silent(_: socket.socket) -> None:
    threading.Event().wait(PATIENCE)


def test_nothing_is_asked_before_the_first_call_and_a_server_that_is_down_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    mem = rae.connect(f"http://127.0.0.1:{port}")
    with pytest.raises(rae.UnavailableError) as raised:
        mem.remember("x")
    assert raised.value.code == "unreachable"
    assert raised.value.operation == "remember"
    assert f"127.0.0.1:{port}" in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost",
        "ftp://x",
        "http://",
        "/tmp/agent.rae",
        "http://u:geheim@x",
        "http://x?a=1",
        "http://x#a",
    ],
)
def test_an_address_that_is_none_is_invalid_and_not_repeated(url: str) -> None:
    with pytest.raises(rae.InvalidInputError) as raised:
        rae.connect(url)
    assert raised.value.code == "invalid_url"
    assert "geheim" not in str(raised.value)


@pytest.mark.parametrize("key", ["", "with blank", "line\nbreak", "schlüssel", "\0"])
def test_a_key_that_no_header_can_carry_is_invalid_and_not_shown(key: str) -> None:
    with pytest.raises(rae.InvalidInputError) as raised:
        rae.connect("http://127.0.0.1:1", api_key=key)
    assert raised.value.code == "invalid_key"
    assert not key or key not in str(raised.value)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"tenant": ""}, "tenant"),
        ({"tenant": " a"}, "blank"),
        ({"project": "a "}, "blank"),
        ({"project": "a\n"}, "project"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": -1}, "timeout"),
        ({"ca": "/does/not/exist.pem"}, "exist.pem"),
        ({"ca": __file__}, "PEM"),
        ({"api_key": 5}, "api_key"),
    ],
)
def test_wrong_options_are_said_at_once(options: dict[str, Any], word: str) -> None:
    with pytest.raises(rae.InvalidInputError, match=word):
        rae.connect("http://127.0.0.1:1", **options)


def test_a_wrong_key_is_refused_and_appears_nowhere(url: str) -> None:
    mem = rae.connect(url, api_key="wrong-key-4711", tenant="t")
    with pytest.raises(rae.PermissionDeniedError) as raised:
        mem.stats()
    assert (raised.value.kind, raised.value.code) == ("unauthenticated", "unknown_key")
    assert "4711" not in repr(mem) + str(raised.value) + repr(raised.value.__cause__)
    with pytest.raises(rae.PermissionDeniedError) as raised:
        rae.connect(url, tenant="t").stats()
    assert raised.value.code == "missing_key"


def test_what_is_the_operators_needs_the_operators_key(raw: Any, tmp_path: Path) -> None:
    body = b'{"error": {"kind": "permission_denied", "code": "operator_only", "message": "no", "details": {}}}'
    server = raw(response("403 Forbidden", body))
    mem = rae.connect(server.url)
    calls: list[Callable[[], Any]] = [
        lambda: mem.forget(scope="tenant", target="default"),
        lambda: mem.maintain("2026-01-01"),
        lambda: mem.backup(tmp_path / "copy.rae"),
    ]
    for call in calls:
        with pytest.raises(rae.PermissionDeniedError) as raised:
            call()
        assert raised.value.code == "operator_only"
    assert list(tmp_path.iterdir()) == []


def test_a_key_without_encryption_to_another_machine_is_warned_of() -> None:
    with pytest.warns(RuntimeWarning, match="without encryption"):
        rae.connect("http://memory.example", api_key="k")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rae.connect("https://memory.example", api_key="k")
        rae.connect("http://localhost:1", api_key="k")
        rae.connect("http://memory.example")


def test_tenants_do_not_see_each_other_and_the_headers_are_sent(far: rae.Rae, raw: Any) -> None:
    far.remember("A secret of t.")
    other = far.with_scope(tenant="u")
    # The project is the key's business.
    assert (other.tenant, other.project, far.tenant) == ("u", "", "t")
    assert len(other.recall("secret")) == 0
    assert len(far.recall("secret")) == 1
    server = raw(response("200 OK", b"{}"))
    mem = rae.connect(server.url, api_key="k1", tenant="größe", project="p")
    with pytest.raises(rae.UnavailableError):
        mem.stats()
    head = server.heads[0].lower()
    assert b"authorization: bearer k1\r\n" in head
    assert b"x-project-id: p\r\n" in head
    assert "x-tenant-id: größe".encode() in head
    keyed = rae.connect(server.url, api_key="k1")
    with pytest.raises(rae.UnavailableError):
        keyed.stats()
    # Whose memories are meant is the key's business.
    assert b"x-tenant-id" not in server.heads[-1].lower()
    assert keyed.tenant == ""
    assert rae.connect(server.url).tenant == "default"


def test_a_server_that_says_nothing_is_a_timeout(raw: Any) -> None:
    server = raw(silent)
    mem = rae.connect(server.url, timeout=0.3)
    with pytest.raises(rae.TimeoutError):
        mem.recall("x")
    with pytest.raises(rae.TimeoutError, match="may have been done"):
        mem.remember_many([{"content": "x"}])


def test_what_may_be_repeated_is_and_the_rest_is_not(raw: Any) -> None:
    def hang_up(connection: socket.socket) -> None:
        connection.shutdown(socket.SHUT_RDWR)

    mem_calls: list[tuple[Callable[[rae.Rae], Any], int]] = [
        (lambda m: m.recall("x"), 3),
        (lambda m: m.stats(), 3),
        (lambda m: m.remember("x"), 3),
        (lambda m: m.remember_many([{"content": "x"}]), 1),
        (lambda m: m.forget(filter={"kind": "fact"}), 1),
        (lambda m: m.update("0190a0a0-0000-7000-8000-000000000000", content="x"), 1),
    ]
    for call, times in mem_calls:
        server = raw(hang_up)
        with pytest.raises(rae.UnavailableError) as raised:
            call(rae.connect(server.url))
        assert raised.value.code == "connection_lost"
        assert server.calls == times
        details = raised.value.details or {}
        is_write = times == 1 or "idempotency_key" in details
        assert ("may have been done" in str(raised.value)) == is_write
    with pytest.raises(rae.UnavailableError) as raised:
        rae.connect(raw(hang_up).url).remember("x")
    assert raised.value.details["idempotency_key"]


def test_a_write_that_is_repeated_is_done_once(raw: Any) -> None:
    bodies: list[bytes] = []

    def once_lost(connection: socket.socket) -> None:
        head, _, body = server.heads[-1].partition(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        while len(body) < length:
            body += connection.recv(65536)
        bodies.append(body)
        if len(bodies) > 1:
            receipt = b'{"id": "0190a0a0-0000-7000-8000-000000000000", "version": 1, "merged": false, "degraded": []}'
            connection.sendall(response("201 Created", receipt))
        connection.shutdown(socket.SHUT_RDWR)

    server = raw(once_lost)
    assert rae.connect(server.url).remember("x").version == 1
    assert len(bodies) == 2
    assert bodies[0] == bodies[1]
    assert b"idempotency_key" in bodies[0]


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (
            response("502 Bad Gateway", b"<html>nginx</html>", "text/html"),
            "unavailable",
            "bad_gateway",
        ),
        (response("404 Not Found", b"<html>", "text/html"), "unavailable", "not_a_rae_server"),
        (
            response("200 OK", b"<html>Welcome</html>", "text/html"),
            "unavailable",
            "not_a_rae_server",
        ),
        (response("200 OK", b'{"memories": "many"}'), "unavailable", "not_a_rae_server"),
        (response("200 OK", b""), "unavailable", "not_a_rae_server"),
        (
            response("302 Found", b"", more="Location: http://127.0.0.1:1/\r\n"),
            "unavailable",
            "redirected",
        ),
        (response("401 Unauthorized", b"login"), "unauthenticated", "unauthenticated"),
        (response("403 Forbidden", b"no"), "permission_denied", "permission_denied"),
        (
            response("429 Too Many Requests", b"", more="Retry-After: 7\r\n"),
            "rate_limited",
            "rate_limited",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{", "unavailable", "connection_lost"),
        (b"SSH-2.0-OpenSSH\r\n", "unavailable", "connection_lost"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{",
            "unsupported",
            "answer_too_long",
        ),
        (
            response(
                "404 Not Found",
                b'{"error": {"kind": "not_found", "code": "no_such_route", "message": "m"}}',
            ),
            "unsupported",
            "no_such_route",
        ),
        (
            response(
                "500 Oops", b'{"error": {"kind": "corrupt", "code": "Bad Code!", "message": "m"}}'
            ),
            "corrupt",
            "corrupt",
        ),
    ],
)
def test_answers_that_are_not_a_servers_are_errors_of_the_table(
    raw: Any, answer: bytes, kind: str, code: str
) -> None:
    mem = rae.connect(raw(answer).url)
    with pytest.raises(rae.RaeError) as raised:
        mem.stats()
    assert (raised.value.kind, raised.value.code) == (kind, code)
    assert not isinstance(raised.value, rae.InternalError)
    assert len(str(raised.value)) < 2000
    if kind == "rate_limited":
        assert raised.value.retry_after == 7


def test_a_server_that_is_full_is_asked_again_even_for_a_write(raw: Any) -> None:
    busy = b'{"error": {"kind": "unavailable", "code": "overloaded", "message": "busy", "details": {}}}'
    server = raw(response("503 Service Unavailable", busy, more="Retry-After: 0\r\n"))
    with pytest.raises(rae.UnavailableError) as raised:
        rae.connect(server.url).remember_many([{"content": "x"}])
    assert raised.value.code == "overloaded"
    assert server.calls == 3


def test_errors_of_the_server_are_those_of_an_open_store(far: rae.Rae, mem: rae.Rae) -> None:
    nowhere = "0190a0a0-0000-7000-8000-000000000000"
    calls: list[Callable[[rae.Rae], Any]] = [
        lambda m: m.get(nowhere),
        lambda m: m.recall("x", k=0),
        lambda m: m.recall("x", k=10**9),
        lambda m: m.recall(" "),
        lambda m: m.recall("x", min_score=float("nan")),
        lambda m: m.remember(" "),
        lambda m: m.remember("x", importance=2),
        lambda m: m.remember("x" * (2**20 + 1)),
        lambda m: m.remember_many([{"content": "x"}, {"content": " "}]),
        lambda m: m.list(limit=0),
        lambda m: m.list(cursor="x"),
        lambda m: m.list(filter={"nothing": 1}),
        lambda m: m.forget(filter={}),
        lambda m: m.audit(limit=0),
        lambda m: m.import_("/does/not/exist"),
        lambda m: m.export("/does/not/exist/x"),
        lambda m: m.context(),
        lambda m: m.update(nowhere, content="x"),
        lambda m: m.embed(["x"] * 1001),
    ]
    for number, call in enumerate(calls):
        found = []
        for handle in (mem, far):
            with pytest.raises(rae.RaeError) as raised:
                call(handle)
            e = raised.value
            found.append((type(e), e.kind, e.code, e.details, e.operation))
        assert found[0] == found[1], number


def test_reembed_is_not_for_clients(far: rae.Rae) -> None:
    with pytest.raises(rae.UnsupportedError, match="operator") as raised:
        far.reembed(None)
    assert raised.value.code == "not_over_http"


def test_a_backup_is_a_store_and_an_export_is_read_again(far: rae.Rae, tmp_path: Path) -> None:
    far.remember_many({"content": f"Fact {i}."} for i in range(2500))
    assert far.stats().memories == 2500
    far.backup(tmp_path / "copy.rae")
    with pytest.raises(rae.ConflictError):
        far.backup(tmp_path / "copy.rae")
    with rae.open(tmp_path / "copy.rae", tenant="t") as copy:
        assert copy.stats().memories == 2500
    assert far.export(tmp_path / "x.jsonl").memories == 2500
    assert far.with_scope(tenant="u").import_(tmp_path / "x.jsonl").imported == 2500
    assert {p.name for p in tmp_path.iterdir() if p.suffix != ".rae"} == {"x.jsonl"}
    assert far.embed([]).shape[0] == 0
    assert far.embed(["", "x"]).shape[0] == 2


def test_an_export_that_breaks_off_leaves_no_file_and_the_older_one_whole(
    raw: Any, tmp_path: Path
) -> None:
    place = tmp_path / "x.jsonl"
    with rae.open(":memory:") as here:
        here.export(place)
    before = place.read_bytes()
    cut = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + before[:20])
    with pytest.raises(rae.UnavailableError):
        rae.connect(cut.url).export(place)
    short = raw(response("200 OK", before.splitlines(keepends=True)[0]))
    with pytest.raises(rae.UnavailableError) as raised:
        rae.connect(short.url).export(place)
    assert raised.value.code == "truncated_export"
    assert place.read_bytes() == before
    assert list(tmp_path.iterdir()) == [place]


def test_a_closed_handle_is_closed_for_all_and_the_server_goes_on(far: rae.Rae, url: str) -> None:
    other = far.with_scope(project="p")
    far.close()
    far.close()
    for handle in (far, other):
        with pytest.raises(rae.UnavailableError) as raised:
            handle.stats()
        assert raised.value.code == "closed"
    assert "closed" in repr(far)
    with rae.connect(url, api_key=ScenarioServer.KEY, tenant="t") as again:
        assert again.stats().memories == 0
        assert url in repr(again)


def test_a_thousand_calls_at_once_are_all_answered(far: rae.Rae) -> None:
    with ThreadPoolExecutor(100) as pool:
        ids = {r.id for r in pool.map(lambda i: far.remember(f"Number {i}."), range(1000))}
    assert len(ids) == 1000
    assert far.stats().memories == 1000


def test_the_server_stops_in_the_middle_and_starts_again_on_no_account(tmp_path: Path) -> None:
    server = ScenarioServer()
    mem = rae.connect(server.store(), api_key=server.KEY, tenant="t")
    mem.remember("x")
    server.stop()
    with pytest.raises(rae.UnavailableError) as raised:
        mem.recall("x")
    assert raised.value.code in ("unreachable", "connection_lost")


def test_asyncio_calls_run_and_are_cancelled(url: str, raw: Any) -> None:
    async def main() -> None:
        async with await rae.aconnect(url, api_key=ScenarioServer.KEY, tenant="t") as mem:
            receipts = await asyncio.gather(*(mem.remember(f"n {i}") for i in range(50)))
            assert len({r.id for r in receipts}) == 50
            assert len(await mem.recall("n 7")) > 0
        server = raw(silent)
        async with await rae.aconnect(server.url) as mem:
            task = asyncio.create_task(mem.recall("x"))
            while not server.calls:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(task, PATIENCE)

    asyncio.run(main())


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_ends_a_call_that_waits(raw: Any, python: Python) -> None:
    server = raw(silent)
    process = python.start(
        """
        import sys, rae
        try:
            rae.connect(sys.argv[1]).recall("x")
        except KeyboardInterrupt:
            print("interrupted")
        """,
        server.url,
    )
    while not server.calls:
        assert process.poll() is None
        threading.Event().wait(0.01)
    interrupt(process)
    out, err = process.communicate(timeout=PATIENCE)
    assert out.strip() == "interrupted", err


@pytest.mark.skipif(not has_fork(), reason="fork of POSIX")
def test_a_fork_is_told_to_connect_itself(url: str, python: Python) -> None:
    out = python.run(
        """
        import os, sys, rae
        mem = rae.connect(sys.argv[1], api_key=sys.argv[2], tenant="t")
        mem.remember("x")
        pid = os.fork()
        if pid == 0:
            try:
                mem.stats()
            except rae.UnsupportedError as error:
                own = rae.connect(sys.argv[1], api_key=sys.argv[2], tenant="t")
                os._exit(0 if error.code == "forked" and own.stats().memories == 1 else 2)
            os._exit(3)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), mem.stats().memories)
        """,
        url,
        ScenarioServer.KEY,
    )
    assert out == "0 1"


def test_the_process_ends_by_itself_without_close(url: str, python: Python) -> None:
    code = 'import sys, rae; m = rae.connect(sys.argv[1], api_key=sys.argv[2], tenant="t"); print(m.remember("x").version)'
    assert python.run(code, url, ScenarioServer.KEY) == "1"


def test_answers_are_the_same_classes_and_can_be_pickled(far: rae.Rae) -> None:
    far.remember("Größe 🦊", metadata={"x": 0.1 + 0.2, "n": 2**63 - 1})
    (hit,) = far.recall("Größe")
    assert isinstance(hit, rae.Hit)
    assert hit.metadata == {"x": 0.1 + 0.2, "n": 2**63 - 1}
    memory = far.get(hit.id)
    assert pickle.loads(pickle.dumps(memory)) == memory


def test_the_example_runs_on_a_file_and_on_a_server(url: str, tmp_path: Path) -> None:
    example = Path(__file__).parents[2] / "examples" / "python" / "same_agent.py"
    outputs = []
    for place in (str(tmp_path / "agent.rae"), url):
        environment = {**os.environ, "RAE_API_KEY": ScenarioServer.KEY}
        done = subprocess.run(
            [sys.executable, str(example), place],
            capture_output=True, text=True, env=environment, timeout=PATIENCE, check=True,
        )  # fmt: skip
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]
    assert "hazelnuts" in outputs[0]
