#!/usr/bin/env bash
# Lists the crates in each program and library of a release, as CycloneDX 1.5. The wheel has its own
# list, by maturin. Needs cargo-cyclonedx.
#
# usage: sbom.sh OUT
set -euo pipefail
cd "$(dirname "$0")/.."
. packaging/release.sh
out=$1
mkdir -p "$out"
# cargo-cyclonedx writes a file beside each Cargo.toml of the workspace.
name=release-$$
trap 'rm -f ./*/"$name.json" ./*/*/"$name.json"' EXIT
cargo cyclonedx --quiet --manifest-path daemon/Cargo.toml --format json --spec-version 1.5 --no-build-deps --override-filename "$name"
for pair in daemon:memcached-rs mcrs:mcrs capi:libmemcache_rs bindings/node:memcache-rs-node; do
    mv "${pair%:*}/$name.json" "$out/${pair#*:}-$version.cdx.json"
done
