# `make help` lists the targets. Every target sets up what it needs by itself.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
# Stages call the `python` of PATH: put the environment's first.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true
MLFLOW_PORT ?= 5000

.PHONY: help
help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is older than 3.11; try: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv
	# Compiled once here: where Python writes no bytecode, every command would compile all it imports.
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python \
		--constraints constraints.txt --requirements pyproject.toml --group dev
	# `python -m ganverdict` from any folder; the pipeline's stages take the one beside them.
	$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --python $(BIN)/python \
		--editable src/ganverdict
	@touch $@

.PHONY: setup
setup: .venv/ready  ## make the environment in .venv

.PHONY: repro
repro: .venv/ready  ## the main job: fetch, judge, train, evaluate, export
	dvc repro
	@echo
	@echo "metrics    reports/metrics.json, reports/stop.json (or: dvc metrics show)"
	@echo "page       reports/report.html (opens from disk)"
	@echo "plots      reports/plots/"
	@echo "generator  export/ (model_card.md says how to use it)"
	@echo "runs       make ui"

# Asked first: where another server has the port, its address would be told as this one's.
.PHONY: ui
ui: .venv/ready  ## the MLflow UI on http://127.0.0.1:5000, or at MLFLOW_PORT
	@python -c 'import socket; socket.create_server(("127.0.0.1", $(MLFLOW_PORT)))' 2>/dev/null || \
		{ echo "error: port $(MLFLOW_PORT) cannot be had; try: make ui MLFLOW_PORT=5001"; exit 1; }
	@echo "runs: http://127.0.0.1:$(MLFLOW_PORT)/#/experiments/1?workflowType=machine_learning"
	MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
		mlflow ui --workers 1 --host 127.0.0.1 --port $(MLFLOW_PORT)

.PHONY: test
test: .venv/ready  ## all tests
	python -m pytest -n 2 --dist loadfile

.PHONY: test-faults
test-faults: .venv/ready  ## kills, crowds, dead servers, full disks, bad input: the long form
	FAULTS=long python -m pytest -n 2 --dist loadfile tests/faults

.PHONY: check
check: .venv/ready  ## style, types, import directions
	ruff check .
	ruff format --check .
	mypy
	PYTHONPATH=src lint-imports --no-logo

.PHONY: audit
audit: .venv/ready  ## are there known vulnerabilities in the pinned packages? (asks pypi.org)
	uv tool run pip-audit --strict --disable-pip --no-deps --requirement constraints.txt

.PHONY: benchmark-verdict
benchmark-verdict: .venv/ready  ## is the verdict right on other people's trainings? (half a minute)
	python -m benchmarks.verdict

.PHONY: held-out-verdict
held-out-verdict: .venv/ready  ## is it right on trainings registered before they ran? (resumable, hours)
	dvc repro judge
	python -m benchmarks.held_out

.PHONY: validate-verdict
validate-verdict: .venv/ready  ## does the verdict tell what happened? (resumable, hours)
	dvc repro judge
	python -m benchmarks.validate_verdict

.PHONY: tune
tune: .venv/ready  ## search for a better recipe and its best stopping point (resumable)
	dvc repro judge
	python -m pipeline.tune

.PHONY: replicate
replicate: .venv/ready  ## the original experiment again, measured (resumable, hours)
	dvc repro judge
	python -m pipeline.replicate

.PHONY: web
web: .venv/ready  ## a page whose digits the browser draws, in export/web/ (needs npm; trains nothing)
	python -m pipeline.web

.PHONY: replay-search
replay-search: .venv/ready  ## what does a search cost? replays recorded learning curves
	python -m benchmarks.replay_search

.PHONY: bench
bench: .venv/ready  ## how fast is the engine? (a quiet machine, about 20 minutes)
	dvc repro judge
	python -m benchmarks.speed

.venv-keras/ready: benchmarks/requirements-keras.txt
	$(PYTHON) -m venv .venv-keras
	.venv-keras/bin/python -m pip install --quiet uv
	.venv-keras/bin/uv pip install --quiet --python .venv-keras/bin/python --requirements $<
	@touch $@

.PHONY: bench-keras
bench-keras: .venv-keras/ready  ## the original's own Keras loop beside the engine, in its own environment
	.venv-keras/bin/python -m benchmarks.keras_speed

.PHONY: clean
clean:  ## remove the tools' caches; data, models, runs and checkpoints stay
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.PHONY: clean-checkpoints
clean-checkpoints:  ## remove all checkpoints: an interrupted run then starts anew
	rm -rf checkpoints
