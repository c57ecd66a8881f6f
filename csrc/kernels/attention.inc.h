/* One block of rows of attention; compiled per instruction set (see simd.h).
 *
 * Scratch holds the queries (times scale), the results so far, one block of keys as
 * columns and of values as rows, and the scores of TT_ATTENTION_ROWS rows.  Rows past
 * the last one are zero queries: tiles may run over the end. */
#include "kernels/attention_products.inc.h"

#ifdef ATTENTION_WORDS
#define PACK_KEYS pack_key_words
#define PACK_VALUES pack_words
#else
#define PACK_KEYS pack
#define PACK_VALUES pack
#endif

#define MINUS_INF (-__builtin_inff())

/* Where row `row` stands among the keys of a batch without offset. */
static inline int64_t place_of(const tt_attention_kernel *k, int64_t row)
{
    return k->is_one_place ? 0 : row;
}

/* ---- one row of scores ------------------------------------------------------------ */

static void soft_cap(float *x, int64_t n, float cap)
{
    vf wide = vf_set1(cap), narrow = vf_set1(1.0f / cap);
    for (int64_t j = 0; j < n; j += VF_N)
        vf_store(x + j, vf_tanh(vf_load(x + j) * narrow) * wide);
}

/* The mask of this row from key `key` on, as something to add. */
static const float *mask_row(const tt_attention_block *b, int64_t row, int64_t key,
                             int64_t n, float *buffer)
{
    int64_t at = row * b->kernel->mask[2] + key;
    const unsigned char *flags;
    if (b->kernel->mask_kind == TT_MASK_ADD) return (const float *)b->mask + at;
    flags = (const unsigned char *)b->mask + at;
    for (int64_t j = 0; j < n; ++j)
        buffer[j] = flags[j] != 0 ? 0.0f : MINUS_INF;
    return buffer;
}

static void add_mask(float *x, const float *mask, int64_t n)
{
    int64_t j = 0;
    for (; j + VF_N <= n; j += VF_N)
        vf_store(x + j, vf_load(x + j) + vf_load(mask + j));
    if (j < n)
        vf_store_n(x + j, vf_load_n(x + j, n - j) + vf_load_n(mask + j, n - j), n - j);
}

/* The keys [*from, *to) that query `row` sees of the n from `key` on. */
static void seen_of(const tt_attention_block *b, int64_t row, int64_t key, int64_t n,
                    int64_t *from, int64_t *to)
{
    const tt_attention_kernel *k = b->kernel;
    int64_t at = place_of(k, row) + b->offset - key;
    *from = at - k->left;
    *to = at + k->right + 1;
    if (b->visible - key < *to) *to = b->visible - key;
    if (*to > n) *to = n;
    if (*to < 0) *to = 0;
    if (*from < 0) *from = 0;
    if (*from > *to) *from = *to;
}

/* Cap, mask and window on the scores of one row; kept where the caller wants them. */
static void finish_scores(const tt_attention_block *b, int64_t row, int64_t key,
                          int64_t n, float *x, float *buffer)
{
    const tt_attention_kernel *k = b->kernel;
    float *kept = b->scores ? b->scores + row * k->scores[2] + key : NULL;
    int64_t from, to, width = vectors_of(n) * VF_N;
    if (k->scores_kind == TT_SCORES_RAW) memcpy(kept, x, (size_t)n * sizeof *x);
    if (k->softcap != 0.0f) soft_cap(x, width, k->softcap);
    if (k->scores_kind == TT_SCORES_CAPPED) memcpy(kept, x, (size_t)n * sizeof *x);
    seen_of(b, row, key, n, &from, &to);
    if (b->mask != NULL && from < to)
        add_mask(x + from, mask_row(b, row, key + from, to - from, buffer), to - from);
    for (int64_t j = 0; j < from; ++j)
        x[j] = MINUS_INF;
    for (int64_t j = to; j < width; ++j)
        x[j] = MINUS_INF;
    if (k->scores_kind >= TT_SCORES_MASKED) memcpy(kept, x, (size_t)n * sizeof *x);
}

/* e^x for x <= 0, 0 below -87: subnormal results would take the processor a hundred
 * cycles each, and a masked score is far below.  NaN stays. */
static inline vf exp_below(vf x)
{
    const vf least = vf_set1(-87.0f);
    vi i;
    vf p = vf_exp_parts(vf_max(least, x), &i);
    p *= (vf)((i + 127) << 23);
    return (vf)((vi)p & ~(vi)(x < least));
}

