#!/usr/bin/env bash
# Checks by clippy that the crates compile for other systems. Nothing is linked or run.
#
# A target whose standard library is not installed is skipped with a line that says so. C code,
# which TLS has, is not compiled: a stand-in for the compiler writes empty files.
set -euo pipefail
cd "$(dirname "$0")/.."

stand_in=$PWD/target/cross/cc
mkdir -p "$(dirname "$stand_in")"
cat >"$stand_in" <<'CC'
#!/bin/sh
# Writes an empty object (-o NAME) or an empty archive (NAME.a).
for word; do
    case $last in -o) : >"$word" ;; esac
    case $word in *.a) : >"$word" ;; esac
    last=$word
done
CC
chmod 755 "$stand_in"

installed=$(rustc --print sysroot)/lib/rustlib
# check TARGET ARGUMENTS: runs clippy for a target.
check() {
    local target=$1
    shift
    if [ ! -d "$installed/$target/lib" ]; then
        echo "skipped: $target is not installed; run: rustup target add $target"
        return
    fi
    # A build script that looks for Apple's tools finds this directory in their place.
    env "CC_${target//-/_}=$stand_in" "AR_${target//-/_}=$stand_in" SDKROOT=/ \
        cargo clippy --quiet --locked --target "$target" --target-dir target/cross "$@" -- -D warnings
}

# The load generator is of Linux.
check aarch64-apple-darwin --workspace --exclude memcache-bench --all-targets
check x86_64-unknown-linux-musl -p memcache-rs-daemon -p memcache-rs-tool
# Without its server, which needs Unix.
check x86_64-pc-windows-gnu -p memcache-rs --no-default-features
