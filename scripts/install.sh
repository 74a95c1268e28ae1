#!/usr/bin/env bash
# Installs the daemon, the tool beside it and the library, or removes them. The manual pages, the
# completions of shells, the units of systemd and their settings come with the daemon.
#
# usage: install.sh install|uninstall DAEMON LIBRARIES [MADE]
#
# MADE has man/ and completions/, as `make man` writes them. PREFIX, DESTDIR and STRIP come from the
# environment. Version numbers come from the header. Settings that were changed stay.
set -euo pipefail
cd "$(dirname "$0")/.."
verb=$1 daemon=$2 libraries=$3 made=${4:-}
prefix=${PREFIX:-/usr/local}
root=${DESTDIR:-}$prefix
value() { sed -n "s/^#define $1 \"\{0,1\}\([0-9.]*\)\"\{0,1\}\$/\1/p" include/memcache_rs.h; }
version=$(value MCRS_VERSION) abi=$(value MCRS_ABI_VERSION)

# The system reads no settings in /usr/etc.
etc=$prefix/etc
if [ "$prefix" = /usr ]; then etc=/etc; fi
settings=${DESTDIR:-}$etc/memcached-rs/memcached-rs.toml

files=(
    bin/memcached-rs bin/mcrs include/memcache_rs.h lib/libmemcache_rs.a "lib/libmemcache_rs.so.$version" "lib/libmemcache_rs.so.$abi"
    lib/libmemcache_rs.so lib/pkgconfig/memcache_rs.pc lib/cmake/memcache_rs/memcache_rs-config.cmake
    lib/cmake/memcache_rs/memcache_rs-config-version.cmake
)
for program in memcached-rs mcrs; do
    files+=(
        "share/man/man1/$program.1" "share/bash-completion/completions/$program"
        "share/zsh/site-functions/_$program" "share/fish/vendor_completions.d/$program.fish"
    )
done
for unit in packaging/systemd/*; do files+=("lib/systemd/system/$(basename "$unit")"); done

# Refreshes the loader's cache. Prints a hint if the loader does not find the library.
refresh_loader() {
    PATH=$PATH:/usr/sbin:/sbin
    if [ -n "${DESTDIR:-}" ] || ! command -v ldconfig >/dev/null; then return; fi
    if [ "$(id -u)" = 0 ]; then ldconfig || true; fi
    if [ "$verb" = install ] && ! ldconfig -p | grep -qF "$prefix/lib/libmemcache_rs.so.$abi"; then
        echo "install: the loader does not find $prefix/lib/libmemcache_rs.so.$abi. Start programs with" \
            "LD_LIBRARY_PATH=$prefix/lib, or link them with -Wl,-rpath,$prefix/lib. If $prefix/lib is listed in" \
            "/etc/ld.so.conf, run ldconfig as root instead."
    fi
}

if [ "$verb" = uninstall ]; then
    for file in "${files[@]}"; do rm -f "$root/$file"; done
    if cmp -s packaging/memcached-rs.toml "$settings"; then rm "$settings"; fi
    rmdir "$root/lib/cmake/memcache_rs" "$(dirname "$settings")" 2>/dev/null || true
    refresh_loader
    exit
fi

# put MODE FROM TO STRIP-OPTION installs a binary without debug information. The build directory
# keeps it.
put() {
    install -D -m "$1" "$2" "$root/$3"
    "${STRIP:-strip}" "$4" "$root/$3"
}

fill() {
    install -d "$(dirname "$root/$2")"
    sed "s|@PREFIX@|$prefix|; s|@VERSION@|$version|; s|@ABI@|$abi|; s|/usr/bin/m|$prefix/bin/m|; s|--config /etc/|--config $etc/|" \
        "$1" >"$root/$2"
    chmod 644 "$root/$2"
}
# The build may not include the programs.
for program in "$daemon" "$(dirname "$daemon")/mcrs"; do
    if [ -e "$program" ]; then put 755 "$program" "bin/$(basename "$program")" --strip-all; fi
done
if [ -n "$made" ]; then
    install -D -m 644 -t "$root/share/man/man1" "$made"/man/*.1
    install -D -m 644 -t "$root/share/bash-completion/completions" "$made"/completions/bash/*
    install -D -m 644 -t "$root/share/zsh/site-functions" "$made"/completions/zsh/*
    install -D -m 644 -t "$root/share/fish/vendor_completions.d" "$made"/completions/fish/*
    for unit in packaging/systemd/*; do fill "$unit" "lib/systemd/system/$(basename "$unit")"; done
    if [ ! -e "$settings" ]; then install -D -m 644 packaging/memcached-rs.toml "$settings"; fi
fi
install -D -m 644 include/memcache_rs.h "$root/include/memcache_rs.h"
put 644 "$libraries/libmemcache_rs.a" lib/libmemcache_rs.a --strip-debug
put 755 "$libraries/libmemcache_rs.so" "lib/libmemcache_rs.so.$version" --strip-unneeded
ln -sf "libmemcache_rs.so.$version" "$root/lib/libmemcache_rs.so.$abi"
ln -sf "libmemcache_rs.so.$abi" "$root/lib/libmemcache_rs.so"
fill capi/install/memcache_rs.pc.in lib/pkgconfig/memcache_rs.pc
fill capi/install/memcache_rs-config.cmake lib/cmake/memcache_rs/memcache_rs-config.cmake
fill capi/install/memcache_rs-config-version.cmake lib/cmake/memcache_rs/memcache_rs-config-version.cmake
refresh_loader
