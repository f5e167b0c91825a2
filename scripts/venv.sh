#!/usr/bin/env bash
# Makes .venv with the tools that building and testing the Python package needs. Repeating it is cheap.
set -euo pipefail
cd "$(dirname "$0")/.."
wanted=$(sha256sum scripts/requirements-dev.txt | cut -c1-16)
if [ "$(cat .venv/.installed 2>/dev/null || true)" = "$wanted" ]; then exit 0; fi
python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Python 3.10 or newer is needed" >&2; exit 1; }
python3 -m venv .venv || { echo "python3 -m venv failed; on Debian: apt-get install python3-venv" >&2; exit 1; }
.venv/bin/python -m pip install --quiet --requirement scripts/requirements-dev.txt
echo "$wanted" > .venv/.installed
