/* RotaryEmbedding of ai.onnx (23) and of com.microsoft: the same turning, with the
 * inputs in another order and places that may be one offset. */
#include "kernels/rotary.h"

#include <string.h>

#include "ops/fail.h"
#include "ops/move.h"

/* Numbers of the inputs. */
typedef struct {
    int cosines, sines, places;
    bool is_microsoft;
} rotary_inputs;

static const rotary_inputs INPUTS = {1, 2, 3, false};
static const rotary_inputs MS_INPUTS = {2, 3, 1, true};

static const rotary_inputs *inputs_of(const tt_node *node)
{
    return node->op->domain[0] == '\0' ? &INPUTS : &MS_INPUTS;
}

/* heads and head_size; the tables' width tells the size of a head that turns whole. */
static tt_status read_heads(const tt_site *site, const tt_shape *table, int64_t turned,
                            tt_rotary *k, tt_error *err)
{
    const tt_shape *x = tt_input_shape(site, 0);
    int64_t heads, width;
    TT_TRY(tt_attribute_int(site->node, "num_heads", 0, &heads, err));
    k->batch = x->dims[0];
    k->tokens = x->dims[x->rank - 2];
    if (x->rank == 4) {
        k->heads = x->dims[1];
        k->turn.head_size = x->dims[3];
        return TT_OK;
    }
    width = x->dims[2];
    if (heads == 0 && turned == 0 && inputs_of(site->node)->is_microsoft) {
        int64_t size = 2 * table->dims[table->rank - 1];
        heads = size > 0 ? width / size : 0;
    }
    if (heads < 1 || width % heads != 0)
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "num_heads is %lld, which does not divide %lld",
                          (long long)heads, (long long)width);
    k->heads = heads;
    k->turn.head_size = width / heads;
    return TT_OK;
}

static tt_status check_tables(const tt_site *site, const tt_rotary *k, tt_error *err)
{
    const rotary_inputs *in = inputs_of(site->node);
    const tt_shape *c = tt_input_shape(site, in->cosines);
    const tt_shape *s = tt_input_shape(site, in->sines);
    bool by_token = k->places == TT_ROTARY_BY_TOKEN;
    char a[128], b[128];
    if (tt_shape_equal(c, s) && c->dtype == k->turn.dtype &&
        c->rank == (by_token ? 3 : 2) && c->dims[c->rank - 1] == k->turn.half &&
        (!by_token || (c->dims[0] == k->batch && c->dims[1] == k->tokens)))
        return TT_OK;
    return tt_fail_at(site->node, err, TT_BAD_MODEL,
                      "tables of %s %s and %s: expected %s [%s%lld] twice",
                      tt_dtype_name(c->dtype), tt_shape_text(c, a, sizeof a),
                      tt_shape_text(s, b, sizeof b), tt_dtype_name(k->turn.dtype),
                      by_token ? "batch, tokens, " : "positions, ",
                      (long long)k->turn.half);
}

static tt_status read_places(const tt_site *site, tt_rotary *k, tt_error *err)
{
    const rotary_inputs *in = inputs_of(site->node);
    const tt_shape *places;
    k->places = TT_ROTARY_BY_TOKEN;
    if (!tt_has_input(site, in->places)) {
        if (!in->is_microsoft) return TT_OK;
        return tt_fail_at(site->node, err, TT_BAD_MODEL, "it has no position_ids");
    }
    places = tt_input_shape(site, in->places);
    k->places = TT_ROTARY_BY_PLACE;
    if (in->is_microsoft && places->rank <= 1 && tt_shape_numel(places) == 1)
        k->places = TT_ROTARY_FROM;
    else if (places->rank != 2 || places->dims[0] != k->batch ||
             places->dims[1] != k->tokens)
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "position_ids must be [%lld, %lld]", (long long)k->batch,
                          (long long)k->tokens);
    if (places->dtype == TT_S64) return TT_OK;
    return tt_fail_at(site->node, err, TT_BAD_MODEL, "position_ids are %s, not int64",
                      tt_dtype_name(places->dtype));
}

