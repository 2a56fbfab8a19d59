# Two commands: `make book` builds the site, `make test` checks everything. Both set themselves up, with all extras.
#
#   PYTHON=python3.12        another interpreter for the virtual environment
#   TORCH_ARGS="--index-url <the CPU index that pytorch.org names>"
#                            torch and torchvision without CUDA: a tenth of the download

PYTHON ?= python3
VENV ?= .venv
TORCH_ARGS ?=
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
NOTEBOOKS := $(wildcard notebooks/*.ipynb) $(wildcard book/learn/*.ipynb)
SITE := build/site
# Nothing here reaches for the network: weights are asked for by name, never fetched by surprise.
export HF_HUB_OFFLINE := 1

.PHONY: book test slow rehearse gpu-check gpu-pack gpu-campaign site notebooks lint lock clean

book: $(INSTALLED)
	rm -rf $(SITE) && mkdir -p $(SITE)/notebooks
	cp -r _config.yml _toc.yml book $(SITE)/
	printf '%s\n' $(NOTEBOOKS) | OMP_NUM_THREADS=1 xargs -P 2 -I {} sh -c 'echo "running {}" && \
		$(BIN)/papermill -k python3 --no-progress-bar --log-level ERROR {} $(SITE)/{}'
	$(BIN)/mtlkit pages $(SITE)/book/_generated
	$(BIN)/jupyter-book build --all $(SITE) --path-output build >build/book.log 2>&1 || { cat build/book.log; exit 1; }
	@echo "The book: file://$(CURDIR)/build/_build/html/index.html"

test: $(INSTALLED) lint
	$(BIN)/pytest -n 2 --dist worksteal -m "not slow" --durations=10
	MTLKIT_RESULTS=$$(mktemp -d) OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadscope --nbval \
		--nbval-kernel-name python3 --nbval-cell-timeout 900 --durations=10 notebooks book

slow: $(INSTALLED)
	$(BIN)/pytest -n 2 --dist worksteal -m slow --durations=10

# Two steps of every declared network at its full size, on the CPU, and the page of settings beside the print.
rehearse: $(INSTALLED)
	$(BIN)/python benchmarks/rehearse.py

# Ten steps of every network, five tables, losses beside the CPU's: at most six minutes on one GPU; a report in build/.
gpu-check: $(INSTALLED)
	$(BIN)/python benchmarks/gpu_check.py

# Data and weights of results/gpu.toml into build/gpu; there, its columns for so many minutes.
MINUTES ?= 12
gpu-pack gpu-campaign: $(INSTALLED)
	$(BIN)/python benchmarks/gpu_campaign.py $(if $(filter gpu-pack,$@),pack,run --minutes $(MINUTES))

lint: $(INSTALLED)
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/nbstripout --verify --keep-output --keep-count --extra-keys "$(NOTEBOOK_KEYS)" $(NOTEBOOKS)

# The site from the committed notebooks, warnings as errors; --all because an incremental build hides warnings.
site: $(INSTALLED)
	$(BIN)/mtlkit pages book/_generated --results-dir results
	$(BIN)/jupyter-book build --all -W --keep-going -n . --path-output build/committed

NOTEBOOK_KEYS := metadata.papermill cell.metadata.papermill cell.metadata.execution metadata.language_info.version

# Runs the notebooks at their defaults and puts them back the way they are committed: with published records alone.
notebooks: $(INSTALLED)
	export MTLKIT_RESULTS=$$(mktemp -d) && for notebook in $(NOTEBOOKS); do \
		$(BIN)/papermill -k python3 --no-progress-bar --log-level ERROR $$notebook $$notebook || exit 1; \
	done
	$(BIN)/nbstripout --keep-output --keep-count --extra-keys "$(NOTEBOOK_KEYS)" $(NOTEBOOKS)

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt torch torchvision $(TORCH_ARGS)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[test]"
	touch $@

# Newest versions that pyproject.toml admits, tried in a fresh environment, written down.
lock:
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/pip install -q -e ".[test]"
	{ sed -n '/^#/p' constraints.txt; build/lock/bin/pip freeze --all --exclude mtlkit --exclude pip; } > build/constraints.txt
	mv build/constraints.txt constraints.txt

clean:
	rm -rf build _build dist *.egg-info runs/smoke
