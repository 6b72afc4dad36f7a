# Two commands do all the set-up: `make demo` and `make test`. `make help` lists the rest.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
JOBS ?= auto

.PHONY: help setup demo test check chaos outages format lint types floors contracts bench requirements clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

setup: $(STAMP) ## make .venv with .venv/bin/spreaview-sync

$(STAMP): requirements/development.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "spreaview-sync needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Remedy: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) has no venv module. Remedy: install it (on Debian and Ubuntu: python3-venv) or name another Python: make PYTHON=/path/to/python $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip --disable-pip-version-check install --quiet --require-hashes -r requirements/development.txt
	$(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP) ## import a synthetic conference on a local sandbox and show what happened
	@$(BIN)/spreaview-sync demo

test: $(STAMP) ## run every test (real PostgreSQL, real brokers, real processes), JOBS at a time
	$(BIN)/python -m pytest -n $(JOBS) --maxprocesses 4 --dist worksteal

check: lint types floors test ## all that CI checks

chaos: $(STAMP) ## long runs of seeded faults (CHAOS="--seed 7 --faults 300" chooses)
	$(BIN)/python -m tests.acceptance.chaos $(CHAOS)

outages: $(STAMP) ## PostgreSQL, then Kafka, down for two minutes under load
	$(BIN)/python -m tests.acceptance.outages

lint: $(STAMP) ## formatting and lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP) ## strict typing
	$(BIN)/mypy

floors: $(STAMP) ## a package imports only from lower floors
	$(BIN)/lint-imports

format: $(STAMP) ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

contracts: $(STAMP) ## write the JSON Schemas and golden examples again
	$(BIN)/python -m contracts.publish

bench: $(STAMP) ## measure: the codec, the log, snapshots, a rebuild, what one hanging event costs
	$(BIN)/python -m tests.benchmarks.codec
	$(BIN)/python -m tests.benchmarks.log
	$(BIN)/python -m tests.benchmarks.state
	$(BIN)/python -m tests.benchmarks.hanging
	$(BIN)/python -m tests.benchmarks.rebuild

requirements: $(STAMP) ## refresh the hashed requirements from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --quiet --upgrade --custom-compile-command "make requirements" -o requirements/runtime.txt
	$(BIN)/uv pip compile pyproject.toml --extra sandbox --group development --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --quiet --upgrade --constraint requirements/runtime.txt --custom-compile-command "make requirements" -o requirements/development.txt

clean: ## remove .venv, the local sandbox's data and caches
	rm -rf .venv .spreaview .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build *.egg-info
