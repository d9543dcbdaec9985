# `make run` serves the demo, `make test` checks everything; both start from a bare machine.

PYTHON ?= python3
VENV ?= .venv
PORT ?= 8080

BIN := $(VENV)/bin
RESULTS := build/results
BENCH := build/bench
CLIENTS := tests/functional/clients
# How many schedules each model of rooms runs on each engine.
EXAMPLES ?= 5000
# How many schedules each model of clusters runs, which take longer. They are the same each time; for others,
# `make models SEED= CLUSTER_EXAMPLES=3000`.
CLUSTER_EXAMPLES ?= 1000
SEED ?= 1
# How often `make chaos` kills nodes.
KILLS ?= 20
ROOM_MODELS := $(foreach model,lifecycle recovery presence,model-$(model)-memory model-$(model)-lagging)
REDIS_MODELS := model-redis-cluster model-redis-journal model-redis-peers
MODELS := $(ROOM_MODELS) $(REDIS_MODELS)
# The target that takes longest comes first.
UNIT := unit-others unit-rooms unit-trial
FUNCTIONAL := functional-package functional-server
MODEL_TESTS = TXROOM_EXAMPLES=$(1) $(BIN)/python -m pytest -q --junit-xml=$(RESULTS)/$@.xml \
	-o faulthandler_timeout=0 --hypothesis-show-statistics
FUNCTIONAL_TESTS = $(BIN)/coverage run -m pytest -q -p twisted --junit-xml=$(RESULTS)/$@.xml
# Makes several targets in parallel, and shows the output of each when it is done.
SIDE_BY_SIDE = $(MAKE) --jobs=$(shell nproc) --output-sync=target
SOURCES := setup.py txroom twisted tests scripts docs/conf.py docs/_ext docs/examples benchmarks

# So that child processes of the tests find twistd, twist and python of this environment.
export PATH := $(abspath $(BIN)):$(PATH)

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.SILENT:
.PHONY: run test deps tools lint types client-types unit $(UNIT) versions models $(MODELS) functional $(FUNCTIONAL) \
	chaos coverage docs format bench clean

run: $(VENV)/.installed
	echo "http://localhost:$(PORT)/"
	exec $(BIN)/twistd -n --pidfile= txroom --port $(PORT)

test:
	$(PYTHON) scripts/test.py deps lint types docs unit versions models functional coverage

deps: tools $(VENV)/.dev $(CLIENTS)/node_modules/.package-lock.json

tools:
	scripts/tools.sh node=nodejs npm chromium chromedriver=chromium-driver redis-server faketime \
		nginx=nginx-light haproxy curl

lint: $(VENV)/.dev
	$(BIN)/ruff check --quiet $(SOURCES)
	$(BIN)/ruff format --quiet --check $(SOURCES) || \
		{ echo "not formatted; make format does it" >&2; exit 1; }
	$(BIN)/codespell
	$(BIN)/python scripts/prose.py

format: $(VENV)/.dev
	$(BIN)/ruff check --quiet --fix $(SOURCES)
	$(BIN)/ruff format --quiet $(SOURCES)

# pyproject.toml makes mypy strict. The option --strict would undo the two exceptions there.
types: $(VENV)/.dev $(CLIENTS)/node_modules/.package-lock.json
	$(BIN)/mypy --no-error-summary
	$(BIN)/python scripts/clienttypes.py --check

# Makes txroom.d.ts from the comments of txroom.js.
client-types: $(VENV)/.dev $(CLIENTS)/node_modules/.package-lock.json
	$(BIN)/python scripts/clienttypes.py

unit: $(VENV)/.dev
	mkdir -p $(RESULTS)
	$(BIN)/coverage erase
	$(SIDE_BY_SIDE) $(UNIT)

# twisted.trial is run as a module because the console script leaves this directory off sys.path.
# Coverage is measured only under pytest: the tests are the same, and measuring doubles their time.
unit-trial:
	$(BIN)/python -m twisted.trial --reporter=text --temp-directory=build/trial tests 2>&1 \
		| tee $(RESULTS)/trial.log

unit-rooms:
	$(BIN)/coverage run -m pytest -q --junit-xml=$(RESULTS)/$@.xml tests/rooms tests/engine

