# Every command sets up what it needs: a virtual environment in .venv, from Python >= 3.11 alone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
.DEFAULT_GOAL := help
.PHONY: help demo cluster-demo play test check lint types coverage doctests demos notebooks docs pictures bench package release hunt mutants ulps clean

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

doctests: $(VENV)/dev.ok ## run the examples in docstrings, in the README and in the cookbook
	$(BIN)/python -m pytest -q --doctest-modules --doctest-glob='*.md' micrograd_like README.md docs/cookbook.md

demos: $(VENV)/dev.ok ## run the demos that are not chapters; the tests execute the chapters, as notebooks
	@for demo in demos/[!0-9]*.py; do echo "== $$demo"; $(BIN)/python $$demo > /dev/null || exit 1; done

notebooks: $(VENV)/notebooks.ok ## turn the chapters into executed notebooks, into out/notebooks
	@mkdir -p out/notebooks
	@for demo in demos/[0-9]*.py; do \
		$(BIN)/jupytext --quiet --to ipynb --set-kernel python3 --execute --run-path . --output out/notebooks/$$(basename $$demo .py).ipynb $$demo \
		&& echo out/notebooks/$$(basename $$demo .py).ipynb || exit 1; done

docs: $(VENV)/docs.ok ## build the site, with executed chapters and live pages: out/docs/index.html
	$(BIN)/python -m sphinx --fresh-env --fail-on-warning --keep-going --quiet docs out/docs
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

package: $(VENV)/release.ok ## build wheel and sdist into dist, check them, and use the wheel in an empty environment
	@rm -rf dist build out/empty
	$(BIN)/python -m build --no-isolation --outdir dist
	$(BIN)/python -m twine check --strict dist/*
	if git rev-parse --git-dir > /dev/null 2>&1; then $(BIN)/check-manifest --no-build-isolation; fi
	$(PYTHON) -m venv out/empty
	out/empty/$(notdir $(BIN))/python -m pip install --quiet --disable-pip-version-check dist/*.whl
	out/empty/$(notdir $(BIN))/python -m pip check
	cd out/empty && $(notdir $(BIN))/python -W error ../../tests/installed.py

release: check package ## run all checks, build, and print what is left to do by hand
	@printf '\nBuilt and checked: %s\n' "$$(echo dist/*)"
	@printf '%s\n' 'Left to do by hand:' \
		'  1. The project URLs, which setup.cfg marks, and the repository in CITATION.cff.' \
		'  2. The version in setup.cfg, micrograd_like/__init__.py and CITATION.cff, and its date in CHANGELOG.md.' \
		'  3. The name: whether it is free on the index, or yours.' \
		'  4. A tag, pushed; and wait for the workflows on all systems.' \
		'  5. $(BIN)/python -m twine upload dist/*'

MUTANTS ?= 100
HUNT_SECONDS ?= 600
hunt: $(VENV)/dev.ok ## interrupt at every instruction; then look for counterexamples for ten minutes (HUNT_SECONDS=...)
	$(BIN)/python tests/interrupts.py
	$(BIN)/python tests/hunt.py --seconds $(HUNT_SECONDS)

mutants: $(VENV)/dev.ok ## change the package in a hundred places (MUTANTS=...), one at a time, and list what no test notices
	$(BIN)/python tests/mutants.py --count $(MUTANTS)

ulps: $(VENV)/dev.ok ## measure how exact every operation is, into docs/ulps.md and docs/special_points.md
	$(BIN)/python tests/ulps.py docs/ulps.md 300
	$(BIN)/python tests/special_points.py docs/special_points.md

clean: ## delete what the other commands made
	rm -rf $(VENV) build dist out docs/learn .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache micrograd_like.egg-info

$(VENV)/python.ok:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Python 3.11 or newer is needed; {sys.executable} is {sys.version.split()[0]} (choose another with PYTHON=...)")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/%.ok: $(VENV)/python.ok setup.cfg pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@
