/* GroupQueryAttention of com.microsoft: causal attention over a cache, the queries and
 * keys turned by their places.
 *
 * Three steps: the new keys and values into the cache, the queries turned, attention over
 * the cache where it lies.  A cache that the caller gives as input and output alike
 * (Model.run with `out`) is appended to in place. */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "kernels/kv_append.h"
#include "ops/attention_common.h"
#include "ops/fail.h"
#include "ops/move.h"

enum {
    QUERY,
    KEY,
    VALUE,
    PAST_K,
    PAST_V,
    LENGTHS,
    TOTAL,
    COS,
    SIN,
    PLACES,
    SCORE_BIAS,
    SINKS,
    N_INPUTS
};
enum { Y, PRESENT_K, PRESENT_V, SCORES };

typedef struct {
    tt_kv_append append;  /* heads counts those of keys and values */
    int64_t heads, width; /* of the queries; items of a token of input 0 */
    int64_t window;
    float scale, softcap;
    bool is_packed, has_sink;
    tt_dtype dtype;
} gqa;

/* ---- shapes ----------------------------------------------------------------------- */

/* What newer versions may ask for, and its value when they do not. */
static tt_status check_newer(const tt_node *node, tt_error *err)
{
    static const struct {
        const char *name;
        int64_t usual;
    } attributes[] = {
        {"causal",               1},
        {"sliding_window_cache", 0},
        {"kv_cache_bit_width",   0}
    };
    for (size_t i = 0; i < sizeof attributes / sizeof *attributes; ++i) {
        int64_t found, usual = attributes[i].usual;
        TT_TRY(tt_attribute_int(node, attributes[i].name, usual, &found, err));
        if (found != usual)
            return tt_fail_at(node, err, TT_UNSUPPORTED, "%s = %lld, expected %lld",
                              attributes[i].name, (long long)found, (long long)usual);
    }
    return TT_OK;
}

static tt_status read_attributes(const tt_node *node, gqa *g, tt_error *err)
{
    int64_t smooth, interleaved, kept;
    TT_TRY(check_newer(node, err));
    TT_TRY(tt_attribute_int(node, "num_heads", 0, &g->heads, err));
    TT_TRY(tt_attribute_int(node, "kv_num_heads", 0, &g->append.heads, err));
    TT_TRY(tt_attribute_int(node, "local_window_size", -1, &g->window, err));
    TT_TRY(tt_attribute_int(node, "rotary_interleaved", 0, &interleaved, err));
    TT_TRY(tt_attribute_int(node, "smooth_softmax", 0, &smooth, err));
    TT_TRY(tt_attribute_int(node, "qk_output", 0, &kept, err));
    TT_TRY(tt_attribute_float(node, "scale", 0.0f, &g->scale, err));
    TT_TRY(tt_attribute_float(node, "softcap", 0.0f, &g->softcap, err));
    g->append.turn.is_interleaved = interleaved != 0;
    g->has_sink = smooth == 1;
    if (!(g->softcap > 0.0f)) g->softcap = 0.0f;
    if (kept != 0 || node->n_outputs > SCORES)
        return tt_fail_at(node, err, TT_UNSUPPORTED, "an output of scores");
    for (int i = N_INPUTS; i < node->n_inputs; ++i)
        if (node->inputs[i] >= 0)
            return tt_fail_at(node, err, TT_UNSUPPORTED, "a quantised cache");
    if (g->heads >= 1 && g->heads <= INT32_MAX && g->append.heads >= 1 &&
        g->heads % g->append.heads == 0)
        return TT_OK;
    return tt_fail_at(node, err, TT_BAD_MODEL,
                      "%lld heads of queries over %lld of keys", (long long)g->heads,
                      (long long)g->append.heads);
}