/* Adds the mask to the scores where there is one, and gives the highest. */
static inline float masked_high(float *x, const float *mask, int64_t n_vectors)
{
    vf a = vf_set1(MINUS_INF), b = a;
    int64_t i = 0;
    if (mask == NULL) {
        for (; i + 1 < n_vectors; i += 2) {
            a = vf_max(vf_load(x + i * VF_N), a);
            b = vf_max(vf_load(x + (i + 1) * VF_N), b);
        }
        if (i < n_vectors) a = vf_max(vf_load(x + i * VF_N), a);
    } else {
        for (; i < n_vectors; ++i) {
            vf sum = vf_load(x + i * VF_N) + vf_load(mask + i * VF_N);
            vf_store(x + i * VF_N, sum);
            a = vf_max(sum, a);
        }
    }
    return vf_high(vf_max(a, b));
}

/* The highest score of a row so far goes to *high; when it has risen, what was summed
 * before counts less. */
static void raise_high(float *x, const float *mask, int64_t n_vectors, float *high,
                       float *sum, float *dst, int64_t value_row)
{
    float before = *high, now = masked_high(x, mask, n_vectors);
    vf down;
    if (!(now > before)) return;
    *high = now;
    if (before == MINUS_INF) return;
    down = exp_below(vf_set1(before - now));
    vf_store(sum, vf_load(sum) * down);
    for (int64_t i = 0; i < value_row; i += VF_N)
        vf_store(dst + i, vf_load(dst + i) * down);
}

/* exp(x - high) in place, and added to the lanes of sum. */
static void exponentials(float *x, int64_t n_vectors, float high, float *sum)
{
    /* where all is masked, -inf - -inf would be NaN */
    vf shift = vf_set1(high > MINUS_INF ? high : 0.0f), total = vf_load(sum);
    for (int64_t i = 0; i < n_vectors; ++i) {
#ifdef ATTENTION_WORDS
        vf e = exp2_below((vf_load(x + i * VF_N) - shift) * vf_set1(1.44269504f));
        store_words(x + words_of(i * VF_N), e);
#else
        vf e = exp_below(vf_load(x + i * VF_N) - shift);
        vf_store(x + i * VF_N, e);
#endif
        total += e;
    }
    vf_store(sum, total);
}

/* ---- a block ---------------------------------------------------------------------- */

typedef struct {
    const tt_attention_block *b;
    float *shared; /* scratch for keys, values and scores: that of the first block */
    tt_attention_layout at;
    bool is_few;
    bool is_plain; /* no cap, no kept scores, and no mask but one to add */
    rows_at keys;  /* of the block of keys at hand */
} attending;

/* Rows that tiles may touch. */
static int64_t padded(int64_t rows)
{
    return rows <= TT_ATTENTION_FEW ? 2 * TT_ATTENTION_FEW
                                    : rows + TT_ATTENTION_LANES - 1;
}

/* The score that takes part in row `row` without a value. */
static float sink_of(const tt_attention_block *b, int64_t row)
{
    if (b->sinks == NULL) return 0.0f;
    return b->sinks[b->kernel->is_one_place ? row : 0];
}

static void begin_block(const attending *a)
{
    const tt_attention_block *b = a->b;
    const tt_attention_kernel *k = b->kernel;
    float *scratch = b->scratch, *q = scratch + a->at.q;
    int64_t rows = padded(b->rows), width = words_of(k->head_size);
    pack(b->q + b->first * k->q[2], k->q[2], k->q[3], b->rows, k->head_size,
         k->head_size, q, k->head_size);
    for (int64_t i = 0; i < b->rows * k->head_size; ++i)
        q[i] *= k->scale;
#ifdef ATTENTION_WORDS
    row_words(q, b->rows * k->head_size, q);
#endif
    memset(q + b->rows * width, 0, (size_t)((rows - b->rows) * width) * sizeof *q);
    memset(scratch + a->at.dst, 0, (size_t)(rows * a->at.value_row) * sizeof *q);
    memset(scratch + a->at.sum, 0, (size_t)(b->rows * VF_N) * sizeof *q);
    for (int64_t r = 0; r < b->rows; ++r) {
        scratch[a->at.high + r] = k->has_sink ? sink_of(b, b->first + r) : MINUS_INF;
        if (k->has_sink) scratch[a->at.sum + r * VF_N] = 1.0f;
    }
}

/* Is there a key among the n from `key` on that one of the rows sees? */
static bool is_seen(const tt_attention_block *b, int64_t row, int64_t rows, int64_t key,
                    int64_t n)
{
    const tt_attention_kernel *k = b->kernel;
    if (k->scores_kind != TT_SCORES_NONE) return true;
    return key <= place_of(k, row + rows - 1) + b->offset + k->right &&
           key + n > place_of(k, row) + b->offset - k->left;
}

/* Of those n, how many from the first on hold all that the rows see: whole vectors of
 * keys, or all n. */
