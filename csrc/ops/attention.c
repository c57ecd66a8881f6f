/* Attention (opsets 23, 24, 25): queries against keys and values in one step, with the
 * past of a cache in front when there is one.
 *
 * Inputs and results are [batch, heads, tokens, size] or [batch, tokens, heads size]; the
 * difference is one of strides. */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "ops/attention_common.h"
#include "ops/fail.h"
#include "ops/move.h"

enum { Q, K, V, MASK, PAST_K, PAST_V, LENGTHS };
enum { Y, PRESENT_K, PRESENT_V, SCORES };

/* What attributes and shapes say. */
typedef struct {
    int rank; /* of Q, K, V: 3 or 4 */
    int64_t batch, heads, key_heads, queries, past, keys, head_size, value_size;
    float scale, softcap;
    int64_t is_causal, scores_kind, left, right;
} attention;

/* ---- shapes ----------------------------------------------------------------------- */

static tt_status read_heads(const tt_site *site, const char *name, int i,
                            int64_t *heads, int64_t *size, tt_error *err)
{
    const tt_shape *shape = tt_input_shape(site, i);
    int64_t width;
    if (shape->rank == 4) {
        *heads = shape->dims[1];
        *size = shape->dims[3];
        return TT_OK;
    }
    width = shape->dims[2];
    TT_TRY(tt_attribute_int(site->node, name, 0, heads, err));
    if (*heads < 1 || width % *heads != 0)
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "attribute '%s' is %lld, which does not divide %lld", name,
                          (long long)*heads, (long long)width);
    *size = width / *heads;
    return TT_OK;
}

static tt_status check_floats(const tt_site *site, tt_error *err)
{
    static const int SAME[] = {Q, K, PAST_K, V, PAST_V};
    const tt_shape *first[] = {tt_input_shape(site, Q), tt_input_shape(site, V)};
    for (int i = 0; i < 5; ++i) {
        const tt_shape *shape;
        int which = i < 3 ? 0 : 1, rank = SAME[i] <= V ? first[0]->rank : 4;
        if (!tt_has_input(site, SAME[i])) continue;
        shape = tt_input_shape(site, SAME[i]);
        if (!tt_dtype_is_float(shape->dtype) || shape->dtype != first[which]->dtype)
            return tt_fail_at(site->node, err, TT_BAD_MODEL,
                              "input %d is %s, input %d is %s: expected one float type",
                              SAME[i], tt_dtype_name(shape->dtype), which == 0 ? Q : V,
                              tt_dtype_name(first[which]->dtype));
        if (shape->rank != rank || (rank != 3 && rank != 4))
            return tt_fail_at(site->node, err, TT_BAD_MODEL,
                              "input %d has rank %d, expected %s", SAME[i], shape->rank,
                              SAME[i] <= V ? "that of input 0, 3 or 4" : "4");
    }
    return TT_OK;
}

static tt_status read_sizes(const tt_site *site, attention *a, tt_error *err)
{
    const tt_shape *q = tt_input_shape(site, Q), *k = tt_input_shape(site, K);
    const tt_shape *v = tt_input_shape(site, V);
    int64_t value_heads, key_size;
    a->rank = q->rank;
    TT_TRY(read_heads(site, "q_num_heads", Q, &a->heads, &a->head_size, err));
    TT_TRY(read_heads(site, "kv_num_heads", K, &a->key_heads, &key_size, err));
    TT_TRY(read_heads(site, "kv_num_heads", V, &value_heads, &a->value_size, err));
    a->batch = q->dims[0];
    a->queries = q->dims[a->rank - 2];
    a->keys = k->dims[a->rank - 2];
    if (k->dims[0] != a->batch || v->dims[0] != a->batch ||
        v->dims[a->rank - 2] != a->keys || value_heads != a->key_heads ||
        key_size != a->head_size || a->key_heads < 1 || a->heads % a->key_heads != 0) {
        char qs[96], ks[96], vs[96];
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "%s of Q, %s of K and %s of V do not go together",
                          tt_shape_text(q, qs, sizeof qs),
                          tt_shape_text(k, ks, sizeof ks),
                          tt_shape_text(v, vs, sizeof vs));
    }
    return TT_OK;
}

