#!/usr/bin/env bash
# `make wheels`: the release wheel for this machine, in target/wheels. TARGET=<Rust target> builds for another system by zig, as the workflow
# .github/workflows/packages.yml does; that needs `rustup target add $TARGET` first, and has not been tried.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
scripts/venv.sh
out="$CARGO_TARGET_DIR/wheels"
cross=()
if [ -n "${TARGET:-}" ]; then
  cross=(--target "$TARGET")
  case "$TARGET" in
    *-linux-*) .venv/bin/python -m pip install --quiet ziglang; cross+=(--zig) ;;
  esac
fi
(cd rae-py && ../.venv/bin/maturin build --quiet --release --strip --out "$out" "${cross[@]}")
for wheel in "$out"/rae-*.whl; do printf '%s: %.1f MB\n' "$wheel" "$(stat -c %s "$wheel" | awk '{print $1 / 1e6}')"; done