static int64_t seen_first(const tt_attention_block *b, int64_t row, int64_t rows,
                          int64_t key, int64_t n)
{
    const tt_attention_kernel *k = b->kernel;
    int64_t end = place_of(k, row + rows - 1) + b->offset + k->right + 1 - key;
    if (k->scores_kind != TT_SCORES_NONE || end >= n) return n;
    end = vectors_of(end) * VF_N;
    return end < n ? end : n;
}

/* Rows [row, row + rows) of the block against the n keys from `key` on. */
static void attend(const attending *a, int64_t row, int64_t rows, int64_t key,
                   int64_t n, const float *v, int64_t v_row)
{
    const tt_attention_block *b = a->b;
    const tt_attention_kernel *k = b->kernel;
    float *scratch = b->scratch, *s = a->shared + a->at.scores;
    float *q = scratch + a->at.q + row * words_of(k->head_size);
    float *dst = scratch + a->at.dst + row * a->at.value_row;
    float *high = scratch + a->at.high + row, *sum = scratch + a->at.sum + row * VF_N;
    int64_t n_vectors = vectors_of(n), first = b->first + row;
    bool is_plain = a->is_plain && n % VF_N == 0 && key + n <= b->visible &&
                    key >= place_of(k, first + rows - 1) + b->offset - k->left &&
                    key + n - 1 <= place_of(k, first) + b->offset + k->right;
    const float *mask = is_plain && b->mask != NULL
                            ? (const float *)b->mask + first * k->mask[2] + key
                            : NULL;
    if (a->is_few && k->k[3] == 1)
        few_scores(k, rows, q, &a->keys, n, s);
    else
        product(rows, n_vectors, words_of(k->head_size), q, words_of(k->head_size),
                a->shared + a->at.k, TT_ATTENTION_KEYS, s, TT_ATTENTION_KEYS,
                /*add=*/false);
    if (!is_plain)
        for (int64_t r = 0; r < rows; ++r)
            finish_scores(b, first + r, key, n, s + r * TT_ATTENTION_KEYS,
                          a->shared + a->at.mask);
    /* two loops: rows overlap in the processor better */
    for (int64_t r = 0; r < rows; ++r)
        raise_high(s + r * TT_ATTENTION_KEYS,
                   mask == NULL ? NULL : mask + r * k->mask[2], n_vectors, high + r,
                   sum + r * VF_N, dst + r * a->at.value_row, a->at.value_row);
    for (int64_t r = 0; r < rows; ++r)
        exponentials(s + r * TT_ATTENTION_KEYS, n_vectors, high[r], sum + r * VF_N);
    product(rows, vectors_of(k->value_size), words_of(n), s, TT_ATTENTION_KEYS, v,
            v_row, dst, a->at.value_row, /*add=*/true);
}

/* Where the n keys from `key` on lie: all in the past that lies apart, or none. */
static rows_at keys_at(const tt_attention_block *b, int64_t key)
{
    const tt_attention_kernel *k = b->kernel;
    if (key < b->past)
        return (rows_at){b->past_k + key * k->past_k[2], b->past_v + key * k->past_v[2],
                         k->past_k[2], k->past_v[2], b->past - key};
    return (rows_at){b->k + key * k->k[2], b->v + key * k->v[2], k->k[2], k->v[2],
                     k->keys - key};
}

static void attend_keys(attending *a, int64_t key, int64_t n)
{
    const tt_attention_block *b = a->b;
    const tt_attention_kernel *k = b->kernel;
    const float *v;
    int64_t v_row;
    if (!is_seen(b, b->first, b->rows, key, n)) return;
    a->keys = keys_at(b, key);
    v = a->keys.v;
    v_row = a->keys.v_row;
    if (!a->is_few || k->k[3] != 1)
        PACK_KEYS(a->keys.k, k->k[3], a->keys.k_row, k->head_size, n,
                  vectors_of(n) * VF_N, a->shared + a->at.k, TT_ATTENTION_KEYS);
    if (!a->is_few || k->v[3] != 1 || k->value_size % VF_N != 0) {
        PACK_VALUES(v, v_row, k->v[3], n, k->value_size,
                    vectors_of(k->value_size) * VF_N, a->shared + a->at.v,
                    a->at.value_row);
        v = a->shared + a->at.v;
        v_row = a->at.value_row;
    }
    for (int64_t row = 0; row < b->rows; row += TT_ATTENTION_ROWS) {
        int64_t rows = b->rows - row;
        if (rows > TT_ATTENTION_ROWS) rows = TT_ATTENTION_ROWS;
        if (is_seen(b, b->first + row, rows, key, n))
            attend(a, row, rows, key, seen_first(b, b->first + row, rows, key, n), v,
                   v_row);
    }
}

