/* MultiHeadAttention of com.microsoft: queries, keys and values of any of its packings,
 * a bias for all of them, masks of keys, and a cache.
 *
 *   query [batch, tokens, heads size] or, with all three, [batch, tokens, heads, 3, size]
 *   key   [batch, keys, heads size], [batch, heads, keys, size] or, with the values,
 *         [batch, keys, heads, 2, size] */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "ops/attention_common.h"
#include "ops/fail.h"
#include "ops/heads.h"
#include "ops/move.h"
#include "ops/padding_mask.h"

enum { QUERY, KEY, VALUE, BIAS, MASK, SCORE_BIAS, PAST_K, PAST_V, PAST_LENGTH };
enum { Y, PRESENT_K, PRESENT_V, SCORES };

/* How a tensor of heads lies in its input. */
typedef struct {
    int input;
    int64_t part, n_parts; /* part of n between the heads and the items */
    bool is_split;         /* [batch, heads, tokens, size] */
    int64_t dims[4];       /* batch, heads, tokens, size */
} packing;

typedef struct {
    packing q, k, v;
    int64_t heads, past, keys;
    float scale;
    bool is_causal;
    tt_padding padding;
} attention;

/* ---- shapes ----------------------------------------------------------------------- */

/* The heads of input p->input, of which p says the part. */
static tt_status read_packing(const tt_site *site, int64_t heads, packing *p,
                              tt_error *err)
{
    const tt_shape *x = tt_input_shape(site, p->input);
    const int64_t *d = x->dims;
    char text[128];
    p->is_split = p->n_parts == 1 && x->rank == 4;
    if (p->is_split && d[1] == heads)
        memcpy(p->dims, d, sizeof p->dims);
    else if (p->n_parts > 1 && x->rank == 5 && d[2] == heads && d[3] == p->n_parts)
        memcpy(p->dims, (int64_t[]){d[0], heads, d[1], d[4]}, sizeof p->dims);
    else if (p->n_parts == 1 && x->rank == 3 && d[2] % heads == 0)
        memcpy(p->dims, (int64_t[]){d[0], heads, d[1], d[2] / heads}, sizeof p->dims);
    else
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "input %d of shape %s does not hold %lld heads", p->input,
                          tt_shape_text(x, text, sizeof text), (long long)heads);
    if (tt_dtype_is_float(x->dtype) && x->dtype == tt_input_shape(site, QUERY)->dtype)
        return TT_OK;
    return tt_fail_at(site->node, err, TT_BAD_MODEL,
                      "input %d is %s: expected one float type", p->input,
                      tt_dtype_name(x->dtype));
}

static tt_status read_packings(const tt_site *site, attention *a, tt_error *err)
{
    bool has_key = tt_has_input(site, KEY), has_value = tt_has_input(site, VALUE);
    int64_t width;
    if (has_value && !has_key)
        return tt_fail_at(site->node, err, TT_BAD_MODEL, "values without keys");
    a->q = (packing){.input = QUERY, .n_parts = has_key ? 1 : 3};
    a->k = (packing){.input = has_key ? KEY : QUERY,
                     .part = has_key ? 0 : 1,
                     .n_parts = !has_key    ? 3
                                : has_value ? 1
                                            : 2};
    a->v = (packing){.input = has_value ? VALUE : a->k.input,
                     .part = has_value ? 0 : a->k.part + 1,
                     .n_parts = a->k.n_parts};
    TT_TRY(read_packing(site, a->heads, &a->q, err));
    TT_TRY(read_packing(site, a->heads, &a->k, err));
    TT_TRY(read_packing(site, a->heads, &a->v, err));
    if (!tt_mul_i64(a->heads, a->q.dims[3], &width) || width > INT64_MAX / 4)
        return tt_fail_at(site->node, err, TT_LIMIT, "too many heads");
    if (a->q.is_split || a->k.dims[0] != a->q.dims[0] || a->v.dims[0] != a->q.dims[0] ||
        a->k.dims[3] != a->q.dims[3] || a->v.dims[2] != a->k.dims[2])
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "its queries, keys and values do not go together");
    return TT_OK;
}

