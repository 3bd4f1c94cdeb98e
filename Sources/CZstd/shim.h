// The system's zstd, found by name as zlib is.
#include <zstd.h>
