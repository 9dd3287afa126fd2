# The front door; CMake and Ninja do the work.
#
#   make            build/trireme
#   make demo       set up, build, fetch a real model, ask it QUESTION
#   make test       unit, fuzz-corpus and end-to-end tests, the first two under ASan and UBSan as well
#   make bench      what bench/ measures, on this machine
#   make bench-cpu  prefill and decode as shares of this CPU's limits; beside llama.cpp with LLAMA_CPP=DIRECTORY
#   make bench-gpu  decode steps and first tokens on a GPU, beside vLLM's figures and torch.compile
#   make tidy       formatting, layers, clang-tidy
#   make format     clang-format in place
#   make fuzz       every fuzz target for FUZZ_SECONDS (60)
#   make install    into PREFIX (/usr/local), below DESTDIR
#   make clean      what was built; `make distclean` also the fetched model and Python modules

PREFIX ?= /usr/local
PRESET ?= release
FUZZ_SECONDS ?= 60
QUESTION ?= What is a black hole, in one sentence?
export QUESTION

BUILD := $(if $(filter release,$(PRESET)),build,build/$(PRESET))

.PHONY: all configure demo model test bench bench-cpu bench-gpu tidy format fuzz install clean distclean
all: configure
	@cmake --build $(BUILD)

configure: | bootstrap-demo
	@test -f $(BUILD)/build.ninja || \
	    cmake --preset $(PRESET) -DCMAKE_INSTALL_PREFIX=$(PREFIX) --log-level=WARNING

.PHONY: bootstrap-demo bootstrap-test bootstrap-develop
bootstrap-demo bootstrap-test bootstrap-develop:
	@tools/bootstrap.sh $(@:bootstrap-%=%)

model: | bootstrap-demo
	@tools/fetch_model.sh

demo: all model
	@tools/demo.sh "$$QUESTION"

test: | bootstrap-test
	@tools/test.sh

bench: all model
	@tools/bench.sh

bench-cpu: all model
	@bench/cpu.sh $(if $(LLAMA_CPP),--llama_cpp $(LLAMA_CPP)) $(BENCH_OPTIONS)

bench-gpu: all
	@python3 bench/gpu.py --torch --out bench/results/gpu.csv

tidy: | bootstrap-develop
	@tools/tidy.sh

format: | bootstrap-develop
	@git ls-files '*.c' '*.h' | xargs clang-format -i

fuzz: | bootstrap-develop
	@tools/fuzz.sh $(FUZZ_SECONDS)

install: all
	@cmake --install $(BUILD) --prefix $(PREFIX)
	@[ -n "$(DESTDIR)" ] || [ "$$(id -u)" != 0 ] || /sbin/ldconfig # or /usr/local/lib is not found

clean:
	@mkdir -p build && cd build && \
	    find . -mindepth 1 -maxdepth 1 ! -name models ! -name oracles ! -name venv -exec rm -rf {} +

distclean:
	rm -rf build
