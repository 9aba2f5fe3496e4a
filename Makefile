# Two commands on a fresh machine: 'make run' and 'make test'. No root, no activated environment.
SHELL := /bin/bash
PYTHON ?= $(firstword $(foreach python,python$(shell cat .python-version) python3,$(if $(shell command -v $(python)),$(python))))
VENV := .venv
# Stages are started as 'python -m …': the first `python` on PATH must be the environment's.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
unexport PYTHONPATH PYTHONHOME
ROWS ?=
QUICK ?=
KEEP ?=
VERSIONS ?=

# Three for two cores: what tests a remote, a kill or a full disk waits for part of its time.
WORKERS := -n 3 --dist loadfile --no-loadscope-reorder

N ?= 50
SEED ?= 1

.PHONY: help env run test lint types stale faults fuzz remotes reproduce reproduce-elsewhere tables consumers crash-test benchmark compatibility propose push lock keep schema clean
help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 21

env: $(VENV)/.run ## Only set up .venv, for 'source .venv/bin/activate' and plain dvc

run: $(VENV)/.run ## Build everything and show it (ROWS=5000: from a sample; ROWS=0: from all again)
	@$(if $(ROWS),[[ "$(ROWS)" =~ ^[0-9]+$$ ]] || { echo "error: ROWS=$(ROWS): is no number of rows; give 0 for all" >&2; exit 2; })
	@$(if $(ROWS),sed -i.bak -E 's/^(  rows: )[0-9]+/\1$(ROWS)/' params.yaml && rm params.yaml.bak)
	@python -m pipeline.params
	@python -m pipeline.mend
	dvc repro
	@python -m pipeline.overview

test: $(VENV)/.test ## Run the whole test suite
	pytest $(WORKERS)

faults: $(VENV)/.test ## Try every fault that a file, a folder, a crash or a remote can have; print what each was refused for
	pytest $(WORKERS) --quiet --faults-table tests/faults

lint: $(VENV)/.test ## Check style
	ruff check .
	ruff format --check .

types: $(VENV)/.test ## Check types
	mypy

stale: $(VENV)/.run ## Fail when dvc.lock is not what this commit would give; needs no data
	isoform stale

reproduce: $(VENV)/.run ## Build HEAD again in an empty clone; fail naming each file that differs
	python -m proofs.reproduce

reproduce-elsewhere: $(VENV)/.run ## Build a sample on other CPUs, cores and surroundings, and compare every byte (QUICK=1: a few)
	python -m proofs.elsewhere $(if $(QUICK),--quick)

tables: $(VENV)/.run ## Run the pipeline on other tables by an edit of params.yaml alone; verify every format of each (KEEP=folder: leave them)
	python -m proofs.tables $(if $(KEEP),--keep $(KEEP))

consumers: $(VENV)/.test ## Replay every version where nothing of our stack is: an empty environment, Node.js, a browser (VERSIONS=folders)
	python -m proofs.consumers $(VERSIONS)

crash-test: $(VENV)/.run ## Kill the pipeline N times (50) at moments drawn from SEED (1); fail when a run after one gives other bytes
	python -m proofs.crashes $(N) --seed $(SEED)

fuzz: $(VENV)/.test ## Try N (10000) bad files of every format, drawn from SEED (1), each vouched for; fail when one is not held
	python tests/faults/fuzz.py $(if $(filter file,$(origin N)),10000,$(N)) --seed $(SEED)

benchmark: $(VENV)/.test ## Measure, side by side, the ratios that README.md quotes
	python -m benchmarks.run

compatibility: $(VENV)/.test ## Run every scikit-learn estimator through every format, and write docs/compatibility.md
	python -m benchmarks.compatibility

propose: $(VENV)/.run ## Print the section `data:` of params.yaml for a table (FILE=data/raw/mine.csv TARGET=column)
	@python -m pipeline.proposal "$$FILE" "$$TARGET"

keep: $(VENV)/.run ## Point Git at the binaries of versions that params.yaml has left; before committing a version bump
	python -m pipeline.keep

push: $(VENV)/.run ## Push to the remote, then fail naming each object that is not there after all
	dvc push
	isoform remote check

remotes: $(VENV)/.test ## Damage three real remotes (a folder, S3, SSH) in every way; show which command notices
	python -m proofs.remotes

COMPILE := CUSTOM_COMPILE_COMMAND='make lock' pip-compile --quiet --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host
EXTRAS := --extra sklearn --extra torch --extra parquet --extra pipeline

lock: $(VENV)/.test ## Refresh requirements.lock and requirements-dev.lock from pyproject.toml
	$(COMPILE) --upgrade $(EXTRAS) --output-file requirements.lock pyproject.toml
	$(COMPILE) --upgrade $(EXTRAS) --extra dev --constraint requirements.lock --output-file requirements-dev.lock pyproject.toml
	@# '+cpu' and its like name one index's build: the pin is the release.
	sed -i.bak -E 's/^(torch==[^+]*)\+.*/\1/' requirements.lock requirements-dev.lock && rm requirements*.lock.bak

schema: $(VENV)/.run ## Write isoform/metadata.schema.json from the dataclasses
	python -m pipeline.publishing > isoform/metadata.schema.json

clean: ## Remove the environment and the scratch folder; models, data and DVC's cache stay
	rm -rf $(VENV) .scratch

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON): is older than Python 3.11; install Python $$(cat .python-version) or run 'make PYTHON=/path/to/python'" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; v = "%d.%d" % sys.version_info[:2]; w = open(".python-version").read().strip(); v != w and print(f"note: this is Python {v}; the same bytes are promised for {w} only", file=sys.stderr)'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.run: requirements.lock pyproject.toml $(VENV)/.python
	pip install --quiet --disable-pip-version-check -r requirements.lock
	pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

$(VENV)/.test: requirements-dev.lock $(VENV)/.run
	pip install --quiet --disable-pip-version-check -r requirements-dev.lock
	@touch $@
