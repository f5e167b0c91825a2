"""Threads, forks, signals, several processes, and the death of one."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import pytest

import rae

from conftest import Python, turns

FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
POSIX = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


def check_sound(store: Path) -> int:
    """The number of memories of a store that must have no damage."""
    with rae.open(store) as mem:
        assert [finding for finding in mem.doctor() if finding.level == "error"] == []
        return mem.stats().memories


def test_eight_threads_write_and_read_one_store(store: Path) -> None:
    failures: list[BaseException] = []
    with rae.open(store, durability="normal") as mem:

        def work(n: int) -> None:
            try:
                for i in range(30):
                    receipt = mem.remember(f"thread {n} stored note {i}", session_id=f"s{n}")
                    assert mem.get(receipt.id).content == f"thread {n} stored note {i}"
                    assert mem.recall(f"thread {n} note {i}", k=3)
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert failures == []
        assert mem.stats().memories == 240
    assert check_sound(store) == 240


def test_the_interpreter_is_free_while_a_call_runs(mem: rae.Rae) -> None:
    seen = 0
    over = threading.Event()

    def count() -> None:
        nonlocal seen
        while not over.is_set():
            seen += 1

    thread = threading.Thread(target=count)
    thread.start()
    mem.remember_many(turns(20_000))
    over.set()
    thread.join()
    assert seen > 1000


def test_closing_while_others_call_ends_their_calls(store: Path) -> None:
    mem = rae.open(store, durability="normal")
    outcomes: list[str] = []

    def work() -> None:
        try:
            for i in range(100_000):
                mem.remember(f"note {i} of {threading.get_ident()}")
        except rae.RaeError as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    while mem.stats().memories < 20:
        time.sleep(0.001)
    mem.close()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert set(outcomes) <= {"closed", "cancelled", "unavailable"}
    assert len(outcomes) == 4
    assert check_sound(store) >= 20


@FORK
def test_a_forked_child_gets_an_error_and_never_hangs(store: Path, python: Python) -> None:
    code = """
        import asyncio, gc, os, sys, warnings
        import rae
        warnings.simplefilter("ignore")
        store = sys.argv[1]
        mem = rae.open(store)
        mem.remember("Before the fork.")
        twin = asyncio.run(rae.aopen(":memory:"))
        asyncio.run(twin.remember("x"))
        child = os.fork()
        if child == 0:
            codes = []
            calls = [
                mem.stats,
                lambda: mem.remember("x"),
                lambda: mem.recall("x"),
                lambda: mem.with_scope(project="x"),
                lambda: rae.open(store),
                lambda: asyncio.run(twin.stats()),
            ]
            for call in calls:
                try:
                    call()
                    codes.append("no error")
                except rae.UnsupportedError as error:
                    codes.append(error.code)
            assert codes == ["forked"] * 6, codes
            mem.close()
            asyncio.run(twin.close())
            with rae.open(store + ".child") as own:
                own.remember("In the child.")
                assert own.recall("child")[0].content == "In the child."
            del mem, twin, calls
            gc.collect()
            sys.exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        mem.remember("After the fork.")
        assert mem.stats().memories == 2
        mem.close()
        child = os.fork()
        if child == 0:
            with rae.open(store) as own:
                own.remember("The child of a closed parent.")
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        with rae.open(store) as mem:
            print(mem.stats().memories)
    """
    assert python.run(code, store) == "3"
    assert check_sound(store) == 3


@FORK
def test_forked_children_make_ids_of_their_own() -> None:
    # The clock stands still for all of them, so that only the generators can tell them apart.
    rae.open(":memory:", _test_now="2024-01-01").close()
    with multiprocessing.get_context("fork").Pool(4) as pool:
        batches = pool.map(_ids, range(8))
    assert len({memory_id for batch in batches for memory_id in batch}) == 8 * 10


def _ids(_n: int) -> list[str]:
    with rae.open(":memory:", _test_now="2024-01-01") as mem:
        return [mem.remember(f"note {i}").id for i in range(10)]


@FORK
def test_a_pool_of_forked_workers_opens_stores_of_its_own(store: Path) -> None:
    rae.open(store).close()
    context = multiprocessing.get_context("fork")
    with context.Pool(4) as pool:
        ids = [
            memory_id
            for batch in pool.map(_write, [(store, n) for n in range(8)])
            for memory_id in batch
        ]
    # Children of one process must not make the same ids: one of two writes would be taken for the other.
    assert len(set(ids)) == len(ids) == 200
    assert check_sound(store) == 200


def _write(job: tuple[Path, int]) -> list[str]:
    store, n = job
    with rae.open(store, durability="normal") as mem:
        return [mem.remember(f"worker {n} note {i}").id for i in range(25)]


INTERRUPTED = """
    import sys, time
    import rae
    store = sys.argv[1]
    items = [{"content": f"note {i} about {i % 97}", "session_id": f"s{i % 50}"} for i in range(100_000)]
    mem = rae.open(store)
    print("ready", flush=True)
    try:
        mem.remember_many(items)
        print("finished", flush=True)
    except KeyboardInterrupt:
        print("interrupted", mem.stats().memories, flush=True)
        mem.close()
        raise
