# em_assets: `make` lists the targets. Everything runs from ./.venv, made from the lock files by plain pip.
.DEFAULT_GOAL := help
.PHONY: help demo test test-torch torch-requirement ui docs live soak bench bench-scale bench-torch lint types format schema lock clean

PYTHON ?= python3
BIN := .venv/bin
TORCH := torch==2.13.0
ORIGIN ?=
STORE ?= store

export DAGSTER_HOME := $(CURDIR)
# It would clash with the -w of `make ui`.
unexport DAGSTER_MODULE_NAME
# Where it is set, every process would compile the project anew, and the tests start some hundreds of them.
unexport PYTHONDONTWRITEBYTECODE
export EM_ASSETS_STORE := $(STORE)
ifneq ($(ORIGIN),)
export EM_ASSETS_ORIGIN := $(ORIGIN)
endif

# Those whose TOML file says `demo = true`.
DEMO := $(sort $(basename $(notdir $(shell grep -l "^demo = true" em_assets/datasets/*.toml))))

help: ## this list
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 10

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv .venv

.venv/.runtime: requirements.lock pyproject.toml | .venv/bin/python
	@echo "Installing what requirements.lock names into .venv: about 2 GB, a minute or two." >&2
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps -e .
	touch $@

.venv/.dev: requirements-dev.lock .venv/.runtime
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements-dev.lock
	touch $@

demo: .venv/.runtime ## the whole graph for the seven sample datasets, through Dagster, into ./store
	EM_ASSETS_ORIGIN=sample $(BIN)/em-assets fetch $(DEMO)

ui: .venv/.runtime ## Dagster's UI on the same home and store: make ui [ORIGIN=public STORE=folder]
	$(BIN)/python -m em_assets.defs.home
	$(BIN)/dagster dev -w workspace.yaml

test: .venv/.dev lint types ## lint, types and every test that needs no network
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

# An environment of its own: torch is as large as all the rest. It sees the packages of .venv, and adds torch to them.
.venv-torch/.torch: .venv/.dev
	$(BIN)/python -m venv --clear .venv-torch
	$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
	  > "$$(.venv-torch/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/em_assets_environment.pth"
	@echo "Installing $(TORCH) into .venv-torch: a wheel of $$($(BIN)/python .ci/wheel_size.py $(TORCH)) MB, about four times that on the disk." >&2
	.venv-torch/bin/python -m pip install --disable-pip-version-check --quiet $(TORCH)
	touch $@

test-torch: .venv-torch/.torch ## the tests that need torch, in an environment of their own
	.venv-torch/bin/python -m pytest -m torch

torch-requirement:
	@echo $(TORCH)

lint: .venv/.dev ## ruff: rules and layout
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.dev ## mypy --strict
	$(BIN)/mypy

format: .venv/.dev ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/.dev ## these pages as a site that needs no network, into ./site; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@echo "$(CURDIR)/site/index.html"

schema: .venv/.dev ## JSON Schema and pages of the models and tables, into ./schema [REWRITE=1: replace this version]
	$(BIN)/python -m em_assets.schema $(if $(REWRITE),--rewrite)

live: .venv/.dev ## ask the real archives whether they still say what the registry says (needs the internet)
	EM_ASSETS_ORIGIN=public $(BIN)/python -m pytest -m network -s em_assets_tests/test_live.py

bench: .venv/.dev ## how fast tags are read, files fetched, volumes written and blocks read, beside their peers (installed on demand, 1 GB)
	$(BIN)/python -W ignore benchmarks/metadata.py
	$(BIN)/python -W ignore benchmarks/download.py
	$(BIN)/python -W ignore benchmarks/ingest.py
	$(BIN)/python -W ignore benchmarks/blocks.py

bench-torch: .venv-torch/.torch ## what is left of the reader's rate when blocks come as batches for torch
	.venv-torch/bin/python -W ignore benchmarks/stream.py
	.venv-torch/bin/python -W ignore benchmarks/cellmap.py

bench-scale: .venv/.dev ## what a terabyte, 100 and a petabyte would take: constants measured, clusters simulated
	$(BIN)/python -W ignore benchmarks/scale.py

soak: .venv/.dev ## the long campaigns
	$(BIN)/python -m pytest -m soak

lock: ## resolve the lock files anew (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --extra dev --generate-hashes --no-emit-index-url \
	  --no-annotate --no-strip-extras --custom-compile-command 'make lock' pyproject.toml -o requirements-dev.lock
	uv pip compile --quiet --universal --python-version 3.11 --extra sample --extra viewer --generate-hashes --no-emit-index-url \
	  --no-annotate --no-strip-extras --custom-compile-command 'make lock' -c requirements-dev.lock pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --extra sample --extra viewer --extra deploy --generate-hashes --no-emit-index-url \
	  --no-annotate --no-strip-extras --custom-compile-command 'make lock' -c requirements-dev.lock pyproject.toml -o requirements-deploy.lock

clean: ## forget the environment, the store and what Dagster kept
	rm -rf .venv .venv-torch store storage history logs schedules .telemetry .logs_queue
