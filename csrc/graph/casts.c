/* Casts to float32 and bfloat16: see casts.h. */
#include "graph/casts.h"

#include <string.h>

#include "base/alloc.h"
#include "graph/match.h"
#include "graph/widen.h"
#include "ops/op.h"

/* ---- looking --------------------------------------------------------------- */

/* What a Cast turns into, or TT_DTYPE_NONE for other nodes. */
tt_dtype tt_cast_to(const tt_node *node)
{
    const tt_attribute *to;
    if (node == NULL || !tt_node_is(node, "Cast")) return TT_DTYPE_NONE;
    to = tt_attribute_find(node, "to");
    if (to == NULL || to->kind != TT_ATTRIBUTE_INT) return TT_DTYPE_NONE;
    return to->as.ints[0] == TT_F32    ? TT_F32
           : to->as.ints[0] == TT_BF16 ? TT_BF16
                                       : TT_DTYPE_NONE;
}

/* Is the value read, and by casts to this type alone? */
bool tt_casts_only(const tt_casts *w, int value, tt_cast_as as)
{
    return value >= 0 && value < w->n_values && w->uses[value] > 0 &&
           w->casts[as][value] == w->uses[value];
}

/* ---- changes --------------------------------------------------------------- */

static void count_read(tt_casts *w, int value, int as)
{
    if (value < 0) return;
    w->uses[value]++;
    if (as >= 0) w->casts[as][value]++;
}

static void count_reads(tt_casts *w)
{
    const tt_graph *graph = w->graph;
    for (int i = 0; i < graph->n_nodes; ++i) {
        const tt_node *node = &graph->nodes[i];
        tt_dtype to = tt_cast_to(node);
        if (node->dead) continue;
        for (int k = 0; k < node->n_inputs; ++k)
            count_read(w, node->inputs[k],
                       to == TT_F32    ? TT_AS_F32
                       : to == TT_BF16 ? TT_AS_BF16
                                       : -1);
        for (int k = 0; k < node->n_posts; ++k)
            count_read(w, node->posts[k].value, -1);
    }
    for (int i = 0; i < graph->n_outputs; ++i)
        count_read(w, graph->outputs[i], -1);
}

void tt_casts_end(tt_casts *w)
{
    tt_free(w->uses);
    tt_free(w->casts[0]);
    tt_free(w->casts[1]);
    tt_free(w->wide);
}

tt_status tt_casts_begin(tt_graph *graph, bool is_native, tt_casts *w, tt_error *err)
{
    size_t n = (size_t)graph->n_values + 1;
    *w =
        (tt_casts){.graph = graph, .is_native = is_native, .n_values = graph->n_values};
    w->uses = tt_calloc(n, sizeof *w->uses);
    w->casts[0] = tt_calloc(n, sizeof *w->uses);
    w->casts[1] = tt_calloc(n, sizeof *w->uses);
    w->wide = tt_calloc(n, sizeof *w->wide);
    if (!w->uses || !w->casts[0] || !w->casts[1] || !w->wide) {
        tt_casts_end(w);
        return tt_fail(err, TT_NO_MEMORY, "the casts of a graph");
    }
    for (size_t i = 0; i < n; ++i)
        w->wide[i] = TT_ABSENT;
    count_reads(w);
    return TT_OK;
}

/* Whoever reads a cast of the value to this type reads the value. */
void tt_casts_drop(tt_casts *w, int value, tt_cast_as as)
{
    static const tt_dtype TYPES[] = {[TT_AS_F32] = TT_F32, [TT_AS_BF16] = TT_BF16};
    tt_graph *graph = w->graph;
    for (int i = 0; i < graph->n_nodes; ++i) {
        tt_node *node = &graph->nodes[i];
        int out;
        if (tt_cast_to(node) != TYPES[as] || node->inputs[0] != value) continue;
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
tt_status tt_cast_add(tt_graph *graph, const char *name, int from, int to,
                      tt_dtype dtype, tt_error *err)
{
    const tt_op *op = tt_op_find("", "Cast", 13);
    tt_node *cast;
    if (op == NULL)
        return tt_fail(err, TT_UNSUPPORTED, "no operator Cast in opset %d", 13);
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
tt_status tt_cast_new(tt_graph *graph, const char *name, int value, tt_dtype dtype,
                      int *out, tt_error *err)
{
    tt_shape shape = graph->values[value].shape;
    shape.dtype = dtype;
    TT_TRY(tt_graph_add_value(graph, graph->values[value].name, &shape, out, err));
    return tt_cast_add(graph, name, value, *out, dtype, err);
}

/* `value` in float32, made once. */
tt_status tt_casts_widened(tt_casts *w, const char *name, int value, int *out,
                           tt_error *err)
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
        TT_TRY(tt_cast_new(w->graph, name, value, TT_F32, out, err));
    }
    if (is_old) w->wide[value] = *out;
    return TT_OK;
}

static int *copied(tt_graph *graph, const int *list, int n)
{
    int *made = tt_region_alloc(graph->region, (size_t)n + 1, sizeof *made);
    if (made != NULL && n > 0) memcpy(made, list, (size_t)n * sizeof *made);
    return made;
}

tt_status tt_node_own_lists(tt_graph *graph, tt_node *node, tt_error *err)
{
    int *inputs = copied(graph, node->inputs, node->n_inputs);
    int *outputs = copied(graph, node->outputs, node->n_outputs);
    if (inputs == NULL || outputs == NULL)
        return tt_fail(err, TT_NO_MEMORY, "the lists of a node");
    node->inputs = inputs;
    node->outputs = outputs;
    return TT_OK;
}
