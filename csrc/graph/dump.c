/* A graph as text, dot or JSON.  The text grows in one block; running out of memory
 * is noted there and reported once, at the end. */
#include "graph/dump.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

enum { MAX_ITEMS = 16 }; /* of a list attribute in TEXT and DOT */

/* ---- growing text -------------------------------------------------------- */

typedef struct {
    char *text;
    size_t n, capacity;
    bool failed;
} sink;

__attribute__((format(printf, 2, 3))) static void put(sink *to, const char *format, ...)
{
    va_list args;
    int n;
    if (to->failed) return;
    va_start(args, format);
    n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0 ||
        !tt_grow((void **)&to->text, &to->capacity, to->n + (size_t)n + 1, 1)) {
        to->failed = true;
        return;
    }
    va_start(args, format);
    (void)vsnprintf(to->text + to->n, (size_t)n + 1, format, args);
    va_end(args);
    to->n += (size_t)n;
}

/* A quoted string, escaped as JSON and dot want it. */
static void put_quoted(sink *to, const char *text)
{
    put(to, "\"");
    for (; *text != '\0'; ++text) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            put(to, "\\%c", c);
        else if (c < 0x20)
            put(to, "\\u%04x", c);
        else
            put(to, "%c", c);
    }
    put(to, "\"");
}

/* Comma before all but the first item of a list. */
static void put_comma(sink *to, int i)
{
    if (i > 0) put(to, ", ");
}

/* ---- parts that the formats share ---------------------------------------- */

static const char *name_of(const tt_graph *graph, int value)
{
    return value < 0 ? "" : graph->values[value].name;
}

/* "float32[1, N, 4]"; "?" for what is not known. */
static void put_type(sink *to, const tt_value *value)
{
    const tt_shape *shape = &value->shape;
    put(to, "%s", shape->dtype == TT_DTYPE_NONE ? "?" : tt_dtype_name(shape->dtype));
    if (shape->rank < 0) {
        put(to, "[..]");
        return;
    }
    put(to, "[");
    for (int i = 0; i < shape->rank; ++i) {
        put_comma(to, i);
        if (shape->dims[i] >= 0)
            put(to, "%lld", (long long)shape->dims[i]);
        else
            put(to, "%s", value->symbols[i] == NULL ? "?" : value->symbols[i]);
    }
    put(to, "]");
}

/* A number that JSON can hold; it has no infinities and no NaN. */
static void put_float(sink *to, float x)
{
    if (isfinite(x))
        put(to, "%.9g", (double)x);
    else
        put(to, isnan(x) ? "\"nan\"" : x > 0 ? "\"inf\"" : "\"-inf\"");
}

static void put_item(sink *to, const tt_attribute *attribute, int64_t i)
{
    switch (attribute->kind) {
    case TT_ATTRIBUTE_INT:
    case TT_ATTRIBUTE_INTS:
        put(to, "%lld", (long long)attribute->as.ints[i]);
        return;
    case TT_ATTRIBUTE_FLOAT:
    case TT_ATTRIBUTE_FLOATS:
        put_float(to, attribute->as.floats[i]);
        return;
    case TT_ATTRIBUTE_STRING:
    case TT_ATTRIBUTE_STRINGS:
        put_quoted(to, attribute->as.strings[i]);
        return;
    case TT_ATTRIBUTE_GRAPH:
        put_quoted(to, attribute->as.graph->name);
        return;
    case TT_ATTRIBUTE_TENSOR: {
        tt_value value = {.shape = *tt_constant_shape(attribute->as.tensor)};
        put(to, "\"");
        put_type(to, &value);
        put(to, "\"");
        return;
    }
    }
}

static void put_attribute(sink *to, const tt_attribute *attribute, int64_t max_items)
{
    bool is_list = attribute->kind == TT_ATTRIBUTE_INTS ||
                   attribute->kind == TT_ATTRIBUTE_FLOATS ||
                   attribute->kind == TT_ATTRIBUTE_STRINGS;
    int64_t n = attribute->n > max_items ? max_items : attribute->n;
    if (is_list) put(to, "[");
    for (int64_t i = 0; i < n; ++i) {
        put_comma(to, i > 0);
        put_item(to, attribute, i);
    }
    if (n < attribute->n) put(to, ", .. %lld items", (long long)attribute->n);
    if (is_list) put(to, "]");
}

