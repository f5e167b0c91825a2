#!/usr/bin/env bash
# The tests of the chart (tests/helm): one for each numbered check of its specification, rendered by both engines of Helm, and the
# rendered pods with the real server. Further words are for pytest.
#
#   scripts/helm_tests.sh [-k WORDS]     needs Go, Python, Node, PostgreSQL, Redis, and RAE_TEST_SERVER_BINARY (else target/ci/rae-server)
#   scripts/helm_tests.sh --store        writes tests/helm/golden/VERSION.yaml, the render that later versions must be upgrades of
#
# Everything that is made lies in .build/helm. The compiler's cache is Go's own.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1
build=$PWD/.build/helm
mkdir -p "$build"
scripts/helm_tools.sh "$build/bin"
export RAE_TEST_HELM3="$build/bin/helm3" RAE_TEST_HELM4="$build/bin/helm4" RAE_TEST_PSACHECK="$build/bin/psacheck"

environment() { # environment NAME REQUIREMENTS: a virtualenv with them
  local wanted
  wanted=$(sha256sum "$2" | cut -c1-16)
  if [ "$(cat "$build/$1/.installed" 2> /dev/null || true)" = "$wanted" ]; then return 0; fi
  rm -rf "${build:?}/$1"
  python3 -m venv "$build/$1"
  "$build/$1/bin/python" -m pip install --quiet --requirement "$2"
  echo "$wanted" > "$build/$1/.installed"
}
environment venv tests/helm/requirements.txt

if [ "${1:-}" = --store ]; then
  cd tests/helm
  exec "$build/venv/bin/python" store.py
fi

environment checkov tests/helm/requirements-checkov.txt ||
  echo "CHECKOV COULD NOT BE INSTALLED: its test is skipped, and the chart is not checked by it" >&2
export RAE_TEST_CHECKOV="$build/checkov/bin/checkov"
# Beside the sources only what is committed: npm writes its folder elsewhere.
mkdir -p "$build/crds"
cp tests/helm/crds/* "$build/crds/"
(cd "$build/crds" && npm install --silent --no-audit --no-fund --no-package-lock --ignore-scripts)
export RAE_TEST_CRD_MODULES="$build/crds/node_modules"

# -rs prints why something was skipped.
"$build/venv/bin/python" -m pytest -p no:cacheprovider -q -rs tests/helm --rootdir tests/helm "$@"
