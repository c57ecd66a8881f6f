/* Flat bytes -> one graph: values, inputs, outputs, captures, nodes, attributes.
 * A value must be defined once (input, constant, capture or output of one node) and
 * before it is read, so the nodes are in topological order by construction. */
#include <string.h>

#include "base/checked.h"
#include "graph/read_state.h"
#include "ops/op.h"

/* Least bytes of one item of each list. */
enum {
    VALUE_BYTES = 16,
    INDEX_BYTES = 4,
    CAPTURE_BYTES = 8,
    NODE_BYTES = 24,
    ATTRIBUTE_BYTES = 12
};

/* Beside the dtype of a value. */
enum { IS_SEQUENCE = 256, IS_OPTIONAL = 512 };

/* Defined by whom, while the graph is read: value.producer holds a node's number, or
 * one of these. */
enum { UNDEFINED = -2, NOT_BY_NODE = -1 };

static tt_status read_text(tt_reader *reader, const char **out, const char *what,
                           tt_error *err)
{
    int string;
    TT_TRY(tt_cursor_index(&reader->cursor, reader->n_strings, &string, what, err));
    *out = reader->strings[string];
    return TT_OK;
}

/* ---- values -------------------------------------------------------------- */

static tt_status read_dims(tt_reader *reader, tt_value *value, tt_error *err)
{
    tt_cursor *cursor = &reader->cursor;
    int64_t known = 1;
    for (int i = 0; i < value->shape.rank; ++i) {
        int64_t dim;
        int symbol;
        TT_TRY(tt_cursor_copy(cursor, &dim, sizeof dim, "a dim", err));
        TT_TRY(tt_cursor_option(cursor, reader->n_strings, &symbol, "a symbol", err));
        if (dim < TT_UNKNOWN_DIM || (dim > 0 && !tt_mul_i64(known, dim, &known)))
            return tt_fail(err, TT_BAD_MODEL,
                           "tensor '%s': dim %d is %lld, expected 0 or more (-1 when "
                           "unknown) and a product that fits 63 bits",
                           value->name, i, (long long)dim);
        value->shape.dims[i] = dim;
        value->symbols[i] = symbol < 0 ? NULL : reader->strings[symbol];
    }
    return TT_OK;
}

static tt_status read_shape(tt_reader *reader, tt_value *value, bool *is_sequence,
                            tt_error *err)
{
    tt_cursor *cursor = &reader->cursor;
    uint32_t dtype;
    int32_t rank;
    TT_TRY(tt_cursor_u32(cursor, &dtype, "the dtype of a value", err));
    TT_TRY(tt_cursor_copy(cursor, &rank, sizeof rank, "the rank of a value", err));
    *is_sequence = (dtype & IS_SEQUENCE) != 0;
    value->is_optional = (dtype & IS_OPTIONAL) != 0;
    dtype &= ~(uint32_t)(IS_SEQUENCE | IS_OPTIONAL);
    if (dtype != TT_DTYPE_NONE &&
        (!tt_dtype_is_known(dtype) || dtype == TT_SEQUENCE || dtype == TT_NOTHING))
        return tt_fail(err, TT_BAD_MODEL, "tensor '%s': dtype %lu is not known",
                       value->name, (unsigned long)dtype);
    if (rank < TT_UNKNOWN_RANK)
        return tt_fail(err, TT_BAD_MODEL, "tensor '%s': rank %ld is negative",
                       value->name, (long)rank);
    if (rank > TT_MAX_RANK)
        return tt_fail(err, TT_LIMIT, "tensor '%s': rank %ld, at most %d is supported",
                       value->name, (long)rank, TT_MAX_RANK);
    value->shape.dtype = (tt_dtype)dtype;
    value->shape.rank = rank;
    return read_dims(reader, value, err);
}

/* What was read is the shape of the items; the value is one reference to them. */
static tt_status make_sequence(tt_graph *graph, tt_value *value, tt_error *err)
{
    tt_shape *item = tt_region_alloc(graph->region, 1, sizeof *item);
    if (item == NULL) return tt_fail(err, TT_NO_MEMORY, "the type of a sequence");
    *item = value->shape;
    value->item = item;
    value->shape = (tt_shape){.dtype = TT_SEQUENCE, .rank = 0};
    return TT_OK;
}

