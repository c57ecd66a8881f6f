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
#include "graph/casts.h"
#include "graph/fuse.h"
#include "graph/match.h"
#include "graph/narrow.h"
#include "ops/op.h"

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

/* The constant of float32 that `value` is, rounded to bfloat16; else TT_ABSENT. */
static int rounded_constant(tt_casts *w, int value)
{
    tt_node *cast = tt_match_producer(w->graph, value, "Cast");
    const tt_constant *constant;
    if (tt_cast_to(cast) != TT_BF16) return TT_ABSENT;
    constant = tt_graph_constant(w->graph, cast->inputs[0]);
    if (constant == NULL || tt_constant_shape(constant)->dtype != TT_F32)
        return TT_ABSENT;
    return cast->inputs[0];
}

/* ---- layers, before types are known ---------------------------------------- */

/* Input 0 in float32, not rounded where it was rounded for this layer. */
static tt_status wide_source(tt_casts *w, const tt_node *node, int *out, tt_error *err)
{
    int value = node->inputs[0];
    tt_node *cast = tt_match_producer(w->graph, value, "Cast");
    if (tt_cast_to(cast) == TT_BF16) value = cast->inputs[0];
    return tt_casts_widened(w, node->name, value, out, err);
}

static tt_status mix(tt_casts *w, int at, tt_error *err)
{
    tt_node *node = &w->graph->nodes[at];
    int weights, bias = TT_ABSENT, source = TT_ABSENT;
    if (node->dead || !is_layer(node) || node->n_inputs < 2 || node->n_posts > 0 ||
        node->inputs[0] < 0 || node->inputs[1] < 0)
        return TT_OK;
    weights = rounded_constant(w, node->inputs[1]);
    if (weights < 0 || !tt_casts_only(w, node->outputs[0], TT_AS_F32)) return TT_OK;
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
    TT_TRY(tt_node_own_lists(w->graph, node, err));
    if (source >= 0) node->inputs[0] = source;
    node->inputs[1] = weights;
    if (bias >= 0) node->inputs[2] = bias;
    tt_casts_drop(w, node->outputs[0], TT_AS_F32);
    return TT_OK;
}

static bool has_cast(const tt_graph *graph)
{
    for (int i = 0; i < graph->n_nodes; ++i)
        if (tt_cast_to(&graph->nodes[i]) == TT_BF16) return true;
    return false;
}

