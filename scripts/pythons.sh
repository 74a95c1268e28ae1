#!/usr/bin/env bash
# Tests the Python package under other versions of CPython than that of python.sh. Run python.sh
# first. The tests use the wheel for the stable ABI. A free-threaded interpreter (3.14 or later)
# gets a wheel of its own.
#
# usage: pythons.sh INTERPRETER ...
set -euo pipefail
cd "$(dirname "$0")/.."

here=$PWD
bin=$here/target/venv-python/bin
# The dependencies of the tests, without compiled ones, which lack wheels for some versions.
packages=(pytest pytest-xdist pytest-randomly pymemcache cachelib dogpile.cache 'Django<6' Flask Flask-Caching cachetools)

for python in "$@"; do
    version=$("$python" -c 'import platform, sysconfig
print(platform.python_version() + ("t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""))')
    echo "python $version"
    venv=$here/target/venv-python-$version
    [ -x "$venv/bin/pytest" ] || {
        "$python" -m venv "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}"
    }
    case $version in
    *t)
        wheels=$here/target/wheels-$version
        rm -rf "$wheels"
        (cd python && "$bin/maturin" build --quiet --profile extension --locked --interpreter "$venv/bin/python" --out "$wheels")
        ;;
    *) wheels=$here/target/wheels ;;
    esac
    "$venv/bin/pip" install --quiet --disable-pip-version-check --force-reinstall --no-deps "$wheels"/*.whl
    (cd python && SOURCES=$here/target/venv-python/sources "$venv/bin/pytest" --quiet -n 2 --import-mode importlib --ignore tests/test_clients.py tests)
done
