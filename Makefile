# `make demo` and `make test` need Python 3.11 or newer, git and gcc; everything else goes into .venv.
PYTHON   ?= $(shell command -v python3.11 || command -v python3)
VENV     ?= .venv
BIN      := $(VENV)/bin
# Torch first and by itself: one well-tested version, and one place to choose another wheel, for example
#   make demo PIP_FLAGS="--extra-index-url https://download.pytorch.org/whl/cpu"
TORCH    ?= torch==2.13.0
PIP      := $(BIN)/python -m pip --disable-pip-version-check
PIP_FLAGS ?=
CONFIGS  := fp32,16/int16,8/int8,4/int8,2/int8,1/int8,4/int4,2/int2,1/int1,w4a8,w7a7
THREADS  ?= $(shell nproc)
RUNS     ?= 30
REPORT   ?= report
# Compiling is the slow part of the tests and uses every core by itself, so few workers do.
PYTEST_FLAGS ?= -n 2 --dist loadfile

.PHONY: demo test test-all check bench accuracy search coverage docs fuzz tools emulators browser database clean help
.DEFAULT_GOAL := help

help:
	@echo "make demo   ResNet-50, float32 and 16/8/4/2/1 bits: compiled, checked, timed; table and $(REPORT)/"
	@echo "make test   the tests"
	@echo "make test-all  and those that take many minutes: every kernel of a GPU through NVRTC, every case of every table"
	@echo "make check  ruff and mypy"
	@echo "make bench  five networks beside onnxruntime and openvino, and what each technique gives, into docs/benchmarks.md;"
	@echo "            BENCH=--quick for a smoke run, BENCH=--resume to go on, BENCH='--only resnet50' for a part"
	@echo "make accuracy  top-1 over a grid of widths into docs/accuracy.md; resumes; needs LOWBIT_DATA;"
	@echo "            FLOORS=1 for the widths with limits alone, FINETUNED=1 for those after fine-tuning"
	@echo "make search  plans of mixed precision beside networks of one width, strategies compared, into docs/search.md; resumes"
	@echo "make coverage  which of a hundred other people's networks compile, into docs/networks.md; COVERAGE='--steps import'; resumes"
	@echo "make docs   docs/api.md from the docstrings"
	@echo "make fuzz   random networks against every oracle on all cores; MINUTES=60, resumes; FUZZ='--kinds graph,module' for a part"

demo: tools $(VENV)/.installed
	$(BIN)/lowbit bench resnet50 --configs $(CONFIGS) --threads $(THREADS) --runs $(RUNS) --report $(REPORT)

test: browser database tools emulators $(VENV)/.installed
	$(BIN)/python -m pytest $(PYTEST_FLAGS)

test-all: export LOWBIT_TESTS = all
test-all: test

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: tools $(VENV)/.installed-peers
	$(BIN)/python -m benchmarks.run $(BENCH)

# Accuracy over a grid of widths, hours of it: finished cells are kept, and the next call goes on.  Needs LOWBIT_DATA.
FLOORS    ?=
FINETUNED ?=
accuracy: tools $(VENV)/.installed
	$(BIN)/python -m benchmarks.$(if $(FINETUNED),finetuned,$(if $(FLOORS),floors,accuracy)) $(ACCURACY)

# Searches, their pictures and docs/search.md; studies go on where they were.  Needs LOWBIT_DATA for the pretrained networks.
search: tools $(VENV)/.installed
	$(BIN)/python -m benchmarks.search $(SEARCH)

# Networks of other people's packages, in an environment of their own; goes on where it was.
coverage: tools $(VENV)/.installed-peers
	$(BIN)/python -m benchmarks.coverage $(COVERAGE)

docs: $(VENV)/.installed
	$(BIN)/python -m benchmarks.api_page

# A venv that is already there is kept; pip then only adds what is missing.
$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "lowbit needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(PIP) install $(PIP_FLAGS) "$(TORCH)"
	$(PIP) install $(PIP_FLAGS) -e ".[dev]"
	@touch $@

$(VENV)/.installed-peers: pyproject.toml $(VENV)/.installed
	$(PIP) install $(PIP_FLAGS) -e ".[peers]"
	@touch $@

# gcc builds the small C runtime and links; objdump reads the machine code back.
tools:
	@command -v gcc >/dev/null && command -v objdump >/dev/null && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -y --no-install-recommends gcc libc6-dev binutils; \
	else echo "gcc and objdump are needed: apt-get install gcc libc6-dev binutils" >&2; exit 1; fi

# Networks for the Raspberry Pi are tested under QEMU, kernels of GPUs as C++ on the CPU.  Without QEMU and g++ those tests are
# skipped, and say so.
EMULATORS := g++ qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross llvm-19
emulators:
	@command -v g++ >/dev/null && command -v qemu-aarch64 >/dev/null && command -v aarch64-linux-gnu-gcc >/dev/null && command -v llvm-mca-19 >/dev/null && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -y --no-install-recommends $(EMULATORS) && exit 0; \
	fi; \
	echo "note: without QEMU and g++ the tests of the Raspberry Pi and of GPUs are skipped: apt-get install $(EMULATORS)" >&2

# Pages are tested in a real browser.  Without it those tests are skipped, and say so.
BROWSER := chromium chromium-driver
browser:
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -y --no-install-recommends $(BROWSER) && exit 0; \
	fi; \
	echo "note: without Chromium the tests of pages are skipped: apt-get install $(BROWSER)" >&2

# Several workers at one search are tested at a real PostgreSQL server, which the tests start.  Without it they are skipped.
database:
	@command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -y --no-install-recommends postgresql && exit 0; \
	fi; \
	echo "note: without PostgreSQL some tests of the search are skipped: apt-get install postgresql" >&2

# Random networks, hours of them: seeds, counts and findings are kept in .fuzz, and the next call goes on from there.
MINUTES ?= 60
FUZZ    ?=
fuzz: tools emulators $(VENV)/.installed
	$(BIN)/python -m tests.fuzz.campaign --minutes $(MINUTES) $(FUZZ)

clean:
	rm -rf $(REPORT) .mypy_cache .pytest_cache .ruff_cache .hypothesis
