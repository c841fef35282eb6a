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
RECIPE = --augment translation,cutout --decay-from $(shell expr $(EPOCHS) / 2)

SERVE := .venvs/serve
DEV := .venvs/dev
# Tests that start servers run beside the others, see tests/two_at_a_time.py.
PARALLEL = --numprocesses 2
WITHOUT_TENSORFLOW = $(addprefix --ignore=tests/,training export gpu)
LOADTEST := .venvs/loadtest
CLIENTS := .venvs/clients
GENERATE := .venvs/generate
DATA_SETS := .venvs/data-sets
PEERS ?= triton litserve bentoml mlserver ray flask flask-keras mosec starlette granian

help: ## Print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

serve: $(SERVE)/.done ## Serve the default bundle on http://HOST:PORT
	CARFRONT_HOST=$(HOST) CARFRONT_PORT=$(PORT) exec $(SERVE)/bin/python -m gunicorn -c server/gunicorn.conf.py

check: lint ## Check style and types, and run the tests that need neither servers nor TensorFlow
	$(DEV)/bin/python -m pytest -m "not servers" $(WITHOUT_TENSORFLOW) $(PARALLEL) $(ARGS)

clients: $(CLIENTS)/.done ## Install the clients of the inference protocols, with which tests run the README's examples

test: tools lint $(LOADTEST)/.done $(CLIENTS)/.done $(DATA_SETS)/.done ## Check style and types, and run all tests, as CI does
	LOADTEST_PYTHON=$(abspath $(LOADTEST))/bin/python CLIENTS_PYTHON=$(abspath $(CLIENTS))/bin/python \
	DATA_SETS_PYTHON=$(abspath $(DATA_SETS))/bin/python $(DEV)/bin/python -m pytest $(PARALLEL) $(ARGS)

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

restored: $(DEV)/.done ## Restore ten photographs of cars with version 2: a table, and docs/restored.png
	$(DEV)/bin/python -m training.inversion.measure -o docs/restored $(ARGS)

export: $(DEV)/.done ## Export RUN as models/NAME/VERSION, once parity is proven
	$(DEV)/bin/python -m export $(RUN) --name $(NAME) --version $(VERSION) $(ARGS)

runtimes: $(DEV)/.done ## Draw with models/NAME/VERSION in other runtimes, installed into build/runtimes
	$(DEV)/bin/python -m export.runtimes models/$(NAME)/$(VERSION) $(ARGS)

loadtest: $(SERVE)/.done $(LOADTEST)/.done ## Start a server, load it for SECONDS, check every answer; ARGS="--shape spike --slo overload"
	$(LOADTEST)/bin/python -m loadtests.run --python $(SERVE)/bin/python --seconds $(SECONDS) $(ARGS)

bench: $(SERVE)/.done ## Measure the server beside session.run alone (needs wrk)
	$(SERVE)/bin/python -m loadtests.bench $(ARGS)

command: $(GENERATE)/.done ## Install the command carfront, with all that draws data sets, into an environment
	$(GENERATE)/bin/python -m pip install -q --disable-pip-version-check --no-deps ./carfront
	@echo "The command is $(GENERATE)/bin/carfront; '. $(GENERATE)/bin/activate' puts it into the PATH."

bench-generate: $(GENERATE)/.done ## Measure carfront generate beside session.run alone
	$(GENERATE)/bin/python -m loadtests.generate $(ARGS)

million: $(GENERATE)/.done ## Draw a million images into build/million, kill that twice, and check them; goes on where it was
	$(GENERATE)/bin/python -m loadtests.million $(ARGS)

data-sets: $(DEV)/.done $(DATA_SETS)/.done ## Read a small data set back with webdataset, pyarrow and Hugging Face's datasets
	DATA_SETS_PYTHON=$(abspath $(DATA_SETS))/bin/python $(DEV)/bin/python -m pytest -q tests/data_sets $(ARGS)

compare: .venvs/peers/.done ## Hold this server against PEERS in turns, each as its own pages recommend it (needs wrk)
	.venvs/peers/bin/python -m loadtests.compare ours=. $(PEERS) $(ARGS)

protocols: $(DEV)/.done $(SERVE)/.done ## Hold JSON, binary tensors, .npy files and entity tags against each other, in turns (needs wrk)
	$(DEV)/bin/python -m tests.small_model build/small-models
	$(SERVE)/bin/python -m loadtests.protocols $(ARGS)

soak: $(SERVE)/.done ## Keep a server under full load for minutes: memory and rate stay (needs wrk)
	$(SERVE)/bin/python -m loadtests.soak $(ARGS)

