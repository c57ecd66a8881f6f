/* Overflow-checked size arithmetic: the only way sizes from outside are
 * multiplied or added.  Each function returns false on overflow and then
 * leaves *out untouched. */
#ifndef TT_BASE_CHECKED_H
#define TT_BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool tt_mul_size(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_mul_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}

static inline bool tt_add_size(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_add_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}

static inline bool tt_mul_i64(int64_t a, int64_t b, int64_t *out)
{
    int64_t r;
    if (__builtin_mul_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}

static inline bool tt_add_i64(int64_t a, int64_t b, int64_t *out)
{
    int64_t r;
    if (__builtin_add_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}

/* Product of dims[0..rank).  False on a negative dim or overflow; 1 for
 * rank 0. */
static inline bool tt_numel(const int64_t *dims, int rank, int64_t *out)
{
    int64_t n = 1;
    bool empty = false;
    for (int i = 0; i < rank; ++i) {
        if (dims[i] < 0) return false;
        if (dims[i] == 0)
            empty = true;
        else if (!tt_mul_i64(n, dims[i], &n))
            return false;
    }
    *out = empty ? 0 : n;
    return true;
}

/* Rounds n up to a multiple of `to`, a power of two. */
static inline bool tt_round_up(size_t n, size_t to, size_t *out)
{
    size_t r;
    if (!tt_add_size(n, to - 1, &r)) return false;
    *out = r & ~(to - 1);
    return true;
}

#endif
