# `make run` serves the demo, `make test` checks everything; both start from a bare machine.

PYTHON ?= python3
VENV ?= .venv
PORT ?= 8080

BIN := $(VENV)/bin
RESULTS := build/results
BENCH := build/bench
CLIENTS := tests/functional/clients
# How many schedules each model of rooms runs on each engine, the model of three nodes, and each other model of
# clusters. They are the same each time; for others, `make models SEED= CLUSTER_EXAMPLES=50000`.
EXAMPLES ?= 1000
CLUSTER_EXAMPLES ?= 3000
TALK_EXAMPLES ?= 1000
SEED ?= 1
# How often `make chaos` kills nodes; and how often it starts a parent of which it kills two workers and the store.
KILLS ?= 20
ROUNDS ?= 25
ROOM_MODELS := $(foreach model,lifecycle recovery presence,model-$(model)-memory model-$(model)-lagging)
REDIS_MODELS := model-redis-cluster model-redis-journal model-redis-peers
MODELS := $(ROOM_MODELS) $(REDIS_MODELS)
# The target that takes longest comes first.
UNIT := unit-others unit-trial unit-rooms
FUNCTIONAL := functional-programs functional-clients functional-server
# These start programs, and mostly wait for them. All other functional tests are those of functional-server.
PROGRAM_TESTS := $(addprefix tests/functional/,cluster $(addprefix test_,$(addsuffix .py,benchmarks commandline \
	development leanepoll packaging)))
CLIENT_TESTS := $(addprefix tests/functional/test_,$(addsuffix .py,autobahn browser clients colyseus documented \
	js_client loadtest proxies python_client sockets tls_clients turn typed yjs))
# The models run beside the functional tests, which need the processor at once when they need it. Texts have the
# same hashes each time, so that a seed means the same schedules.
MODEL_TESTS = TXROOM_EXAMPLES=$(1) PYTHONHASHSEED=0 nice -n 19 $(BIN)/python -m pytest -q \
	--junit-xml=$(RESULTS)/$@.xml -o faulthandler_timeout=0 --hypothesis-show-statistics
# Coverage doubles the time of the tests, so it is measured once, without the engines of rooms that repeat tests.
MEASURED_TESTS = TXROOM_ENGINES= TXROOM_EXAMPLES=10 COVERAGE_FILE=$(RESULTS)/$@.coverage \
	$(BIN)/coverage run -m pytest -q --junit-xml=$(RESULTS)/$@.xml
FUNCTIONAL_TESTS = $(BIN)/python -m pytest -q -p twisted -o cache_dir=build/cache/$@
# Functional tests depend on how busy the machine is. As CPython's test runner does, those that fail run once more;
# a test that passes then is listed at the end of `make test` as one that failed first. If pytest itself is broken
# (any status but 1), nothing runs again.
FUNCTIONALLY = $(FUNCTIONAL_TESTS) --junit-xml=$(RESULTS)/$@.xml $(1) || { test $$? = 1 && \
	$(FUNCTIONAL_TESTS) --junit-xml=$(RESULTS)/$@-again.xml --last-failed --last-failed-no-failures=none $(1); }
# Makes several targets in parallel, and shows the output of each when it is done.
SIDE_BY_SIDE = $(MAKE) --jobs=$(shell nproc) --output-sync=target
SOURCES := setup.py txroom twisted tests scripts docs/conf.py docs/_ext docs/examples benchmarks

# So that child processes of the tests find twistd, twist and python of this environment.
export PATH := $(abspath $(BIN)):$(PATH)

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.SILENT:
.PHONY: run test deps clients tools lint types client-types unit $(UNIT) versions models $(MODELS) functional $(FUNCTIONAL) \
	colyseus-latest chaos coverage docs format bench clean

run: $(VENV)/.installed
	echo "http://localhost:$(PORT)/"
	exec $(BIN)/twistd -n --pidfile= txroom --port $(PORT)

# The functional tests measure time, so nothing that keeps the processors busy runs beside them but the models,
# which give way.
test:
	$(PYTHON) scripts/test.py deps lint,types,docs,unit,versions functional,models coverage

deps: $(BIN)/python
	$(SIDE_BY_SIDE) $(VENV)/.dev clients

clients: tools
	$(MAKE) $(CLIENTS)/node_modules/.package-lock.json

tools:
	scripts/tools.sh node=nodejs npm chromium chromedriver=chromium-driver redis-server faketime \
		nginx=nginx-light haproxy curl promtool=prometheus

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
	$(SIDE_BY_SIDE) $(UNIT)

# twisted.trial is run as a module because the console script leaves this directory off sys.path.
unit-trial:
	$(BIN)/python -m twisted.trial --reporter=text --temp-directory=build/trial tests 2>&1 \
		| tee $(RESULTS)/trial.log

unit-rooms:
	$(MEASURED_TESTS) tests/rooms tests/engine

unit-others:
	$(MEASURED_TESTS) tests --ignore=tests/rooms --ignore=tests/engine

# Runs the unit tests on other versions of Python: those on PATH as python3.x, of pyenv and of uv.
versions: $(VENV)/.dev
	mkdir -p $(RESULTS)
	$(BIN)/python scripts/versions.py

models: $(VENV)/.dev
	mkdir -p $(RESULTS)
	$(SIDE_BY_SIDE) $(MODELS)

# model-lifecycle-memory and so on. So many schedules take long, so the timeout for stuck tests is off.
$(ROOM_MODELS): model-%:
	$(call MODEL_TESTS,$(EXAMPLES)) $(SEED:%=--hypothesis-seed=%) \
		tests/rooms/test_$(firstword $(subst -, ,$*))_model.py -k $(lastword $(subst -, ,$*))

$(REDIS_MODELS): model-redis-%:
	$(call MODEL_TESTS,$(if $(filter cluster,$*),$(CLUSTER_EXAMPLES),$(TALK_EXAMPLES))) \
		$(SEED:%=--hypothesis-seed=%) tests/engine/redis/test_$*_model.py

functional: deps
	mkdir -p $(RESULTS)
	$(MAKE) --jobs --output-sync=target $(FUNCTIONAL)

functional-programs:
	$(call FUNCTIONALLY,$(PROGRAM_TESTS))

functional-clients:
	$(call FUNCTIONALLY,$(CLIENT_TESTS))

functional-server:
	$(call FUNCTIONALLY,tests/functional $(patsubst %,--ignore=%,$(PROGRAM_TESTS) $(CLIENT_TESTS)))

# Whether the newest client of Colyseus that npm has works too.
colyseus-latest: deps
	rm -rf build/colyseus && mkdir -p build/colyseus
	cd build/colyseus && npm init --yes >/dev/null && npm install --no-audit --no-fund --loglevel=error \
		@colyseus/sdk@latest >/dev/null && npm ls @colyseus/sdk @colyseus/schema
	TXROOM_COLYSEUS=$(abspath build/colyseus) $(FUNCTIONAL_TESTS) tests/functional/test_colyseus.py

# All faults of clusters, with what each cost; make chaos KILLS=100 ROUNDS=100 kills more often.
chaos: deps
	TXROOM_KILLS=$(KILLS) TXROOM_ROUNDS=$(ROUNDS) $(BIN)/python -m pytest -q -p twisted -m "chaos or not chaos" -rP \
		-o faulthandler_timeout=0 tests/functional/cluster

coverage: $(VENV)/.dev
	$(BIN)/coverage combine --quiet --keep $(RESULTS)/unit-*.coverage
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
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -e ".[dev,docs]"
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
