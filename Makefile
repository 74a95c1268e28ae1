# The verbs of this repository. `make help` lists them.

MEMCACHED ?= /usr/bin/memcached
PORT ?= 11211
PREFIX ?= /usr/local
DAEMON := target/release/memcached-rs
BENCH := target/release/bench
LIBRARIES := target/release
# Pinned, because other versions draw different files from the same results.
MATPLOTLIB := 3.11.2
COUNT ?= 60000

# The caches that `make bench-python` compares with.
PYTHON_RIVALS := cachebox==6.2.10 cachetools==8.0.1 diskcache==5.6.3 lru-dict==1.4.1 pymemcache==4.0.0
# The caches that `make bench-node` compares with.
NODE_RIVALS := keyv@5.6.0 lru-cache@11.5.3 memjs@1.3.2 node-cache@5.1.2

# `make setup` installs Node here if the system's is missing or too old.
export PATH := $(CURDIR)/target/bin:$(PATH)

.PHONY: help run build tool capi header setup check test test-rust test-capi miri loom fuzz fuzz-quick \
	test-servers test-examples test-metrics test-service test-python test-pythons test-node differential snapshots suite \
	clients cluster kubernetes \
	bench bench-quick bench-proxy bench-c bench-python bench-node instructions policies plots lint deny api doc package \
	man dist wheel npm-pack dist-tools test-dist test-dist-quick install uninstall clean

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

run: build ## build the daemon and start it on 127.0.0.1:$(PORT)
	$(DAEMON) -l 127.0.0.1 -p $(PORT)

build: ## build the daemon, optimised
	cargo build --release --locked -p memcache-rs-daemon

tool: ## build mcrs, the tool for servers and snapshots, optimised
	cargo build --release --locked -p memcache-rs-tool

capi: ## build libmemcache_rs, optimised
	cargo build --release --locked -p memcache-rs-capi

header: ## write include/memcache_rs.h from capi/
	WRITE_HEADER=1 cargo test --quiet --locked -p memcache-rs-capi --test header

setup: ## install Debian packages, and clients in target/, for the tests
	@bash scripts/setup.sh

