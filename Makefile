# Every target builds what it needs. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV ?= .venv
# The first interpreter that is new enough; `make setup PYTHON=python3.13` chooses another.
PYTHON ?= $(shell for each in python3 python3.13 python3.12 python3.11; do \
	"$$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$each"; break; }; done)
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Other people's software lives here, apart from ours: their KuCoin clients, which tests/interop runs,
# and their engines for back-tests, which tests/peers runs.
INTEROP := .venv-interop
PEERS := .venv-peers

# Suites of tests, each with pytest's arguments, for scripts/suites.py. Those of browsers and other
# clients mostly wait, so they run beside those that compute.
UNIT_TESTS := unit = --numprocesses 2 --dist worksteal tests/unit
HEALING_TESTS := healing = tests/healing
BROWSER_TESTS := browser = tests/browser
INTEROP_TESTS := interop = tests/interop
PEER_TESTS := peers = tests/peers
NOTEBOOK_TESTS := notebooks = -p nbval --nbval --nbval-sanitize-with notebooks/sanitize.cfg -p no:cacheprovider notebooks

.PHONY: help setup interop interop-all peers demo test test-all test-lowest soak check format lab bench notebooks pictures build lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 14

setup: $(READY)  ## build .venv with the locked versions

# uv where it is found, else venv and pip: both install the versions of constraints.txt.
$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python"; exit 1; }
	@if command -v uv >/dev/null; then \
		uv venv --quiet --allow-existing --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV) && \
		uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[lab,test,dev]'; \
	else \
		$(PYTHON) -m venv $(VENV) && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[lab,test,dev]'; \
	fi
	@touch $@

interop: $(INTEROP)/.ready  ## build .venv-interop: other people's KuCoin clients, for tests/interop

interop-all: $(READY)  ## try every KuCoin client we know, each in .venv-clients, and write their table (needs node)
	$(BIN)/python -m tests.clients --write

peers: $(PEERS)/.ready  ## build .venv-peers: other people's engines for back-tests, for tests/peers

# Each holds the extra of its name, in the versions of constraints-<name>.txt.
EXTRA = $(PYTHON) -c 'import sys, tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	print(*project["optional-dependencies"][sys.argv[1]], sep="\n")'

.venv-%/.ready: pyproject.toml constraints-%.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python"; exit 1; }
	@rm -f $@; mkdir -p $(@D); $(EXTRA) $* > $(@D)/requirements.txt
	@if command -v uv >/dev/null; then \
		uv venv --quiet --allow-existing --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(@D) && \
		uv pip install --quiet --python $(@D)/bin/python --constraint constraints-$*.txt --requirement $(@D)/requirements.txt; \
	else \
		$(PYTHON) -m venv $(@D) && \
		$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints-$*.txt --requirement $(@D)/requirements.txt; \
	fi
	@touch $@

demo: $(READY)  ## stream from the simulated exchange and show the frames
	$(BIN)/kucoin-research demo

test: $(READY)  ## run everything that CI runs, to the end even where a suite fails
	-@$(MAKE) --no-print-directory --keep-going interop peers  # where one cannot be built, its tests fail (CI) or say so
	-@scripts/chromium.sh $(BIN)/python  # the same goes for tests/browser
	$(BIN)/python scripts/suites.py "$(UNIT_TESTS)" "$(BROWSER_TESTS)" "$(INTEROP_TESTS) ; $(PEER_TESTS) ; $(HEALING_TESTS) ; $(NOTEBOOK_TESTS)"

check: $(READY)  ## ruff, ruff format, mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)  ## let ruff lay the code out
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lab: $(READY)  ## open JupyterLab on the notebooks
	$(BIN)/jupyter lab --notebook-dir notebooks

bench: $(READY)  ## measure: prints figures, judges nothing
	$(BIN)/python -m benchmarks

notebooks: $(READY)  ## run the notebooks and store their outputs
	$(BIN)/jupyter nbconvert --to notebook --inplace --execute notebooks/*.ipynb
	$(BIN)/python scripts/notebook_pictures.py notebooks/*.ipynb
	$(BIN)/python scripts/pictures.py notebooks/04_live_dashboard.ipynb

pictures: $(READY)  ## make the README's pictures anew, in a browser
	-@scripts/chromium.sh $(BIN)/python
	$(BIN)/python scripts/pictures.py

build: $(READY)  ## make the wheel and the source archive in dist/
	$(BIN)/python -m build

test-all:  ## run the tests on every supported Python that is found
	@failed=; for version in 3.11 3.12 3.13; do \
		python=$$(command -v python$$version); "$$python" -c '' 2>/dev/null || \
			python=$$(ls -d $$HOME/.pyenv/versions/$$version.*/bin/python 2>/dev/null | tail -1); \
		test -n "$$python" || { echo "Python $$version: not found, skipped"; continue; }; \
		echo "Python $$version: $$python"; \
		$(MAKE) --no-print-directory test PYTHON="$$python" VENV=.venv-$$version || failed="$$failed $$version"; \
	done; \
	test -z "$$failed" || { echo "failed on Python$$failed"; exit 1; }

test-lowest:  ## run the tests with the oldest dependencies that pyproject.toml allows (needs uv)
	uv venv --quiet --allow-existing --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .venv-lowest
	uv pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct --editable '.[test]'
	-@$(MAKE) --no-print-directory --keep-going interop peers
	.venv-lowest/bin/python scripts/suites.py "$(UNIT_TESTS) ; $(HEALING_TESTS) ; $(INTEROP_TESTS) ; $(PEER_TESTS)"

soak: $(READY)  ## the long tests: 300 schedules of faults, 200 kills, 30 roll-overs, every book, 3,000 lists of any orders, 10,000 damages, 10,000 strange folders: four hours
	$(BIN)/python -m pytest -m soak
	SOAK=1 $(BIN)/python -m pytest --timeout 1800 tests/unit/sessions/writing/test_recorder.py -k killed
	SOAK=1 $(BIN)/python -m pytest --timeout 1800 tests/unit/sessions/checks/test_damages.py tests/healing/test_verdicts.py
	SOAK=1 $(BIN)/python -m pytest --timeout 1800 tests/unit/sessions/test_strange_folders.py
	SOAK=1 $(BIN)/python -m pytest --timeout 1800 tests/unit/sessions/test_session.py -k cut_anywhere

lock:  ## write the constraints files anew from pyproject.toml (needs uv)
	uv pip compile --quiet --universal --upgrade --extra lab --extra test --extra dev --no-header --no-annotate pyproject.toml --output-file constraints.txt
	for extra in interop peers; do \
		$(EXTRA) $$extra | uv pip compile --quiet --universal --upgrade --python-version 3.11 --no-header --no-annotate - --output-file constraints-$$extra.txt || exit 1; \
	done

clean:  ## remove what the targets made
	rm -rf $(VENV) .venv-* build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
