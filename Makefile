# Everything that is run here, by developers and by CI. A machine needs Python 3.11 or newer and make, nothing else.
#
#   make demo                        back up, damage and restore a store, from nothing, in two minutes
#   make test                        the quick suite
#   make test PYTHON=python3.13 VENV=.venv-3.13    the same on another Python

PYTHON ?= python3
VENV ?= .venv
UV ?= uv
PYTEST_ARGS ?=
BIN := $(VENV)/bin
# One process a core; one that has nothing left takes over from the other.
PYTEST := $(BIN)/python -m pytest -n auto --dist worksteal
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile
STAMP := $(VENV)/.installed
DEMO_STAMP := $(VENV)/.installed-for-demo
WHICH := import sys; print(sys.base_prefix, sys.version)

.DEFAULT_GOAL := help
.PHONY: help install demo lint format test test-slow bench docs lock clean

help:  ## what can be made
	@sed -n 's/^\([a-z][a-z-]*\):.*  ## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

install: $(STAMP)  ## create the virtual environment from requirements.lock
	@echo "Installed in $(VENV), with $$($(BIN)/python --version):"
	@for command in tap-bc-images target-bc-images bc-images; do echo "  $(BIN)/$$($(BIN)/$$command --version)"; done
	@echo "Next: make demo (a store backed up, damaged and restored on this machine), or $(BIN)/bc-images --help"

# $(call install_from,LOCK): a virtual environment with what LOCK pins, and this project in it as it stands. A
# half-finished environment has no stamp, so the next make goes over it again; one of another Python is begun anew.
define install_from
	@command -v $(PYTHON) >/dev/null || \
	  { echo "make: $(PYTHON) is not there. Install Python 3.11 or newer, or name one: make PYTHON=python3.12 ..." >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: $(PYTHON) is too old; Python 3.11 or newer is needed. Name one: make PYTHON=python3.12 ..." >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "make: $(PYTHON) cannot make virtual environments. On Debian: apt-get install python3-venv" >&2; exit 2; }
	@echo "Installing $(1) into $(VENV) (once) ..."
	@[ "$$($(BIN)/python -c '$(WHICH)' 2>/dev/null)" = "$$($(PYTHON) -c '$(WHICH)')" ] || \
	  $(PYTHON) -m venv --clear $(VENV)
	@$(PIP) --require-hashes -r $(1)
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@
endef

$(STAMP): requirements.lock pyproject.toml
	$(call install_from,requirements.lock)

# The demo needs a third of that, so a fresh machine comes to it sooner.
$(DEMO_STAMP): requirements-demo.lock pyproject.toml
	$(call install_from,requirements-demo.lock)

demo: $(if $(wildcard $(STAMP)),$(STAMP),$(DEMO_STAMP))  ## back up, damage and restore a store, and prove it
	@$(BIN)/bc-images demo

lint: $(STAMP)  ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)  ## let ruff arrange the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: $(STAMP)  ## the quick suite
	$(PYTEST) $(PYTEST_ARGS)

test-slow: $(STAMP)  ## what takes longer: real databases, Meltano, crashes by the hundred
	$(PYTEST) -m slow $(PYTEST_ARGS)

bench: $(STAMP)  ## measure speed and memory against the theoretical least and other tools
	$(BIN)/python -m benchmarks

docs: $(STAMP)  ## write the parts of the documentation that are made from the code
	$(BIN)/python -m scripts.gen_docs

LOCK := pip compile --universal --python-version 3.11 --generate-hashes --upgrade --no-annotate --quiet \
  --custom-compile-command 'make lock'

lock:  ## renew the lock files (needs uv)
	$(UV) $(LOCK) pyproject.toml --extra dev --output-file requirements.lock
	$(UV) $(LOCK) pyproject.toml --extra sandbox --extra build --constraint requirements.lock \
	  --output-file requirements-demo.lock
	$(UV) $(LOCK) bc_images/cli/demo/warehouse.in --output-file bc_images/cli/demo/warehouse.lock

clean:  ## remove what make and the demo have made
	rm -rf $(VENV) bc-images-demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
