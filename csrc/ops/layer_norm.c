/* LayerNormalization (17), RMSNormalization (23), and what onnxruntime's optimiser
 * writes: SimplifiedLayerNormalization, SkipLayerNormalization,
 * SkipSimplifiedLayerNormalization. */
#include <string.h>

#include "graph/fuse.h"
#include "kernels/norm.h"
#include "ops/fail.h"
#include "ops/norm_common.h"

/* What differs between the operators. */
typedef struct {
    const char *name;
    bool is_rms, has_skip;
    int scale, shift, bias; /* input number, or -1 */
    int mean, inv_std, sum; /* output number, or -1 */
    float epsilon;          /* default */
} layer_norm_kind;

static const layer_norm_kind KINDS[] = {
    {"LayerNormalization",               false, false, 1, 2,  -1, 1,  2,  -1, 1e-5f },
    {"RMSNormalization",                 true,  false, 1, -1, -1, -1, -1, -1, 1e-5f },
    {"SimplifiedLayerNormalization",     true,  false, 1, -1, -1, -1, 1,  -1, 1e-5f },
    {"SkipLayerNormalization",           false, true,  2, 3,  4,  1,  2,  3,  1e-12f},
    {"SkipSimplifiedLayerNormalization", true,  true,  2, -1, 3,  1,  2,  3,  1e-12f},
};

static const layer_norm_kind *kind_of(const tt_node *node)
{
    for (size_t i = 0; i + 1 < sizeof KINDS / sizeof *KINDS; ++i)
        if (strcmp(KINDS[i].name, node->op->name) == 0) return &KINDS[i];
    return &KINDS[sizeof KINDS / sizeof *KINDS - 1];
}

static tt_status read_axis(const tt_node *node, const layer_norm_kind *kind, int rank,
                           int *axis, tt_error *err)
{
    int64_t value = -1;
    if (!kind->has_skip) TT_TRY(tt_attribute_int(node, "axis", -1, &value, err));
    return tt_axis(node, value, rank, axis, err);
}

/* Does input i broadcast to the input from dim `first` on? */
static tt_status check_vector(const tt_site *site, int i, int first, tt_error *err)
{
    const tt_shape *x = tt_input_shape(site, 0), *v;
    tt_shape rows, both = {0};
    char a[160], b[160];
    bool fits;
    if (i < 0 || !tt_has_input(site, i)) return TT_OK;
    v = tt_input_shape(site, i);
    rows = *x;
    if (first > 0) {
        rows.rank = x->rank - first;
        memmove(rows.dims, x->dims + first, (size_t)rows.rank * sizeof *rows.dims);
    }
    fits = v->dtype == x->dtype && tt_shape_broadcast(&rows, v, &both, NULL) == TT_OK;
    both.dtype = rows.dtype;
    if (fits && tt_shape_equal(&both, &rows)) return TT_OK;
    return tt_fail_at(site->node, err, TT_BAD_MODEL,
                      "input %d is %s %s, which does not broadcast to %s %s", i,
                      tt_dtype_name(v->dtype), tt_shape_text(v, a, sizeof a),
                      tt_dtype_name(x->dtype), tt_shape_text(&rows, b, sizeof b));
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_node *node = site->node;
    const layer_norm_kind *kind = kind_of(node);
    const tt_shape *x;
    int axis;
    TT_TRY(tt_need_inputs(site, kind->scale + 1, err));
    x = tt_input_shape(site, 0);
    if (!tt_dtype_is_float(x->dtype))
        return tt_fail_at(node, err, TT_BAD_MODEL, "input is %s, expected a float",
                          tt_dtype_name(x->dtype));
    TT_TRY(read_axis(node, kind, x->rank, &axis, err));
    if (kind->has_skip) TT_TRY(check_vector(site, 1, 0, err));
    TT_TRY(check_vector(site, kind->scale, 0, err));
    TT_TRY(check_vector(site, kind->shift, 0, err));
    TT_TRY(check_vector(site, kind->bias, x->rank - 1, err));
    for (int i = 0; i < node->n_outputs; ++i) {
        out[i] = *x;
        if (i != 0 && i != kind->mean && i != kind->inv_std && i != kind->sum)
            return tt_fail_at(node, err, TT_BAD_MODEL, "has %d outputs",
                              node->n_outputs);
        if (i == kind->mean || i == kind->inv_std) {
            out[i].dtype = TT_F32;
            for (int k = axis; k < x->rank; ++k)
                out[i].dims[k] = 1;
        }
        TT_TRY(tt_check_shape(site, &out[i], err));
    }
    return TT_OK;
}