static tt_status read_value(tt_reader *reader, tt_graph *graph, tt_error *err)
{
    const tt_source *source = reader->source;
    tt_value *value = &graph->values[graph->n_values];
    int string, constant;
    bool is_sequence;
    memset(value, 0, sizeof *value);
    value->producer = UNDEFINED;
    TT_TRY(tt_cursor_index(&reader->cursor, reader->n_strings, &string, "a name", err));
    value->name = reader->strings[string];
    if (value->name[0] != '\0' && reader->name_seen[string] == source->n_graphs + 1)
        return tt_fail(err, TT_BAD_MODEL, "graph '%s' has two tensors named '%s'",
                       graph->name, value->name);
    reader->name_seen[string] = source->n_graphs + 1;
    TT_TRY(read_shape(reader, value, &is_sequence, err));
    if (is_sequence) TT_TRY(make_sequence(graph, value, err));
    TT_TRY(tt_cursor_option(&reader->cursor, source->n_constants, &constant,
                            "a constant", err));
    if (constant >= 0) {
        const tt_shape *shape = tt_constant_shape(source->constants[constant]);
        if (!tt_shape_equal(shape, &value->shape))
            return tt_fail(err, TT_BAD_MODEL,
                           "tensor '%s' differs in dtype or shape from its constant",
                           value->name);
        value->constant = tt_constant_ref(source->constants[constant]);
        value->producer = NOT_BY_NODE;
    }
    ++graph->n_values;
    return TT_OK;
}

/* Marks a value as defined without a node; fails if it is defined already. */
static tt_status define(tt_graph *graph, int index, int producer, const char *as,
                        tt_error *err)
{
    tt_value *value = &graph->values[index];
    if (value->producer != UNDEFINED)
        return tt_fail(err, TT_BAD_MODEL,
                       "graph '%s': tensor '%s' is defined twice, now as %s",
                       graph->name, value->name, as);
    value->producer = producer;
    return TT_OK;
}

/* ---- inputs, outputs, captures ------------------------------------------- */

static tt_status read_inputs(tt_reader *reader, tt_graph *graph, int n, tt_error *err)
{
    graph->inputs = tt_region_alloc(graph->region, (size_t)n, sizeof *graph->inputs);
    if (graph->inputs == NULL) return tt_fail(err, TT_NO_MEMORY, "%d inputs", n);
    for (int i = 0; i < n; ++i) {
        TT_TRY(tt_cursor_index(&reader->cursor, graph->n_values, &graph->inputs[i],
                               "an input", err));
        TT_TRY(define(graph, graph->inputs[i], NOT_BY_NODE, "an input", err));
    }
    graph->n_inputs = n;
    return TT_OK;
}

static tt_status read_outputs(tt_reader *reader, tt_graph *graph, int n, tt_error *err)
{
    graph->outputs = tt_region_alloc(graph->region, (size_t)n, sizeof *graph->outputs);
    if (graph->outputs == NULL) return tt_fail(err, TT_NO_MEMORY, "%d outputs", n);
    for (int i = 0; i < n; ++i)
        TT_TRY(tt_cursor_index(&reader->cursor, graph->n_values, &graph->outputs[i],
                               "an output", err));
    graph->n_outputs = n;
    return TT_OK;
}

/* `outer` is checked when the node that holds this graph is read. */
static tt_status read_captures(tt_reader *reader, tt_graph *graph, int n, tt_error *err)
{
    graph->captures =
        tt_region_alloc(graph->region, (size_t)n, sizeof *graph->captures);
    if (graph->captures == NULL) return tt_fail(err, TT_NO_MEMORY, "%d captures", n);
    for (int i = 0; i < n; ++i) {
        tt_capture *capture = &graph->captures[i];
        TT_TRY(tt_cursor_index(&reader->cursor, graph->n_values, &capture->inner,
                               "a captured value", err));
        TT_TRY(tt_cursor_index(&reader->cursor, INT32_MAX, &capture->outer,
                               "an outer value", err));
        TT_TRY(define(graph, capture->inner, NOT_BY_NODE, "a capture", err));
    }
    graph->n_captures = n;
    return TT_OK;
}

/* ---- attributes ---------------------------------------------------------- */

/* Bytes of one item; 0 for an unknown kind. */
static size_t item_bytes(uint32_t kind)
{
    switch (kind) {
    case TT_ATTRIBUTE_INT:
    case TT_ATTRIBUTE_INTS:
        return sizeof(int64_t);
    case TT_ATTRIBUTE_FLOAT:
    case TT_ATTRIBUTE_FLOATS:
    case TT_ATTRIBUTE_STRING:
    case TT_ATTRIBUTE_STRINGS:
    case TT_ATTRIBUTE_TENSOR:
    case TT_ATTRIBUTE_GRAPH:
        return sizeof(uint32_t);
    default:
        return 0;
    }
}

