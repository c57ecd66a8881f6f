/* Linear attention: a state of keys times values that each token changes and reads.
 *
 *   S = exp(decay) S;  S += k (beta (v - S^T k));  y = scale S^T q
 *
 * without decay, beta or the difference where the rule has none.  The state of one head
 * stays in cache while all tokens pass; heads are split over threads. */
#ifndef TT_KERNELS_LINEAR_ATTENTION_H
#define TT_KERNELS_LINEAR_ATTENTION_H

#include "base/dtype.h"
#include "base/status.h"

/* Q, K, V, decay and beta are dense [batch, tokens, heads size]; states are dense
 * [batch, heads, key_size, value_size]. */
typedef struct {
    tt_dtype dtype, state_dtype; /* floats */
    int64_t batch, tokens, heads, heads_per_key;
    int64_t key_size, value_size;
    int64_t decay_size; /* items per head: 0 (no decay), 1 or key_size */
    int64_t beta_heads; /* 0 (no beta), 1 or heads */
    bool is_delta;      /* the value is compared with what the state holds */
    float scale;
    int n_slots; /* threads, each with scratch of its own */
} tt_linear_attention;

/* heads counts those of keys and values; heads_per_key queries share one. */
enum {
    TT_LINEAR_Q,
    TT_LINEAR_K,
    TT_LINEAR_V,
    TT_LINEAR_PAST,
    TT_LINEAR_DECAY,
    TT_LINEAR_BETA,
    TT_LINEAR_N_SRC,
    TT_LINEAR_DST = TT_LINEAR_N_SRC,
    TT_LINEAR_PRESENT,
    TT_LINEAR_SCRATCH,
    TT_LINEAR_N
};

/* Sets n_slots; false when the scratch overflows. */
bool tt_linear_attention_split(tt_linear_attention *kernel, int n_threads, size_t *out);
/* A tt_kernel of plan/lower.h; PAST, DECAY, BETA, DST and PRESENT may be NULL. */
tt_status tt_linear_attention_run(const void *params, void *const *ptrs, tt_error *err);
const char *tt_linear_attention_name(void);

/* ---- per instruction set ---------------------------------------------------- */

/* One token of one head. */
typedef struct {
    int64_t key_size, value_size, n_queries;
    const float *q, *k, *v; /* q: n_queries rows of key_size */
    const float *decay;     /* factors, one per row of the state; or NULL */
    float beta, scale;
    bool is_delta;
    float *state, *change, *y; /* change: scratch of value_size */
} tt_linear_token;

typedef struct {
    const char *name;
    void (*token)(const tt_linear_token *token);
} tt_linear_table;

extern const tt_linear_table tt_linear_scalar, tt_linear_avx2, tt_linear_avx512;

#endif
