#!/usr/bin/env bash
# Tests ./cached with a clock that stands still, and with a cache that fails.
set -euo pipefail
cd "$(dirname "$0")"

# The daemon, on free ports that it writes to a file.
place=$(mktemp -d)
MEMCACHED_PORT_FILENAME=$place/ports "${MEMCACHED_RS:-memcached-rs}" -l 127.0.0.1 -p -1 --control 0 2>"$place/log" &
daemon=$!
trap 'kill "$daemon" 2>/dev/null || cat "$place/log"; wait; rm -rf "$place"' EXIT
until [ -e "$place/ports" ]; do
    kill -0 "$daemon"
    sleep 0.01
done
port() { sed -n "s/^$1 INET: //p" "$place/ports"; }
MEMCACHED=127.0.0.1:$(port TCP)
export MEMCACHED
control=http://127.0.0.1:$(port CONTROL)/v1

# Sends a request with a JSON body, and prints the answer.
post() { curl -sS --fail-with-body --json "$2" "$control/$1"; }

# Counts its runs.
report() { ./cached report 60 bash -c 'echo >>"$1"; echo "run $(($(wc -l <"$1")))"' _ "$place/runs"; }

same() { [ "$2" = "$3" ] || { echo "$1: expected $2, got $3" && exit 1; }; }

post reset '{}' >/dev/null
post clock/freeze '{}' >/dev/null
same "the command runs" "run 1" "$(report)"
post clock/advance '{"seconds": 59}' >/dev/null
same "its output is kept" "run 1" "$(report)"
post clock/advance '{"seconds": 1}' >/dev/null
same "its output expires" "run 2" "$(report)"

post faults '{"kind": "error", "message": "out of memory", "command": "mg", "times": 1}' >/dev/null
same "an error of the cache is a miss" "run 3" "$(report)"
post faults '{"kind": "drop", "command": "mg", "times": 1}' >/dev/null
same "a lost connection is a miss" "run 4" "$(report)"
same "the cache is used again" "run 3" "$(report)"
curl -sS "$control/faults" | grep -q '"kind":"drop".*"applied":1'

post flush_prefix '{"prefix": "rep"}' >/dev/null
same "a prefix is flushed" "run 5" "$(report)"
echo "ok"
