"""The scenarios of the engine, replayed through `Rae` and `AsyncRae`: the same steps and answers as in Rust and Node.

The format is in CONTRIBUTING.md. With RAE_SCENARIO_TRANSCRIPTS the answers go to `python.json` and `python-async.json` in
that folder, where scripts/compare_transcripts.py compares them with those of the other languages, floats to the last bit.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import json
import math
import os
import re
import shutil
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy
import pytest

import rae

from conftest import ScenarioServer

FOLDER = Path(__file__).resolve().parents[2] / "rae-core" / "src" / "conformance" / "scenarios"

# The expectations were recorded on one machine; another's floats may differ in the last digits.
TOLERANCE = 1e-6

Step = dict[str, Any]
Embed = Callable[[list[str]], list[Any]]


def read_scenarios() -> list[dict[str, Any]]:
    files = sorted(FOLDER.glob("*.json"))
    if not files:
        pytest.fail(f"no scenarios in {FOLDER}: run these tests from a checkout of the repository")
    return [scenario for file in files for scenario in json.loads(file.read_text(encoding="utf-8"))]


SCENARIOS = read_scenarios()


# The test embedders, with the same arithmetic in every language.


def letters(text: str) -> list[float] | None:
    counts = [0.0] * 26
    for c in text:
        if c.isascii() and c.isalpha():
            counts[ord(c.lower()) - ord("a")] += 1
    return counts if any(counts) else None


def pairs(text: str) -> list[float] | None:
    data = text.encode()
    counts = [0.0] * 8
    for first, second in itertools.pairwise(data):
        counts[(first * 31 + second) % 8] += 1
    return counts if len(data) > 1 else None


# Answers as the wire shows them.


def plain(value: Any) -> Any:
    if hasattr(value, "to_dict"):
        value = value.to_dict()
        if "from_" in value:  # `from` is a word of Python's
            value["from"] = value.pop("from_")
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, datetime):
        # RFC 3339 in UTC with as many decimals as needed, as the engine prints it.
        text = value.replace(tzinfo=None).isoformat(timespec="microseconds").rstrip("0")
        return text.rstrip(".") + "Z"
    if isinstance(value, dict):
        # A claim is absent in JSON where a memory states no relation.
        return {key: plain(v) for key, v in value.items() if (key, v) != ("claim", None)}
    if isinstance(value, list):
        return [plain(v) for v in value]
    if isinstance(value, numpy.ndarray):
        # A row of zeros is the array's way to say that there is no vector.
        return (
            [plain(row) if row.any() else None for row in value]
            if value.ndim > 1
            else value.tolist()
        )
    return value


def is_any(kind: str, value: Any) -> bool:
    number = not isinstance(value, bool) and isinstance(value, int | float)
    return {
        "string": isinstance(value, str),
        "number": number,
        "integer": number and isinstance(value, int),
        "object": isinstance(value, dict),
    }[kind]


def any_of(expected: Any) -> str | None:
    if isinstance(expected, dict) and expected.keys() == {"$any"}:
        return str(expected["$any"])
    return None


def difference(actual: Any, expected: Any, at: str = "") -> str | None:
    """The first place where an answer is not what was expected."""
    wrong = f"{at}: expected {expected!r}, found {actual!r}"
    kind = any_of(expected)
    if kind is not None:
        return None if is_any(kind, actual) else wrong
    if isinstance(expected, dict) and isinstance(actual, dict):
        if expected.keys() != actual.keys():
            return f"{at}: the keys {sorted(expected.keys() ^ actual.keys())} are on one side only"
        parts = ((actual[key], expected[key], f"{at}/{key}") for key in expected)
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        parts = ((a, e, f"{at}/{i}") for i, (a, e) in enumerate(zip(actual, expected, strict=True)))
    elif is_any("number", expected) and is_any("number", actual):
        exact = isinstance(expected, int) and isinstance(actual, int)
        same = expected == actual or (
            not exact and math.isclose(actual, expected, rel_tol=0, abs_tol=TOLERANCE)
        )
        return None if same else wrong
    else:
        return None if type(expected) is type(actual) and expected == actual else wrong
    return next((d for d in (difference(*part) for part in parts) if d), None)


def at_pointer(value: Any, pointer: str) -> Any:
    for part in pointer.split("/")[1:]:
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value


class Replay:
    """One run of one scenario. `opener` and the handles' verbs may be awaitable or not."""

    def __init__(self, folder: Path, opener: Callable[..., Any]) -> None:
        self._folder = str(folder)
        self._open = opener
        self._handles: dict[str, Any] = {}
        self._opened: list[Any] = []
        self._saved: dict[str, Any] = {}
        self._fails = False
        self.results: list[Any] = []

    async def run(self, scenario: dict[str, Any]) -> None:
        await self._step_open("mem", scenario.get("open", {}))
        try:
            for number, step in enumerate(scenario["steps"]):
                try:
                    actual = await self._step(step)
                except rae.RaeError as error:
                    if step.get("returns", ...) is not ... or "error" not in step:
                        raise AssertionError(
                            f"step {number} {step.get('call', '')}: {error}"
                        ) from error
                    actual = {"error": {"kind": error.kind, "code": error.code}}
                expected = {"error": step["error"]} if "error" in step else step.get("returns")
                self.results.append(self._shown(actual, expected))
                wrong = difference(actual, self._given(expected, is_expected=True))
                assert wrong is None, f"step {number} {step.get('call', '')}: {wrong}"
                for name, pointer in step.get("save", {}).items():
                    self._saved[name] = at_pointer(actual, pointer)
        finally:
            for handle in self._opened:
                await settled(handle.close())

    async def _step(self, step: Step) -> Any:
        kinds = {"call", "open", "scope", "advance", "close", "write_file", "copy_file", "embedder"}
        (kind,) = kinds & step.keys()
        value = step[kind]
        if kind == "call":
            return await self._call(value, step.get("on", "mem"), self._given(step.get("args", {})))
        if kind == "open":
            await self._step_open(value, step.get("options", {}))
        elif kind == "scope":
            scope = {key: step[key] for key in ("tenant", "project") if key in step}
            self._handles[value] = self._handles[step.get("of", "mem")].with_scope(**scope)
        elif kind == "advance":
            self._advance(value)
        elif kind == "close":
            await settled(self._handles[value].close())
        elif kind == "write_file":
            Path(self._path(value)).write_bytes(step["text"].encode())
        elif kind == "copy_file":
            shutil.copyfile(self._path(value), self._path(step["to"]))
        else:
            self._embedders_fail(value == "fails")
        return None

    def _advance(self, seconds: int) -> None:
        for handle in self._opened:
            getattr(handle, "_rae", handle)._native.test_advance(seconds)

    def _embedders_fail(self, fail: bool) -> None:
        self._fails = fail

    async def _call(self, verb: str, on: str, args: dict[str, Any]) -> Any:
        if verb == "reembed":
            args["embedder"] = self._embedder(args["embedder"])
        if verb in ("meter", "end_metered"):
            # A `with` block in Python, which tests/test_money.py shows; here its two ends.
            handle = self._handles[on]
            return getattr(handle, "_rae", handle)._native.call(verb, args)
        method = getattr(self._handles[on], "import_" if verb == "import" else verb)
        return plain(await settled(method(**args)))

    async def _step_open(self, name: str, options: dict[str, Any]) -> None:
        given = dict(options)
        path = self._path(given.pop("path", ":memory:"))
        given["embedder"] = self._embedder(given.pop("embedder", None))
        given["_test_now"] = given.pop("now", "2026-01-01T00:00:00Z")
        given["_test_seed"] = given.pop("seed", 42)
        self._handles[name] = await settled(self._open(path, **given))
        self._opened.append(self._handles[name])

    def _embedder(self, name: str | None) -> Any:
        if name is None:
            return None
        one, rae_id = {"letters": (letters, "letters@1/26"), "pairs": (pairs, "pairs@1/8")}[name]

        def embed(texts: list[str]) -> list[Any]:
            if self._fails:
                raise ConnectionError("the embedder fails, as the scenario says")
            return [one(text) for text in texts]

        embed.rae_id = rae_id  # type: ignore[attr-defined]
        return embed

    def _path(self, text: str) -> str:
        return self._folder + text.removeprefix("$tmp") if text.startswith("$tmp") else text

    def _given(self, value: Any, *, is_expected: bool = False) -> Any:
        """A value with what stands for something else put in."""
        if isinstance(value, dict):
            if not is_expected and value.keys() == {"$repeat"}:
                text, times = value["$repeat"]
                return text * times
            return {key: self._given(v, is_expected=is_expected) for key, v in value.items()}
        if isinstance(value, list):
            return [self._given(v, is_expected=is_expected) for v in value]
        if isinstance(value, str):
            if re.fullmatch(r"\$(?!tmp)[a-z0-9_]+", value):
                return self._saved[value[1:]]
            return self._path(value)
        return value

    def _shown(self, actual: Any, expected: Any) -> Any:
        """An answer for the transcript."""
        kind = any_of(expected)
        if kind is not None and is_any(kind, actual):
            return expected
        if isinstance(actual, dict):
            parts = expected if isinstance(expected, dict) else {}
            return {key: self._shown(v, parts.get(key)) for key, v in actual.items()}
        if isinstance(actual, list):
            known = expected if isinstance(expected, list) else []
            return [
                self._shown(v, known[i] if i < len(known) else None) for i, v in enumerate(actual)
            ]
        if isinstance(actual, str) and actual.startswith(self._folder):
            return "$tmp" + actual[len(self._folder) :]
        return actual


