/* Sums of integers that cannot overflow, and mean and variance of them: of up to 2^62
 * values of magnitude 2^62. */
#ifndef TT_WATCH_WIDE_H
#define TT_WATCH_WIDE_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

__extension__ typedef __int128 tt_i128;
__extension__ typedef unsigned __int128 tt_u128;

/* 192 bits: high * 2^128 + low; differences may wrap, as those of unsigned numbers do. */
typedef struct {
    uint64_t low, middle, high;
} tt_u192;

static inline void tt_u192_add(tt_u192 *sum, tt_u128 low, uint64_t high)
{
    tt_u128 have = ((tt_u128)sum->middle << 64 | sum->low) + low;
    sum->high += high + (have < low);
    sum->low = (uint64_t)have;
    sum->middle = (uint64_t)(have >> 64);
}

static inline void tt_u192_add_square(tt_u192 *sum, int64_t value)
{
    tt_u192_add(sum, (tt_u128)((tt_i128)value * value), 0);
}

/* Adds a * b (b >= 0), modulo 2^192. */
static inline void tt_u192_add_product(tt_u192 *sum, tt_i128 a, uint64_t b)
{
    tt_u128 low = (tt_u128)(uint64_t)a * b;
    tt_i128 high = (a >> 64) * (tt_i128)b; /* |a| < 2^126: fits */
    tt_u192_add(sum, low, 0);
    tt_u192_add(sum, (tt_u128)high << 64, (uint64_t)(high >> 64));
}

static inline double tt_u192_to_f64(const tt_u192 *sum)
{
    return ((double)sum->high * 0x1p64 + (double)sum->middle) * 0x1p64 +
           (double)sum->low;
}

static inline bool tt_u192_is_less(const tt_u192 *a, const tt_u192 *b)
{
    if (a->high != b->high) return a->high < b->high;
    if (a->middle != b->middle) return a->middle < b->middle;
    return a->low < b->low;
}

/* Of n > 0 integers: their mean is whole + rest / n with 0 <= rest < n, and `spread` is
 * the sum of (x - whole)^2, exactly. */
typedef struct {
    int64_t whole, rest;
    tt_u192 spread;
} tt_center;

static inline tt_center tt_center_of(int64_t n, tt_i128 sum, const tt_u192 *squares)
{
    tt_center center = {.spread = *squares};
    tt_i128 whole = sum / n, twice;
    if (whole * n > sum) --whole; /* rounded down */
    center.whole = (int64_t)whole;
    center.rest = (int64_t)(sum - whole * n);
    /* squares - 2 whole sum + n whole^2 = squares - whole (2 rest + n whole) */
    twice = 2 * (tt_i128)center.rest + whole * n;
    if (whole >= 0)
        tt_u192_add_product(&center.spread, -twice, (uint64_t)whole);
    else
        tt_u192_add_product(&center.spread, twice, (uint64_t)-whole);
    return center;
}

/* sum of (x - mean)^2 = spread - rest^2 / n; negative for sums of no integers. */
static inline double tt_center_m2(const tt_center *center, int64_t n)
{
    double rest = (double)center->rest;
    return tt_u192_to_f64(&center->spread) - rest * (rest / (double)n);
}

#endif
