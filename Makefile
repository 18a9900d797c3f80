# quickstart  make the environment, install, and run the main example to its verdict
# test        make the same environment and run every test
# mutants     puts every seeded bug in and prints how many the tests notice
# durability  hundreds of kills and failing disks: minutes, so not part of test
# check       formatting, lint and types
# bench       the benchmarks (real data: TUNESMITH_DATA=folder)
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# Two busy OpenMP threads in each of several test processes starve each other.
TEST_ENV := OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1
WORKERS ?= auto

.PHONY: quickstart test mutants durability check bench clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $(STAMP)

quickstart: $(STAMP)
	$(BIN)/python examples/support/make_data.py
	$(BIN)/tunesmith run examples/support/triage.yaml

test: $(STAMP) check
	$(TEST_ENV) $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal tests

mutants: $(STAMP)
	$(TEST_ENV) $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "slow or not slow" tests/mutants

durability: $(STAMP)
	$(TEST_ENV) $(BIN)/python -m pytest -n $(WORKERS) -m slow tests --ignore tests/mutants

check: $(STAMP)
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/decoding.py
	$(BIN)/python benchmarks/trunk_cache.py
	$(BIN)/python benchmarks/results.py

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
