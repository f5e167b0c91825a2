#!/usr/bin/env bash
# `make test`: every suite, one after the other, with the seconds of each. STAGES="a b" runs only these.
# Needs Rust (rust-toolchain.toml), Python >= 3.10 and Node >= 20, Go for the chart; installs the rest into .venv and node_modules, and the
# servers that rae-server is tested with (PostgreSQL, Redis) from the system's packages where they are missing.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
export CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0 PYTHONDONTWRITEBYTECODE=1
unset RUSTFLAGS
shared="$PWD/../shared"
work=$(mktemp -d)
helm_tools=
trap '[ -z "$helm_tools" ] || kill -- "-$helm_tools" 2> /dev/null || true; rm -rf "$work"' EXIT
summary="$work/summary"
# The tests of each language leave the answers of the scenarios here; the stage scenarios compares them.
export RAE_SCENARIO_TRANSCRIPTS="$work/transcripts"
mkdir "$RAE_SCENARIO_TRANSCRIPTS"

is_wanted() { [ -z "${STAGES:-}" ] || [[ " $STAGES " == *" $1 "* ]]; }
stage() { # stage NAME COMMAND...: runs it, notes the seconds
  local name=$1; shift
  is_wanted "$name" || return 0
  echo; echo "=== $name"
  local start=$SECONDS
  "$@"
  printf '%5d s  %s\n' $((SECONDS - start)) "$name" >> "$summary"
}

# The engine and the server are built together, with the same features in every stage, so that what they stand on is built once.
# The bindings are built with -p each: cargo unifies features over a workspace build.
features=rae-core/local,rae-core/http,rae-core/remote

fmt() { cargo fmt --all --check; }

clippy() {
  cargo clippy --profile ci -p rae-core -p rae-server -p rae-py -p rae-node --all-targets --features "$features" -- -D warnings
  # The engine without any backend: ports, verbs and pure code. And the server with no feature but its own, as it is released.
  cargo check --profile ci -p rae-core --no-default-features
  cargo check --profile ci -p rae-server
}

