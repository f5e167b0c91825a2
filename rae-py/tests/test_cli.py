"""The command `rae`, as a terminal or a script calls it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import rae


class Cli:
    def __init__(self, cwd: Path) -> None:
        self._cwd = cwd

    def __call__(
        self, *args: object, stdin: str | bytes = "", code: int = 0
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "rae", *map(str, args)]
        data = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            command, cwd=self._cwd, input=data, capture_output=True, timeout=120, check=False
        )
        result = subprocess.CompletedProcess(
            command, done.returncode, done.stdout.decode(), done.stderr.decode()
        )
        assert done.returncode == code, f"{result.stdout}\n{result.stderr}"
        assert "Traceback" not in result.stderr
        return result

    def json(self, *args: object, **options: Any) -> Any:
        return json.loads(self(*args, "--json", **options).stdout)


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


def test_the_version_is_that_of_the_package(cli: Cli) -> None:
    assert cli("--version").stdout == f"rae {rae.__version__}\n"
    script = Path(sys.executable).with_name("rae")
    if script.exists():
        assert (
            subprocess.check_output([script, "--version"], text=True) == f"rae {rae.__version__}\n"
        )


def test_a_session_in_the_terminal(cli: Cli, tmp_path: Path) -> None:
    out = cli(
        "remember", "a.rae", "The ferry leaves at ten past seven.", "--speaker", "Ines", "--at", "2024-05-01",
        "--session", "s1", "--tag", "travel", "--tag", "sea", "--metadata", '{"n": 1}',
    ).stdout  # fmt: skip
    memory_id = out.split()[-1]
    assert out.startswith("remembered ")
    assert cli(
        "remember", "a.rae", "-", stdin="Grüße aus dem Hafen 🙂\nzweite Zeile"
    ).stdout.startswith("remembered")
    shown = cli("recall", "a.rae", "when does the ferry leave", "-k", 1).stdout
    assert "Ines" in shown
    assert "2024-05-01" in shown
    assert "ferry leaves at ten" in shown
    assert "\x1b" not in shown
    explained = cli("recall", "a.rae", "ferry", "--explain").stdout
    assert "lexical" in explained
    assert '"weights"' in explained
    hits = cli.json("recall", "a.rae", "ferry", "--tag", "sea")
    assert [hit["id"] for hit in hits["hits"]] == [memory_id]
    assert hits["hits"][0]["occurred_at"] == "2024-05-01T00:00:00Z"
    assert "ferry" in cli("context", "a.rae", "ferry").stdout
    assert "tokens" in cli("context", "a.rae", "ferry").stderr
    assert cli.json("context", "a.rae", "ferry", "--max-tokens", 50)["token_count"] <= 50
    assert memory_id in cli("list", "a.rae").stdout
    assert len(cli.json("list", "a.rae", "--limit", 1)["items"]) == 1
    assert "more: --cursor" in cli("list", "a.rae", "--limit", 1).stdout
    assert "travel" in cli("get", "a.rae", memory_id).stdout
    assert cli.json("get", "a.rae", memory_id)["metadata"] == {"n": 1}
    assert len(cli.json("get", "a.rae", memory_id, "--history")) == 1
    assert "memories" in cli("stats", "a.rae").stdout
    assert cli.json("stats", "a.rae")["memories"] == 2
    assert "exported 2 memories" in cli("export", "a.rae", "dump.jsonl").stdout
    assert "imported 2" in cli("import", "b.rae", "dump.jsonl").stdout
    assert "sound" in cli("doctor", "b.rae").stdout
    assert "copied" in cli("backup", "a.rae", "copy.rae").stdout
    assert "expired" in cli("maintain", "a.rae").stdout
    assert cli("forget", "a.rae", memory_id).stdout == "forgot 1\n"
    cli("forget", "a.rae", memory_id, code=1)
    assert (
        cli.json("forget", "a.rae", "--scope", "project", "--target", "default", "--yes")["deleted"]
        == 1
    )
    with rae.open(tmp_path / "copy.rae") as copy:
        assert copy.stats().memories == 2


def test_reading_commands_never_make_a_file(cli: Cli, tmp_path: Path) -> None:
    for command in (
        ["recall", "none.rae", "x"],
        ["context", "none.rae", "x"],
        ["list", "none.rae"],
        ["get", "none.rae", "x"],
        ["forget", "none.rae", "x"],
        ["stats", "none.rae"],
        ["export", "none.rae", "out.jsonl"],
        ["doctor", "none.rae"],
        ["audit", "none.rae"],
        ["maintain", "none.rae"],
        ["backup", "none.rae", "copy.rae"],
    ):
        assert "there is no store at none.rae" in cli(*command, code=2).stderr
    assert list(tmp_path.iterdir()) == []


def test_an_audit_names_what_to_do_and_does_not_fail(cli: Cli) -> None:
    cli("remember", "a.rae", "Ada lives in Porto.")
    assert cli("audit", "a.rae").stdout == "checked 1, findings 0\n"
    cli("remember", "a.rae", "Ada lives in Ghent.")
    cli("remember", "a.rae", "ada lives in Ghent")
    out = cli("audit", "a.rae").stdout
    assert out.startswith("duplicate  2 memories say the same")
    assert "contradiction" in out
    assert "superseded_by" in " ".join(out.split())
    assert out.endswith("checked 3, findings 2\n")
    assert out.count("Porto") == 1  # what it is about is shown here, and not in the report
    assert out.count("fix: ") == 2
    assert "Porto" not in cli("audit", "a.rae", "--json").stdout
    assert "findings 1 or more" in cli("audit", "a.rae", "--limit", 1).stdout
    report = cli.json("audit", "a.rae")
    assert [finding["kind"] for finding in report["findings"]] == ["duplicate", "contradiction"]
    assert (report["checked"], report["truncated"]) == (3, False)
    assert "limit must be a whole number" in cli("audit", "a.rae", "--limit", 0, code=2).stderr


def test_an_audit_that_fixes_is_undone_from_the_terminal(cli: Cli) -> None:
    cli("remember", "a.rae", "Ada lives in Ghent.")
    cli("remember", "a.rae", "ada lives in Ghent")
    assert "with --fix it keeps" in " ".join(cli("audit", "a.rae").stdout.split())
    assert cli("audit", "a.rae", "--fix").stdout.endswith("checked 2, findings 1, fixed 1\n")
    change = cli.json("changes", "a.rae")["items"][0]["id"]
    assert cli("changes", "a.rae").stdout.startswith(change)
    assert cli("undo", "a.rae", change).stdout.startswith("undone, as change ")
    assert cli("undo", "a.rae", change).stdout.startswith("undone already, as change ")
    assert cli.json("undo", "a.rae", change)["replayed"] is True
    assert "findings 1" in cli("audit", "a.rae").stdout


def test_json_lines_are_read_in_batches(cli: Cli) -> None:
    lines = "".join(
        json.dumps({"content": f"line {i}", "session_id": "s"}) + "\n" for i in range(2_500)
    )
    done = cli.json("remember", "a.rae", "-", "--jsonl", "--speaker", "Kit", stdin=lines + "\n\n")
    assert done == {"remembered": 2_500, "merged": 0}
    assert cli.json("recall", "a.rae", "line 7", "-k", 1)["hits"][0]["speaker"] == "Kit"
    bad = lines + json.dumps({"content": "x", "colour": "red"}) + "\n"
    error = cli("remember", "b.rae", "-", "--jsonl", stdin=bad, code=2).stderr
    assert "memory 2501 of the input" in error
    assert "colour" in error
    assert "2,000 memories before were stored" in error
    assert (
        "line 1 is not JSON" in cli("remember", "c.rae", "-", "--jsonl", stdin="{", code=2).stderr
    )
    assert "JSON object" in cli("remember", "c.rae", "-", "--jsonl", stdin="[]", code=2).stderr
    assert "give -" in cli("remember", "c.rae", "text", "--jsonl", code=2).stderr


def test_wrong_usage_and_input_are_code_two(cli: Cli, tmp_path: Path) -> None:
    cli("remember", "a.rae", "something")
    for command in (
        [],
        ["dance"],
        ["recall", "a.rae"],
        ["recall", "a.rae", "x", "-k", "many"],
        ["recall", "a.rae", "x", "-k", "0"],
        ["recall", "a.rae", "x", "-k", "10" * 20],
        ["recall", "a.rae", ""],
        ["recall", "a.rae", "x", "--filter", "[]"],
        ["recall", "a.rae", "x", "--filter", '{"colour": 1}'],
        ["recall", "a.rae", "x", "--since", "yesterday"],
        ["recall", "a.rae", "x", "--layer", "deep"],
        ["remember", "a.rae", ""],
        ["remember", "a.rae", "x", "--metadata", "{"],
        ["remember", str(tmp_path), "x"],
        ["remember", "absent/a.rae", "x"],
        ["get", "a.rae", "nope"],
        ["forget", "a.rae"],
        ["forget", "a.rae", "--filter", '{"kind": "text"}'],
        ["forget", "a.rae", "--scope", "project"],
        ["forget", "a.rae", "--filter", "{}", "--yes"],
        ["stats", "a.rae", "--tenant", ""],
        ["import", "a.rae", "absent.jsonl"],
    ):
        assert cli(*command, code=2).stderr
    cli("remember", "a.rae", "-", stdin=b"\xff\xfe", code=2)
    assert cli.json("stats", "a.rae")["memories"] == 1


def test_prices_are_listed_and_found_as_a_call_would_find_them(cli: Cli, tmp_path: Path) -> None:
    lines = cli("prices").stdout.splitlines()
    assert lines[0].split() == ["provider", "model", "input", "cached", "output", "since", "source"]
    assert len(lines) > 50
    (found,) = cli("prices", "--model", "gpt-4o-mini-2024-07-18").stdout.splitlines()[1:]
    assert found.split()[:6] == ["openai", "gpt-4o-mini", "0.15", "0.075", "0.60", "2024-07-18"]
    assert found.split()[6].startswith("https://")
    long = cli("prices", "--provider", "google", "--model", "gemini-2.5-pro").stdout
    assert "input above 200,000" in long
    assert "15.00" in long
    (embedder,) = cli.json("prices", "--model", "text-embedding-3-small")
    assert (embedder["embedding"], embedder["override"]) == ("0.02", False)
    providers = {price["provider"] for price in cli.json("prices")}
    assert providers == {"openai", "anthropic", "google"}
    assert {price["provider"] for price in cli.json("prices", "--provider", "Google")} == {"google"}
    assert "no price is known" in cli("prices", "--model", "gpt-4o-mini-tts", code=2).stderr

    own = {"provider": "ollama", "model": "*", "input": "0", "output": "0"}
    (tmp_path / "own.json").write_text(json.dumps({"models": [own]}))
    free = cli("prices", "--provider", "ollama", "--model", "qwen3:4b", "--file", "own.json").stdout
    assert free.splitlines()[1].split() == ["ollama", "*", "0.00", "0.00", "your", "file"]
    (tmp_path / "own.json").write_text(json.dumps({"models": [own | {"input": 0.15}]}))
    assert "expected a string" in cli("prices", "--file", "own.json", code=2).stderr
    assert "cannot be read" in cli("prices", "--file", "absent.json", code=2).stderr
    (tmp_path / "own.json").write_bytes(b"\xff")
    cli("prices", "--file", "own.json", code=2)


def test_failures_are_code_one(cli: Cli, tmp_path: Path) -> None:
    cli("remember", "a.rae", "something")
    assert "no memory" in cli("get", "a.rae", "0190a0a0-0000-7000-8000-000000000000", code=1).stderr
    (tmp_path / "diary.txt").write_text("Dear diary")
    cli("stats", "diary.txt", code=1)
    cli("remember", "diary.txt", "x", code=1)
    cli("export", "a.rae", "diary.txt", code=1)
    assert (tmp_path / "diary.txt").read_text() == "Dear diary"


def test_tenants_and_projects_are_apart(cli: Cli) -> None:
    cli("remember", "a.rae", "secret", "--tenant", "one")
    assert cli("recall", "a.rae", "secret").stdout == "nothing found\n"
    assert "secret" in cli("recall", "a.rae", "secret", "--tenant", "one").stdout


def test_a_store_of_another_embedder_is_read_by_words(cli: Cli, tmp_path: Path) -> None:
    def embed(texts: list[str]) -> list[list[float]]:
        return [[float(len(text)), 1.0] for text in texts]

    with rae.open(tmp_path / "a.rae", embedder=embed) as mem:
        mem.remember("The ferry leaves at ten.")
        embedder = mem.stats().embedder
    assert cli.json("stats", "a.rae")["embedder"] == embedder.to_dict()
    found = cli("recall", "a.rae", "ferry")
    assert "leaves at ten" in found.stdout
    assert found.stderr == "answered without: dense\n"
    assert cli.json("remember", "a.rae", "The harbour is shut.")["degraded"] == ["dense"]
    assert cli.json("export", "a.rae", "dump.jsonl")["memories"] == 2
    with rae.open(tmp_path / "a.rae", embedder=embed) as mem:
        assert mem.stats().embedder == embedder
        assert mem.maintain().ran["embedded"] == 1


def test_text_cannot_command_the_terminal(cli: Cli) -> None:
    cli("remember", "a.rae", "innocent \x1b[2J\x1b]0;title\x07 text", "--speaker", "Eve")
    for command in (["recall", "a.rae", "innocent"], ["list", "a.rae"]):
        assert "\x1b" not in cli(*command).stdout


@pytest.mark.skipif(os.name != "posix", reason="a terminal of POSIX")
@pytest.mark.parametrize(
    ("extra", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_colour_is_for_terminals_that_want_it(
    cli: Cli, tmp_path: Path, extra: dict[str, str], coloured: bool
) -> None:
    import pty

    cli("remember", "a.rae", "colourful")
    leader, follower = pty.openpty()
    environment = (
        {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | {"TERM": "xterm"} | extra
    )
    command = [sys.executable, "-m", "rae", "recall", str(tmp_path / "a.rae"), "colourful"]
    process = subprocess.Popen(
        command, stdout=follower, stderr=follower, stdin=follower, env=environment
    )
    os.close(follower)
    out = b""
    while True:
        try:
            chunk = os.read(leader, 4096)
        except OSError:
            break
        if not chunk:
            break
        out += chunk
    os.close(leader)
    assert process.wait(60) == 0
    assert b"colourful" in out
    assert (b"\x1b[" in out) == coloured


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_a_reader_that_goes_away_is_no_error(cli: Cli, tmp_path: Path) -> None:
    cli(
        "remember",
        "a.rae",
        "-",
        "--jsonl",
        stdin="".join(json.dumps({"content": f"line {i} " * 50}) + "\n" for i in range(1000)),
    )
    shell = f"{sys.executable} -m rae list a.rae --limit 1000 --json | head -n 1"
    done = subprocess.run(
        ["sh", "-c", shell], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