static tt_status read_past(const tt_site *site, attention *a, tt_error *err)
{
    const packing *parts[] = {&a->k, &a->v};
    a->keys = a->k.dims[2];
    if (tt_has_input(site, PAST_K) != tt_has_input(site, PAST_V))
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "a past of keys or values without the other");
    if (!tt_has_input(site, PAST_K)) return TT_OK;
    if (tt_input_shape(site, PAST_K)->rank == 4)
        a->past = tt_input_shape(site, PAST_K)->dims[2];
    for (int i = 0; i < 2; ++i) {
        const int64_t *d = parts[i]->dims;
        tt_shape wanted = {
            tt_input_shape(site, QUERY)->dtype, 4, {d[0], d[1], a->past, d[3]}
        };
        const tt_shape *past = tt_input_shape(site, PAST_K + i);
        char text[128];
        if (!tt_shape_equal(past, &wanted))
            return tt_fail_at(site->node, err, TT_BAD_MODEL,
                              "a past of %s %s does not go with the others",
                              tt_dtype_name(past->dtype),
                              tt_shape_text(past, text, sizeof text));
    }
    if (!tt_add_i64(a->keys, a->past, &a->keys))
        return tt_fail_at(site->node, err, TT_LIMIT, "too many keys");
    return TT_OK;
}

/* The bias of queries, keys and values one behind the other. */
static tt_status check_bias(const tt_site *site, const attention *a, tt_error *err)
{
    const tt_shape *bias;
    int64_t width, n;
    if (!tt_has_input(site, BIAS)) return TT_OK;
    bias = tt_input_shape(site, BIAS);
    width = a->heads * a->q.dims[3]; /* dims of a checked shape */
    if (bias->dtype == tt_input_shape(site, QUERY)->dtype && bias->rank == 1 &&
        tt_add_i64(2 * width, a->heads * a->v.dims[3], &n) && bias->dims[0] == n)
        return TT_OK;
    return tt_fail_at(site->node, err, TT_BAD_MODEL,
                      "a bias of %lld %s does not go with its inputs",
                      (long long)tt_shape_numel(bias), tt_dtype_name(bias->dtype));
}

static tt_status read_attributes(const tt_node *node, attention *a, tt_error *err)
{
    int64_t causal;
    TT_TRY(tt_attribute_int(node, "num_heads", 0, &a->heads, err));
    TT_TRY(tt_attribute_int(node, "unidirectional", 0, &causal, err));
    TT_TRY(tt_attribute_float(node, "scale", 0.0f, &a->scale, err));
    TT_TRY(tt_attribute_float(node, "mask_filter_value", -10000.0f, &a->padding.filter,
                              err));
    a->is_causal = causal != 0;
    if (a->heads >= 1) return TT_OK;
    return tt_fail_at(node, err, TT_BAD_MODEL, "num_heads is %lld",
                      (long long)a->heads);
}

static tt_status read_attention(const tt_site *site, attention *a, tt_error *err)
{
    *a = (attention){0};
    TT_TRY(tt_need_inputs(site, 1, err));
    for (int i = PAST_LENGTH; i < site->node->n_inputs; ++i)
        if (tt_has_input(site, i))
            return tt_fail_at(site->node, err, TT_UNSUPPORTED,
                              "a cache that is longer than what it holds (input %d)",
                              i);
    TT_TRY(read_attributes(site->node, a, err));
    TT_TRY(read_packings(site, a, err));
    TT_TRY(read_past(site, a, err));
    TT_TRY(check_bias(site, a, err));
    if (a->scale == 0.0f && a->q.dims[3] > 0)
        a->scale = 1.0f / sqrtf((float)a->q.dims[3]);
    a->padding.batch = a->q.dims[0];
    a->padding.heads = a->heads;
    a->padding.queries = a->q.dims[2];
    a->padding.past = a->past;
    a->padding.keys = a->keys;
    a->padding.mask = MASK;
    a->padding.bias = SCORE_BIAS;
    return tt_padding_check(site, &a->padding, err);
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_node *node = site->node;
    tt_dtype dtype;
    attention a;
    int64_t width;
    TT_TRY(read_attention(site, &a, err));
    dtype = tt_input_shape(site, QUERY)->dtype;
    if (!tt_mul_i64(a.heads, a.v.dims[3], &width) || node->n_outputs > 4)
        return tt_fail_at(node, err, TT_BAD_MODEL, "has %d outputs, or too large ones",
                          node->n_outputs);
    const int64_t batch = a.q.dims[0], queries = a.q.dims[2];
    const tt_shape made[] = {
        {dtype, 3, {batch, queries, width}              },
        {dtype, 4, {batch, a.heads, a.keys, a.k.dims[3]}},
        {dtype, 4, {batch, a.heads, a.keys, a.v.dims[3]}},
        {dtype, 4, {batch, a.heads, queries, a.keys}    },
    };
    for (int i = 0; i < node->n_outputs; ++i) {
        out[i] = made[i];
        TT_TRY(tt_check_shape(site, &out[i], err));
    }
    return TT_OK;
}