static tt_status read_query(const tt_site *site, gqa *g, tt_error *err)
{
    const tt_shape *q = tt_input_shape(site, QUERY);
    tt_kv_append *a = &g->append;
    int64_t n_heads = g->heads;
    char text[128];
    g->is_packed = !tt_has_input(site, KEY);
    if (g->is_packed != !tt_has_input(site, VALUE))
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "keys or values without the other");
    if (g->is_packed) n_heads += 2 * a->heads;
    if (q->rank != 3 || !tt_dtype_is_float(q->dtype) || q->dims[2] < n_heads ||
        q->dims[2] % n_heads != 0)
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "query of %s %s: expected floats [batch, tokens, %lld heads "
                          "size]",
                          tt_dtype_name(q->dtype), tt_shape_text(q, text, sizeof text),
                          (long long)n_heads);
    g->dtype = a->turn.dtype = q->dtype;
    a->batch = q->dims[0];
    a->tokens = q->dims[1];
    g->width = q->dims[2];
    a->turn.head_size = g->width / n_heads;
    const int64_t kv[] = {a->batch, a->tokens, a->heads * a->turn.head_size};
    TT_TRY(tt_check_input(site, KEY, g->dtype, 3, kv, err));
    return tt_check_input(site, VALUE, g->dtype, 3, kv, err);
}

/* Sizes of the cache; the total length must be known. */
static tt_status read_cache(tt_site *site, gqa *g, tt_error *err)
{
    tt_kv_append *a = &g->append;
    const tt_shape *lengths = tt_input_shape(site, LENGTHS);
    int64_t total;
    int n;
    if (tt_has_input(site, PAST_K) != tt_has_input(site, PAST_V))
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "a past of keys or values without the other");
    if (tt_has_input(site, PAST_K) && tt_input_shape(site, PAST_K)->rank == 4)
        a->past = tt_input_shape(site, PAST_K)->dims[2];
    const int64_t cache[] = {a->batch, a->heads, a->past, a->turn.head_size};
    TT_TRY(tt_check_input(site, PAST_K, g->dtype, 4, cache, err));
    TT_TRY(tt_check_input(site, PAST_V, g->dtype, 4, cache, err));
    if (lengths->dtype != TT_S32 || tt_shape_numel(lengths) != a->batch)
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "seqlens_k must be one int32 per batch");
    TT_TRY(tt_need_ints(site, TOTAL, &total, 1, &n, err));
    if (n != 1 || total < 1 || total > INT32_MAX)
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "total_sequence_length must be one positive number");
    a->is_prompt = total == a->tokens;
    a->present = total > a->past ? total : a->past;
    return TT_OK;
}

static tt_status read_rotary(const tt_site *site, gqa *g, tt_error *err)
{
    tt_rotary_turn *turn = &g->append.turn;
    const tt_shape *table;
    int64_t rotates;
    TT_TRY(tt_attribute_int(site->node, "do_rotary", 0, &rotates, err));
    if (rotates == 0) return TT_OK;
    if (!tt_has_input(site, COS) || !tt_has_input(site, SIN))
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "do_rotary without tables of cosines and sines");
    table = tt_input_shape(site, COS);
    if (table->rank != 2 || table->dims[1] < 1 || table->dims[1] > turn->head_size / 2)
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "tables of cosines must have 1 to %lld columns",
                          (long long)(turn->head_size / 2));
    turn->n_rows = table->dims[0];
    turn->half = table->dims[1];
    TT_TRY(tt_check_input(site, COS, g->dtype, 2, table->dims, err));
    TT_TRY(tt_check_input(site, SIN, g->dtype, 2, table->dims, err));
    return tt_check_input(site, PLACES, TT_S64, 2,
                          (int64_t[]){g->append.batch, g->append.tokens}, err);
}

