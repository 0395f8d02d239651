# make demo: install and run the main job.  make test: install and pass the tests.  make check: all that CI checks.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test check format lint types clean

demo: .venv/.installed
	$(BIN)/mdnet reproduce simmering --problem auto-mpg --problem digits --out runs/demo --brief --force

test: .venv/.installed-dev
	$(BIN)/python -m pytest -n 2 --dist worksteal

check: format lint types test

format: .venv/.installed-dev
	$(BIN)/ruff format --check .

lint: .venv/.installed-dev
	$(BIN)/ruff check .

types: .venv/.installed-dev
	$(BIN)/mypy

clean:
	rm -rf .venv runs

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.installed: pyproject.toml constraints.txt | .venv/bin/python
	@echo "installing into .venv; this takes a minute or two"
	$(PIP) -e .
	@touch $@

.venv/.installed-dev: pyproject.toml constraints.txt | .venv/bin/python
	@echo "installing into .venv, with what the tests need; this takes a minute or two"
	$(PIP) -e '.[dev]'
	@touch $@ .venv/.installed