static tt_status read_turn(const tt_site *site, const tt_shape *table, tt_rotary *k,
                           tt_error *err)
{
    const tt_node *node = site->node;
    int64_t interleaved, turned, packed;
    float scale;
    TT_TRY(tt_attribute_int(node, "interleaved", 0, &interleaved, err));
    TT_TRY(tt_attribute_int(node, "rotary_embedding_dim", 0, &turned, err));
    TT_TRY(tt_attribute_int(node, "is_packed_batching", 0, &packed, err));
    TT_TRY(tt_attribute_float(node, "scale", 1.0f, &scale, err));
    if (packed != 0 || scale != 1.0f)
        return tt_fail_at(node, err, TT_UNSUPPORTED,
                          "packed batches, or a scale of other than 1");
    TT_TRY(read_heads(site, table, turned, k, err));
    if (turned == 0) turned = k->turn.head_size;
    if (turned < 0 || turned > k->turn.head_size || turned % 2 != 0)
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "%lld items of heads of %lld turn, expected an even number "
                          "of them",
                          (long long)turned, (long long)k->turn.head_size);
    k->turn.dtype = tt_input_shape(site, 0)->dtype;
    k->turn.half = turned / 2;
    k->turn.n_rows = table->dims[0];
    k->turn.is_interleaved = interleaved != 0;
    return TT_OK;
}

static tt_status read_rotary(const tt_site *site, tt_rotary *k, tt_error *err)
{
    const rotary_inputs *in = inputs_of(site->node);
    const tt_shape *x, *table;
    *k = (tt_rotary){0};
    TT_TRY(tt_need_inputs(site, in->is_microsoft ? 4 : 3, err));
    x = tt_input_shape(site, 0);
    table = tt_input_shape(site, in->cosines);
    if (!tt_dtype_is_float(x->dtype) || (x->rank != 3 && x->rank != 4) ||
        table->rank < 1)
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "input of %s with rank %d and tables of rank %d: expected a "
                          "float of rank 3 or 4",
                          tt_dtype_name(x->dtype), x->rank, table->rank);
    TT_TRY(read_turn(site, table, k, err));
    TT_TRY(read_places(site, k, err));
    return check_tables(site, k, err);
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    tt_rotary k;
    TT_TRY(read_rotary(site, &k, err));
    *out = *tt_input_shape(site, 0);
    return TT_OK;
}

/* From batch to batch, head to head and token to token. */
static void strides_of(const tt_lower *lower, tt_operand operand, int64_t head_size,
                       int64_t strides[3])
{
    const int64_t *from = tt_operand_strides(lower, operand);
    if (tt_operand_shape(lower, operand)->rank == 4) {
        memcpy(strides, from, 3 * sizeof *from);
        return;
    }
    strides[0] = from[0];
    strides[1] = head_size;
    strides[2] = from[1];
}

static tt_status lower_rotary(tt_lower *lower, const tt_node *node, tt_error *err)
{
    const rotary_inputs *in = inputs_of(node);
    const int tables[] = {in->cosines, in->sines, in->places};
    tt_site site = tt_lower_site(lower, node);
    tt_work work = {.bytes = 2.0 * (double)tt_shape_bytes(tt_input_shape(&site, 0))};
    tt_operand o[TT_ROTARY_N];
    tt_rotary k;
    TT_TRY(read_rotary(&site, &k, err));
    if (k.turn.dtype != TT_F32) work.cost_ns = 4.0 * work.bytes;
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ROWS, &o[TT_ROTARY_X], err));
    for (int i = 0; i < 3; ++i)
        TT_TRY(tt_lower_src(lower, node, tables[i], TT_ORDER_ROW_MAJOR,
                            &o[TT_ROTARY_COS + i], err));
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ROWS, &o[TT_ROTARY_DST], err));
    strides_of(lower, o[TT_ROTARY_X], k.turn.head_size, k.x);
    strides_of(lower, o[TT_ROTARY_DST], k.turn.head_size, k.dst);
    return tt_lower_kernel(lower, node, "rotary", tt_rotary_run, &k, sizeof k, o,
                           TT_ROTARY_N_SRC, 1, &work, err);
}

const tt_op tt_op_rotary_embedding = {
    .name = "RotaryEmbedding",
    .domain = "",
    .since = 23,
    .summary = "pairs of items turned by the place of their token",
    .infer = infer,
    .lower = lower_rotary};

const tt_op tt_op_ms_rotary_embedding = {
    .name = "RotaryEmbedding",
    .domain = "com.microsoft",
    .since = 1,
    .summary = "pairs of items turned by the place of their token",
    .infer = infer,
    .lower = lower_rotary};
