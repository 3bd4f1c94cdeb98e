// The system's zlib. No pkg-config: the linker finds libz by name, and a machine without pkg-config builds without a warning.
#include <zlib.h>
