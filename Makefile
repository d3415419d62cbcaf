# SPDX-License-Identifier: Apache-2.0
# The short way in. Each target works by itself from a clean clone: it first gets what it needs of `make setup`.
SHELL = /bin/bash
JOBS ?= $(shell nproc)
PREFIX ?= /usr/local
BACKEND ?=
DEMO ?=
DEMO_MODULES = marty_cli $(if $(findstring nats,$(DEMO)),marty-nats) $(if $(findstring postgres,$(DEMO)),marty-postgres)
DEMO_TARGETS = $(DEMO_MODULES) $(addprefix sagas_,demo order inventory payment shipping orchestrator)
ORDERS_TARGETS = $(DEMO_MODULES) $(addprefix orders_,demo order inventory payment shipping)
export DEMO ROUNDS TAKEOVERS FROM
export MARTY_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/marty
export NATS_SERVER ?= $(MARTY_CACHE)/servers/nats-server-2.15.2
export CMAKE_BUILD_PARALLEL_LEVEL = $(JOBS)

.PHONY: all setup demo demo-orders test conformance simulate kill-sagas stall bench fuzz lint format coverage install clean help

all: ## build the library, the program and the modules into build/
	@tools/setup.sh build
	@tools/build.sh dev

setup: ## install what is needed to build and test, and fetch the test servers
	@tools/setup.sh
	@echo "setup: ready"

demo: ## 200 order sagas while two processes are killed; DEMO="--backend nats" or "--store postgres://HOST/DATABASE"
	@tools/setup.sh build $(if $(findstring nats,$(DEMO)),servers)
	@MARTY_TARGETS="$(DEMO_TARGETS)" tools/build.sh dev
	@cmake --build build --target demo -- --quiet

demo-orders: ## the same orders by events, commands and queries alone, without sagas; DEMO="--backend nats"
	@tools/setup.sh build $(if $(findstring nats,$(DEMO)),servers)
	@MARTY_TARGETS="$(ORDERS_TARGETS)" tools/build.sh dev
	@cmake --build build --target demo-orders -- --quiet

test: ## everything that must hold, at most half an hour
	@tools/setup.sh
	@tools/test.sh

conformance: ## the suite on one backend: BACKEND=memory, sqlite, nats-old, nats-new, nats-tls, nats-cluster; none = all
	@tools/setup.sh build test servers
	@tools/build.sh dev
	@tools/ctest.sh dev --output-on-failure -L '^conformance-$(BACKEND)'

simulate: ## sagas from seeds: SEEDS=20000, without it until stopped; FROM=1
	@tools/setup.sh build test
	@MARTY_TARGETS=simulation tools/build.sh dev
	@build/tests/simulation/simulation $(if $(SEEDS),--seeds $(SEEDS)) --from $(or $(FROM),1)

kill-sagas: ## 1,000 sagas for each store and bus under kill -9, and take-over times: ROUNDS=1 TAKEOVERS=3 FROM=1
	@tools/setup.sh build test servers
	@tools/build.sh dev
	@MARTY_MODULE_PATH=$(CURDIR)/build/modules tests/kill/all.sh build/tests/kill/kill_sagas build/examples/sagas

stall: ## unit tests while their threads stand still now and then: TEST=regex ROUNDS=10 FROM=1
	@tools/setup.sh build test servers
	@tools/build.sh dev
	@tools/stall.py build '$(or $(TEST),^(base|message|backend|memory|sqlite|bus|patterns|reliability|nats)_)' $(or $(ROUNDS),10) $(or $(FROM),1)

bench: ## ours against the raw client, in one run
	@tools/setup.sh build servers
	@tools/build.sh release -DMARTY_BENCH=ON
	@cmake --build build-release --target bench

fuzz: ## each decoder for FUZZ_SECONDS (default 600)
	@tools/setup.sh build test
	@tools/build.sh fuzz
	@cmake --build build-fuzz --target fuzz

lint: ## formatting, clang-tidy, cppcheck, gcc -fanalyzer
	@tools/setup.sh build lint
	@tools/lint.sh format tidy cppcheck analyzer

format: ## rewrite the sources as .clang-format says
	@tools/setup.sh lint
	@tools/lint.sh rewrite

coverage: ## which lines the unit tests and the suite on memory and sqlite run
	@tools/setup.sh build test
	@tools/build.sh cov
	@tools/ctest.sh cov -L '^(unit|conformance-memory|conformance-sqlite)$$'
	@tools/coverage.py build-cov

install: ## PREFIX=/usr/local, DESTDIR=
	@tools/setup.sh build
	@tools/build.sh release -DMARTY_BENCH=OFF -DMARTY_EXAMPLES=OFF -DCMAKE_INSTALL_PREFIX=$(PREFIX)
	@cmake --install build-release >build-release/install.log
	@echo " installed into $(DESTDIR)$(PREFIX); its files: build-release/install_manifest.txt"

clean: ## remove every build folder
	rm -rf build build-*

help: ## this text
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22
