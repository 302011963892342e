# `make run` and `make test` are all that is needed. The rest is listed by `make help`.

STACK = target/debug/payment-stack

.PHONY: help setup build run demo test contract check-ops check-live test-random test-faults test-mutations test-backlog test-roll lint openapi bench bench-pickup bench-outage clean

help:            ## Lists the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

setup:           ## Installs Postgres, Redis and a C compiler, where they are missing
	@sh dev/setup.sh

build: setup     ## Builds everything
	@cargo build --workspace

run: build       ## Runs the whole service with a simulated Stripe. WORKERS=n PORT=n
	@exec $(STACK) run

demo:            ## Takes a payment through the running service and shows each step
	@exec $(STACK) demo

openapi: build   ## Renews what is generated: api/openapi.json, grafana/metrics.txt, the state machines in ARCHITECTURE.md
	@UPDATE=1 cargo test -q -p payment-testing --test it repository::

test: build      ## Runs all tests against a private Postgres and Redis
	@exec $(STACK) with cargo test --workspace

contract: build  ## The OpenAPI document under public linters, generated clients and schemathesis. SEEDS="1 2 3" EXAMPLES=n
	@dev/contract/run.sh

check-ops: build ## Documents, chart, manifests, images, compose file, workflows, alert rules and dashboards, by public tools; nothing runs
	@for check in docs images rules dashboards chart; do echo "=== $$check"; dev/ops/$$check.sh || exit 1; done

check-live: build ## Asks a Prometheus each question of the dashboards and alerts, while a stack works
	@python3 dev/ops/underload.py

test-random: build ## Random histories against the simulator's ledger. SEEDS=n FIRST_SEED=n OPS=n
	@SEEDS=$${SEEDS:-20} OPS=$${OPS:-2000} $(STACK) with cargo test -p payment-testing --test it histories:: -- --nocapture

test-faults: build ## Kills, hangs, loses and doubles whatever can be, then checks what must hold. SEEDS=n FIRST_SEED=n OPS=n
	@python3 dev/faults/run.py

test-mutations: build ## Breaks each promise on purpose and sees whether make test-faults notices. ONLY="name ..." SEEDS=n OPS=n
	@python3 dev/faults/mutations.py

bench: setup     ## How fast the service is, against what Postgres allows; writes bench/results.json. Release build. ONLY="webhooks ..." PROGRAMS=dir
	@[ -n "$(PROGRAMS)" ] || cargo build --release --bins
	@python3 dev/bench/run.py

bench-pickup: build ## Measures how long after a commit an idle worker begins
	@exec $(STACK) with target/debug/payment-bench pickup

bench-outage:    ## Takes Redis away while 200 payments a second arrive: what clients notice, and that none is lost. Release build
	@cargo build --release --bins && exec target/release/payment-stack with target/release/payment-bench outage

test-roll:       ## Replaces APIs behind a balancer, and workers, under 200 payments a second: none may fail. Release build
	@cargo build --release --bins && HAPROXY=$$(dev/ops/haproxy.sh) target/release/payment-stack with target/release/payment-bench roll

test-backlog: build ## Drains 100,000 jobs that were accepted while no worker ran
	@exec $(STACK) with target/debug/payment-bench backlog

lint: setup      ## Formatting, clippy, licences and sources of dependencies
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets -- -D warnings
	@command -v cargo-deny >/dev/null || cargo install cargo-deny --locked
	@cargo deny check bans licenses sources

clean:           ## Removes the development data
	@if [ -x $(STACK) ]; then exec $(STACK) clean; fi