/* The caches are [batch, key heads, past, size]; adds the past to the keys. */
static tt_status read_past(const tt_site *site, attention *a, tt_error *err)
{
    bool has_past = tt_has_input(site, PAST_K);
    a->past = 0;
    if (has_past != tt_has_input(site, PAST_V))
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "a past of keys or values without the other");
    if (!has_past) return TT_OK;
    a->past = tt_input_shape(site, PAST_K)->dims[2];
    for (int i = PAST_K; i <= PAST_V; ++i) {
        const tt_shape *shape = tt_input_shape(site, i);
        int64_t size = i == PAST_K ? a->head_size : a->value_size;
        char text[96];
        if (shape->dims[0] != a->batch || shape->dims[1] != a->key_heads ||
            shape->dims[2] != a->past || shape->dims[3] != size)
            return tt_fail_at(site->node, err, TT_BAD_MODEL,
                              "input %d of shape %s does not go with the others", i,
                              tt_shape_text(shape, text, sizeof text));
    }
    if (!tt_add_i64(a->keys, a->past, &a->keys))
        return tt_fail_at(site->node, err, TT_LIMIT, "too many keys");
    return TT_OK;
}

static tt_status check_mask(const tt_site *site, const attention *a, tt_error *err)
{
    const int64_t wanted[] = {a->batch, a->heads, a->queries, a->keys};
    const tt_shape *mask;
    char text[96];
    bool fits;
    if (!tt_has_input(site, MASK)) return TT_OK;
    mask = tt_input_shape(site, MASK);
    fits = mask->rank >= 1 && mask->rank <= 4 &&
           (mask->dtype == TT_BOOL || tt_dtype_is_float(mask->dtype));
    for (int i = 0; i < mask->rank && fits; ++i) {
        int at = i + 4 - mask->rank;
        fits = at == 3 ? mask->dims[i] <= a->keys
                       : mask->dims[i] == 1 || mask->dims[i] == wanted[at];
    }
    if (fits) return TT_OK;
    return tt_fail_at(site->node, err, TT_BAD_MODEL,
                      "mask of %s %s, expected bool or float that broadcasts to "
                      "[%lld,%lld,%lld,%lld]",
                      tt_dtype_name(mask->dtype),
                      tt_shape_text(mask, text, sizeof text), (long long)wanted[0],
                      (long long)wanted[1], (long long)wanted[2], (long long)wanted[3]);
}

static tt_status check_lengths(const tt_site *site, const attention *a, tt_error *err)
{
    const tt_shape *lengths;
    if (!tt_has_input(site, LENGTHS)) return TT_OK;
    lengths = tt_input_shape(site, LENGTHS);
    if (lengths->dtype != TT_S64 || lengths->rank != 1 || lengths->dims[0] != a->batch)
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "nonpad_kv_seqlen must be one int64 per batch");
    if (tt_has_input(site, PAST_K))
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "nonpad_kv_seqlen together with a past");
    return TT_OK;
}

static tt_status read_window(const tt_node *node, const char *name, int64_t *out,
                             tt_error *err)
{
    TT_TRY(tt_attribute_int(node, name, -1, out, err));
    if (*out < -1)
        return tt_fail_at(node, err, TT_BAD_MODEL, "attribute '%s' is %lld", name,
                          (long long)*out);
    if (*out == -1 || *out > TT_ATTENTION_UNBOUNDED) *out = TT_ATTENTION_UNBOUNDED;
    return TT_OK;
}

static tt_status read_attributes(const tt_node *node, attention *a, tt_error *err)
{
    float usual = a->head_size > 0 ? 1.0f / sqrtf((float)a->head_size) : 1.0f;
    TT_TRY(tt_attribute_float(node, "scale", usual, &a->scale, err));
    TT_TRY(tt_attribute_float(node, "softcap", 0.0f, &a->softcap, err));
    TT_TRY(tt_attribute_int(node, "is_causal", 0, &a->is_causal, err));
    TT_TRY(tt_attribute_int(node, "qk_matmul_output_mode", 0, &a->scores_kind, err));
    if (a->scores_kind < TT_SCORES_RAW || a->scores_kind > TT_SCORES_SOFTMAX)
        return tt_fail_at(node, err, TT_BAD_MODEL, "qk_matmul_output_mode is %lld",
                          (long long)a->scores_kind);
    TT_TRY(read_window(node, "left_window_size", &a->left, err));
    TT_TRY(read_window(node, "right_window_size", &a->right, err));
    if (a->is_causal != 0) a->right = 0;
    if (!(a->softcap > 0.0f)) a->softcap = 0.0f;
    return TT_OK;
}

