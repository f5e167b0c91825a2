#!/usr/bin/env bash
# `make npm`: the package for npm with the native module of this machine, in target/npm. TARGET=<Rust target> and PLATFORM=<name in prebuilds/>
# build for another system by zig, as .github/workflows/packages.yml does; that has not been tried.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
if [ -n "${TARGET:-}" ]; then
  export RAE_TARGET=$TARGET RAE_PLATFORM="${PLATFORM:?PLATFORM names the folder in prebuilds/}"
  case "$TARGET" in
    *-linux-*) scripts/venv.sh; .venv/bin/python -m pip install --quiet ziglang cargo-zigbuild; export RAE_CARGO=zigbuild PATH="$PWD/.venv/bin:$PATH" ;;
  esac
fi
cd rae-node
npm install --silent --no-audit --no-fund
npm run --silent build
node scripts/pack.mjs "$CARGO_TARGET_DIR/npm"