/* ---- lowering --------------------------------------------------------------------- */

static tt_status lower_packing(tt_lower *lower, const tt_node *node, const packing *p,
                               tt_heads *out, tt_error *err)
{
    const int64_t *s;
    TT_TRY(tt_lower_src(lower, node, p->input,
                        p->n_parts == 1 && !p->is_split ? TT_ORDER_ROWS : TT_ORDER_ANY,
                        &out->operand, err));
    s = tt_operand_strides(lower, out->operand);
    out->dtype = tt_operand_shape(lower, out->operand)->dtype;
    out->offset = 0;
    memcpy(out->dims, p->dims, sizeof out->dims);
    if (p->is_split) {
        memcpy(out->strides, s, sizeof out->strides);
    } else if (p->n_parts == 1) {
        memcpy(out->strides, (int64_t[]){s[0], p->dims[3] * s[2], s[1], s[2]},
               sizeof out->strides);
    } else {
        memcpy(out->strides, (int64_t[]){s[0], s[2], s[1], s[4]}, sizeof out->strides);
        out->offset = p->part * s[3];
    }
    return TT_OK;
}

/* Heads as they are, or a copy with the bias. */
static tt_status with_bias(tt_lower *lower, const tt_node *node, tt_operand bias,
                           int64_t bias_offset, tt_heads *heads, tt_error *err)
{
    tt_heads made;
    if (bias == TT_NO_OPERAND && heads->offset == 0) return TT_OK;
    TT_TRY(tt_heads_new(lower, heads->dtype, heads->dims, &made, err));
    TT_TRY(tt_heads_place(lower, node, heads, bias, bias_offset, &made, 0, err));
    *heads = made;
    return TT_OK;
}

/* Keys or values with their bias behind the past, also as an output. */
static tt_status lower_keys(tt_lower *lower, const tt_node *node, const attention *a,
                            bool is_key, tt_operand bias, tt_heads *heads,
                            tt_error *err)
{
    const packing *p = is_key ? &a->k : &a->v;
    int past = is_key ? PAST_K : PAST_V, present = is_key ? PRESENT_K : PRESENT_V;
    int64_t at = (is_key ? 1 : 2) * a->heads * a->k.dims[3];
    tt_operand operand = TT_NO_OPERAND, before;
    tt_heads whole, old;
    TT_TRY(lower_packing(lower, node, p, heads, err));
    if (p->is_split) bias = TT_NO_OPERAND; /* they come from another layer's cache */
    TT_TRY(tt_lower_dst(lower, node, present, TT_ORDER_ROW_MAJOR, &operand, err));
    if (operand == TT_NO_OPERAND && a->past == 0)
        return with_bias(lower, node, bias, at, heads, err);
    if (operand == TT_NO_OPERAND) {
        tt_shape shape = {
            heads->dtype, 4, {p->dims[0], a->heads, a->keys, p->dims[3]}
        };
        TT_TRY(tt_lower_tensor(lower, &shape, NULL, &operand, err));
    }
    tt_heads_of(lower, operand, &whole);
    TT_TRY(tt_heads_place(lower, node, heads, bias, at, &whole, a->past, err));
    *heads = whole;
    if (a->past == 0) return TT_OK;
    TT_TRY(tt_lower_src(lower, node, past, TT_ORDER_ANY, &before, err));
    tt_heads_of(lower, before, &old);
    return tt_heads_place(lower, node, &old, TT_NO_OPERAND, 0, &whole, 0, err);
}