"""


def wait_for_rows(store: Path, process: subprocess.Popen[str], least: int) -> None:
    """Until the other process has committed something."""
    with rae.open(store) as watch:
        while watch.stats().memories < least:
            assert process.poll() is None, process.communicate()
            time.sleep(0.005)


@POSIX
def test_control_c_ends_a_bulk_write_and_the_file_is_sound(store: Path, python: Python) -> None:
    process = python.start(INTERRUPTED, store)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    wait_for_rows(store, process, 1_000)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert out.startswith("interrupted")
    assert "KeyboardInterrupt" in err
    assert process.returncode in (1, -signal.SIGINT, 130)
    memories = check_sound(store)
    assert 1_000 <= memories < 100_000
    assert memories % 1_000 == 0  # whole transactions


@POSIX
def test_control_c_ends_an_asynchronous_bulk_write_too(store: Path, python: Python) -> None:
    code = """
        import asyncio, sys
        import rae

        async def main():
            async with await rae.aopen(sys.argv[1]) as mem:
                print("ready", flush=True)
                await mem.remember_many({"content": f"note {i} about {i % 97}"} for i in range(100_000))
                print("finished", flush=True)

        asyncio.run(main())
    """
    process = python.start(code, store)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    wait_for_rows(store, process, 1_000)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert out == ""
    assert "KeyboardInterrupt" in err
    assert 1_000 <= check_sound(store) < 100_000


def test_one_process_may_open_a_file_twice(store: Path) -> None:
    with rae.open(store) as first, rae.open(store) as second:
        memory_id = first.remember("Written by the first.").id
        assert second.recall("written first")[0].id == memory_id
        second.forget(memory_id)
        assert not first.recall("written first")
    assert check_sound(store) == 0


@POSIX
def test_kill_in_the_middle_of_a_bulk_write_loses_nothing_acknowledged(
    store: Path, python: Python
) -> None:
    code = """
        import sys
        import rae
        with rae.open(sys.argv[1]) as mem:
            for batch in range(1_000):
                receipts = mem.remember_many({"content": f"batch {batch} note {i}"} for i in range(200))
                print(batch, receipts[0].id, receipts[-1].id, flush=True)
    """
    process = python.start(code, store)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(5)]
    process.kill()
    rest, _ = process.communicate(timeout=60)
    acknowledged = [line.split() for line in [*lines, *rest.splitlines()] if line.count(" ") == 2]
    memories = check_sound(store)
    assert memories >= 200 * len(acknowledged)
    assert memories % 200 == 0
    with rae.open(store) as mem:
        for batch, first, last in acknowledged:
            assert mem.get(first).content == f"batch {batch} note 0"
            assert mem.get(last).content == f"batch {batch} note 199"
        assert mem.recall(f"batch {acknowledged[-1][0]} note 7", k=20)


def test_two_processes_write_one_file_at_once(store: Path, python: Python) -> None:
    code = """
        import sys
        import rae
        with rae.open(sys.argv[1]) as mem:
            for i in range(40):
                mem.remember(f"process {sys.argv[2]} note {i}", session_id="shared")
                mem.remember_many({"content": f"process {sys.argv[2]} batch {i} {j}"} for j in range(5))
                assert mem.recall(f"process {sys.argv[2]} note {i}")
            print("done")
    """
    rae.open(store).close()
    processes = [python.start(code, store, n) for n in range(2)]
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert out == "done\n", err
    assert check_sound(store) == 2 * 40 * 6
    with rae.open(store) as mem:
        places = [
            m.seq_in_session for m in mem.list(limit=1000, filter={"session_id": "shared"}).items
        ]
        assert sorted(place for place in places if place is not None) == list(range(80))


def test_a_reader_sees_what_another_process_has_committed(store: Path, python: Python) -> None:
    with rae.open(store) as mem:
        mem.remember("The old news.")
        assert mem.recall("news")
        code = """
            import sys, rae
            with rae.open(sys.argv[1]) as mem:
                print(mem.remember("The fresh news of the day.").id)
                mem.forget(mem.list(limit=1).items[0].id)
        """
        fresh = python.run(code, store)
        assert [hit.id for hit in mem.recall("news")] == [fresh]


def test_garbage_collection_closes_a_store_and_leaves_no_thread(tmp_path: Path) -> None:
    def tasks() -> int:
        tasks = Path("/proc/self/task")
        return len(list(tasks.iterdir())) if tasks.exists() else 0

    before = tasks()
    for n in range(20):
        mem = rae.open(tmp_path / f"{n % 3}.rae")
        mem.remember(f"note {n}")
        mem.recall("note")
        other = mem.with_scope(project="other")
        gone = weakref.ref(mem)
        del mem
        other.remember("still open")
        del other
        gc.collect()
        assert gone() is None
    deadline = time.monotonic() + 30
    while tasks() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert tasks() <= before
    assert not list(tmp_path.glob("*-wal"))


def test_calls_leave_no_references_behind(mem: rae.Rae) -> None:
    mem.remember_many(turns(50))
    query, metadata, tags = "subject " + str(id(mem)), {"key": ["value"]}, ["t"]

    def calls() -> None:
        mem.remember("again", metadata=metadata, tags=tags, kind="fact")
        for hit in mem.recall(
            query, k=5, tags=None, filter={"metadata.key": {"contains": "value"}}
        ):
            hit.to_dict()
        for bad in (
            lambda: mem.recall(query, k=0),
            lambda: mem.remember(query, metadata={"a": metadata, "b": {1}}),
        ):
            with pytest.raises(rae.InvalidInputError):
                bad()

    calls()
    gc.collect()
    counts = [sys.getrefcount(o) for o in (query, metadata, tags, None)][:3]
    blocks = sys.getallocatedblocks()
    for _ in range(200):
        calls()
    gc.collect()
    assert [sys.getrefcount(o) for o in (query, metadata, tags, None)][:3] == counts
    assert sys.getallocatedblocks() - blocks < 2_000


def test_a_process_may_end_with_a_store_open(store: Path, python: Python) -> None:
    code = """
        import sys, threading, rae
        mem = rae.open(sys.argv[1])
        mem.remember("Left open.")
        aside = rae.open(":memory:")
        threading.Thread(target=lambda: [aside.remember(f"n {i}") for i in range(100_000)], daemon=True).start()
        print(mem.recall("open")[0].content)
    """
    assert python.run(code, store) == "Left open."
    assert check_sound(store) == 1
