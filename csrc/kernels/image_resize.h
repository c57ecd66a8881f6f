/* Pictures to another size: rows of pixels with interleaved channels, resampled across
 * and then down with a table of weights per axis.
 *
 * The table says what is computed, `math` in what arithmetic, so that one kernel gives
 * the numbers of several libraries.  No state; any thread may call it. */
#ifndef TT_KERNELS_IMAGE_RESIZE_H
#define TT_KERNELS_IMAGE_RESIZE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

typedef enum {
    /* bytes to bytes, int32 weights with 22 fractional bits, rounded and clipped after
     * each axis */
    TT_IMAGE_FIXED22,
    /* bytes to bytes, int32 weights with 11 fractional bits, rounded once.  With two taps
     * down, the products lose 4 bits before and 16 bits after the multiplication. */
    TT_IMAGE_FIXED11,
    /* bytes or float32 to float32, float32 weights */
    TT_IMAGE_FLOAT,
    /* bytes to bytes with float32 weights: rounded once, halves to even, and clipped */
    TT_IMAGE_ROUNDED,
    /* no sums: each pixel is that of its first tap; bytes or float32 */
    TT_IMAGE_COPY,
    TT_IMAGE_MATH_COUNT
} tt_image_math;

/* dst[j] = sum over t < n_taps of weights[j, t] src[first[j] + t], where
 * 0 <= first[j] <= n_src - n_taps; with two taps down in FIXED11 one row beyond either
 * border may be named, which repeats the last one. */
typedef struct {
    int64_t n_src, n_dst;
    int n_taps;
    const int32_t *first;
    const void *weights; /* n_dst x n_taps int32_t or float */
} tt_image_axis;

typedef struct {
    tt_image_math math;
    bool is_float; /* the source is float32; with TT_IMAGE_FLOAT and TT_IMAGE_COPY */
    int64_t n_channels;
    tt_image_axis x, y;
} tt_image_resize;

/* src: y.n_src rows, src_stride bytes apart, of x.n_src pixels.  dst: y.n_dst rows
 * without gaps.  Checks the tables. */
tt_status tt_image_resize_run(const tt_image_resize *resize, const void *src,
                              int64_t src_stride, void *dst, tt_error *err);
const char *tt_image_resize_name(void);

/* ---- loops per instruction set ------------------------------------------------- */

enum { TT_IMAGE_LANES = 16 };

/* Up to 16 rows across.  `tile` and `sums` are turned by 90 degrees: 16 rows side by
 * side for each sample of a row. */
typedef struct {
    const tt_image_resize *resize;
    const void *rows[TT_IMAGE_LANES];
    void *dst[TT_IMAGE_LANES]; /* room for a multiple of 16 samples each */
    void *tile, *sums;
} tt_image_across;

/* One row of the result; rows[t] have room for a multiple of 16 samples. */
typedef struct {
    tt_image_math math;
    int n_taps;
    const char *rows; /* of the first tap */
    int64_t row_bytes;
    const void *weights;
    int64_t n; /* samples */
    void *dst;
} tt_image_down;

/* The frequent cases of FIXED11: 2 or 4 taps across, 3 or 4 channels.  A row goes across
 * by itself.  With two taps on both axes, its sums lose 4 bits at once, so that they fit
 * into 16. */
typedef struct {
    int64_t n_src, n_dst; /* pixels */
    int64_t n_channels;
    const int32_t *first;
    const int16_t *weights; /* n_dst x 2, or n_dst x 4 */
} tt_image_pairs;

enum { TT_IMAGE_PAIRS_ROOM = 16 /* samples that may be written beyond a row's end */ };

typedef struct {
    const char *name;
    void (*across_pairs)(const tt_image_pairs *pairs, const uint8_t *src, int16_t *dst);
    void (*across_quads)(const tt_image_pairs *quads, const uint8_t *src, int32_t *dst);
    /* n samples of two rows of across_pairs to bytes */
    void (*down_pairs)(const int16_t *one, const int16_t *two, const int32_t *weights,
                       int64_t n, uint8_t *dst);
    void (*across)(const tt_image_across *across);
    void (*down)(const tt_image_down *down);
} tt_image_resize_table;

extern const tt_image_resize_table tt_image_resize_scalar;
#ifdef __x86_64__
extern const tt_image_resize_table tt_image_resize_avx2, tt_image_resize_avx512;
#endif

#endif
