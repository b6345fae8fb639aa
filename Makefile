# Everything is built and run in a Debian 13 root: outside of one, each goal is handed to ./in-root.
# "make help" lists the goals.

.DEFAULT_GOAL := all
DIRECT_GOALS := help clean root-clean

ifneq ($(HUISCLOS_IN_ROOT),1)
# ---------------------------------------------------------------- outside: delegate

GOALS := $(filter-out $(DIRECT_GOALS),$(or $(MAKECMDGOALS),all))
.PHONY: $(MAKECMDGOALS) all
ifneq ($(GOALS),)
$(firstword $(GOALS)):
	+@./in-root $(MAKE) --no-print-directory HUISCLOS_IN_ROOT=1 $(GOALS)
$(wordlist 2,$(words $(GOALS)),$(GOALS)): $(firstword $(GOALS))
	@:
endif

else
# ---------------------------------------------------------------- inside: build

# FLAVOUR: release (default), san (ASan + UBSan), fuzz (libFuzzer + ASan + UBSan, clang)
FLAVOUR ?= release
B := build$(if $(filter-out release,$(FLAVOUR)),/$(FLAVOUR))

LIBRARIES := openssl liburing libseccomp libbpf libmicrohttpd yyjson lmdb libcurl libsrtp2 opus vpx speexdsp
PKG_CFLAGS := $(shell pkg-config --cflags $(LIBRARIES))
VERSION := $(shell git describe --always --dirty 2>/dev/null || echo unknown)

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wvla \
	-Wformat=2 -Werror=format-security -Wimplicit-fallthrough -Wundef -Wpointer-arith -Wwrite-strings
# The compiler options hardening guide of the OpenSSF.
HARDENING := -fstack-protector-strong -fcf-protection=full -ftrivial-auto-var-init=zero \
	-fno-delete-null-pointer-checks -fno-strict-overflow -fno-strict-aliasing
CFLAGS := -std=gnu17 -g -fPIE -pthread -I. -Ibuild/include -D_GNU_SOURCE $(WARNINGS) $(HARDENING) $(PKG_CFLAGS)
LDFLAGS := -pie -pthread -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,--as-needed -Wl,--no-copy-dt-needed-entries

ifeq ($(FLAVOUR),release)
CC := gcc
CFLAGS += -O2 -D_FORTIFY_SOURCE=3 -fstack-clash-protection -Wtrampolines -Wbidi-chars=any
else
CC := clang
SAN := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
ifeq ($(FLAVOUR),fuzz)
SAN += -fsanitize=fuzzer-no-link
endif
CFLAGS += -O1 $(SAN)
LDFLAGS += $(SAN)
endif

# One short line for each step; V=1 shows whole commands.
ifeq ($(V),)
.SILENT:
say = echo '  $(1) $(patsubst $(B)/%,%,$@)'
else
say = :
endif

# A program is one file with main() beside the library of its folder; everything else in a folder is library.
PROGRAM_tcs := relay/tcs.c
PROGRAM_tcsctl := relay/tcsctl.c
PROGRAM_huisclos-loader := kernel-bpf/loader.c
PROGRAM_tmms := mgmt/tmms.c
PROGRAM_tmmsctl := mgmt/tmmsctl.c
PROGRAM_huisclos-mux := mgmt/huisclos-mux.c
PROGRAM_tcc-cli := client/cli/tcc-cli.c
PROGRAM_NAMES := tcs tcsctl huisclos-loader tmms tmmsctl huisclos-mux tcc-cli
MAINS := $(foreach p,$(PROGRAM_NAMES),$(PROGRAM_$(p)))

sources = $(filter-out %.bpf.c $(MAINS),$(sort $(shell find $(1) -name '*.c' 2>/dev/null)))
objects = $(patsubst %.c,$(B)/obj/%.o,$(1))

LIB_base := $(call objects,$(call sources,base))
LIB_loader := $(call objects,$(call sources,kernel-bpf))
LIB_relay := $(call objects,$(call sources,relay))
LIB_mgmt := $(call objects,$(call sources,mgmt))
LIB_engine := $(call objects,$(call sources,client/engine))
LIB_cli := $(call objects,$(call sources,client/cli))

