# make demo    sets everything up, trains, evaluates, films and exports a policy
# make test    sets everything up and runs the tests
# make docs    sets everything up and builds the documentation site
# All need Python 3.10 or newer and a package registry, and can be run again at any time.

PYTHON ?= python3
VENV ?= .venv
RUN := runs/demo-$(shell date +%Y%m%d-%H%M%S)

BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed

.PHONY: help install demo test docs test-habitat test-browser test-slow test-oldest coverage dist lint format clean

help:
	@sed -n 's/^# //p' Makefile | head -4

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "error: llarp needs Python 3.10 or newer, and $(PYTHON) is older"; \
	    echo "hint: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 2; } >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo "error: $(PYTHON) cannot make a virtual environment"; \
	    echo "hint: on Debian and Ubuntu, apt install python3-venv"; rm -rf $(VENV); exit 2; } >&2
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e ".[dev]"
	@touch $@

demo: install
	$(BIN)/llarp train --backbone minilm --recipe quickstart --run-dir $(RUN)
	$(BIN)/llarp eval $(RUN) --json $(RUN)/eval.json --plot $(RUN)/eval.png
	$(BIN)/llarp rollout $(RUN) --video $(RUN)/rollout.mp4
	$(BIN)/llarp export $(RUN) --out $(RUN)/export
	@echo
	@echo "Look at:"
	@echo "  $(RUN)/rollout.mp4   an episode, filmed"
	@echo "  $(RUN)/curves.png    how it learned"
	@echo "  $(RUN)/eval.png      success by split; the numbers are in eval.json"
	@echo "  $(RUN)/export        the policy, to share"
	@echo "Then try:"
	@echo "  . $(BIN)/activate"
	@echo "  llarp rollout $(RUN) --video mine.mp4 --instruction 'take the apple to the sofa'"

test: install
	$(BIN)/python -m pytest -n 2 --dist loadfile

# Any warning fails. docs/generate.py brings the pages up to date that repeat what the program says.
docs: install
	@$(BIN)/python -c 'import sphinx' 2>/dev/null || \
	  { echo "error: the documentation needs Python 3.11 or newer"; \
	    echo "hint: make docs PYTHON=python3.12 VENV=.venv-docs"; exit 2; } >&2
	$(BIN)/python docs/generate.py
	$(BIN)/python -m sphinx -q -b html -n -W --keep-going -c docs . docs/_site
	@echo "Look at docs/_site/index.html"

# habitat-lab's pins are not ours: an environment of its own.
HABITAT_VENV ?= .venv-habitat

test-habitat: $(HABITAT_VENV)/installed
	$(HABITAT_VENV)/bin/python -m pytest tests/test_habitat_lab.py --noconftest

$(HABITAT_VENV)/installed: pyproject.toml
	@test -x $(HABITAT_VENV)/bin/python || $(PYTHON) -m venv $(HABITAT_VENV)
	$(HABITAT_VENV)/bin/python -m pip install --disable-pip-version-check --quiet \
	  habitat-lab==0.3.320260507 click gymnasium hypothesis pillow pydantic pytest pyyaml
	$(HABITAT_VENV)/bin/python -m pip install --disable-pip-version-check --quiet --no-deps -e .
	@touch $@

# Debian: apt install chromium chromium-driver
test-browser: install
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e ".[browser]"
	$(BIN)/python -m pytest -m browser

test-slow: install
	$(BIN)/python -m pytest -m "slow and not gpu"

# Every dependency as old as pyproject.toml allows, and what those need themselves as they like it. torch is left new:
# its older Linux builds bring gigabytes of CUDA. With it: make test-oldest TORCH=torch==2.6.0
OLDEST_VENV ?= .venv-oldest
TORCH ?= torch

test-oldest: $(OLDEST_VENV)/installed
	$(OLDEST_VENV)/bin/python -m pytest -n 2 --dist loadfile

$(OLDEST_VENV)/installed: pyproject.toml constraints-oldest.txt
	@test -x $(OLDEST_VENV)/bin/python || $(PYTHON) -m venv $(OLDEST_VENV)
	$(OLDEST_VENV)/bin/python -m pip install --disable-pip-version-check --quiet -c constraints-oldest.txt \
	  -e ".[all]" $(TORCH) hatchling hypothesis pytest pytest-xdist
	@touch $@

# The core, in one process. Compiled functions (backbones/kernels.py, the end of rearrangement/goals.py) run unseen:
# they count as missed.
CORE := learning policy backbones rearrangement

coverage: install
	$(BIN)/python -m pytest $(CORE:%=--cov=llarp_cli/%) --cov-branch --cov-report=term-missing:skip-covered

dist: install
	@test "$$(git describe --exact-match --match 'v*' 2>/dev/null)" = \
	  "v$$($(BIN)/python -c 'import llarp_cli; print(llarp_cli.__version__)')" -a -z "$$(git status --porcelain)" || \
	  { echo "error: this is not the commit that is tagged with the version in llarp_cli/__init__.py"; \
	    echo "hint: CONTRIBUTING.md, Releasing"; exit 2; } >&2
	rm -rf dist
	$(BIN)/python -m hatchling build -d dist

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(HABITAT_VENV) $(OLDEST_VENV) dist docs/_site .pytest_cache .ruff_cache .mypy_cache .hypothesis
