# Two commands for a newcomer: `make demo` and `make test`. Everything is installed into .venv, nothing elsewhere.

PYTHON ?= $(shell for found in python3.11 python3.12 python3.13 python3.14 python3 python; do \
	  $$found -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$found && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
INSTALL := $(PIP) install -qq --no-compile --constraint constraints.txt
TRAIN := .venv/train.stamp
DEV := .venv/dev.stamp

.PHONY: help demo install test check fuzz format bench docs clean
.DELETE_ON_ERROR:

help:
	@echo "make demo    install, build the infra specialist, prove it, and let it answer ten requests"
	@echo "make test    install, then make check"
	@echo "make check   ruff, mypy strict, the import layers, pytest"
	@echo "make fuzz    the tests that invent their input, ten times with new input each"
	@echo "make bench   speed and accuracy beside scikit-learn and a plain transformers pipeline"
	@echo "make clean   remove .venv, caches and everything that was trained here"

demo: $(TRAIN)
	@$(BIN)/microlith demo

install: $(TRAIN)

test: check

check: $(DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest

fuzz: $(DEV)
	for round in 1 2 3 4 5 6 7 8 9 10; do \
	  $(BIN)/python -m pytest -m "hypothesis and not slow" --hypothesis-profile=new || exit 1; done

format: $(DEV)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(DEV)
	$(BIN)/python -m microlith.cli.reference > docs/commands.md

bench: $(DEV)
	@$(BIN)/python -m benchmarks

clean:
	rm -rf .venv .microlith build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name one with: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "creating .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear .venv

# setuptools comes from the constraints file too, so that the build needs no second, unpinned environment.
$(TRAIN): pyproject.toml constraints.txt | .venv/bin/python
	@echo "installing microlith for training (torch CPU build, about a minute)"
	@$(INSTALL) setuptools
	@$(INSTALL) --no-build-isolation --editable '.[train]'
	@touch $@

$(DEV): $(TRAIN)
	@echo "installing what the checks need"
	@$(INSTALL) --no-build-isolation --editable '.[train,finetune,teacher,serve,dev]'
	@touch $@
