#!/usr/bin/env bash
# Runs all measurements of bench/README.md, side by side with memcached, for `make bench` and
# `make bench-quick`.
#
# usage: bench.sh full|quick
#
# The environment has paths:
#
#   MEMCACHED      the base of all ratios
#   POGOCACHE      a third server (optional)
#   DATA           a directory with a table of clusters (*.csv) and traces (*.lis, *.lis.zst)
#                  (optional)
#   DAEMON, BENCH  the programs built here
#
# If a part fails, the others still run. The exit status reports the failure.
set -uo pipefail
cd "$(dirname "$0")/.."

size=${1:?full or quick}
servers=(--server "memcached=$MEMCACHED")
[ -z "${POGOCACHE:-}" ] || servers+=(--server "pogocache=$POGOCACHE")
servers+=(--server "memcached-rs=$DAEMON")

case $size in
full)
    out=bench/results
    compare=(--rounds 5 --seconds 0.5 --retries 1)
    requests=2000000 keys=650000 limits=16,32,64,128,256
    ;;
quick)
    # Not with the committed results, because the measurements are too short.
    out=target/bench-quick
    compare=(--quick)
    requests=600000 keys=200000 limits=32,64
    ;;
*)
    echo "usage: bench.sh full|quick" >&2
    exit 2
    ;;
esac
rate=150000

failed=0
# part NAME VERB OPTIONS runs one part. Its results replace earlier ones of the same name.
part() {
    local name=$1
    shift
    echo
    echo "## $name"
    rm -f "$out/$name.jsonl"
    "$BENCH" "$1" "${servers[@]}" "${@:2}" --results "$out/$name.jsonl" || failed=1
}

mkdir -p "$out"
started=$SECONDS
# The floor does not store items, so it runs only under the loads.
part compare compare "${compare[@]}" --server floor
part idle compare --idle
echo
echo "## inprocess"
rm -f "$out/inprocess.jsonl"
"$BENCH" inprocess $([ "$size" = full ] || echo --seconds 0.1 --rounds 2 --items 0) --results "$out/inprocess.jsonl" || failed=1

if [ -n "${DATA:-}" ]; then
    tables=("$DATA"/*.csv)
    part memory compare --memory --sizes "${tables[0]}"
    traces=()
    for trace in "$DATA"/*.lis "$DATA"/*.lis.zst; do
        [ "$size" = quick ] || [ ! -e "$trace" ] || traces+=(--trace "$trace")
    done
    mkdir -p target/traces
    for kind in ttl scan shift; do
        "$BENCH" synth --kind $kind --table "${tables[0]}" --requests $requests --keys $keys \
            --out "target/traces/$kind.zst" || failed=1
        traces+=(--trace "target/traces/$kind.zst")
    done
    part replay replay "${traces[@]}" --requests $requests --rate $rate --retries 1 -m $limits
else
    echo "bench: DATA is not set: skipping items of published sizes, and replays" >&2
fi
echo
echo "results in $out, after $(((SECONDS - started) / 60)) minutes"
exit $failed
