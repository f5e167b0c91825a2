# Two commands matter: `make demo` and `make test`. Both are safe to repeat and leave nothing running.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

export CARGO_TARGET_DIR ?= $(CURDIR)/target
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test bench bench-server soak chart chart-cluster fmt lint wheels npm clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

demo:  ## build, install into a local virtualenv, and let an agent remember a real conversation
	@scripts/demo.sh

test:  ## everything: lint, Rust, Python, Node, server, chart
	@scripts/test.sh

bench:  ## the benchmarks of docs/benchmarks.md (long)
	@scripts/bench.sh

bench-server:  ## one api process of rae-server under load (long)
	@scripts/bench_server.sh

soak:  ## long crash, fuzz and model runs
	@scripts/soak.sh

chart:  ## the chart, its image and its monitoring
	@STAGES="servers venv helm image monitoring" scripts/test.sh

chart-cluster:  ## the chart on a real control plane, which is built first (long)
	@scripts/chart_cluster.sh

fmt:  ## format everything, and write what is written from sources
	cargo fmt --all
	python3 scripts/async_verbs.py
	@if [ -x .venv/bin/ruff ]; then .venv/bin/ruff format examples scripts tests rae-py; fi

lint:  ## rustfmt, clippy, ruff, stubs
	@STAGES="fmt clippy python-lint" scripts/test.sh

wheels:  ## the release wheel for this machine, in target/wheels
	@scripts/wheels.sh

npm:  ## the package for npm with the native module of this machine, in target/npm
	@scripts/npm.sh

clean:  ## remove what was built here
	rm -rf target .venv .build rae-node/node_modules rae-node/rae.node
