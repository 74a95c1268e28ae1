#!/usr/bin/env bash
# Builds the files of a release.
#
# usage: dist.sh PROFILE OUT PART ...
#
# PROFILE is a profile of Cargo.toml: release, or extension for a try. `make dist` makes all PARTs,
# in this order:
#
#   archive   the daemon and mcrs as static programs, in a tar archive
#   deb       the Debian package, with the programs of target/release
#   library   libmemcache_rs with header, pkg-config and CMake files, in a tar archive
#   wheel     the Python wheel and the source distribution
#   npm       the npm package and the package with the addon of this platform
#   sbom      the crates in each of them
#   sums      SHA256SUMS of all files in OUT
set -euo pipefail
cd "$(dirname "$0")/.."
profile=$1 out=$2
shift 2
export PATH=$PWD/target/venv-dist/bin:$PWD/target/tools/bin:$PATH
machine=$(uname -m)
# Zig links with the symbols of glibc 2.17, as manylinux2014 asks.
portable=$machine-unknown-linux-gnu
mkdir -p "$out"

zigbuild() {
    cargo-zigbuild zigbuild --quiet --locked --profile "$profile" --target "$portable.2.17" "$@"
}

# musl's static programs run on every Linux. Without Rust's files for musl, glibc takes its place.
# Such a program finds users and hosts by files and DNS only.
make_archive() {
    local target=$machine-unknown-linux-musl
    if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then
        echo "dist: Rust's target $target is missing, so the static programs contain glibc: rustup target add $target" >&2
        target=$machine-unknown-linux-gnu
    fi
    RUSTFLAGS='-C target-feature=+crt-static' cargo build --quiet --locked --profile "$profile" --target "$target" \
        --target-dir target/static -p memcache-rs-daemon -p memcache-rs-tool
    packaging/archive.sh daemon "target/static/$target/$profile" "$out"
}

make_deb() {
    packaging/deb/build.sh target/release "$out"
}

make_library() {
    zigbuild -p memcache-rs-capi
    packaging/archive.sh library "target/$portable/$profile" "$out"
}

make_wheel() {
    (cd python && maturin build --quiet --locked --profile "$profile" --zig --compatibility manylinux2014 --out "$OLDPWD/$out")
    (cd python && maturin sdist --quiet --out "$OLDPWD/$out")
}

make_npm() {
    zigbuild -p memcache-node
    node node/pack.js "target/$portable/$profile/libmemcache_node.so" "linux-$(node -p process.arch)-gnu" "$out"
}

make_sbom() {
    packaging/sbom.sh "$out"
}

make_sums() {
    (cd "$out" && find . -type f ! -name SHA256SUMS -printf "%P\n" | sort | xargs sha256sum >SHA256SUMS)
}

for part; do
    case $part in
    archive | deb | library | wheel | npm | sbom | sums) "make_$part" ;;
    *)
        echo "dist.sh: PART must be archive, deb, library, wheel, npm, sbom or sums, got $part" >&2
        exit 2
        ;;
    esac
done