# The tests start servers of their own from these programs; the system's own servers are neither used nor needed.
servers() {
  local missing=() run=()
  [ -n "${RAE_TEST_PG_BIN:-}" ] || compgen -G '/usr/lib/postgresql/*/bin/initdb' > /dev/null || command -v pg_config > /dev/null || missing+=(postgresql)
  [ -n "${RAE_TEST_REDIS_SERVER:-}" ] || command -v redis-server > /dev/null || missing+=(redis-server)
  if [ ${#missing[@]} -eq 0 ]; then echo "PostgreSQL and Redis are installed"; return 0; fi
  if ! command -v apt-get > /dev/null; then
    echo "install the servers ${missing[*]}, or name their programs in RAE_TEST_PG_BIN and RAE_TEST_REDIS_SERVER" >&2; return 1
  fi
  if [ "$(id -u)" -ne 0 ]; then
    if ! sudo -n true 2> /dev/null; then echo "run as root: apt-get install ${missing[*]}" >&2; return 1; fi
    run=(sudo -n)
  fi
  # The packages start servers when they are installed; nobody asked for those.
  "${run[@]}" apt-get update -qq
  "${run[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

rust() {
  scripts/rust_tests.py --profile ci -p rae-core -p rae-server --features "$features"
  "$(quickstart)" | grep -q "hazelnuts" && echo "Rust quickstart: 1 passed, 0 failed"
  "$(server_binary)" --version | grep -qx "rae-server $(version)" && echo "rae-server binary: 1 passed, 0 failed"
}
# All programs that the stages need, with the features that the tests have: the engine is not built once more for them.
programs() { cargo build --quiet --profile ci -p rae-core -p rae-server --features "$features" --bins --examples >&2; }
quickstart() { programs && echo "$CARGO_TARGET_DIR/ci/examples/quickstart"; }
server_binary() { programs && echo "$CARGO_TARGET_DIR/ci/rae-server"; }
# The server that the clients of Python and Node replay the scenarios against.
scenario_server() {
  programs
  export RAE_TEST_SCENARIO_SERVER="$CARGO_TARGET_DIR/ci/examples/scenario_server"
}
# Every route of the running server against its own description: about 90 seconds, always the same examples.
schemathesis() { local binary; binary=$(server_binary) && BINARY="$binary" SCHEMATHESIS=.venv/bin/schemathesis tests/api/schemathesis.sh; }
version() { sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml; }

python_env() {
  scripts/venv.sh
  rm -rf "$work/wheels"
  (cd rae-py && ../.venv/bin/maturin build --quiet --profile ci --out "$work/wheels")
  .venv/bin/python -m pip install --quiet --force-reinstall --no-deps "$work"/wheels/rae-*.whl
  # The Node examples are compared with the Python ones of the same sources.
  export RAE_TEST_PYTHON="$PWD/.venv/bin/python"
}

python_lint() {
  .venv/bin/ruff check rae-py rae-server examples scripts tests
  .venv/bin/ruff format --check rae-py rae-server examples scripts tests
  (cd rae-py && ../.venv/bin/mypy)
}

python_tests() { scenario_server; (cd "$work" && "$OLDPWD/.venv/bin/python" -m pytest -p no:cacheprovider "$OLDPWD/rae-py/tests" --rootdir "$OLDPWD/rae-py"); }

# Recall with floors: on the demo conversation everywhere, on the development corpora where they lie beside the checkout.
recall() {
  local here=$PWD
  (cd "$work" && "$here/.venv/bin/python" "$here/examples/python/quickstart.py" > "$work/demo.txt") || { cat "$work/demo.txt"; return 1; }
  (cd "$work" && "$here/.venv/bin/python" "$here/scripts/recall_floors.py" --demo "$here/examples/data" --shared "$shared")
}

# Lessons help, and are given where they belong: a small run of the benchmark, with floors. No figure depends on the time or the machine.
lessons() {
  local here=$PWD
  (cd "$work" && "$here/.venv/bin/python" "$here/scripts/bench_lessons.py" --seeds 5 --floor)
}

# After rust, python and node: the same answers in every language, floats to the last bit.
scenarios() { python3 scripts/compare_transcripts.py "$RAE_SCENARIO_TRANSCRIPTS"; }

node_tests() { scenario_server; (cd rae-node && npm install --silent --no-audit --no-fund && RAE_PROFILE=ci npm run --silent build && npm test --silent); }

# A file of one language in the others. The Rust side is built as rust builds it.
interop() {
  programs
  .venv/bin/python tests/interop/interop.py "$CARGO_TARGET_DIR/ci/examples/interop" "$PWD/.venv/bin/python" rae-node/index.mjs
}

# The official clients of OpenAI, for Python and for Node, unchanged.
gateway() {
  local binary; binary=$(server_binary)
  # Beside the sources only what is committed: npm writes its folder elsewhere.
  cp -r tests/gateway/node "$work/gateway"
  (cd "$work/gateway" && npm install --silent --no-audit --no-fund --no-package-lock)
  .venv/bin/python tests/gateway/run.py "$binary" "$CARGO_TARGET_DIR/ci/examples/fake_provider" "$PWD/.venv/bin/python" "$work/gateway"
}

# Helm is built with Go where it was not yet, behind the tests, which leave much of a processor idle.
helm_in_background() {
  is_wanted helm || return 0
  setsid nice -n 15 scripts/helm_tools.sh .build/helm/bin > "$work/helm_tools" 2>&1 &
  helm_tools=$!
}
# The chart, by both engines of Helm, its image, and its monitoring, all with the real server.
helm_chart() {
  wait "$helm_tools" || { cat "$work/helm_tools"; return 1; }
  helm_tools=
  cat "$work/helm_tools"
  local binary; binary=$(server_binary) && RAE_TEST_SERVER_BINARY="$binary" scripts/helm_tests.sh
}
image() { local binary; binary=$(server_binary) && RAE_TEST_SERVER_BINARY="$binary" scripts/image_tests.sh; }
monitoring() {
  local binary; binary=$(server_binary)
  scripts/helm_tools.sh .build/helm/bin
  HELM="$PWD/.build/helm/bin/helm3" RAE_TEST_PYTHON="$PWD/.venv/bin/python" RAE_TEST_SERVER_BINARY="$binary" scripts/monitoring_tests.sh
}

stage fmt fmt
stage clippy clippy
stage servers servers
stage venv scripts/venv.sh
helm_in_background
stage rust rust
stage python-env python_env
stage python-lint python_lint
stage python python_tests
stage openapi-lint scripts/openapi_lint.sh
stage schemathesis schemathesis
stage gateway gateway
stage recall recall
stage lessons lessons
stage node node_tests
stage scenarios scenarios
stage interop interop
stage helm helm_chart
stage image image
stage monitoring monitoring

echo; echo "=== seconds"; cat "$summary"
echo "all stages passed"
