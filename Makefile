# memsys: long-term memory for AI agents on your own Kubernetes. `make help` lists what is here.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
export MEMSYS_CACHE ?= $(HOME)/.cache/memsys
VENV := $(MEMSYS_CACHE)/venv
VENV_STAMP := $(VENV)/.stamp-$(shell cat requirements-dev.txt */pyproject.toml | sha256sum | cut -c1-12)
COMPILE := $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --no-header --no-annotate --override requirements-override.in

##@ Develop
.PHONY: venv
venv: $(VENV_STAMP) ## a Python environment with the locked development set, in the cache

$(VENV_STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "memsys needs Python 3.11 or newer as '$(PYTHON)'; install it or set PYTHON=" >&2; exit 1; }
	@echo "venv: installing the locked development set into $(VENV) (a minute when nothing is cached)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(VENV)/bin/pip install --quiet --no-deps --require-hashes --requirement requirements-dev.txt
	@$(VENV)/bin/pip install --quiet --no-build-isolation --no-deps --editable sdk --editable api --editable mcp --editable operator
	@touch $@

.PHONY: lock
lock: ## recompile every lock file (hashes, no addresses) from its .in file
	$(COMPILE) requirements-dev.in --output-file requirements-dev.txt
	for c in api mcp operator; do $(COMPILE) --constraint requirements-dev.txt $$c/requirements.in --output-file $$c/requirements.txt; done
	$(COMPILE) --constraint requirements-dev.txt api/requirements-model.in --output-file api/requirements-model.txt

.PHONY: help
help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
