# Every command of the project, from a fresh machine on. `make help` lists them.
STUDY ?= fashion_mnist
SEEDS ?=
JOBS ?=
STEPS ?=
ROOT ?=
LADDER ?=
CLUSTER ?=
DESIGN ?=
OPTIONS ?=
TRACKING ?=
N ?=
STEP ?=
WITH ?=
CPU ?=
INDEX ?=
LOCK ?=
unexport STUDY SEEDS JOBS STEPS ROOT LADDER CLUSTER DESIGN OPTIONS TRACKING N STEP WITH CPU INDEX LOCK  # to export is to expand
PYTHON ?= python3
BIN := .venv/bin
# A variable as one word of the shell, and each word of one, whatever they hold: nothing in them is run.
option = $(if $(value $(2)),'$(1)=$(subst ','\'',$(value $(2)))')
options = $(foreach item,$(value $(1)),'$(subst ','\'',$(item))')
FILES = $(call option,data.root,ROOT) $(call options,OPTIONS)
STUDY_WORD = $(call option,study,STUDY)
WORDS = $(STUDY_WORD) $(call option,seeds,SEEDS) $(call option,jobs,JOBS) $(call option,steps,STEPS) $(call option,cluster,CLUSTER) \
  $(call option,study.ladder,LADDER) $(call option,design,DESIGN) $(call option,tracking,TRACKING) $(FILES)
SLURM := slurmctld slurmd slurm-client munge
INSTALL = $(BIN)/python -m pip install $(if $(value LOCK),-c requirements.lock)
INDEX_WORDS = $(if $(value INDEX),--extra-index-url '$(subst ','\'',$(value INDEX))' )

.SILENT:
.DEFAULT_GOAL := help
.PHONY: help setup data data-check roadmap plan costs collate plot publish push view test test-slow test-slurm test-gpu test-view chaos
.PHONY: lint bench bench-data profile wheel clean

help: ## show this list
	grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'
	echo "  Variables: STUDY=imagenet SEEDS=3 JOBS=2 STEPS=gelu,layer_norm ROOT=/path/to/images CLUSTER=slurm"
	echo "  LADDER=mobile DESIGN=add_one TRACKING=wandb OPTIONS=\"key=value ...\" WITH=slurm,wandb CPU=1 LOCK=1"

# LOCK=1: the versions behind the committed results.
setup: .venv/installed ## install into .venv what running needs (CPU=1: without CUDA; WITH=slurm,wandb,...)
	$(if $(value WITH),$(INSTALL) -e '.[$(subst ','\'',$(value WITH))]')

.venv/installed: pyproject.toml
	echo "setup: installing into .venv, 6 GB and one to six minutes (CPU=1: without CUDA, 1.3 GB)"
	$(PYTHON) -m venv .venv
	$(if $(value CPU),$(INSTALL) --no-deps $(INDEX_WORDS)torch torchvision)
	$(INSTALL) -e .
	$(if $(value CPU),$(BIN)/python -c 'import torch; raise SystemExit(torch.version.cuda is not None)' || \
	  echo "setup: no CPU build of torch was found; the usual one is installed (INDEX=URL of an index that has it)")
	touch $@
	echo "setup: done, $$(du -sh .venv | cut -f1) in .venv; tests and tools come with make test"

.venv/installed-dev: .venv/installed
	echo "setup: adding what tests and tools need, 0.7 GB"
	$(INSTALL) -e '.[dev]'
	touch $@

# If a step fails, the others are trained, its row stays empty, the reason is said last, and the exit code is 1.
roadmap: setup ## replay the ablation: train every step of the study, then make the table and the figure
	$(BIN)/python scripts/sweep.py $(WORDS); swept=$$?; [ $$swept -le 1 ] || exit $$swept; \
	$(BIN)/python scripts/collate.py $(WORDS) && $(BIN)/python scripts/plot.py $(WORDS) \
	  $(if $(value TRACKING),&& $(BIN)/python scripts/push.py $(WORDS) only=ladder); made=$$?; \
	[ $$swept = 0 ] || { $(BIN)/python scripts/sweep.py status $(WORDS); exit 1; }; exit $$made

