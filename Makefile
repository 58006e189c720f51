# The commands that people type. Each target is a few lines that can be pasted as well.
# Tests, bench and demo make network namespaces, so they need root.
.DEFAULT_GOAL := help
.PHONY: help build test lint demo bench allocations crowd names-bench many-names sim steady scale soak planted fuzz clean demo-tools
SHELL := bash
SECONDS_OF_SIM ?= 60
# Where cargo puts what it builds.
BUILT := $(or $(CARGO_TARGET_DIR),target)
SECONDS_OF_FUZZ ?= 60
SECONDS_OF_SOAK ?= 300

help: ## Show this list
	@sed -n 's/^\([a-z-]*\): .*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 13

build: ## Build weft: target/release/weft
	cargo build --release --locked -p weft

lint: ## Formatting, lints, the core without an operating system, licences
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	rustup target list --installed | grep -qx x86_64-unknown-none || rustup target add x86_64-unknown-none
	cargo check -p weft-core --target x86_64-unknown-none --locked
	@cargo deny --version >/dev/null 2>&1 || \
	  { echo "licences are checked by cargo-deny, which is not installed: cargo install --locked cargo-deny"; exit 1; }
	cargo fetch --locked # also what only other systems build: licences are checked of all of it
	cargo deny --offline check bans licenses sources
	@if [ -f fuzz/Cargo.toml ]; then echo cargo check --manifest-path fuzz/Cargo.toml; \
	cargo check --manifest-path fuzz/Cargo.toml; fi

# The binary comes first: the whole-system tests run it.
test: lint ## Everything that must hold before a change goes in
	cargo build --workspace --locked
	# A job in the background ignores SIGINT, and so would the daemons that are to end by it.
	env --default-signal=INT,HUP cargo test --workspace --locked
	$(MAKE) sim SECONDS_OF_SIM=30
	$(MAKE) demo

demo: demo-tools ## From nothing to a ping by name across two hosts
	cargo build --locked -p weft
	WEFT=$(BUILT)/debug/weft tests/demo.sh

demo-tools:
	@command -v ip >/dev/null && command -v ping >/dev/null && command -v ps >/dev/null || \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq iproute2 iputils-ping procps; }

bench: build ## How fast a host is ready and a container attached
	cargo run --release --locked -p weft-tests --bin bench

# The figures are those of this disk, and the machine should have nothing else to do.
allocations: build ## How many durable allocations a second, alone and together, and with 100,000 held
	cargo run --release --locked -p weft-tests --bin allocations

# It takes some two minutes, and the machine should have nothing else to do.
crowd: build ## Thirty peers here: how fast they gather, what each takes, how long faults are felt
	cargo run --release --locked -p weft-tests --bin crowd

# It takes some two minutes, and the machine should have nothing else to do.
names-bench: build ## How fast names are answered, beside dnsmasq and unbound
	cargo run --release --locked -p weft-tests --bin names

# It takes some three minutes and 4 GB, and the machine should have nothing else to do.
many-names: build ## What a hundred thousand names of a hundred peers cost the one that is asked
	cargo run --release --locked -p weft-tests --bin many_names

# The seed follows from the commit, so that a run can be repeated, and each commit has its own.
sim: ## The same runs in two profiles, then worlds of this commit for SECONDS_OF_SIM
	cargo build --workspace --locked # as for the tests: the simulator alone would be another build
	cargo build --release --locked -p sim --bin sim
	@for build in debug release; do \
	  $(BUILT)/$$build/sim explore --jobs 1 --seed 1 --seeds 50 --json | grep -o '"trace":"[0-9a-f]*"' > $(BUILT)/traces.$$build; done; \
	  [ $$(wc -l < $(BUILT)/traces.debug) = 50 ] && cmp $(BUILT)/traces.debug $(BUILT)/traces.release && \
	  echo "50 worlds are the same in a debug and a release build"
	@echo "worlds of 5 peers, one after the other:"
	set -o pipefail; $(BUILT)/release/sim explore --peers 5 --jobs 1 --seed 1 --seeds 40 | sed -n 2p
	$(BUILT)/release/sim explore --seed $$((16#$$(git rev-parse --short=12 HEAD))) --for $(SECONDS_OF_SIM)s

steady: ## How fast 1,000 peers find each other, and then run while nothing happens (takes minutes)
	cargo run --release --locked -p sim --bin sim -- steady

scale: ## What a mesh costs each of its peers, by its size, and how fast that grows (takes minutes)
	cargo run --release --locked -p sim --bin sim -- scale

# The seed follows from the commit, as for sim. It takes half a minute longer, until all is settled.
soak: ## Real daemons under faults for SECONDS_OF_SOAK, judged by what their clients were told
	cargo build --locked -p weft -p weft-tests
	$(BUILT)/debug/soak $(SECONDS_OF_SOAK) $$((16#$$(git rev-parse --short=12 HEAD)))

# BUGS names some of them, or --markdown.
planted: ## Plant known bugs one by one and have the simulator find them (takes long)
	cargo run --locked -p sim --bin planted -- $(BUGS)

# What it finds stays out of the committed corpus: copy in by hand what should be replayed.
fuzz: ## Fuzz each target for SECONDS_OF_FUZZ
	@cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz
	export RUSTC_BOOTSTRAP=1; for target in $$(cargo fuzz list); do \
	  found=fuzz/target/corpus/$$target; mkdir -p $$found; \
	  cargo fuzz run $$target $$found fuzz/corpus/$$target -- -max_total_time=$(SECONDS_OF_FUZZ) || exit 1; done

clean: ## Remove what was built
	cargo clean
	rm -rf fuzz/target