/* A scale or shift: one row for all when it does not vary before the axis. */
static tt_status vector_operand(tt_lower *lower, const tt_node *node, int i, int axis,
                                const tt_shape *x, tt_operand *out, int64_t *n_rows,
                                tt_error *err)
{
    tt_shape wanted = *x;
    const tt_shape *shape;
    *n_rows = 1;
    *out = TT_NO_OPERAND;
    if (i < 0 || i >= node->n_inputs || node->inputs[i] < 0) return TT_OK;
    shape = &tt_lower_graph(lower)->values[node->inputs[i]].shape;
    for (int k = 0; k < axis; ++k) {
        int from = k - (x->rank - shape->rank);
        if (from >= 0 && shape->dims[from] != 1) *n_rows = 0;
    }
    if (*n_rows == 1)
        for (int k = 0; k < axis; ++k)
            wanted.dims[k] = 1;
    else
        for (int k = 0, n = axis; k < n; ++k)
            *n_rows = k == 0 ? x->dims[0] : *n_rows * x->dims[k];
    return tt_lower_broadcast(lower, node, i, &wanted, out, err);
}

static tt_status skip_operand(tt_lower *lower, const tt_node *node, const tt_shape *x,
                              tt_layer_norm_kernel *k, tt_operand *out, tt_error *err)
{
    const tt_shape *skip = &tt_lower_graph(lower)->values[node->inputs[1]].shape;
    tt_shape wanted = *x;
    bool varies = false;
    for (int i = 0; i < x->rank; ++i) { /* leading broadcast dims repeat the rows */
        int from = i - (x->rank - skip->rank);
        if (from >= 0 && skip->dims[from] != 1) varies = true;
        if (!varies) wanted.dims[i] = 1;
    }
    wanted.dims[x->rank - 1] = x->dims[x->rank - 1];
    k->n_skip_rows = tt_shape_numel(&wanted) / k->n_columns;
    return tt_lower_broadcast(lower, node, 1, &wanted, out, err);
}

/* A result that is stored as bfloat16, or as that too (graph/fuse_bf16.c). */
static tt_status narrow_destination(tt_lower *lower, const tt_node *node,
                                    const tt_layer_norm_kernel *k, tt_operand *operands,
                                    tt_error *err)
{
    const tt_graph *graph = tt_lower_graph(lower);
    bool is_only = graph->values[node->outputs[0]].shape.dtype != k->dtype;
    tt_operand *y = &operands[TT_LAYER_NORM_Y];
    TT_TRY(tt_lower_dst(lower, node, is_only ? 0 : TT_LAYER_NORM_NARROW_OUTPUT,
                        TT_ORDER_ROW_MAJOR, &operands[TT_LAYER_NORM_NARROW], err));
    if (!is_only || k->n_columns <= TT_LAYER_NORM_BUFFER) return TT_OK;
    return tt_lower_temporary(lower, (size_t)(k->n_rows * k->n_columns) * sizeof(float),
                              y, err);
}

static tt_status destinations(tt_lower *lower, const tt_node *node,
                              const layer_norm_kind *kind, bool in_place,
                              tt_operand *operands, tt_error *err)
{
    const int outputs[] = {0, kind->mean, kind->inv_std, kind->sum};
    const tt_value *values = tt_lower_graph(lower)->values;
    bool is_narrow =
        values[node->outputs[0]].shape.dtype != values[node->inputs[0]].shape.dtype;
    for (int i = 0; i < 4; ++i) {
        tt_operand *to = &operands[TT_LAYER_NORM_Y + i];
        *to = TT_NO_OPERAND;
        if (outputs[i] < 0 || (i == 0 && is_narrow)) continue;
        if (i == 0 && in_place)
            TT_TRY(tt_lower_dst_inplace(lower, node, 0, operands[0], to, err));
        else
            TT_TRY(tt_lower_dst(lower, node, outputs[i], TT_ORDER_ROW_MAJOR, to, err));
    }
    return TT_OK;
}

