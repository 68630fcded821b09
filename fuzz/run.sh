#!/bin/sh
# Builds every fuzz target and runs each for the given number of seconds (60 when none is given); then the canary, which
# must crash. Names behind the seconds run only those targets. Works with stable Rust: see README.md.
#
#   fuzz/run.sh [SECONDS] [TARGET ...]
#
# FUZZ_FEATURES=import also builds the importers' targets (Arrow, Parquet and SQLite: some minutes).
set -eu
cd "$(dirname "$0")"
seconds=${1:-60}
[ $# -gt 0 ] && shift

host=$(rustc -vV | sed -n 's/^host: //p')
target_dir=${CARGO_TARGET_DIR:-target}
# What cargo-fuzz passes, without a sanitizer: --target keeps these flags from build scripts and macros.
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions"
export RUSTFLAGS
cargo build --release --locked --target "$host" --features "${FUZZ_FEATURES:-}"
bin=$target_dir/$host/release

targets=$*
if [ -z "$targets" ]; then
    targets="log log_forged records slots codec group group_forged pack journal index query parcel parcel_forged"
    case ${FUZZ_FEATURES:-} in *import*) targets="$targets import_tensorboard import_wandb import_csv import_jsonl" ;; esac
fi

# Every file under seeds/TARGET is where a target begins; what it finds of use is kept in corpus/TARGET.
fuzz() {
    mkdir -p "corpus/$1" "artifacts/$1"
    seeds=
    [ -d "seeds/$1" ] && seeds="seeds/$1"
    nice -n 15 "$bin/$1" "corpus/$1" $seeds -max_total_time="$2" -max_len=4096 -rss_limit_mb=512 -timeout=10 \
        -artifact_prefix="artifacts/$1/" -print_final_stats=1 -verbosity=0
}

failed=
for target in $targets; do
    echo "== $target"
    fuzz "$target" "$seconds" || failed="$failed $target"
done

echo "== canary"
if fuzz canary 120 >/dev/null 2>&1; then
    echo "the canary did not crash: this harness finds nothing" >&2
    exit 1
fi
rm -rf artifacts/canary corpus/canary
if [ -n "$failed" ]; then
    echo "findings in:$failed; inputs in fuzz/artifacts" >&2
    exit 1
fi
