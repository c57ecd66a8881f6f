/* Gradients of what works on rows: Softmax, LogSoftmax, LayerNormalization,
 * RMSNormalization, and item by item GELU.
 *
 * Rows are contiguous.  f32 goes through vectors; other types go by the definition, in
 * double. */
#ifndef TT_KERNELS_ROW_GRAD_H
#define TT_KERNELS_ROW_GRAD_H

#include "base/shape.h"
#include "base/status.h"

typedef struct {
    tt_dtype dtype;
    int64_t n_rows, n_columns;
    bool is_log;    /* softmax */
    bool is_tanh;   /* GELU */
    bool is_rms;    /* normalisation */
    double epsilon; /* normalisation */
} tt_row_grad;

/* Gradient of x from the gradient of y.  tt_kernels of plan/lower.h. */

/* ptrs: y, g, then written: gradient; it may be y or g. */
tt_status tt_softmax_grad_run(const void *params, void *const *ptrs, tt_error *err);
/* ptrs: x, g, then written: gradient; it may be x or g. */
tt_status tt_gelu_grad_run(const void *params, void *const *ptrs, tt_error *err);

enum {
    TT_NORM_GRAD_X,
    TT_NORM_GRAD_SCALE, /* [n_columns] */
    TT_NORM_GRAD_G,
    TT_NORM_GRAD_N_SRC,
    TT_NORM_GRAD_DX = TT_NORM_GRAD_N_SRC,
    TT_NORM_GRAD_DSCALE, /* [n_columns] or NULL */
    TT_NORM_GRAD_DSHIFT, /* [n_columns] or NULL */
    TT_NORM_GRAD_STATS,  /* n_rows tt_norm_stats to work with */
    TT_NORM_GRAD_N
};

typedef struct {
    double mean, inv_std;
} tt_norm_stats;

tt_status tt_norm_grad_run(const void *params, void *const *ptrs, tt_error *err);

/* Name of the version that runs on this processor. */
const char *tt_row_grad_name(void);

/* Columns [first, first + n) of the sums over rows of g unit and g; the sums may be
 * NULL. */
typedef struct {
    const float *x, *g;
    const tt_norm_stats *stats;
    float *scale, *shift;
    int64_t n_rows, n_columns, first, n;
} tt_norm_grad_columns;

enum { TT_NORM_GRAD_BLOCK = 64 }; /* the most columns of a call */

/* Per instruction set. */
typedef struct {
    const char *name;
    void (*softmax)(const float *y, const float *g, float *dx, int64_t n, bool is_log);
    void (*gelu)(const float *x, const float *g, float *dx, int64_t n, bool is_tanh);
    void (*norm)(const float *x, const float *scale, const float *g, float *dx,
                 int64_t n, bool is_rms, float epsilon, tt_norm_stats *stats);
    void (*columns)(const tt_norm_grad_columns *c);
} tt_row_grad_table;

extern const tt_row_grad_table tt_row_grad_scalar, tt_row_grad_avx2, tt_row_grad_avx512;

#endif
