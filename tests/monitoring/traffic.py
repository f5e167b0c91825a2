"""Traffic that makes every panel of the dashboard have something to show: what works, what is refused, what fails."""

import contextlib
import random
import threading
import time

from stack import Stack, answers, call

TENANTS = ("acme", "globex", "initech")
WORDS = [
    "ferry",
    "harbour",
    "lighthouse",
    "keeper",
    "island",
    "rope",
    "storm",
    "tide",
    "anchor",
    "captain",
    "mail",
    "Monday",
    "Tuesday",
    "oil",
    "lamp",
]


class Traffic:
    def __init__(self, stack: Stack):
        self.stack, self.random, self.counts = stack, random.Random(7), {}
        self.lock, self.n = threading.Lock(), 0

    def call(self, method: str, path: str, body=None, tenant: str = "acme", **headers) -> tuple[int, dict]:
        with self.lock:
            self.n += 1
            address = self.stack.apis[self.n % 2]
        status, answer = call(address, method, path, body, {"X-Tenant-ID": tenant, **headers})
        with self.lock:
            self.counts[status] = self.counts.get(status, 0) + 1
        return status, answer

    def sentence(self) -> str:
        return " ".join(self.random.choices(WORDS, k=9)) + "."

    def chat(self, tenant: str, text: str, **more) -> int:
        body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], "max_tokens": 300}
        return self.call("POST", "/v1/chat/completions", body | more, tenant)[0]

    def metered(self, tenant: str, provider: str, model: str, tokens: int) -> int:
        """A client that asks a model itself, and meters the call."""
        body = {"provider": provider, "model": model, "input_tokens": tokens, "output_tokens": tokens}
        status, answer = self.call("POST", "/v1/costs/reservations", body, tenant)
        if status >= 300:
            return status
        usage = {"input_tokens": tokens, "output_tokens": tokens // 2}
        named = body | {"usage": usage}
        return self.call("POST", f"/v1/costs/reservations/{answer['id']}/settle", named, tenant)[0]

    def prepare(self) -> None:
        for tenant, daily, monthly in (("acme", 20, 500), ("globex", 10, 100), ("initech", 0.02, 1)):
            assert self.call("PUT", "/v1/budgets", {"daily_limit": daily, "monthly_limit": monthly}, tenant)[0] == 200
        assert self.call("PUT", "/v1/budgets", {"daily_token_limit": 2_000_000}, "globex")[0] == 200
        items = [{"content": f"{self.sentence()} Number {i}."} for i in range(60)]
        assert self.call("POST", "/v1/memories/batch", {"items": items})[0] < 300
        asked = {"questions": [{"query": "When does the ferry leave?", "relevant": [{"text": "ferry"}]}]}
        assert self.call("PUT", "/v1/evaluations/questions/ferries", asked)[0] < 300

    def round(self, i: int) -> None:
        tenant = self.random.choices(TENANTS, (6, 3, 1))[0]
        status, made = self.call("POST", "/v1/memories", {"content": self.sentence()}, tenant)
        for _ in range(3):
            self.call("POST", "/v1/memories/recall", {"query": self.random.choice(WORDS), "k": 5}, tenant)
        if status < 300:
            found = made["id"] if "id" in made else made["ids"][0] if "ids" in made else made["memory"]["id"]
            self.call("GET", f"/v1/memories/{found}", None, tenant)
            if i % 4 == 0:
                self.call("PATCH", f"/v1/memories/{found}", {"content": self.sentence()}, tenant)
            if i % 9 == 0:
                self.call("DELETE", f"/v1/memories/{found}", None, tenant)
        if i % 3 == 0:
            self.call("POST", "/v1/memories/recall", {"query": self.sentence(), "k": 5, "rerank": True}, tenant)
            self.chat(tenant, f"quick {self.random.choice(WORDS)} {self.random.randrange(9)}?")
            self.chat("acme", f"Tell me of {self.sentence()}", model="gpt-4o")
        if i % 4 == 0:
            self.metered("globex", "anthropic", "claude-sonnet-4-5", 2000)
            self.metered("initech", "openai", "gpt-4o", 300)  # soon without a budget
        if i % 10 == 0:
            self.chat("acme", "please fail")
            self.call("GET", "/v1/memories/01900000-0000-7000-8000-000000000000")
            self.call("POST", "/v1/memories", {"content": ""})
            self.call("GET", "/v1/tenants")
            self.call("POST", "/v1/context", {"query": "ferry", "max_tokens": 200}, tenant)
            text = {"text": self.sentence()}
            with contextlib.suppress(OSError):  # it is away for a while
                call(f"127.0.0.1:{self.stack.ports['ml-0']}", "POST", "/extract-keywords", text)

    def run(self, seconds: float, threads: int = 2) -> None:
        end = time.monotonic() + seconds

        fell = []

        def work(offset: int) -> None:
            i = offset
            try:
                while time.monotonic() < end:
                    self.round(i)
                    i += threads
                    time.sleep(0.05 + 0.1 * self.random.random())
            except Exception as error:
                fell.append(error)

        def probe() -> None:  # as a kubelet does
            while time.monotonic() < end:
                for pod in self.stack.ports:
                    answers(self.stack.ports[pod], "/health/ready")()
                time.sleep(2)

        workers = [threading.Thread(target=work, args=(i,)) for i in range(threads)] + [threading.Thread(target=probe)]
        for thread in workers:
            thread.start()
        for thread in workers:
            thread.join()
        if fell:
            raise fell[0]

    def burst(self) -> None:
        """One tenant asks more than the rate limit allows."""
        end, refused = time.monotonic() + 60, 0
        while refused < 5 and time.monotonic() < end:  # some seconds of it, so that there is a rate to see
            threads = [threading.Thread(target=self.greedy) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            refused += self.call("GET", "/v1/memories?limit=1", tenant="greedy")[0] == 429
            time.sleep(0.3)
        assert refused == 5, refused

    def greedy(self) -> None:
        for _ in range(120):
            if self.call("GET", "/v1/memories?limit=1", tenant="greedy")[0] == 429:
                return

    def everything(self, seconds: float) -> None:
        """Good times first, then one outage after the other, then good times again."""
        self.prepare()
        self.run(seconds * 0.4)
        self.burst()
        for store in (self.stack.pods["ml-0"], self.stack.qdrant, self.stack.redis, self.stack.postgresql):
            store.stop(2)
            self.run(min(5, seconds * 0.08), threads=1)
            store.start()
        self.run(seconds * 0.3)
