/* Casts to and from bfloat16 go into their neighbours.
 *
 * Layers.  A model that computes a layer in bfloat16 says
 *
 *     float(Layer(bfloat16(x), bfloat16(W), bfloat16(b)))        W, b constants
 *
 * Where the processor multiplies bfloat16 this becomes one layer of bfloat16 x, float32
 * W (rounded when it is packed), float32 b and a float32 result that is not rounded
 * (tt_layer_dtype).  Everything that fuses with a layer of float32 then fuses with it.
 * Elsewhere it becomes the layer of x, W, b in float32: faster than emulation, and no
 * less exact.
 *
 * The rest needs types.  bfloat16(float(x)) is x.  A cast behind an operator that only
 * moves elements goes before it.  An operator that has no fast way with bfloat16 runs
 * in float32 between casts, which chains of elementwise operators absorb.  A result of
 * float32 that is only read as bfloat16 is stored as such. */
#include <string.h>

#include "base/alloc.h"
#include "graph/fuse.h"
#include "graph/match.h"
#include "graph/widen.h"
#include "ops/op.h"

typedef struct {
    tt_graph *graph;
    bool is_native; /* does the processor multiply bf16? */
    int n_values;   /* when the walk began */
    int *uses;      /* per value: how often it is read */
    int *casts[2];  /* per value: how many of these are casts to f32, to bf16 */
    int *wide;      /* per value: the same as f32, or TT_ABSENT */
} walk;

enum { AS_F32, AS_BF16 };

/* ---- questions ------------------------------------------------------------- */

static bool is_listed(const tt_node *node, const char *const *names)
{
    for (; *names != NULL; ++names)
        if (tt_node_is(node, *names)) return true;
    return false;
}

static bool is_layer(const tt_node *node)
{
    static const char *const NAMES[] = {"Conv", "ConvTranspose", "MatMul", "Gemm",
                                        NULL};
    return is_listed(node, NAMES);
}

/* Is what a Pad fills in, if anything, zero? */
static bool pads_zeros(const tt_graph *graph, const tt_node *pad)
{
    const tt_attribute *value = tt_attribute_find(pad, "value");
    double filled = 0.0;
    if (value != NULL && value->kind == TT_ATTRIBUTE_FLOAT)
        filled = (double)value->as.floats[0];
    if (pad->n_inputs > 2 && pad->inputs[2] >= 0 &&
        !tt_match_any_scalar(graph, pad->inputs[2], &filled))
        return false;
    return filled == 0.0;
}

/* Reads input 0 and nothing else of floats; the result holds its elements or zeros. */
static bool is_move(const tt_graph *graph, const tt_node *node)
{
    static const char *const NAMES[] = {
        "Transpose", "Split", "Slice",  "Squeeze",      "Unsqueeze",    "Flatten",
        "Reshape",   "Tile",  "Expand", "DepthToSpace", "SpaceToDepth", NULL};
    if (tt_node_is(node, "Pad")) return pads_zeros(graph, node);
    return is_listed(node, NAMES);
}

/* Has no fast way with bf16. */
static bool is_widened(const tt_node *node, bool is_native)
{
    static const char *const ALWAYS[] = {"Softmax",
                                         "LogSoftmax",
                                         "LayerNormalization",
                                         "RMSNormalization",
                                         "InstanceNormalization",
                                         "GroupNormalization",
                                         "Attention",
                                         "Resize",
                                         "Upsample",
                                         "GridSample",
                                         "GlobalAveragePool",
                                         "GlobalMaxPool",
                                         "ReduceMean",
                                         "ReduceSum",
                                         "ReduceMax",
                                         "ReduceMin",
                                         "ReduceSumSquare",
                                         "ReduceL1",
                                         "ReduceL2",
                                         "ReduceLogSumExp",
                                         "Einsum",
                                         "LSTM",
                                         "GRU",
                                         "RNN",
                                         NULL};
    static const char *const ELSEWHERE[] = {
        "Conv", "ConvTranspose", "MatMul", "Gemm", "MaxPool", "AveragePool", NULL};
    return is_listed(node, ALWAYS) || (!is_native && is_listed(node, ELSEWHERE));
}

