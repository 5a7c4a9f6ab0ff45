# make            shows what there is
# Everything happens in .venv, which is made on first use from the pinned versions in constraints/.

PYTHON ?= python3
# More arguments for pip, for example a package index that has a CPU build of torch.
PIP_ARGS ?=
OUT ?= out

VENV := .venv
VENV310 := .venv-py310
BIN := $(VENV)/bin
# The device side's tests, which need neither torch nor onnx; the rest of tests/ needs the export's packages.
DEVICE_TESTS := $(wildcard tests/bundle tests/capture tests/demo tests/engine tests/evaluation tests/latency tests/runtime tests/scenarios \
	tests/sinks tests/stream tests/cli/test_backend_arguments.py tests/cli/test_bench*.py \
	tests/cli/test_build.py tests/cli/test_doctor.py tests/cli/test_eval.py tests/cli/test_journal.py \
	tests/cli/test_layers.py tests/cli/test_main.py tests/cli/test_notify.py tests/cli/test_report.py \
	tests/cli/test_compare.py tests/cli/test_killed.py tests/cli/test_machine_watch.py tests/cli/test_run*.py \
	tests/test_atomic.py tests/test_doctor.py tests/test_imports.py tests/test_stream.py)
# What runs on the machine where a bundle is made: it computes much, and no clock is in it.
HOST_TESTS := tests/deploy tests/graph tests/model tests/quantization tests/test_demo_model.py
REQUIREMENTS := pyproject.toml $(wildcard constraints/*.txt)
SHELL_SCRIPTS := $(wildcard .ci/run tools/*.sh tools/*/*.sh tests/softcuda/*/*.sh tests/capture/*/*/*.sh)
CONTAINER_FILES := $(wildcard tools/*/Dockerfile*)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo setup setup-demo test test-main test-host test-rest test-py310 test-softcuda test-gpu check lint format clean

help:
	@echo "make demo    checkpoint -> bundle -> accuracy -> 300 labelled frames, in $(OUT)/ (a few minutes)"
	@echo "make test    run the tests, the device side's also on Python 3.10 where it is installed, and those of the GPU's"
	@echo "             side on a software CUDA driver where nvcc is installed"
	@echo "make check   formatting, lint, types, import contracts, tests"
	@echo "make test-softcuda   only those on the software CUDA driver; make test-main: all others"
	@echo "make test-gpu        what must hold on a real GPU, with TensorRT; writes $(OUT)/gpu-report.tar.gz"
	@echo "make setup   make .venv with all that the tests need"
	@echo "make format  format the code"
	@echo "make clean   remove .venv, build/, $(OUT)/ and caches"
	@echo "Variables: PYTHON (default python3; 3.10 or newer), PIP_ARGS (more arguments for pip install), OUT (default out)"

# ---- environments: a stamp records that a step is done, so that a second run is instant

setup: $(VENV)/.stamp-dev
setup-demo: $(VENV)/.stamp-demo

$(VENV)/.stamp-demo: $(REQUIREMENTS)
	@PYTHON="$(PYTHON)" PIP_ARGS="$(PIP_ARGS)" sh tools/make_venv.sh $(VENV) cpu,export
	@touch $@

$(VENV)/.stamp-dev: $(VENV)/.stamp-demo
	@PYTHON="$(PYTHON)" PIP_ARGS="$(PIP_ARGS)" sh tools/make_venv.sh $(VENV) dev
	@touch $@

# ---- the demo

demo: setup-demo
	@echo "== 1/3 deploy: the packaged checkpoint -> ONNX -> simplified, verified -> $(OUT)/demo-bundle"
	$(BIN)/googlenet-edge deploy demo -o $(OUT)/demo-bundle --overwrite
	@echo "== 2/3 eval: accuracy on 500 scenes that training never saw"
	$(BIN)/googlenet-edge eval $(OUT)/demo-bundle 'demo:test?count=500'
	@echo "== 3/3 run: 300 frames of the moving scene, annotated, with a latency report"
	$(BIN)/googlenet-edge run $(OUT)/demo-bundle demo: --frames 300 --video $(OUT)/demo.mp4 --report $(OUT)/report.json
	@echo "== done: watch $(OUT)/demo.mp4; every figure is in $(OUT)/report.json"

# ---- checks, the quickest first

test: test-py310 test-softcuda test-main

test-main: test-host test-rest

test-host: setup
	@echo "== the host side's tests on $$($(BIN)/python -V)"
	$(BIN)/python -m pytest $(HOST_TESTS)

test-rest: setup
	@echo "== all other tests on $$($(BIN)/python -V)"
	$(BIN)/python -m pytest $(HOST_TESTS:%=--ignore=%)

# JetPack 6 has Python 3.10: what runs on a board is tested on it, with the newest packages that it can have.
test-py310:
	@python310=$$(sh tools/find_python310.sh) || { echo "== no Python 3.10 here: nothing is tested on it"; exit 0; }; \
	set -e; stamp=$(VENV310)/.stamp; \
	for file in $(REQUIREMENTS); do [ "$$file" -ot "$$stamp" ] || { rm -f "$$stamp"; break; }; done; \
	if [ ! -e "$$stamp" ]; then \
		PYTHON="$$python310" PIP_ARGS="$(PIP_ARGS)" sh tools/make_venv.sh $(VENV310) cpu,test; touch "$$stamp"; \
	fi; \
	echo "== the device side's tests on $$($(VENV310)/bin/python -V)"; \
	$(VENV310)/bin/python -m pytest $(DEVICE_TESTS) -m "not slow"

# The real pycuda and cuda-bindings on the software CUDA driver of tests/softcuda, in a process of their own: NVIDIA's
# libraries, which other tests load, must not meet that driver.
test-softcuda: setup
	@reason=$$(sh tools/find_cuda.sh 2>&1 >/dev/null) || { \
		echo "== tests/softcuda is skipped ($$reason): the GPU's side is not tested on the software CUDA driver"; exit 0; }; \
	command -v "$${CC:-cc}" >/dev/null || { \
		echo "== tests/softcuda is skipped (no C compiler named $${CC:-cc}): the GPU's side is not tested"; exit 0; }; \
	set -e; stamp=$(VENV)/.stamp-softcuda; \
	for file in $(VENV)/.stamp-dev tools/build_pycuda.sh; do [ "$$file" -ot "$$stamp" ] || { rm -f "$$stamp"; break; }; done; \
	if [ ! -e "$$stamp" ]; then PIP_ARGS="$(PIP_ARGS)" sh tools/build_pycuda.sh $(VENV); touch "$$stamp"; fi; \
	echo "== tests on the software CUDA driver, $$($(BIN)/python -V)"; \
	$(BIN)/python -m pytest tests/softcuda

# PYTHON=python3 runs them with the packages of the active environment, as on a board.
test-gpu: GPU_PYTHON = $(if $(filter command environment,$(firstword $(origin PYTHON))),$(PYTHON),$(BIN)/python)
test-gpu:
	@PYTHON="$(GPU_PYTHON)" OUT="$(OUT)" bash tools/test_gpu.sh

lint: setup
	@echo "== formatting, lint, types, import contracts, shell scripts, container files"
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/shellcheck $(SHELL_SCRIPTS)
	$(BIN)/hadolint $(CONTAINER_FILES)

check: lint test-softcuda test-main

format: setup
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean:
	rm -rf $(VENV) $(VENV310) $(OUT) build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find googlenet_edge tests tools -name __pycache__ -type d -prune -exec rm -rf {} +