overload: $(SERVE)/.done ## Offer a server ten times what it can draw: it delivers as much as before
	$(SERVE)/bin/python -m loadtests.overload $(ARGS)

capacity: $(DEV)/.done $(SERVE)/.done ## Find the highest rate that keeps a service level objective, for each kind of request
	$(DEV)/bin/python -m loadtests.capacity --python $(SERVE)/bin/python $(ARGS)

tune: $(DEV)/.done $(SERVE)/.done ## Try workers, streams, threads and batch sizes in turns, and say which to use
	$(DEV)/bin/python -m loadtests.tune --python $(SERVE)/bin/python $(ARGS)

peak: $(DEV)/.done ## Time session.run alone beside the most that the processors can do
	$(DEV)/bin/python -m loadtests.peak $(ARGS)

fuzz: $(DEV)/.done $(SERVE)/.done ## Send a server good and malformed requests, and check every answer
	$(DEV)/bin/python -m loadtests.fuzz --python $(SERVE)/bin/python $(ARGS)

conform: $(DEV)/.done $(SERVE)/.done ## Hold a server against its OpenAPI document, with requests that Schemathesis makes from it
	$(DEV)/bin/python -m loadtests.conformance --python $(SERVE)/bin/python $(ARGS)

networks: $(DEV)/.done $(SERVE)/.done ## Export and serve twelve networks of other people's kinds, and compare their PNGs with Keras's
	SERVE_PYTHON=$(abspath $(SERVE))/bin/python $(DEV)/bin/python -m tests.export.serve $(ARGS)

edges: $(DEV)/.done $(SERVE)/.done ## Hold idle, half-sent, unread and slow connections beside callers, in 512 MiB
	$(DEV)/bin/python -m tests.small_model build/small-models
	$(SERVE)/bin/python -m loadtests.edges --models build/small-models $(ARGS)

dashboard: $(DEV)/.done ## Write the dashboard anew from its code, k8s/dashboard
	$(DEV)/bin/python -m k8s.dashboard

dashboard-picture: $(DEV)/.done $(SERVE)/.done ## Draw the dashboard of a real run, two minutes long, for k8s/README.md
	$(DEV)/bin/python -m tests.k8s.picture --python $(SERVE)/bin/python $(ARGS)

chaos: $(DEV)/.done $(SERVE)/.done ## Break a server for minutes and check every image it returns
	$(DEV)/bin/python -m tests.chaos.run --python $(SERVE)/bin/python $(ARGS)

screenshots: $(DEV)/.done ## Take the pictures of the page that the README shows (needs Chromium and its driver)
	$(DEV)/bin/python -m tests.page.screenshots docs/page

gpu-check: ## Check and measure the server on this machine's GPU, with PYTHON and what it has
	$(PYTHON) -m tests.gpu.check --save build/gpu-check.json $(ARGS)

proto: $(DEV)/.done ## Generate the messages of gRPC from server/grpc/inference.proto
	$(DEV)/bin/python -m grpc_tools.protoc -I . --python_out=. --pyi_out=. server/grpc/inference.proto

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

simulate: .venvs/performance/.done ## Simulate Kubernetes' autoscalers, and say which signals keep the objective at what cost
	.venvs/performance/bin/python -m loadtests.simulate recommend $(ARGS)

simulate-check: .venvs/performance/.done $(SERVE)/.done ## Measure one replica at random times, and hold its prediction against that
	.venvs/performance/bin/python -m loadtests.simulate measure --python $(SERVE)/bin/python --save build/replica.json $(ARGS)
	.venvs/performance/bin/python -m loadtests.simulate check build/replica.json

scaling: $(DEV)/.done $(SERVE)/.done ## Measure more workers, larger batches, connections and image sizes, in turns (needs wrk)
	for size in 32 64 128; do $(DEV)/bin/python -m tests.small_model build/sizes/$$size $$size; done
	$(SERVE)/bin/python -m loadtests.scaling --small-models build/sizes $(ARGS)

performance: .venvs/performance/.done ## Write docs/performance.md and its plots anew from loadtests/results
	.venvs/performance/bin/python -m loadtests.page $(ARGS)

clean: ## Remove the environments and caches, not the runs
	rm -rf .venvs .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

# Each file lists all that an environment has. --no-deps keeps pip from a second TensorFlow, see pyproject.toml.
.venvs/%/.done: requirements/%.txt
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r $<
	touch $@

.PHONY: help serve check clients test test-slow tools train evaluate restored export runtimes loadtest bench command bench-generate million data-sets \
	simulate simulate-check scaling performance compare soak overload capacity tune peak fuzz conform protocols networks edges chaos dashboard dashboard-picture \
	screenshots gpu-check proto lint format lock clean
.DEFAULT_GOAL := help
