"""Budgets, metering and calls of models, against a provider of one's own that keeps the books of what it charged."""

from __future__ import annotations

import asyncio
import json
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import rae

from conftest import ScenarioServer

MODEL = "gpt-4o-mini"
# Micro-dollars for a million tokens, as the built-in file has them.
INPUT, OUTPUT = 150_000, 600_000
ASK = [{"role": "user", "content": "Where does the ferry leave from?"}]
ANSWER = "From the old pier, at ten."


def price(input_tokens: int, output_tokens: int) -> Decimal:
    """What a call costs: whole micro-dollars, rounded up."""
    return Decimal(-(-(input_tokens * INPUT + output_tokens * OUTPUT) // 1_000_000)).scaleb(-6)


class Provider:
    """Speaks OpenAI's chat completions. Charges 20 tokens read and 7 written a call."""

    def __init__(self) -> None:
        self.charged: list[tuple[int, int]] = []
        self.bodies: list[dict[str, Any]] = []
        self.status = 200
        # The answer, or the rest of a stream, waits for this.
        self.release = threading.Event()
        self.release.set()
        self.asked = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_POST(self) -> None:
                try:
                    outer.answer(self)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def answer(self, http: BaseHTTPRequestHandler) -> None:
        body = json.loads(http.rfile.read(int(http.headers["content-length"])))
        assert http.path == "/v1/chat/completions"
        assert http.headers["authorization"] == "Bearer sk-test"
        self.bodies.append(body)
        if self.status != 200:
            refused = {"error": {"message": "no", "type": "invalid_request_error", "code": None}}
            return self._send(http, self.status, json.dumps(refused).encode())
        self.charged.append((20, 7))
        usage = {"prompt_tokens": 20, "completion_tokens": 7, "total_tokens": 27}
        head = {"id": "chatcmpl-1", "created": 1, "model": MODEL}
        self.asked.set()
        if not body.get("stream"):
            self.release.wait(30)
            message = {"role": "assistant", "content": ANSWER}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            whole = {**head, "object": "chat.completion", "choices": [choice], "usage": usage}
            return self._send(http, 200, json.dumps(whole).encode())
        http.send_response(200)
        http.send_header("content-type", "text/event-stream")
        http.send_header("connection", "close")
        http.end_headers()

        def event(data: Any) -> None:
            http.wfile.write(b"data: " + json.dumps(data).encode() + b"\n\n")
            http.wfile.flush()

        head["object"] = "chat.completion.chunk"
        for i, word in enumerate(ANSWER.split(" ")):
            delta = {"content": word if i == 0 else " " + word}
            event({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
            if i == 1:
                self.release.wait(30)
        event({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        event({**head, "choices": [], "usage": usage})
        http.wfile.write(b"data: [DONE]\n\n")
        http.close_connection = True
        return None

    @staticmethod
    def _send(http: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
        http.send_response(status)
        http.send_header("content-type", "application/json")
        http.send_header("content-length", str(len(body)))
        http.end_headers()
        http.wfile.write(body)

    @property
    def cost(self) -> Decimal:
        return sum((price(*tokens) for tokens in self.charged), Decimal(0))

    def close(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.close()


def providers(provider: Provider) -> dict[str, dict[str, str]]:
    return {"openai": {"api_key": "sk-test", "base_url": provider.url}}


@pytest.fixture
def here(provider: Provider) -> Iterator[rae.Rae]:
    with rae.open(":memory:", providers=providers(provider)) as opened:
        yield opened


@pytest.fixture
def far(provider: Provider, scenario_server: ScenarioServer) -> Iterator[rae.Rae]:
    url = scenario_server.store(providers=providers(provider))
    with rae.connect(url, api_key=scenario_server.KEY, tenant="t") as connected:
        yield connected


@pytest.fixture(params=["here", "far"])
def mem(request: pytest.FixtureRequest) -> rae.Rae:
    """A store of this process, and one on a server: the same calls, the same answers."""
    found: rae.Rae = request.getfixturevalue(request.param)
    return found


def rows(mem: rae.Rae, count: int) -> list[rae.LedgerRow]:
    """The rows of the ledger, once there are so many: a call that was given up is booked beside its caller."""
    until = time.monotonic() + 30
    while True:
        items = mem.cost_log(1000).items
        if len(items) >= count or time.monotonic() > until:
            assert len(items) == count
            return items
        time.sleep(0.01)


def test_a_budget_is_changed_field_by_field(mem: rae.Rae) -> None:
    assert mem.limits() == rae.Limits(None, None, None, None, 0.8)
    mem.set_budget(daily_limit=Decimal("20.10"), monthly_limit="500", daily_token_limit=1_000_000)
    limits = mem.set_budget(monthly_limit=None, warning_threshold=0.5)
    assert limits == rae.Limits(Decimal("20.1"), None, 1_000_000, None, 0.5)
    assert mem.set_budget(daily_limit=0.000001, project=True).daily_limit == Decimal("0.000001")
    assert mem.limits() == limits
    budget = mem.budget()
    assert (budget.scope, budget.daily.limit_usd, budget.daily.used_usd) == (
        "tenant",
        Decimal("20.1"),
        0,
    )
    assert budget.daily.resets_at - datetime.now(timezone.utc) <= timedelta(days=1)
    assert budget.tokens.daily.remaining == 1_000_000
    assert pickle.loads(pickle.dumps(budget)) == budget
    assert budget.to_dict()["daily"]["limit_usd"] == Decimal("20.1")
    for wrong in ({"daily_limit": -1}, {"daily_limit": 1e-7}, {"warning_threshold": 2}):
        with pytest.raises(rae.InvalidInputError):
            mem.set_budget(**wrong)  # type: ignore[arg-type]


def test_an_answer_says_what_it_cost_and_the_ledger_agrees_to_the_micro_dollar(
    mem: rae.Rae, provider: Provider
) -> None:
    answer = mem.llm(ASK, model=MODEL, max_tokens=50, user_id="ada", operation="greet", seed=7)
    assert (answer.text, str(answer), answer.finish_reason) == (ANSWER, ANSWER, "stop")
    assert answer.message == {"role": "assistant", "content": ANSWER}
    assert answer.usage == rae.Usage(20, 0, 7, 0, estimated=False)
    assert (answer.cost_usd, answer.provider, answer.attempts) == (provider.cost, "openai", 1)
    assert provider.bodies[0]["max_completion_tokens"] == 50
    assert provider.bodies[0]["seed"] == 7
    (row,) = rows(mem, 1)
    assert (row.status, row.cost_usd, row.user_id, row.operation) == (
        "ok",
        provider.cost,
        "ada",
        "greet",
    )
    (item,) = mem.costs(group_by=["user", "model"]).items
    assert (item.user, item.model, item.calls, item.cost_usd) == ("ada", MODEL, 1, provider.cost)
    assert mem.budget().daily.used_usd == provider.cost
    assert mem.budget().daily.reserved_usd == 0


def test_a_streamed_answer_comes_in_pieces_and_costs_the_same(
    mem: rae.Rae, provider: Provider
) -> None:
    with mem.llm(ASK, model=MODEL, stream=True) as stream:
        assert stream.cost_usd is None
        pieces = list(stream)
        assert "".join(map(str, pieces)) == ANSWER
        assert pieces[-1].finish_reason == "stop"
        assert (stream.cost_usd, stream.usage) == (
            provider.cost,
            rae.Usage(20, 0, 7, 0, estimated=False),
        )
        assert list(stream) == []
    (row,) = rows(mem, 1)
    assert (row.status, row.cost_usd) == ("ok", provider.cost)


def test_a_stream_that_is_left_is_booked_at_what_was_produced(
    mem: rae.Rae, provider: Provider
) -> None:
    provider.release.clear()
    with mem.llm(ASK, model=MODEL, stream=True) as stream:
        assert next(stream).text == "From"
    assert list(stream) == []
    (row,) = rows(mem, 1)
    assert row.status == "dropped"
    assert row.estimated
    assert row.cost_usd > 0


def test_a_full_budget_refuses_before_the_first_byte(mem: rae.Rae, provider: Provider) -> None:
    mem.set_budget(daily_limit="0.00001")
    with pytest.raises(rae.BudgetExceededError) as raised:
        mem.llm(ASK, model=MODEL)
    assert raised.value.code == "daily_usd_budget_exceeded"
    details = raised.value.details
    assert details is not None
    assert (details["scope"], details["limit"], details["used"]) == ("tenant", 0.00001, 0)
    assert details["requested"] > details["available"]
    with pytest.raises(rae.BudgetExceededError):
        mem.llm(ASK, model=MODEL, stream=True)
    estimate = mem.llm_estimate(ASK, model=MODEL)
    assert not estimate.allowed
    assert estimate.refusal is not None
    assert estimate.refusal["code"] == "daily_usd_budget_exceeded"
    mem.set_budget(daily_limit=None)
    estimate = mem.llm_estimate(ASK, model=MODEL, max_tokens=100)
    assert estimate.allowed
    assert estimate.cost_usd == price(estimate.input_tokens, 100)
    assert provider.bodies == []


def test_what_a_provider_refuses_is_an_error_of_its_kind_and_costs_nothing(
    mem: rae.Rae, provider: Provider
) -> None:
    provider.status = 400
    with pytest.raises(rae.InvalidInputError):
        mem.llm(ASK, model=MODEL)
    (row,) = rows(mem, 1)
    assert (row.status, row.cost_usd) == ("failed", 0)
    with pytest.raises(rae.InvalidInputError) as raised:
        mem.llm(ASK, model="openai/a-model-of-nobody")
    assert raised.value.code == "unknown_model_price"
    with rae.open(":memory:", providers={}) as bare, pytest.raises(rae.InvalidInputError) as raised:
        bare.llm(ASK, model=MODEL)
    assert raised.value.code == "unknown_model_provider"


def test_prices_and_a_ceiling_are_given_when_the_store_is_opened(
    provider: Provider, tmp_path: Path
) -> None:
    mine = {
        "models": [
            {
                "provider": "openai",
                "model": "mine",
                "from": "2020-01-01",
                "input": "1000000",
                "output": "0",
            }
        ]
    }
    file = tmp_path / "prices.json"
    file.write_text(json.dumps(mine))
    for prices in (mine, file):
        with rae.open(":memory:", providers=providers(provider), prices=prices) as mem:
            assert mem.llm(ASK, model="openai/mine").cost_usd == 20
    ceiling = {"input": Decimal(1), "output": "2"}
    with rae.open(":memory:", providers=providers(provider), unknown_model=ceiling) as mem:
        assert mem.llm(ASK, model="openai/new").cost_usd == Decimal("0.000034")
    with pytest.raises(rae.InvalidInputError):
        rae.open(":memory:", unknown_model="free")  # type: ignore[arg-type]


def test_providers_come_from_the_environment(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("RAE_OPENAI_BASE_URL", provider.url)
    with rae.open(":memory:") as mem:
        assert mem.llm(ASK, model=MODEL).text == ANSWER


def test_a_metered_call_is_held_and_booked_at_what_it_used(mem: rae.Rae) -> None:
    usages = [
        {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
        {"input_tokens": 1000, "output_tokens": 100, "cache_read_input_tokens": 0},
        {"prompt_token_count": 1000, "candidates_token_count": 100},
        rae.Usage(1000, 0, 100, 0, estimated=False),
    ]
    writes = {"input_tokens": 1000, "cache_read_input_tokens": 400, "output_tokens": 100}
    writes["cache_creation_input_tokens"] = 600
    for usage in usages:
        with mem.meter("openai", MODEL, input_tokens=1000, max_output_tokens=500) as call:
            assert (call.held_usd, call.held_tokens) == (price(1000, 500), 1500)
            assert mem.budget().daily.reserved_usd == price(1000, 500)
            call.used(usage)
        assert call.cost_usd == price(1000, 100)
    with mem.meter("openai", MODEL, messages=ASK) as call:
        call.used(input_tokens=10, cached_input_tokens=10, output_tokens=0)
    assert call.cost_usd == Decimal("0.000001")
    with mem.meter("openai", MODEL, input_tokens=1) as call:
        call.free()
    assert call.cost_usd == 0
    assert mem.budget().daily.used_usd == price(1000, 100) * 4 + Decimal("0.000001")
    # What is written to the provider's cache has a price of its own.
    written = Decimal("0.00229")
    with mem.meter(
        "anthropic", "claude-haiku-4-5", input_tokens=2000, max_output_tokens=100
    ) as call:
        call.used(writes)
    assert call.cost_usd == written
    with mem.meter(
        "anthropic", "claude-haiku-4-5", input_tokens=2000, max_output_tokens=100
    ) as call:
        call.used(
            input_tokens=2000, cached_input_tokens=400, cache_write_tokens=600, output_tokens=100
        )
    assert call.cost_usd == written
    total = price(1000, 100) * 4 + Decimal("0.000001") + written * 2
    assert mem.budget().daily.used_usd == total
    assert mem.budget().daily.reserved_usd == 0
    with pytest.raises(rae.InvalidInputError), call:
        pass


def test_a_metered_call_that_says_nothing_or_fails_is_booked_at_what_was_held(mem: rae.Rae) -> None:
    with (
        pytest.warns(RuntimeWarning, match="did not say what it used"),
        mem.meter("openai", MODEL, input_tokens=1000, max_output_tokens=500) as call,
    ):
        pass
    assert call.cost_usd == price(1000, 500)
    with (
        pytest.raises(ConnectionError),
        mem.meter("openai", MODEL, input_tokens=1000, max_output_tokens=500) as call,
    ):
        raise ConnectionError
    assert call.cost_usd == price(1000, 500)
    unsent = mem.meter("openai", MODEL, input_tokens=1000, max_output_tokens=500)
    with suppress(ConnectionError), unsent as call:
        call.free()
        raise ConnectionError
    assert call.cost_usd == 0
    with (
        pytest.raises(rae.InvalidInputError),
        mem.meter("openai", MODEL, input_tokens=1000, max_output_tokens=500) as call,
    ):
        call.used({"tokens": 5})
    assert call.cost_usd == price(1000, 500)
    assert mem.budget().daily.reserved_usd == 0


def test_fifty_threads_never_pass_a_small_budget_together(mem: rae.Rae) -> None:
    each = price(1000, 500)
    mem.set_budget(daily_limit=each * 10)
    begin, leave = threading.Barrier(50), threading.Event()
    outcomes: list[str] = []

    def one() -> None:
        begin.wait()
        try:
            with mem.meter("openai", MODEL, input_tokens=1000, max_output_tokens=500) as call:
                outcomes.append("held")
                leave.wait(60)
                call.used(input_tokens=1000, output_tokens=500)
        except rae.BudgetExceededError:
            outcomes.append("refused")

    threads = [threading.Thread(target=one) for _ in range(50)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 60
    while len(outcomes) < 50 and time.monotonic() < until:
        time.sleep(0.01)
    assert (outcomes.count("held"), outcomes.count("refused")) == (10, 40)
    assert mem.budget().daily.remaining_usd == 0
    leave.set()
    for thread in threads:
        thread.join()
    assert mem.budget().daily.used_usd == each * 10


def test_ctrl_c_in_the_middle_of_a_call_books_what_was_held(
    here: rae.Rae, provider: Provider
) -> None:
    mem = here
    provider.release.clear()

    def interrupt() -> None:
        provider.asked.wait(30)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        mem.llm(ASK, model=MODEL, max_tokens=50)
    (row,) = rows(mem, 1)
    assert row.status == "cancelled"
    assert row.cost_usd >= provider.cost
    assert mem.budget().daily.reserved_usd == 0


def test_tasks_call_models_at_once_and_one_that_is_cancelled_is_booked(provider: Provider) -> None:
    async def main() -> None:
        async with await rae.aopen(":memory:", providers=providers(provider)) as mem:
            answers = await asyncio.gather(*(mem.llm(ASK, model=MODEL) for _ in range(8)))
            assert {answer.text for answer in answers} == {ANSWER}
            stream = await mem.llm(ASK, model=MODEL, stream=True)
            assert "".join([piece.text async for piece in stream]) == ANSWER
            assert stream.cost_usd == price(20, 7)
            async with mem.meter("openai", MODEL, messages=ASK) as call:
                call.used(input_tokens=20, output_tokens=7)
            assert call.cost_usd == price(20, 7)
            assert (await mem.budget()).daily.used_usd == price(20, 7) * 10
            provider.release.clear()
            provider.asked.clear()
            task = asyncio.create_task(mem.llm(ASK, model=MODEL, max_tokens=50))
            await asyncio.to_thread(provider.asked.wait, 30)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            for _ in range(3000):
                page = await mem.cost_log(1000)
                if len(page.items) == 11:
                    break
                await asyncio.sleep(0.01)
            assert page.items[0].status == "cancelled"
            assert page.items[0].cost_usd >= price(20, 7)
            provider.release.set()
            stream = await mem.llm(ASK, model=MODEL, stream=True)
            async with stream:
                await anext(aiter(stream))
            for _ in range(3000):
                page = await mem.cost_log(1000)
                if len(page.items) == 12:
                    break
                await asyncio.sleep(0.01)
            assert page.items[0].status == "dropped"
            await mem.set_budget(daily_limit=0)
            assert not (await mem.llm_estimate(ASK, model=MODEL)).allowed
            assert (await mem.limits()).daily_limit == 0
            assert (await mem.costs()).items[0].calls == 12

    asyncio.run(main())


def test_tasks_call_the_models_of_a_server(
    provider: Provider, scenario_server: ScenarioServer
) -> None:
    url = scenario_server.store(providers=providers(provider))

    async def main() -> None:
        async with await rae.aconnect(url, api_key=scenario_server.KEY, tenant="t") as mem:
            answers = await asyncio.gather(*(mem.llm(ASK, model=MODEL) for _ in range(8)))
            assert {answer.text for answer in answers} == {ANSWER}
            stream = await mem.llm(ASK, model=MODEL, stream=True)
            assert "".join([piece.text async for piece in stream]) == ANSWER
            assert (stream.cost_usd, (await mem.costs()).items[0].calls) == (price(20, 7), 9)
            provider.release.clear()
            stream = await mem.llm(ASK, model=MODEL, stream=True)
            async with stream:
                await anext(aiter(stream))
            for _ in range(3000):
                page = await mem.cost_log(1000)
                if len(page.items) == 10:
                    break
                await asyncio.sleep(0.01)
            assert page.items[0].status == "dropped"

    asyncio.run(main())


def test_what_a_server_says_of_a_call_is_what_a_store_says(
    here: rae.Rae, far: rae.Rae, provider: Provider
) -> None:
    more: dict[str, Any] = {"user_id": " ada ü ", "operation": "greet", "request_id": "r-1"}
    assert far.llm(ASK, model=MODEL, **more) == here.llm(ASK, model=MODEL, **more)
    pieces = [list(mem.llm(ASK, model=MODEL, stream=True, **more)) for mem in (here, far)]
    assert pieces[0] == pieces[1]
    estimates = [mem.llm_estimate(ASK, model=MODEL) for mem in (here, far)]
    assert estimates[0] == estimates[1]
    labels = [
        [(row.user_id, row.operation, row.request_id, row.model) for row in rows(mem, 2)]
        for mem in (here, far)
    ]
    assert labels[0] == labels[1] == [(" ada ü ", "greet", "r-1", MODEL)] * 2
    bodies = provider.bodies
    assert (bodies[0], bodies[2]) == (bodies[1], bodies[3])


def test_a_store_keeps_its_budget_and_its_ledger(provider: Provider, store: Path) -> None:
    with rae.open(store, providers=providers(provider)) as mem:
        mem.set_budget(monthly_limit=1)
        mem.llm(ASK, model=MODEL)
    with rae.open(store) as mem:
        assert mem.budget().monthly.limit_usd == 1
        assert mem.budget().monthly.used_usd == provider.cost
        assert len(mem.cost_log().items) == 1
        first = mem.cost_log(1).items[0]
        assert mem.costs(since=first.at).items[0].calls == 1
        assert mem.costs(until=first.at).items[0].calls == 0


def test_the_example_runs(tmp_path: Path) -> None:
    example = Path(__file__).parents[2] / "examples" / "python" / "budget.py"
    done = subprocess.run(
        [sys.executable, str(example)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "refused: daily_usd_budget_exceeded" in done.stdout
    assert "ada: 1 call, $0." in done.stdout
