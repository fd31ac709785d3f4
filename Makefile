# Variables to set on the command line: make reproduce DATASETS="imdb yelp" SEEDS="0 1 2" SET="train_size=1024"
PROFILE  ?= laptop
DATASETS ?= $(if $(filter paper,$(PROFILE)),newsgroup dbpedia arxiv yahoo patent yelp agnews imdb amazon,newsgroup)
SEEDS    ?= 0
SET      ?=
PYTHON   ?= python3
OFFLINE  ?=
ENGINE   ?=
SCHEDULER ?=
WORKERS  ?=
EPOCHS_OF ?= $(if $(filter file,$(origin DATASETS)),newsgroup imdb agnews,$(DATASETS))

VENV  := .venv
RUN   := $(VENV)/bin/python -m paperlib
STAMP := $(VENV)/.installed
INSTALLED = $(STAMP) $(if $(filter dask,$(ENGINE)),$(VENV)/.cluster)
# The shell must not read what they hold: SET='data_dir="my data"' keeps its space, and so on.
quoted = '$(subst ','\'',$1)'
each   = $(foreach item,$1,$(call quoted,$(item)))
study  = --profile $(call quoted,$(PROFILE)) --datasets $(call each,$1) --seeds $(call each,$(SEEDS)) \
	$(if $(strip $(SET)),--set $(call quoted,$(SET)))
STUDY  = $(call study,$(DATASETS))
ON = $(if $(strip $(ENGINE)),--engine $(call quoted,$(ENGINE))) $(if $(strip $(SCHEDULER)),--scheduler $(call quoted,$(SCHEDULER)))

# What each target heeds of what is typed beside it: another name, misspelt or another target's, would be taken for nothing.
STUDY_HEEDS := PROFILE DATASETS SEEDS SET
ALL_HEED    := PYTHON OFFLINE VENV SHELL MAKE MAKEFLAGS
HEEDS_env       := ENGINE
HEEDS_reproduce := $(STUDY_HEEDS) ENGINE SCHEDULER
HEEDS_figures   := $(STUDY_HEEDS)
HEEDS_plan      := $(STUDY_HEEDS) WORKERS
HEEDS_epochs    := $(STUDY_HEEDS) ENGINE SCHEDULER EPOCHS_OF
HEEDS_check     := $(STUDY_HEEDS)
HEEDS_bench     := $(STUDY_HEEDS) DEVICE REPEATS SHAPES PARTS
HEEDS_compress  := PROFILE SEEDS SET MODEL DATA KEEP LATENCY_MS MAX_DROP OUT VOCABULARY
HEEDS_compare   := $(STUDY_HEEDS) WITH
HEEDS_reference := $(STUDY_HEEDS) ONLY
HEEDS_bundle    := $(STUDY_HEEDS) ENGINE PYTHON_VERSION
HEEDS_help      := $(STUDY_HEEDS)

GOALS  := $(or $(MAKECMDGOALS),help)
HEEDED := $(sort $(foreach goal,$(GOALS),$(HEEDS_$(goal))))
# Of what is heeded, what begins as the name does, in capitals or not, or the other way round.
near_to = $(firstword $(filter $1%,$(HEEDED)) $(foreach name,$(HEEDED),$(if $(filter $(name)%,$1),$(name))))
near    = $(call near_to,$(shell printf %s $(call quoted,$1) | tr a-z A-Z))
there   = it takes $(patsubst %,%=,$(HEEDED) PYTHON OFFLINE)$(if $(filter SET,$(HEEDED)),; parameters go into SET="name=value")
refuse  = $(error $(GOALS): takes no $1=; $(or $(patsubst %,did you mean %=?,$(near)),$(there)))
# What a make around this one was told is no slip.
ifeq ($(MAKELEVEL),0)
$(foreach name,$(filter-out $(ALL_HEED) $(HEEDED),$(.VARIABLES)),$(if $(filter command,$(origin $(name))),$(call refuse,$(name))))
endif

# Where there is no network, pip reads the folder that `make bundle` filled, and nobody asks the hub.
ifneq ($(strip $(OFFLINE)),)
export PIP_NO_INDEX    := 1
export PIP_FIND_LINKS  := file://$(subst $() ,%20,$(CURDIR))/bundle/wheels
export HF_HUB_OFFLINE  := 1
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help env reproduce smoke test lab figures plan epochs check bench compress compare reference bundle torture doctor clean distclean

help: ## Show this help
	@echo 'Usage: make TARGET [PROFILE=$(PROFILE)] [DATASETS="$(DATASETS)"] [SEEDS="$(SEEDS)"] [SET="name=value ..."]'
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: $(INSTALLED) ## Install the pinned packages into .venv, once (PYTHON=python3 chooses the interpreter; ENGINE=dask: those of a cluster, too)

reproduce: $(INSTALLED) ## Run every experiment of PROFILE, then write outputs/PROFILE/index.html (ENGINE=dask SCHEDULER=tcp://...)
	@$(RUN) reproduce $(STUDY) $(ON)

smoke: $(STAMP) ## Run everything on a tiny random model in about two minutes (not a result)
	@$(RUN) reproduce --profile smoke

test: $(STAMP) ## Run the tests, on all cores; then those that need a GPU, where there is one
	@$(VENV)/bin/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder
	@! $(VENV)/bin/python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' || PAPERLIB_GPU=1 $(VENV)/bin/python -m pytest -m gpu

