#!/usr/bin/env bash
# The description of the API, docs/openapi.json, under a linter: it must have no problem, not even a warning. Redocly's, as it is one
# package without dependencies; it runs without telemetry and in a folder of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
version=2.77.0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp docs/openapi.json "$work/"
printf 'extends: [recommended-strict]\n' > "$work/redocly.yaml"
cd "$work"
npm install --silent --no-audit --no-fund --no-save "@redocly/cli@$version" > install.log 2>&1 || { cat install.log >&2; exit 1; }
export REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true
if ! node_modules/.bin/redocly lint --config redocly.yaml --format=codeframe openapi.json > lint.log 2>&1; then
  cat lint.log >&2; exit 1
fi
grep -q "Your API description is valid" lint.log || { cat lint.log >&2; exit 1; }
echo "docs/openapi.json: valid (redocly $version)"
