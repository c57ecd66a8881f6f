/* Joins elementwise nodes into chains; see chain.h.
 *
 * Nodes are visited in reverse.  An elementwise node that no chain has absorbed is a
 * root; it absorbs producers of its inputs, and theirs, as long as a producer is
 * elementwise, has the root's dims, and is read only inside the chain.  The chain
 * stands at the root's place, so everything it reads has been made before. */
#include "graph/chain.h"

#include <string.h>

#include "base/alloc.h"
#include "ops/op.h"

const tt_op tt_op_chain = {.name = "Chain",
                           .domain = "trimtab",
                           .since = 1,
                           .summary = "elementwise operators as one loop"};

enum { MAX_MEMBERS = 24 };

typedef struct {
    tt_graph *graph;
    int *uses; /* per value: readers among live nodes and outputs */
    int n_members;
    int members[MAX_MEMBERS]; /* node indices */
} chaining;

static bool same_dims(const tt_shape *a, const tt_shape *b)
{
    if (a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; ++i)
        if (a->dims[i] != b->dims[i]) return false;
    return true;
}

static bool is_elementwise(const tt_node *node)
{
    return !node->dead && node->op != NULL && node->op->emit != NULL &&
           node->n_outputs == 1 && node->n_posts == 0 && node->extra == NULL;
}

static bool is_member(const chaining *c, int node)
{
    for (int i = 0; i < c->n_members; ++i)
        if (c->members[i] == node) return true;
    return false;
}

bool tt_chain_immediate(const tt_graph *graph, int value, double *out)
{
    const tt_value *v = &graph->values[value];
    const tt_dtype dtype = v->shape.dtype;
    /* 64-bit integers do not fit a double; 16-bit floats have no registers */
    if (dtype == TT_S64 || dtype == TT_U64 || dtype == TT_F16 || dtype == TT_BF16)
        return false;
    return v->constant != NULL && tt_shape_numel(&v->shape) == 1 &&
           tt_eltwise_has(TT_ELTWISE_CAST, dtype) && tt_scalar_value(v->constant, out);
}

/* How many reads of `value` happen inside the chain. */
static int reads_inside(const chaining *c, int value)
{
    int n = 0;
    for (int i = 0; i < c->n_members; ++i) {
        const tt_node *node = &c->graph->nodes[c->members[i]];
        for (int k = 0; k < node->n_inputs; ++k)
            n += node->inputs[k] == value;
    }
    return n;
}

/* Inputs of the members that no member makes and that must be loaded. */
static int count_inputs(const chaining *c, int *inputs)
{
    int n = 0;
    double immediate;
    for (int i = 0; i < c->n_members; ++i) {
        const tt_node *node = &c->graph->nodes[c->members[i]];
        for (int k = 0; k < node->n_inputs; ++k) {
            int value = node->inputs[k], seen = value < 0;
            if (value >= 0 && c->graph->values[value].producer >= 0)
                seen = is_member(c, c->graph->values[value].producer);
            for (int m = 0; m < n && !seen; ++m)
                seen = inputs[m] == value;
            seen = seen || tt_chain_immediate(c->graph, value, &immediate);
            if (!seen && n < TT_ELTWISE_MAX_OPERANDS)
                inputs[n++] = value;
            else if (!seen)
                return n + 1;
        }
    }
    return n;
}

static void sort_members(chaining *c)
{
    for (int i = 1; i < c->n_members; ++i) {
        int node = c->members[i], k = i;
        for (; k > 0 && c->members[k - 1] > node; --k)
            c->members[k] = c->members[k - 1];
        c->members[k] = node;
    }
}

/* Does the program of the members fit the engine?  Emits it to find out. */
static bool fits(chaining *c)
{
    tt_eltwise_builder *b = tt_calloc(1, sizeof *b);
    int *registers = tt_calloc((size_t)c->graph->n_values, sizeof *registers);
    int inputs[TT_ELTWISE_MAX_OPERANDS + 1];
    bool ok = b != NULL && registers != NULL;
    int n = ok ? count_inputs(c, inputs) : 0;
    ok = ok && n <= TT_ELTWISE_MAX_OPERANDS - 2;
    for (int i = 0; i < n && ok; ++i) {
        int reg = tt_eltwise_load(b, c->graph->values[inputs[i]].shape.dtype);
        registers[inputs[i]] = reg + 1;
        ok = reg >= 0;
    }
    for (int i = 0; i < c->n_members && ok; ++i) {
        const tt_node *node = &c->graph->nodes[c->members[i]];
        tt_site site = {c->graph, node, -1};
        int args[TT_ELTWISE_MAX_OPERANDS], result = -1;
        ok = node->n_inputs <= TT_ELTWISE_MAX_OPERANDS;
        for (int k = 0; k < node->n_inputs && ok; ++k) {
            int value = node->inputs[k];
            double scalar;
            args[k] = value < 0 ? -1 : registers[value] - 1;
            if (value < 0 || args[k] >= 0) continue;
            ok = tt_chain_immediate(c->graph, value, &scalar);
            if (ok)
                args[k] =
                    tt_eltwise_constant(b, c->graph->values[value].shape.dtype, scalar);
            ok = ok && args[k] >= 0;
            registers[value] = args[k] + 1;
        }
        ok = ok && node->op->emit(&site, b, args, &result, NULL) == TT_OK;
        if (ok) registers[node->outputs[0]] = result + 1;
    }
    tt_free(b);
    tt_free(registers);
    return ok;
}