torture: $(STAMP) ## Kill a smoke study a hundred times, damage a made-up one two thousand times, export every family (an hour)
	@PAPERLIB_KILLS=100 PAPERLIB_EVERY_FAMILY=1 $(VENV)/bin/python -m pytest tests/test_faults.py tests/test_whole.py tests/test_compress.py -k 'killed or whole or onnx'

lab: $(STAMP) ## Open copies of the notebooks in JupyterLab, on this computer only
	@unset MAKELEVEL; $(VENV)/bin/python -m paperlib.driver.lab

figures: $(STAMP) ## Redraw figures, tables and report from stored numbers, without training
	@$(RUN) figures $(STUDY)

plan: $(STAMP) ## Say how many fine-tunes, how long and how much disk a run would take here (WORKERS=64: on a cluster)
	@$(RUN) plan $(STUDY) $(if $(strip $(WORKERS)),--workers $(call quoted,$(WORKERS)))

epochs: $(INSTALLED) ## Is it under-training? The study of three datasets, then 12_epochs: two of its walks under other epochs and learning rates
	@$(RUN) reproduce $(call study,$(EPOCHS_OF)) --set training_axis=true $(ON)

check: $(STAMP) ## Say whether the outputs of PROFILE are fresh; fail if any is stale
	@$(RUN) check $(STUDY)

bench: $(STAMP) ## Time the study beside a plain version, here (DEVICE=cuda REPEATS=3 SHAPES=bert-base PARTS="unit subsets")
	@$(RUN) bench --profile $(call quoted,$(PROFILE)) --datasets $(call quoted,$(firstword $(DATASETS))) \
		--seeds $(call quoted,$(firstword $(SEEDS))) \
		$(if $(strip $(SET) $(DEVICE)),--set $(call quoted,$(strip $(SET) $(DEVICE:%=device=%)))) \
		$(if $(REPEATS),--repeats $(call quoted,$(REPEATS))) $(if $(SHAPES),--shapes $(call quoted,$(SHAPES))) \
		$(if $(PARTS),--parts $(call each,$(PARTS)))

compress: $(STAMP) ## Make a classifier of yours smaller: MODEL=folder DATA=file [KEEP=4 | LATENCY_MS=3 | MAX_DROP=1] [OUT=folder] [VOCABULARY=used]
	@$(if $(word 2,$(SEEDS)),$(error compress: takes one seed, not SEEDS="$(SEEDS)"))\
		$(RUN) compress --profile $(call quoted,$(PROFILE)) --seed $(call quoted,$(firstword $(SEEDS))) \
		$(if $(strip $(SET)),--set $(call quoted,$(SET))) \
		$(if $(MODEL),--model $(call quoted,$(MODEL))) $(if $(DATA),--data $(call quoted,$(DATA))) \
		$(if $(KEEP),--keep $(call quoted,$(KEEP))) $(if $(LATENCY_MS),--latency-ms $(call quoted,$(LATENCY_MS))) \
		$(if $(MAX_DROP),--max-drop $(call quoted,$(MAX_DROP))) $(if $(OUT),--out $(call quoted,$(OUT))) \
		$(if $(VOCABULARY),--vocabulary $(call quoted,$(VOCABULARY)))

compare: $(STAMP) ## Lay the run beside another one, the reference or WITH=outputs/bf16/laptop: what differs, and by how much
	@$(RUN) compare $(STUDY) $(if $(WITH),--with $(call quoted,$(WITH)))

reference: $(STAMP) ## Keep finished units and executed notebooks in outputs/reference, and show them (ONLY=numbers, ONLY=notebooks); ONLY=drawings: draw them anew
	@$(RUN) reference $(STUDY) $(if $(ONLY),--only $(call quoted,$(ONLY)))

bundle: $(STAMP) ## Gather packages, models and data in bundle/ for a machine without network (PYTHON_VERSION=3.12 ENGINE=dask); OFFLINE=1 uses it
	@$(RUN) bundle $(STUDY) $(if $(strip $(ENGINE)),--engine $(call quoted,$(ENGINE))) $(if $(PYTHON_VERSION),--python-version $(call quoted,$(PYTHON_VERSION)))

doctor: ## Check Python, packages, memory, disk, GPU and network, and say what to do
	@$(or $(wildcard $(VENV)/bin/python),$(PYTHON)) -m paperlib.driver.doctor

clean: ## Remove smoke outputs and caches of tools; keep results and .venv
	rm -rf outputs/smoke .pytest_cache build *.egg-info
	find paperlib tests notebooks -name __pycache__ -prune -exec rm -rf {} + -o \
		-name .ipynb_checkpoints -prune -exec rm -rf {} +

distclean: clean ## Remove .venv, downloads, model weights and every result but outputs/reference too
	rm -rf $(VENV) .cache
	find outputs -mindepth 1 -maxdepth 1 ! -name reference -exec rm -rf {} +

# Written last, so that an interrupted installation is taken up again.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null || \
		{ echo 'make: $(PYTHON) is missing, or none of Python 3.11 to 3.14, which requirements.lock is for: name another with PYTHON=...' >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo 'make: $(PYTHON) lacks venv or ensurepip: install them (Debian, Ubuntu: the package python3-venv)' >&2; exit 2; }
	@echo 'Installing the environment into $(VENV): once, a few minutes.'
	@$(VENV)/bin/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.cluster: requirements-cluster.lock $(STAMP)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements-cluster.lock
	@touch $@