/* ---- text ---------------------------------------------------------------- */

static void put_values(sink *to, const tt_graph *graph, const int *list, int n,
                       bool typed)
{
    for (int i = 0; i < n; ++i) {
        put_comma(to, i);
        if (list[i] < 0) {
            put(to, "-");
            continue;
        }
        put(to, "%s", name_of(graph, list[i]));
        if (typed || graph->values[list[i]].constant != NULL) {
            put(to, ": ");
            put_type(to, &graph->values[list[i]]);
        }
    }
}

static void put_node_text(sink *to, const tt_graph *graph, const tt_node *node)
{
    put(to, "  ");
    put_values(to, graph, node->outputs, node->n_outputs, /*typed=*/true);
    put(to, " = %s%s%s(", node->domain, node->domain[0] == '\0' ? "" : ".",
        node->op_type);
    put_values(to, graph, node->inputs, node->n_inputs, /*typed=*/false);
    put(to, ")");
    for (int i = 0; i < node->n_attributes; ++i) {
        put(to, " %s=", node->attributes[i].name);
        put_attribute(to, &node->attributes[i], MAX_ITEMS);
    }
    for (int i = 0; i < node->n_posts; ++i)
        put(to, " + '%s'(%s)", node->posts[i].node == NULL ? "" : node->posts[i].node,
            name_of(graph, node->posts[i].value));
    put(to, "  # %s\n", node->name);
}

static void put_text(sink *to, const tt_graph *graph)
{
    put(to, "graph %s(", graph->name);
    put_values(to, graph, graph->inputs, graph->n_inputs, /*typed=*/true);
    put(to, ")\n");
    for (int i = 0; i < graph->n_captures; ++i)
        put(to, "  %s captured\n", name_of(graph, graph->captures[i].inner));
    for (int i = 0; i < graph->n_nodes; ++i)
        if (!graph->nodes[i].dead) put_node_text(to, graph, &graph->nodes[i]);
    put(to, "  return ");
    put_values(to, graph, graph->outputs, graph->n_outputs, /*typed=*/true);
    put(to, "\n");
}

/* ---- dot ----------------------------------------------------------------- */

static void put_edges(sink *to, const tt_graph *graph, int number)
{
    const tt_node *node = &graph->nodes[number];
    for (int i = 0; i < node->n_inputs + node->n_posts; ++i) {
        int value = i < node->n_inputs ? node->inputs[i]
                                       : node->posts[i - node->n_inputs].value;
        if (value < 0 || graph->values[value].constant != NULL) continue;
        if (graph->values[value].producer >= 0)
            put(to, "  n%d -> n%d", graph->values[value].producer, number);
        else
            put(to, "  v%d -> n%d", value, number);
        put(to, " [label=");
        put_quoted(to, name_of(graph, value));
        put(to, "];\n");
    }
}

static void put_dot(sink *to, const tt_graph *graph)
{
    put(to, "digraph ");
    put_quoted(to, graph->name);
    put(to, " {\n  node [shape=box];\n");
    for (int i = 0; i < graph->n_inputs + graph->n_captures; ++i) {
        int value = i < graph->n_inputs ? graph->inputs[i]
                                        : graph->captures[i - graph->n_inputs].inner;
        put(to, "  v%d [shape=ellipse label=", value);
        put_quoted(to, name_of(graph, value));
        put(to, "];\n");
    }
    for (int i = 0; i < graph->n_nodes; ++i) {
        if (graph->nodes[i].dead) continue;
        put(to, "  n%d [label=", i);
        put_quoted(to, graph->nodes[i].op_type);
        put(to, " tooltip=");
        put_quoted(to, graph->nodes[i].name);
        put(to, "];\n");
        put_edges(to, graph, i);
    }
    for (int i = 0; i < graph->n_outputs; ++i) {
        int value = graph->outputs[i], producer = graph->values[value].producer;
        put(to, "  o%d [shape=ellipse label=", i);
        put_quoted(to, name_of(graph, value));
        put(to, "];\n  %c%d -> o%d;\n", producer >= 0 ? 'n' : 'v',
            producer >= 0 ? producer : value, i);
    }
    put(to, "}\n");
}

