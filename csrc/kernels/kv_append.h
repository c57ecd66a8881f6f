/* The cache of keys and values of one more step: what it held, the new tokens behind it
 * (the keys turned by their places), and nothing behind them.
 *
 * Batches hold different numbers of tokens.  Where the cache is written in place of the
 * old one, only the new tokens are touched. */
#ifndef TT_KERNELS_KV_APPEND_H
#define TT_KERNELS_KV_APPEND_H

#include "kernels/rotary.h"

/* Caches are dense [batch, heads, past or present, size]; new keys and values
 * [batch, tokens, heads, size] with unit stride along the items. */
typedef struct {
    tt_rotary_turn turn; /* of the keys; half 0: they do not turn */
    int64_t batch, heads, tokens, past, present;
    int64_t k[3], v[3]; /* strides from batch to batch, head to head, token to token */
    int64_t k_offset, v_offset;
    bool is_prompt;   /* every batch begins with its first token */
    bool leaves_past; /* somebody else writes what the cache held */
} tt_kv_append;

/* COS, SIN, PLACES (int64 [batch, tokens]; of a prompt only the first one counts) and the
 * pasts may be NULL; LENGTHS are int32
 * per batch, one less than the tokens that the cache holds in the end. */
enum {
    TT_APPEND_K,
    TT_APPEND_V,
    TT_APPEND_PAST_K,
    TT_APPEND_PAST_V,
    TT_APPEND_LENGTHS,
    TT_APPEND_COS,
    TT_APPEND_SIN,
    TT_APPEND_PLACES,
    TT_APPEND_N_SRC,
    TT_APPEND_PRESENT_K = TT_APPEND_N_SRC,
    TT_APPEND_PRESENT_V,
    TT_APPEND_TOTALS, /* int64 per batch: tokens that the cache holds */
    TT_APPEND_ROWS,   /* int64 [batch, tokens]: rows of the tables */
    TT_APPEND_N
};

/* A tt_kernel of plan/lower.h; TT_BAD_INPUT when lengths or places do not fit. */
tt_status tt_kv_append_run(const void *params, void *const *ptrs, tt_error *err);

#endif
