#!/usr/bin/env bash
# The tests of the chart's monitoring (tests/monitoring): alerts by promtool, and the dashboard's queries on what the real
# Prometheus scrapes from the real rae-server. Needs HELM (else `helm` on PATH) and RAE_TEST_SERVER_BINARY; installs Debian's
# prometheus where it is missing, without letting it start a service. Further words are for pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${RAE_TEST_PYTHON:-.venv/bin/python}

prometheus() {
  if command -v prometheus > /dev/null && command -v promtool > /dev/null; then echo "Prometheus is installed"; return 0; fi
  local run=()
  if ! command -v apt-get > /dev/null; then echo "install Prometheus, with promtool, and put both on PATH" >&2; return 1; fi
  if [ "$(id -u)" -ne 0 ]; then
    if ! sudo -n true 2> /dev/null; then echo "run as root: apt-get install prometheus" >&2; return 1; fi
    run=(sudo -n)
  fi
  # The package starts a server when it is installed; nobody asked for that one. RUNLEVEL=1 makes its script think of a machine
  # that is being serviced, where nothing is started.
  "${run[@]}" apt-get update -qq
  "${run[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends prometheus
}

helm=${HELM:-$(command -v helm || true)}
[ -n "$helm" ] || { echo "name the program of Helm in HELM" >&2; exit 1; }
[ -x "${RAE_TEST_SERVER_BINARY:-}" ] || { echo "name the program rae-server in RAE_TEST_SERVER_BINARY" >&2; exit 1; }
prometheus
export HELM="$helm" PYTHONDONTWRITEBYTECODE=1
"$python" -m pytest -p no:cacheprovider -q tests/monitoring "$@"
