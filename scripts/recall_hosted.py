"""Recall through `rae-server` on the embedded store and on the stores that the environment names, side by side.

DATABASE_URL=... [REDIS_URL=...] [QDRANT_URL=...] recall_hosted.py --server BIN --shared ../shared [--merge] [--conversations N]

Runs the shared harness (see docs/benchmarks.md) over HTTP, first with none of these variables, then with all of them, and fails
where a headline figure of the two differs by more than a point. Needs an empty database. `--conversations` takes the first
of each corpus alone; the number of questions is printed.
"""

import argparse
import http.client
import json
import os
import re
import runpy
import subprocess
import sys
import tempfile
import types
from pathlib import Path

STORES = {"DATABASE_URL": "PostgreSQL", "REDIS_URL": "Redis", "QDRANT_URL": "Qdrant", "QDRANT_API_KEY": None}
POINT = 0.01
CORPORA = ("locomo", "beam")


class Hit:
    """What the harness looks at."""

    def __init__(self, hit: dict) -> None:
        self.metadata = hit["metadata"]


class Store:
    """The two verbs that the harness calls, on a project of its own."""

    def __init__(self, port: int, project: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        self.headers = {"X-Tenant-ID": "bench", "X-Project-ID": project, "Content-Type": "application/json"}

    def call(self, path: str, body: dict) -> dict:
        """One request."""
        self.connection.request("POST", path, json.dumps(body), self.headers)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status not in (200, 201):
            raise RuntimeError(f"{path}: {answer.status} {text[:500]!r}")
        return json.loads(text)

    def remember_many(self, items: list[dict]) -> None:
        """Stores a session."""
        self.call("/v1/memories/batch", {"items": items})

    def recall(self, query: str, k: int) -> list[Hit]:
        """One question; a degraded answer is no answer here."""
        answer = self.call("/v1/memories/recall", {"query": query, "k": k})
        if answer["degraded"]:
            raise RuntimeError(f"degraded: {answer['degraded']}")
        return [Hit(hit) for hit in answer["hits"]]


def measure(server: Path, harness: Path, data: list[str], merge: bool, env: dict[str, str]) -> dict[str, float]:
    """Figures of the harness against a server with `env`."""
    with tempfile.TemporaryDirectory() as folder:
        command = [str(server), "all", "--port", "0", "--data", f"{folder}/data"]
        process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
        try:
            port = None
            for line in process.stderr:
                if found := re.search(r"listening on http://127\.0\.0\.1:(\d+)", line):
                    port = int(found[1])
                    break
            if port is None:
                raise RuntimeError("the server did not start")
            module = types.ModuleType("rae")
            module.open = lambda path, **_: Store(port, Path(path).stem)
            sys.modules["rae"] = module
            out = Path(folder) / "out.json"
            sys.argv = [str(harness), "--data", *data, "--out", str(out), *(["--merge"] if merge else [])]
            try:
                runpy.run_path(str(harness), run_name="__main__")
            except SystemExit as end:
                if end.code:
                    raise
            return json.loads(out.read_text())
        finally:
            process.kill()
            process.wait()


def main() -> None:
    """Both, and what is between them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", type=Path, required=True)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--merge", action="store_true")
    parser.add_argument("--conversations", type=int)
    args = parser.parse_args()
    harness = args.shared / "bench/recall/recall.py"
    with tempfile.TemporaryDirectory() as folder:
        data, questions = [], 0
        for corpus in CORPORA:
            conversations = json.loads((args.shared / f"data/{corpus}-dev.json").read_text())[: args.conversations]
            questions += sum(len(c["questions"]) for c in conversations)
            path = Path(folder) / f"{corpus}.json"
            path.write_text(json.dumps(conversations))
            data.append(str(path))
        bare = {k: v for k, v in os.environ.items() if k not in STORES and not k.startswith("RAE_")}
        hosted = bare | {k: os.environ[k] for k in STORES if k in os.environ}
        figures = [measure(args.server, harness, data, args.merge, env) for env in (bare, hosted)]
    named = ", ".join(name for variable, name in STORES.items() if name and variable in os.environ)
    print(f"{questions} questions; hosted is: {named}")
    worst = 0.0
    for corpus in CORPORA:
        for metric in ("R@10", "nDCG@10"):
            one, two = (run[f"{corpus}/headline"][metric] for run in figures)
            worst = max(worst, abs(one - two))
            print(f"{corpus} {metric}: embedded {100 * one:.2f}, hosted {100 * two:.2f}")
    sys.exit(0 if worst <= POINT else 1)


if __name__ == "__main__":
    main()
