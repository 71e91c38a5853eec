# Entry points. What they do is in e2e/*.sh; `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: bench-api bench-backlog bench-converge bench-edit bench-plot bench-queue bench-transcode help demo demo-info demo-down test lint unit fmt generate e2e-up e2e-test e2e-down faults soak mutations fuzz sbom

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## from a bare machine to a video that plays; leaves everything running
	@e2e/demo.sh

demo-info: ## where the running demo is, as JSON (use make -s)
	@e2e/demo-info.sh

demo-down: ## take the demo away
	@e2e/demo-down.sh demo

test: ## everything that CI runs: lint, unit and e2e-test
	@e2e/test.sh all

lint: ## format, clippy, cargo deny, chart, scripts, generated files
	@e2e/test.sh lint

unit: ## unit, golden, API-server and browser tests, without a cluster of nodes
	@e2e/test.sh unit

fmt: ## format the Rust code
	@cargo fmt --all

generate: ## write the CRD, the RBAC rules, the CA certificates of RDS, the chart's README and the examples' lives
	@e2e/test.sh generate

e2e-up: ## bring the tests' cluster, emulator and operator up; a demo may run beside
	@e2e/up.sh test

e2e-test: ## tests on a kind cluster, which stays up, and in a browser
	@e2e/test.sh cluster

e2e-down: ## take the tests' environment away
	@e2e/demo-down.sh test

faults: ## the operator dies at each request in a simulated world; then a cluster is broken, docs/faults.md tells how
	@e2e/test.sh faults

soak: ## random lives of the operator, until stopped; SEEDS=n ends it, SEED=n says where to begin
	@e2e/test.sh soak

fuzz: ## hostile inputs for every parser, CASES=n of each kind
	@e2e/test.sh fuzz

sbom: ## what is in the images that were built last, and what they were made of
	@e2e/sbom.sh

mutations: ## faults that are put into the operator, each of which a test must notice
	@e2e/mutations/run.py

bench-queue: ## message to Job, against a bare long poll and create, and KEDA; BENCH="--sides bare,operator"
	@e2e/bench-scale.sh queue $(BENCH)

bench-converge: ## platforms created at once, against a bare client; BENCH="--platforms 1000"
	@e2e/bench-scale.sh converge $(BENCH)

bench-edit: ## one platform edited among 1000, against a bare client; BENCH="--platforms 100"
	@e2e/bench-scale.sh edit $(BENCH)

bench-backlog: ## 15000 messages and 100 slots, against the slots' own limit
	@e2e/bench-scale.sh backlog $(BENCH)

bench-api: ## list and live events under load, against bare handlers
	@e2e/bench-scale.sh api $(BENCH)

bench-plot: ## draw docs/images/cost.svg from bench/scale/results.csv
	@e2e/bench-scale.sh plot

bench-transcode: ## a ladder, against one bare ffmpeg process
	@cargo build --release --quiet --locked --workspace --bin transcoder
	@bench/transcode/run.py --transcoder $${CARGO_TARGET_DIR:-target}/release/transcoder
