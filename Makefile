# Everything runs from .venv, which the first target you ask for makes. `make help` lists them.

SHELL := /bin/sh
.DEFAULT_GOAL := help
BIN := .venv/bin
# Each process has a Postgres of its own, and a file's tests stay together; ARGS="-n 0" undoes it.
PARALLEL := -n auto --maxprocesses 4 --dist loadfile
# pgbouncer is a daemon: distributions put it where only root looks.
export PATH := $(PATH):/usr/sbin:/usr/local/sbin
# Bytecode halves every start, and an active virtual environment is not the one meant here.
unexport PYTHONDONTWRITEBYTECODE VIRTUAL_ENV

.PHONY: help browser demo dev up down test test-faults e2e e2e-localstack check bench schema build deploy lint-template format clean pgbouncer

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: .venv/.ready ## Run the research agent over HTTP, kill its worker, watch it go on
	@$(BIN)/baton demo $(ARGS)

dev: .venv/.ready ## Run the local stack on port 2024 (ARGS="--port 2025 ..." is passed on)
	@$(BIN)/baton dev $(ARGS)

up: ## With Docker: start LocalStack, Postgres and pgbouncer, as docs/e2e.md says (`make down` stops them)
	@command -v docker >/dev/null || { echo "make: this needs Docker; make dev does without" >&2; exit 1; }
	@docker compose --file localstack-compose.yml up --detach --wait

down: ## Stop them; their data stay
	@docker compose --file localstack-compose.yml down

test: .venv/.ready pgbouncer browser ## Run all tests but e2e: unit, contracts, integration, short faults
	@$(BIN)/python -m pytest tests --ignore=tests/benchmarks --ignore=tests/e2e --ignore=tests/e2e_localstack $(PARALLEL) $(ARGS)

test-faults: .venv/.ready pgbouncer ## Run the full fault tests and print what was lost or repeated
	@$(BIN)/python -m pytest tests/faults --full -s $(ARGS)

e2e: .venv/.ready pgbouncer browser ## Deploy the template into an emulated account, run the bundle under Lambda's emulator
	@$(BIN)/python -m pytest tests/e2e $(ARGS)

e2e-localstack: .venv/.ready pgbouncer ## Deploy the template into LocalStack's code, without Docker
	@$(BIN)/python -m pytest tests/e2e_localstack $(ARGS)

check: .venv/.ready ## Format, lint, types, import contracts, unit tests
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m pytest tests/unit -q $(PARALLEL)

format: .venv/.ready ## Format the code and fix what the linter can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: .venv/.ready ## Measure against other servers, write docs/benchmarks.md (ARGS="--quick step")
	@$(BIN)/python -m tests.benchmarks $(ARGS)

schema: .venv/.ready ## Write infra/schema.sql from the migrations
	@$(BIN)/python -m infra.local.schema

build: .venv/.ready ## Build dist/bundle, the artifact that template.yaml deploys
	@$(BIN)/python -m infra.build.bundle $(ARGS)

deploy: build ## Migrate and deploy an environment of samconfig.toml (ENV=dev)
	@test -n "$(ENV)" || { echo "make: name the environment: make deploy ENV=dev" >&2; exit 1; }
	@$(BIN)/python -m infra.build.deploy $(ENV)

# checkov in an environment of its own: its dependencies conflict with Baton's.
lint-template: .venv/.ready ## Check the templates with cfn-lint, warnings included, and checkov
	@$(BIN)/cfn-lint template.yaml infra/*.yaml && echo "cfn-lint: no findings"
	@$(BIN)/uv tool run --quiet --from checkov==3.3.30 checkov --compact --quiet --skip-download \
	  --framework cloudformation $(foreach file,template.yaml $(wildcard infra/*.yaml),--file $(file))

clean: ## Remove what was built and cached; keeps .venv and the data in .baton
	@rm -rf dist .aws-sam .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage
	@find . -name .venv -prune -o -name __pycache__ -type d -exec rm -rf {} +

# The pinned uv comes as a wheel into .venv and then fills it from uv.lock, where it is itself.
.venv/.ready: pyproject.toml uv.lock
	@set -e; \
	fits() { "$$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }; \
	if ! fits .venv/bin/python; then \
	  python=; \
	  for name in $(PYTHON) python3 python3.13 python3.12 python3.11 python3.14 python; do \
	    if fits $$name; then python=$$name; break; fi; \
	  done; \
	  if [ -z "$$python" ]; then \
	    echo "make: no Python 3.11 or newer found; install one, or name it: make PYTHON=/path/to/python" >&2; exit 1; \
	  fi; \
	  if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
	    echo "make: $$python has no venv module; on Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; \
	  fi; \
	  echo "make: setting up .venv (once, about a minute)"; \
	  "$$python" -m venv --clear .venv; \
	fi; \
	uv=$$(awk '/^name = "uv"$$/{getline; gsub(/[^0-9.]/, ""); print}' uv.lock); \
	if [ "$$($(BIN)/uv --version 2>/dev/null | cut -d ' ' -f 2)" != "$$uv" ]; then \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check "uv==$$uv"; \
	fi; \
	UV_PROJECT_ENVIRONMENT=.venv $(BIN)/uv sync --quiet --frozen --all-extras --python .venv/bin/python; \
	touch $@

pgbouncer:
	@command -v pgbouncer >/dev/null && exit 0; \
	sudo=; [ "$$(id -u)" = 0 ] || sudo="sudo -n"; \
	if command -v brew >/dev/null; then install="brew install --quiet pgbouncer"; \
	elif ! $$sudo true 2>/dev/null; then install=false; \
	elif command -v apt-get >/dev/null; then \
	  install="$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq pgbouncer"; \
	  $$sudo apt-get update -qq >/dev/null || true; \
	elif command -v dnf >/dev/null; then install="$$sudo dnf install --assumeyes --quiet pgbouncer"; \
	elif command -v apk >/dev/null; then install="$$sudo apk add --quiet pgbouncer"; \
	else install=false; fi; \
	[ "$$install" = false ] || { echo "make: installing pgbouncer"; $$install >/dev/null || true; }; \
	command -v pgbouncer >/dev/null || { \
	  echo "make: the tests need pgbouncer; install it with your system's package manager" >&2; exit 1; }

# Node and Chromium, for the tests of the clients that run in them.
browser:
	@missing=; \
	command -v npm >/dev/null || missing="nodejs npm"; \
	command -v chromium-headless-shell >/dev/null || command -v chromium >/dev/null || \
	  command -v google-chrome >/dev/null || missing="$$missing chromium-headless-shell"; \
	[ -n "$$missing" ] || exit 0; \
	sudo=; [ "$$(id -u)" = 0 ] || sudo="sudo -n"; \
	if command -v apt-get >/dev/null && $$sudo true 2>/dev/null; then \
	  echo "make: installing $$missing"; \
	  $$sudo apt-get update -qq >/dev/null || true; \
	  if $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq $$missing >/dev/null; \
	  then exit 0; fi; \
	fi; \
	echo "make: the tests need $$missing; install them with your system's package manager" >&2; exit 1
