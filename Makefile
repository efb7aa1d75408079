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
live: $(READY) ## Install and start a real Nexus 0.5.6, and run the live tests on it (Python 3.11)
	$(BIN)/python tools/real_nexus.py 0.5.6 -- $(BIN)/pytest -q -m live tests/live/test_whole_life.py \
		tests/store/test_live.py $(PYTEST_ARGS)

.PHONY: check
check: $(READY) ## Lint, formatting, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: bench
bench: $(READY) ## Measure what it costs, beside other ways to do it; ARGS="--json", "--full", "--help"
	@$(BIN)/python -m benchmarks $(ARGS)

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
