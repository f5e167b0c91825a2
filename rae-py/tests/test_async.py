"""The asynchronous twins."""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import inspect
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

import rae

from conftest import turns

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, 120))


def test_every_verb_has_a_twin_with_the_same_signature() -> None:
    def public(cls: type) -> set[str]:
        return {name for name in dir(cls) if not name.startswith("_")}

    assert public(rae.AsyncRae) - public(rae.Rae) == {"aclose"}
    assert public(rae.Rae) <= public(rae.AsyncRae)
    for name in public(rae.Rae):
        blocking, awaited = getattr(rae.Rae, name), getattr(rae.AsyncRae, name)
        if isinstance(blocking, property):
            assert isinstance(awaited, property)
            continue
        assert inspect.iscoroutinefunction(awaited) == (name not in ("with_scope", "meter"))
        mine, other = inspect.signature(blocking), inspect.signature(awaited)
        assert mine.parameters == other.parameters, name
        if name != "with_scope":
            # What is iterated or entered is another class where it is awaited.
            twin = other.return_annotation.replace("AsyncLlm", "Llm").replace("AsyncM", "M")
            assert mine.return_annotation == twin, name
        assert awaited.__doc__
    assert inspect.signature(rae.open).parameters == inspect.signature(rae.aopen).parameters


def test_the_twins_that_are_written_by_a_script_are_up_to_date() -> None:
    script = Path(__file__).parents[2] / "scripts" / "async_verbs.py"
    done = subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_twin_passes_on_all_its_arguments() -> None:
    twins = [rae.aopen, rae.aconnect]
    twins += [member for _, member in inspect.getmembers(rae.AsyncRae, inspect.isfunction)]
    checked = 0
    for twin in twins:
        if twin.__name__.startswith("_") or twin.__name__ in ("with_scope", "close"):
            continue
        (function,) = ast.parse(textwrap.dedent(inspect.getsource(twin))).body
        assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        names = {n.id for n in ast.walk(function) if isinstance(n, ast.Name)}
        assert set(inspect.signature(twin).parameters) <= names | {"self"}, twin.__name__
        checked += 1
    assert checked > 25


def test_all_verbs_work(tmp_path: Path) -> None:
    async def main() -> None:
        async with await rae.aopen(tmp_path / "a.rae", project="p") as mem:
            assert repr(mem).startswith("<rae.AsyncRae")
            assert (mem.tenant, mem.project) == ("default", "p")
            receipt = await mem.remember("Kit found the key.", speaker="Kit", session_id="s")
            assert len(await mem.remember_many(turns(20))) == 20
            assert (await mem.recall("who found the key", k=3))[0].id == receipt.id
            assert "key" in (await mem.context("key", max_tokens=100)).text
            assert (await mem.get(receipt.id)).speaker == "Kit"
            assert len((await mem.list(limit=5)).items) == 5
            assert (await mem.update(receipt.id, content="Kit lost the key.")).version == 2
            assert len(await mem.history(receipt.id)) == 2
            assert (await mem.feedback(receipt.id, useful=True)).strength == 1.0
            assert (await mem.stats()).memories == 21
            assert (await mem.export(tmp_path / "d.jsonl")).memories == 21
            assert (await mem.with_scope(project="q").import_(tmp_path / "d.jsonl")).imported == 21
            assert (await mem.maintain()).ran["expired"] == 0
            assert {f.level for f in await mem.doctor()} == {"ok"}
            assert (await mem.audit(limit=3)).checked == 21
            if importlib.util.find_spec("numpy"):
                assert (await mem.embed(["key"], role="query")).shape == (1, 128)
                assert await mem.vector(receipt.id) is not None
            await mem.backup(tmp_path / "b.rae")
            assert (await mem.reembed(lambda texts: [[1.0, 2.0]] * len(texts))).vectors == 42
            assert (await mem.forget(receipt.id)).deleted == 1
            with pytest.raises(rae.NotFoundError):
                await mem.get(receipt.id)
            with pytest.raises(rae.InvalidInputError):
                await mem.recall("x", k=0)
        await mem.close()
        await mem.aclose()
        with pytest.raises(rae.UnavailableError) as caught:
            await mem.stats()
        assert caught.value.code == "closed"

    run(main())


def test_errors_of_open_arrive_and_leave_no_thread() -> None:
    async def main() -> None:
        with pytest.raises(rae.InvalidInputError):
            await rae.aopen("/")

    before = threading.active_count()
    run(main())
    deadline = time.monotonic() + 30
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_the_event_loop_runs_while_a_call_does() -> None:
    async def main() -> int:
        async with await rae.aopen(":memory:") as mem:
            work = asyncio.ensure_future(mem.remember_many(turns(20_000)))
            beats = 0
            while not work.done():
                await asyncio.sleep(0)
                beats += 1
            assert len(await work) == 20_000
            return beats

    assert run(main()) > 100


def test_many_tasks_share_one_store() -> None:
    async def main() -> None:
        async with await rae.aopen(":memory:") as mem:

            async def task(n: int) -> None:
                await mem.remember(f"task {n} wrote this")
                assert len(await mem.recall(f"task {n}")) >= 1

            await asyncio.gather(*(task(n) for n in range(200)))
            assert (await mem.stats()).memories == 200

    run(main())


def test_a_cancelled_call_stops_and_leaves_the_store_usable(tmp_path: Path) -> None:
    async def main() -> tuple[int, int]:
        started = threading.Event()

        def slow(texts: list[str]) -> list[list[float]]:
            if len(texts) > 1:
                started.set()
                time.sleep(0.02)
            return [[1.0, 2.0]] * len(texts)

        async with await rae.aopen(tmp_path / "a.rae", embedder=slow) as mem:
            work = asyncio.ensure_future(mem.remember_many(turns(100_000)))
            await asyncio.to_thread(started.wait)
            work.cancel()
            with pytest.raises(asyncio.CancelledError):
                await work
            await mem.remember("after")
            first = (await mem.stats()).memories
            await asyncio.sleep(0.5)
            return first, (await mem.stats()).memories

    first, later = run(main())
    assert 1 <= later < 50_000
    assert later - first <= 2_000  # at most the transaction that was in hand
    with rae.open(tmp_path / "a.rae", reembed=True) as mem:
        assert all(finding.level != "error" for finding in mem.doctor())


def test_the_time_limit_of_asyncio_ends_a_call() -> None:
    async def main() -> None:
        async with await rae.aopen(":memory:") as mem:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(mem.remember_many(turns(100_000)), 0.05)
            await mem.stats()

    run(main())
