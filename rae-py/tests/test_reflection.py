"""Sessions, and what is learnt from them."""

from __future__ import annotations

import asyncio
import contextlib
import io
from pathlib import Path

import pytest

import rae

PAGE = Path(__file__).parents[2] / "docs" / "concepts" / "reflection.md"


def fail(session: rae.Session, error: str) -> None:
    session.log("tool_call", "fetch(1)", {"tool": "fetch"})
    session.log("tool_response", "-", {"tool": "fetch", "error": error})


def test_a_session_logs_ends_once_and_teaches() -> None:
    with rae.open(":memory:") as mem:
        session = mem.session("trip-1")
        assert (session.id, repr(session)) == ("trip-1", "<rae.Session 'trip-1'>")
        fail(session, "timeout after 30 s")
        fail(session, "Timeout after 5 s.")
        end = session.end("failure", "no flight")
        assert session.end("failure", error="no flight") == end
        for call in (lambda: session.end("success"), lambda: session.log("user_input", "More.")):
            with pytest.raises(rae.ConflictError) as caught:
                call()
            assert caught.value.code == "session_ended"
        page = session.events(limit=4)
        assert [m.role for m in page.items] == ["tool"] * 4
        (last,) = session.events(cursor=page.next_cursor).items
        assert last.metadata == {
            "event": "session_end",
            "outcome": "failure",
            "error": "no flight",
        }
        learnt = mem.reflect()
        lesson = next(made for made in learnt if made.kind == "lesson" and made.tool)
        assert (lesson.tool, lesson.error, lesson.count) == ("fetch", "timeout after <n> s", 2)
        assert lesson.created
        assert len(lesson.sources) == 4
        assert mem.reflect(session_id="trip-1") == []
        assert {m.kind for m in mem.reflections().items} == {"lesson", "reflection"}
        assert lesson.id in {s.id for s in mem.context("How do I fetch it?").sources}
        assert lesson.to_dict()["tool"] == "fetch"


def test_the_asynchronous_twin_does_the_same() -> None:
    async def main() -> None:
        async with await rae.aopen(":memory:") as mem:
            session = mem.session("s")
            await session.log("tool_call", "fetch(1)", {"tool": "fetch"})
            await session.log("tool_response", "Error: gone")
            await session.end("error")
            assert len((await session.events()).items) == 3
            assert (await mem.maintain()).ran["reflected"] == 2
            assert [made.kind for made in await mem.reflect()] == []
            assert repr(session) == "<rae.AsyncSession 's'>"

    asyncio.run(main())


def test_wrong_arguments_are_refused_before_anything_is_written() -> None:
    with rae.open(":memory:") as mem:
        for call in (
            lambda: mem.session("s").log("shout", "x"),  # type: ignore[arg-type]
            lambda: mem.session("s").log("tool_call", 5),  # type: ignore[arg-type]
            lambda: mem.session("").log("tool_call", "x"),
            lambda: mem.session("s").log("tool_call", "x", {"event": "mine"}),
            lambda: mem.end_session("s", "maybe"),  # type: ignore[arg-type]
            lambda: mem.events("s", limit=0),
            lambda: mem.reflect(since="yesterday"),
        ):
            with pytest.raises(rae.InvalidInputError):
                call()
        assert mem.stats().memories == 0


def test_the_examples_of_the_page_run() -> None:
    blocks = [part.split("```")[0] for part in PAGE.read_text("utf-8").split("```python\n")[1:]]
    assert len(blocks) == 2
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        for block in blocks:
            exec(compile(block, str(PAGE), "exec"), {})
    lines = said.getvalue().splitlines()
    assert lines[0].startswith("lesson Calls of `search_flights` failed with 'timeout after")
    assert lines[1].startswith("strategy After `search_flights` failed")
    assert lines[2].startswith("reflection The session trip-1 ended in success.")
    assert "unknown_model_provider" in lines
    assert "Lessons:" in lines
