/* Elements below a byte, out of their file: see unpack.h. */
#include "graph/unpack.h"

/* Writes element i < n to dst[i].  src may be the end of dst's own n bytes: what is
 * read lies ahead of what is written. */
static void unpack(unsigned bits, const uint8_t *src, size_t n, uint8_t *dst)
{
    const unsigned mask = (1u << bits) - 1;
    unsigned held = 0, n_held = 0; /* bits that were read and not written yet */
    for (size_t i = 0; i < n; ++i) {
        if (n_held < bits) {
            held |= (unsigned)*src++ << n_held;
            n_held += 8;
        }
        dst[i] = (uint8_t)(held & mask);
        held >>= bits;
        n_held -= bits;
    }
}

tt_status tt_read_unpacked(const tt_shape *shape, const tt_buffer *buffer,
                           uint64_t offset, size_t n_bytes, void *dst, tt_error *err)
{
    size_t n = (size_t)tt_shape_numel(shape);
    const uint8_t *packed;
    if (buffer->read == NULL) {
        packed = (const uint8_t *)buffer->data + offset;
    } else {
        uint8_t *end = (uint8_t *)dst + (n - n_bytes);
        TT_TRY(buffer->read(buffer->owner, offset, n_bytes, end, err));
        packed = end;
    }
    unpack(tt_dtype_bits(shape->dtype), packed, n, dst);
    return TT_OK;
}
