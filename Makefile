# Everything a person types. `make help` lists the targets; scripts/ does what takes more than a line.

VENV ?= .venv
PYTHON ?=
DATASET ?= auto
DATA_DIR ?=
CONFIG ?=
OUT ?=
RUN ?= runs/latest
RETRIEVAL ?= runs/cascade-retrieval
RANKING ?= runs/cascade-ranking
NOTEBOOKS ?=
ARGS ?=

# Spaces in a value survive; what is not given is not passed.
option = $(if $(strip $(2)),$(1) "$(2)")
data_options = $(call option,--dataset,$(DATASET)) $(call option,--data-dir,$(DATA_DIR))
run_options = $(call option,--config,$(CONFIG)) $(call option,--out,$(OUT))
python = "$(VENV)/bin/python"

.DEFAULT_GOAL := help
.PHONY: help setup train-retrieval train-mf train-deep-mf train-softmax train-sequential train-item2vec train-session-cnn train-content-cnn train-ranking compare export export-cascade serve serve-check test test-slow coverage mutation lint format types docs notebooks check bench bench-families bench-retrieval bench-folding bench-sampled bench-sequential bench-ranking bench-session-cnn bench-content-cnn bench-serving bench-cascade doctor lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@printf '\n  PYTHON=python3.12  the Python to set up with  DATASET=movielens-100k  a data set (default: auto)\n'
	@printf '  DATA_DIR=folder    where its files lie        RUN=runs/x              a run (default: runs/latest)\n'
	@printf '  ARGS="..."         further options of the command\n'

setup: ## Make .venv with the locked packages; a second time it does nothing
	@PYTHON="$(PYTHON)" VENV="$(VENV)" scripts/setup.sh

train-retrieval: setup ## Train, evaluate, index and export the two-tower retrieval model (DATASET, DATA_DIR, ARGS)
	@$(python) -m recsys_tfrs train two-tower $(data_options) $(run_options) $(ARGS)

export: setup ## Export a run once more for TensorFlow Serving (RUN; ARGS="--index scann --to models")
	@$(python) -m recsys_tfrs export "$(RUN)" $(ARGS)

export-cascade: setup ## Retrieval and ranking in one model (RETRIEVAL, RANKING: runs, trained first if they are not there)
	@test -e "$(RETRIEVAL)" || $(python) -m recsys_tfrs train two-tower $(data_options) --split leave-last-out --out "$(RETRIEVAL)"
	@test -e "$(RANKING)" || $(python) -m recsys_tfrs train $(or $(FAMILY),deepfm) $(data_options) --split leave-last-out \
		--set target=click --out "$(RANKING)"
	@$(python) -m recsys_tfrs export-cascade "$(RETRIEVAL)" "$(RANKING)" $(ARGS)

serve: setup ## Serve a run's exports over REST and gRPC for development (RUN, ARGS="--port 8601")
	@$(python) -m recsys_tfrs serve "$(RUN)" $(ARGS)

serve-check: setup ## Check in a fresh process that an export stands on its own (RUN: a run or an export's folder)
	@$(python) -m recsys_tfrs serve-check "$(RUN)" $(ARGS)

train-mf: setup ## Train a matrix factorization (ARGS="--set model.objective=implicit")
	@$(python) -m recsys_tfrs train mf $(data_options) $(run_options) $(ARGS)

train-deep-mf: setup ## Train a matrix factorization with hidden layers beside its product
	@$(python) -m recsys_tfrs train deep-mf $(data_options) $(run_options) $(ARGS)

train-softmax: setup ## Train the softmax DNN (all train-... targets take DATASET, DATA_DIR, ARGS)
	@$(python) -m recsys_tfrs train softmax $(data_options) $(run_options) $(ARGS)

compare: setup ## Train every family and baseline on one split and write one table (ARGS="--families two-tower,softmax")
	@$(python) -m recsys_tfrs compare $(if $(findstring --families,$(ARGS)),,--families all) $(data_options) $(call option,--out,$(OUT)) $(ARGS)

train-sequential: setup ## Train the GRU on what comes next (DATASET: also prepared sessions, or a log of your own)
	@$(python) -m recsys_tfrs train gru $(data_options) $(run_options) $(ARGS)

train-item2vec: setup ## Train item2vec on what occurs together (DATASET="lists:playlists.txt": lists of your own)
	@$(python) -m recsys_tfrs train item2vec $(data_options) $(run_options) $(ARGS)

train-content-cnn: setup ## Learn what items are from sounds or pictures (simulated clips; DATASET=folder ARGS="--items items.csv")
	@$(python) -m recsys_tfrs train content-cnn $(data_options) $(run_options) $(ARGS)

train-session-cnn: setup ## Train 3-D convolutions on sessions with item texts (simulated-shop; DATASET: a log of your own)
	@$(python) -m recsys_tfrs train session-cnn $(if $(CONFIG),,--config configs/session-cnn/simulated-shop.toml) \
		$(if $(filter-out auto,$(DATASET)),$(data_options)) $(run_options) $(ARGS)

train-ranking: setup ## Train a ranking model (FAMILY=deepfm, or lr fm dnn dcn; ARGS="--set target=rating")
	@$(python) -m recsys_tfrs train $(or $(FAMILY),deepfm) $(data_options) $(run_options) $(ARGS)

doctor: setup ## Say what this machine has: versions, devices, ScaNN, data
	@$(python) -m recsys_tfrs doctor $(ARGS)

