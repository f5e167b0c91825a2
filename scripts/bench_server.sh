#!/usr/bin/env bash
# `make bench-server`: one api process under load; rae-server/benches/server.rs says what and by which variables. About half an hour;
# run nothing beside it.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
echo "command: MEMORIES=${MEMORIES:-100000} SECONDS_EACH=${SECONDS_EACH:-20} SOAK_SECONDS=${SOAK_SECONDS:-600} CONNECTIONS=${CONNECTIONS:-16} make bench-server"
exec cargo bench --quiet -p rae-server --bench server --profile "${PROFILE:-release}"
