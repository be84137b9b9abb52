# Every target makes what it needs by itself: `make demo` and `make test` ask for Python and
# make only. Downloads happen once; afterwards the targets work offline.

PYTHON ?= python3
KAFKA_VERSIONS ?= 3.9.1 4.1.0
PYTEST_OPTIONS ?=
SCALE ?= full
# Of make test-chaos; without a seed, one is drawn and printed.
MINUTES ?= 10
SEED ?=
# A file that a failed run left, instead of a seed.
PLAN ?=
# Kinds of faults to draw from; all, if not given.
FAULTS ?=
# How many runs to find fewer faults that fail as well.
SHRINK ?= 8
# Tests mostly wait: two at a time keep even two cores below their limit.
JOBS ?= 2

VENV := .venv
BIN := $(VENV)/bin
INSTALLED_DEV := $(VENV)/.installed-dev
INSTALLED_DEMO := $(VENV)/.installed-demo
NEST_PEER := tests/nest/peer
INSTALLED_NEST := $(NEST_PEER)/node_modules/.package-lock.json

# The build backend warns at length that the package is used where it lies, as it should be.
INSTALL := PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --editable
PYTEST := $(BIN)/python -m pytest $(PYTEST_OPTIONS)
PYTEST_IN_PARALLEL := $(PYTEST) -n $(JOBS) --dist worksteal

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh

.PHONY: help venv demo test test-kafka test-databases test-nest test-reliability test-chaos lint format types imports check coverage clean

help:  ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(INSTALLED_DEV)  ## Make .venv with everything to work on the project

# A finished development environment can run the demo as well; it is not replaced.
demo: $(if $(wildcard $(INSTALLED_DEV)),$(INSTALLED_DEV),$(INSTALLED_DEMO))  ## A NestJS-style service and its client on an embedded broker
	$(BIN)/python -m examples.hero

test: $(INSTALLED_DEV)  ## All tests that the embedded broker can carry
	$(PYTEST_IN_PARALLEL) -m "not nest and not reliability and not chaos and not databases"

test-kafka: $(INSTALLED_DEV)  ## The tests that use a broker, on Apache Kafka 3.9 and 4.1 (needs Java and Maven)
	@$(call require,java,Java 17 or later)
	@$(call require,mvn,Maven)
	@set -e; for version in $(KAFKA_VERSIONS); do \
		echo "Apache Kafka $$version"; \
		$(PYTEST_IN_PARALLEL) --broker kafka --kafka-version "$$version" \
			-m "not nest and not reliability and not chaos and not databases"; \
	done

test-databases: $(INSTALLED_DEV)  ## Idempotent handlers on servers of PostgreSQL and MariaDB (needs Debian's postgresql and mariadb-server)
	@$(call require_server,postgres,postgresql)
	@$(call require_server,mariadbd,mariadb-server)
	$(PYTEST) -m databases tests/databases

test-nest: $(INSTALLED_DEV)  ## A real NestJS service and client on Apache Kafka (needs Java, Maven and Node 20)
	@$(call require,java,Java 17 or later)
	@$(call require,mvn,Maven)
	@$(call require,node,Node.js 20 or later)
	@$(call require,npm,npm)
	@$(MAKE) --no-print-directory $(INSTALLED_NEST)
	$(PYTEST) --broker kafka -m "nest and not reliability"

test-reliability: $(INSTALLED_DEV)  ## Kills, outages and long runs on Apache Kafka, with a NestJS client; SCALE=small is a short slice of all
	@$(call require,java,Java 17 or later)
	@$(call require,mvn,Maven)
	@$(call require,node,Node.js 20 or later)
	@$(call require,npm,npm)
	@$(MAKE) --no-print-directory $(INSTALLED_NEST)
	KAFKA_PATTERNS_RELIABILITY=$(SCALE) $(PYTEST) --broker kafka -m reliability tests/reliability

test-chaos: $(INSTALLED_DEV)  ## Faults of all kinds at once on three brokers of Apache Kafka; MINUTES=10 SEED=n
	@$(call require,java,Java 17 or later)
	@$(call require,mvn,Maven)
	KAFKA_PATTERNS_CHAOS_MINUTES=$(MINUTES) KAFKA_PATTERNS_CHAOS_SEED=$(SEED) \
		KAFKA_PATTERNS_CHAOS_PLAN=$(PLAN) KAFKA_PATTERNS_CHAOS_FAULTS="$(FAULTS)" \
		KAFKA_PATTERNS_CHAOS_SHRINK=$(SHRINK) \
		$(PYTEST) --broker kafka -m chaos tests/chaos

lint: $(INSTALLED_DEV)  ## Style and likely mistakes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(INSTALLED_DEV)  ## Format the code and mend what can be mended safely
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(INSTALLED_DEV)  ## Type checks
	$(BIN)/mypy

imports: $(INSTALLED_DEV)  ## The directions in which modules may depend on each other
	$(BIN)/lint-imports --no-logo --config setup.cfg

check: lint types imports test  ## Everything but the tests that need Java or Node

coverage: $(INSTALLED_DEV)  ## The tests of `make test`, and which lines they reach
	$(PYTEST) -m "not nest and not reliability and not chaos and not databases" --cov --cov-report=term-missing

clean:  ## Remove everything that make created
	rm -rf $(VENV) .cache $(NEST_PEER)/node_modules build dist *.egg-info htmlcov .coverage*
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(call require,$(PYTHON),Python 3.10 or later)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "$(PYTHON) is too old: kafka_patterns needs Python 3.10 or later;" \
			"choose one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(INSTALLED_DEV): setup.cfg setup.py | $(BIN)/python
	$(INSTALL) '.[dev]'
	@touch $@

$(INSTALLED_DEMO): setup.cfg setup.py | $(BIN)/python
	$(INSTALL) '.[crc32c,embedded]'
	@touch $@

$(INSTALLED_NEST): $(NEST_PEER)/package.json $(NEST_PEER)/package-lock.json
	cd $(NEST_PEER) && npm ci
	@touch $@

# $(call require,program,what to install)
require = command -v $(1) >/dev/null || { \
	echo "make $@ needs the program '$(1)', which is not on the PATH: install $(2)" >&2; exit 1; }

# $(call require_server,program,package): Debian puts servers where no PATH leads
require_server = PATH="$$PATH:/usr/sbin:$$(echo /usr/lib/postgresql/*/bin | tr ' ' :)"; \
	command -v $(1) >/dev/null || { \
	echo "make $@ needs the program '$(1)': install a server, for example Debian's package $(2)" \
		"with: apt-get install --no-install-recommends $(2)" >&2; exit 1; }
