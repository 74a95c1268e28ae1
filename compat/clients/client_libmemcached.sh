#!/usr/bin/env bash
# libmemcached's command-line tools, in the text protocol or the binary one.
set -uo pipefail
host=$1 port=$2 how=$3
server=$host:$port
protocol=()
if [ "$how" = binary ]; then protocol=(--binary); fi
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
count=0

# is_left_out NAME: the server does not pass this check, for a reason that run.py has.
is_left_out() {
    [[ ";${LEFT_OUT:-};" = *";$1;"* ]]
}

# check NAME COMMAND…: the command must succeed.
check() {
    local name=$1
    shift
    count=$((count + 1))
    "$@" >output 2>errors || { echo "$name: $(head -c 300 output errors)"; exit 1; }
}

# refuse NAME COMMAND…: the command must fail.
refuse() {
    local name=$1
    shift
    if is_left_out "$name"; then return; fi
    count=$((count + 1))
    if "$@" >output 2>errors; then echo "$name: should have failed"; exit 1; fi
}

# shows NAME PATTERN: the last command's output must have it.
shows() {
    if is_left_out "$1"; then return; fi
    count=$((count + 1))
    grep -q "$2" output || { echo "$1: not in $(head -c 300 output)"; exit 1; }
}

printf 'hello\n' >tools-a
head -c 400000 /dev/urandom | base64 -w 76 >tools-large
check memcping memcping --servers="$server"
check memccp memccp "${protocol[@]}" --servers="$server" tools-a
check memccat memccat "${protocol[@]}" --servers="$server" tools-a
shows "the value" hello
check "memccp, large" memccp "${protocol[@]}" --servers="$server" tools-large
check "memccat, large" memccat "${protocol[@]}" --servers="$server" --file=copy tools-large
check "the large value" cmp --bytes=500000 tools-large copy
check memcexist memcexist "${protocol[@]}" --servers="$server" tools-a
refuse "memcexist of nothing" memcexist "${protocol[@]}" --servers="$server" nothing
check memctouch memctouch "${protocol[@]}" --servers="$server" --expire=100 tools-a
refuse "memctouch of nothing" memctouch "${protocol[@]}" --servers="$server" --expire=100 nothing
check memcstat memcstat "${protocol[@]}" --servers="$server"
shows "a field" curr_items
check memcrm memcrm "${protocol[@]}" --servers="$server" tools-a
refuse "memcexist after memcrm" memcexist "${protocol[@]}" --servers="$server" tools-a
check memccp memccp "${protocol[@]}" --servers="$server" --expire=100 --flag=5 tools-a
cp tools-a tools-b
check "memccp --add" memccp "${protocol[@]}" --servers="$server" --add tools-b
check "memccp --replace" memccp "${protocol[@]}" --servers="$server" --replace tools-a
if [ "$how" = text ]; then
    # It asks for `stats cachedump`, which the binary protocol has not.
    check memcdump memcdump --servers="$server"
    shows "memcdump's keys" tools-a
fi
check memcflush memcflush "${protocol[@]}" --servers="$server"
refuse "memcexist after memcflush" memcexist "${protocol[@]}" --servers="$server" tools-a
echo "$count checks"
