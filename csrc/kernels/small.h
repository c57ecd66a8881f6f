/* Element types of 8-bit floats and below a byte, each element in the low bits of a
 * byte of its own: conversion from and to every real type, in one rounding.
 *
 * To these floats: nearest, half to even.  NaN stays NaN, and where a type has none
 * becomes zero (as ml_dtypes has it).  What rounds beyond the largest value becomes
 * that value when saturating, else infinity, or NaN where a type has no infinity; the
 * floats below 8 bits always saturate.  To float8e8m0, the powers of two: the sign is
 * dropped, 0 is too small for it and becomes the least value when saturating, else
 * NaN.  To integers below a byte: floats lose their fraction, then the low bits are
 * kept; NaN and infinities give 0.  From these floats to integers of whole bytes:
 * truncated and saturated, NaN gives 0. */
#ifndef TT_KERNELS_SMALL_H
#define TT_KERNELS_SMALL_H

#include "base/dtype.h"

/* How a number between two powers of two becomes a float8e8m0; a tie is rounded up. */
typedef enum { TT_POWER_UP, TT_POWER_DOWN, TT_POWER_NEAREST } tt_power_mode;

typedef struct {
    bool saturate;
    tt_power_mode power;
} tt_small_rule;

typedef struct {
    tt_dtype from, to; /* at least one of them small */
    tt_small_rule rule;
} tt_small_cast;

static inline bool tt_small_is_int(tt_dtype dtype)
{
    return dtype == TT_U4 || dtype == TT_S4 || dtype == TT_U2 || dtype == TT_S2;
}

bool tt_small_cast_has(const tt_small_cast *cast);
void tt_small_cast_run(const tt_small_cast *cast, int64_t n, const void *src,
                       void *dst);

/* Rows of one instruction set, by the small type. */
typedef void (*tt_small_decode)(int64_t n, const uint8_t *src, float *dst);
typedef void (*tt_small_encode)(int64_t n, const float *src, uint8_t *dst,
                                tt_small_rule rule);
typedef struct {
    const char *name;
    tt_small_decode decode[TT_DTYPE_COUNT];
    tt_small_encode encode[TT_DTYPE_COUNT];
} tt_small_table;

const tt_small_table *tt_small_table_best(void);

extern const tt_small_table tt_small_scalar, tt_small_avx2, tt_small_avx512;

#endif
