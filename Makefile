# Targets that need Go alone: run, test, bench, build. The others say what they need.

GO ?= go
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME ?= 10s

.PHONY: run test race bench table lint fuzz policies traces record-check build check-cuda-header emulator emulator-test emulator-sanitize

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

emulator: ## bin/libcuda.so.1, the stand-in CUDA driver for tests; needs a C compiler
	@mkdir -p bin
	cuda/emulator/build.sh driver bin/libcuda.so.1

emulator-test: emulator ## its conformance suite, on it or on the driver that OFFHOST_CUDA_LIB names
	cuda/emulator/build.sh suite bin/emulator-suite
	bin/emulator-suite

SANITIZED = bin/sanitized
emulator-sanitize: ## the same under the thread sanitizer and the address sanitizer of gcc
	@mkdir -p $(SANITIZED)
	@set -e; for s in thread address,undefined; do \
		for what in driver:libcuda.so.1 suite:suite; do \
			cuda/emulator/build.sh $${what%:*} $(SANITIZED)/$${what#*:} -fsanitize=$$s -fno-sanitize-recover=all; \
		done; \
		echo "$$s:"; OFFHOST_CUDA_LIB=$(SANITIZED)/libcuda.so.1 TSAN_OPTIONS="halt_on_error=1 atexit_sleep_ms=0" \
			$(SANITIZED)/suite -q; \
	done

check-cuda-header: ## cuda/include/cuda.h against a real one, fetched from Debian's non-free (900 MB) and not kept
	cuda/include/check.sh $(CUDA_HEADER_DIR)
