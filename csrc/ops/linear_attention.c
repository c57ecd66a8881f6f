/* LinearAttention (27): a recurrent state in place of keys and values. */
#include "kernels/linear_attention.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "ops/fail.h"
#include "ops/move.h"

enum { Q, K, V, PAST, DECAY, BETA };
enum { Y, PRESENT };

typedef struct {
    const char *name;
    bool has_decay, is_delta;
} update_rule;

static const update_rule RULES[] = {
    {"linear",      false, false},
    {"gated",       true,  false},
    {"delta",       false, true },
    {"gated_delta", true,  true },
};

static tt_status read_rule(const tt_node *node, const update_rule **out, tt_error *err)
{
    const char *name;
    TT_TRY(tt_attribute_string(node, "update_rule", "gated_delta", &name, err));
    for (size_t i = 0; i < sizeof RULES / sizeof *RULES; ++i) {
        *out = &RULES[i];
        if (strcmp(name, RULES[i].name) == 0) return TT_OK;
    }
    return tt_fail_at(node, err, TT_BAD_MODEL,
                      "update_rule is '%.40s', expected linear, gated, delta or "
                      "gated_delta",
                      name);
}

static bool is_rows(const tt_site *site, int i, const tt_linear_attention *p,
                    int64_t width)
{
    const tt_shape *shape = tt_input_shape(site, i);
    return shape->rank == 3 && shape->dtype == p->dtype && shape->dims[0] == p->batch &&
           shape->dims[1] == p->tokens && shape->dims[2] == width;
}

static tt_status bad_input(const tt_site *site, int i, const char *expected,
                           tt_error *err)
{
    const tt_shape *shape = tt_input_shape(site, i);
    char text[128];
    return tt_fail_at(site->node, err, TT_BAD_MODEL, "input %d is %s %s, expected %s",
                      i, tt_dtype_name(shape->dtype),
                      tt_shape_text(shape, text, sizeof text), expected);
}

static tt_status read_heads(const tt_site *site, tt_linear_attention *p, tt_error *err)
{
    const tt_shape *q = tt_input_shape(site, Q), *v = tt_input_shape(site, V);
    int64_t q_heads;
    TT_TRY(tt_attribute_int(site->node, "q_num_heads", 0, &q_heads, err));
    TT_TRY(tt_attribute_int(site->node, "kv_num_heads", 0, &p->heads, err));
    if (p->heads < 1 || q_heads < 1 || q_heads % p->heads != 0)
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "%lld heads of queries over %lld of keys", (long long)q_heads,
                          (long long)p->heads);
    if (!tt_dtype_is_float(q->dtype) || q->rank != 3 || q->dims[2] % q_heads != 0)
        return bad_input(site, Q, "floats [batch, tokens, q_num_heads size]", err);
    if (v->rank != 3 || v->dims[2] % p->heads != 0)
        return bad_input(site, V, "[batch, tokens, kv_num_heads size]", err);
    p->dtype = q->dtype;
    p->batch = q->dims[0];
    p->tokens = q->dims[1];
    p->heads_per_key = q_heads / p->heads;
    p->key_size = q->dims[2] / q_heads;
    p->value_size = v->dims[2] / p->heads;
    if (p->key_size < 1 || p->value_size < 1)
        return tt_fail_at(site->node, err, TT_BAD_MODEL, "heads without items");
    if (!is_rows(site, K, p, p->heads * p->key_size))
        return bad_input(site, K, "keys that go with the queries", err);
    if (!is_rows(site, V, p, v->dims[2]))
        return bad_input(site, V, "values that go with the keys", err);
    return TT_OK;
}

static tt_status read_past(const tt_site *site, tt_linear_attention *p, tt_error *err)
{
    const tt_shape *past;
    p->state_dtype = p->dtype;
    if (!tt_has_input(site, PAST)) return TT_OK;
    past = tt_input_shape(site, PAST);
    p->state_dtype = past->dtype;
    if (past->rank == 4 && tt_dtype_is_float(past->dtype) &&
        past->dims[0] == p->batch && past->dims[1] == p->heads &&
        past->dims[2] == p->key_size && past->dims[3] == p->value_size)
        return TT_OK;
    return bad_input(site, PAST, "floats [batch, kv_num_heads, key size, value size]",
                     err);
}

