# What a stranger needs: `make demo` and `make test`. Both do all the set-up in .venv first.
#
#   make demo ARGS="--rows 500000"     make test ARGS="-k sandbox"     make test PYTHON=python3.13
#   make torture N=100 SEED=1 RELEASE=stable JOBS=2

PYTHON ?= python3
VENV   ?= .venv
JOBS   ?=
ARGS   ?=
N      ?= 20
SEED   ?= 1
RELEASE ?= both
BIN    := $(VENV)/bin
# Tests wait for a server most of the time: two for each core, up to four (more were not tried).
TESTERS = $(shell cores=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1); [ $$cores -gt 1 ] && echo 4 || echo 2)
PIN    := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-config \
          --no-emit-index-url --no-emit-find-links --no-header --no-annotate

.PHONY: help demo test torture breaks lint types imports venv pins clean bench stall

help:
	@echo "make demo    the main job from end to end in a sandbox    ARGS=\"--rows N --csv FILE\""
	@echo "make test    all tests, on PostgreSQL 17 and 18           ARGS=\"-k WORD --release stable\""
	@echo "make bench   what hyperferry costs, side by side          ARGS=\"feel --rounds 3\" (all: about an hour)"
	@echo "make stall   how long writers stand still at a swap        N=100 RELEASE=stable ARGS=\"--rows 1000000\""
	@echo "make torture random tables, writers and faults             N=20 SEED=1 RELEASE=stable JOBS=2"
	@echo "make breaks  each invariant broken on purpose: is it found?  ARGS=\"I3 -j 2\""
	@echo "make lint    style, types, who may import whom"
	@echo "make clean   remove what these made"

demo: $(VENV)/.run
	@$(BIN)/hyperferry demo $(ARGS)

test: $(VENV)/.dev $(VENV)/.oldest
	@$(BIN)/python -m pytest -n $(or $(JOBS),$(TESTERS)) --dist worksteal $(ARGS)

bench: $(VENV)/.dev
	@PYTHONPATH=. $(BIN)/python -m bench $(or $(ARGS),all)

stall: $(VENV)/.dev
	@PYTHONPATH=. $(BIN)/python -m bench.stall --swaps $(N) --release $(RELEASE) $(ARGS)

torture: $(VENV)/.dev
	@cd tests && $(abspath $(BIN))/python -m torture --count $(N) --seed $(SEED) --release $(RELEASE) --jobs $(or $(JOBS),2) --keep-going $(ARGS)
breaks: $(VENV)/.dev
	@PYTHONPATH=src:tests $(BIN)/python -m breaks $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check src tests bench examples
	$(MAKE) --no-print-directory types imports

types: $(VENV)/.dev
	$(BIN)/mypy

imports: $(VENV)/.dev
	$(BIN)/lint-imports --no-cache

venv: $(VENV)/.dev

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "hyperferry needs Python 3.11 or newer; $(PYTHON) is `$(PYTHON) --version 2>&1`." >&2; \
	  echo "What to do: make PYTHON=/path/of/a/newer/python ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments: its modules venv and ensurepip are missing." >&2; \
	  echo "What to do: install them (Debian, Ubuntu: apt-get install python3-venv), or give another" >&2; \
	  echo "Python: make PYTHON=/path/of/python ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements/run.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

# Beside the newest: tests/test_oldest_versions.py puts this folder first on the path.
$(VENV)/.oldest: requirements/oldest.txt | $(VENV)/.dev
	rm -rf $(VENV)/oldest
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --target $(VENV)/oldest -r requirements/oldest.txt
	@touch $@

# Needs the program uv. The files carry hashes and no address of any index.
pins:
	$(PIN) pyproject.toml requirements/build.in -o requirements/run.txt
	$(PIN) --extra dev -c requirements/run.txt pyproject.toml requirements/build.in -o requirements/dev.txt
	$(PIN) --no-deps requirements/oldest.in -o requirements/oldest.txt

clean:
	rm -rf $(VENV) build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
