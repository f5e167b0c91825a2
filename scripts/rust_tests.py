#!/usr/bin/env python3
"""Builds the Rust tests and runs their programs, two at a time: `cargo test` runs them one after the other, and while one of them waits for a
server the processors have nothing to do.

rust_tests.py [--at-once N] CARGO-ARGUMENTS...

Prints each program's closing line with its seconds, all that a failed one printed, and at the end the sum. The documentation's
examples follow by `cargo test --doc`. A program that takes longer than half an hour is ended.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

PROGRAM_SECONDS_MAX = 1800
# Begins first, so that it does not end alone; the server's other programs follow.
LONGEST = "postgres_conformance"
CLOSING = re.compile(r"test result: .* (\d+) passed; (\d+) failed; (\d+) ignored")


def programs(arguments: list[str]) -> list[tuple[str, Path, Path]]:
    """Builds the tests; gives name, program and folder of the package of each."""
    command = ["cargo", "test", "--no-run", "--quiet", "--message-format=json-render-diagnostics", *arguments]
    built = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if built.returncode != 0:
        sys.exit(built.returncode)
    found = []
    for line in built.stdout.splitlines():
        message = json.loads(line) if line.startswith("{") else {}
        if message.get("reason") == "compiler-artifact" and message["profile"]["test"] and message.get("executable"):
            package = Path(message["manifest_path"]).parent
            target = message["target"]
            name = f"{package.name} {'unit tests' if 'lib' in target['kind'] else target['name']}"
            found.append((name, Path(message["executable"]), package))
    return sorted(
        found, key=lambda program: (not program[0].endswith(LONGEST), program[2].name != "rae-server", program[0])
    )


def run(program: Path, package: Path, out: Path) -> tuple[int, float]:
    """Runs one as cargo does; gives its exit code and seconds."""
    env = {**os.environ, "CARGO_MANIFEST_DIR": str(package), "CARGO_PKG_NAME": package.name}
    start = time.monotonic()
    with (
        out.open("wb") as file,
        subprocess.Popen(
            [program, "--quiet"],
            cwd=package,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        ) as process,
    ):
        try:
            code = process.wait(PROGRAM_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
            file.write(f"\nended after {PROGRAM_SECONDS_MAX} s\n".encode())
    return code, time.monotonic() - start


def main() -> None:
    """Runs all of them, whatever fails."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--at-once", type=int, default=2)
    args, cargo = parser.parse_known_args()
    start = time.monotonic()
    tests = programs(cargo)
    print(f"{len(tests)} programs of tests built in {time.monotonic() - start:.0f} s", flush=True)
    if not tests:
        sys.exit("cargo built no tests")
    passed = failed = ignored = 0
    broken = []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(args.at_once) as pool:
        jobs = {
            pool.submit(run, program, package, Path(folder, str(n))): (name, Path(folder, str(n)))
            for n, (name, program, package) in enumerate(tests)
        }
        for job in as_completed(jobs):
            (name, out), (code, seconds) = jobs[job], job.result()
            printed = out.read_text(encoding="utf-8", errors="replace")
            closing = CLOSING.search(printed)
            counts = [int(count) for count in closing.groups()] if closing else [0, 0, 0]
            passed, failed, ignored = passed + counts[0], failed + counts[1], ignored + counts[2]
            if code != 0 or closing is None:
                broken.append(name)
                print(printed)
            said = closing.group() if closing else f"no closing line, exit code {code}"
            print(f"{seconds:6.1f} s  {name}: {said}", flush=True)
    print(f"Rust: {passed} passed, {failed} failed, {ignored} ignored in {time.monotonic() - start:.0f} s", flush=True)
    documented = subprocess.run(["cargo", "test", "--doc", "--quiet", *cargo], check=False)
    if broken:
        sys.exit(f"failed: {', '.join(broken)}")
    sys.exit(documented.returncode)


if __name__ == "__main__":
    main()
