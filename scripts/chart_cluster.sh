#!/usr/bin/env bash
# The chart on a real control plane: builds etcd, kube-apiserver, kube-controller-manager and kubectl from tests/helm/cluster/tools
# (long: many minutes with an empty cache), then installs, upgrades, rolls back and uninstalls with the documented commands, by both
# engines of Helm, in a namespace that enforces Pod Security `restricted`. There is no kubelet: pods are made, not run.
# RAE_TEST_K8S_BIN names a folder in which the four programs are already. `make test` runs these tests only where they were built.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${RAE_TEST_K8S_BIN:-$PWD/.build/helm/k8s}
mkdir -p "$bin"
sources=tests/helm/cluster/tools
release=$(sed -n 's/.*k8s.io\/kubernetes \(v[0-9.]*\).*/\1/p' $sources/go.mod | head -1)
package=k8s.io/component-base/version
minor=$(cut -d. -f2 <<< "$release")
version="-X $package.gitVersion=$release -X $package.gitMajor=1 -X $package.gitMinor=$minor"

build() { # build PROGRAM PACKAGE
  [ -x "$bin/$1" ] && return 0
  echo "building $1" >&2
  (cd $sources && GOFLAGS="-trimpath -buildvcs=false -mod=readonly" nice -n 10 go build -ldflags="-s -w $version" -o "$bin/$1" "$2")
}
build etcd go.etcd.io/etcd/server/v3
for program in kubectl kube-controller-manager kube-apiserver; do build $program "k8s.io/kubernetes/cmd/$program"; done
RAE_TEST_K8S_BIN="$bin" exec scripts/helm_tests.sh -k test_cluster