static tt_status read_attention(const tt_site *site, attention *a, tt_error *err)
{
    TT_TRY(tt_need_inputs(site, 3, err));
    TT_TRY(check_floats(site, err));
    TT_TRY(read_sizes(site, a, err));
    TT_TRY(read_past(site, a, err));
    TT_TRY(check_mask(site, a, err));
    TT_TRY(check_lengths(site, a, err));
    return read_attributes(site->node, a, err);
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_node *node = site->node;
    tt_dtype dtype, value_dtype;
    attention a;
    int64_t width;
    TT_TRY(read_attention(site, &a, err));
    dtype = tt_input_shape(site, Q)->dtype;
    value_dtype = tt_input_shape(site, V)->dtype;
    if (node->n_outputs > 4)
        return tt_fail_at(node, err, TT_BAD_MODEL, "has %d outputs", node->n_outputs);
    const tt_shape made[] = {
        {dtype,       4, {a.batch, a.heads, a.queries, a.value_size} },
        {dtype,       4, {a.batch, a.key_heads, a.keys, a.head_size} },
        {value_dtype, 4, {a.batch, a.key_heads, a.keys, a.value_size}},
        {dtype,       4, {a.batch, a.heads, a.queries, a.keys}       },
    };
    for (int i = 0; i < node->n_outputs; ++i)
        out[i] = made[i];
    if (!tt_mul_i64(a.heads, a.value_size, &width))
        return tt_fail_at(node, err, TT_LIMIT, "its result is too large");
    if (a.rank == 3)
        out[Y] = (tt_shape){
            dtype, 3, {a.batch, a.queries, width}
        };
    for (int i = 0; i < node->n_outputs; ++i)
        TT_TRY(tt_check_shape(site, &out[i], err));
    return TT_OK;
}

/* ---- lowering --------------------------------------------------------------------- */

/* An operand of rank 3 or 4 as [batch, heads, tokens, size]. */
static void strides_of(const tt_lower *lower, tt_operand operand, int64_t size,
                       int64_t strides[4])
{
    const int64_t *from = tt_operand_strides(lower, operand);
    if (tt_operand_shape(lower, operand)->rank == 4) {
        memcpy(strides, from, 4 * sizeof *from);
        return;
    }
    strides[0] = from[0];
    strides[1] = size * from[2];
    strides[2] = from[1];
    strides[3] = from[2];
}

/* The past (or room for it) and the new tokens one after the other: *out is what attention reads, and
 * the output `present`, which may be absent. */
static tt_status join_past(tt_lower *lower, const tt_node *node, const attention *a,
                           int past, int64_t size, int present, bool leaves_past,
                           tt_operand *out, tt_error *err)
{
    const tt_graph *graph = tt_lower_graph(lower);
    tt_shape whole = {
        graph->values[node->inputs[past]].shape.dtype,
        4,
        {a->batch, a->key_heads, a->keys, size}
    };
    tt_shape new = whole;
    int64_t strides[TT_MAX_RANK] = {0}, to[TT_MAX_RANK];
    tt_operand joined = TT_NO_OPERAND, before;
    if (present < node->n_outputs)
        TT_TRY(tt_lower_dst(lower, node, present, TT_ORDER_ROW_MAJOR, &joined, err));
    if (joined == TT_NO_OPERAND)
        TT_TRY(tt_lower_tensor(lower, &whole, NULL, &joined, err));
    memcpy(to, tt_operand_strides(lower, joined), sizeof to);
    strides_of(lower, *out, size, strides);
    new.dims[2] = a->keys - a->past;
    if (tt_shape_numel(&new) > 0)
        TT_TRY(tt_move(lower, node, &new, (tt_move_end){*out, strides, 0},
                       (tt_move_end){joined, to, a->past * to[2]}, err));
    *out = joined;
    if (leaves_past) return TT_OK;
    TT_TRY(tt_lower_src(lower, node, past, TT_ORDER_ANY, &before, err));
    whole.dims[2] = a->past;
    if (tt_shape_numel(&whole) == 0) return TT_OK;
    memcpy(strides, tt_operand_strides(lower, before), sizeof strides);
    return tt_move(lower, node, &whole, (tt_move_end){before, strides, 0},
                   (tt_move_end){joined, to, 0}, err);
}

/* Keys or values: input i, behind its past. */
static tt_status lower_keys(tt_lower *lower, const tt_node *node, const attention *a,
                            int i, int past, int64_t size, int present,
                            bool leaves_past, tt_operand *out, tt_error *err)
{
    int64_t strides[TT_MAX_RANK] = {0};
    TT_TRY(tt_lower_src(lower, node, i, TT_ORDER_ANY, out, err));
    if (past < node->n_inputs && node->inputs[past] >= 0)
        return join_past(lower, node, a, past, size, present, leaves_past, out, err);
    strides_of(lower, *out, size, strides);
    return tt_lower_view(lower, node, present, *out, strides, 0, err);
}