class RemoteReplay(Replay):
    """The same on a server: each store is opened there, and `opener` is `connect` or `aconnect`."""

    def __init__(self, folder: Path, opener: Callable[..., Any], server: ScenarioServer) -> None:
        super().__init__(folder, opener)
        self._server = server
        self._paths: list[str] = []

    async def run(self, scenario: dict[str, Any]) -> None:
        try:
            await super().run(scenario)
        finally:
            for path in self._paths:
                self._server.post(path + "control", {"close": True})

    def _advance(self, seconds: int) -> None:
        for path in self._paths:
            self._server.post(path + "control", {"advance": seconds})

    def _embedders_fail(self, fail: bool) -> None:
        for path in self._paths:
            self._server.post(path + "control", {"embedder": "fails" if fail else "works"})

    async def _step_open(self, name: str, options: dict[str, Any]) -> None:
        path = self._server.post("/open", options)["path"]
        self._paths.append(path)
        given = {key: options[key] for key in ("tenant", "project", "timeout") if key in options}
        given = {"tenant": "default", "project": "default", **given}
        url = self._server.url + path
        self._handles[name] = await settled(self._open(url, api_key=self._server.KEY, **given))
        self._opened.append(self._handles[name])


def needs_the_embedded_store(scenario: dict[str, Any]) -> bool:
    """As `Scenario::needs_the_embedded_store` of rae-core: why is said there."""
    steps = [{"open": "mem", "options": scenario.get("open", {})}, *scenario["steps"]]

    def apart(step: Step) -> bool:
        names = [step.get(key, "") for key in ("tenant", "project")]
        return (
            step.get("options", {}).get("path", ":memory:") != ":memory:"
            or step.get("call") in ("backup", "reembed")
            or any(name != name.strip() for name in names)
            or ("open" in step and "error" in step)
        )

    return any(apart(step) for step in steps)