/* ---- JSON ---------------------------------------------------------------- */

static void put_names(sink *to, const tt_graph *graph, const char *key, const int *list,
                      int n)
{
    put(to, "\"%s\": [", key);
    for (int i = 0; i < n; ++i) {
        put_comma(to, i);
        put_quoted(to, name_of(graph, list[i]));
    }
    put(to, "]");
}

static void put_json_value(sink *to, const tt_value *value)
{
    put(to, "{\"name\": ");
    put_quoted(to, value->name);
    put(to, ", \"dtype\": \"%s\", \"shape\": ",
        value->shape.dtype == TT_DTYPE_NONE ? "" : tt_dtype_name(value->shape.dtype));
    if (value->shape.rank < 0) {
        put(to, "null");
    } else {
        put(to, "[");
        for (int i = 0; i < value->shape.rank; ++i) {
            put_comma(to, i);
            if (value->shape.dims[i] >= 0)
                put(to, "%lld", (long long)value->shape.dims[i]);
            else if (value->symbols[i] != NULL)
                put_quoted(to, value->symbols[i]);
            else
                put(to, "null");
        }
        put(to, "]");
    }
    put(to, ", \"constant\": %s}", value->constant == NULL ? "false" : "true");
}

static void put_json_node(sink *to, const tt_graph *graph, const tt_node *node)
{
    put(to, "{\"name\": ");
    put_quoted(to, node->name);
    put(to, ", \"op_type\": ");
    put_quoted(to, node->op_type);
    put(to, ", \"domain\": ");
    put_quoted(to, node->domain);
    put(to, ", \"version\": %d, ", node->version);
    put_names(to, graph, "inputs", node->inputs, node->n_inputs - node->n_captures);
    put(to, ", ");
    put_names(to, graph, "captures", node->inputs + node->n_inputs - node->n_captures,
              node->n_captures);
    put(to, ", ");
    put_names(to, graph, "outputs", node->outputs, node->n_outputs);
    put(to, ", \"attributes\": {");
    for (int i = 0; i < node->n_attributes; ++i) {
        put_comma(to, i);
        put_quoted(to, node->attributes[i].name);
        put(to, ": ");
        put_attribute(to, &node->attributes[i], INT64_MAX);
    }
    put(to, "}, \"fused\": [");
    for (int i = 0; i < node->n_posts; ++i) {
        put_comma(to, i);
        put_quoted(to, node->posts[i].node == NULL ? "" : node->posts[i].node);
    }
    put(to, "]}");
}

static void put_json(sink *to, const tt_graph *graph)
{
    int n = 0;
    put(to, "{\"name\": ");
    put_quoted(to, graph->name);
    put(to, ", ");
    put_names(to, graph, "inputs", graph->inputs, graph->n_inputs);
    put(to, ", ");
    put_names(to, graph, "outputs", graph->outputs, graph->n_outputs);
    put(to, ",\n\"values\": [");
    for (int i = 0; i < graph->n_values; ++i) {
        put_comma(to, i);
        put(to, "\n  ");
        put_json_value(to, &graph->values[i]);
    }
    put(to, "],\n\"nodes\": [");
    for (int i = 0; i < graph->n_nodes; ++i) {
        if (graph->nodes[i].dead) continue;
        put_comma(to, n++);
        put(to, "\n  ");
        put_json_node(to, graph, &graph->nodes[i]);
    }
    put(to, "]}\n");
}

tt_status tt_graph_dump(const tt_graph *graph, tt_dump_format format, char **out,
                        tt_error *err)
{
    sink to = {0};
    *out = NULL;
    switch (format) {
    case TT_DUMP_TEXT:
        put_text(&to, graph);
        break;
    case TT_DUMP_DOT:
        put_dot(&to, graph);
        break;
    case TT_DUMP_JSON:
        put_json(&to, graph);
        break;
    }
    if (to.failed || to.text == NULL) {
        tt_free(to.text);
        return tt_fail(err, TT_NO_MEMORY, "the text of graph '%s'", graph->name);
    }
    *out = to.text;
    return TT_OK;
}
