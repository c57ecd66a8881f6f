/* 128 bits that tell contents apart: to notice damage, and to find again what was made
 * of the same bytes.  Not against somebody who wants two contents to look alike. */
#ifndef TT_BASE_HASH_H
#define TT_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint64_t word[2];
} tt_hash;

/* Some 20 GB/s.  `seed` tells uses apart. */
tt_hash tt_hash_bytes(const void *data, size_t n_bytes, uint64_t seed);

/* CRC-32C (Castagnoli; the check value of "123456789" is E3069283), some 200 MB/s. */
uint32_t tt_crc32c(const void *data, size_t n_bytes);

static inline int tt_hash_equal(tt_hash a, tt_hash b)
{
    return a.word[0] == b.word[0] && a.word[1] == b.word[1];
}

#ifdef __cplusplus
}
#endif

#endif
