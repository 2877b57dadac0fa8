# SPDX-License-Identifier: GPL-2.0
#
# Where one starts: `make help` says what there is. The recipes are short; the work
# is done by scripts/, qemu/ and the folders' own Makefiles. Everything built goes
# under build/. It must never install anything on this machine but what it says
# first (build tools, headers, QEMU), and `make install` what it lists.

PREFIX	?= /usr/local
DESTDIR	?=
# The kernel to build the module for; empty: see scripts/host-module.
KERNELRELEASE ?=

# Shared with the library, which installs itself.
export PREFIX DESTDIR

UDEVDIR		:= $(DESTDIR)$(PREFIX)/lib/udev/rules.d
SYSUSERSDIR	:= $(DESTDIR)$(PREFIX)/lib/sysusers.d

all: module library headers ## build the module and the library

help: ## this text
	@awk -F '## ' '/^[a-z-]+:.*## / { sub(":.*", "", $$1); printf "make %-12s %s\n", $$1, $$2 }' Makefile

setup:
	@scripts/setup build vm

module: setup ## build the module (KERNELRELEASE=, default: what this machine has headers of)
	@scripts/host-module $(KERNELRELEASE)

library: setup ## build the library
	@$(MAKE) -s -C libLwc

headers: setup
	@scripts/check-headers

tests: setup library ## build the test programs
	@scripts/kselftest
	@$(MAKE) -s -C selftests

demo: setup ## see a web server forget every request (in a virtual machine)
	@examples/nginx/demo/run

check: setup ## all tests, on all three kernels, in virtual machines
	@scripts/check

check-long: setup ## the same, with the tests that take hours
	@scripts/check --long

bench: tests ## what things cost, in instructions (in a virtual machine; BENCH=KERNEL...)
	@selftests/bench/run $(BENCH)

bench-check: tests ## the same, and fail when something has become worse
	@selftests/bench/run --check $(BENCH)

bench-docs: ## put what `make bench` has measured into docs/: figures, charts, tables
	@selftests/bench/docs

bench-host: ## what things cost on this very machine, in ns (loads the module, after asking)
	@selftests/bench/host

bench-nginx: setup ## what a request of nginx costs, beside other ways to forget it
	@examples/nginx/bench/run

# The module's release is known only when it is built, hence $$(cat).
install: all ## install all of it (DESTDIR= PREFIX= KERNELRELEASE=)
	@$(MAKE) -s -C libLwc install
	install -d $(UDEVDIR) $(SYSUSERSDIR)
	install -m 644 packaging/60-lwc.rules $(UDEVDIR)/60-lwc.rules
	install -m 644 packaging/lwc.sysusers $(SYSUSERSDIR)/lwc.conf
	@release=$$(cat build/host/release); set -x; \
	install -D -m 644 build/host/lwc.ko $(DESTDIR)/lib/modules/$$release/updates/lwc.ko
	@scripts/after-install

uninstall: ## remove what install put there (with the same settings)
	@$(MAKE) -s -C libLwc uninstall
	rm -f $(UDEVDIR)/60-lwc.rules $(SYSUSERSDIR)/lwc.conf
	rm -f $(DESTDIR)/lib/modules/$(or $(KERNELRELEASE),*)/updates/lwc.ko
	@scripts/after-install

dkms: ## have dkms(8) build the module for each kernel, now and later (DESTDIR=: its source only)
	@scripts/dkms add

dkms-remove: ## and no longer
	@scripts/dkms remove

clean: ## remove build/ (downloads and the debug kernel stay in the cache)
	rm -rf build

.PHONY: all help setup module library headers tests demo check check-long bench bench-check \
	bench-docs bench-host bench-nginx install uninstall dkms dkms-remove clean
