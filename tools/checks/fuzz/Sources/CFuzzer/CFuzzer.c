#define _GNU_SOURCE
#include "CFuzzer.h"

#include <sys/mman.h>

int openMemoryFile(void) { return memfd_create("log", 0); }