static void copy_rows(const float *src, int64_t src_row, float *dst, int64_t dst_row,
                      int64_t n, int64_t size)
{
    if (src_row == size && dst_row == size) {
        memcpy(dst, src, (size_t)(n * size) * sizeof *dst);
        return;
    }
    for (int64_t i = 0; i < n; ++i)
        memcpy(dst + i * dst_row, src + i * src_row, (size_t)size * sizeof *dst);
}

/* n keys and values of the past from `key` on to their place in front of the new ones. */
static void keep_past(const tt_attention_block *b, int64_t key, int64_t n)
{
    const tt_attention_kernel *k = b->kernel;
    if (b->present_k != NULL)
        copy_rows(b->past_k + key * k->past_k[2], k->past_k[2],
                  b->present_k + key * k->k[2], k->k[2], n, k->head_size);
    if (b->present_v != NULL)
        copy_rows(b->past_v + key * k->past_v[2], k->past_v[2],
                  b->present_v + key * k->v[2], k->v[2], n, k->value_size);
}

/* The results over the sums, and kept scores as probabilities. */
static void end_row(const attending *a, int64_t r)
{
    const tt_attention_block *b = a->b;
    const tt_attention_kernel *k = b->kernel;
    const float *from = b->scratch + a->at.dst + r * a->at.value_row;
    float *to = b->dst + (b->first + r) * k->dst[2];
    float high = b->scratch[a->at.high + r];
    float sum = vf_sum(vf_load(b->scratch + a->at.sum + r * VF_N));
    vf share = vf_set1(k->masked_is_zero && sum == 0.0f ? 0.0f : 1.0f / sum);
    int64_t n = k->value_size;
    for (int64_t i = 0; i < n; i += VF_N) {
        vf y = vf_load(from + i) * share;
        int64_t lanes = n - i < VF_N ? n - i : VF_N;
        if (k->dst[3] == 1) {
            vf_store_n(to + i, y, lanes);
        } else {
            float items[VF_N];
            vf_store(items, y);
            for (int64_t j = 0; j < lanes; ++j)
                to[(i + j) * k->dst[3]] = items[j];
        }
    }
    if (k->scores_kind != TT_SCORES_SOFTMAX) return;
    float *kept = b->scores + (b->first + r) * k->scores[2];
    vf shift = vf_set1(high > MINUS_INF ? high : 0.0f);
    for (int64_t j = 0; j < k->keys; j += VF_N) {
        int64_t lanes = k->keys - j < VF_N ? k->keys - j : VF_N;
        vf_store_n(kept + j, exp_below(vf_load_n(kept + j, lanes) - shift) * share,
                   lanes);
    }
}

/* Scores past the last row, which tiles read: anything but subnormals. */
static void clear_scores(const attending *a, int64_t rows, int64_t keys)
{
    int64_t width = vectors_of(keys < TT_ATTENTION_KEYS ? keys : TT_ATTENTION_KEYS);
    float *s = a->shared + a->at.scores;
    if (rows > TT_ATTENTION_ROWS) rows = TT_ATTENTION_ROWS;
    for (int64_t r = rows; r < padded(rows); ++r)
        memset(s + r * TT_ATTENTION_KEYS, 0, (size_t)(width * VF_N) * sizeof *s);
}

static void attention_blocks(const tt_attention_block *blocks, int64_t n_blocks)
{
    const tt_attention_kernel *k = blocks->kernel;
    attending a = {.shared = blocks->scratch, .at = tt_attention_layout_of(k)};
    int64_t keys = k->scores_kind != TT_SCORES_NONE ? k->keys : blocks->visible;
    int64_t past = blocks->past; /* the same for all: they are of one batch */
    a.is_few = k->queries <= TT_ATTENTION_FEW;
    a.is_plain = k->softcap == 0.0f && k->scores_kind == TT_SCORES_NONE &&
                 (blocks->mask == NULL || k->mask_kind == TT_MASK_ADD);
    clear_scores(&a, blocks->rows, keys);
    for (a.b = blocks; a.b < blocks + n_blocks; ++a.b)
        begin_block(&a);
    for (int64_t key = 0, n; key < keys || key < past; key += n) {
        int64_t end = key < past ? past : keys;
        n = end - key < TT_ATTENTION_KEYS ? end - key : TT_ATTENTION_KEYS;
        for (a.b = blocks; a.b < blocks + n_blocks; ++a.b) {
            if (key < keys) attend_keys(&a, key, n);
            if (key < past) keep_past(a.b, key, n);
        }
    }
    for (a.b = blocks; a.b < blocks + n_blocks; ++a.b)
        for (int64_t r = 0; r < a.b->rows; ++r)
            end_row(&a, r);
}

const tt_attention_table TABLE = {TABLE_NAME, attention_blocks};
