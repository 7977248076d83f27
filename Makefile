# Two commands do everything: `make demo` and `make test`. Both set the machine up first.
SHELL := /bin/bash
export CARGO_TARGET_DIR ?= $(HOME)/.cache/reelmill/target
CACHE := $(HOME)/.cache/reelmill
BIN := $(CARGO_TARGET_DIR)/debug/reelmill

.PHONY: help setup build demo services test lane-mill lane-parts test-all chaos chaos-full lint fmt chart bench dist
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## check the toolchain, install what is missing
	@scripts/setup.sh

build: setup ## one build for the program, the tests and the demo
	cargo build --workspace --all-targets --locked

demo: build ## the main job on real footage; Ctrl-C ends it, DEMO_ONCE=1 ends by itself
	@scripts/demo.sh $(BIN)

services: setup ## Kafka, Apicurio, VersityGW, OpenSearch, PostgreSQL, Prometheus; Ctrl-C stops them
	@scripts/services.sh run

test: build ## every test, real services included
	@scripts/helm.sh
	REELMILL_BIN=$(BIN) PATH="$(CACHE)/python/bin:$$PATH" scripts/services.sh with -- \
	  $(MAKE) --no-print-directory --jobs=2 --keep-going lane-mill lane-parts

# Much of a test is waiting, so two lanes run side by side. Their patterns leave no test program out.
lane-mill:
	@set -o pipefail; cargo test --workspace --locked --no-fail-fast --test '[hmr]*' 2>&1 | sed -u 's/^/mill  | /'

lane-parts:
	@set -o pipefail; { cargo test --workspace --locked --no-fail-fast --lib --bins --test '[!hmr]*' && \
	  cargo test --workspace --locked --doc; } 2>&1 | sed -u 's/^/parts | /'

test-all: export REELMILL_LONG := 1
test-all: test ## the same with the long forms: more seeds, more data

chaos: export REELMILL_LONG := 1
chaos: export REELMILL_REQUIRE_SERVICES := 1
chaos: build ## ten minutes of kills, outages and cuts on real services; REELMILL_SEED chooses them
	PATH="$(CACHE)/python/bin:$$PATH" cargo test --workspace --locked --test chaos -- --nocapture

chaos-full: export REELMILL_CHAOS_EVENTS ?= 100000
chaos-full: export REELMILL_CHAOS_FAULTS ?= 500
chaos-full: chaos ## the same until 100,000 events and 500 faults are reached: hours

lint: ## formatting and clippy, warnings denied
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	@if command -v cargo-deny >/dev/null; then cargo deny check bans licenses sources; else echo "cargo deny: not installed, passed over"; fi

fmt: ## format the code
	cargo fmt --all

chart: ## write the chart's README and its copies of rules and dashboards anew
	@scripts/helm.sh write

dist: setup ## a release of what is checked out, packed into dist/
	@scripts/dist.sh

bench: build ## measure against the peers, as ratios in one run
	@benches/run.sh $(BIN)
	@python3 benches/render.py $(dir $(BIN))reelmill-bench tests/footage $${RUNS:-3}
	@python3 benches/whole_way.py $(BIN) tests/footage $${RUNS:-2} 1 10
	@$(CACHE)/bench/bin/python benches/leaks.py $(BIN) $(dir $(BIN))reelmill-bench $(CACHE)/bench/bin/deface $${SEEDS:-4}
	@$(CACHE)/bench/bin/python benches/real.py $(BIN) $(dir $(BIN))reelmill-bench $(CACHE)/bench/bin/deface
	@benches/events.sh $(dir $(BIN))events
	@benches/sink.sh $(dir $(BIN))sink