static tt_status read_gates(const tt_site *site, tt_linear_attention *p, tt_error *err)
{
    const update_rule *rule;
    TT_TRY(read_rule(site->node, &rule, err));
    p->is_delta = rule->is_delta;
    p->decay_size = p->beta_heads = 0;
    if ((rule->has_decay && !tt_has_input(site, DECAY)) ||
        (rule->is_delta && !tt_has_input(site, BETA)))
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "update_rule %s without decay or beta", rule->name);
    if (rule->has_decay) {
        p->decay_size = is_rows(site, DECAY, p, p->heads) ? 1 : p->key_size;
        if (!is_rows(site, DECAY, p, p->heads * p->decay_size))
            return bad_input(site, DECAY, "one decay per head, or per item of a key",
                             err);
    }
    if (rule->is_delta) {
        p->beta_heads = is_rows(site, BETA, p, p->heads) ? p->heads : 1;
        if (!is_rows(site, BETA, p, p->beta_heads))
            return bad_input(site, BETA, "one beta per head, or per token", err);
    }
    return TT_OK;
}

static tt_status read_linear(const tt_site *site, tt_linear_attention *p, tt_error *err)
{
    *p = (tt_linear_attention){0};
    TT_TRY(tt_need_inputs(site, 3, err));
    TT_TRY(read_heads(site, p, err));
    TT_TRY(read_past(site, p, err));
    TT_TRY(read_gates(site, p, err));
    TT_TRY(tt_attribute_float(site->node, "scale", 0.0f, &p->scale, err));
    if (p->scale == 0.0f && p->key_size > 0)
        p->scale = 1.0f / sqrtf((float)p->key_size);
    return TT_OK;
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    tt_linear_attention p;
    TT_TRY(read_linear(site, &p, err));
    out[Y] = *tt_input_shape(site, Q);
    if (!tt_mul_i64(p.heads * p.heads_per_key, p.value_size, &out[Y].dims[2]))
        return tt_fail_at(site->node, err, TT_LIMIT, "its result is too large");
    if (site->node->n_outputs > 1)
        out[PRESENT] = (tt_shape){
            p.state_dtype, 4, {p.batch, p.heads, p.key_size, p.value_size}
        };
    for (int i = 0; i < site->node->n_outputs; ++i)
        TT_TRY(tt_check_shape(site, &out[i], err));
    return TT_OK;
}

static tt_status lower_linear(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    tt_operand o[TT_LINEAR_N];
    tt_linear_attention p;
    tt_work work = {0};
    size_t bytes;
    TT_TRY(read_linear(&site, &p, err));
    double state = (double)p.key_size * (double)p.value_size;
    double heads = (double)p.batch * (double)p.heads;
    work.bytes = 8.0 * heads * state;
    work.flops = heads * (double)p.tokens * state * (double)(4 + 2 * p.heads_per_key);
    work.cost_ns = work.flops / 20.0;
    for (int i = 0; i < TT_LINEAR_N_SRC; ++i)
        TT_TRY(tt_lower_src(lower, node, i, TT_ORDER_ROW_MAJOR, &o[i], err));
    for (int i = Y; i <= PRESENT; ++i)
        TT_TRY(tt_lower_dst(lower, node, i, TT_ORDER_ROW_MAJOR, &o[TT_LINEAR_DST + i],
                            err));
    if (!tt_linear_attention_split(
            &p, tt_lower_is_parallel(lower, &work) ? tt_lower_threads(lower) : 1,
            &bytes))
        return tt_fail_at(node, err, TT_LIMIT, "its working memory is too large");
    TT_TRY(tt_lower_temporary(lower, bytes, &o[TT_LINEAR_SCRATCH], err));
    return tt_lower_kernel(lower, node, tt_linear_attention_name(),
                           tt_linear_attention_run, &p, sizeof p, o, TT_LINEAR_N_SRC,
                           TT_LINEAR_N - TT_LINEAR_N_SRC, &work, err);
}

const tt_op tt_op_linear_attention = {.name = "LinearAttention",
                                      .domain = "",
                                      .since = 27,
                                      .summary = "attention over a recurrent state",
                                      .infer = infer,
                                      .lower = lower_linear};
