# Two commands to start with: `make demo` and `make test`. Both set everything up in .venv first.

PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; \
	done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ARGS ?=
DEMO_ARGS ?=
PYTEST_ARGS ?=

# Modules are compiled once, not in each of the many processes that tests start.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(READY) ## Run the whole life of a bounty, with a lost answer and a crash on the way
	@$(BIN)/nexus-bounty demo $(DEMO_ARGS)

.PHONY: test
test: $(READY) ## Run the quick tests
	$(BIN)/pytest -n 2 -q $(PYTEST_ARGS)

.PHONY: test-exhaustive
test-exhaustive: $(READY) ## Run every request of every operation against every fault (long)
	$(BIN)/pytest -n auto -q -m exhaustive $(PYTEST_ARGS)

.PHONY: live
live: $(READY) ## Start real Nexus servers and test on them (ARGS=0.5.6 for one; needs Python 3.11, 3.13)
	$(BIN)/python tools/live.py $(ARGS)

.PHONY: record
record: $(READY) ## Record anew what real servers answer to us (ARGS="0.7.0 --check" to compare)
	$(BIN)/python tools/record.py $(ARGS)

.PHONY: check
check: $(READY) ## Lint, formatting, types, imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: bench
bench: $(READY) ## Measure what it costs, beside other ways to do it; ARGS="--json", "--full", "--help"
	@$(BIN)/python -m benchmarks $(ARGS)

.PHONY: explore
explore: $(READY) ## Try to break every promise; ARGS="--minutes 2 --json", "--replay 33", "--help"
	@$(BIN)/python -m tests.simulation $(ARGS)

.PHONY: mock-server
mock-server: $(READY) ## Serve a mock Nexus on http://127.0.0.1:2026
	@$(BIN)/nexus-bounty mock-server

.PHONY: wheel
wheel: $(READY) ## Build the wheel into dist/
	rm -rf dist
	$(BIN)/python -m build --wheel --outdir dist

.PHONY: package-check
package-check: wheel ## Install the wheel into an empty environment and use it there
	sh .ci/package-check "$(CURDIR)"/dist/nexus_bounty-*.whl "$(CURDIR)/$(BIN)/python"

# Made again when the dependencies may have changed; the second time costs nothing.
$(READY): pyproject.toml
	@$(if $(PYTHON),,$(error Python 3.11 or later was not found: install it, or name it with \
		make PYTHON=/path/to/python3.11))
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than Python 3.11: name another with make PYTHON=…" >&2; exit 1; }
	@echo "Setting up $(VENV) with $$($(PYTHON) --version); this is done once."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@