static tt_status check_bias(const tt_site *site, const gqa *g, tt_error *err)
{
    const int64_t wanted[] = {g->append.batch, g->heads, g->append.tokens,
                              g->append.present};
    const tt_shape *bias;
    bool fits;
    if (!tt_has_input(site, SCORE_BIAS)) return TT_OK;
    bias = tt_input_shape(site, SCORE_BIAS);
    fits = bias->rank == 4 && bias->dtype == g->dtype;
    for (int i = 0; fits && i < 4; ++i)
        fits = i == 3 ? bias->dims[i] <= wanted[i]
                      : bias->dims[i] == wanted[i] || bias->dims[i] == 1;
    if (fits) return TT_OK;
    return tt_fail_at(site->node, err, TT_BAD_MODEL,
                      "attention_bias must broadcast to [%lld,%lld,%lld,%lld]",
                      (long long)wanted[0], (long long)wanted[1], (long long)wanted[2],
                      (long long)wanted[3]);
}

static tt_status read_gqa(tt_site *site, gqa *g, tt_error *err)
{
    *g = (gqa){0};
    TT_TRY(tt_need_inputs(site, 1, err));
    if (!tt_has_input(site, LENGTHS) || !tt_has_input(site, TOTAL))
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "it has no seqlens_k or no total_sequence_length");
    TT_TRY(read_attributes(site->node, g, err));
    TT_TRY(read_query(site, g, err));
    TT_TRY(read_cache(site, g, err));
    TT_TRY(read_rotary(site, g, err));
    TT_TRY(check_bias(site, g, err));
    TT_TRY(tt_check_input(site, SINKS, g->dtype, 1, &g->heads, err));
    if (tt_has_input(site, SINKS)) g->has_sink = true;
    if (g->scale == 0.0f) g->scale = 1.0f / sqrtf((float)g->append.turn.head_size);
    return TT_OK;
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    gqa g;
    TT_TRY(read_gqa(site, &g, err));
    const tt_kv_append *a = &g.append;
    tt_shape cache = {
        g.dtype, 4, {a->batch, a->heads, a->present, a->turn.head_size}
    };
    out[Y] = (tt_shape){
        g.dtype, 3, {a->batch, a->tokens, g.heads * a->turn.head_size}
    };
    for (int i = 0; i < site->node->n_outputs; ++i) {
        if (i > Y) out[i] = cache;
        TT_TRY(tt_check_shape(site, &out[i], err));
    }
    return tt_check_shape(site, &cache, err);
}

/* ---- lowering --------------------------------------------------------------------- */

/* The output `present`, or memory of its own where nobody wants it. */
static tt_status lower_present(tt_lower *lower, const tt_node *node, const gqa *g,
                               int i, tt_operand *out, tt_error *err)
{
    const tt_kv_append *a = &g->append;
    tt_shape shape = {
        g->dtype, 4, {a->batch, a->heads, a->present, a->turn.head_size}
    };
    TT_TRY(tt_lower_dst(lower, node, i, TT_ORDER_ROW_MAJOR, out, err));
    if (*out != TT_NO_OPERAND) return TT_OK;
    return tt_lower_tensor(lower, &shape, NULL, out, err);
}

static tt_status lower_new(tt_lower *lower, const tt_node *node, const gqa *g, int i,
                           int64_t strides[3], tt_operand *out, tt_error *err)
{
    const int64_t *s;
    TT_TRY(
        tt_lower_src(lower, node, g->is_packed ? QUERY : i, TT_ORDER_ROWS, out, err));
    s = tt_operand_strides(lower, *out);
    strides[0] = s[0];
    strides[1] = g->append.turn.head_size;
    strides[2] = s[1];
    return TT_OK;
}

