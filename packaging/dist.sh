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
#   musl      the wheel for systems with musl, such as Alpine Linux
#   sbom      the crates in each of them
#   sums      SHA256SUMS of all files in OUT
set -euo pipefail
cd "$(dirname "$0")/.."
profile=$1 out=$2
shift 2
export PATH=$PWD/target/venv-dist/bin:$PATH
machine=$(uname -m)
glibc=$machine-unknown-linux-gnu
musl=$machine-unknown-linux-musl
mkdir -p "$out"

# build_libraries TARGET builds the C library and the addon, which share most crates, and links them
# by Zig.
build_libraries() {
    cargo-zigbuild zigbuild --quiet --locked --profile "$profile" --target "$1" -p memcache-rs-capi -p memcache-node
}

# Succeeds if Rust has its files for musl. Reports the consequence otherwise.
has_musl() {
    if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$musl" ]; then
        echo "dist: Rust's target $musl is missing, so $1. To add it: rustup target add $musl" >&2
        return 1
    fi
}

# Static programs with musl run on every Linux. Those with glibc find users and hosts by files and
# DNS only.
make_archive() {
    local target=$glibc
    if has_musl "the static programs contain glibc"; then target=$musl; fi
    RUSTFLAGS='-C target-feature=+crt-static' cargo build --quiet --locked --profile "$profile" --target "$target" \
        -p memcache-rs-daemon -p memcache-rs-tool
    packaging/archive.sh daemon "target/$target/$profile" "$out"
}

make_deb() {
    packaging/deb/build.sh target/release "$out"
}

# The symbols of glibc 2.17 are those that manylinux2014 may use.
make_library() {
    build_libraries "$glibc.2.17"
    packaging/archive.sh library "target/$glibc/$profile" "$out"
}

make_wheel() {
    (
        cd python
        maturin build --quiet --locked --profile "$profile" --zig --compatibility manylinux2014 --out "../$out"
        maturin sdist --out "../$out"
    )
}

make_npm() {
    build_libraries "$glibc.2.17"
    node node/pack.js "target/$glibc/$profile/libmemcache_node.so" "linux-$(node -p process.arch)-gnu" "$out"
}

make_musl() {
    has_musl "there is no wheel for musl" || return 0
    # A Python that has musl already loads it.
    local -x RUSTFLAGS='-C target-feature=-crt-static'
    (
        cd python
        maturin build --quiet --locked --profile "$profile" --zig --target "$musl" --compatibility musllinux_1_2 --out "../$out"
    )
}

make_sbom() {
    packaging/sbom.sh "$out"
}

make_sums() {
    (cd "$out" && find . -type f ! -name SHA256SUMS -printf "%P\n" | sort | xargs sha256sum >SHA256SUMS)
}

for part; do
    case $part in
    archive | deb | library | wheel | npm | musl | sbom | sums) "make_$part" ;;
    *)
        echo "dist.sh: PART must be archive, deb, library, wheel, npm, musl, sbom or sums, got $part" >&2
        exit 2
        ;;
    esac
done
