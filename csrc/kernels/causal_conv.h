/* Causal depthwise convolution over one dim: each item of a channel is the weighted sum
 * of itself and the items before it, the first ones of which come from a state. */
#ifndef TT_KERNELS_CAUSAL_CONV_H
#define TT_KERNELS_CAUSAL_CONV_H

#include "base/dtype.h"
#include "base/status.h"

/* All tensors are dense: [batch, channels, length], [channels, taps], states
 * [batch, channels, taps - 1]. */
typedef struct {
    tt_dtype dtype; /* a float */
    int64_t batch, channels, length, taps;
    bool is_silu; /* y sigmoid(y) */
    int n_slots;  /* threads, each with scratch of its own */
} tt_causal_conv;

enum {
    TT_CAUSAL_X,
    TT_CAUSAL_WEIGHTS,
    TT_CAUSAL_BIAS,
    TT_CAUSAL_PAST,
    TT_CAUSAL_N_SRC,
    TT_CAUSAL_DST = TT_CAUSAL_N_SRC,
    TT_CAUSAL_PRESENT,
    TT_CAUSAL_SCRATCH,
    TT_CAUSAL_N
};

/* Sets n_slots; false when the scratch overflows. */
bool tt_causal_conv_split(tt_causal_conv *kernel, int n_threads, size_t *out);
/* A tt_kernel of plan/lower.h; BIAS, PAST, DST and PRESENT may be NULL. */
tt_status tt_causal_conv_run(const void *params, void *const *ptrs, tt_error *err);
const char *tt_causal_conv_name(void);

/* ---- per instruction set ---------------------------------------------------- */

typedef struct {
    const char *name;
    /* y[i] = bias + sum of w[j] x[i + j], j < taps; x has taps - 1 items more than y */
    void (*row)(int64_t length, int64_t taps, const float *x, const float *w,
                float bias, bool is_silu, float *y);
} tt_causal_conv_table;

extern const tt_causal_conv_table tt_causal_conv_scalar, tt_causal_conv_avx2,
    tt_causal_conv_avx512;

#endif
