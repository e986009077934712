# `make demo` and `make test` need Python >= 3.11 and nothing else; everything they install goes into .venv.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable
# numba keeps the machine code beside the sources; otherwise the first worker would compile while somebody waits.
COMPILE := $(BIN)/python -c 'from services.worker.decoding.film import warm_up; warm_up()'
ARGS ?=
# Much of the suite waits for processes of its own, so that two files at a time fill two cores. Numerical libraries
# compute on one thread each then: two of them would wait for each other.
PARALLEL ?= 2
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(PARALLEL) --dist loadfile

# Runs a recipe line and says how long it took.
TIMED = started=$$SECONDS; status=0; $(1) || status=$$?; echo "make $@: $$((SECONDS - started)) s"; exit $$status

.PHONY: help demo test check format docs bar bar-release bench bench-training reports audit sbom ci wheel clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "cxr-triage needs Python 3.11 or newer; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.serve: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) '.[cpu,dicom]'
	$(COMPILE)
	touch $@

$(VENV)/.develop: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) '.[cpu,dicom,train,spark,dev]'
	$(COMPILE)
	touch $@ $(VENV)/.serve

demo:  ## install, start the stack, submit generated films, leave the service up (ARGS=--once to exit)
	@$(call TIMED,$(MAKE) --no-print-directory $(VENV)/.serve && $(BIN)/cxr-triage demo $(ARGS))

test:  ## install, run the whole test suite (ARGS are handed to pytest; PARALLEL=1 for less load)
	@$(call TIMED,$(MAKE) --no-print-directory $(VENV)/.develop && $(PYTEST) $(ARGS))

check: $(VENV)/.develop  ## format, lint, types, layers, generated files
	@$(call TIMED,$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/lint-imports && $(BIN)/python docs/generate.py --check)

format: $(VENV)/.develop  ## rewrite the sources in the house's format
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

docs: $(VENV)/.develop  ## regenerate docs/settings.md, docs/errors.md, docs/reports.md and .env.example
	$(BIN)/python docs/generate.py

bar: $(VENV)/.develop  ## the reliability suite: real processes killed, starved and attacked; one JSON line a row (PARALLEL=1: one at a time)
	@$(call TIMED,$(PYTEST) -m "(bar or row) and not release" $(ARGS))

bar-release: $(VENV)/.develop  ## the rows that take hours: soak, 50,000 damaged files, false quarantine
	@$(call TIMED,$(BIN)/python -m pytest -m release $(ARGS))

$(VENV)/.bench: pyproject.toml constraints.txt | $(VENV)/.develop
	$(INSTALL) '.[bench]'
	touch $@

bench: $(VENV)/.bench  ## measure every published figure and write docs/performance.md, half an hour (ARGS=--quick: five minutes)
	@$(call TIMED,$(BIN)/python -m benchmarks $(ARGS))

# The films lie outside of the repository; finished steps and folds in runs/bench are kept.
DATA ?= ../shared/data
BENCH := runs/bench

$(BENCH)/backbone.pth: | $(VENV)/.develop
	$(BIN)/cxr-train pretrain triage --preset cpu --films $(DATA)/radiography --apart-from $(DATA)/nih --out $@

bench-training: $(BENCH)/backbone.pth  ## cross-validate the shipped recipe on DATA, about an hour on two idle cores
	$(BIN)/cxr-train cross-validate triage --preset cpu --data $(DATA)/nih --out $(BENCH)/folds --init $<
	$(BIN)/python -m benchmarks.gate $(DATA)
	$(BIN)/python -m pytest tests/unit/training/statistics/test_guarantees.py

# Finished runs are kept; what cannot be read from them stops `collect`, and the page stays as it was.
REPORTS := runs/reports
SPARK ?= local[2]

reports: $(BENCH)/backbone.pth  ## run the five published systems on DATA, by image and by patient, and write docs/reports.md
	for split in image patient; do \
	  options="--preset cpu --data $(DATA)/nih"; until=publish; \
	  if [ $$split = image ]; then options="--preset cpu --preset image --data $(DATA)/nih"; until=evaluate; fi; \
	  for recipe in chestmnist_cnn eleven_experiments six_convolutions; do \
	    $(BIN)/cxr-train sweep $$recipe $$options --out $(REPORTS)/$$recipe-$$split; \
	  done; \
	  $(BIN)/cxr-train sweep spark_features $$options --out $(REPORTS)/spark_features-$$split --init $< --spark '$(SPARK)'; \
	  $(BIN)/cxr-train run healthy_unhealthy $$options --out $(REPORTS)/healthy_unhealthy-$$split --init $< --until $$until; \
	done
	$(BIN)/cxr-train reports collect $(REPORTS) --out training/reports/results.json
	$(BIN)/python docs/generate.py

$(VENV)/.audit: pyproject.toml constraints.txt | $(VENV)/.develop
	$(INSTALL) '.[audit]'
	touch $@

audit: $(VENV)/.audit  ## ask for known vulnerabilities of the pinned packages; says when the feed does not know them
	$(BIN)/python .ci/audit.py

sbom: $(VENV)/.audit  ## write dist/sbom.json (CycloneDX) of what the service on a CPU installs
	$(PYTHON) -m venv build/serving
	build/serving/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt '.[cpu,dicom]'
	mkdir -p dist
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible -o dist/sbom.json build/serving/bin/python

ci: check test bar  ## what .ci/run calls after installing system packages

wheel: $(VENV)/.develop  ## build the wheel into dist/
	$(BIN)/python -m build --wheel --outdir dist .

clean:  ## remove what the targets above made
	rm -rf $(VENV) build dist .demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .grimp_cache .hypothesis