# Counted in rae-server/tests/remote/scenarios.rs too.
NOT_OVER_HTTP = 14
OVER_HTTP = [s for s in SCENARIOS if not needs_the_embedded_store(s)]


async def settled(value: Any) -> Any:
    return await value if isinstance(value, Awaitable) else value


class Transcript:
    def __init__(self, surface: str) -> None:
        self._surface = surface
        self._entries: list[dict[str, Any]] = []

    def add(self, rule: str, results: list[Any]) -> None:
        self._entries.append({"rule": rule, "results": results})

    def write(self) -> None:
        folder = os.environ.get("RAE_SCENARIO_TRANSCRIPTS")
        if folder:
            text = json.dumps(self._entries, ensure_ascii=False, allow_nan=False)
            Path(folder, f"{self._surface}.json").write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def blocking() -> Iterator[Transcript]:
    transcript = Transcript("python")
    yield transcript
    transcript.write()


@pytest.fixture(scope="module")
def asynchronous() -> Iterator[Transcript]:
    transcript = Transcript("python-async")
    yield transcript
    transcript.write()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[s["rule"] for s in SCENARIOS])
def test_the_blocking_class_does(
    scenario: dict[str, Any], tmp_path: Path, blocking: Transcript
) -> None:
    replay = Replay(tmp_path, rae.open)
    # Nothing in it waits: it ends at the first step of the coroutine.
    with pytest.raises(StopIteration):
        replay.run(scenario).send(None)
    blocking.add(scenario["rule"], replay.results)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[s["rule"] for s in SCENARIOS])