static bool is_list(uint32_t kind)
{
    return kind == TT_ATTRIBUTE_INTS || kind == TT_ATTRIBUTE_FLOATS ||
           kind == TT_ATTRIBUTE_STRINGS;
}

/* A body: read before, named once, capturing what is defined by now.  Appends what
 * it captures to the node's inputs. */
static tt_status take_body(tt_reader *reader, tt_graph *graph, tt_node *node,
                           tt_attribute *attribute, tt_error *err)
{
    int number, parent = reader->source->n_graphs;
    const tt_graph *body;
    int *inputs;
    TT_TRY(tt_cursor_index(&reader->cursor, parent, &number, "a body", err));
    body = reader->source->graphs[number];
    if (reader->has_parent[number])
        return tt_fail(err, TT_BAD_MODEL, "%s '%s': body '%s' belongs to another node",
                       node->op_type, node->name, body->name);
    reader->has_parent[number] = true;
    attribute->as.graph = reader->source->graphs[number];
    if (reader->depths[parent] <= reader->depths[number])
        reader->depths[parent] = reader->depths[number] + 1;
    if (body->n_captures > INT32_MAX - node->n_inputs)
        return tt_fail(err, TT_LIMIT, "%s '%s' captures too many values", node->op_type,
                       node->name);
    inputs = tt_region_alloc(graph->region,
                             (size_t)node->n_inputs + (size_t)body->n_captures,
                             sizeof *inputs);
    if (inputs == NULL) return tt_fail(err, TT_NO_MEMORY, "captured values");
    if (node->n_inputs > 0)
        memcpy(inputs, node->inputs, (size_t)node->n_inputs * sizeof *inputs);
    for (int i = 0; i < body->n_captures; ++i) {
        int outer = body->captures[i].outer;
        if (outer >= graph->n_values || graph->values[outer].producer == UNDEFINED)
            return tt_fail(err, TT_BAD_MODEL,
                           "%s '%s': body '%s' reads tensor '%s', which is not defined "
                           "before the node",
                           node->op_type, node->name, body->name,
                           body->values[body->captures[i].inner].name);
        inputs[node->n_inputs + i] = outer;
    }
    node->inputs = inputs;
    node->n_inputs += body->n_captures;
    node->n_captures += body->n_captures;
    return TT_OK;
}

/* The items of FLOAT(S), INT(S), STRING(S). */
static tt_status read_items(tt_reader *reader, tt_attribute *attribute, int n,
                            tt_error *err)
{
    tt_region *region = reader->source->region;
    size_t bytes = item_bytes(attribute->kind);
    bool is_text = attribute->kind == TT_ATTRIBUTE_STRING ||
                   attribute->kind == TT_ATTRIBUTE_STRINGS;
    void *items = tt_region_alloc(region, (size_t)n, is_text ? sizeof(char *) : bytes);
    if (items == NULL)
        return tt_fail(err, TT_NO_MEMORY, "attribute '%s'", attribute->name);
    if (is_text) {
        const char **texts = items;
        for (int i = 0; i < n; ++i)
            TT_TRY(read_text(reader, &texts[i], "a string of an attribute", err));
        attribute->as.strings = texts;
        return TT_OK;
    }
    if (bytes == sizeof(int64_t))
        attribute->as.ints = items;
    else
        attribute->as.floats = items;
    return tt_cursor_copy(&reader->cursor, items, (size_t)n * bytes, "an attribute",
                          err);
}