static tt_status lower_layer_norm(tt_lower *lower, const tt_node *node, tt_error *err)
{
    const layer_norm_kind *kind = kind_of(node);
    const tt_shape x = tt_lower_graph(lower)->values[node->inputs[0]].shape;
    tt_operand operands[TT_LAYER_NORM_N];
    tt_layer_norm_kernel k = {.dtype = x.dtype, .stat_dtype = TT_F32};
    double n = (double)tt_shape_numel(&x);
    tt_work work = {.flops = 8.0 * n, .cost_ns = 0.15 * n};
    float epsilon;
    int64_t unused;
    int axis;
    TT_TRY(read_axis(node, kind, x.rank, &axis, err));
    TT_TRY(tt_attribute_float(node, "epsilon", kind->epsilon, &epsilon, err));
    k.is_rms = kind->is_rms;
    k.epsilon = (double)epsilon;
    k.n_rows = k.n_columns = 1;
    for (int i = 0; i < x.rank; ++i)
        *(i < axis ? &k.n_rows : &k.n_columns) *= x.dims[i];
    for (int i = 0; i < TT_LAYER_NORM_N; ++i)
        operands[i] = TT_NO_OPERAND;
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[0], err));
    if (n > 0.0) {
        if (kind->has_skip)
            TT_TRY(skip_operand(lower, node, &x, &k, &operands[1], err));
        TT_TRY(vector_operand(lower, node, kind->bias, x.rank - 1, &x, &operands[2],
                              &unused, err));
        TT_TRY(vector_operand(lower, node, kind->scale, axis, &x, &operands[3],
                              &k.n_scale_rows, err));
        TT_TRY(vector_operand(lower, node, kind->shift, axis, &x, &operands[4],
                              &k.n_shift_rows, err));
    }
    TT_TRY(destinations(lower, node, kind,
                        x.dtype == TT_F32 && tt_may_overwrite(lower, node, 0), operands,
                        err));
    TT_TRY(narrow_destination(lower, node, &k, operands, err));
    if (n == 0.0) return TT_OK;
    work.bytes = 2.0 * (double)tt_shape_bytes(&x) * (kind->has_skip ? 1.5 : 1.0);
    return tt_lower_kernel(lower, node, tt_norm_table_of(tt_cpu_get()->isa)->layer_name,
                           tt_layer_norm_run, &k, sizeof k, operands,
                           TT_LAYER_NORM_N_SRC, TT_LAYER_NORM_N - TT_LAYER_NORM_N_SRC,
                           &work, err);
}

#define LAYER_NORM(record_, name_, domain_, since_, summary_) \
    const tt_op tt_op_##record_ = {.name = name_,             \
                                   .domain = domain_,         \
                                   .since = since_,           \
                                   .summary = summary_,       \
                                   .infer = infer,            \
                                   .lower = lower_layer_norm}

LAYER_NORM(layer_norm, "LayerNormalization", "", 1,
           "rows of mean 0 and variance 1, scaled and shifted");
LAYER_NORM(rms_norm, "RMSNormalization", "", 23, "rows of mean square 1, scaled");
LAYER_NORM(simplified_layer_norm, "SimplifiedLayerNormalization", "", 1,
           "rows of mean square 1, scaled");
LAYER_NORM(skip_layer_norm, "SkipLayerNormalization", "com.microsoft", 1,
           "layer normalisation of a sum");
LAYER_NORM(skip_simplified_layer_norm, "SkipSimplifiedLayerNormalization",
           "com.microsoft", 1, "RMS normalisation of a sum");
