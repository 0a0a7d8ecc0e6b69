# Everything a developer does here, by name. "make" alone lists it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# What to test, and with what more: make test PKG=./store/... TESTFLAGS='-v -run TestLane'
PKG ?= ./...
TESTFLAGS ?=
# The simulator's seeds, how long each fuzz target runs, which benchmarks.
SEEDS ?= 10000
FUZZTIME ?= 20s
BENCH ?= .

.PHONY: help
help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: ## start a server with a sample worker and sample jobs
	go run ./cmd/orchestrix dev

.PHONY: build
build: ## build bin/orchestrix
	CGO_ENABLED=0 go build -trimpath -o bin/orchestrix ./cmd/orchestrix

.PHONY: test
test: ## install what the tests need and run all of them, with the race detector
	@tools/need-cc.sh
	@tools/need-redis.sh
	go test -race -timeout 20m $(TESTFLAGS) $(PKG)

.PHONY: short
short: ## run the tests in their short form, in under a minute
	go test -short -timeout 5m $(TESTFLAGS) $(PKG)

.PHONY: test-redis
test-redis: ## run the tests of the engine on Redis, and the store's over it
	@tools/need-redis.sh
	go test -timeout 20m $(TESTFLAGS) ./store/engine/redis/... ./store

.PHONY: test-cluster
test-cluster: ## run the tests of several nodes on one store, in their long form
	@tools/need-redis.sh
	go test -timeout 20m -count=1 $(TESTFLAGS) ./test/cluster

.PHONY: test-async
test-async: ## kill the coordinator of a job of 20 s, and hold asynchronous jobs to their times
	go test -timeout 5m -count=1 $(TESTFLAGS) ./test/e2e -run 'Async|Cancel|GivenBack' -async 20s -strict -v

.PHONY: test-schedules
test-schedules: ## walk over every minute of seven years in thirteen zones
	go test -timeout 60m -count=1 $(TESTFLAGS) ./scheduler -run '^TestAgainstEveryMinute$$' -years

.PHONY: test-charts
test-charts: ## test the dashboards and alerts on a real Prometheus, and the Helm chart
	@tools/need-prometheus.sh
	cd test/charts && GOWORK=off go test -timeout 15m -count=1 $(TESTFLAGS) ./...

.PHONY: sim
sim: ## run the simulator of the shard state machine over SEEDS seeds
	go test ./dispatcher -run '^TestSimulation$$' -count=1 -timeout 30m -seeds=$(SEEDS) $(TESTFLAGS)

.PHONY: bench
bench: ## run the benchmarks
	go test -run '^$$' -bench '$(BENCH)' -benchmem -timeout 30m $(TESTFLAGS) $(PKG)

.PHONY: bench-backlog
bench-backlog: ## measure what a backlog of a million jobs costs
	go run ./cmd/orchestrix bench backlog

.PHONY: bench-isolation
bench-isolation: ## measure what a hanging worker costs another queue
	go run ./cmd/orchestrix bench isolation

.PHONY: bench-limits
bench-limits: ## measure what keeping account of limits costs
	go run ./cmd/orchestrix bench limits

.PHONY: bench-peers
bench-peers: ## measure asynq on Redis and River on PostgreSQL beside Orchestrix
	tools/need-redis.sh
	go build -o bin/orchestrix ./cmd/orchestrix
	cd tools/peers && GOWORK=off go run . --orchestrix ../../bin/orchestrix

.PHONY: bench-spread
bench-spread: ## measure what 10,000 queues and a million keys cost
	go run ./cmd/orchestrix bench spread

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME
	tools/fuzz.sh $(FUZZTIME)

.PHONY: lint
lint: ## run the linters
	program=$$(tools/build.sh golangci-lint); "$$program" run $(PKG)

.PHONY: fmt
fmt: ## format the sources
	program=$$(tools/build.sh gofumpt); "$$program" -l -w .

.PHONY: clean
clean: ## remove what was built here; never data
	rm -rf bin
	find . -name .git -prune -o -type f \( -name '*.test' -o -name '*.prof' -o -name '*.out' \) -exec rm -f {} +
