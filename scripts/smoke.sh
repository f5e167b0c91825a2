#!/usr/bin/env bash
# Installs the wheel of `make wheels` and the tarball of `make npm` into new folders, and lets each remember and recall.
set -euo pipefail
cd "$(dirname "$0")/.."
built="${CARGO_TARGET_DIR:-$PWD/target}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python="$work/venv/bin/python"; [ -x "$python" ] || python="$work/venv/Scripts/python.exe"
"$python" -m pip install --quiet --no-index "$built"/wheels/rae-*.whl
mkdir "$work/node"
(cd "$work/node" && npm init -y > /dev/null && npm install --silent --offline --no-audit --no-fund "$built"/npm/rae-*.tgz)
cd "$work/node"
"$python" - <<'PY'
import rae
with rae.open("smoke.rae") as mem:
    mem.remember("The ferry leaves at ten past seven.")
PY
node --input-type=module -e '
import { open } from "rae";
const mem = await open("smoke.rae");
const [hit] = await mem.recall("When does the ferry leave?");
if (hit?.content !== "The ferry leaves at ten past seven.") throw new Error("Node does not find what Python remembered");
await mem.remember("The lighthouse keeper is called Marta.");
await mem.close();'
"$python" - <<'PY'
import rae
with rae.open("smoke.rae") as mem:
    assert "Marta" in mem.recall("Who keeps the lighthouse?")[0].content
PY
echo "smoke: 3 passed, 0 failed"
