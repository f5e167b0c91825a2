#!/usr/bin/env bash
# schemathesis over the description of the API and a running server: no 5xx, and no answer that docs/openapi.json does not describe.
# BINARY is the server, SCHEMATHESIS the program. SECONDS_EACH bounds each of the two runs (40), SEED names the examples (1).
# The server is in a folder of its own on a free port, and gone afterwards.
set -euo pipefail
binary=${BINARY:?BINARY names rae-server} program=${SCHEMATHESIS:-.venv/bin/schemathesis}
seconds=${SECONDS_EACH:-40} seed=${SEED:-1} examples=${EXAMPLES:-40}
work=$(mktemp -d)
server=
stop() { if [ -n "$server" ]; then kill "$server" 2> /dev/null || true; wait "$server" 2> /dev/null || true; fi; server=; }
trap 'stop; rm -rf "$work"' EXIT
program=$(realpath "$program")
hooks=$(cd "$(dirname "$0")" && pwd)
key=the-key-of-the-operator

run() { # run NAME RAE_AUTH HEADER...
  local name=$1 auth=$2 url='' headers=(); shift 2
  for header in "$@"; do headers+=(-H "$header"); done
  env -i PATH="$PATH" RAE_API_MASTER_KEY="$key" RAE_AUTH="$auth" RAE_DURABILITY=normal \
    "$binary" all --port 0 --data "$work/$name" > /dev/null 2> "$work/$name.log" &
  server=$!
  for _ in $(seq 300); do
    url=$(grep -o 'http://127[0-9.:]*' "$work/$name.log" | head -1) && break
    kill -0 "$server" 2> /dev/null || { cat "$work/$name.log" >&2; return 1; }
    sleep 0.1
  done
  [ -n "$url" ] || { cat "$work/$name.log" >&2; return 1; }
  echo "--- schemathesis, $name: $url, seed $seed, at most $seconds s"
  (cd "$work" && PYTHONPATH="$hooks" PYTHONDONTWRITEBYTECODE=1 SCHEMATHESIS_HOOKS=schemathesis_hooks timeout $((seconds + 60)) "$program" run "$url/openapi.json" --url "$url" --no-color \
    --seed "$seed" --max-time "$seconds" --max-examples "$examples" --generation-database none --workers 2 \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance \
    --phases examples,coverage,fuzzing --suppress-health-check all --warnings off --continue-on-failure \
    --generation-with-security-parameters false "${headers[@]}")
  kill -0 "$server" || { echo "the server ended" >&2; tail -20 "$work/$name.log" >&2; return 1; }
  stop
}

run header header "X-Tenant-ID: schemathesis"
run keys keys "X-Tenant-ID: schemathesis" "X-API-Key: $key"
