# Everything a newcomer needs: `make demo` and `make test`. PYTHON chooses the interpreter.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Python files are compiled afterwards, on all cores; pip would do it on one.
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt
INSTALLED := $(VENV)/.installed

.PHONY: demo test lint install clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) -e '.[tune,dev]'
	$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true  # some packages hold files for other Pythons
	touch $@

demo: $(INSTALLED)
	$(BIN)/tune --model reference --budget 0.7
	$(BIN)/tune apply --model reference --policy policies/reference-asr-0.70.yaml tuner/reference/data/selection/000.flac

test: $(INSTALLED)
	$(BIN)/pytest

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist *.egg-info
