# `make demo` and `make test` set everything up by themselves. `make help` lists all targets.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
JOBS ?= auto
EXAMPLES ?= 3
MUTATION := $(or $(TMPDIR),/tmp)/spreaview-sync-mutation

.PHONY: help setup demo test soak check chaos outages format lint types floors contracts catalogue bench-quick bench bench-long peers properties mutation requirements audit clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

setup: $(STAMP) ## create .venv with .venv/bin/spreaview-sync

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

soak: $(STAMP) ## run the long tests, which `make test` leaves out (options: SOAK="feed chaos")
	$(BIN)/python -m tests.acceptance.soak $(SOAK)

check: lint types floors test ## run everything that CI runs: lint, types, floors, tests

chaos: $(STAMP) ## run long tests with seeded faults (options: CHAOS="--seed 7 --faults 300")
	$(BIN)/python -m tests.acceptance.chaos $(CHAOS)

outages: $(STAMP) ## test two-minute outages of PostgreSQL, then Kafka, under load
	$(BIN)/python -m tests.acceptance.outages

lint: $(STAMP) ## check formatting and lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP) ## check types strictly
	$(BIN)/mypy

floors: $(STAMP) ## check that packages import only from lower floors
	$(BIN)/lint-imports

format: $(STAMP) ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

contracts: $(STAMP) ## generate schemas, examples, AsyncAPI, and the pages on contract, configuration and commands
	$(BIN)/python -m contracts.publish
	$(BIN)/python -m tests.support.contract_page
	$(BIN)/python -m tests.support.manual_pages

catalogue: $(STAMP) ## record the definitions that the migrations make, for verification
	$(BIN)/python -m tests.support.catalogue

bench-quick: $(STAMP) ## measure the main parts beside their floors, in a minute
	$(BIN)/python -m tests.benchmarks quick

bench: $(STAMP) ## measure the whole line beside its floors and peers, in minutes
	$(BIN)/python -m tests.benchmarks full

bench-long: $(STAMP) ## measure rebuild, burst, growth and feed at full size, in an hour (15 GB of disk)
	$(BIN)/python -m tests.benchmarks long

peers: .venv-peers/.installed ## create .venv-peers, with programs to compare with in benchmarks

.venv-peers/.installed: requirements/peers.txt
	$(PYTHON) -m venv --clear .venv-peers
	.venv-peers/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes -r requirements/peers.txt
	@touch $@

properties: $(STAMP) ## run the property tests with three times the examples (more: EXAMPLES=30)
	SPREAVIEW_TEST_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest -n $(JOBS) --maxprocesses 4 --dist worksteal tests/unit/test_decide_properties.py tests/unit/test_import_properties.py tests/unit/test_mutated_documents.py

mutation: ## count the small changes to the rules that the unit tests notice, in a copy of the git index
	rm -rf $(MUTATION) && git checkout-index --all --prefix=$(MUTATION)/
	cp tests/mutation.cfg $(MUTATION)/setup.cfg
	$(PYTHON) -m venv $(MUTATION)/.venv
	$(MUTATION)/.venv/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes -r requirements/development.txt -r requirements/mutation.txt
	cd $(MUTATION) && { nice -n 19 .venv/bin/mutmut run --max-children 1; .venv/bin/mutmut results; }

requirements: $(STAMP) ## refresh the hashed requirements from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --quiet --upgrade --custom-compile-command "make requirements" -o requirements/runtime.txt
	$(BIN)/uv pip compile pyproject.toml --extra sandbox --group development --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --quiet --upgrade --constraint requirements/runtime.txt --custom-compile-command "make requirements" -o requirements/development.txt
	$(BIN)/uv pip compile requirements/peers.in --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --quiet --upgrade --custom-compile-command "make requirements" -o requirements/peers.txt
	$(BIN)/uv pip compile --group audit --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --quiet --upgrade --custom-compile-command "make requirements" -o requirements/audit.txt
	$(BIN)/uv pip compile pyproject.toml --group mutation --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --quiet --upgrade --constraint requirements/development.txt --custom-compile-command "make requirements" -o requirements/mutation.txt

audit: $(STAMP) ## look for known vulnerabilities in the pinned packages (asks PyPI; not part of CI)
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	$(BIN)/uv venv --quiet $$folder/venv && \
	$(BIN)/uv pip install --quiet --python $$folder/venv --require-hashes -r requirements/audit.txt && \
	$$folder/venv/bin/pip-audit --strict --require-hashes --disable-pip -r requirements/runtime.txt && \
	$$folder/venv/bin/pip-audit --strict --require-hashes --disable-pip -r requirements/development.txt

clean: ## remove .venv, the data of the local sandbox, and caches
	rm -rf .venv .venv-peers .spreaview results .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build *.egg-info
