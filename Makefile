# The two commands that a newcomer needs are `make demo` and `make test`; `make help` lists all of them.
# Each brings the environment (.venv) up to date first; that needs the network only when requirements.lock changed.

DATA ?= movielens
SIDE_BY_SIDE = -n 2 --dist loadscope --no-loadscope-reorder
SQL_FOLDERS = $(wildcard models macros tests/dbt)
PYTHON_FOLDERS = $(wildcard ranker lakehouse registry decisions online simulator orchestration cli benchmarks tests)

.DEFAULT_GOAL := help
.PHONY: help demo live ui test test-fast lint style types bench clean-data lock environment

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: environment ## Releases from a log, week by week (DATA=movielens, open-bandit or simulated)
	@.venv/bin/stillhouse demo --data $(DATA)

live: environment ## The whole loop with simulated users, two bad releases among the good ones (20 minutes)
	@.venv/bin/stillhouse live

ui: environment ## Dagster's web page and daemon on this home
	@eval "$$(.venv/bin/stillhouse env)" && PATH="$$PWD/.venv/bin:$$PATH" dagster dev -m orchestration.definitions

test: lint ## Everything: style, types, all tests
	@.venv/bin/pytest $(SIDE_BY_SIDE)

test-fast: environment ## The tests that need neither the lake nor minutes
	@.venv/bin/pytest $(SIDE_BY_SIDE) -m "not lake and not slow"

lint: environment ## Style and types of Python and SQL
	@$(MAKE) --no-print-directory --jobs 2 style types

style:
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check --quiet .
	@$(if $(SQL_FOLDERS),.venv/bin/sqlfluff lint $(SQL_FOLDERS),:)

types:
	@.venv/bin/mypy $(PYTHON_FOLDERS)

bench: environment ## A benchmark by NAME=…; without a name, the list of them
	@.venv/bin/python -m benchmarks$(if $(NAME),.$(NAME))

clean-data: environment ## Stop the lake and delete its home, all but the downloads
	@.venv/bin/stillhouse down
	@cd "$${STILLHOUSE_HOME:-var}" 2>/dev/null && \
		rm -rf landing truth lake exchange releases dagster dbt && echo "Deleted what was in $$PWD but the downloads." || true

lock: environment ## Bring requirements.lock up to pyproject.toml
	@"$$(command -v uv || echo .uv/bin/uv)" pip compile pyproject.toml --extra dev --generate-hashes --universal \
		--python-version 3.11 --no-emit-index-url --no-annotate --quiet -o requirements.lock

environment:
	@bin/setup
