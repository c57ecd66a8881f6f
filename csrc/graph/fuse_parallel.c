/* Matmuls that share their input become one: Q, K and V of attention, gate and up of
 * gated feed-forward layers.
 *
 *   x W1 (+ b1), x W2 (+ b2), ..  =  Split(x [W1 W2 ..] (+ [b1 b2 ..]))
 *
 * One wide matmul reads x once and fills the machine better than several narrow ones;
 * the parts are views. */
#include <string.h>

#include "base/alloc.h"
#include "graph/fuse.h"
#include "graph/match.h"
#include "ops/op.h"

enum { MAX_PARTS = 8 };

typedef struct {
    int n;
    int matmuls[MAX_PARTS]; /* node indices */
    int adds[MAX_PARTS];    /* node index, or -1 */
    int biases[MAX_PARTS];  /* value, or TT_ABSENT */
    int64_t k, n_columns;
} group;

static const tt_shape *weights_shape(const tt_graph *graph, const tt_node *node)
{
    const tt_constant *constant;
    if (!tt_node_is(node, "MatMul")) return NULL;
    constant = tt_graph_constant(graph, node->inputs[1]);
    if (constant == NULL) return NULL;
    const tt_shape *shape = tt_constant_shape(constant);
    return shape->dtype == TT_F32 && shape->rank == 2 ? shape : NULL;
}

/* The only reader of a value when it is Add with a constant vector of n items. */
static int bias_add(const tt_graph *graph, int value, int64_t n, int *bias)
{
    int found = -1;
    if (tt_graph_n_uses(graph, value) != 1) return -1;
    for (int i = 0; i < graph->n_nodes && found < 0; ++i) {
        const tt_node *node = &graph->nodes[i];
        const tt_constant *constant;
        if (!tt_node_is(node, "Add")) continue;
        if (node->inputs[0] != value && node->inputs[1] != value) continue;
        *bias = tt_match_other(node, value);
        constant = tt_graph_constant(graph, *bias);
        if (constant == NULL) return -1;
        const tt_shape *shape = tt_constant_shape(constant);
        if (shape->dtype != TT_F32 || shape->rank != 1 || shape->dims[0] != n)
            return -1;
        found = i;
    }
    return found;
}

static void collect(const tt_graph *graph, int first, group *g)
{
    const tt_node *lead = &graph->nodes[first];
    bool with_bias = false;
    memset(g, 0, sizeof *g);
    for (int i = first; i < graph->n_nodes && g->n < MAX_PARTS; ++i) {
        const tt_node *node = &graph->nodes[i];
        const tt_shape *shape = weights_shape(graph, node);
        int bias = TT_ABSENT, add;
        if (shape == NULL || node->inputs[0] != lead->inputs[0] || node->n_posts > 0)
            continue;
        if (tt_graph_is_output(graph, node->outputs[0])) continue;
        add = bias_add(graph, node->outputs[0], shape->dims[1], &bias);
        if (g->n == 0) {
            g->k = shape->dims[0];
            with_bias = add >= 0;
        }
        if (shape->dims[0] != g->k || (add >= 0) != with_bias) continue;
        g->matmuls[g->n] = i;
        g->adds[g->n] = add;
        g->biases[g->n++] = add >= 0 ? bias : TT_ABSENT;
        g->n_columns += shape->dims[1];
    }
}

/* The parts of joined weights, each of [k, n] with n its own. */
typedef struct {
    int n;
    int64_t n_columns;
    tt_constant *parts[MAX_PARTS]; /* references */
} joint;

static tt_status fill_joint(void *owner, void *dst, tt_error *err)
{
    const joint *j = owner;
    float *to = dst;
    for (int i = 0; i < j->n; ++i) {
        const tt_shape *shape = tt_constant_shape(j->parts[i]);
        int64_t columns = shape->dims[1];
        const float *src;
        TT_TRY(tt_constant_pin(j->parts[i], err));
        src = tt_constant_data(j->parts[i]);
        for (int64_t row = 0; row < shape->dims[0]; ++row)
            memcpy(to + row * j->n_columns, src + row * columns,
                   (size_t)columns * sizeof *src);
        tt_constant_unpin(j->parts[i]);
        to += columns;
    }
    return TT_OK;
}

static void release_joint(void *owner)
{
    joint *j = owner;
    for (int i = 0; i < j->n; ++i)
        tt_constant_unref(j->parts[i]);
    tt_free(j);
}

/* No key where a part has none. */
static void set_joint_key(tt_constant *made, const joint *j)
{
    tt_hash keys[MAX_PARTS];
    for (int i = 0; i < j->n; ++i)
        if (!tt_constant_is_lazy(j->parts[i]) ||
            !tt_constant_key(j->parts[i], &keys[i]))
            return;
    tt_constant_set_key(made,
                        tt_hash_bytes(keys, (size_t)j->n * sizeof keys[0], /*seed=*/4));
}

/* Made when they are packed; what is joined again is made now, or making one could
 * take any number of others. */
static tt_status joint_constant(const tt_shape *shape, joint *j, tt_constant **out,
                                tt_error *err)
{
    tt_status status;
    void *data;
    bool again = false;
    for (int i = 0; i < j->n; ++i)
        again = again || tt_constant_fills_by(j->parts[i], fill_joint);
    if (!again) {
        TT_TRY(tt_constant_lazy(shape, fill_joint, release_joint, j, out, err));
        set_joint_key(*out, j);
        return TT_OK;
    }
    TT_TRY(tt_constant_empty(shape, out, &data, err));
    status = fill_joint(j, data, err);
    if (status != TT_OK)
        tt_constant_unref(*out);
    else
        release_joint(j);
    return status;
}

