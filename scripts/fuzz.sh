#!/usr/bin/env bash
# Builds the fuzz targets with the stable compiler and runs them.
#
#   fuzz.sh quick SECONDS            runs every target, two at a time, as CI does
#
#   fuzz.sh run TARGET SECONDS       runs one target, with the inputs that earlier runs found
#
#   fuzz.sh again TARGET FILE        runs one input, such as a reproducer
#
# An input that fails is kept in target/fuzz/artifacts. The last lines of the output name it.
set -euo pipefail
cd "$(dirname "$0")/.."

out=target/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
# The flags of cargo-fuzz. With --target they do not apply to build scripts and macros.
coverage="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
coverage+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
coverage+=" -Cllvm-args=-sanitizer-coverage-trace-compares -Clink-dead-code"

build() { # `--bin TARGET`, or `--bins`
    RUSTFLAGS="$coverage" cargo build --release --locked --manifest-path fuzz/Cargo.toml --target "$host" \
        --target-dir "$out" "$@"
    cargo run --quiet --locked -p memcache-compat --bin seeds -- core/tests/data "$out/seeds"
    mkdir -p "$out/artifacts"
}

fuzz() { # TARGET SECONDS
    mkdir -p "$out/corpus/$1" "$out/seeds/$1"
    # Limit the length of random operations on a store. Lines have a longest length of their own.
    local longest=4096
    case "$1" in
        store) longest=600 ;;
        joins | sessions) longest=1500 ;;
    esac
    "$out/$host/release/$1" "$out/corpus/$1" "$out/seeds/$1" -max_total_time="$2" -max_len="$longest" \
        -timeout=20 -rss_limit_mb=3000 -artifact_prefix="$out/artifacts/$1-"
}

case "${1:-}" in
    quick)
        build --bins
        failed=()
        declare -A running=()
        finish() {
            local pid status=0
            wait -n -p pid || status=$?
            local target=${running[$pid]}
            unset "running[$pid]"
            if [ "$status" = 0 ]; then
                printf '%-10s %s\n' "$target" "$(grep 'cov: ' "$out/$target.log" | tail -1)"
            else
                tail -40 "$out/$target.log"
                failed+=("$target")
            fi
        }
        for source in fuzz/fuzz_targets/*.rs; do
            target=$(basename "$source" .rs)
            [ ${#running[@]} -lt 2 ] || finish
            fuzz "$target" "$2" >"$out/$target.log" 2>&1 &
            running[$!]=$target
        done
        while [ ${#running[@]} -gt 0 ]; do finish; done
        if [ ${#failed[@]} -gt 0 ]; then
            echo "fuzz: failed: ${failed[*]}; the inputs are in $out/artifacts" >&2
            exit 1
        fi
        ;;
    run)
        build --bin "$2"
        fuzz "$2" "$3"
        ;;
    again)
        build --bin "$2"
        "$out/$host/release/$2" "$3"
        ;;
    *)
        echo "usage: fuzz.sh quick SECONDS | run TARGET SECONDS | again TARGET FILE" >&2
        exit 64
        ;;
esac