test: setup ## Run the default test suite (no network, no data needed)
	@$(python) -m pytest @tests/quick.args $(ARGS)

test-slow: setup ## Run the tests that take minutes
	@$(python) -m pytest -m slow $(ARGS)

coverage: setup ## Measure which lines and branches of the package the tests reach
	@cmp -s requirements/coverage.txt "$(VENV)/coverage/coverage.txt" || { $(python) -m pip install -q --no-deps --upgrade \
		--target "$(VENV)/coverage" -r requirements/coverage.txt && cp requirements/coverage.txt "$(VENV)/coverage"; }
	@PYTHONPATH="$(VENV)/coverage" $(python) -m pytest @tests/quick.args --cov --cov-report=term $(ARGS)

mutation: setup ## Count the deliberate mistakes that the tests notice (ARGS="--share 0.1"; all take hours)
	@cmp -s requirements/mutation.txt "$(VENV)/mutation/mutation.txt" || { $(python) -m pip install -q --no-deps --upgrade \
		--target "$(VENV)/mutation" -r requirements/mutation.txt && cp requirements/mutation.txt "$(VENV)/mutation"; }
	@$(python) scripts/mutation.py --packages "$(VENV)/mutation" $(ARGS)

lint: setup ## Check style and formatting
	@$(python) -m ruff check .
	@$(python) -m ruff format --check .

format: setup ## Put style and formatting right
	@$(python) -m ruff check --fix .
	@$(python) -m ruff format .

types: setup ## Check the types of the package
	@$(python) -m mypy

docs: setup ## Build the documentation as a site in site/ (NOTEBOOKS=run: execute the notebooks first, show what they print)
	@test "$(NOTEBOOKS)" != run || $(python) scripts/run_notebooks.py
	@cmp -s requirements/docs.txt "$(VENV)/docs/docs.txt" || { $(python) -m venv --clear "$(VENV)/docs" && \
		"$(VENV)/docs/bin/python" -m pip install -q --no-deps -r requirements/docs.txt && cp requirements/docs.txt "$(VENV)/docs"; }
	@NOTEBOOKS="$(NOTEBOOKS)" "$(VENV)/docs/bin/python" -m sphinx -W --keep-going -q -c docs -d build/doctrees . site
	@echo site/index.html

notebooks: setup ## Execute every notebook with small parameters
	@$(python) scripts/run_notebooks.py $(ARGS)

check: lint types docs test notebooks ## Lint, types, docs, tests and notebooks: what has to pass before a commit

bench: bench-families bench-retrieval bench-folding bench-sampled bench-sequential bench-ranking bench-session-cnn bench-content-cnn bench-cascade bench-serving ## Measure everything, hours: all pages of benchmarks/results/ (DATA_DIR)

bench-retrieval: setup ## Measure the retrieval figures and speeds that docs and README quote
	@$(python) benchmarks/retrieval.py $(call option,--data-dir,$(DATA_DIR)) $(ARGS)

bench-families: setup ## Measure every family and baseline on each data set, one table each (DATA_DIR; ARGS="--movietweetings FOLDER")
	@$(python) benchmarks/families.py $(call option,--data-dir,$(DATA_DIR)) $(ARGS)

bench-folding: setup ## Measure folding and accuracy of the softmax DNN under different negatives (DATA_DIR)
	@$(python) benchmarks/folding.py $(call option,--data-dir,$(DATA_DIR)) $(ARGS)

bench-sampled: setup ## Measure the sampled softmax beside the full one: accuracy, and speed at a million items (DATA_DIR)
	@$(python) benchmarks/sampled_softmax.py $(call option,--data-dir,$(DATA_DIR)) $(ARGS)

bench-sequential: setup ## Measure sequential retrieval (ARGS="--sessions FOLDER --only speed")
	@$(python) benchmarks/sequential.py $(call option,--data-dir,$(DATA_DIR)) $(ARGS)

bench-ranking: setup ## Measure ranking: accuracy, speed, a table that streams (DATA_DIR; ARGS="--fuxictr PYTHON")
	@$(python) benchmarks/ranking.py $(call option,--data-dir,$(DATA_DIR)) $(ARGS)

bench-session-cnn: setup ## Measure session-cnn beside GRUs, item-kNN and a Markov chain: next click, carts, new items, speed
	@$(python) benchmarks/session_cnn.py $(ARGS)

bench-content-cnn: setup ## Measure content-cnn: accuracy, calibration, noise, and recall of cold items by what is known of them
	@$(python) benchmarks/content_cnn.py $(ARGS)

bench-serving: setup ## Measure index and serving: speed, recall, latency, memory (ARGS="--only index")
	@while read -r line; do case $$line in [a-z]*) $(python) -m pip install -q --no-deps "$$line" || true ;; esac; done \
		<benchmarks/requirements.txt
	@$(python) benchmarks/serving.py $(call option,--data-dir,$(DATA_DIR)) $(ARGS)

bench-cascade: setup ## Measure the cascade: latency, and accuracy beside retrieval alone (ARGS="--only latency")
	@$(python) benchmarks/cascade.py $(call option,--data-dir,$(DATA_DIR)) $(ARGS)

lock: ## Write requirements/ anew from the ranges in setup.cfg (ARGS=--upgrade moves every version)
	@PYTHON="$(PYTHON)" scripts/lock.sh $(ARGS)

clean: ## Remove caches and build products; .venv, runs/ and data/ stay
	@rm -rf build dist site docs/reference .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis notebooks/_output
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