static bool may_absorb(const chaining *c, int value, const tt_shape *root)
{
    int producer = value < 0 ? -1 : c->graph->values[value].producer;
    const tt_node *node;
    if (producer < 0 || is_member(c, producer)) return false;
    node = &c->graph->nodes[producer];
    return is_elementwise(node) && same_dims(&c->graph->values[value].shape, root) &&
           c->graph->values[value].constant == NULL &&
           reads_inside(c, value) == c->uses[value];
}

/* Absorbs one more producer if there is one that fits. */
static bool absorb_one(chaining *c, const tt_shape *root, bool *refused)
{
    for (int i = 0; i < c->n_members; ++i) {
        const tt_node *node = &c->graph->nodes[c->members[i]];
        for (int k = 0; k < node->n_inputs; ++k) {
            int value = node->inputs[k];
            if (!may_absorb(c, value, root)) continue;
            int producer = c->graph->values[value].producer;
            if (refused[producer]) continue;
            int saved[MAX_MEMBERS];
            int n_saved = c->n_members;
            memcpy(saved, c->members, sizeof saved);
            c->members[c->n_members++] = producer;
            sort_members(c);
            if (fits(c)) return true;
            memcpy(c->members, saved, sizeof saved);
            c->n_members = n_saved;
            refused[producer] = true;
        }
    }
    return false;
}

static const char *chain_type(tt_graph *graph, const tt_chain *chain)
{
    const char *text = chain->nodes[0].op_type;
    for (int i = 1; i < chain->n_nodes && text != NULL; ++i)
        text = tt_region_printf(graph->region, "%s+%s", text, chain->nodes[i].op_type);
    return text != NULL ? text : "Chain";
}

static tt_status make_chain(chaining *c, tt_error *err)
{
    tt_graph *graph = c->graph;
    tt_node *root = &graph->nodes[c->members[c->n_members - 1]];
    int inputs[TT_ELTWISE_MAX_OPERANDS + 1];
    int n = count_inputs(c, inputs);
    tt_chain *chain = tt_region_alloc(graph->region, 1, sizeof *chain);
    int *list = tt_region_alloc(graph->region, (size_t)n + 1, sizeof *list);
    if (chain == NULL || list == NULL) goto no_memory;
    chain->nodes =
        tt_region_alloc(graph->region, (size_t)c->n_members, sizeof *chain->nodes);
    if (chain->nodes == NULL) goto no_memory;
    chain->n_nodes = c->n_members;
    for (int i = 0; i < c->n_members; ++i) {
        chain->nodes[i] = graph->nodes[c->members[i]];
        if (i + 1 < c->n_members) graph->nodes[c->members[i]].dead = true;
    }
    memcpy(list, inputs, (size_t)n * sizeof *list);
    root->op_type = chain_type(graph, chain);
    root->op = &tt_op_chain;
    root->extra = chain;
    root->inputs = list;
    root->n_inputs = n;
    return TT_OK;
no_memory:
    return tt_fail(err, TT_NO_MEMORY, "an elementwise chain");
}

static tt_status count_uses(chaining *c, tt_error *err)
{
    const tt_graph *graph = c->graph;
    c->uses = tt_calloc((size_t)graph->n_values + 1, sizeof *c->uses);
    if (c->uses == NULL) return tt_fail(err, TT_NO_MEMORY, "use counts");
    for (int i = 0; i < graph->n_nodes; ++i) {
        const tt_node *node = &graph->nodes[i];
        if (node->dead) continue;
        for (int k = 0; k < node->n_inputs; ++k)
            if (node->inputs[k] >= 0) c->uses[node->inputs[k]]++;
        for (int k = 0; k < node->n_posts; ++k)
            if (node->posts[k].value >= 0) c->uses[node->posts[k].value]++;
    }
    for (int i = 0; i < graph->n_outputs; ++i)
        c->uses[graph->outputs[i]]++;
    return TT_OK;
}

tt_status tt_graph_chain(tt_graph *graph, tt_error *err)
{
    chaining c = {.graph = graph};
    tt_status status = count_uses(&c, err);
    bool *refused = tt_calloc((size_t)graph->n_nodes + 1, sizeof *refused);
    if (status == TT_OK && refused == NULL)
        status = tt_fail(err, TT_NO_MEMORY, "elementwise chains");
    for (int i = graph->n_nodes - 1; i >= 0 && status == TT_OK; --i) {
        const tt_shape *shape;
        if (!is_elementwise(&graph->nodes[i])) continue;
        shape = &graph->values[graph->nodes[i].outputs[0]].shape;
        memset(refused, 0, (size_t)graph->n_nodes * sizeof *refused);
        c.n_members = 1;
        c.members[0] = i;
        while (c.n_members < MAX_MEMBERS && absorb_one(&c, shape, refused)) {
        }
        if (c.n_members > 1) status = make_chain(&c, err);
    }
    tt_free(refused);
    tt_free(c.uses);
    return status;
}
