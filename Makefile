# The project's commands; `make help` lists them. A fresh machine needs Python 3.11 or newer and make, nothing else.

PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3.14 python3,$(shell command -v $(name) 2>/dev/null)))
VENV := .venv
BIN := $(VENV)/bin
DATA ?= data
PORT ?= 8080
# Quiet, never asks, and every package must match the digest that the lock file names.
INSTALL := $(BIN)/python -m pip install --quiet --no-input --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help setup run test lint format docs bench bench-large lock clean

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.runtime ## Create .venv and install what the server needs

run: $(VENV)/.runtime ## Install, make keys, load the demo data once, serve http://127.0.0.1:8080/fhir
	@test -d $(DATA) || $(BIN)/fhir-server init --data $(DATA)
	@$(BIN)/fhir-server load --demo --data $(DATA)
	@$(BIN)/fhir-server demo-accounts --data $(DATA) --base http://127.0.0.1:$(PORT)/fhir
	@$(BIN)/fhir-server serve --data $(DATA) --port $(PORT)

test: $(VENV)/.dev ## Install and run the whole test suite
	@$(BIN)/python -m pytest

lint: $(VENV)/.dev ## Style, format, types, floors of the house, file sizes
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m tests.architecture.sizes

format: $(VENV)/.dev ## Rewrite the code in the house's format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: $(VENV)/.dev ## Make the tables in docs/ anew
	@$(BIN)/python -m tests.architecture.settings_table
	@$(BIN)/python -m tests.architecture.search_table
	@$(BIN)/python -m tests.bench.scaling_page

bench: $(VENV)/.dev ## Measure speed against a peer; writes bench-results.json
	@$(BIN)/python -m tests.bench.run

bench-large: $(VENV)/.dev ## The same on a large store
	@$(BIN)/python -m tests.bench.run --large

lock: $(VENV)/.dev ## Resolve the dependencies of pyproject.toml anew into the lock files
	@$(BIN)/uv pip compile pyproject.toml $(LOCK) -o requirements.lock
	@$(BIN)/uv pip compile pyproject.toml --group dev $(LOCK) -o requirements-dev.lock
	@$(BIN)/uv pip compile --group build $(LOCK) -c requirements-dev.lock -o docker/build.lock

# No header, index or annotation lines: the lock files say what is installed, not where it came from.
LOCK := --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url

clean: ## Remove .venv and caches; the data folder stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# Each install leaves a stamp, so that a second run costs nothing.
$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; none was found." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; say which one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Creating $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.lock pyproject.toml | $(VENV)/bin/python
	@echo "Installing what the server needs"
	@$(INSTALL) --require-hashes -r requirements.lock
	@$(INSTALL) --no-deps --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	@echo "Installing what the tests need"
	@$(INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@
