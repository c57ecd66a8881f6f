/* Matrix transposition blocks in plain C, for any processor and any item size.
 * A block fits the first-level cache, so the order of the loops hardly matters. */
#include "kernels/copy_transpose.h"

#include <string.h>

typedef struct {
    char bytes[16];
} item16;

#define TRANSPOSE(name, type)                                                  \
    static void transpose_##name(const char *src, int64_t src_step, char *dst, \
                                 int64_t dst_step, int64_t n_a, int64_t n_b)   \
    {                                                                          \
        for (int64_t a = 0; a < n_a; ++a) {                                    \
            const char *from = src + a * (int64_t)sizeof(type);                \
            char *to = dst + a * dst_step;                                     \
            for (int64_t b = 0; b < n_b; ++b) {                                \
                type item;                                                     \
                memcpy(&item, from + b * src_step, sizeof item);               \
                memcpy(to + b * (int64_t)sizeof item, &item, sizeof item);     \
            }                                                                  \
        }                                                                      \
    }
TRANSPOSE(1, uint8_t)
TRANSPOSE(2, uint16_t)
TRANSPOSE(4, uint32_t)
TRANSPOSE(8, uint64_t)
TRANSPOSE(16, item16)

tt_transpose tt_transpose_scalar(int item_bytes)
{
    switch (item_bytes) {
    case 1:
        return transpose_1;
    case 2:
        return transpose_2;
    case 4:
        return transpose_4;
    case 8:
        return transpose_8;
    default:
        return transpose_16;
    }
}