NEEDS_tcs := relay base
NEEDS_tcsctl := relay base
NEEDS_huisclos-loader := loader base
NEEDS_tmms := mgmt base
NEEDS_tmmsctl := mgmt base
NEEDS_huisclos-mux := mgmt base
NEEDS_tcc-cli := cli engine base

LINK_base := $(shell pkg-config --libs openssl libsrtp2)
LINK_relay := $(shell pkg-config --libs liburing libcurl yyjson libseccomp)
LINK_mgmt := $(shell pkg-config --libs libmicrohttpd yyjson lmdb libcurl)
LINK_engine := $(shell pkg-config --libs libcurl yyjson opus vpx speexdsp) -lm
LINK_cli :=
LINK_bpf := $(shell pkg-config --libs libbpf)
LINK_huisclos-loader := $(LINK_bpf)

BINARIES := $(addprefix $(B)/bin/,$(foreach p,$(PROGRAM_NAMES),$(if $(wildcard $(PROGRAM_$(p))),$(p))))

# A test links the libraries of the area in its name (test_relay_x, fuzz_mgmt_y), the client's if it names
# none, and the fakes of that area: areas may use the same names inside.
AREAS := base bpf relay mgmt client
area = $(firstword $(foreach a,$(AREAS),$(if $(findstring _$(a)_,_$(1)_),$(a))) client)
AREA_base := base
AREA_bpf := relay base
AREA_relay := relay base
AREA_mgmt := mgmt base
AREA_client := cli engine base
archives = $(foreach l,$(AREA_$(call area,$(1))),$(B)/lib$(l).a)
links = $(foreach l,$(AREA_$(call area,$(1))) $(filter bpf,$(call area,$(1))),$(LINK_$(l))) $(LINK_base) -lm
fakes = $(call objects,$(wildcard tests/fake/$(call area,$(1))_*.c))
UNIT_TESTS := $(patsubst tests/unit/%.c,$(B)/tests/%,$(wildcard tests/unit/test_*.c))
TEST_TOOLS := $(patsubst tests/tools/%.c,$(B)/tests/%,$(wildcard tests/tools/*.c))
FUZZERS := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

.PHONY: all bin tests fuzzers
all: bin tests
bin: $(BINARIES)
tests: bin $(UNIT_TESTS) $(TEST_TOOLS) $(B)/tests/bench_relay
fuzzers: $(FUZZERS)

# Programs for the kernel, and a header with the object in it for whoever loads them.
BPF := $(wildcard kernel-bpf/*.bpf.c)
SKELETONS := $(patsubst %.bpf.c,build/include/%.skel.h,$(BPF))
BPF_CFLAGS := -target bpf -mcpu=v3 -O2 -g -std=gnu17 -ffreestanding -I. -Wall -Wextra -Werror -Wno-unused-parameter \
	-I/usr/include/$(shell gcc -dumpmachine)

build/obj/%.bpf.o: %.bpf.c
	@mkdir -p $(@D)
	@$(call say,BPF)
	clang $(BPF_CFLAGS) -MMD -MP -c $< -o $@

build/include/%.skel.h: build/obj/%.bpf.o
	@mkdir -p $(@D)
	{ echo '// NOLINTBEGIN'; bpftool gen skeleton $<; echo '// NOLINTEND'; } > $@.part
	mv $@.part $@

# The relay's benchmark is one program, with BPF programs of its own.
BENCH_RELAY := $(call objects,$(call sources,tests/bench/relay))
BENCH_SKELETONS := $(patsubst %.bpf.c,build/include/%.skel.h,$(wildcard tests/bench/relay/*.bpf.c))
$(BENCH_RELAY): | $(BENCH_SKELETONS)

$(B)/obj/%.o: %.c | build/include/version.h $(SKELETONS)
	@mkdir -p $(@D)
	@$(call say,CC)
	$(CC) $(CFLAGS) -MMD -MP -c $< -o $@

build/include/version.h: FORCE
	@mkdir -p $(@D)
	@echo '#define HUISCLOS_VERSION "$(VERSION)"' | cmp -s - $@ || echo '#define HUISCLOS_VERSION "$(VERSION)"' > $@

define program_rule
$(B)/bin/$(1): $(call objects,$(PROGRAM_$(1))) $(foreach l,$(NEEDS_$(1)),$(LIB_$(l)))
	@mkdir -p $$(@D)
	@$$(call say,LD)
	$$(CC) $$(LDFLAGS) $$^ $(foreach l,$(NEEDS_$(1)),$(LINK_$(l))) $(LINK_$(1)) -o $$@
endef
$(foreach p,$(PROGRAM_NAMES),$(eval $(call program_rule,$(p))))

define archive_rule
$(B)/lib$(1).a: $(LIB_$(1))
	@mkdir -p $$(@D)
	@$$(call say,AR)
	@rm -f $$@
	ar rcs $$@ $$^
endef
$(foreach l,base relay mgmt engine cli,$(eval $(call archive_rule,$(l))))

.SECONDEXPANSION:
link_test = $(CC) $(LDFLAGS) $(1) $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(call links,$*)

$(UNIT_TESTS): $(B)/tests/%: $(B)/obj/tests/unit/%.o $$(call fakes,$$*) $$(call archives,$$*)
	@mkdir -p $(@D)
	@$(call say,LD)
	$(call link_test) -lcmocka -o $@

$(TEST_TOOLS): $(B)/tests/%: $(B)/obj/tests/tools/%.o $$(call archives,$$*)
	@mkdir -p $(@D)
	@$(call say,LD)
	$(call link_test) -o $@

$(B)/tests/bench_relay: $(BENCH_RELAY) $(call objects,tests/fake/relay_pki.c) $(B)/librelay.a $(B)/libbase.a
	@mkdir -p $(@D)
	@$(call say,LD)
	$(CC) $(LDFLAGS) $^ $(LINK_relay) $(LINK_base) $(LINK_bpf) -lm -o $@

$(FUZZERS): $(B)/fuzz/%: $(B)/obj/tests/fuzz/%.o $$(call fakes,$$*) $$(call archives,$$*)
	@mkdir -p $(@D)
	@$(call say,LD)
	$(call link_test,-fsanitize=fuzzer) -o $@

# ---------------------------------------------------------------- run

.PHONY: check demo bench fuzz soak FORCE
check:
	@PART='$(PART)' tests/run

demo: bin $(addprefix $(B)/tests/,meter leakscan plant)
	@tests/demo/demo

# bench, fuzz and soak run whatever bench-*, fuzz_* and soak-* there is; one of them: make bench-X.
BENCHES := $(patsubst tests/bench/%,%,$(wildcard tests/bench/bench-*))
SOAKS := $(patsubst tests/soak/%,%,$(wildcard tests/soak/soak-*))
.PHONY: $(BENCHES) $(SOAKS)
bench: $(BENCHES)
$(BENCHES): all
	@mkdir -p build/bench
	@tests/bench/$@ | tee build/bench/$@.jsonl
soak: $(SOAKS)
$(SOAKS): all
	@tests/soak/$@

# SECONDS_EACH: how long each fuzzer runs (default ten minutes).
SECONDS_EACH ?= 600
fuzz:
	@tests/fuzz/run $(SECONDS_EACH)

-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)
endif

# ---------------------------------------------------------------- both

.PHONY: help clean root-clean
help:
	@echo 'make            build build/bin and build/tests'
	@echo 'make demo       a real end-to-end encrypted meeting of three on this machine (KEEP=1: leave the servers running)'
	@echo 'make check      all tests: unit, integration, namespaces, sanitizers, fuzz smoke, lint (PART=name: one part)'
	@echo 'make bench      all benchmarks, JSON lines in build/bench/; make bench-NAME: one'
	@echo 'make fuzz       every fuzzer, SECONDS_EACH=600 seconds each'
	@echo 'make soak       long runs'
	@echo 'make clean      remove build/'
	@echo 'make root-clean remove the Debian 13 roots made by ./in-root (refuses while one is in use)'
	@echo
	@echo 'Outside Debian 13 everything runs through ./in-root; the root is made once, in about 80 s.'

clean:
	rm -rf build

root-clean:
	@./in-root --clean