static void fill_kernel(tt_attention_kernel *k, const attention *a)
{
    k->batch = a->batch;
    k->heads = a->heads;
    if (a->heads > 0) k->heads_per_key = a->heads / a->key_heads; /* else stays 1 */
    k->queries = a->queries;
    k->keys = k->visible = a->keys;
    k->head_size = a->head_size;
    k->value_size = a->value_size;
    k->scale = a->scale;
    k->softcap = a->softcap;
    k->offset = a->past;
    k->left = a->left;
    k->right = a->right;
    k->masked_is_zero = true;
}

/* Else attention runs by another kernel, which wants the keys in one piece. */
static bool has_f32_mask(const tt_site *site)
{
    tt_dtype dtype = TT_BOOL;
    if (tt_has_input(site, MASK)) dtype = tt_input_shape(site, MASK)->dtype;
    return dtype == TT_BOOL || dtype == TT_F32;
}

static tt_status lower_attention(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    tt_operand o[TT_ATTENTION_N];
    tt_attention_kernel k;
    bool fills_past;
    attention a;
    TT_TRY(read_attention(&site, &a, err));
    tt_attention_begin(&k, o);
    fill_kernel(&k, &a);
    k.dtype = tt_input_shape(&site, Q)->dtype;
    k.value_dtype = tt_input_shape(&site, V)->dtype;
    k.rounds = tt_attribute_find(node, "mixed_bf16") != NULL;
    k.has_lengths = tt_has_input(&site, LENGTHS);
    TT_TRY(tt_lower_src(lower, node, Q, TT_ORDER_ANY, &o[TT_ATTENTION_Q], err));
    fills_past = a.past > 0 && tt_attention_takes_past(&k) && has_f32_mask(&site);
    TT_TRY(lower_keys(lower, node, &a, K, PAST_K, a.head_size, PRESENT_K, fills_past,
                      &o[TT_ATTENTION_K], err));
    TT_TRY(lower_keys(lower, node, &a, V, PAST_V, a.value_size, PRESENT_V, fills_past,
                      &o[TT_ATTENTION_V], err));
    if (fills_past) TT_TRY(tt_attention_past_src(lower, node, PAST_K, &k, o, err));
    TT_TRY(tt_attention_mask_src(lower, node, MASK, &k, o, err));
    TT_TRY(tt_lower_src(lower, node, LENGTHS, TT_ORDER_ROW_MAJOR,
                        &o[TT_ATTENTION_LENGTHS], err));
    TT_TRY(tt_lower_dst(lower, node, Y, TT_ORDER_ANY, &o[TT_ATTENTION_DST], err));
    TT_TRY(tt_lower_dst(lower, node, SCORES, TT_ORDER_ROW_MAJOR,
                        &o[TT_ATTENTION_SCORES], err));
    if (o[TT_ATTENTION_DST] == TT_NO_OPERAND &&
        o[TT_ATTENTION_SCORES] == TT_NO_OPERAND && !fills_past)
        return TT_OK;
    if (o[TT_ATTENTION_DST] == TT_NO_OPERAND) {
        tt_shape y = {
            k.dtype, 4, {a.batch, a.heads, a.queries, a.value_size}
        };
        TT_TRY(tt_lower_tensor(lower, &y, NULL, &o[TT_ATTENTION_DST], err));
    }
    strides_of(lower, o[TT_ATTENTION_Q], a.head_size, k.q);
    strides_of(lower, o[TT_ATTENTION_K], a.head_size, k.k);
    strides_of(lower, o[TT_ATTENTION_V], a.value_size, k.v);
    strides_of(lower, o[TT_ATTENTION_DST], a.value_size, k.dst);
    if (o[TT_ATTENTION_SCORES] != TT_NO_OPERAND) {
        k.scores_kind = (tt_attention_scores)a.scores_kind;
        strides_of(lower, o[TT_ATTENTION_SCORES], a.keys, k.scores);
    }
    return tt_attention_lower(lower, node, &k, o, err);
}

const tt_op tt_op_attention = {.name = "Attention",
                               .domain = "",
                               .since = 23,
                               .summary = "softmax(scale Q K^T + mask) V, with a cache",
                               .infer = infer,
                               .lower = lower_attention};
