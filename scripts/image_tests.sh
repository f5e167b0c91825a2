#!/usr/bin/env bash
# The image and the compose file, without a container engine: tests/image. RAE_TEST_SERVER_BINARY names the rae-server to run; what
# cannot run here is skipped, and the reasons are printed. RAE_IMAGE_TEST_BUILD=1 also builds what the Dockerfile copies, as it does.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
venv=.build/image-venv
wanted=$(sha256sum tests/image/requirements.txt | cut -c1-16)
if [ "$(cat $venv/.installed 2> /dev/null || true)" != "$wanted" ]; then
  python3 -m venv $venv
  $venv/bin/python -m pip install --quiet --requirement tests/image/requirements.txt
  echo "$wanted" > $venv/.installed
fi
# The sandbox of the tests, where it can be had; they say so where it cannot.
if ! command -v bwrap > /dev/null && command -v apt-get > /dev/null && [ "$(id -u)" -eq 0 ]; then
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends bubblewrap > /dev/null ||
    echo "bubblewrap could not be installed" >&2
fi
exec $venv/bin/python -m pytest -p no:cacheprovider -q -rs tests/image "$@"
