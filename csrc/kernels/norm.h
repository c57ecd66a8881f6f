/* Normalisation of rows: (x - mean) / sqrt(variance + epsilon) * scale + shift.
 *
 * Rows are contiguous.  One kernel serves LayerNormalization and its relatives, one
 * InstanceNormalization and GroupNormalization.  The f32 versions sum in float over
 * at least 16 partial sums (AVX-512: 32, AVX2: 16), in two passes, so the error does
 * not grow with the mean; the reference sums in double. */
#ifndef TT_KERNELS_NORM_H
#define TT_KERNELS_NORM_H

#include "base/cpu.h"
#include "base/shape.h"
#include "base/status.h"

/* Layer normalisation of x (+ skip) (+ bias). */
typedef struct {
    tt_dtype dtype;      /* of all tensors but mean and inv_std */
    tt_dtype stat_dtype; /* of mean and inv_std */
    bool is_rms;         /* no mean: x / sqrt(mean of squares + epsilon) */
    double epsilon;
    int64_t n_rows, n_columns;
    int64_t n_skip_rows;                /* row r adds skip row r % n_skip_rows */
    int64_t n_scale_rows, n_shift_rows; /* 1: the same vector for all rows */
} tt_layer_norm_kernel;

enum { /* pointers; absent ones are NULL */
       TT_LAYER_NORM_X,
       TT_LAYER_NORM_SKIP,
       TT_LAYER_NORM_BIAS, /* [n_columns] */
       TT_LAYER_NORM_SCALE,
       TT_LAYER_NORM_SHIFT,
       TT_LAYER_NORM_N_SRC,
       TT_LAYER_NORM_Y = TT_LAYER_NORM_N_SRC,
       TT_LAYER_NORM_MEAN,
       TT_LAYER_NORM_INV_STD,
       TT_LAYER_NORM_SUM,    /* x + skip + bias */
       TT_LAYER_NORM_NARROW, /* y as bf16; then y may be absent up to this: */
       TT_LAYER_NORM_N
};

enum { TT_LAYER_NORM_BUFFER = 4096 }; /* columns of a row on the stack */

/* Sum of up to three embeddings per row, then layer normalisation. */
typedef struct {
    tt_layer_norm_kernel norm; /* f32 */
    int64_t n_positions;       /* rows of one sequence: position = row % n_positions */
    int64_t n_words, n_segments, n_position_rows;
    tt_dtype index_dtype;
} tt_embed_norm_kernel;

enum {
    TT_EMBED_NORM_IDS,
    TT_EMBED_NORM_SEGMENT_IDS,
    TT_EMBED_NORM_POSITION_IDS, /* NULL: counted */
    TT_EMBED_NORM_WORDS,
    TT_EMBED_NORM_POSITIONS,
    TT_EMBED_NORM_SEGMENTS,
    TT_EMBED_NORM_SCALE,
    TT_EMBED_NORM_SHIFT,
    TT_EMBED_NORM_N_SRC,
    TT_EMBED_NORM_Y = TT_EMBED_NORM_N_SRC,
    TT_EMBED_NORM_SUM,
    TT_EMBED_NORM_N
};

/* Groups of channels over all their items: x is [n_rows][n_channels][n_items], scale
 * and shift are per channel; the channels of row r begin at
 * (r % n_groups) * n_channels. */
typedef struct {
    tt_dtype dtype;
    double epsilon;
    int64_t n_rows, n_groups, n_channels, n_items;
    bool per_group; /* scale and shift have one item per group */
} tt_group_norm_kernel;

enum {
    TT_GROUP_NORM_X,
    TT_GROUP_NORM_SCALE,
    TT_GROUP_NORM_SHIFT,
    TT_GROUP_NORM_N_SRC,
    TT_GROUP_NORM_Y = TT_GROUP_NORM_N_SRC,
    TT_GROUP_NORM_N
};

/* One row of f32.  y may be x or sum.  Optional pointers may be NULL. */
typedef struct {
    const float *x, *skip, *bias, *scale, *shift;
    float *y, *sum;
    float mean, inv_std; /* results */
} tt_norm_row;

typedef struct {
    const char *layer_name, *group_name;
    void (*row)(tt_norm_row *row, int64_t n, bool is_rms, float epsilon);
    void (*narrow)(const float *x, uint16_t *y, int64_t n); /* to bf16 */
    /* n_channels x n_items at x, with one scale and shift per channel */
    void (*group)(const float *x, const float *scale, const float *shift, float *y,
                  int64_t n_channels, int64_t n_items, int64_t scale_step,
                  float epsilon);
} tt_norm_table;

extern const tt_norm_table tt_norm_ref;
#ifdef __x86_64__
extern const tt_norm_table tt_norm_avx2, tt_norm_avx512;
#endif

/* The table of an instruction set, which the processor must have. */
const tt_norm_table *tt_norm_table_of(tt_isa isa);

/* tt_kernels of plan/lower.h; params are the structs above. */
tt_status tt_layer_norm_run(const void *params, void *const *ptrs, tt_error *err);
tt_status tt_embed_norm_run(const void *params, void *const *ptrs, tt_error *err);
tt_status tt_group_norm_run(const void *params, void *const *ptrs, tt_error *err);

#endif
