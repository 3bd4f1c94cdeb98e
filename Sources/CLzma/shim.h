// The system's liblzma, which reads xz archives; found by name as zlib is.
#include <lzma.h>

// LZMA_STREAM_INIT is a macro of a kind that Swift cannot see.
static inline lzma_stream lzma_empty_stream(void) {
    lzma_stream stream = LZMA_STREAM_INIT;
    return stream;
}
