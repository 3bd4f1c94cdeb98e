#pragma once
#include <stddef.h>
#include <stdint.h>

// libFuzzer's own main loop, which SwiftPM's main calls: it cannot be replaced.
int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*callback)(const uint8_t *data, size_t size));

// A file in memory: its descriptor, or -1.
int openMemoryFile(void);
