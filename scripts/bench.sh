#!/usr/bin/env bash
# Measures everything that bench/README.md describes, side by side with memcached: `make bench` and `make bench-quick`.
# Called as `bench.sh full|quick`, with paths in the environment:
#   MEMCACHED  the base of all ratios
#   POGOCACHE  a third server, if there is one
#   DATA       a directory with a table of clusters (*.csv) and traces (*.lis, *.lis.zst), if there is one
#   DAEMON, BENCH  what is built here
# A part that fails does not keep the others from running; the exit status tells.
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
    # Not among the committed results: too short to be any.
    out=target/bench-quick
    compare=(--quick)
    requests=600000 keys=200000 limits=32,64
    ;;
*)
    echo "bench.sh full|quick" >&2
    exit 2
    ;;
esac
rate=150000

failed=0
# part NAME VERB OPTIONS: one run, whose results replace those of the same name.
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
# The canned replies are no cache: only the loads ask them.
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
    echo "no DATA: no items of published sizes, no replays" >&2
fi
echo
echo "results in $out, after $(((SECONDS - started) / 60)) minutes"
exit $failed
