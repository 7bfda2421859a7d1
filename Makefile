# Targets that need Go alone: run, test, bench, build. The others say what they need.

GO ?= go
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME ?= 10s

.PHONY: run test race bench table lint fuzz policies traces record-check build
.PHONY: run test race bench table lint fuzz policies traces build check-cuda-header

run: ## replay the default trace
	$(GO) run ./cmd/offhost run

test: ## everything that Go alone can check
	@fmt=$$(gofmt -l .); test -z "$$fmt" || { echo "gofmt wants: $$fmt"; exit 1; }
	$(GO) vet ./...
	$(GO) test ./...

race: ## the same tests under the race detector; needs a C compiler
	$(GO) test -race ./...

lint: ## staticcheck, fetched through the Go proxy
	$(GO) run $(STATICCHECK) ./...

bench: ## the figures of the README's tables
	$(GO) test -run '^$$' -bench . -benchmem -count 3 ./...
	$(GO) run ./cmd/offhost/internal/sweep/table -ignore-workspace
	$(GO) run ./cmd/offhost/internal/sweep/table
	$(GO) run ./cmd/offhost/internal/sweep/table -steady

fuzz: ## each fuzz target for FUZZTIME
	@set -e; for pkg in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$pkg; \
		done; done

policies: ## rebuild the built-in modules; needs Debian's clang-19 and lld-19
	policies/build.sh

traces: ## rebuild the shipped traces
	$(GO) generate ./host/trace/library

record-check: ## the recorder on real pipelines; needs Python 3.11, fetches torch once (2.5 GB)
	examples/record/check.sh

build: ## bin/offhost
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/offhost ./cmd/offhost

check-cuda-header: ## cuda/include/cuda.h against a real one, fetched from Debian's non-free (900 MB) and not kept
	cuda/include/check.sh $(CUDA_HEADER_DIR)
