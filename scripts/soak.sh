#!/usr/bin/env bash
# `make soak`: the crash and multi-process tests, the model and the fuzz targets again and again. ROUNDS=20 by default; stops
# at the first failure.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
scripts/venv.sh
(cd rae-py && ../.venv/bin/maturin build --quiet --profile ci --out "$CARGO_TARGET_DIR/wheels-soak")
.venv/bin/python -m pip install --quiet --force-reinstall --no-deps "$CARGO_TARGET_DIR"/wheels-soak/rae-*.whl
for round in $(seq 1 "${ROUNDS:-20}"); do
  echo "=== round $round"
  PROPTEST_CASES=2000 cargo test --quiet --profile ci -p rae-core --lib
  cargo test --quiet --profile ci -p rae-core --test sqlite_processes --test sqlite_store
  # Other seeds each round.
  MODEL_FIRST=$((round * 1000)) MODEL_ROUNDS=10 cargo test --quiet --profile ci -p rae-core --test model
  FUZZ_SEED=$((round * 1000000)) FUZZ_ROUNDS=20000 cargo test --quiet --profile ci -p rae-core --test fuzz
  FUZZ_SECONDS=30 scripts/fuzz.sh
  cargo build --quiet --profile ci -p rae-server
  BINARY="$CARGO_TARGET_DIR/ci/rae-server" SEED=$round SECONDS_EACH=300 EXAMPLES=1000 tests/api/schemathesis.sh
  .venv/bin/python -m pytest -q -p no:cacheprovider rae-py/tests -k "process or kill or fork or thread or interrupt"
done
echo "=== Node, Bun and Deno on the packed module"; scripts/npm.sh; scripts/runtimes.sh
