"""A file that one language writes opens in the others, in turn and at once: interop.py RUST_BINARY PYTHON INDEX_MJS.

Each language is a process that calls verbs as it is told, on one file. Prints a line for each rule, and a closing line.
"""

import contextlib
import itertools
import json
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

HERE = Path(__file__).parent
LANGUAGES = ("rust", "python", "node")
BULK = 400
ROUNDS = 10


class Worker:
    """A process of one language on one file."""

    def __init__(self, commands, language, file):
        self.language = language
        self.process = subprocess.Popen(
            [*commands[language], str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.language} ended with {self.process.wait(30)}")
        return json.loads(line)

    def send(self, verb, **args):
        self.process.stdin.write(json.dumps({"verb": verb, "args": args}) + "\n")
        self.process.stdin.flush()

    def answer(self):
        answer = self.read()
        if "error" in answer:
            raise RuntimeError(f"{self.language}: {answer['error']}")
        return answer["returns"]

    def call(self, verb, **args):
        self.send(verb, **args)
        return self.answer()

    def end(self):
        self.process.stdin.close()
        code = self.process.wait(60)
        if code != 0:
            raise RuntimeError(f"{self.language} ended with {code}")


class Bench:
    """A new file and processes on it, which are ended whatever happens."""

    def __init__(self, commands, folder):
        self.commands, self.file, self.workers = commands, Path(folder) / "shared.rae", []

    def open(self, language):
        worker = Worker(self.commands, language, self.file)
        self.workers.append(worker)
        return worker

    def kill(self):
        for worker in self.workers:
            with contextlib.suppress(OSError):
                worker.process.kill()
            worker.process.wait(30)


def every_field(i):
    return {
        "content": f"Note {i}: Žofie moved the 🐈 to the east quay.",
        "speaker": "Žofie",
        "role": "user",
        "session_id": "s1",
        "occurred_at": "2024-02-29T23:59:59.123456Z",
        "tags": ["harbour", "čaj"],
        "metadata": {"n": i, "deep": {"list": [1.5, None, True, "x"]}},
        "importance": 0.25,
        "confidence": 0.75,
        "source": "log",
        "trust_level": "high",
        "info_class": "confidential",
        "agent_id": "a",
        "user_id": "u",
        "valid_from": "2024-01-01T00:00:00Z",
        "valid_to": "2999-01-01T00:00:00Z",
    }


def in_turn(bench):
    """What one language wrote and closed, each of the others opens and sees whole, changes, and hands on."""
    for i, order in enumerate(itertools.permutations(LANGUAGES)):
        writer = bench.open(order[0])
        receipt = writer.call("remember", **every_field(i))
        first = writer.call("get", id=receipt["id"])
        writer.end()
        expected = dict(every_field(i), id=receipt["id"])
        expected["sources"] = [expected.pop("source")]
        assert {name: first[name] for name in expected} == expected, first
        for other in order[1:]:
            reader = bench.open(other)
            assert reader.call("get", id=receipt["id"]) == first
            reader.end()
        last = bench.open(order[2])
        last.call("update", id=receipt["id"], content=f"Changed by {order[2]}, {i}.", expected_version=1)
        last.end()
        again = bench.open(order[0])
        assert again.call("history", id=receipt["id"])[-1]["content"] == f"Changed by {order[2]}, {i}."
        again.end()


def at_once(bench):
    """With all three open, what one wrote the others recall at the next call; what one forgot they no longer find."""
    workers = [bench.open(language) for language in LANGUAGES]
    for i in range(ROUNDS):
        for writer in workers:
            word = f"zeppelin{writer.language}{i}"
            receipt = writer.call("remember", content=f"The {word} left at noon.")
            for reader in workers:
                hits = reader.call("recall", query=word, k=1)["hits"]
                assert [hit["id"] for hit in hits] == [receipt["id"]], (writer.language, reader.language, hits)
            writer.call("forget", id=receipt["id"])
            for reader in workers:
                hits = reader.call("recall", query=word, k=5)["hits"]
                assert receipt["id"] not in [hit["id"] for hit in hits], (writer.language, reader.language)
    for worker in workers:
        worker.end()


def same_answers(bench):
    """The same recall, context, list and stats of one file are the same in every language, to the last bit."""
    workers = [bench.open(language) for language in LANGUAGES]
    items = [
        dict(every_field(i), content=f"Entry {i} about the {w}.") for i, w in enumerate(["quay", "boat", "tide"] * 20)
    ]
    workers[0].call("remember_many", items=items)
    for verb, args in [
        ("recall", {"query": "What about the tide?", "k": 20, "as_of": "2025-01-01T00:00:00Z"}),
        ("context", {"query": "boats at the quay", "max_tokens": 300}),
        ("list", {"limit": 60}),
        ("stats", {}),
    ]:
        answers = [worker.call(verb, **args) for worker in workers]
        if verb == "recall":
            for hit in itertools.chain.from_iterable(answer["hits"] for answer in answers):
                # Ages by the clock, which moves between the calls.
                hit["score"] = hit["signals"]["recency"] = None
        if verb == "context":
            for source in itertools.chain.from_iterable(answer["sources"] for answer in answers):
                source["score"] = None
        if verb == "stats":
            for answer in answers:
                answer["bytes"] = None
        assert answers[0] == answers[1] == answers[2], verb
    for worker in workers:
        worker.end()


def writing_together(bench):
    """All three write at once; nothing is lost, and all see the same."""
    workers = [bench.open(language) for language in LANGUAGES]
    for worker in workers:
        items = [{"content": f"{worker.language} says {i}"} for i in range(BULK)]
        worker.send("remember_many", items=items)
    ids = set()
    for worker in workers:
        ids.update(receipt["id"] for receipt in worker.answer())
    for i in range(ROUNDS):
        for worker in workers:
            worker.send("remember", content=f"{worker.language} adds {i}")
        ids.update(worker.answer()["id"] for worker in workers)
    assert len(ids) == len(LANGUAGES) * (BULK + ROUNDS)
    for worker in workers:
        seen, cursor = set(), None
        while True:
            page = worker.call("list", limit=1_000, cursor=cursor)
            seen.update(memory["id"] for memory in page["items"])
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert seen == ids, worker.language
        assert all(finding["level"] == "ok" for finding in worker.call("doctor"))
        worker.end()


def killed(bench):
    """A writer killed in the middle of a bulk write harms neither what it acknowledged nor the others."""
    for victim in LANGUAGES:
        others = [bench.open(language) for language in LANGUAGES if language != victim]
        dying = bench.open(victim)
        kept = dying.call("remember", content=f"Kept, whatever happens to {victim}.")["id"]
        dying.send("remember_many", items=[{"content": f"{victim} in bulk {i}"} for i in range(20_000)])
        dying.process.kill()
        dying.process.wait(30)
        for worker in others:
            assert worker.call("get", id=kept)["content"].endswith(f"{victim}.")
            assert worker.call("remember", content=f"{worker.language} goes on without {victim}")["id"]
            assert all(finding["level"] == "ok" for finding in worker.call("doctor"))
            worker.end()


def exports(bench):
    """An export of one language is imported by the others, and gives the same memories."""
    workers = {language: bench.open(language) for language in LANGUAGES}
    workers["python"].call("remember_many", items=[every_field(i) for i in range(5)])
    for writer in LANGUAGES:
        dump = bench.file.with_name(f"{writer}.jsonl")
        workers[writer].call("export", path=str(dump))
        for reader in LANGUAGES:
            unchanged = workers[reader].call("import", path=str(dump))
            assert unchanged == {"imported": 0, "merged": 0, "unchanged": 5}, unchanged
    for worker in workers.values():
        worker.end()


def main():
    rust, python, index = sys.argv[1:4]
    commands = {
        "rust": [rust],
        "python": [python, str(HERE / "worker.py")],
        "node": ["node", str(HERE / "worker.mjs"), index],
    }
    failed = 0
    rules = [in_turn, at_once, same_answers, writing_together, killed, exports]
    for rule in rules:
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(commands, folder)
            try:
                rule(bench)
                print(f"ok    {rule.__doc__}")
            except Exception:
                failed += 1
                print(f"FAIL  {rule.__doc__}\n{traceback.format_exc()}")
            finally:
                bench.kill()
    print(f"interop: {len(rules) - failed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
