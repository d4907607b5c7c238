# Two commands lead: `make demo` and `make test`. Both install what they need first (deploy/setup.sh; as root on a fresh
# Debian 12), and find nothing to do the second time.

PYTHON := .venv/bin/python
KERNEL ?= 6.1
C_FILES := $(wildcard probes/*.c probes/include/*.h tests/vm/servers/*.c tests/accuracy/services/*.c bench/vm/*.c)

.PHONY: help demo demo-shell test test-fast vm accuracy bench bench-fast lint format setup clean

help:
	@echo 'make demo               an uninstrumented shop in a throw-away guest, slow at times, and why; FAULTS=off: it is well'
	@echo 'make demo-shell         the same, and the shop stays open until Ctrl-C, for a look at the page'
	@echo 'make test               everything: lint, types, unit, replay, receivers, guests with kernels 6.1 and 6.12'
	@echo 'make test-fast          without guests and receivers'
	@echo 'make vm KERNEL=6.12     the scenarios in one guest; K=expression selects some'
	@echo 'make accuracy           right, missing and wrong parents in many runtimes; KERNEL=6.12, ONLY=go,node select'
	@echo 'make bench              speed natively, cost in a guest that counts instructions'
	@echo 'make bench-fast         only what is measured natively'
	@echo 'make lint format clean'

demo:
	@deploy/setup.sh demo
	@$(PYTHON) -m demo --kernel $(KERNEL) $(if $(filter off,$(FAULTS)),--no-faults)

demo-shell:
	@deploy/setup.sh demo
	@$(PYTHON) -m demo --kernel $(KERNEL) $(if $(filter off,$(FAULTS)),--no-faults) --stay

test: setup lint
	$(PYTHON) -m pytest -m 'not vm and not receiver and not bench'
	$(PYTHON) -m pytest -m receiver
	$(PYTHON) -m pytest -m vm -v

test-fast: setup
	$(PYTHON) -m pytest -m 'not vm and not receiver and not bench'

vm: setup
	ZEROSPAN_KERNELS=$(KERNEL) $(PYTHON) -m pytest -m vm -v tests/vm $(if $(K),-k '$(K)')

# Both kernels, unless one is named.
accuracy:
	@deploy/setup.sh accuracy
	$(PYTHON) -m tests.accuracy $(if $(filter-out file,$(origin KERNEL)),--kernel $(KERNEL)) $(if $(ONLY),--only $(ONLY)) $(if $(REQUESTS),--requests $(REQUESTS))

bench: bench-fast
	$(PYTHON) -m bench.vm

bench-fast: setup
	$(PYTHON) -m bench
	$(PYTHON) -m bench.store

lint: setup
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy
	.venv/bin/lint-imports --no-logo
	clang-format --dry-run --Werror $(C_FILES)

format: setup
	$(PYTHON) -m ruff check --fix
	$(PYTHON) -m ruff format
	clang-format -i $(C_FILES)

setup:
	@deploy/setup.sh test

clean:
	rm -rf .venv .venv-receivers .cache build dist *.egg-info
	rm -rf .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
