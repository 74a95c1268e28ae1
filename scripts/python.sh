#!/usr/bin/env bash
# Builds the Python package as a wheel, installs it into target/venv-python and checks it: style,
# types, stubs, examples, tests in random order and in parallel. Needs Python 3.10 or newer. PYTHON
# names the interpreter.
#
# usage: python.sh [ARGUMENT OF PYTEST ...]
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-/usr/bin/python3}
packages=(maturin==1.16.0 pytest==9.2.0 pytest-xdist==3.8.0 pytest-randomly==5.1.0 ruff==0.17.5 mypy==2.4.1
    "pyright[nodejs]==1.1.414"
    # The clients that talk to the server.
    pymemcache==4.0.0 python-memcached==1.62 aiomcache==0.8.2 emcache==1.3.3 pylibmc==1.6.3
    python-binary-memcached==0.33.0
    # The packages that have adapters here.
    cachelib==0.17.0 dogpile.cache==1.5.0 Django==5.2.19 django-stubs==5.2.9
    Flask==3.1.3 Flask-Caching==2.5.1 cachetools==8.0.1 prometheus-client==0.26.0
    # The packages of the examples.
    starlette==1.10.0 httpx==0.28.1 SQLAlchemy==2.1.9)
# Packages whose own tests run, from their source distributions.
tested=(Django==5.2.19 Flask-Caching==2.5.1 pymemcache==4.0.0)

venv=$PWD/target/venv-python
wanted="$("$python" --version) ${packages[*]} ${tested[*]}"
if [ "$(cat "$venv/installed" 2>/dev/null || true)" != "$wanted" ]; then
    echo "python: tools and clients in target/venv-python"
    rm -rf "$venv"
    mkdir -p target
    "$python" -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}"
    "$venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --no-binary :all: \
        --dest "$venv/sources" "${tested[@]}"
    for archive in "$venv"/sources/*.tar.gz; do
        tar -xzf "$archive" -C "$venv/sources"
        rm "$archive"
    done
    echo "$wanted" >"$venv/installed"
fi

wheels=$PWD/target/wheels
rm -rf "$wheels"
# Not the release profile, which takes minutes to build. The behaviour is the same.
(cd python && "$venv/bin/maturin" build --quiet --profile extension --locked --interpreter "$venv/bin/python" --out "$wheels")
"$venv/bin/pip" install --quiet --disable-pip-version-check --force-reinstall --no-deps "$wheels"/*.whl

bin=$venv/bin
cd python
"$bin/ruff" format --check --quiet .
"$bin/ruff" check --quiet .
"$bin/mypy" memcache_rs tests
"$bin/pyright" --pythonpath "$bin/python" memcache_rs
# Check the installed package, not the sources in this directory.
(cd "$venv" && "$bin/python" -m mypy.stubtest memcache_rs --allowlist "$OLDPWD/stubtest-allowlist.txt")
SOURCES=$venv/sources "$bin/pytest" -n 2 --import-mode importlib tests "$@"
cd ../examples/python
"$bin/ruff" format --check --quiet --config ../../python/pyproject.toml .
"$bin/ruff" check --quiet --config ../../python/pyproject.toml .
"$bin/pytest" --quiet -p no:cacheprovider

# The rest takes a minute. Skip it if the caller selected tests.
[ $# -eq 0 ] || exit 0
echo "python: the source distribution, built from itself and installed in a new environment"
cd ../..
made=$PWD/target/python-sdist
rm -rf "$made"
(cd python && "$bin/maturin" sdist --out "$made")
tar -xzf "$made"/*.tar.gz -C "$made"
rm "$made"/*.tar.gz
here=$(echo "$made"/memcache_rs-*)
# Cargo takes files that are older than the last build for built. It also confuses packages of two
# workspaces that have the same relative paths. So this build has new files and its own directory,
# which begins with what the wheel above has built of other projects.
find "$here" -type f -exec touch {} +
built=$PWD/target/python-sdist-build
rm -rf "$built"
mkdir -p "$built/extension"
# Another build may write there now. The records of finished crates come first, so that a crate
# without one is built again. A file may be gone again.
cp -al target/extension/{.fingerprint,build,deps} "$built/extension" 2>/dev/null || true
find "$built/extension" -mindepth 2 -maxdepth 2 -name '*memcache*' -exec rm -rf {} +
cp "$here/Cargo.lock" "$made/Cargo.lock"
# `--locked` is not possible: the lock file has the whole workspace, and Cargo removes packages that
# are not part of the source distribution.
PATH=$bin:$PATH CARGO_TARGET_DIR=$built "$bin/pip" wheel --quiet --disable-pip-version-check \
    --no-deps --no-build-isolation --config-settings build-args="--profile extension" --wheel-dir "$made" "$here"
if grep '^checksum' "$here/Cargo.lock" | grep --invert-match --line-regexp --fixed-strings --file "$made/Cargo.lock"; then
    echo "python: the build of the source distribution uses packages that are not in Cargo.lock" >&2
    exit 1
fi
"$python" -m venv "$made/venv"
"$made/venv/bin/pip" install --quiet --disable-pip-version-check "$made"/*.whl
cd "$made/venv"
bin/python -I -W error -c '
from importlib.metadata import files
from memcache_rs import Cache, Server
with Cache() as cache:
    cache.set("key", "value")
    assert cache.get("key") == b"value"
with Server() as server:
    assert server.address
names = {file.name for file in files("memcache-rs")}
assert {"LICENSE-MIT", "LICENSE-APACHE", "py.typed", "_native.pyi", "_native.abi3.so"} <= names, names
'
bin/memcached-rs -V
