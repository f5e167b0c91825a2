#!/usr/bin/env bash
# Installs the tarball of `make npm` and lets Node, Bun and Deno use it; the last two come from npm (about 250 MB). A part of `make soak`.
set -euo pipefail
cd "$(dirname "$0")/.."
tarball=$(ls "${CARGO_TARGET_DIR:-$PWD/target}"/npm/rae-*.tgz)
program="$PWD/rae-node/__test__/runtimes/program.mjs"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund "$tarball" bun deno 2> /dev/null
cp "$program" program.mjs
# shellcheck disable=SC2086 # args is a list of words
run() { rm -f agent.rae*; echo "$("$@" --version 2> /dev/null | head -1): $(timeout 120 "${@}" $args program.mjs)"; }
args="" run node
args="" run node_modules/.bin/bun
args="run -A --node-modules-dir=manual" run node_modules/.bin/deno