def test_the_asynchronous_class_does(
    scenario: dict[str, Any], tmp_path: Path, asynchronous: Transcript
) -> None:
    replay = Replay(tmp_path, rae.aopen)
    asyncio.run(replay.run(scenario))
    asynchronous.add(scenario["rule"], replay.results)


@pytest.fixture(scope="module")
def remote() -> Iterator[Transcript]:
    transcript = Transcript("python-remote")
    yield transcript
    transcript.write()


@pytest.fixture(scope="module")
def remote_asynchronous() -> Iterator[Transcript]:
    transcript = Transcript("python-remote-async")
    yield transcript
    transcript.write()


@pytest.mark.parametrize("scenario", OVER_HTTP, ids=[s["rule"] for s in OVER_HTTP])
def test_the_blocking_class_does_over_http(
    scenario: dict[str, Any], tmp_path: Path, remote: Transcript, scenario_server: ScenarioServer
) -> None:
    replay = RemoteReplay(tmp_path, rae.connect, scenario_server)
    with pytest.raises(StopIteration):
        replay.run(scenario).send(None)
    remote.add(scenario["rule"], replay.results)


@pytest.mark.parametrize("scenario", OVER_HTTP, ids=[s["rule"] for s in OVER_HTTP])
def test_the_asynchronous_class_does_over_http(
    scenario: dict[str, Any],
    tmp_path: Path,
    remote_asynchronous: Transcript,
    scenario_server: ScenarioServer,
) -> None:
    replay = RemoteReplay(tmp_path, rae.aconnect, scenario_server)
    asyncio.run(replay.run(scenario))
    remote_asynchronous.add(scenario["rule"], replay.results)


def test_the_scenarios_that_are_not_replayed_over_http_are_counted() -> None:
    assert len(SCENARIOS) - len(OVER_HTTP) == NOT_OVER_HTTP


def test_every_verb_is_shown_with_an_answer() -> None:
    steps = [step for scenario in SCENARIOS for step in scenario["steps"]]
    shown = {step["call"] for step in steps if "call" in step and "error" not in step}
    shown |= {"close" for step in steps if "close" in step}
    for cls in (rae.Rae, rae.AsyncRae):
        public = {
            name for name, member in inspect.getmembers(cls, callable) if not name.startswith("_")
        }
        # A handle for another tenant or project is a step of its own, and aclose is close. Models need a provider: test_money.py.
        # A dead letter needs a job that fails for hours: test_embedder.py.
        apart = {"with_scope", "session", "aclose", "llm", "llm_estimate", "requeue_job"}
        verbs = {name.removesuffix("_") for name in public - apart}
        verbs.add("end_metered")  # the end of the `with` block of `meter`
        assert verbs <= shown, f"no scenario calls {sorted(verbs - shown)} with an answer"
        assert shown <= verbs, f"{cls.__name__} lacks {sorted(shown - verbs)}"
