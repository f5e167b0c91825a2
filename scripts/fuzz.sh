#!/usr/bin/env bash
# libFuzzer on the targets of rae-core/fuzz, FUZZ_SECONDS (60) each; `scripts/fuzz.sh import words` runs only these. Stops at
# the first finding and leaves its input in .build/fuzz/TARGET/. Needs a C++ compiler; the first run fetches libfuzzer-sys.
set -euo pipefail
cd "$(dirname "$0")/.."
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(import item filter question time names words segment manifest table wordpiece)
host=$(rustc -vV | sed -n 's/^host: //p')
out="${CARGO_TARGET_DIR:-$PWD/target}/fuzz"
# What cargo-fuzz passes, but for a sanitizer, which needs a nightly compiler. --target keeps them from build scripts.
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing"
CARGO_TARGET_DIR="$out" RUSTFLAGS="$coverage" \
  cargo build --quiet --release --manifest-path rae-core/fuzz/Cargo.toml --target "$host"
for target in "${targets[@]}"; do
  echo "=== $target"
  corpus="$PWD/.build/fuzz/$target"
  mkdir -p "$corpus/corpus"
  # A second corpus folder would be read before the target could write to it.
  RAE_FUZZ_TARGET=$target RAE_FUZZ_SEEDS="$corpus/seeds" "$out/$host/release/fuzz" -runs=0 > /dev/null 2>&1
  RAE_FUZZ_TARGET=$target "$out/$host/release/fuzz" "$corpus/corpus" "$corpus/seeds" -artifact_prefix="$corpus/" \
    -max_total_time="${FUZZ_SECONDS:-60}" -max_len=16384 -rss_limit_mb=4096 -print_final_stats=1 2>&1 | tail -n 12
done
