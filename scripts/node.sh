#!/usr/bin/env bash
# Builds the Node package in place and checks it: style, types in both module systems, tests. Then
# installs the packed form in a new directory and checks that. Needs Node 20 or newer, which
# scripts/setup.sh installs.
#
# usage: node.sh [FILE OF node/test ...]
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH=$PWD/target/bin:$PATH
root=$PWD

npm=(npm --no-audit --no-fund --no-update-notifier --loglevel=error)
cd node
if ! cmp -s package-lock.json node_modules/installed; then
    echo "node: tools and clients in node/node_modules"
    "${npm[@]}" ci --ignore-scripts >/dev/null
    cp package-lock.json node_modules/installed
fi
bin=$PWD/node_modules/.bin

# Not the release profile, which takes minutes to build. The behaviour is the same.
node install.js extension

"$bin/biome" ci --colors=off . ../examples/node
"$bin/biome" format --colors=off --config-path=. ../bench/node.js
"$bin/tsc" -p test/types
"$bin/tsd" --files 'test/types/*.test-d.*ts'

tests=("$@")
if [ $# -eq 0 ]; then tests=(test/*.test.js test/*.test.mjs); fi
log=$root/target/node-tests.log
if ! timeout --kill-after 10 600 node --test --expose-gc --test-reporter dot --test-reporter-destination stdout \
    --test-reporter spec --test-reporter-destination "$log" "${tests[@]}"; then
    # The end of the log lists the failed tests.
    sed -n '/failing tests:/,$p' "$log"
    exit 1
fi
echo

# Skip the rest if the caller selected tests.
[ $# -eq 0 ] || exit 0
echo "node: the packed form, installed in a new directory"
packed=$root/target/node-packed
rm -rf "$packed"
platform=$(node -p '`${process.platform}-${process.arch}-gnu`')
node pack.js "memcache-rs.${platform%-gnu}.node" "$platform" "$packed" >/dev/null
package=$(echo "$packed"/memcache-rs-[0-9]*.tgz)
"$bin/publint" run --strict --level suggestion "$package"
"$bin/attw" --no-color "$package"
mkdir "$packed/program"
cd "$packed/program"
echo '{ "private": true }' >package.json
# The packages of other platforms are optional and do not exist here.
"${npm[@]}" install --offline "$packed"/*.tgz >/dev/null
cat >program.mjs <<'PROGRAM'
import assert from 'node:assert/strict';
import { Cache, Server } from 'memcache-rs';
import { KeyvMemcache } from 'memcache-rs/keyv';
import 'memcache-rs/global-setup';
import 'memcache-rs/node-test';
import 'memcache-rs/undici';
const cache = new Cache();
cache.set('key', 'value');
assert.equal(await new KeyvMemcache({ cache }).get('key'), 'value');
const server = await Server.start({ cache });
assert.match(server.address, /:/);
PROGRAM
node program.mjs
node -e 'require("memcache-rs").Server.start()'
for file in memcache-rs/LICENSE-MIT memcache-rs/README.md memcache-rs/index.d.mts @memcache-rs/"$platform"/LICENSE-APACHE; do
    [ -s "node_modules/$file" ] || { echo "node: $file is missing" >&2; exit 1; }
done
if [ -e node_modules/memcache-rs/install.js ]; then echo "node: the packed form must not have install.js" >&2; exit 1; fi
npx memcached-rs -V
if readelf --sections --wide node_modules/@memcache-rs/"$platform"/memcache-rs.node | grep -q '\.debug_info'; then
    echo "node: the packed form must not have debug information" >&2
    exit 1
fi

echo "node: the package of a checkout, installed in a new directory"
mkdir "$packed/copy"
cd "$packed/copy"
echo '{ "private": true }' >package.json
MEMCACHE_RS_PROFILE=extension "${npm[@]}" install --offline --install-links "$root/node" >/dev/null
node -e 'require("memcache-rs").Server.start()'
installed=$(echo node_modules/*)
[ "$installed" = node_modules/memcache-rs ] || { echo "node: expected only memcache-rs to be installed, got $installed" >&2; exit 1; }
