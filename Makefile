# GEF registry. `make demo` needs nothing but Python 3.11 or newer; `make test` installs what it needs where it may.
#
#   REQUIRE_REAL=1      a real part (registry, engine, client) that is missing fails the tests instead of skipping them
#   PYTEST_ARGS=...     more arguments for pytest, in `unit` and `real`
#   MINUTES=10          how long `fuzz` runs
#   VENV=.venv          the virtual environment; updated only when pyproject.toml changes

SHELL := /bin/sh
VENV ?= .venv
BIN := $(VENV)/bin
REQUIRE_REAL ?=
PYTEST_ARGS ?=
MINUTES ?= 10
WORKERS ?= auto

ifeq ($(REQUIRE_REAL),1)
export GEF_REGISTRY_REQUIRE_REAL := 1
endif
export VENV
# Byte code is kept (and ignored by git): without it every worker and every gate that a test starts compiles everything again.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Steps are in order and share one machine: never in parallel.
.NOTPARALLEL:
.PHONY: demo test lint unit real bench fuzz venv packages tools clean help

demo: $(VENV)/.installed ## set up, start a gate, push good and bad services to it, verify, tamper: about a minute
	@$(BIN)/gef-registry demo

test: packages $(if $(filter 1,$(REQUIRE_REAL)),tools) lint unit real ## everything: packages, lint, unit tests, tests against real parts

lint: $(VENV)/.installed-dev ## ruff and mypy
	$(BIN)/ruff check
	$(BIN)/mypy

unit: $(VENV)/.installed-dev ## the tests that need nothing but Python and end within a minute
	$(BIN)/python -m pytest -m "not real and not slow" -n $(WORKERS) $(PYTEST_ARGS)

real: $(VENV)/.installed-dev ## the tests against real registries, engines and clients, and the long ones
	$(BIN)/python -m pytest -m "real or slow" $(PYTEST_ARGS)

bench: $(VENV)/.installed-dev ## side-by-side measurements; prints tables
	@for file in $$(grep -l '^if __name__ == "__main__":' benchmarks/*.py); do \
		echo "== $$file"; PYTHONPATH=. $(BIN)/python "$$file" || exit 1; done

fuzz: $(VENV)/.installed-dev ## property tests with new seeds for MINUTES
	scripts/fuzz $(MINUTES)

venv: $(VENV)/.installed-dev ## the virtual environment with the development tools

packages: ## the Debian packages that the tests need, where this account may install them
	@scripts/install-packages

tools: ## crane, cosign and the OCI conformance suite, built in a cache where Go is present
	@scripts/install-go-tools

clean: ## remove the virtual environment and everything generated here
	rm -rf $(VENV) build dist .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# The development environment holds everything the plain one does, so it satisfies both.
$(VENV)/.installed: pyproject.toml
	@scripts/make-venv $(VENV)
	@touch $@

$(VENV)/.installed-dev: pyproject.toml
	@scripts/make-venv $(VENV) dev
	@touch $@ $(VENV)/.installed