# Half of the time of all tests of core; `make test-rust` runs them.
SLOW_TESTS := allocations memory store_model store_stress
QUICK_TESTS := cve $(filter-out $(SLOW_TESTS),$(basename $(notdir $(wildcard core/tests/*.rs))))
# cargo fmt does not see the policies, whose modules a macro declares.
POLICIES := rustfmt --edition 2024 --check core/src/store/policy/*.rs
check: ## check formatting, run clippy and the quick tests of core; needs Rust alone
	cargo fmt --all --check
	$(POLICIES)
	cargo clippy -p memcache-rs --all-targets --locked -- -D warnings
	cargo test -p memcache-rs --locked --lib $(QUICK_TESTS:%=--test=%)
	cargo test -p memcache-rs --locked --doc

# Run two at a time: one often waits for its servers while the other compiles. The longest are
# first. Those that build in the same directory wait for each other.
TESTS := lint test-rust doc test-python fuzz-quick test-node test-capi differential test-dist-quick clients \
	cluster loom test-examples test-metrics test-service kubernetes
test: setup ## run all checks: lints, tests, real clients, comparison with memcached
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target --old-file=setup $(TESTS)
	@echo "make test: everything passed"

lint: ## check formatting, run clippy, also for other systems, check layers, prose, licences and the public API
	cargo fmt --all --check
	$(POLICIES)
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy -p memcache-rs --no-default-features --locked -- -D warnings
	cargo clippy -p memcache-rs --no-default-features --features server --locked -- -D warnings
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --manifest-path fuzz/Cargo.toml --bins --lib --locked --target-dir target/fuzz/lint -- -D warnings
	cd scripts && python3 -m unittest discover --quiet tests
	scripts/targets.sh
	python3 scripts/layers.py
	cargo metadata --format-version 1 --locked | python3 scripts/dependencies.py
	python3 scripts/prose.py
	$(CORE_DOC)
	python3 scripts/api.py target/doc/memcache_rs --check core/api.txt

CORE_DOC = RUSTDOCFLAGS='-D warnings' cargo doc --quiet -p memcache-rs --no-deps --locked
api: ## write core/api.txt, the public API, from the code
	$(CORE_DOC)
	python3 scripts/api.py target/doc/memcache_rs >core/api.txt

DENY_VERSION := 0.20.2
DENY_CHECKS ?= all
deny: ## cargo deny, which is installed first if it is missing: advisories, licences, bans, sources
	cargo deny --version 2>/dev/null || cargo install --quiet --locked cargo-deny@$(DENY_VERSION)
	cargo deny check $(DENY_CHECKS)

test-rust: ## run the Rust tests
	cargo test --workspace --locked

test-capi: capi man setup ## test the C ABI: C and C++ programs, plain, under valgrind, with AddressSanitizer, by dlopen
	python3 capi/tests/run.py $(LIBRARIES)

miri: ## run the store's unit tests under Miri, which finds undefined behaviour (needs a nightly with Miri)
	MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-disable-weak-memory-emulation" cargo +nightly miri test --target-dir target/miri -p memcache-rs --lib -- store:: --skip cache::store

loom: ## check models of the code without locks, in every order of steps
	CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 RUSTFLAGS='--cfg loom' \
		LOOM_MAX_PREEMPTIONS=3 cargo test --release --target-dir target/loom -p memcache-rs --lib loom_tests

TIME ?= 60
TARGET ?= store
fuzz: ## run one fuzz target: make fuzz TARGET=session TIME=60
	@scripts/fuzz.sh run $(TARGET) $(TIME)

FUZZ_TIME ?= 5
fuzz-quick: ## run every fuzz target for FUZZ_TIME seconds (default 5)
	@scripts/fuzz.sh quick $(FUZZ_TIME)

test-servers: clients differential cluster kubernetes ## run clients, differential, cluster and kubernetes

clients: build setup ## run real clients against the daemon, also as a proxy
	python3 compat/clients/run.py $(DAEMON)
	python3 compat/clients/run.py --proxy $(DAEMON)

cluster: build setup ## kill a node behind each way to use three, check where clients put keys; MEMCACHED_PROXY=… adds memcached's proxy
	MEMCACHED_PROXY='$(MEMCACHED_PROXY)' target/venv/bin/python compat/cluster/run.py $(DAEMON)
	MEMCACHED_PROXY='$(MEMCACHED_PROXY)' target/venv/bin/python compat/cluster/placement.py $(DAEMON)

kubernetes: build ## check the Helm chart and the manifests of packaging/; WRITE=1 writes the manifests
	@WRITE='$(WRITE)' MEMCACHED_PROXY='$(MEMCACHED_PROXY)' bash scripts/kubernetes.sh $(DAEMON)

differential: build setup ## send the same random commands to the daemon and to Debian's memcached; MEMCACHED_PROXY=… adds both proxies
	cargo build --profile extension --locked -p memcache-compat --bin differential --bin record
	target/extension/differential --agree 1.6.18 --mode text --count $(COUNT) --seed 1 $(MEMCACHED) $(DAEMON)
	target/extension/differential --agree 1.6.18 --mode meta --count $(COUNT) --seed 2 $(MEMCACHED) $(DAEMON)
	target/extension/differential --agree 1.6.18 --mode binary --count $(COUNT) --seed 3 $(MEMCACHED) $(DAEMON)
	target/extension/differential --agree 1.6.18 --mode both --count $(COUNT) $(MEMCACHED) $(DAEMON)
	MEMCACHED_PROXY='$(MEMCACHED_PROXY)' target/extension/differential --proxy all --count 3000 $(DAEMON)
	target/extension/record --check --flags '-o debug_commands' $(DAEMON) core/tests/data/*.transcript
	target/extension/record --check --flags '-o debug_commands,drop_privileges' $(DAEMON) core/tests/data/*.transcript

test-examples: build tool setup ## run the shell examples of README.md and docs/, and test the control service and its examples
	python3 scripts/examples.py $(DAEMON)
	python3 examples/cluster/failover.py $(DAEMON)
	target/venv/bin/python compat/control/run.py $(DAEMON)

test-metrics: build setup ## scrape the daemon with Prometheus, check the alert rules and the dashboard
	python3 packaging/test_metrics.py $(DAEMON)

test-python: ## build and test the Python package: wheel, style, types, stubs, tests
	@bash scripts/python.sh

test-pythons: test-python ## test the Python package under other versions of CPython: make test-pythons PYTHONS="python3.10 python3.14t"
	@scripts/pythons.sh $(PYTHONS)

test-node: setup ## build and test the Node package: style, types, tests, the packed form
	@bash scripts/node.sh

SNAPSHOTS := target/release/snapshots
KILLS ?= 1000
snapshots: build ## check snapshots: half an hour under threads, KILLS kills of a save and of a daemon, stops
	cargo build --release --locked -p memcache-compat
	$(SNAPSHOTS) kill-save --rounds $(KILLS)
	$(SNAPSHOTS) kill-server --rounds $(KILLS) $(DAEMON)
	$(SNAPSHOTS) stop-server --rounds 100 $(DAEMON)
	$(SNAPSHOTS) stress --seconds 1800

suite: build ## run memcached's own tests: make suite CHECKOUT=/path/to/memcached
	@test -n "$(CHECKOUT)" || { echo "make suite CHECKOUT=/path/to/memcached" >&2; exit 2; }
	cargo build --release --locked -p memcache-compat
	target/release/suite $(CHECKOUT) $(DAEMON)

bench: build ## measure side by side with memcached, half an hour: make bench MEMCACHED=… [POGOCACHE=…] [DATA=dir with traces]
	cargo build --release --locked -p memcache-bench
	@MEMCACHED='$(MEMCACHED)' POGOCACHE='$(POGOCACHE)' DATA='$(DATA)' DAEMON='$(DAEMON)' BENCH='$(BENCH)' scripts/bench.sh full

bench-quick: build ## like bench, but in three minutes, with results in target/bench-quick
	cargo build --release --locked -p memcache-bench
	@MEMCACHED='$(MEMCACHED)' POGOCACHE='$(POGOCACHE)' DATA='$(DATA)' DAEMON='$(DAEMON)' BENCH='$(BENCH)' scripts/bench.sh quick

bench-proxy: build ## measure proxies before the same backends: make bench-proxy [MEMCACHED_PROXY=…] [ROUTELIB=routelib.lua] [CASE=names]
	cargo build --release --locked -p memcache-bench
	rm -f bench/results/proxy.jsonl
	$(BENCH) proxy --backend backend=$(MEMCACHED) $(PROXIES) $(if $(CASE),--case '$(CASE)') --results bench/results/proxy.jsonl

# The first one is the base of all ratios. Words in capitals are files that bench writes.
PROXIES = $(if $(MEMCACHED_PROXY),--server 'memcached=$(MEMCACHED_PROXY):-o proxy_config=LUA') \
	--server 'native=$(DAEMON):-o proxy_config=TOML' \
	--server 'lua=$(DAEMON):-o proxy_config=LUA' \
	$(if $(TWEMPROXY),--server 'twemproxy=$(TWEMPROXY):-c YML') \
	$(if $(ROUTELIB),$(if $(MEMCACHED_PROXY),--server 'memcached-routelib=$(MEMCACHED_PROXY):-o proxy_config=routelib$(comma)proxy_arg=ROUTELIB') \
		--server 'lua-routelib=$(DAEMON):-o proxy_config=$(ROUTELIB)$(comma)proxy_arg=ROUTELIB')
TWEMPROXY ?= $(firstword $(wildcard /usr/sbin/nutcracker /usr/bin/nutcracker /usr/local/sbin/nutcracker))
comma := ,

instructions: ## count instructions of the hot paths, compare with bench/instructions.txt; WRITE=1 writes it
	cargo build --release --locked -p memcache-bench
	python3 scripts/instructions.py $(BENCH) $(if $(WRITE),--write)

bench-c: capi ## measure C calls beside GHashTable and, with POGOCACHE_SOURCE=checkout, pogocache's embedded API
	POGOCACHE_SOURCE='$(POGOCACHE_SOURCE)' scripts/bench-c.sh $(LIBRARIES) | tee bench/results/c.jsonl

bench-python: ## measure the Python package beside other caches; run scripts/python.sh first
	cd python && ../target/venv-python/bin/maturin build --quiet --release --locked --out ../target/wheels-release
	[ -x target/venv-bench/bin/python ] || python3 -m venv target/venv-bench
	target/venv-bench/bin/pip install --quiet --disable-pip-version-check $(PYTHON_RIVALS)
	target/venv-bench/bin/pip install --quiet --disable-pip-version-check --force-reinstall --no-deps target/wheels-release/*.whl
	MEMCACHED='$(MEMCACHED)' target/venv-bench/bin/python bench/python.py bench/results/python.jsonl

bench-node: ## measure the Node package beside other caches
	node node/install.js release
	npm install --prefix target/bench-node --no-save --no-audit --no-fund --loglevel=error $(NODE_RIVALS)
	NODE_PATH=$(CURDIR)/target/bench-node/node_modules MEMCACHED='$(MEMCACHED)' node bench/node.js bench/results/node.jsonl

policies: ## simulate eviction policies on traces: make policies TRACES="P3.lis.zst OLTP.lis.zst"
	@[ -x target/venv/bin/python ] || python3 -m venv target/venv
	target/venv/bin/pip install --quiet --disable-pip-version-check libcachesim zstandard
	target/venv/bin/python scripts/policies.py bench/results/policies.jsonl $(TRACES)

plots: ## draw bench/results into docs/plots
	@[ -x target/venv/bin/python ] || python3 -m venv target/venv
	@target/venv/bin/python -c 'import matplotlib, sys; sys.exit(matplotlib.__version__ != "$(MATPLOTLIB)")' 2>/dev/null || \
		target/venv/bin/pip install --quiet --disable-pip-version-check matplotlib==$(MATPLOTLIB)
	target/venv/bin/python scripts/plot.py bench/results docs/plots

man: ## write manual pages and completions of bash, zsh and fish into target/man and target/completions
	MANUAL=target cargo test --quiet --locked -p memcache-rs-daemon --lib manual
	MANUAL=target cargo test --quiet --locked -p memcache-rs-tool --bin mcrs manual

test-service: build man setup ## check units, manual pages and completions with systemd, mandoc, man and the shells
	python3 packaging/test.py $(DAEMON) target

doc: ## build the API documentation of the crates
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked

# The files of a release. DIST_PROFILE=extension builds the same in less time, for a try.
DIST := target/dist
DIST_PROFILE ?= release
DIST_PARTS := archive deb library wheel npm musl sbom sums

package: ## the crates as they are published, each built from its package
	python3 scripts/package.py

dist: dist-tools man build tool ## all files of a release except the crates, in target/dist
	rm -rf $(DIST)
	packaging/dist.sh $(DIST_PROFILE) $(DIST) $(DIST_PARTS)

wheel: dist-tools ## the wheel of this platform and the source distribution, in target/dist
	packaging/dist.sh $(DIST_PROFILE) $(DIST) wheel

npm-pack: dist-tools ## the npm packages, with the binary of this platform, in target/dist
	packaging/dist.sh $(DIST_PROFILE) $(DIST) npm

dist-tools: setup
	@packaging/tools.sh

test-dist: dist ## make dist, then install each file into an empty place without Rust, and use it
	packaging/lint.sh
	target/venv-dist/bin/python packaging/test_dist.py $(DIST) $(DIST_PARTS) docker

# The tests of the packages and of the C ABI install the rest, built by other profiles.
test-dist-quick: ## test-dist for the archive of the daemon, the Debian package and the image
	$(MAKE) test-dist DIST_PROFILE=extension DIST=target/dist-quick DIST_PARTS='archive deb sums'

install: build man tool capi ## install daemon, tool, their manual and units, library, header, pkg-config and CMake files under $(PREFIX); DESTDIR is honoured
	PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' scripts/install.sh install $(DAEMON) $(LIBRARIES) target

uninstall: ## remove the installed files
	PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' scripts/install.sh uninstall $(DAEMON) $(LIBRARIES)

clean: ## remove everything that was built
	cargo clean
