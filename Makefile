# Every target makes the environment first; nothing but Python >= 3.11, make and git is needed beforehand.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
COVERAGE := --cov --cov-report=term-missing:skip-covered
# Scenes on control planes mostly wait, and so do tests on sockets. A file stays with one worker, long files first (tests/order.py).
WORKERS ?= 6
BESIDE := -n $(WORKERS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0
# Unit tests compute, and some wait; each worker collects them all for five seconds.
UNIT_BESIDE := -n 4 --dist worksteal --max-worker-restart 0
# What needs neither a control plane nor minutes.
UNIT := "not (controlplane or karpenter or karpenter_aws or program or trial or search or wheel or large)"
# What needs no control plane; moto and proxies are programs.
NO_PLANE := "not (controlplane or karpenter or karpenter_aws or trial or search or wheel or large)"
# The fault search: how many episodes, and the seed of the first.
EPISODES ?= 10000
SEED ?= 1

# Tests start some fifty interpreters, which would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install run site test test-unit coverage test-large crash mutants simulate check chart dist format lock bench control-plane clean

help: ## show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

install: $(STAMP) ## make .venv from the lock (hashes checked)

$(STAMP): requirements-dev.lock pyproject.toml
	@echo "making $(VENV) from requirements-dev.lock (about a minute on a warm cache)"
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python >= 3.11 is needed, this is " + sys.version)'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

run: $(STAMP) ## a simulated day at 60 times real speed, with the console on http://127.0.0.1:8080
	@exec $(BIN)/python -m spotvortex run --simulated

test: $(STAMP) ## every test, those on the real control plane too
	@$(BIN)/python -m tests.controlplane.build
	@$(BIN)/python -m pytest -m "not large" $(BESIDE) --durations 40 --durations-min 10

test-unit: $(STAMP) ## the tests without a mark, with fewer examples of each property: a minute and a half
	@$(BIN)/python -m pytest $(UNIT_BESIDE) --hypothesis-profile unit -m $(UNIT)

site: $(STAMP) ## the documents as a site, in build/site; a dead link ends it
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

coverage: $(STAMP) ## which lines the unit tests reach: four minutes, for the tracer triples their time
	@$(BIN)/python -m pytest $(UNIT_BESIDE) --hypothesis-profile unit -m $(UNIT) $(COVERAGE)

test-large: $(STAMP) ## the large scenes
	@$(BIN)/python -m pytest -m large

crash: $(STAMP) ## kill the daemon at every n-th write (CRASH_EVERY=n, 4) of a fall back and return
	@$(BIN)/python -m pytest -s tests/active/crash/test_crash_everywhere.py

mutants: $(STAMP) ## change the code at random and see whether the unit tests notice (SEED=n, 1): an hour and a half
	@$(BIN)/python -m scripts.mutants spotvortex/core --tests tests/core --select $(UNIT) --n 300 --seed $(SEED) --at-least 0.98
	@for room in pipeline kube aws; do \
	  $(BIN)/python -m scripts.mutants spotvortex/$$room --tests tests/$$room --select $(NO_PLANE) --n 200 --seed $(SEED) --at-least 0.85 || exit 1; \
	done

simulate: $(STAMP) ## play random episodes with faults (EPISODES=n, 10000; SEED=n, 1) and judge them
	@$(BIN)/python -m spotvortex simulate --episodes $(EPISODES) --seed $(SEED)

check: $(STAMP) ## format, lint, types, floors, dead code, dependencies, dead links, documented fields, generated pages
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/vulture
	@$(BIN)/pip --disable-pip-version-check check
	@$(BIN)/python scripts/check_links.py
	@$(BIN)/python scripts/check_fields.py
	@$(BIN)/python -m scripts.configuration --check
	@$(BIN)/python -m scripts.gates --check
	@$(BIN)/python -m scripts.iam --check
	@$(BIN)/python -m scripts.dashboards --check
	@$(BIN)/python -m scripts.schemas --check
	@$(BIN)/python -m scripts.chart --check

dist: $(STAMP) ## make a release's files: manifests, installer, chart, wheel, one-file command line
	@$(BIN)/python -m scripts.dist $(if $(RELEASE),--release $(RELEASE)) $(if $(IMAGE),--image $(IMAGE))

chart: $(STAMP) ## make the Helm chart from the kustomizations; needs kubectl
	@$(BIN)/python -m scripts.chart

format: $(STAMP) ## format and mend what can be mended
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: $(STAMP) ## renew the lock files (hashes, no addresses); needs uv on PATH
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -q --upgrade -o requirements.lock
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -q --upgrade -o requirements-dev.lock

bench: $(STAMP) ## the figures of docs/benchmarks.md (half an hour, 20 GiB of memory)
	@$(BIN)/python -m scripts.bench.cluster.large_cluster

control-plane: $(STAMP) ## start the real control plane by hand and print its kubeconfig
	@exec $(BIN)/python -m scripts.control_plane

clean: ## remove the environment and what tests leave
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage build *.egg-info
