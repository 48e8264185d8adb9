# make demo   the whole job: set up, execute the notebooks, leave runs/demo/report.html
# make lab    JupyterLab with the kernel
# make test   set up and pass every test
# make test-browser  what a reader sees in JupyterLab, in Chromium; pictures under runs/browser
# make bench  compare the speed with the same work in Python
# make faults damage, kills, full disks and limits for 30 minutes, into docs/faults.md
# make fuzz   random bytes for every parser
# make setup  only what the others need; up to date, it takes a second. MPI=1 here, or in make test: also for mpirun and srun
# make clean  removes what can be made again in minutes
PYTHON ?= python3
OUT ?= runs/demo
# More options for JupyterLab, for example LAB="--no-browser --port 8890"
LAB ?=
BROWSER ?= --all
FUZZ_SECONDS ?= 3600
# MPI=1: with the feature mpi
MPI ?=
SETUP_OPTIONS = $(if $(MPI),--mpi)
FEATURES = $(if $(MPI),--features mpi)
SHELL := /bin/bash
CACHE := $(or $(COVID_CT_CACHE),$(HOME)/.cache/covid-ct)
CLONE := $(CACHE)/kernels/$(shell printf '%s' "$(CURDIR)" | sha256sum | cut -c1-12)
# A data set given relative to this folder is found from notebooks/ as well.
ENV = source "$(CLONE)/env.sh" && if [ -n "$$COVID_CT_DATA" ]; then \
	[ -d "$$COVID_CT_DATA" ] || { echo "COVID_CT_DATA=$$COVID_CT_DATA: there is no such folder"; exit 1; }; \
	export COVID_CT_DATA="$$(realpath "$$COVID_CT_DATA")"; fi

.PHONY: help setup demo lab test test-browser lint bench faults fuzz check-formats check-gpu kernel-times clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# make/make/p' Makefile
	@echo "Options: PYTHON=python3.12, OUT=runs/mine, LAB=\"--no-browser\", COVID_CT_DATA=/path/to/data. More: README.md"

setup:
	@command -v $(PYTHON) >/dev/null || { echo "setup: Python 3.11 to 3.14 is missing: on Debian or Ubuntu run 'sudo apt-get install python3 python3-venv'"; exit 1; }
	@$(PYTHON) scripts/setup.py $(SETUP_OPTIONS)

demo: SETUP_OPTIONS += --demo "$(OUT)"
demo: setup
	@$(ENV) && python scripts/run_notebooks.py --out "$(OUT)"

lab: setup
	@$(ENV) && jupyter lab --notebook-dir . --LabApp.default_url=/lab/tree/notebooks/01_dataset.ipynb $(LAB) $$([ "$$(id -u)" = 0 ] && echo --allow-root)

lint: setup
	@$(ENV) && cargo fmt --check && cargo clippy --locked --quiet --all-targets --features fuzzing $(FEATURES) -- -D warnings
	@$(ENV) && RUSTDOCFLAGS="-D warnings" cargo doc --locked --quiet $(FEATURES) --no-deps --document-private-items
	@$(PYTHON) scripts/setup.py --share

# Each integration test computes on one thread, because several of them share few cores; one more runs than there are cores,
# because some wait for a kernel. Unit tests compute as users do: on one thread convolutions round differently, and stored
# features are compared with forwarding to 1e-5.
test: lint
	@$(ENV) && python scripts/run_tests.py $(FEATURES) --lib --bins
	@$(ENV) && OMP_NUM_THREADS=1 RUST_TEST_THREADS=$$(( $$(env -u OMP_NUM_THREADS nproc) + 1 )) python scripts/run_tests.py $(FEATURES) --test main
	@$(ENV) && cargo test --locked $(FEATURES) --doc
	@$(if $(MPI),,echo "test: the tests under mpirun were not run (make test MPI=1)")
	@if command -v chromium chromium-browser google-chrome >/dev/null; then $(MAKE) --no-print-directory test-browser BROWSER=; \
	else echo "test: no Chromium on this machine, so the browser tests were not run (make test-browser)"; fi

# Every notebook by Run All, and the behaviour; BROWSER= for the behaviour alone, as in `make test`
test-browser: setup
	@$(ENV) && python -m pip install --quiet --disable-pip-version-check -r tests/browser/requirements.txt && python tests/browser --out runs/browser $(BROWSER)

# Runs the program and Python in turns, and writes docs/performance.md; BENCH="--only audit --rounds 3" for less
bench: setup
	@$(ENV) && python -m pip install --quiet --disable-pip-version-check -r benches/requirements.txt && python benches/bench.py $(BENCH)

# Every trial is judged: FAULTS="--minutes 5", or the command of a failure to repeat it
faults: setup
	@$(ENV) && python scripts/faults --out docs/faults.md $(FAULTS)

# Each target for FUZZ_SECONDS; FUZZ="pickle names" for some
fuzz: setup
	@$(ENV) && python fuzz/run.py --seconds $(FUZZ_SECONDS) $(FUZZ)

# Compares the values read from DICOM, NIfTI, NRRD and MetaImage with pydicom, nibabel and SimpleITK; FILES="folder …" for others
check-formats: setup
	@$(ENV) && python -m pip install --quiet --disable-pip-version-check -r benches/requirements.txt && python benches/conformance.py $(FILES)

# Compares a training on a GPU with the same on the CPU; CHECK="--networks fcn" for less
check-gpu: setup
	@$(ENV) && python scripts/check_gpu.py $(CHECK)

kernel-times: setup
	@$(ENV) && python scripts/kernel_times.py

# Removes what can be made again in minutes; runs/ and data/ stay.
clean:
	rm -rf runs/demo cache data/phantom figures report.html report.json covid-ct
	@echo "Kept: runs/, data/, and what clones share: $(CACHE)"
