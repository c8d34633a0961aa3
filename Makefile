# `make help` lists what there is. Everything runs in .venv, in this folder; `make setup` makes it when needed.
#
# JOBS: how many processes run tests; 0 is pytest itself, as ARGS with -s or --pdb needs.
# TORCH: pip arguments for installing torch, e.g. an index with CPU builds; `none` leaves it out, and the platform then
# quotes model-free. The default takes the build that pip finds (on x86 Linux with CUDA libraries, 5 GB).

PYTHON ?= python3
TORCH ?=
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
WITHOUT_TORCH := $(filter none,$(TORCH))
STAMP := $(VENV)/.stamp$(if $(WITHOUT_TORCH),-without-torch)
EXTRAS := dev,embedded$(if $(WITHOUT_TORCH),,$(shell printf ,model))
SERVICES := ../shared/services/unpack

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: setup demo test check chaos help services

setup: $(STAMP) ## make .venv with everything

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=…")'
	@echo "Installing into $(VENV) (minutes the first time) …"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(if $(filter-out none,$(TORCH)),@$(BIN)/pip install -q -c constraints.txt torch $(TORCH))
	@$(BIN)/pip install -q -c constraints.txt -e ".[$(EXTRAS)]"
	@echo "Compiling what processes ticks (once) …"
	@$(BIN)/python -c "import processors.microbatch.engine"
	@touch $@

demo: $(STAMP) ## run the whole platform and show it live
	@$(BIN)/flashmm demo $(ARGS)

test: $(STAMP) services ## run every test that this machine can run (ARGS: pytest's)
	@$(BIN)/pytest -ra -n $(JOBS) --dist loadscope --no-loadscope-reorder $(ARGS)

check: $(STAMP) ## lint, format, types, layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

chaos: $(STAMP) services ## the tests that break things: kills, partitions, slow networks
	@$(BIN)/pytest -ra -m chaos $(ARGS)

# Binaries of real services for the tests, where somebody put them beside the checkout.
services:
	@if [ -x $(SERVICES) ]; then $(SERVICES) > /dev/null; fi

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
