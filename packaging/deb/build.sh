#!/usr/bin/env bash
# Makes the Debian package memcached-rs, with the daemon, mcrs, their manual and the units.
#
# usage: build.sh PROGRAMS OUT
#
# PROGRAMS has memcached-rs and mcrs, linked on the oldest Debian that the package is for. Needs
# dpkg-dev.
set -euo pipefail
cd "$(dirname "$0")/../.."
. packaging/release.sh
programs=$1 out=$(mkdir -p "$2" && cd "$2" && pwd)
here=packaging/deb
package=memcached-rs
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022

root=$work/root
control=$root/DEBIAN
mkdir -p "$control"
share=$root/usr/share
put_programs "$programs" "$root/usr/bin"
install -D -m 644 -t "$root/usr/lib/systemd/system" packaging/systemd/*
install -D -m 644 "$here/user.conf" "$root/usr/lib/systemd/system/memcached-rs.service.d/user.conf"
install -D -m 644 "$here/user.conf" "$root/usr/lib/systemd/system/memcached-rs@.service.d/user.conf"
install -D -m 644 -t "$root/etc/memcached-rs" packaging/memcached-rs.toml
install -D -m 644 -t "$share/doc/$package/examples" packaging/memcached.conf
install -D -m 644 "$here/lintian-overrides" "$share/lintian/overrides/$package"
put_manual "$share" vendor-completions
find "$share" -path '*/man/man1/*' -exec gzip --best --no-name {} +

# Debian's form of a changelog, with the one entry that dpkg needs. CHANGELOG.md has the rest.
date=$(date --utc --rfc-email --date="@$SOURCE_DATE_EPOCH")
{
    printf '%s (%s) unstable; urgency=medium\n\n' "$package" "$version"
    printf '  * Release %s. CHANGELOG.md of the source lists its changes.\n\n' "$version"
    echo " -- memcache-rs <maintainers@memcache-rs.invalid>  $date"
} | gzip --best --no-name >"$share/doc/$package/changelog.gz"
{
    cat "$here/copyright"
    sed '1,4d; s/^$/./; s/^/ /' LICENSE-MIT
} >"$share/doc/$package/copyright"
python3 packaging/licences.py memcache-rs-daemon memcache-rs-tool | gzip --best --no-name >"$share/doc/$package/crates.txt.gz"
chmod 644 "$share/doc/$package"/*.gz "$share/doc/$package/copyright"

# dpkg-shlibdeps asks for a source package around the programs.
mkdir "$work/debian"
printf 'Source: %s\n\nPackage: %s\nArchitecture: any\n' "$package" "$package" >"$work/debian/control"
depends=$(cd "$work" && dpkg-shlibdeps -O root/usr/bin/* | sed 's/^shlibs:Depends=//')

install -m 755 "$here/postinst" "$here/prerm" "$here/postrm" "$control"
(cd "$root" && find etc -type f -printf '/%p\n' | sort) >"$control/conffiles"
(cd "$root" && find . -path ./DEBIAN -prune -o -path ./etc -prune -o -type f -printf '%P\n' | sort | xargs md5sum) >"$control/md5sums"
sed "s|@VERSION@|$version|; s|@ARCHITECTURE@|$architecture|; s|@DEPENDS@|$depends|; s|@SIZE@|$(du -sk --apparent-size "$root" | cut -f1)|" \
    "$here/control" >"$control/control"
find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
file=$out/${package}_${version}_$architecture.deb
dpkg-deb --root-owner-group -Zxz --build "$root" "$file" >/dev/null
echo "$file"
