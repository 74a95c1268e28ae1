#!/usr/bin/env bash
# Lists the crates in each program and library of a release, as CycloneDX 1.5. The wheel has its own
# list, by maturin. Installs cargo-cyclonedx in target/tools if it is missing.
#
# usage: sbom.sh OUT
set -euo pipefail
cd "$(dirname "$0")/.."
. packaging/release.sh
out=$1
export PATH=$PWD/target/tools/bin:$PATH
if ! cargo cyclonedx --version >/dev/null 2>&1; then
    echo "dist: cargo-cyclonedx in target/tools"
    # The debug build takes a minute, the optimised one several. It runs for a second.
    cargo install --quiet --locked --debug --root target/tools cargo-cyclonedx@0.5.9
fi
mkdir -p "$out"
# cargo-cyclonedx writes a file beside each Cargo.toml of the workspace.
name=release-$$
trap 'rm -f ./*/"$name.json" ./*/*/"$name.json"' EXIT
cargo cyclonedx --quiet --manifest-path daemon/Cargo.toml --format json --spec-version 1.5 --no-build-deps --override-filename "$name"
for pair in daemon:memcached-rs mcrs:mcrs capi:libmemcache_rs bindings/node:memcache-rs-node; do
    mv "${pair%:*}/$name.json" "$out/${pair#*:}-$version.cdx.json"
done
