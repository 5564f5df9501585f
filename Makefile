# Two commands matter to a newcomer: `make demo` and `make test`. Each sets up what it lacks.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
# The Node of the machine where there is one, else the one in the PyPI wheel.
NODE_BIN := $(shell command -v node >/dev/null 2>&1 && dirname "$$(command -v node)" || echo $(CURDIR)/.venv/bin)
export PATH := $(CURDIR)/$(BIN):$(PATH)
# The tests start hundreds of processes; compiled once, each starts in three quarters of the time.
unexport PYTHONDONTWRITEBYTECODE

# The console is built by the Node of the wheel: for an older one npm silently takes older packages.
CONSOLE_NODE := PATH=$(CURDIR)/$(BIN):$$PATH npm --prefix console
CONSOLE_SOURCES := $(shell find console -type d \( -name node_modules -o -name locales \) -prune -o -type f -print)

# What passed is not checked again until one of its files changes.
ONCE := bash requirements/once.sh
TYPED := halflap halflap_sandbox tests/typing examples pyproject.toml package-lock.json requirements/dev.txt

.PHONY: demo test check types style browser compiled console system bench soak docs setup setup-node wheel lock clean

demo: .venv/ready $(if $(KEEP),console)  ## two customers, a kill -9, each kind of source; KEEP=1 leaves it running, with the console
	$(BIN)/halflap demo
	$(if $(KEEP),,$(BIN)/python -m tests.sources)
	@$(if $(KEEP),,echo "What next: make demo KEEP=1 leaves it running, with the console; docs/first-integration.md begins one of your own.")

test: system setup  ## everything that must be green
	@$(MAKE) --no-print-directory -j3 check compiled
	$(BIN)/pytest -n 6 --dist worksteal -m "not soak" --durations=10 --durations-min=1 $(ARGS)

check: types style browser  ## format, lint, types, walls

types: .venv/ready node_modules/ready
	@$(ONCE) node_modules/typed $(TYPED) -- node node_modules/pyright/index.js

browser: console  ## the same for the console, with its unit tests
	@$(ONCE) console/node_modules/checked console -- npm --prefix console run --silent check
	@$(ONCE) console/node_modules/tested console -- npm --prefix console run --silent unit

style: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/python -m tests.house.prose

console: halflap/console/static/index.html  ## build the console into the package

# In a new clone each of the workers would compile every module for itself, at the same time.
compiled: .venv/ready
	@[ -n "$$(find tests -name '*-pytest-*.pyc' -print -quit)" ] || $(BIN)/pytest -q --collect-only $(ARGS) >/dev/null || true

system:
	@bash requirements/system.sh

setup: .venv/ready node_modules/ready

.venv/ready: requirements/dev.txt pyproject.toml
	@bash requirements/setup.sh "$(PYTHON)"
	@touch $@

node_modules/ready: .venv/ready package-lock.json
	@echo "setup: npm packages (locked)"
	@npm ci --silent --no-audit --no-fund
	@touch $@

console/node_modules/ready: .venv/ready console/package-lock.json
	@echo "setup: the console's npm packages (locked)"
	@$(CONSOLE_NODE) ci --silent --no-audit --no-fund
	@touch $@

# The document is made again where the API's code changed, and written where it differs.
console/node_modules/described: console/node_modules/ready console/openapi.py halflap/model.py $(wildcard halflap/api/*.py halflap/lowcode/outline/*.py)
	@$(BIN)/python console/openapi.py console/openapi.json
	@touch $@

console/openapi.json: console/node_modules/described ;

halflap/console/static/index.html: $(filter-out console/openapi.json console/src/api/schema.d.ts,$(CONSOLE_SOURCES)) console/openapi.json
	@echo "console: types of the API, phrases, build"
	@$(CONSOLE_NODE) run --silent api >/dev/null
	@$(CONSOLE_NODE) run --silent phrases >/dev/null
	@$(CONSOLE_NODE) run --silent build

bench: .venv/ready  ## W1 to W3 beside the raw group commit; STORE=postgresql; PEERS=1: Node-RED and n8n too; ALL=1: history, memory, idle too
	$(BIN)/python -m bench $(if $(STORE),--store $(STORE)) $(if $(PEERS),--peers) $(if $(ALL),--all) $(ARGS)

soak: export TMPDIR ?= /tmp
soak: setup system  ## the fault tests, long, and on a disk
	$(BIN)/pytest -m "soak or hypothesis" $(ARGS)

docs: .venv/ready  ## build the docs site into site/
	$(BIN)/mkdocs build --strict

wheel: .venv/ready console
	$(BIN)/python -m build --wheel

lock:  ## lock the newest allowed versions again, with hashes
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --group dev --extra postgresql --upgrade pyproject.toml -o requirements/dev.txt
	npm update --package-lock-only
	$(CONSOLE_NODE) update --package-lock-only

clean:
	rm -rf .venv node_modules console/node_modules halflap/console/static site dist .halflap