/* What a Cast turns into, or TT_DTYPE_NONE for other nodes. */
static tt_dtype cast_to(const tt_node *node)
{
    const tt_attribute *to;
    if (node == NULL || !tt_node_is(node, "Cast")) return TT_DTYPE_NONE;
    to = tt_attribute_find(node, "to");
    if (to == NULL || to->kind != TT_ATTRIBUTE_INT) return TT_DTYPE_NONE;
    return to->as.ints[0] == TT_F32    ? TT_F32
           : to->as.ints[0] == TT_BF16 ? TT_BF16
                                       : TT_DTYPE_NONE;
}

static tt_dtype dtype_of(const walk *w, int value)
{
    return value < 0 ? TT_DTYPE_NONE : w->graph->values[value].shape.dtype;
}

/* The constant of float32 that `value` is, rounded to bfloat16; else TT_ABSENT. */
static int rounded_constant(walk *w, int value)
{
    tt_node *cast = tt_match_producer(w->graph, value, "Cast");
    const tt_constant *constant;
    if (cast_to(cast) != TT_BF16) return TT_ABSENT;
    constant = tt_graph_constant(w->graph, cast->inputs[0]);
    if (constant == NULL || tt_constant_shape(constant)->dtype != TT_F32)
        return TT_ABSENT;
    return cast->inputs[0];
}

/* Is the value read, and by casts to this type alone? */
static bool is_only_cast(const walk *w, int value, int as)
{
    return value >= 0 && value < w->n_values && w->uses[value] > 0 &&
           w->casts[as][value] == w->uses[value];
}

/* ---- changes --------------------------------------------------------------- */

static void count_read(walk *w, int value, int as)
{
    if (value < 0) return;
    w->uses[value]++;
    if (as >= 0) w->casts[as][value]++;
}

static void count_reads(walk *w)
{
    const tt_graph *graph = w->graph;
    for (int i = 0; i < graph->n_nodes; ++i) {
        const tt_node *node = &graph->nodes[i];
        tt_dtype to = cast_to(node);
        if (node->dead) continue;
        for (int k = 0; k < node->n_inputs; ++k)
            count_read(w, node->inputs[k],
                       to == TT_F32    ? AS_F32
                       : to == TT_BF16 ? AS_BF16
                                       : -1);
        for (int k = 0; k < node->n_posts; ++k)
            count_read(w, node->posts[k].value, -1);
    }
    for (int i = 0; i < graph->n_outputs; ++i)
        count_read(w, graph->outputs[i], -1);
}

static void end(walk *w)
{
    tt_free(w->uses);
    tt_free(w->casts[0]);
    tt_free(w->casts[1]);
    tt_free(w->wide);
}

static tt_status begin(tt_graph *graph, bool is_native, walk *w, tt_error *err)
{
    size_t n = (size_t)graph->n_values + 1;
    *w = (walk){.graph = graph, .is_native = is_native, .n_values = graph->n_values};
    w->uses = tt_calloc(n, sizeof *w->uses);
    w->casts[0] = tt_calloc(n, sizeof *w->uses);
    w->casts[1] = tt_calloc(n, sizeof *w->uses);
    w->wide = tt_calloc(n, sizeof *w->wide);
    if (!w->uses || !w->casts[0] || !w->casts[1] || !w->wide) {
        end(w);
        return tt_fail(err, TT_NO_MEMORY, "the casts of a graph");
    }
    for (size_t i = 0; i < n; ++i)
        w->wide[i] = TT_ABSENT;
    count_reads(w);
    return TT_OK;
}

/* Whoever reads a cast of the value to this type reads the value. */
static void drop_casts(walk *w, int value, int as)
{
    static const tt_dtype TYPES[] = {[AS_F32] = TT_F32, [AS_BF16] = TT_BF16};
    tt_graph *graph = w->graph;
    for (int i = 0; i < graph->n_nodes; ++i) {
        tt_node *node = &graph->nodes[i];
        int out;
        if (cast_to(node) != TYPES[as] || node->inputs[0] != value) continue;
        out = node->outputs[0];
        if (out < w->n_values && value < w->n_values) {
            w->uses[value] += w->uses[out] - 1;
            w->casts[as][value]--;
            for (int k = 0; k < 2; ++k)
                w->casts[k][value] += w->casts[k][out];
        }
        tt_graph_replace(graph, out, value);
        node->dead = true;
    }
}

