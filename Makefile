# `make demo` and `make test` need Python 3.11 and pip, nothing else.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
ANOMALIB := $(VENV)/.anomalib
DOCS := $(VENV)/.docs
# Processes that share the tests, each on one thread. One of them by hand needs none: `pytest tests/data`.
JOBS ?= 2
PYTEST := $(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal

.PHONY: demo test test-slow lint bench gpu docs clean

demo: $(INSTALLED)  ## Tables 4 and 5 on the embedded textures: runs/demo/report.html
	$(BIN)/dlkd ablate table4 table5 untrained --dataset textures --preset demo --seeds 3 --out runs/demo

test: $(INSTALLED)  ## the default suite
	$(PYTEST)

test-slow: $(ANOMALIB)  ## the slow tests, which the default suite leaves out, and those of the extra anomalib
	$(PYTEST) -m "(slow or anomalib) and not gpu"

lint: $(INSTALLED)  ## ruff and mypy, the latter through a link, since it cannot see an editable install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	d=$$(mktemp -d) && ln -s "$(CURDIR)" "$$d/dlkd" && cd "$$d" && "$(abspath $(BIN))/mypy" --config-file dlkd/pyproject.toml

bench: $(INSTALLED)  ## speed and memory, as ratios measured in one run: runs/bench/. With more rounds: make bench FULL=1
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[bench]"
	$(BIN)/python benchmarks/run.py --out runs/bench $(if $(FULL),--full)

# Without an environment of its own: a machine with a GPU has its PyTorch, and often no network.
gpu:  ## all that has to be seen on a GPU, in eight minutes: runs/gpu/. On a CPU: make gpu DRY=1
	$(PYTHON) benchmarks/gpu $(if $(DRY),--dry-run --out runs/gpu-dry,--out runs/gpu)

docs: $(DOCS)  ## the documentation site, where a warning is an error: build/site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --constraint constraints.txt --editable ".[dev,offline]"
	touch $(INSTALLED)

$(ANOMALIB): $(INSTALLED)
	$(BIN)/python -m pip install --constraint constraints.txt --editable ".[anomalib]"
	touch $(ANOMALIB)

$(DOCS): $(INSTALLED)
	$(BIN)/python -m pip install --constraint constraints.txt --editable ".[docs]"
	touch $(DOCS)

clean:
	rm -rf $(VENV) runs build *.egg-info
