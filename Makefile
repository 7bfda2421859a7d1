# Targets that need Go alone: run, test, bench, build-go. The others say what they need.

GO ?= go
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME ?= 10s
REGISTRY = github.com/distribution/distribution/v3/cmd/registry@v3.1.2
ORAS = oras.land/oras/cmd/oras@v1.3.6

# CUDA is built with a C compiler and the header in cuda/include: no file of NVIDIA's. The
# header's sum is among the flags, since Go's build cache does not look into headers.
CUDA_H = $(shell cat cuda/include/cuda.h | sha256sum | cut -c 1-12)
CUDA_GO = CGO_ENABLED=1 CGO_CFLAGS="-O2 -g -I$(CURDIR)/cuda/include -DOFFHOST_CUDA_HEADER_SUM=0x$(CUDA_H)" $(GO)
CUDA_TESTS = $(CUDA_GO) test -tags cuda
HAS_CC = command -v $${CC:-cc} >/dev/null

.PHONY: run test test-cuda test-cuda-driver race bench bench-policies table lint fuzz policies traces record-check build build-go check-cuda-header emulator emulator-test emulator-sanitize toolchains registry examples transcript

run: ## replay the default trace
	$(GO) run ./cmd/offhost run

test: ## everything that Go alone can check, and CUDA on the stand-in where there is a C compiler
	@fmt=$$(gofmt -l .); test -z "$$fmt" || { echo "gofmt wants: $$fmt"; exit 1; }
	$(GO) vet ./...
	$(GO) test ./...
	@if $(HAS_CC); then $(MAKE) --no-print-directory test-cuda; else echo "skipped for want of a C compiler: test-cuda"; fi

test-cuda: ## CUDA on the stand-in driver, or on the one that OFFHOST_CUDA_LIB names; needs a C compiler
	$(CUDA_GO) vet -tags cuda ./cuda/... ./cmd/offhost/...
	$(CUDA_TESTS) ./cuda/...
	$(CUDA_TESTS) -run 'GPU|Driver' ./cmd/offhost

test-cuda-driver: ## the test program of the driver's loading, for another processor
	$(CUDA_TESTS) -c -o $(OUT) ./cuda/internal/driver

race: ## the same tests under the race detector; needs a C compiler
	$(GO) test -race ./...
	$(CUDA_TESTS) -race ./cuda ./cuda/internal/...

lint: ## staticcheck, fetched through the Go proxy; all of it needs a C compiler
	$(GO) run $(STATICCHECK) ./...
	@if $(HAS_CC); then set -x; $(CUDA_GO) run $(STATICCHECK) -tags cuda ./cuda/... ./cmd/offhost; fi

bench: ## the figures of the README's tables
	$(GO) test -run '^$$' -bench . -benchmem -count 3 ./...
	$(GO) run ./cmd/offhost/internal/sweep/table -ignore-workspace
	$(GO) run ./cmd/offhost/internal/sweep/table
	$(GO) run ./cmd/offhost/internal/sweep/table -steady
	@$(MAKE) --no-print-directory bench-policies

bench-policies: ## what a policy costs in each language, and what the examples move
	cd examples/policies/lru/go && GOOS=wasip1 GOARCH=wasm $(GO) build -buildmode=c-shared -trimpath -ldflags='-s -w -buildid=' -o lru.wasm .
	cd examples/policies/markov && GOOS=wasip1 GOARCH=wasm $(GO) build -buildmode=c-shared -trimpath -ldflags='-s -w -buildid=' -o markov.wasm .
	cd examples/policies/lru && $(GO) run ../../../cmd/offhost/internal/policybench/table C=c/lru.wasm Rust=rust/lru.wasm \
		Zig=zig/lru.wasm Go=go/lru.wasm AssemblyScript=assemblyscript/lru.wasm text=wat/lru.wasm
	cd examples/policies && $(GO) run ../../cmd/offhost/internal/sweep/table -ignore-workspace -compare \
		lru,sticky-loop,minimal/minimal.wasm,greedy-dual/greedy_dual.wasm,lfu-aging/lfu_aging.wasm,markov/markov.wasm,'sets/sets.wasm?set.all=*',accelerate-chain/accelerate_chain.wasm

fuzz: ## each fuzz target for FUZZTIME
	GO=$(GO) .ci/fuzz $(FUZZTIME)

policies: ## rebuild the built-in modules; needs Debian's clang-19 and lld-19
	policies/build.sh

toolchains: ## Rust, Zig and AssemblyScript for the examples, into bin/toolchains; needs Debian
	examples/policies/toolchains.sh bin/toolchains

registry: ## an OCI registry and the oras command for the tests, into bin/toolchains; through the Go proxy
	CGO_ENABLED=0 GOBIN=$(CURDIR)/bin/toolchains/bin $(GO) install $(REGISTRY)
	CGO_ENABLED=0 GOBIN=$(CURDIR)/bin/toolchains/bin $(GO) install $(ORAS)

examples: toolchains ## rebuild the examples' modules
	PATH="$(CURDIR)/bin/toolchains/bin:$$PATH" REQUIRE_TOOLS=1 \
		$(GO) test ./examples/policies -run TestPagesBuildTheirModules -update

transcript: toolchains ## write the transcripts in examples/policies/README.md anew
	PATH="$(CURDIR)/bin/toolchains/bin:$$PATH" REQUIRE_TOOLS=1 \
		$(GO) test ./examples/policies -run TestTranscripts -update

traces: ## rebuild the shipped traces
	$(GO) generate ./host/trace/library

record-check: ## the recorder on real pipelines; needs Python 3.11, fetches torch once (2.5 GB)
	examples/record/check.sh

OUT ?= bin/offhost

build: ## bin/offhost, with CUDA: needs a C compiler, and no file of NVIDIA's
	$(CUDA_GO) build -trimpath -tags cuda -o $(OUT) ./cmd/offhost

build-go: ## bin/offhost without CUDA
	CGO_ENABLED=0 $(GO) build -trimpath -o $(OUT) ./cmd/offhost

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