/* A Cast of `from` into `to`, behind the other nodes. */
static tt_status add_cast(tt_graph *graph, const char *name, int from, int to,
                          tt_dtype dtype, tt_error *err)
{
    const tt_op *op = tt_op_find("", "Cast", 13);
    tt_node *cast;
    if (op == NULL) return tt_fail(err, TT_UNSUPPORTED, "no operator Cast");
    TT_TRY(tt_graph_add_node(graph, op, name, 1, 1, &cast, err));
    cast->op_type = op->name;
    cast->domain = op->domain;
    cast->version = 13;
    cast->inputs[0] = from;
    cast->outputs[0] = to;
    if (!tt_node_set_int(graph, cast, "to", dtype))
        return tt_fail(err, TT_NO_MEMORY, "a Cast");
    return TT_OK;
}

/* A new value that is `value` in another type, made by a Cast. */
static tt_status casted(tt_graph *graph, const char *name, int value, tt_dtype dtype,
                        int *out, tt_error *err)
{
    tt_shape shape = graph->values[value].shape;
    shape.dtype = dtype;
    TT_TRY(tt_graph_add_value(graph, graph->values[value].name, &shape, out, err));
    return add_cast(graph, name, value, *out, dtype, err);
}

/* `value` in float32, made once. */
static tt_status widened(walk *w, const char *name, int value, int *out, tt_error *err)
{
    tt_constant *constant = w->graph->values[value].constant, *made;
    bool is_old = value < w->n_values;
    if (is_old && w->wide[value] != TT_ABSENT) {
        *out = w->wide[value];
        return TT_OK;
    }
    if (constant != NULL && tt_constant_shape(constant)->dtype == TT_BF16) {
        TT_TRY(tt_constant_widened(constant, &made, err));
        TT_TRY(tt_graph_add_constant(w->graph, w->graph->values[value].name, made, out,
                                     err));
    } else {
        TT_TRY(casted(w->graph, name, value, TT_F32, out, err));
    }
    if (is_old) w->wide[value] = *out;
    return TT_OK;
}

static tt_status own_inputs(tt_graph *graph, tt_node *node, tt_error *err)
{
    int *list =
        tt_region_alloc(graph->region, (size_t)node->n_inputs + 1, sizeof *list);
    if (list == NULL) return tt_fail(err, TT_NO_MEMORY, "inputs of a node");
    memcpy(list, node->inputs, (size_t)node->n_inputs * sizeof *list);
    node->inputs = list;
    return TT_OK;
}

/* ---- layers, before types are known ---------------------------------------- */

/* Input 0 in float32, not rounded where it was rounded for this layer. */
static tt_status wide_source(walk *w, const tt_node *node, int *out, tt_error *err)
{
    int value = node->inputs[0];
    tt_node *cast = tt_match_producer(w->graph, value, "Cast");
    if (cast_to(cast) == TT_BF16) value = cast->inputs[0];
    return widened(w, node->name, value, out, err);
}

static tt_status mix(walk *w, int at, tt_error *err)
{
    tt_node *node = &w->graph->nodes[at];
    int weights, bias = TT_ABSENT, source = TT_ABSENT;
    if (node->dead || !is_layer(node) || node->n_inputs < 2 || node->n_posts > 0 ||
        node->inputs[0] < 0 || node->inputs[1] < 0)
        return TT_OK;
    weights = rounded_constant(w, node->inputs[1]);
    if (weights < 0 || !is_only_cast(w, node->outputs[0], AS_F32)) return TT_OK;
    if (node->n_inputs > 2 && node->inputs[2] >= 0) {
        bias = rounded_constant(w, node->inputs[2]);
        if (bias < 0) return TT_OK;
    }
    if (w->is_native && !tt_node_set_int(w->graph, node, "mixed_bf16", 1))
        return tt_fail(err, TT_NO_MEMORY, "an attribute");
    if (!w->is_native) {
        TT_TRY(wide_source(w, node, &source, err));
        node = &w->graph->nodes[at];
    }
    TT_TRY(own_inputs(w->graph, node, err));
    if (source >= 0) node->inputs[0] = source;
    node->inputs[1] = weights;
    if (bias >= 0) node->inputs[2] = bias;
    drop_casts(w, node->outputs[0], AS_F32);
    return TT_OK;
}

