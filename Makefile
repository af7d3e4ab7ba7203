# Two commands do everything: `make run` and `make test`. Each installs what it needs into .venv first.
SHELL := /bin/bash
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
EXTRA ?= cpu
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock

# pip compiles what it installs; an editable package is not copied, so it is compiled here: the first start is quick too.
COMPILE := $(BIN)/python -m compileall -q face_server

.PHONY: run test conformance docs lint fmt bench archs lock clean
run: $(VENV)/.installed-$(EXTRA)
	@exec $(BIN)/face-server serve

# Real servers, killed and loaded, on a machine that may be busy: what fails is tried again, and told as RERUN.
TEST := $(BIN)/python -m pytest --reruns 2
test: $(VENV)/.installed-dev
	$(TEST) -n 2 --dist loadgroup -m "not serial" --conformance
	$(TEST) -m serial

# Writes docs/conformance.md.
conformance: $(VENV)/.installed-dev
	$(BIN)/python -m scripts.conformance

# Builds the guide, which the server then shows at /guide and a wheel takes along.
docs: $(VENV)/.installed-dev
	$(BIN)/python -m scripts.guide
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fmt: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-dev
	$(BIN)/python -m scripts.bench

# Fetches the GPU wheel that pyproject.toml pins (280 MB) and fails when it has no code for the P4 any more.
archs: $(VENV)/.installed-dev
	$(BIN)/python -m pip download --quiet --no-deps --dest build/wheels \
		"$$(sed -n 's/^gpu = \["\(onnxruntime-gpu\)\[[^]]*\]\([^"]*\)".*/\1\2/p' pyproject.toml)"
	$(BIN)/python -m scripts.wheel_archs build/wheels/onnxruntime_gpu-*.whl --need sm_61

# One lock file for all of it; the GPU wheels are pinned by their extras in pyproject.toml.
lock: $(VENV)/.installed-dev
	$(PIP_INSTALL) uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra cpu --extra dev \
		--no-header --no-annotate $(UPGRADE) pyproject.toml --output-file requirements.lock

clean:
	rm -rf $(VENV) .bootstrap build

# A Python without its venv module (Debian's minimal one) gets its environment from virtualenv.
$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || { rm -rf $(VENV); \
		$(PYTHON) -m pip install --quiet --target .bootstrap virtualenv && \
		PYTHONPATH=.bootstrap $(PYTHON) -m virtualenv --quiet $(VENV); }

$(VENV)/.installed-dev: $(BIN)/python pyproject.toml requirements.lock
	@echo "Installing face-server and its tests into $(VENV) ..."
	@$(PIP_INSTALL) --editable '.[cpu,dev]'
	@$(COMPILE)
	@touch $(VENV)/.installed-dev $(VENV)/.installed-cpu

$(VENV)/.installed-%: $(BIN)/python pyproject.toml requirements.lock
	@echo "Installing face-server into $(VENV) ..."
	@$(PIP_INSTALL) --editable '.[$*]'
	@$(COMPILE)
	@touch $@
