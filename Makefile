# SPDX-License-Identifier: Apache-2.0
# A few targets in front of Meson and Ninja.
BUILD ?= build
prefix ?= /usr/local
CROFT = $(BUILD)/src/cli/croft

.PHONY: all deps deps-tests deps-bench demo check check-sanitize check-valgrind check-thread check-clang bench fuzz install clean

all: deps
	@test -f $(BUILD)/build.ninja || meson setup --prefix $(prefix) $(BUILD)
	@ninja -C $(BUILD)

deps:
	@sh scripts/deps.sh

deps-tests:
	@sh scripts/deps.sh --tests

deps-bench:
	@sh scripts/deps.sh --bench

demo: all
	@bash scripts/demo.sh $(CROFT)

check: deps-tests all
	@bash scripts/check.sh --unit $(BUILD) --system $(CROFT)

check-sanitize: deps-tests
	@test -f $(BUILD)-sanitize/build.ninja || \
		meson setup -Db_sanitize=address,undefined -Db_lundef=false $(BUILD)-sanitize
	@ninja -C $(BUILD)-sanitize
	@bash scripts/check.sh --unit $(BUILD)-sanitize

check-valgrind: deps-tests all
	@bash scripts/check.sh --valgrind $(BUILD)

# Where threads are used: the store, two writers and a gc in one process among it.
check-thread: deps-tests
	@test -f $(BUILD)-thread/build.ninja || \
		meson setup -Db_sanitize=thread -Db_lundef=false $(BUILD)-thread
	@ninja -C $(BUILD)-thread $(patsubst %,tests/unit/store/test_store_%,gate paths copies sets)
	@bash scripts/check.sh --thread $(BUILD)-thread

# Whether everything builds with the other compiler too.
check-clang: deps-tests
	@test -f $(BUILD)-clang/build.ninja || CC=clang meson setup $(BUILD)-clang
	@ninja -C $(BUILD)-clang
	@bash scripts/check.sh --unit $(BUILD)-clang

bench: deps-bench all
	@bash tests/bench/run $(CROFT)

fuzz: deps-tests
	@test -f $(BUILD)-fuzz/build.ninja || \
		CC=clang meson setup -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false $(BUILD)-fuzz
	@ninja -C $(BUILD)-fuzz
	@bash scripts/fuzz.sh $(BUILD)-fuzz

install: all
	@meson configure $(BUILD) -Dprefix=$(prefix)
	@meson install -C $(BUILD) $(if $(DESTDIR),--destdir $(abspath $(DESTDIR)))

clean:
	rm -rf $(BUILD) $(BUILD)-sanitize $(BUILD)-thread $(BUILD)-clang $(BUILD)-fuzz