static tt_status read_attribute(tt_reader *reader, tt_graph *graph, tt_node *node,
                                tt_attribute *attribute, tt_error *err)
{
    const tt_source *source = reader->source;
    tt_cursor *cursor = &reader->cursor;
    int string, n, constant;
    uint32_t kind;
    TT_TRY(tt_cursor_index(cursor, reader->n_strings, &string, "a name", err));
    attribute->name = reader->strings[string];
    if (reader->attribute_seen[string] == reader->n_nodes)
        return tt_fail(err, TT_BAD_MODEL, "%s '%s' has attribute '%s' twice",
                       node->op_type, node->name, attribute->name);
    reader->attribute_seen[string] = reader->n_nodes;
    TT_TRY(tt_cursor_u32(cursor, &kind, "the kind of an attribute", err));
    if (item_bytes(kind) == 0)
        return tt_fail(err, TT_BAD_MODEL,
                       "%s '%s': attribute '%s' has unknown kind %lu", node->op_type,
                       node->name, attribute->name, (unsigned long)kind);
    TT_TRY(tt_cursor_count(cursor, item_bytes(kind), &n, "items", err));
    if (n != 1 && !is_list(kind))
        return tt_fail(err, TT_BAD_MODEL,
                       "%s '%s': attribute '%s' has %d items, expected one",
                       node->op_type, node->name, attribute->name, n);
    attribute->kind = (tt_attribute_kind)kind;
    attribute->n = n;
    if (kind == TT_ATTRIBUTE_GRAPH)
        return take_body(reader, graph, node, attribute, err);
    if (kind != TT_ATTRIBUTE_TENSOR) return read_items(reader, attribute, n, err);
    TT_TRY(tt_cursor_index(cursor, source->n_constants, &constant, "a tensor", err));
    attribute->as.tensor = source->constants[constant];
    return TT_OK;
}

/* ---- nodes --------------------------------------------------------------- */

/* Version of the domain's opset and the operator's record (NULL: not served). */
static tt_status find_operator(tt_reader *reader, tt_node *node, int type, int domain,
                               tt_error *err)
{
    tt_op_memo *memo = &reader->memos[type];
    if (memo->domain != domain) {
        const char *name = reader->strings[domain];
        int version = 0;
        for (int i = 0; i < reader->n_opsets && version == 0; ++i)
            if (reader->opsets[i].domain == domain ||
                strcmp(reader->strings[reader->opsets[i].domain], name) == 0)
                version = reader->opsets[i].version;
        if (version == 0)
            return tt_fail(err, TT_BAD_MODEL,
                           "%s '%s': the model imports no opset of domain '%s'",
                           node->op_type, node->name, name);
        memo->domain = domain;
        memo->version = version;
        memo->op = tt_op_find(name, node->op_type, version);
    }
    node->version = memo->version;
    node->op = memo->op;
    return TT_OK;
}

static tt_status read_lists(tt_reader *reader, tt_graph *graph, tt_node *node, int n_in,
                            int n_out, tt_error *err)
{
    node->inputs = tt_region_alloc(graph->region, (size_t)n_in, sizeof *node->inputs);
    node->outputs =
        tt_region_alloc(graph->region, (size_t)n_out, sizeof *node->outputs);
    if (node->inputs == NULL || node->outputs == NULL)
        return tt_fail(err, TT_NO_MEMORY, "node '%s'", node->name);
    node->n_inputs = n_in;
    node->n_outputs = n_out;
    for (int i = 0; i < n_in; ++i) {
        int at;
        TT_TRY(
            tt_cursor_option(&reader->cursor, graph->n_values, &at, "an input", err));
        if (at >= 0 && graph->values[at].producer == UNDEFINED)
            return tt_fail(err, TT_BAD_MODEL,
                           "%s '%s': input %d '%s' is not defined before the node",
                           node->op_type, node->name, i, graph->values[at].name);
        node->inputs[i] = at;
    }
    for (int i = 0; i < n_out; ++i) {
        int *at = &node->outputs[i];
        TT_TRY(
            tt_cursor_option(&reader->cursor, graph->n_values, at, "an output", err));
        if (*at >= 0 && graph->values[*at].producer != UNDEFINED)
            return tt_fail(err, TT_BAD_MODEL,
                           "%s '%s': output %d '%s' is defined already", node->op_type,
                           node->name, i, graph->values[*at].name);
    }
    return TT_OK;
}

