# Everything that is run here, by developers and by CI. A machine needs Python 3.11 or newer and make, nothing else.
#
#   make demo                        back up, wreck and restore a store, from nothing, in two minutes
#   make test                        the quick suite
#   make test PYTHON=python3.13 VENV=.venv-3.13    the same on another Python

PYTHON ?= python3
VENV ?= .venv
UV ?= uv
PYTEST_ARGS ?=
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo lint format test test-slow bench docs lock clean

help:  ## what can be made
	@sed -n 's/^\([a-z][a-z-]*\):.*  ## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

install: $(STAMP)  ## create the virtual environment from requirements.lock

# A half-finished environment has no stamp, so the next make goes over it again.
$(STAMP): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || \
	  { echo "make: $(PYTHON) is not there. Install Python 3.11 or newer, or name one: make PYTHON=python3.12 ..." >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: $(PYTHON) is too old; Python 3.11 or newer is needed. Name one: make PYTHON=python3.12 ..." >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "make: $(PYTHON) cannot make virtual environments. On Debian: apt-get install python3-venv" >&2; exit 2; }
	@echo "Installing into $(VENV) (once) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP)  ## back up, wreck and restore a whole store, and prove it
	@$(BIN)/bc-images demo

lint: $(STAMP)  ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)  ## let ruff arrange the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: $(STAMP)  ## the quick suite
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-slow: $(STAMP)  ## what takes longer: real databases, Meltano, crashes by the hundred
	$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

bench: $(STAMP)  ## measure speed and memory against floors and peers
	$(BIN)/python -m benchmarks

docs: $(STAMP)  ## write the parts of the documentation that are made from the code
	$(BIN)/python -m tests.house.written

lock:  ## renew the two lock files (needs uv)
	$(UV) pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --upgrade \
	  --no-annotate --quiet --custom-compile-command 'make lock' --output-file requirements.lock
	$(UV) pip compile bc_images/demo/warehouse.in --universal --python-version 3.11 --generate-hashes --upgrade \
	  --no-annotate --quiet --custom-compile-command 'make lock' --output-file bc_images/demo/warehouse.lock

clean:  ## remove what make and the demo have made
	rm -rf $(VENV) bc-images-demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
