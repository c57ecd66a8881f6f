/* Scaled dot-product attention in float: softmax(scale Q K^T + mask) V without the
 * scores ever being stored.
 *
 * A block of query rows meets the keys block by block: scores, exponentials relative
 * to the highest score so far, and their product with V, all in cache.  When a block
 * brings a higher score, what was summed before is scaled down (online softmax); the
 * division by the sum comes last.  Each row is computed in the same order of keys
 * whatever the split, so results do not depend on the number of threads.  With at most
 * TT_ATTENTION_FEW rows the keys are read in place, once, and heads that lie side by side
 * in memory are taken together. */
#ifndef TT_KERNELS_ATTENTION_H
#define TT_KERNELS_ATTENTION_H

#include "base/shape.h"
#include "base/status.h"

typedef enum { TT_MASK_NONE, TT_MASK_ADD, TT_MASK_BOOL } tt_attention_mask;

/* What the optional output of scores holds (the operator Attention of ONNX). */
typedef enum {
    TT_SCORES_NONE = -1,
    TT_SCORES_RAW,
    TT_SCORES_CAPPED,
    TT_SCORES_MASKED,
    TT_SCORES_SOFTMAX
} tt_attention_scores;

enum { TT_ATTENTION_FEW = 4, TT_ATTENTION_GROUP = 16 };

/* A window that far has no bound. */
#define TT_ATTENTION_UNBOUNDED (INT64_MAX / 4)

/* Strides are in elements, from batch to batch, head to head, row to row and item to
 * item; any of them.  Masks have unit stride along the keys. */
typedef struct {
    tt_dtype dtype, value_dtype, mask_dtype; /* of Q, K and the results; V; the mask */
    bool rounds; /* Q K^T and the product with V may be of bfloat16, summed in f32 */
    int64_t batch, heads;
    int64_t heads_per_key; /* query heads that share one head of K and V */
    int64_t queries, keys, head_size, value_size;
    int64_t q[4], k[4], v[4], dst[4], scores[4], mask[3];
    tt_attention_mask mask_kind; /* added; or bool, true takes part */
    tt_attention_scores scores_kind;
    float scale, softcap; /* softcap tanh(x / softcap) before the mask; 0: none */
    /* query i sees the keys below `visible` in
     * [i + offset - left, i + offset + right] */
    int64_t visible, offset, left, right;
    bool has_lengths;  /* per batch: visible = length, offset = length - queries */
    bool keeps_offset; /* then too the offset is the one above */
    bool has_sink;     /* one more score per head that takes part but has no value */
    bool is_one_place; /* rows are heads of one query: all stand where query 0 does */
    bool has_past;     /* the first `offset` keys lie apart, see below */
    int64_t past_k[3], past_v[3];
    bool masked_is_zero; /* a query that sees no key gives zeros, else NaN */
    int64_t rows;        /* of a block, see tt_attention_split */
    int64_t group;       /* heads that one thread runs side by side */
    int n_slots;         /* threads, each with scratch of its own */
} tt_attention_kernel;

/* With has_past and at most TT_ATTENTION_FEW queries, the keys and values of the past are
 * read at PAST_K and PAST_V (unit stride along the items), and while they are in cache
 * written in front of the new ones, at PRESENT_K and PRESENT_V, which are K and V.  A
 * past that lies there already stays.
 *
 * MASK, LENGTHS (int64 per batch), SINKS (a score per head, else 0) and SCORES may be
 * NULL. */
enum {
    TT_ATTENTION_Q,
    TT_ATTENTION_K,
    TT_ATTENTION_V,
    TT_ATTENTION_MASK,
    TT_ATTENTION_LENGTHS,
    TT_ATTENTION_SINKS,
    TT_ATTENTION_PAST_K,
    TT_ATTENTION_PAST_V,
    TT_ATTENTION_N_SRC,
    TT_ATTENTION_DST = TT_ATTENTION_N_SRC,
    TT_ATTENTION_SCORES,
    TT_ATTENTION_PRESENT_K,
    TT_ATTENTION_PRESENT_V,
    TT_ATTENTION_SCRATCH,
    TT_ATTENTION_N
};

/* For a single query: heads that share keys become rows of one block, so that each key is
 * loaded once for up to TT_ATTENTION_FEW of them.  Before the split; f32 only. */
void tt_attention_join_heads(tt_attention_kernel *kernel);
/* Sets rows, group and n_slots for this many threads. */
void tt_attention_split(tt_attention_kernel *kernel, int n_threads);
/* After the split.  False when that overflows. */
bool tt_attention_scratch_bytes(const tt_attention_kernel *kernel, size_t *out);
/* A tt_kernel of plan/lower.h; all dtypes are f32. */
tt_status tt_attention_run(const void *params, void *const *ptrs, tt_error *err);
/* Name of the version that runs on this processor. */
const char *tt_attention_name(const tt_attention_kernel *kernel);
/* Sets `rounds` to what this processor does: products of bfloat16 take AVX-512 BF16, an
 * even head_size, and more than TT_ATTENTION_FEW queries, below which memory is what
 * takes the time. */
void tt_attention_settle_rounding(tt_attention_kernel *kernel);

/* The same for any float dtypes and masks, by the definition in double. */
tt_status tt_attention_plain_run(const void *params, void *const *ptrs, tt_error *err);
/* Replaces split and scratch_bytes: the scores of one row per thread. */
bool tt_attention_plain_split(tt_attention_kernel *kernel, int n_threads, size_t *out);

/* How many keys the queries of a batch see at most, and where query 0 stands among
 * them; lengths (int64) may be NULL. */
void tt_attention_range(const tt_attention_kernel *kernel, const void *lengths,
                        int64_t batch, int64_t *visible, int64_t *offset);

/* ---- per instruction set ---------------------------------------------------- */

/* One block of rows of one head; the pointers stand at its batch and head. */
typedef struct {
    const tt_attention_kernel *kernel;
    const float *q, *k, *v;
    const void *mask;
    float *dst, *scores;
    int64_t first, rows;     /* of the queries */
    int64_t visible, offset; /* of this batch */
    /* keys of the past that lie apart, and where this block is to copy them, or NULL */
    int64_t past;
    const float *past_k, *past_v;
    float *present_k, *present_v;
    const float *sinks; /* of its first row, or NULL */
    float *scratch;
} tt_attention_block;

typedef struct {
    const char *name;
    /* blocks of the same rows of several heads */
    void (*run)(const tt_attention_block *blocks, int64_t n);
} tt_attention_table;

extern const tt_attention_table tt_attention_scalar, tt_attention_avx2,
    tt_attention_avx512, tt_attention_avx512_bf16;

enum {
    TT_ATTENTION_KEYS = 256, /* keys of a block */
    TT_ATTENTION_ROWS = 24,  /* rows whose scores are held at once */
    TT_ATTENTION_LANES = 16, /* rows of scratch are multiples of it */
};

/* Parts of the scratch of one slot, in floats from its start. */
typedef struct {
    int64_t value_row; /* value_size rounded up to lanes */
    int64_t q, dst, k, v, scores, mask, high, sum, end;
} tt_attention_layout;

tt_attention_layout tt_attention_layout_of(const tt_attention_kernel *kernel);

#endif