static tt_status joined_weights(tt_graph *graph, const group *g, int *out,
                                tt_error *err)
{
    tt_shape shape = {
        .dtype = TT_F32, .rank = 2, .dims = {g->k, g->n_columns}
    };
    joint *j = tt_calloc(1, sizeof *j);
    tt_constant *made;
    tt_status status;
    if (j == NULL) return tt_fail(err, TT_NO_MEMORY, "joined weights");
    j->n_columns = g->n_columns;
    for (; j->n < g->n; ++j->n) {
        const tt_node *node = &graph->nodes[g->matmuls[j->n]];
        j->parts[j->n] = tt_constant_ref(graph->values[node->inputs[1]].constant);
    }
    status = joint_constant(&shape, j, &made, err);
    if (status != TT_OK) {
        release_joint(j);
        return status;
    }
    graph->folded_bytes += (int64_t)tt_shape_bytes(&shape);
    return tt_graph_add_constant(graph, "", made, out, err);
}

static tt_status joined_bias(tt_graph *graph, const group *g, int *out, tt_error *err)
{
    tt_shape shape = {.dtype = TT_F32, .rank = 1, .dims = {g->n_columns}};
    tt_constant *made;
    void *data;
    char *at;
    TT_TRY(tt_constant_empty(&shape, &made, &data, err));
    at = data;
    for (int i = 0; i < g->n; ++i) {
        const tt_constant *part = tt_graph_constant(graph, g->biases[i]);
        size_t bytes = tt_shape_bytes(tt_constant_shape(part));
        memcpy(at, tt_constant_data(part), bytes);
        at += bytes;
    }
    return tt_graph_add_constant(graph, "", made, out, err);
}

static tt_status part_sizes(tt_graph *graph, const group *g, int *out, tt_error *err)
{
    tt_shape shape = {.dtype = TT_S64, .rank = 1, .dims = {g->n}};
    tt_constant *made;
    void *data;
    TT_TRY(tt_constant_empty(&shape, &made, &data, err));
    for (int i = 0; i < g->n; ++i) {
        const tt_node *node = &graph->nodes[g->matmuls[i]];
        ((int64_t *)data)[i] = weights_shape(graph, node)->dims[1];
    }
    return tt_graph_add_constant(graph, "", made, out, err);
}

/* A new node behind the others with a new value for its single result. */
static tt_status add_binary(tt_graph *graph, const char *op_type, const char *name,
                            int version, int a, int b, int *out, tt_error *err)
{
    tt_shape shape = {.dtype = TT_F32, .rank = TT_UNKNOWN_RANK};
    const tt_op *op = tt_op_find("", op_type, version);
    tt_node *node;
    if (op == NULL) return tt_fail(err, TT_UNSUPPORTED, "no operator %s", op_type);
    TT_TRY(tt_graph_add_value(graph, name, &shape, out, err));
    TT_TRY(tt_graph_add_node(graph, op, name, 2, 1, &node, err));
    node->op_type = op->name;
    node->domain = op->domain;
    node->version = version;
    node->inputs[0] = a;
    node->inputs[1] = b;
    node->outputs[0] = *out;
    return TT_OK;
}

static tt_status join(tt_graph *graph, const group *g, tt_error *err)
{
    const tt_node *lead = &graph->nodes[g->matmuls[0]];
    const char *name = lead->name;
    int version = lead->version < 13 ? 13 : lead->version, x = lead->inputs[0];
    int weights, bias, sizes, joined;
    tt_node *split;
    const tt_op *op = tt_op_find("", "Split", version);
    if (op == NULL) return TT_OK;
    TT_TRY(joined_weights(graph, g, &weights, err));
    TT_TRY(part_sizes(graph, g, &sizes, err));
    TT_TRY(add_binary(graph, "MatMul", name, version, x, weights, &joined, err));
    if (tt_attribute_find(&graph->nodes[g->matmuls[0]], "mixed_bf16") != NULL &&
        !tt_node_set_int(graph, &graph->nodes[graph->n_nodes - 1], "mixed_bf16", 1))
        return tt_fail(err, TT_NO_MEMORY, "joining matmuls");
    if (g->adds[0] >= 0) {
        int product = joined;
        TT_TRY(joined_bias(graph, g, &bias, err));
        TT_TRY(add_binary(graph, "Add", name, version, product, bias, &joined, err));
    }
    TT_TRY(tt_graph_add_node(graph, op, name, 2, g->n, &split, err));
    split->op_type = op->name;
    split->domain = op->domain;
    split->version = version;
    split->inputs[0] = joined;
    split->inputs[1] = sizes;
    if (!tt_node_set_int(graph, split, "axis", -1))
        return tt_fail(err, TT_NO_MEMORY, "joining matmuls");
    for (int i = 0; i < g->n; ++i) {
        tt_node *matmul = &graph->nodes[g->matmuls[i]];
        tt_node *last = g->adds[i] >= 0 ? &graph->nodes[g->adds[i]] : matmul;
        split->outputs[i] = last->outputs[0];
        matmul->dead = true;
        last->dead = true;
    }
    return tt_graph_sort(graph, err);
}

tt_status tt_graph_fuse_parallel(tt_graph *graph, tt_error *err)
{
    for (int i = 0; i < graph->n_nodes; ++i) {
        group g;
        if (graph->nodes[i].dead || weights_shape(graph, &graph->nodes[i]) == NULL)
            continue;
        collect(graph, i, &g);
        if (g.n < 2) continue;
        TT_TRY(join(graph, &g, err));
        i = -1; /* the nodes have moved */
    }
    tt_graph_sweep(graph);
    return TT_OK;
}
