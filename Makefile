# SPDX-License-Identifier: Apache-2.0
# A few targets in front of Meson and Ninja.
BUILD ?= build
prefix ?= /usr/local
CROFT = $(BUILD)/src/cli/croft

.PHONY: all deps demo check check-sanitize bench fuzz install clean

all: deps
	@test -f $(BUILD)/build.ninja || meson setup --prefix $(prefix) $(BUILD)
	@ninja -C $(BUILD)

deps:
	@sh scripts/deps.sh

demo: all
	@bash scripts/demo.sh $(CROFT)

check: all
	@bash scripts/check.sh --unit $(BUILD) --system $(CROFT)

check-sanitize: deps
	@test -f $(BUILD)-sanitize/build.ninja || \
		meson setup -Db_sanitize=address,undefined -Db_lundef=false $(BUILD)-sanitize
	@ninja -C $(BUILD)-sanitize
	@bash scripts/check.sh --unit $(BUILD)-sanitize

bench: all
	@bash tests/bench/run $(CROFT)

fuzz: deps
	@test -f $(BUILD)-fuzz/build.ninja || \
		CC=clang meson setup -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false $(BUILD)-fuzz
	@ninja -C $(BUILD)-fuzz
	@bash scripts/fuzz.sh $(BUILD)-fuzz

install: all
	@meson configure $(BUILD) -Dprefix=$(prefix)
	@meson install -C $(BUILD) $(if $(DESTDIR),--destdir $(abspath $(DESTDIR)))

clean:
	rm -rf $(BUILD) $(BUILD)-sanitize $(BUILD)-fuzz
