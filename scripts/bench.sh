#!/usr/bin/env bash
# `make bench`: the figures of docs/benchmarks.md, on this machine. Takes half an hour; run nothing beside it.
# The corpora and harnesses lie in ../shared; without them only the engine's own benchmarks run.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}" PYTHONDONTWRITEBYTECODE=1
shared="$PWD/../shared"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
texts="$work/texts.txt"
if [ -f "$shared/data/short-texts.txt.gz" ]; then gunzip -c "$shared/data/short-texts.txt.gz" > "$texts"
else seq 1 101000 | sed 's/.*/note number & about the harbour, the weather and the boats/' > "$texts"; fi

echo "=== the SQLite store"; cargo bench --quiet -p rae-core --bench sqlite
echo "=== a year of use, by a turned clock (scripts/plot_year.py draws it)"; cargo bench --quiet -p rae-core --bench year -- "$texts"
echo "=== the verbs"; cargo bench --quiet -p rae-core --bench verbs -- "$texts" 1000 10000 100000 1000000

scripts/venv.sh
(cd rae-py && ../.venv/bin/maturin build --quiet --release --strip --out "$work/wheels")
ls -l "$work"/wheels
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "$work"/wheels/rae-*.whl numpy chromadb networkx
echo "=== what a call costs from each language"
scripts/npm.sh
head -5000 "$texts" > "$work/some.txt"
python3 scripts/bench_bindings.py "$work/some.txt" "$work/venv/bin/python" rae-node/index.mjs
echo "=== whether lessons help (a scripted agent, no model)"
"$work/venv/bin/python" scripts/bench_lessons.py --seeds 20
echo "=== the graph, beside networkx"; "$work/venv/bin/python" scripts/bench_graph.py
if [ -d "$shared/bench" ]; then
  echo "=== recall"
  data=("$shared/data/locomo-dev.json" "$shared/data/beam-dev.json")
  "$work/venv/bin/python" "$shared/bench/recall/recall.py" --data "${data[@]}"
  "$work/venv/bin/python" "$shared/bench/recall/recall.py" --merge --data "${data[@]}"
  echo "=== the graph in recall"
  "$work/venv/bin/python" scripts/graph_ablation.py --shared "$shared"
  echo "=== scale, beside Chroma (which is given random vectors: its figures leave embedding out)"
  "$work/venv/bin/python" -c 'import numpy, sys
n = sum(1 for _ in open(sys.argv[1])); v = numpy.random.default_rng(0).standard_normal((n, 128), dtype=numpy.float32)
(v / numpy.linalg.norm(v, axis=1, keepdims=True)).tofile(sys.argv[2])' "$texts" "$work/vecs.f32"
  cd "$shared/bench/scale"
  for system in ours:Rae peers:Chroma; do
    "$work/venv/bin/python" run.py --system "$system" --n 100000 --texts "$texts" --vecs "$work/vecs.f32" --dims 128
  done
fi