static tt_status lower_append(tt_lower *lower, const tt_node *node, const gqa *g,
                              tt_operand o[TT_APPEND_N], tt_error *err)
{
    static const int inputs[] = {PAST_K, PAST_V, LENGTHS, COS, SIN, PLACES};
    tt_kv_append a = g->append;
    const tt_shape totals = {TT_S64, 1, {a.batch}};
    const tt_shape rows = {
        TT_S64, 2, {a.batch, a.tokens}
    };
    tt_work work = {0};
    TT_TRY(lower_new(lower, node, g, KEY, a.k, &o[TT_APPEND_K], err));
    TT_TRY(lower_new(lower, node, g, VALUE, a.v, &o[TT_APPEND_V], err));
    if (g->is_packed) {
        a.k_offset = g->heads * a.turn.head_size;
        a.v_offset = (g->heads + a.heads) * a.turn.head_size;
    }
    for (int i = 0; i < 6; ++i) {
        o[TT_APPEND_PAST_K + i] = TT_NO_OPERAND;
        if (inputs[i] < COS || a.turn.half > 0)
            TT_TRY(tt_lower_src(lower, node, inputs[i], TT_ORDER_ROW_MAJOR,
                                &o[TT_APPEND_PAST_K + i], err));
    }
    TT_TRY(lower_present(lower, node, g, PRESENT_K, &o[TT_APPEND_PRESENT_K], err));
    TT_TRY(lower_present(lower, node, g, PRESENT_V, &o[TT_APPEND_PRESENT_V], err));
    TT_TRY(tt_lower_tensor(lower, &totals, NULL, &o[TT_APPEND_TOTALS], err));
    TT_TRY(tt_lower_tensor(lower, &rows, NULL, &o[TT_APPEND_ROWS], err));
    work.bytes =
        4.0 * (double)tt_shape_bytes(tt_operand_shape(lower, o[TT_APPEND_PRESENT_K]));
    TT_TRY(tt_lower_kernel(lower, node, "kv_append", tt_kv_append_run, &a, sizeof a, o,
                           TT_APPEND_N_SRC, TT_APPEND_N - TT_APPEND_N_SRC, &work, err));
    if (a.past == a.present) {
        tt_lower_share(lower, TT_APPEND_PAST_K, TT_APPEND_PRESENT_K);
        tt_lower_share(lower, TT_APPEND_PAST_V, TT_APPEND_PRESENT_V);
    }
    return TT_OK;
}

/* The queries [batch, tokens, heads, size], turned where they turn; strides are those of
 * [batch, heads, tokens, size]. */
static tt_status lower_queries(tt_lower *lower, const tt_node *node, const gqa *g,
                               const tt_operand append[TT_APPEND_N], tt_operand *out,
                               int64_t strides[4], tt_error *err)
{
    const tt_kv_append *a = &g->append;
    tt_rotary r = {.turn = a->turn,
                   .places = TT_ROTARY_BY_PLACE,
                   .batch = a->batch,
                   .heads = g->heads,
                   .tokens = a->tokens};
    tt_shape shape = {
        g->dtype, 3, {a->batch, a->tokens, g->heads * a->turn.head_size}
    };
    tt_work work = {.bytes = 2.0 * (double)tt_shape_bytes(&shape)};
    tt_operand o[TT_ROTARY_N] = {TT_NO_OPERAND, append[TT_APPEND_COS],
                                 append[TT_APPEND_SIN], append[TT_APPEND_ROWS],
                                 TT_NO_OPERAND};
    const int64_t *s;
    TT_TRY(tt_lower_src(lower, node, QUERY, TT_ORDER_ROWS, out, err));
    s = tt_operand_strides(lower, *out);
    memcpy(strides, (int64_t[]){s[0], a->turn.head_size, s[1], 1}, 4 * sizeof *strides);
    if (a->turn.half == 0) return TT_OK;
    o[TT_ROTARY_X] = *out;
    memcpy(r.x, strides, sizeof r.x);
    TT_TRY(tt_lower_tensor(lower, &shape, NULL, &o[TT_ROTARY_DST], err));
    *out = o[TT_ROTARY_DST];
    s = tt_operand_strides(lower, *out);
    strides[0] = s[0];
    strides[2] = s[1];
    memcpy(r.dst, strides, sizeof r.dst);
    return tt_lower_kernel(lower, node, "rotary", tt_rotary_run, &r, sizeof r, o,
                           TT_ROTARY_N_SRC, 1, &work, err);
}

