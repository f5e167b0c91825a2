#!/usr/bin/env bash
# `make demo`: builds the wheel, installs it into .venv, runs the quickstart on the demo conversation.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
scripts/venv.sh
wheels="$CARGO_TARGET_DIR/wheels-demo"
rm -rf "$wheels"
echo "building the wheel (a few minutes the first time) ..."
(cd rae-py && ../.venv/bin/maturin build --quiet --profile demo --out "$wheels")
.venv/bin/python -m pip install --quiet --force-reinstall --no-deps "$wheels"/rae-*.whl
# From another folder, as a user would: nothing of the checkout is importable there.
here=$PWD
cd "$(mktemp -d)"
exec "$here/.venv/bin/python" "$here/examples/python/quickstart.py" "$@"
