#!/usr/bin/env bash
# Measures hot gets and sets in one process through C, beside GHashTable behind a mutex. If
# POGOCACHE_SOURCE names a checkout, also measures pogocache's embedded API.
#
# usage: bench-c.sh LIBRARIES
set -euo pipefail
cd "$(dirname "$0")/.."
libraries=$(realpath "$1")
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
library=$place/libmemcache_rs.so.$(sed -n 's/^#define MCRS_ABI_VERSION //p' include/memcache_rs.h)
cp "$libraries/libmemcache_rs.so" "$library"
extra=()
if [ -n "${POGOCACHE_SOURCE:-}" ]; then
    # Use pogocache's own optimisation level, and hide its warnings.
    cc -O3 -w -c "$POGOCACHE_SOURCE/src/pogocache.c" -I "$POGOCACHE_SOURCE/src" -o "$place/pogocache.o"
    extra=(-DPOGOCACHE -I "$POGOCACHE_SOURCE/src" "$place/pogocache.o")
fi
# shellcheck disable=SC2046
cc -O3 -std=gnu11 -Wall -Wextra -Werror bench/c/inprocess.c -Iinclude "${extra[@]}" $(pkg-config --cflags --libs glib-2.0) \
    "$library" -Wl,-rpath,"$place" -lpthread -lm -o "$place/inprocess"
"$place/inprocess"
