/* Largest of bytes that lie a step apart; compiled per instruction set, for which the
 * compiler makes vectors of these loops. */
#include <stdint.h>
#include <string.h>

#define LARGEST(name, item)                                                            \
    static inline item name##_of(item a, item b)                                       \
    {                                                                                  \
        return a > b ? a : b;                                                          \
    }                                                                                  \
    static void name(void *dst, const void *src, int64_t n, int64_t n_from,            \
                     int64_t step)                                                     \
    {                                                                                  \
        item *restrict to = dst;                                                       \
        const item *from = src;                                                        \
        if (n_from == 3) {                                                             \
            for (int64_t i = 0; i < n; ++i)                                            \
                to[i] =                                                                \
                    name##_of(name##_of(from[i], from[i + step]), from[i + 2 * step]); \
            return;                                                                    \
        }                                                                              \
        memcpy(to, from, (size_t)n);                                                   \
        for (int64_t j = 1; j < n_from; ++j)                                           \
            for (int64_t i = 0; i < n; ++i)                                            \
                to[i] = name##_of(to[i], from[i + j * step]);                          \
    }

LARGEST(largest_u8, uint8_t)
LARGEST(largest_s8, int8_t)

const tt_max_bytes_table TABLE = {TABLE_NAME, largest_u8, largest_s8};
