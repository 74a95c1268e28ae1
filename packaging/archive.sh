#!/usr/bin/env bash
# Makes the archives of a release from programs and libraries that are built already.
#
# usage: archive.sh daemon PROGRAMS OUT     memcached-rs-VERSION-linux-ARCHITECTURE.tar.gz
#        archive.sh library LIBRARIES OUT   libmemcache_rs-VERSION-linux-ARCHITECTURE.tar.gz
#
# PROGRAMS has memcached-rs and mcrs, LIBRARIES has libmemcache_rs.so and libmemcache_rs.a.
set -euo pipefail
cd "$(dirname "$0")/.."
. packaging/release.sh
kind=$1 built=$2 out=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022

case $kind in
daemon)
    name=memcached-rs-$version-linux-$architecture
    root=$work/$name
    put_programs "$built" "$root/bin"
    put_manual "$root/share" site-functions
    install -D -m 644 -t "$root/lib/systemd/system" packaging/systemd/*
    install -D -m 644 -t "$root/etc/memcached-rs" packaging/memcached-rs.toml
    install -D -m 644 -t "$root/etc" packaging/memcached.conf
    # The archive is for /usr/local, which the manager of systemd searches, too.
    sed -i 's|/usr/bin/|/usr/local/bin/|; s|--config /etc/|--config /usr/local/etc/|' "$root"/lib/systemd/system/*.service
    packages=(memcache-rs-daemon memcache-rs-tool)
    documents=$root/share/doc/memcached-rs
    ;;
library)
    name=libmemcache_rs-$version-linux-$architecture
    root=$work/$name
    # Installs no programs, because no file has the name of the daemon.
    PREFIX="/$name" DESTDIR=$work scripts/install.sh install "$work/none" "$built"
    # pkg-config finds the prefix from the place of its file.
    # shellcheck disable=SC2016 # pkg-config expands it
    sed -i 's|^prefix=.*|prefix=${pcfiledir}/../..|' "$root/lib/pkgconfig/memcache_rs.pc"
    packages=(memcache-rs-capi)
    documents=$root/share/doc/memcache_rs
    ;;
*)
    echo "archive.sh: KIND must be daemon or library, got $kind" >&2
    exit 2
    ;;
esac
put_documents "$documents"
python3 packaging/licences.py "${packages[@]}" >"$documents/THIRD-PARTY-LICENSES.txt"

mkdir -p "$out"
tar --create --gzip --file "$out/$name.tar.gz" --directory "$work" "${reproducible[@]}" "$name"
echo "$out/$name.tar.gz"
