/* Questions and answers of rewrite rules; see match.h. */
#include "graph/match.h"

#include <math.h>
#include <string.h>

#include "ops/op.h"

bool tt_node_is(const tt_node *node, const char *op_type)
{
    return !node->dead && node->op != NULL && node->op->domain[0] == '\0' &&
           strcmp(node->op->name, op_type) == 0;
}

tt_node *tt_match_producer(tt_graph *graph, int value, const char *op_type)
{
    tt_node *node;
    if (value < 0 || graph->values[value].constant != NULL) return NULL;
    if (graph->values[value].producer < 0) return NULL;
    node = &graph->nodes[graph->values[value].producer];
    if (node->dead || node->op == NULL) return NULL;
    return op_type == NULL || tt_node_is(node, op_type) ? node : NULL;
}

tt_node *tt_match_only_producer(tt_graph *graph, int value, const char *op_type)
{
    tt_node *node = tt_match_producer(graph, value, op_type);
    return node != NULL && tt_graph_n_uses(graph, value) == 1 ? node : NULL;
}

bool tt_match_any_scalar(const tt_graph *graph, int value, double *out)
{
    const tt_constant *constant = tt_graph_constant(graph, value);
    return constant != NULL && tt_scalar_value(constant, out);
}

bool tt_match_scalar(const tt_graph *graph, int value, double expected)
{
    double found;
    return tt_match_any_scalar(graph, value, &found) &&
           fabs(found - expected) <= 1e-5 * fabs(expected);
}

int tt_match_other(const tt_node *node, int value)
{
    if (node->n_inputs != 2) return TT_ABSENT;
    if (node->inputs[0] == value) return node->inputs[1];
    return node->inputs[1] == value ? node->inputs[0] : TT_ABSENT;
}

bool tt_node_become(tt_graph *graph, tt_node *node, const char *op_type, int version,
                    const int *inputs, int n_inputs)
{
    return tt_node_become_op(graph, node, tt_op_find("", op_type, version), version,
                             inputs, n_inputs);
}

bool tt_node_become_op(tt_graph *graph, tt_node *node, const tt_op *op, int version,
                       const int *inputs, int n_inputs)
{
    int *list = tt_region_alloc(graph->region, (size_t)n_inputs + 1, sizeof *list);
    if (op == NULL || list == NULL) return false;
    memcpy(list, inputs, (size_t)n_inputs * sizeof *list);
    node->op = op;
    node->op_type = op->name;
    node->domain = op->domain;
    node->version = version;
    node->inputs = list;
    node->n_inputs = n_inputs;
    node->attributes = NULL;
    node->n_attributes = 0;
    return true;
}

/* A list of the node's own with room for `name`, in place of one of that name. */
static tt_attribute *add_attribute(tt_graph *graph, tt_node *node, const char *name)
{
    int n = node->n_attributes, at = 0;
    tt_attribute *list = tt_region_alloc(graph->region, (size_t)n + 1, sizeof *list);
    if (list == NULL) return NULL;
    if (n > 0) memcpy(list, node->attributes, (size_t)n * sizeof *list);
    while (at < n && strcmp(list[at].name, name) != 0)
        ++at;
    list[at].name = name;
    list[at].n = 1;
    node->attributes = list;
    if (at == n) node->n_attributes++;
    return &list[at];
}

bool tt_node_set_int(tt_graph *graph, tt_node *node, const char *name, int64_t value)
{
    int64_t *item = tt_region_alloc(graph->region, 1, sizeof *item);
    tt_attribute *attribute = item ? add_attribute(graph, node, name) : NULL;
    if (attribute == NULL) return false;
    *item = value;
    attribute->kind = TT_ATTRIBUTE_INT;
    attribute->as.ints = item;
    return true;
}

bool tt_node_set_float(tt_graph *graph, tt_node *node, const char *name, float value)
{
    float *item = tt_region_alloc(graph->region, 1, sizeof *item);
    tt_attribute *attribute = item ? add_attribute(graph, node, name) : NULL;
    if (attribute == NULL) return false;
    *item = value;
    attribute->kind = TT_ATTRIBUTE_FLOAT;
    attribute->as.floats = item;
    return true;
}

bool tt_node_set_ints(tt_graph *graph, tt_node *node, const char *name,
                      const int64_t *values, int n)
{
    int64_t *items = tt_region_alloc(graph->region, (size_t)n + 1, sizeof *items);
    tt_attribute *attribute = items ? add_attribute(graph, node, name) : NULL;
    if (attribute == NULL) return false;
    memcpy(items, values, (size_t)n * sizeof *items);
    attribute->kind = TT_ATTRIBUTE_INTS;
    attribute->n = n;
    attribute->as.ints = items;
    return true;
}