static void fill_kernel(tt_attention_kernel *k, const attention *a)
{
    k->batch = a->q.dims[0];
    k->heads = a->heads;
    k->queries = a->q.dims[2];
    k->keys = k->visible = a->keys;
    k->head_size = a->q.dims[3];
    k->value_size = a->v.dims[3];
    k->scale = a->scale;
    k->offset = a->past;
    if (a->is_causal) k->right = 0;
    k->masked_is_zero = true;
}

/* The result [batch, tokens, heads size] as heads. */
static tt_status lower_result(tt_lower *lower, const tt_node *node, const attention *a,
                              tt_attention_kernel *k, tt_operand *o, tt_error *err)
{
    int64_t *s;
    TT_TRY(tt_lower_dst(lower, node, Y, TT_ORDER_ROWS, &o[TT_ATTENTION_DST], err));
    if (o[TT_ATTENTION_DST] == TT_NO_OPERAND) {
        tt_shape y = {
            k->dtype, 3, {k->batch, k->queries, k->heads * k->value_size}
        };
        TT_TRY(tt_lower_tensor(lower, &y, NULL, &o[TT_ATTENTION_DST], err));
    }
    s = k->dst;
    memcpy(s, tt_operand_strides(lower, o[TT_ATTENTION_DST]), 2 * sizeof *s);
    s[2] = s[1];
    s[1] = a->v.dims[3];
    s[3] = 1;
    TT_TRY(tt_lower_dst(lower, node, SCORES, TT_ORDER_ROW_MAJOR,
                        &o[TT_ATTENTION_SCORES], err));
    if (o[TT_ATTENTION_SCORES] == TT_NO_OPERAND) return TT_OK;
    k->scores_kind = TT_SCORES_RAW;
    memcpy(k->scores, tt_operand_strides(lower, o[TT_ATTENTION_SCORES]),
           sizeof k->scores);
    return TT_OK;
}

static tt_status lower_attention(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    tt_operand o[TT_ATTENTION_N], bias;
    tt_attention_kernel k;
    tt_heads q, keys, values;
    attention a;
    TT_TRY(read_attention(&site, &a, err));
    tt_attention_begin(&k, o);
    k.dtype = k.value_dtype = tt_input_shape(&site, QUERY)->dtype;
    fill_kernel(&k, &a);
    TT_TRY(tt_lower_src(lower, node, BIAS, TT_ORDER_ROW_MAJOR, &bias, err));
    TT_TRY(lower_packing(lower, node, &a.q, &q, err));
    TT_TRY(with_bias(lower, node, bias, 0, &q, err));
    TT_TRY(lower_keys(lower, node, &a, true, bias, &keys, err));
    TT_TRY(lower_keys(lower, node, &a, false, bias, &values, err));
    o[TT_ATTENTION_Q] = q.operand;
    o[TT_ATTENTION_K] = keys.operand;
    o[TT_ATTENTION_V] = values.operand;
    memcpy(k.q, q.strides, sizeof k.q);
    memcpy(k.k, keys.strides, sizeof k.k);
    memcpy(k.v, values.strides, sizeof k.v);
    TT_TRY(tt_padding_lower(lower, node, &a.padding, &o[TT_ATTENTION_MASK], err));
    tt_attention_mask_of(lower, &k, o[TT_ATTENTION_MASK]);
    TT_TRY(lower_result(lower, node, &a, &k, o, err));
    return tt_attention_lower(lower, node, &k, o, err);
}

const tt_op tt_op_multi_head_attention = {
    .name = "MultiHeadAttention",
    .domain = "com.microsoft",
    .since = 1,
    .summary = "attention over packed heads, with bias, mask and cache",
    .infer = infer,
    .lower = lower_attention};
