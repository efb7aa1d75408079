# Two commands to start with: `make demo` and `make test`. Both set everything up in .venv first.

PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; \
	done)
VENV := .venv
BIN := $(VENV)/bin
# What a command needs is installed when it is first used; a stamp says that it is there.
STAMPS := $(addprefix $(VENV)/.,ready demo test check bench browser explore docs package versions)
BUILD_DOCS = NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
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
demo: $(VENV)/.demo ## Run the whole life of a bounty, with a lost answer and a crash on the way
	@$(BIN)/nexus-bounty demo $(DEMO_ARGS)

# More processes than a small machine has cores: some tests wait for servers and clocks. Each takes
# a part of the folders, so that one alone imports what they need, and then from who is behind.
WORKERS := -n 4 --dist worksteal

.PHONY: test
test: $(VENV)/.test ## Run the quick tests
	$(BIN)/pytest $(WORKERS) -q $(PYTEST_ARGS)

.PHONY: test-thorough
test-thorough: $(VENV)/.bench ## Run what takes longer: many processes, whole trials, every page
	$(BIN)/pytest $(WORKERS) -q -m "thorough and not exhaustive and not live" $(PYTEST_ARGS)

.PHONY: test-exhaustive
test-exhaustive: $(VENV)/.bench ## Run every request of every operation against every fault (long)
	$(BIN)/pytest -n auto -q -m exhaustive $(PYTEST_ARGS)

.PHONY: console-test
console-test: $(VENV)/.browser ## Click through the console in Chromium, which is installed if that can be done
	@chromium=$$($(BIN)/python tools/chromium.py) && \
		CHROMIUM=$$chromium $(BIN)/pytest -q -m browser tests/adapters/console $(PYTEST_ARGS)

.PHONY: live
live: $(VENV)/.test ## Start real Nexus servers and test on them (ARGS=0.5.6 for one; needs Python 3.11, 3.13)
	$(BIN)/python tools/live.py $(ARGS)

.PHONY: record
record: $(VENV)/.test ## Record anew what real servers answer to us (ARGS="0.7.0 --check" to compare)
	$(BIN)/python tools/record.py $(ARGS)

.PHONY: check
check: $(VENV)/.check ## Lint, formatting, types, imports, and the documentation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BUILD_DOCS)

.PHONY: versions
versions: $(VENV)/.versions ## Try the lowest and highest versions of all dependencies (ARGS="--minutes 10")
	@$(BIN)/python tools/versions.py $(ARGS)

.PHONY: house
house: $(VENV)/.test ## Measure the code: frames a claim passes, carriers of etags, long functions
	@$(BIN)/python tools/house.py $(ARGS)

.PHONY: bench
bench: $(VENV)/.bench ## Measure what it costs, beside other ways to do it; ARGS="--json", "--live 0.7.0", "--help"
	@$(BIN)/python -m benchmarks $(ARGS)

.PHONY: explore
explore: $(VENV)/.explore ## Try to break every promise; ARGS="--minutes 2 --json", "--replay 33", "--help"
	@$(BIN)/python -m tests.simulation $(ARGS)

.PHONY: docs
docs: $(VENV)/.docs ## Build the documentation into build/site, warnings as errors
	$(BUILD_DOCS)

.PHONY: mock-server
mock-server: $(VENV)/.demo ## Serve a mock Nexus on http://127.0.0.1:2026
	@$(BIN)/nexus-bounty mock-server

.PHONY: wheel
wheel: $(VENV)/.package ## Build the sdist and from it the wheel, into dist/
	rm -rf dist
	$(BIN)/python -m build --outdir dist

.PHONY: package-check
package-check: wheel ## Use wheel and sdist in empty environments, on each Python that is here
	sh .ci/package-check "$(CURDIR)"/dist/nexus_bounty-*.whl "$(CURDIR)/$(BIN)/python"
	$(BIN)/python tools/packages.py dist $(ARGS)

$(VENV)/.ready: EXTRAS := dev
$(VENV)/.demo: EXTRAS := cli,mock
$(VENV)/.test: EXTRAS := test
$(VENV)/.check: EXTRAS := check
$(VENV)/.bench: EXTRAS := bench,test
$(VENV)/.browser: EXTRAS := browser,test
$(VENV)/.explore: EXTRAS := explore,test
$(VENV)/.docs: EXTRAS := docs
$(VENV)/.package: EXTRAS := package
$(VENV)/.versions: EXTRAS := versions

# Made again when the dependencies may have changed. `make .venv/.ready` installs all at once.
$(STAMPS): pyproject.toml | $(VENV)/bin/python
	@if [ $@ = $(VENV)/.ready ] || [ ! $(VENV)/.ready -nt pyproject.toml ]; then \
		echo "Installing what is needed into $(VENV); this is done once."; \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'; \
		fi
	@touch $@

$(VENV)/bin/python:
	@$(if $(PYTHON),,$(error Python 3.11 or later was not found: install it, or name it with \
		make PYTHON=/path/to/python3.11))
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than Python 3.11: name another with make PYTHON=…" >&2; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)."
	@$(PYTHON) -m venv $(VENV)