static void fill_kernel(tt_attention_kernel *k, const gqa *g)
{
    const tt_kv_append *a = &g->append;
    k->dtype = k->value_dtype = g->dtype;
    k->batch = a->batch;
    k->heads = g->heads;
    k->heads_per_key = g->heads / a->heads;
    k->queries = a->tokens;
    k->keys = k->visible = a->present;
    k->head_size = k->value_size = a->turn.head_size;
    k->scale = g->scale;
    k->softcap = g->softcap;
    k->has_lengths = true;
    k->keeps_offset = a->is_prompt;
    k->right = 0;
    if (g->window > 0) k->left = g->window - 1;
    k->has_sink = g->has_sink;
    k->masked_is_zero = true;
}

static tt_status lower_gqa(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    tt_operand append[TT_APPEND_N], o[TT_ATTENTION_N];
    tt_attention_kernel k;
    const int64_t *s;
    bool fills_past;
    gqa g;
    TT_TRY(read_gqa(&site, &g, err));
    tt_attention_begin(&k, o);
    fill_kernel(&k, &g);
    fills_past = tt_has_input(&site, PAST_K) && g.append.past > 0 &&
                 !g.append.is_prompt && tt_attention_takes_past(&k);
    g.append.leaves_past = fills_past;
    TT_TRY(lower_append(lower, node, &g, append, err));
    TT_TRY(lower_queries(lower, node, &g, append, &o[TT_ATTENTION_Q], k.q, err));
    o[TT_ATTENTION_K] = append[TT_APPEND_PRESENT_K];
    o[TT_ATTENTION_V] = append[TT_APPEND_PRESENT_V];
    o[TT_ATTENTION_LENGTHS] = append[TT_APPEND_TOTALS];
    memcpy(k.k, tt_operand_strides(lower, o[TT_ATTENTION_K]), sizeof k.k);
    memcpy(k.v, tt_operand_strides(lower, o[TT_ATTENTION_V]), sizeof k.v);
    if (fills_past) TT_TRY(tt_attention_past_src(lower, node, PAST_K, &k, o, err));
    TT_TRY(tt_attention_mask_src(lower, node, SCORE_BIAS, &k, o, err));
    TT_TRY(tt_lower_src(lower, node, SINKS, TT_ORDER_ROW_MAJOR, &o[TT_ATTENTION_SINKS],
                        err));
    TT_TRY(tt_lower_dst(lower, node, Y, TT_ORDER_ROWS, &o[TT_ATTENTION_DST], err));
    if (o[TT_ATTENTION_DST] == TT_NO_OPERAND) {
        if (!fills_past) return TT_OK;
        TT_TRY(tt_lower_tensor(lower, tt_input_shape(&site, QUERY), NULL,
                               &o[TT_ATTENTION_DST], err));
    }
    s = tt_operand_strides(lower, o[TT_ATTENTION_DST]);
    memcpy(k.dst, (int64_t[]){s[0], g.append.turn.head_size, s[1], 1}, sizeof k.dst);
    TT_TRY(tt_attention_lower(lower, node, &k, o, err));
    if (fills_past && g.append.past == g.append.present) {
        tt_lower_share(lower, TT_ATTENTION_PAST_K, TT_ATTENTION_PRESENT_K);
        tt_lower_share(lower, TT_ATTENTION_PAST_V, TT_ATTENTION_PRESENT_V);
    }
    return TT_OK;
}

const tt_op tt_op_group_query_attention = {
    .name = "GroupQueryAttention",
    .domain = "com.microsoft",
    .since = 1,
    .summary = "causal attention over a cache, with rotary embedding",
    .infer = infer,
    .lower = lower_gqa};
