# `make audit` and `make test` do everything on a fresh machine; each builds .venv itself.
PYTHON ?= python3
BIN := .venv/bin
export OMP_NUM_THREADS ?= 1

.PHONY: audit test lint bench browser

audit: .venv/.ok
	$(BIN)/interlock audit

test: .venv/.ok
	$(BIN)/pytest -n 2

lint: .venv/.ok
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/lint-imports
	$(BIN)/pyright

bench: .venv/.ok
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

.venv/.ok: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "interlock needs Python 3.11 or newer; " + sys.executable + " is " + sys.version.split()[0] + ". Run: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@
