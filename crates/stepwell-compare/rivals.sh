#!/bin/sh
# Runs the arena with RocksDB and DuckDB too: fetches what they need through Debian's, npm's and Cargo's registries, then
# hands its arguments to the arena. DuckDB comes as a shared library; RocksDB is built once, which takes 20 to 40 minutes of
# one core, unless ROCKSDB_LIB_DIR names a library of the version that the crate wraps.
#
#   ./rivals.sh --points 10000000 --record ../../benches/records
set -eu
cd "$(dirname "$0")"

# Of the version that Cargo.toml's crate wraps.
DUCKDB_VERSION=1.5.6-r.1
case $(uname -m) in
x86_64) package=@duckdb/node-bindings-linux-x64 ;;
aarch64) package=@duckdb/node-bindings-linux-arm64 ;;
*) echo "no library of DuckDB is known for $(uname -m): add --features duckdb-bundled by hand" >&2; exit 1 ;;
esac

missing=
command -v npm >/dev/null || missing="$missing npm"
command -v c++ >/dev/null || missing="$missing g++"
[ -n "${LIBCLANG_PATH:-}" ] || ls /usr/lib/llvm-*/lib/libclang*.so* >/dev/null 2>&1 || missing="$missing libclang-dev"
if [ -n "$missing" ]; then
    # shellcheck disable=SC2086
    apt-get install -y --no-install-recommends $missing
fi

fetched=$PWD/target/rivals
if [ ! -f "$fetched/node_modules/$package/libduckdb.so" ]; then
    npm install --prefix "$fetched" --no-save --no-audit --no-fund --ignore-scripts "$package@$DUCKDB_VERSION"
fi
export DUCKDB_LIB_DIR="$fetched/node_modules/$package"
export LD_LIBRARY_PATH="$DUCKDB_LIB_DIR${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
exec cargo run --release --features rocksdb,duckdb -- "$@"
