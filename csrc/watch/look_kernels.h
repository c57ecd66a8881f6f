/* The inner loops over pixels and samples, for each instruction set.
 *
 * All of them add in 16 lanes in the same order, so their results are the same bit for
 * bit.  Memory need not be aligned. */
#ifndef TT_WATCH_LOOK_KERNELS_H
#define TT_WATCH_LOOK_KERNELS_H

#include <stdint.h>

#include "base/cpu.h"

enum { TT_LANES = 16, TT_RUN_PIXELS = 1024, TT_FRAME_SAMPLES = 256, TT_GRAY_BINS = 64 };

/* What is added up over the pixels that are looked at. */
typedef enum {
    TT_SUM_GRAY,
    TT_SUM_CHROMA,    /* largest minus smallest channel */
    TT_SUM_LAPLACIAN, /* the four neighbours minus four times the pixel */
    TT_SUM_LAPLACIAN_SQUARE,
    TT_SUM_NOISE, /* |Immerkaer's mask| */
    TT_SUM_CHANNEL_0,
    TT_SUM_CHANNEL_1,
    TT_SUM_CHANNEL_2,
    TT_N_SUMS,
} tt_pixel_sum;

typedef struct {
    double sums[TT_N_SUMS][TT_LANES];
    float low[TT_LANES], high[TT_LANES]; /* of gray; begin at +inf and -inf */
} tt_pixel_sums;

/* Pixels side by side in one row: n <= TT_RUN_PIXELS. */
typedef struct {
    const float *channels[3]; /* n items each */
    int n_channels;           /* 1 to 3 */
    /* Gray of the rows above, at and below: item i is left of pixel i, so i + 2 is right
     * of it; n + 2 items count, as many as fill the last vector can be read. */
    const float *gray[3];
    int64_t n;
} tt_pixel_run;

/* Of up to TT_FRAME_SAMPLES samples. */
typedef struct {
    double square_sum;
    float peak;               /* largest magnitude */
    int64_t n_clipped;        /* magnitudes of at least the clipping level */
    int64_t n_zero_crossings; /* neighbours of which one is negative */
} tt_frame;

typedef struct {
    const char *name;
    /* gray[i] is the mean of the channels at pixel i. */
    void (*mix)(const float *const *channels, int n_channels, int64_t n, float *gray);
    /* Adds to *sums.  To gray and gradient go n items and up to 15 more of no meaning;
     * a gradient is |right - left| + |below - above|. */
    void (*pixels)(const tt_pixel_run *run, tt_pixel_sums *sums, float *gray,
                   float *gradient);
    /* The sum of (x - mean)^2. */
    double (*spread)(const float *x, int64_t n, float mean);
    /* How many are above `level`. */
    int64_t (*above)(const float *x, int64_t n, float level);
    /* counts[(int)((x - low) * scale)] grows by one; the index is kept within the
     * TT_GRAY_BINS. */
    void (*bins)(const float *x, int64_t n, float low, float scale, int64_t *counts);
    /* n <= TT_FRAME_SAMPLES. */
    void (*frame)(const float *x, int64_t n, float clip_level, tt_frame *out);
    /* n pixels of three channels side by side, from 3 n aligned items. */
    void (*split_u8)(const void *src, int64_t n, float *const *dst);
    void (*split_f32)(const void *src, int64_t n, float *const *dst);
} tt_look_kernels;

extern const tt_look_kernels tt_look_kernels_scalar;
#ifdef __x86_64__
extern const tt_look_kernels tt_look_kernels_avx2, tt_look_kernels_avx512;
#endif

/* The kernels of an instruction set, which the processor must have. */
const tt_look_kernels *tt_look_kernels_of(tt_isa isa);

#endif
