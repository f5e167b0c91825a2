"""Runs the official clients of OpenAI against the gateway: `run.py RAE_SERVER FAKE_PROVIDER PYTHON NODE_FOLDER`.

The server is the real binary, the model provider a local program that speaks the real wire format. The clients are not changed:
they get another base URL and a key of RAE.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

MASTER = "the-key-of-the-operator"
HERE = Path(__file__).parent
WAIT = 60


def call(method: str, url: str, body: dict, headers: dict | None = None) -> dict:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"X-API-Key": MASTER, **(headers or {})}, method=method
    )
    with urllib.request.urlopen(request, timeout=WAIT) as answer:
        return json.load(answer)


def start_server(binary: str, provider: str, folder: str) -> tuple[subprocess.Popen, str]:
    strange = (
        "RAE_",
        "PG",
        "REDIS_",
        "QDRANT_",
        "DATABASE_URL",
        "OTEL_",
        "OPENAI_",
        "ANTHROPIC_",
        "GEMINI_",
        "DEFAULT_",
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith(strange)}
    env |= {"RAE_API_MASTER_KEY": MASTER, "OPENAI_API_KEY": "sk-fake", "RAE_OPENAI_BASE_URL": provider}
    log = Path(folder, "server.log")
    with log.open("w") as to:
        server = subprocess.Popen([binary, "all", "--port", "0"], cwd=folder, env=env, stderr=to)
    end = time.monotonic() + WAIT
    while server.poll() is None and time.monotonic() < end:
        if found := re.search(r"listening on (http://[0-9.:]+)", log.read_text()):
            return server, found[1]
        time.sleep(0.05)
    server.kill()
    raise SystemExit(f"the server did not start:\n{log.read_text()}")


def main(server_binary: str, provider_binary: str, python: str, node: str) -> None:
    provider = subprocess.Popen([provider_binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    url, switch = provider.stdout.readline().split()
    with tempfile.TemporaryDirectory() as folder:
        server, base = start_server(server_binary, url, folder)
        try:
            keys = {}
            for tenant in ("rich", "poor"):
                new = {"tenant": tenant, "label": tenant, "role": "developer"}
                keys[tenant] = call("POST", f"{base}/v1/api-keys", new)["key"]
            call("PUT", f"{base}/v1/budgets", {"daily_limit": 0}, {"X-Tenant-ID": "poor"})
            env = os.environ | {"BASE": f"{base}/v1", "KEY": keys["rich"], "POOR_KEY": keys["poor"], "SWITCH": switch}
            subprocess.run([python, HERE / "client.py"], env=env, check=True)
            subprocess.run(["node", "--test", "client.mjs"], cwd=node, env=env, check=True)
        except subprocess.CalledProcessError:
            print(Path(folder, "server.log").read_text(), file=sys.stderr)
            raise
        finally:
            server.terminate()
            server.wait(WAIT)
            provider.stdin.close()
            provider.wait(WAIT)


if __name__ == "__main__":
    main(*sys.argv[1:])