unit-others:
	$(BIN)/coverage run -m pytest -q --junit-xml=$(RESULTS)/$@.xml tests \
		--ignore=tests/rooms --ignore=tests/engine

# Runs the unit tests on other versions of Python: those on PATH as python3.x, of pyenv and of uv.
versions: $(VENV)/.dev
	mkdir -p $(RESULTS)
	$(BIN)/python scripts/versions.py

models: $(VENV)/.dev
	mkdir -p $(RESULTS)
	$(SIDE_BY_SIDE) $(MODELS)

# model-lifecycle-memory and so on. So many schedules take long, so the timeout for stuck tests is off.
$(ROOM_MODELS): model-%:
	$(call MODEL_TESTS,$(EXAMPLES)) tests/rooms/test_$(firstword $(subst -, ,$*))_model.py -k $(lastword $(subst -, ,$*))

$(REDIS_MODELS): model-redis-%:
	$(call MODEL_TESTS,$(CLUSTER_EXAMPLES)) $(SEED:%=--hypothesis-seed=%) \
		tests/engine/redis/test_$*_model.py

functional: deps
	mkdir -p $(RESULTS)
	$(SIDE_BY_SIDE) $(FUNCTIONAL)

# test_packaging.py mostly builds and installs the package. The other tests measure time (heartbeats, slow links)
# and need a processor of their own.
functional-package:
	$(FUNCTIONAL_TESTS) tests/functional/test_packaging.py

functional-server:
	$(FUNCTIONAL_TESTS) tests/functional --ignore=tests/functional/test_packaging.py

# All faults of clusters, with what each cost; make chaos KILLS=100 kills more often.
chaos: deps
	TXROOM_KILLS=$(KILLS) $(BIN)/python -m pytest -q -p twisted -m "chaos or not chaos" -rP -o faulthandler_timeout=0 \
		tests/functional/cluster

coverage: $(VENV)/.dev
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

docs: $(VENV)/.dev
	$(BIN)/sphinx-build -q -n -W --keep-going -b html docs build/docs/html
	$(BIN)/sphinx-build -q -n -W --keep-going -b doctest docs build/docs/doctest

# make bench WORKLOADS="echo broadcast" PEERS="ws websockets" ROUNDS=3; all of it takes an hour.
bench: $(BENCH)/venv/.installed $(BENCH)/node/node_modules/.package-lock.json
	$(BENCH)/venv/bin/python -m benchmarks.run --workloads $(WORKLOADS) --peers $(PEERS) \
		$(if $(ROUNDS),--rounds $(ROUNDS)) $(OPTIONS)

clean:
	rm -rf build dist *.egg-info .coverage .coverage.*

$(BIN)/python:
	$(PYTHON) -c "import ensurepip" 2>/dev/null || scripts/tools.sh ensurepip=python3-venv
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: setup.py pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.dev: setup.py pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev,docs]"
	touch $@ $(VENV)/.installed

$(BENCH)/venv/.installed: setup.py pyproject.toml benchmarks/requirements.txt
	$(PYTHON) -c "import ensurepip" 2>/dev/null || scripts/tools.sh ensurepip=python3-venv
	$(PYTHON) -m venv $(BENCH)/venv
	$(BENCH)/venv/bin/pip install --quiet --disable-pip-version-check -e ".[redis]" -r benchmarks/requirements.txt
	touch $@

# Without npm the servers for Node are skipped, and the report says so. npm ci would need native packages for
# all platforms in the lock file, which not every registry has.
$(BENCH)/node/node_modules/.package-lock.json: benchmarks/package.json benchmarks/package-lock.json
	scripts/tools.sh cc=build-essential openssl node=nodejs npm
	mkdir -p $(BENCH)/node
	cp $^ $(BENCH)/node
	if command -v npm >/dev/null; then \
		cd $(BENCH)/node && npm install --no-progress --no-audit --no-fund --loglevel=error >/dev/null && touch ../../../$@; \
	fi

# Without npm there are no JavaScript clients, and the tests that need them are skipped.
$(CLIENTS)/node_modules/.package-lock.json: $(CLIENTS)/package.json $(CLIENTS)/package-lock.json
	if command -v npm >/dev/null; then \
		cd $(CLIENTS) && npm ci --no-progress --loglevel=error >/dev/null && touch ../../../$@; \
	fi