static bool has_cast(const tt_graph *graph)
{
    for (int i = 0; i < graph->n_nodes; ++i)
        if (cast_to(&graph->nodes[i]) == TT_BF16) return true;
    return false;
}

tt_status tt_graph_mix_bf16(tt_graph *graph, bool is_native, tt_error *err)
{
    int n = graph->n_nodes;
    tt_status status = TT_OK;
    walk w;
    if (!has_cast(graph)) return TT_OK;
    TT_TRY(begin(graph, is_native, &w, err));
    for (int i = 0; i < n && status == TT_OK; ++i)
        status = mix(&w, i, err);
    end(&w);
    if (status == TT_OK) status = tt_graph_sort(graph, err);
    tt_graph_sweep(graph);
    return status;
}

/* ---- the rest, with types --------------------------------------------------- */

static bool has_bf16(const tt_graph *graph)
{
    for (int i = 0; i < graph->n_values; ++i)
        if (graph->values[i].shape.dtype == TT_BF16) return true;
    return false;
}

/* bfloat16(float(x)) of a bfloat16 x. */
static bool cancel(walk *w, tt_node *node)
{
    tt_node *inner = tt_match_producer(w->graph, node->inputs[0], "Cast");
    int x;
    if (cast_to(node) != TT_BF16 || cast_to(inner) != TT_F32) return false;
    x = inner->inputs[0];
    if (dtype_of(w, x) != TT_BF16 || x >= w->n_values) return false;
    w->uses[node->inputs[0]]--;
    w->casts[AS_BF16][node->inputs[0]]--;
    if (node->outputs[0] < w->n_values) {
        w->uses[x] += w->uses[node->outputs[0]];
        for (int as = 0; as < 2; ++as)
            w->casts[as][x] += w->casts[as][node->outputs[0]];
    }
    tt_graph_replace(w->graph, node->outputs[0], x);
    node->dead = true;
    return true;
}

static bool moves_f32_to_bf16(const walk *w, const tt_node *node)
{
    bool is_float = is_move(w->graph, node) && dtype_of(w, node->inputs[0]) == TT_F32 &&
                    w->graph->values[node->inputs[0]].constant == NULL;
    for (int i = 0; i < node->n_outputs && is_float; ++i)
        if (node->outputs[i] >= 0 && !is_only_cast(w, node->outputs[i], AS_BF16))
            is_float = false;
    return is_float;
}

/* bfloat16(Move(x)) -> Move(bfloat16(x)).  Nodes are walked backwards, so the cast
 * meets what makes x later. */
static tt_status hoist(walk *w, int at, tt_error *err)
{
    tt_node *node = &w->graph->nodes[at];
    int from = node->inputs[0], to;
    if (!moves_f32_to_bf16(w, node)) return TT_OK;
    TT_TRY(casted(w->graph, node->name, from, TT_BF16, &to, err));
    node = &w->graph->nodes[at];
    TT_TRY(own_inputs(w->graph, node, err));
    node->inputs[0] = to;
    if (tt_node_is(node, "Pad") && node->n_inputs > 2)
        node->inputs[2] = TT_ABSENT; /* a zero of another type */
    if (from < w->n_values) w->casts[AS_BF16][from]++;
    for (int i = 0; i < node->n_outputs; ++i) {
        if (node->outputs[i] < 0) continue;
        drop_casts(w, node->outputs[i], AS_BF16);
        w->graph->values[node->outputs[i]].shape.dtype = TT_BF16;
    }
    return TT_OK;
}

static bool reads_bf16(const walk *w, const tt_node *node)
{
    for (int i = 0; i < node->n_inputs; ++i)
        if (dtype_of(w, node->inputs[i]) == TT_BF16) return true;
    return false;
}

/* A layer of bfloat16 whose result is only read as float32 gives that. */
static void keep_sum(walk *w, const tt_node *node)
{
    int out = node->outputs[0];
    if (!is_layer(node) || dtype_of(w, out) != TT_BF16 ||
        !is_only_cast(w, out, AS_F32) ||
        tt_shape_numel(&w->graph->values[node->inputs[0]].shape) == 0)
        return;
    drop_casts(w, out, AS_F32);
    w->graph->values[out].shape.dtype = TT_F32;
}