static tt_status read_node(tt_reader *reader, tt_graph *graph, tt_error *err)
{
    tt_cursor *cursor = &reader->cursor;
    int number = graph->n_nodes, type, domain, n_in, n_out, n;
    tt_node *node = &graph->nodes[number];
    tt_attribute *attributes;
    memset(node, 0, sizeof *node);
    TT_TRY(tt_cursor_index(cursor, reader->n_strings, &type, "an operator", err));
    TT_TRY(tt_cursor_index(cursor, reader->n_strings, &domain, "a domain", err));
    TT_TRY(read_text(reader, &node->name, "the name of a node", err));
    node->op_type = reader->strings[type];
    node->domain = reader->strings[domain];
    TT_TRY(find_operator(reader, node, type, domain, err));
    TT_TRY(tt_cursor_count(cursor, INDEX_BYTES, &n_in, "inputs", err));
    TT_TRY(tt_cursor_count(cursor, INDEX_BYTES, &n_out, "outputs", err));
    TT_TRY(tt_cursor_count(cursor, ATTRIBUTE_BYTES, &n, "attributes", err));
    TT_TRY(read_lists(reader, graph, node, n_in, n_out, err));
    attributes = tt_region_alloc(reader->source->region, (size_t)n, sizeof *attributes);
    if (attributes == NULL)
        return tt_fail(err, TT_NO_MEMORY, "%d attributes of node '%s'", n, node->name);
    ++reader->n_nodes;
    for (int i = 0; i < n; ++i)
        TT_TRY(read_attribute(reader, graph, node, &attributes[i], err));
    node->attributes = attributes;
    node->n_attributes = n;
    /* Only now: a body must not read what its own node makes. */
    for (int i = 0; i < n_out; ++i)
        if (node->outputs[i] >= 0)
            TT_TRY(define(graph, node->outputs[i], number, "an output of a node", err));
    graph->n_nodes = number + 1;
    return TT_OK;
}

/* ---- the graph ----------------------------------------------------------- */

static tt_status check_defined(const tt_graph *graph, tt_error *err)
{
    for (int i = 0; i < graph->n_values; ++i)
        if (graph->values[i].producer == UNDEFINED)
            return tt_fail(err, TT_BAD_MODEL,
                           "graph '%s': tensor '%s' is neither an input, a constant, a "
                           "capture nor the output of a node",
                           graph->name, graph->values[i].name);
    return TT_OK;
}

static tt_status reserve(tt_reader *reader, tt_graph *graph, int n_values, int n_nodes,
                         tt_error *err)
{
    const tt_limits *limits = reader->limits;
    reader->n_values += n_values;
    if (reader->n_values > limits->max_values)
        return tt_fail(err, TT_LIMIT, "more than max_values (%lld) tensors",
                       (long long)limits->max_values);
    if (reader->n_nodes + n_nodes > limits->max_nodes)
        return tt_fail(err, TT_LIMIT, "more than max_nodes (%lld) nodes",
                       (long long)limits->max_nodes);
    return tt_graph_reserve(graph, n_values, n_nodes, err);
}

static tt_status fill_graph(tt_reader *reader, tt_graph *graph, tt_error *err)
{
    tt_cursor *cursor = &reader->cursor;
    int number = reader->source->n_graphs;
    int n_values, n_inputs, n_outputs, n_captures, n_nodes;
    TT_TRY(read_text(reader, &graph->name, "the name of a graph", err));
    TT_TRY(tt_cursor_count(cursor, VALUE_BYTES, &n_values, "values", err));
    TT_TRY(tt_cursor_count(cursor, INDEX_BYTES, &n_inputs, "inputs", err));
    TT_TRY(tt_cursor_count(cursor, INDEX_BYTES, &n_outputs, "outputs", err));
    TT_TRY(tt_cursor_count(cursor, CAPTURE_BYTES, &n_captures, "captures", err));
    TT_TRY(tt_cursor_count(cursor, NODE_BYTES, &n_nodes, "nodes", err));
    TT_TRY(reserve(reader, graph, n_values, n_nodes, err));
    for (int i = 0; i < n_values; ++i)
        TT_TRY(read_value(reader, graph, err));
    TT_TRY(read_inputs(reader, graph, n_inputs, err));
    TT_TRY(read_outputs(reader, graph, n_outputs, err));
    TT_TRY(read_captures(reader, graph, n_captures, err));
    for (int i = 0; i < n_nodes; ++i)
        TT_TRY(read_node(reader, graph, err));
    if (reader->depths[number] > reader->limits->max_depth)
        return tt_fail(err, TT_LIMIT,
                       "graph '%s': bodies nest deeper than max_depth "
                       "(%lld)",
                       graph->name, (long long)reader->limits->max_depth);
    return check_defined(graph, err);
}

tt_status tt_read_graph(tt_reader *reader, tt_error *err)
{
    tt_source *source = reader->source;
    tt_graph *graph;
    tt_status status;
    TT_TRY(tt_graph_new(reader->limits, &graph, err));
    status = fill_graph(reader, graph, err);
    if (status == TT_OK)
        source->graphs[source->n_graphs++] = graph;
    else
        tt_graph_free(graph);
    return status;
}
