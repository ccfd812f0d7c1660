# Every command sets up what it needs: a virtual environment in .venv, from Python >= 3.11 alone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := help
.PHONY: help demo cluster-demo play test check lint types coverage doctests demos notebooks docs pictures bench hunt mutants ulps clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/demos.ok ## learn ten handwritten digits, and see why one of them is read wrongly: out/digits/index.html
	$(BIN)/python -m micrograd_like demo digits
	@printf '\nMore to see: $(BIN)/micrograd-like opens the chapters, $(BIN)/micrograd-like play the live pages.\n'

cluster-demo: $(VENV)/cluster.ok $(VENV)/data.ok ## learn the digits on two worker processes, end one on the way, compare every bit
	$(BIN)/python demos/digits_cluster.py

play: $(VENV)/demos.ok ## write the live pages into out/play; open out/play/index.html
	$(BIN)/python -m micrograd_like play --save out/play

test: $(VENV)/dev.ok ## run the tests
	$(BIN)/python -m pytest -q --numprocesses auto $(PYTEST_OPTIONS)

check: lint types coverage doctests demos ## run everything that must pass: lint, types, tests with coverage, doctests, demos

lint: $(VENV)/dev.ok ## find mistakes and untidy code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev.ok ## check the types
	$(BIN)/mypy

coverage: $(VENV)/dev.ok ## run the tests and demand 95 % of lines and branches
	$(MAKE) test PYTEST_OPTIONS="--cov --cov-report=term"

doctests: $(VENV)/dev.ok ## run the examples in docstrings and in the README
	$(BIN)/python -m pytest -q --doctest-modules --doctest-glob='*.md' micrograd_like README.md

demos: $(VENV)/dev.ok ## run the demos that are not chapters; the tests execute the chapters, as notebooks
	@for demo in demos/[!0-9]*.py; do echo "== $$demo"; $(BIN)/python $$demo > /dev/null || exit 1; done

notebooks: $(VENV)/notebooks.ok ## turn the chapters into executed notebooks, into out/notebooks
	@mkdir -p out/notebooks
	@for demo in demos/[0-9]*.py; do \
		$(BIN)/jupytext --quiet --to ipynb --set-kernel python3 --execute --run-path . --output out/notebooks/$$(basename $$demo .py).ipynb $$demo \
		&& echo out/notebooks/$$(basename $$demo .py).ipynb || exit 1; done

docs: $(VENV)/docs.ok ## build the site, with executed chapters and live pages: out/docs/index.html
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet docs out/docs
	@echo out/docs/index.html

pictures: $(VENV)/pictures.ok ## draw the chapters' pictures again, into demos/pictures; without a PATH, so never by a system Graphviz
	@PATH= $(BIN)/python docs/hero.py
	@rm -f demos/pictures/*.svg
	@for demo in demos/[0-9]*.py; do \
		echo "== $$demo"; PATH= MICROGRAD_LIKE_PICTURES=demos/pictures $(BIN)/python $$demo > /dev/null || exit 1; done
	@rm -f demos/pictures/*.html # live pages are made when they are asked for
	@rm -f demos/pictures/13_speed.svg # drawn from measured times: no two are the same

bench: $(VENV)/bench.ok ## measure speed and memory against peers, into docs/benchmarks.md and docs/benchmarks.svg
	$(BIN)/python -m benchmarks --write docs

MUTANTS ?= 100
HUNT_SECONDS ?= 600
hunt: $(VENV)/dev.ok ## interrupt at every instruction; then look for counterexamples for ten minutes (HUNT_SECONDS=...)
	$(BIN)/python tests/interrupts.py
	$(BIN)/python tests/hunt.py --seconds $(HUNT_SECONDS)

mutants: $(VENV)/dev.ok ## change the package in a hundred places (MUTANTS=...), one at a time, and list what no test notices
	$(BIN)/python tests/mutants.py --count $(MUTANTS)

ulps: $(VENV)/dev.ok ## measure how exact every operation is, into docs/ulps.md and docs/special_points.md
	$(BIN)/python tests/ulps.py docs/ulps.md 1000
	$(BIN)/python tests/special_points.py docs/special_points.md

clean: ## delete what the other commands made
	rm -rf $(VENV) build dist out .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache micrograd_like.egg-info

$(VENV)/python.ok:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Python 3.11 or newer is needed; {sys.executable} is {sys.version.split()[0]} (choose another with PYTHON=...)")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/%.ok: $(VENV)/python.ok setup.cfg pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@
