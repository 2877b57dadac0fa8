# SPDX-License-Identifier: MIT
#
# Builds PROGRAM from PROGRAM.c against the installed library, or, where there is
# none, against this source tree. LIBS is what else it needs. It must never need
# anything of this tree where the library is installed.

ifeq ($(shell pkg-config --exists liblwc 2>/dev/null && echo yes),yes)
O	?= .
FLAGS	:= $(shell pkg-config --cflags liblwc)
LWC	:= $(shell pkg-config --libs liblwc)
else
O	?= ../../build/examples/$(PROGRAM)
TREE	:= ../../build/libLwc
FLAGS	:= -I../../libLwc/include -I../../uapi
LWC	:= $(TREE)/liblwc.a
endif

CFLAGS	?= -O2 -g

all: $(O)/$(PROGRAM)

ifdef TREE
$(TREE)/liblwc.a:
	$(MAKE) -C ../../libLwc
endif

$(O)/$(PROGRAM): $(PROGRAM).c $(filter %.a,$(LWC))
	mkdir -p $(O)
	$(CC) -std=gnu11 -Wall -Wextra $(CFLAGS) $(FLAGS) -o $@ $< $(LWC) $(LIBS)

clean:
	rm -f $(O)/$(PROGRAM)

.PHONY: all clean
