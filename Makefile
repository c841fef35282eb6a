# Carfront: every target makes the environment it needs from requirements/*.txt.

PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
NAME ?= cars-dcgan
VERSION ?= 3
RUN ?= build/runs/cars
EPOCHS ?= 60
SECONDS ?= 20
DATA_PATH ?=
DATA = $(if $(DATA_PATH),--data-path $(DATA_PATH))
# The best of training/README.md's table: the rates fall over the second half of the run.
RECIPE = --augment translation,cutout --decay-from $(shell expr $(EPOCHS) / 2) --decay-to $(EPOCHS)

SERVE := .venvs/serve
DEV := .venvs/dev
# Tests that start servers run beside the others, see tests/two_at_a_time.py.
PARALLEL = --numprocesses 2
WITHOUT_TENSORFLOW = $(addprefix --ignore=tests/,training export gpu)
LOADTEST := .venvs/loadtest

help: ## Print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

serve: $(SERVE)/.done ## Serve the default bundle on http://HOST:PORT
	CARFRONT_HOST=$(HOST) CARFRONT_PORT=$(PORT) exec $(SERVE)/bin/python -m gunicorn -c server/gunicorn.conf.py

check: lint ## Check style and types, and run the tests that need neither servers nor TensorFlow
	$(DEV)/bin/python -m pytest -m "not servers" $(WITHOUT_TENSORFLOW) $(PARALLEL) $(ARGS)

test: tools lint $(LOADTEST)/.done ## Check style and types, and run all tests, as CI does
	LOADTEST_PYTHON=$(abspath $(LOADTEST))/bin/python \
	$(DEV)/bin/python -m pytest $(PARALLEL) $(ARGS)

test-slow: tools ## Break, soak and overload a server, a quarter of an hour in all
	$(MAKE) chaos
	$(MAKE) soak
	$(MAKE) overload

tools:
	@sh tests/require_tools.sh

train: $(DEV)/.done ## Train on photographs of cars into RUN, EPOCHS epochs; goes on where it stopped
	$(DEV)/bin/python -m training --out $(RUN) --epochs $(EPOCHS) $(RECIPE) $(DATA) $(ARGS)
	$(MAKE) evaluate ARGS=--no-inception

evaluate: $(DEV)/.done ## Judge RUN: a page with pictures in RUN/evaluation
	$(DEV)/bin/python -m training.evaluate $(RUN) $(DATA) $(ARGS)

export: $(DEV)/.done ## Export RUN as models/NAME/VERSION, once parity is proven
	$(DEV)/bin/python -m export $(RUN) --name $(NAME) --version $(VERSION) $(ARGS)

loadtest: $(SERVE)/.done $(LOADTEST)/.done ## Start a server, load it for SECONDS, check every answer
	$(LOADTEST)/bin/python -m loadtests.run --python $(SERVE)/bin/python --seconds $(SECONDS) $(ARGS)

bench: $(SERVE)/.done ## Measure the server beside session.run alone (needs wrk)
	$(SERVE)/bin/python -m loadtests.bench $(ARGS)

compare: .venvs/peers/.done ## Hold this server against mosec, and Starlette with a batcher by hand, in turns (needs wrk)
	.venvs/peers/bin/python -m loadtests.compare ours=. starlette=loadtests.peers.starlette_batcher \
		mosec=loadtests.peers.mosec_batcher $(ARGS)

soak: $(SERVE)/.done ## Keep a server under full load for minutes: memory and rate stay (needs wrk)
	$(SERVE)/bin/python -m loadtests.soak $(ARGS)

overload: $(SERVE)/.done ## Offer a server ten times what it can draw: it delivers as much as before
	$(SERVE)/bin/python -m loadtests.overload $(ARGS)

fuzz: $(DEV)/.done $(SERVE)/.done ## Send a server good and malformed requests, and check every answer
	$(DEV)/bin/python -m loadtests.fuzz --python $(SERVE)/bin/python $(ARGS)

edges: $(DEV)/.done $(SERVE)/.done ## Hold idle, half-sent, unread and slow connections beside callers, in 512 MiB
	$(DEV)/bin/python -m tests.small_model build/small-models
	$(SERVE)/bin/python -m loadtests.edges --models build/small-models $(ARGS)

chaos: $(DEV)/.done $(SERVE)/.done ## Break a server for minutes and check every image it returns
	$(DEV)/bin/python -m tests.chaos.run --python $(SERVE)/bin/python $(ARGS)

gpu-check: ## Check and measure the server on this machine's GPU, with PYTHON and what it has
	$(PYTHON) -m tests.gpu.check --save build/gpu-check.json $(ARGS)

lint: $(DEV)/.done ## Check style, types and the import law
	$(DEV)/bin/ruff check
	$(DEV)/bin/ruff format --check
	$(DEV)/bin/mypy
	$(DEV)/bin/lint-imports

format: $(DEV)/.done ## Format the code, and mend what ruff can
	$(DEV)/bin/ruff check --fix
	$(DEV)/bin/ruff format

lock: ## Lock requirements/*.txt anew from pyproject.toml
	test -x .venvs/lock/bin/uv || ($(PYTHON) -m venv .venvs/lock && .venvs/lock/bin/pip install -q uv)
	PATH=$(abspath .venvs/lock/bin):$$PATH sh requirements/lock.sh

clean: ## Remove the environments and caches, not the runs
	rm -rf .venvs .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

.venvs/%/.done: requirements/%.txt
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r $<
	touch $@

.PHONY: help serve check test test-slow tools train evaluate export loadtest bench compare soak overload fuzz edges chaos \
	gpu-check lint format lock clean
.DEFAULT_GOAL := help