/* The node in float32 between casts. */
static tt_status widen(walk *w, int at, tt_error *err)
{
    tt_node *node = &w->graph->nodes[at];
    TT_TRY(own_inputs(w->graph, node, err));
    for (int i = 0; i < w->graph->nodes[at].n_inputs; ++i) {
        int value = w->graph->nodes[at].inputs[i], wide;
        if (dtype_of(w, value) != TT_BF16) continue;
        if (value < w->n_values && w->wide[value] == TT_ABSENT)
            w->casts[AS_F32][value]++; /* instead of the node */
        else if (value < w->n_values)
            w->uses[value]--;
        TT_TRY(widened(w, w->graph->nodes[at].name, value, &wide, err));
        w->graph->nodes[at].inputs[i] = wide;
    }
    for (int i = 0; i < w->graph->nodes[at].n_outputs; ++i) {
        int out, old;
        tt_shape shape;
        node = &w->graph->nodes[at];
        old = node->outputs[i];
        if (dtype_of(w, old) != TT_BF16) continue;
        if (is_only_cast(w, old, AS_F32)) {
            drop_casts(w, old, AS_F32);
            w->graph->values[old].shape.dtype = TT_F32;
            continue;
        }
        shape = w->graph->values[old].shape;
        shape.dtype = TT_F32;
        TT_TRY(tt_graph_add_value(w->graph, w->graph->values[old].name, &shape, &out,
                                  err));
        int *list = tt_region_alloc(w->graph->region, (size_t)node->n_outputs + 1,
                                    sizeof *list);
        if (list == NULL) return tt_fail(err, TT_NO_MEMORY, "outputs of a node");
        memcpy(list, node->outputs, (size_t)node->n_outputs * sizeof *list);
        list[i] = out;
        node->outputs = list;
        TT_TRY(add_cast(w->graph, node->name, out, old, TT_BF16, err));
    }
    return TT_OK;
}

static tt_status visit(walk *w, int at, tt_error *err)
{
    tt_node *node = &w->graph->nodes[at];
    if (node->dead || node->op == NULL || node->n_inputs < 1 || node->n_outputs < 1 ||
        node->inputs[0] < 0 || node->outputs[0] < 0 || node->n_posts > 0)
        return TT_OK;
    if (cancel(w, node)) return TT_OK;
    if (is_widened(node, w->is_native) && reads_bf16(w, node)) return widen(w, at, err);
    keep_sum(w, node);
    return hoist(w, at, err);
}

tt_status tt_graph_fuse_bf16(tt_graph *graph, bool is_native, tt_error *err)
{
    int n = graph->n_nodes;
    tt_status status = TT_OK;
    walk w;
    if (!has_bf16(graph)) return TT_OK;
    TT_TRY(begin(graph, is_native, &w, err));
    for (int i = n - 1; i >= 0 && status == TT_OK; --i)
        status = visit(&w, i, err);
    end(&w);
    if (status == TT_OK) status = tt_graph_sort(graph, err);
    tt_graph_sweep(graph);
    TT_TRY(status);
    TT_TRY(begin(graph, is_native, &w, err)); /* what the casts met on their way */
    for (int i = 0; i < graph->n_nodes; ++i)
        if (!graph->nodes[i].dead && graph->nodes[i].n_inputs > 0)
            (void)cancel(&w, &graph->nodes[i]);
    end(&w);
    tt_graph_sweep(graph);
    return TT_OK;
}

/* ---- results, when everything else is fused --------------------------------- */

tt_status tt_graph_store_bf16(tt_graph *graph, tt_error *err)
{
    walk w;
    if (!has_bf16(graph)) return TT_OK;
    TT_TRY(begin(graph, /*is_native=*/true, &w, err));
    for (int i = 0; i < graph->n_nodes; ++i) {
        const tt_node *node = &graph->nodes[i];
        int out = node->n_outputs > 0 ? node->outputs[0] : TT_ABSENT;
        if (node->dead || !is_layer(node) || dtype_of(&w, node->inputs[0]) != TT_BF16 ||
            dtype_of(&w, out) != TT_F32 || !is_only_cast(&w, out, AS_BF16) ||
            tt_shape_numel(&graph->values[node->inputs[0]].shape) == 0)
            continue;
        drop_casts(&w, out, AS_BF16);
        graph->values[out].shape.dtype = TT_BF16;
    }
    end(&w);
    tt_graph_sweep(graph);
    return TT_OK;
}