tt_status tt_graph_mix_bf16(tt_graph *graph, bool is_native, tt_error *err)
{
    int n = graph->n_nodes;
    tt_status status = TT_OK;
    tt_casts w;
    if (!has_cast(graph)) return TT_OK;
    TT_TRY(tt_casts_begin(graph, is_native, &w, err));
    for (int i = 0; i < n && status == TT_OK; ++i) {
        status = mix(&w, i, err);
        if (status == TT_OK) status = tt_casts_mix_attention(&w, i, err);
    }
    tt_casts_end(&w);
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
static bool cancel(tt_casts *w, tt_node *node)
{
    tt_node *inner = tt_match_producer(w->graph, node->inputs[0], "Cast");
    int x;
    if (tt_cast_to(node) != TT_BF16 || tt_cast_to(inner) != TT_F32) return false;
    x = inner->inputs[0];
    if (tt_casts_dtype(w, x) != TT_BF16 || x >= w->n_values) return false;
    w->uses[node->inputs[0]]--;
    w->casts[TT_AS_BF16][node->inputs[0]]--;
    if (node->outputs[0] < w->n_values) {
        w->uses[x] += w->uses[node->outputs[0]];
        for (int as = 0; as < 2; ++as)
            w->casts[as][x] += w->casts[as][node->outputs[0]];
    }
    tt_graph_replace(w->graph, node->outputs[0], x);
    node->dead = true;
    return true;
}

/* How many of the inputs, from the first on, hold what it moves; 0: it is no move. */
static int n_moved(const tt_casts *w, const tt_node *node)
{
    if (tt_node_is(node, "Concat")) return node->n_inputs;
    if (tt_node_is(node, "MaxPool")) return w->is_native && node->n_outputs == 1;
    return is_move(w->graph, node);
}

/* Does casting the value instead of what is made of it cost nothing? */
static bool is_free_to_cast(tt_casts *w, int value)
{
    tt_node *cast = tt_match_producer(w->graph, value, "Cast");
    if (tt_casts_dtype(w, value) != TT_F32 ||
        tt_graph_constant(w->graph, value) != NULL)
        return false;
    if (value < w->n_values && w->uses[value] == 1) return true;
    return tt_cast_to(cast) == TT_F32 && tt_casts_dtype(w, cast->inputs[0]) == TT_BF16;
}

static bool moves_to_bf16(tt_casts *w, const tt_node *node)
{
    int n = n_moved(w, node);
    if (n == 0) return false;
    for (int i = 0; i < n; ++i)
        if (!is_free_to_cast(w, node->inputs[i])) return false;
    for (int i = 0; i < node->n_outputs; ++i)
        if (node->outputs[i] >= 0 && !tt_casts_only(w, node->outputs[i], TT_AS_BF16))
            return false;
    return true;
}

/* bfloat16(Move(x)) -> Move(bfloat16(x)).  Nodes are walked backwards, so the cast
 * meets what makes x later. */
static tt_status hoist(tt_casts *w, int at, tt_error *err)
{
    tt_graph *graph = w->graph;
    int n = n_moved(w, &graph->nodes[at]);
    if (!moves_to_bf16(w, &graph->nodes[at])) return TT_OK;
    TT_TRY(tt_node_own_lists(graph, &graph->nodes[at], err));
    for (int i = 0; i < n; ++i) {
        int from = graph->nodes[at].inputs[i], to;
        TT_TRY(tt_cast_new(graph, graph->nodes[at].name, from, TT_BF16, &to, err));
        graph->nodes[at].inputs[i] = to;
        if (from < w->n_values) w->casts[TT_AS_BF16][from]++;
    }
    tt_node *node = &graph->nodes[at];
    if (tt_node_is(node, "Pad") && node->n_inputs > 2)
        node->inputs[2] = TT_ABSENT; /* a zero of another type */
    for (int i = 0; i < node->n_outputs; ++i) {
        if (node->outputs[i] < 0) continue;
        tt_casts_drop(w, node->outputs[i], TT_AS_BF16);
        graph->values[node->outputs[i]].shape.dtype = TT_BF16;
    }
    return TT_OK;
}

static bool reads_bf16(const tt_casts *w, const tt_node *node)
{
    for (int i = 0; i < node->n_inputs; ++i)
        if (tt_casts_dtype(w, node->inputs[i]) == TT_BF16) return true;
    return false;
}

/* A layer of bfloat16 whose result is only read as float32 gives that. */
static void keep_sum(tt_casts *w, const tt_node *node)
{
    int out = node->outputs[0];
    if (!is_layer(node) || tt_casts_dtype(w, out) != TT_BF16 ||
        !tt_casts_only(w, out, TT_AS_F32) ||
        tt_shape_numel(&w->graph->values[node->inputs[0]].shape) == 0)
        return;
    tt_casts_drop(w, out, TT_AS_F32);
    w->graph->values[out].shape.dtype = TT_F32;
}

static tt_status widen_input(tt_casts *w, int at, int i, tt_error *err)
{
    int value = w->graph->nodes[at].inputs[i], wide;
    if (tt_casts_dtype(w, value) != TT_BF16) return TT_OK;
    if (value < w->n_values && w->wide[value] == TT_ABSENT)
        w->casts[TT_AS_F32][value]++; /* instead of the node */
    else if (value < w->n_values)
        w->uses[value]--;
    TT_TRY(tt_casts_widened(w, w->graph->nodes[at].name, value, &wide, err));
    w->graph->nodes[at].inputs[i] = wide;
    return TT_OK;
}

static tt_status widen_output(tt_casts *w, int at, int i, tt_error *err)
{
    tt_graph *graph = w->graph;
    int out = graph->nodes[at].outputs[i], wide;
    tt_shape shape;
    if (tt_casts_dtype(w, out) != TT_BF16) return TT_OK;
    if (tt_casts_only(w, out, TT_AS_F32)) {
        tt_casts_drop(w, out, TT_AS_F32);
        graph->values[out].shape.dtype = TT_F32;
        return TT_OK;
    }
    shape = graph->values[out].shape;
    shape.dtype = TT_F32;
    TT_TRY(tt_graph_add_value(graph, graph->values[out].name, &shape, &wide, err));
    graph->nodes[at].outputs[i] = wide;
    return tt_cast_add(graph, graph->nodes[at].name, wide, out, TT_BF16, err);
}

/* The node in float32 between casts. */
static tt_status widen(tt_casts *w, int at, tt_error *err)
{
    TT_TRY(tt_node_own_lists(w->graph, &w->graph->nodes[at], err));
    for (int i = 0; i < w->graph->nodes[at].n_inputs; ++i)
        TT_TRY(widen_input(w, at, i, err));
    for (int i = 0; i < w->graph->nodes[at].n_outputs; ++i)
        TT_TRY(widen_output(w, at, i, err));
    return TT_OK;
}

/* Filters of few weights keep their sums: narrow.h. */
static tt_status round_weights(tt_casts *w, int at, tt_error *err)
{
    tt_node *node = &w->graph->nodes[at];
    const tt_shape *shape;
    tt_constant *made;
    if (!w->is_native || !tt_node_is(node, "Conv") ||
        tt_casts_dtype(w, node->inputs[0]) != TT_BF16 ||
        tt_casts_dtype(w, node->inputs[1]) != TT_F32 ||
        tt_graph_constant(w->graph, node->inputs[1]) == NULL)
        return TT_OK;
    shape = &w->graph->values[node->inputs[1]].shape;
    if (tt_shape_numel(shape) > shape->dims[0] * TT_NARROW_TAPS) return TT_OK;
    TT_TRY(tt_node_own_lists(w->graph, node, err));
    TT_TRY(
        tt_constant_narrowed(w->graph->values[node->inputs[1]].constant, &made, err));
    return tt_graph_add_constant(w->graph, w->graph->values[node->inputs[1]].name, made,
                                 &node->inputs[1], err);
}

static tt_status visit(tt_casts *w, int at, tt_error *err)
{
    tt_node *node = &w->graph->nodes[at];
    if (node->dead || node->op == NULL || node->n_inputs < 1 || node->n_outputs < 1 ||
        node->inputs[0] < 0 || node->outputs[0] < 0 || node->n_posts > 0)
        return TT_OK;
    if (cancel(w, node)) return TT_OK;
    if (is_widened(node, w->is_native) && reads_bf16(w, node)) return widen(w, at, err);
    keep_sum(w, node);
    TT_TRY(round_weights(w, at, err));
    return hoist(w, at, err);
}

tt_status tt_graph_fuse_bf16(tt_graph *graph, bool is_native, tt_error *err)
{
    int n = graph->n_nodes;
    tt_status status = TT_OK;
    tt_casts w;
    if (!has_bf16(graph)) return TT_OK;
    TT_TRY(tt_casts_begin(graph, is_native, &w, err));
    for (int i = n - 1; i >= 0 && status == TT_OK; --i)
        status = visit(&w, i, err);
    tt_casts_end(&w);
    if (status == TT_OK) status = tt_graph_sort(graph, err);
    tt_graph_sweep(graph);
    TT_TRY(status);
    TT_TRY(tt_casts_begin(graph, is_native, &w,
                          err)); /* what the casts met on their way */
    for (int i = 0; i < graph->n_nodes; ++i)
        if (!graph->nodes[i].dead && graph->nodes[i].n_inputs > 0)
            (void)cancel(&w, &graph->nodes[i]);
    tt_casts_end(&w);
    tt_graph_sweep(graph);
    return TT_OK;
}

/* ---- results, when everything else is fused --------------------------------- */

/* The Cast of the value to bfloat16, or NULL. */
static tt_node *first_cast(tt_graph *graph, int value)
{
    for (int i = 0; i < graph->n_nodes; ++i)
        if (tt_cast_to(&graph->nodes[i]) == TT_BF16 &&
            graph->nodes[i].inputs[0] == value)
            return &graph->nodes[i];
    return NULL;
}

/* The normalisation writes bfloat16 beside its result. */
static tt_status add_narrow_output(tt_casts *w, int at, tt_error *err)
{
    tt_graph *graph = w->graph;
    tt_node *node = &graph->nodes[at], *cast = first_cast(graph, node->outputs[0]);
    int n = TT_LAYER_NORM_NARROW_OUTPUT;
    int *outputs = tt_region_alloc(graph->region, (size_t)n + 1, sizeof *outputs);
    if (outputs == NULL) return tt_fail(err, TT_NO_MEMORY, "outputs of a node");
    for (int i = 0; i < n; ++i)
        outputs[i] = i < node->n_outputs ? node->outputs[i] : TT_ABSENT;
    outputs[n] = cast->outputs[0];
    cast->dead = true;
    node->outputs = outputs;
    node->n_outputs = n + 1;
    return TT_OK;
}

static bool is_norm(const tt_node *node)
{
    static const char *const NAMES[] = {"LayerNormalization", "RMSNormalization", NULL};
    return is_listed(node, NAMES) && node->n_outputs <= TT_LAYER_NORM_NARROW_OUTPUT;
}

static tt_status store(tt_casts *w, int at, tt_error *err)
{
    tt_node *node = &w->graph->nodes[at];
    bool is_f32;
    int out;
    if (node->dead || node->n_outputs < 1 || node->n_inputs < 1) return TT_OK;
    out = node->outputs[0];
    is_f32 = tt_casts_dtype(w, node->inputs[0]) == TT_F32;
    if (is_layer(node) ? is_f32 : !(is_norm(node) && is_f32)) return TT_OK;
    if (tt_casts_dtype(w, out) != TT_F32 || w->casts[TT_AS_BF16][out] == 0 ||
        tt_shape_numel(&w->graph->values[node->inputs[0]].shape) == 0)
        return TT_OK;
    if (tt_casts_only(w, out, TT_AS_BF16)) {
        tt_casts_drop(w, out, TT_AS_BF16);
        w->graph->values[out].shape.dtype = TT_BF16;
        return TT_OK;
    }
    return is_norm(node) && w->casts[TT_AS_BF16][out] == 1
               ? add_narrow_output(w, at, err)
               : TT_OK;
}

tt_status tt_graph_store_bf16(tt_graph *graph, bool is_native, tt_error *err)
{
    tt_status status = TT_OK;
    tt_casts w;
    if (!has_bf16(graph)) return TT_OK;
    TT_TRY(tt_casts_begin(graph, is_native, &w, err));
    for (int i = 0; i < graph->n_nodes && status == TT_OK; ++i)
        status = store(&w, i, err);
    tt_casts_end(&w);
    tt_graph_sweep(graph);
    return status;
}