data: setup ## prepare the study's data: download, unpack or index it
	$(BIN)/python scripts/fetch_data.py $(STUDY_WORD) $(FILES)

data-check: setup ## check every image of the study's data
	$(BIN)/python scripts/check_data.py $(STUDY_WORD) $(FILES)

plan: setup ## estimate the cost of a sweep: hours, disk, energy, money (OPTIONS=devices=8)
	$(BIN)/python scripts/plan.py $(WORDS)

costs: setup ## parameters and multiply-adds of every step, next to the paper's
	$(BIN)/python scripts/costs.py

collate: setup ## make the table of a study from its results
	$(BIN)/python scripts/collate.py $(WORDS)

plot: setup ## draw the figure of a study from its table
	$(BIN)/python scripts/plot.py $(WORDS)

publish: setup ## write results, table and figure of a study to results/published, which is committed
	$(BIN)/python scripts/publish.py $(WORDS)

push: setup ## send a study to Weights & Biases from its local files (or TRACKING=tensorboard)
	$(BIN)/python scripts/push.py $(WORDS) $(if $(value TRACKING),,tracking=wandb)

view: setup ## build the report of a study, results/<study>/index.html, and open it
	$(BIN)/python scripts/view.py $(WORDS)

test: .venv/installed-dev ## run the fast tests
	$(BIN)/python -m pytest -n 2 --dist loadgroup

test-slow: .venv/installed-dev ## run the slow tests and those on SLURM
	$(BIN)/python -m pytest -m slow
	$(MAKE) test-slurm

# Installs Debian's packages if they are missing. The test starts its own daemons, on loopback, and stops them.
test-slurm: .venv/installed-dev ## run sweeps on a SLURM of one node
	export PATH=$$PATH:/usr/sbin; { command -v slurmctld && command -v slurmd && command -v munged && command -v srun; } >/dev/null || \
	  { [ $$(id -u) = 0 ] && apt-get update -qq && apt-get install -y --no-install-recommends $(SLURM); } || \
	  { echo "test-slurm: as root, or after apt-get install $(SLURM)" >&2; exit 2; }
	$(BIN)/python -m pytest -m slurm

test-gpu: .venv/installed-dev ## run the tests that need a GPU, on the first one
	$(BIN)/python -m pytest -m gpu

test-view: .venv/installed-dev ## test the report in Chromium
	command -v chromium >/dev/null || \
	  { [ $$(id -u) = 0 ] && apt-get update -qq && apt-get install -y --no-install-recommends chromium; } || \
	  { echo "test-view: as root, or after apt-get install chromium" >&2; exit 2; }
	$(BIN)/python -m pytest -m browser tests/test_view.py

# The picture of the README.
docs/report.png: .venv/installed-dev
	$(BIN)/python scripts/view.py $(WORDS) screenshot=$@

chaos: setup ## inject faults into sweeps at random moments (N=200); they must end with the same numbers
	PYTHONPATH=.:tests $(BIN)/python -m chaos $(or $(call option,n,N),n=200)

lint: .venv/installed-dev ## run ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

FEW := steps=resnet,increase_width,large_kernel,separate_downsampling,layer_scale
BOTH := precision=float32,bfloat16
bench: setup ## training steps against a baseline: the main sequence at 32 pixels, five steps at 224
	$(BIN)/python benchmarks/steps.py $(or $(call options,OPTIONS),$(BOTH)) $(call option,steps,STEPS)
	$(if $(value OPTIONS),,$(BIN)/python benchmarks/steps.py regime=resnet50 batch=8 $(BOTH) $(or $(call option,steps,STEPS),$(FEW)))

profile: setup ## the ten most expensive operators of a training step (STEP=gelu)
	$(BIN)/python benchmarks/profile_step.py $(or $(call option,step,STEP),step=separate_downsampling) $(call options,OPTIONS)

bench-data: setup ## images per second of one core, in memory or from files, against torchvision and timm
	$(BIN)/python benchmarks/data.py $(STUDY_WORD) +step=training_recipe $(FILES)

wheel: setup ## build dist/*.whl, which runs as python -m roadmap
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean: ## remove caches; runs, results, data and .venv stay
	rm -rf .pytest_cache .mypy_cache .ruff_cache
