# make demo   the whole job: set up, execute the notebooks, leave runs/demo/report.html
# make lab    JupyterLab with the kernel
# make test   set up and pass every test
# make setup  only what the others need; up to date, it takes a second
PYTHON ?= python3
OUT ?= runs/demo
# More options for JupyterLab, for example LAB="--no-browser --port 8890"
LAB ?=
SHELL := /bin/bash
CACHE := $(or $(COVID_CT_CACHE),$(HOME)/.cache/covid-ct)
CLONE := $(CACHE)/kernels/$(shell printf '%s' "$(CURDIR)" | sha256sum | cut -c1-12)
# A data set given relative to this folder is found from notebooks/ as well.
ENV = source "$(CLONE)/env.sh" && if [ -n "$$COVID_CT_DATA" ]; then export COVID_CT_DATA="$$(realpath "$$COVID_CT_DATA")"; fi
# mold links in a tenth of the time; without it the system's linker does.
CARGO = $$(command -v mold >/dev/null && echo mold -run) cargo

.PHONY: setup demo lab test lint kernel-times clean
.DEFAULT_GOAL := demo

setup:
	@command -v $(PYTHON) >/dev/null || { echo "setup: Python 3.11 or newer is missing: on Debian or Ubuntu run 'sudo apt-get install python3 python3-venv'"; exit 1; }
	@$(PYTHON) scripts/setup.py

demo: setup
	@$(ENV) && python scripts/run_notebooks.py --out $(OUT)

lab: setup
	@$(ENV) && jupyter lab --notebook-dir notebooks $(LAB) $$([ "$$(id -u)" = 0 ] && echo --allow-root)

lint: setup
	@$(ENV) && cargo fmt --check && $(CARGO) clippy --locked --quiet --all-targets -- -D warnings
	@$(ENV) && RUSTDOCFLAGS="-D warnings" cargo doc --locked --quiet --no-deps --document-private-items

test: lint
	@$(ENV) && $(CARGO) test --locked

kernel-times: setup
	@$(ENV) && python scripts/kernel_times.py

clean:
	rm -rf runs cache data figures report.html report.json covid-ct
	@echo "Shared between clones, and kept: $(CACHE)"
