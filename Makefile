# The commands of this checkout. Each sets up .venv by itself; nothing outside of the checkout is changed.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The first Python that is new enough; PYTHON=... names another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

.DEFAULT_GOAL := help
.PHONY: help demo test test-matrix check lint types measure pictures bench bench-full format clean

help: ## show this list
	@echo "DATABASE_URL=... uses that server (databases of our own, with random names); PGBIN=... other binaries."
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) ## store, list, search, append and count conversations in a real PostgreSQL (INPUT=file.jsonl: your own)
	@exec $(BIN)/python tests/demo/demo.py $(if $(INPUT),"$(INPUT)")

test: $(READY) ## run the tests (ARGS="-k search": what pytest is to run)
	@exec $(BIN)/python -m pytest $(ARGS)

test-matrix: $(READY) ## run the tests on other versions of PostgreSQL, psycopg and Python (PGBIN=folder:folder)
	@exec $(BIN)/python tests/matrix.py

check: lint types test ## lint, check types, and run the tests

lint: $(READY) ## check the style of Python and SQL
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/sqlfluff lint --disable-progress-bar sql src
	$(BIN)/squawk --config .squawk.toml sql/schema/*.sql
	$(BIN)/conversation-store lint

types: $(READY) ## check types with mypy and pyright, both strict
	$(BIN)/mypy
	$(BIN)/pyright

measure: $(READY) ## measure the figures of sql/README.md (some minutes; OF=lists, reads, tokens, bulk, appends, ragflow, search or citus: one)
	@exec $(BIN)/python $(if $(filter appends search ragflow citus,$(OF)),tests/measure_$(OF).py,tests/measure.py $(OF))

pictures: $(READY) ## take the pictures of the review page that sql/README.md shows (needs Chromium)
	@exec $(BIN)/python tests/pictures.py

bench: $(READY) ## compare the store with what else calls PostgreSQL from Python (some minutes; SIZE=100000 conversations)
	@PYTHONPATH=tests exec $(BIN)/python -m benchmarks --size $(or $(SIZE),100000) $(ARGS)

bench-full: $(READY) ## the same with 1,000,000 conversations (a quarter of an hour, 15 GB of disk; SIZE=: more or less)
	@PYTHONPATH=tests exec $(BIN)/python -m benchmarks --size $(or $(SIZE),1000000) $(ARGS)

format: $(READY) ## lay out Python and SQL
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	$(BIN)/sqlfluff fix --disable-progress-bar sql src

clean: ## remove .venv and what the tools have left
	rm -rf $(VENV) .venv-matrix build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

# Written last, so that a set-up which was interrupted is done again.
$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; PYTHON=... names one" >&2; exit 1; }
	@echo "setting up $(VENV) with $(PYTHON) (once, about a minute)"
	@$(PYTHON) -c 'import ensurepip, venv' || { echo "$(PYTHON) has no venv (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) -m venv $(VENV) has failed, for the reason above" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@
