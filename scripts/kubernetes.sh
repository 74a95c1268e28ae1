#!/usr/bin/env bash
# Checks the chart and the manifests of packaging/: kubernetes.sh SERVER. With WRITE=1 it writes
# packaging/kubernetes from the chart first.
#
#   target/venv-kubernetes    Helm's own engine, and the schemas of Kubernetes
#   target/kubernetes         the schema of the ServiceMonitor
set -euo pipefail
cd "$(dirname "$0")/.."

python_packages=(helm-python-sdk==0.2.2 kubernetes-validate==1.37.0)
node_packages=(@kubernetes-models/prometheus-operator@6.0.0)

venv=target/venv-kubernetes
if [ "$(cat "$venv/installed" 2>/dev/null || true)" != "${python_packages[*]}" ]; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "${python_packages[@]}"
    echo "${python_packages[*]}" >"$venv/installed"
fi
node=target/kubernetes
if [ "$(cat "$node/installed" 2>/dev/null || true)" != "${node_packages[*]}" ]; then
    rm -rf "$node"
    mkdir -p "$node"
    npm install --prefix "$node" --no-save --ignore-scripts --no-audit --no-fund --loglevel=error \
        "${node_packages[@]}" >/dev/null
    echo "${node_packages[*]}" >"$node/installed"
fi
"$venv/bin/python" packaging/test_kubernetes.py "$1"
