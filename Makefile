# `make demo` and `make test` need Python >= 3.11 and nothing else; everything they install goes into .venv.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable
ARGS ?=

# Runs a recipe line and says how long it took.
TIMED = started=$$SECONDS; status=0; $(1) || status=$$?; echo "make $@: $$((SECONDS - started)) s"; exit $$status

.PHONY: help demo test check format docs bar bench-training ci wheel clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "cxr-triage needs Python 3.11 or newer; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.serve: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) '.[cpu]'
	touch $@

$(VENV)/.develop: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) '.[cpu,train,dev]'
	touch $@ $(VENV)/.serve

demo:  ## install, start the stack, submit generated films, leave the service up (ARGS=--once to exit)
	@$(call TIMED,$(MAKE) --no-print-directory $(VENV)/.serve && $(BIN)/cxr-triage demo $(ARGS))

test:  ## install, run the whole test suite (ARGS are handed to pytest)
	@$(call TIMED,$(MAKE) --no-print-directory $(VENV)/.develop && $(BIN)/python -m pytest $(ARGS))

check: $(VENV)/.develop  ## format, lint, types, layers, generated files
	@$(call TIMED,$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/lint-imports && $(BIN)/python docs/generate.py --check)

format: $(VENV)/.develop  ## rewrite the sources in the house's format
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

docs: $(VENV)/.develop  ## regenerate docs/settings.md, docs/errors.md and .env.example
	$(BIN)/python docs/generate.py

bar: $(VENV)/.develop  ## the reliability suite: real processes, killed
	@$(call TIMED,TRIAGE_STATE_MACHINE_EXAMPLES=150 $(BIN)/python -m pytest -m bar $(ARGS))

# The films lie outside of the repository; finished steps and folds in runs/bench are kept.
DATA ?= ../shared/data
BENCH := runs/bench

$(BENCH)/backbone.pth: | $(VENV)/.develop
	$(BIN)/cxr-train pretrain triage --preset cpu --films $(DATA)/radiography --apart-from $(DATA)/nih --out $@

bench-training: $(BENCH)/backbone.pth  ## cross-validate the shipped recipe on DATA, about an hour on two idle cores
	$(BIN)/cxr-train cross-validate triage --preset cpu --data $(DATA)/nih --out $(BENCH)/folds --init $<
	$(BIN)/python -m benchmarks.gate $(DATA)
	$(BIN)/python -m pytest tests/unit/training/statistics/test_guarantees.py

ci: check test bar  ## what .ci/run calls after installing system packages

wheel: $(VENV)/.develop  ## build the wheel into dist/
	$(BIN)/python -m build --wheel --outdir dist .

clean:  ## remove what the targets above made
	rm -rf $(VENV) build dist .demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .grimp_cache .hypothesis
