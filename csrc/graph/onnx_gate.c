/* Counts what protobuf would allocate for an ONNX file: messages, strings, numbers.
 * Costs are upper bounds of what upb takes, found by filling a file with nothing but
 * one kind of field (measured 2026-11: 153 to 169 bytes for an empty NodeProto or
 * TensorProto; arrays double when they grow; a string is a pointer and a length). */
#include "graph/onnx_gate.h"

#include <stdint.h>

#include "graph/onnx_fields.h"

enum {
    MESSAGE_COST = 192,
    TEXT_COST = 32,
    UNKNOWN_COST = 48,
    UNKNOWN_FACTOR = MESSAGE_COST / 2, /* an unknown field may hold empty messages */
    SPARE_BYTES = 64 << 20,
    SPARE_FACTOR = 8,
    MAX_NESTING = 100, /* messages, as upb counts them */
    MAX_FIELD = 26
};

/* ---- the messages ---------------------------------------------------------*/

typedef enum {
    NONE,
#define MESSAGE_ENUM(message) message,
    TT_ONNX_MESSAGE_LIST(MESSAGE_ENUM)
#undef MESSAGE_ENUM
        N_MESSAGES
} message;

typedef enum { UNKNOWN, MESSAGE, TEXT, NUMBER, INT64S, INT32S, FLOATS, DOUBLES } kind;

typedef struct {
    uint8_t kind, child;
} field;

static const field fields[N_MESSAGES][MAX_FIELD + 1] = {
#define FIELD_ROW(message_, number, kind_, child_) \
    [message_][number] = {.kind = kind_, .child = child_},
    TT_ONNX_FIELD_LIST(FIELD_ROW)
#undef FIELD_ROW
};

/* ---- the walk ------------------------------------------------------------ */

typedef struct {
    const uint8_t *end;
    message kind;
} frame;

typedef struct {
    const uint8_t *begin, *at;
    frame stack[MAX_NESTING];
    int depth, n_graphs; /* open messages; open graphs among them */
    uint64_t cost;
    int64_t n_nodes, n_values;
} gate;

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

static tt_status bad(const gate *g, const char *what, tt_error *err)
{
    return tt_fail(err, TT_BAD_MODEL, "byte %zu: not an ONNX file: %s",
                   (size_t)(g->at - g->begin), what);
}

static tt_status read_varint(gate *g, const uint8_t *end, uint64_t *out, tt_error *err)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
        uint8_t byte;
        if (g->at == end) return bad(g, "a number is cut off", err);
        byte = *g->at++;
        value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) {
            *out = value;
            return TT_OK;
        }
    }
    return bad(g, "a number takes more than 10 bytes", err);
}

static int64_t count_varints(const uint8_t *at, const uint8_t *end)
{
    int64_t n = 0;
    for (; at < end; ++at)
        n += *at < 128;
    return n;
}

/* What `n` bytes of a field that is no message cost. */
static uint64_t bytes_cost(kind which, const uint8_t *at, uint64_t n)
{
    switch (which) {
    case TEXT:
        return TEXT_COST + n;
    case INT64S:
        return 16 * (uint64_t)count_varints(at, at + n);
    case INT32S:
        return 8 * (uint64_t)count_varints(at, at + n);
    case FLOATS:
    case DOUBLES:
        return 2 * n;
    default:
        return UNKNOWN_COST + UNKNOWN_FACTOR * n;
    }
}

/* What one number of such a field costs, on its own tag. */
static uint64_t number_cost(kind which)
{
    switch (which) {
    case NUMBER:
        return 0;
    case INT64S:
    case DOUBLES:
        return 16;
    case INT32S:
    case FLOATS:
        return 8;
    default:
        return UNKNOWN_COST;
    }
}

static tt_status open_message(gate *g, message child, uint64_t n,
                              const tt_limits *limits, tt_error *err)
{
    message parent = g->stack[g->depth - 1].kind;
    if (g->depth == MAX_NESTING)
        return tt_fail(err, TT_LIMIT, "messages nest deeper than %d", MAX_NESTING);
    if (child == GRAPH && g->n_graphs++ > limits->max_depth)
        return tt_fail(err, TT_LIMIT, "bodies nest deeper than max_depth (%lld)",
                       (long long)limits->max_depth);
    g->n_nodes += child == NODE;
    g->n_values += parent == GRAPH && (child == VALUE_INFO || child == TENSOR);
    g->stack[g->depth].end = g->at + n;
    g->stack[g->depth].kind = child;
    ++g->depth;
    g->cost += MESSAGE_COST;
    return TT_OK;
}

static tt_status walk_bytes(gate *g, const uint8_t *end, field what, uint32_t number,
                            const tt_limits *limits, tt_error *err)
{
    message parent = g->stack[g->depth - 1].kind;
    uint64_t n = 0;
    TT_TRY(read_varint(g, end, &n, err));
    if (n > (uint64_t)(end - g->at)) return bad(g, "a length exceeds its message", err);
    if (what.kind == MESSAGE)
        return open_message(g, (message)what.child, n, limits, err);
    if (parent == NODE && number == 2) ++g->n_values; /* NodeProto.output */
    g->cost += bytes_cost((kind)what.kind, g->at, n);
    g->at += n;
    return TT_OK;
}

static tt_status walk_field(gate *g, const tt_limits *limits, tt_error *err)
{
    const frame *top = &g->stack[g->depth - 1];
    const uint8_t *end = top->end;
    uint64_t tag = 0, ignored;
    field what = {UNKNOWN, NONE};
    size_t width;
    TT_TRY(read_varint(g, end, &tag, err));
    if (tag >> 3 == 0 || tag > UINT32_MAX) return bad(g, "a field has no number", err);
    if (tag >> 3 <= MAX_FIELD) what = fields[top->kind][tag >> 3];
    switch (tag & 7) {
    case WIRE_BYTES:
        return walk_bytes(g, end, what, (uint32_t)(tag >> 3), limits, err);
    case WIRE_VARINT:
        g->cost += number_cost((kind)what.kind);
        return read_varint(g, end, &ignored, err);
    case WIRE_64:
    case WIRE_32:
        g->cost += number_cost((kind)what.kind);
        width = (tag & 7) == WIRE_64 ? 8 : 4;
        if ((size_t)(end - g->at) < width) return bad(g, "a number is cut off", err);
        g->at += width;
        return TT_OK;
    default:
        return bad(g, "a field has an unknown wire type", err);
    }
}

static tt_status check_counts(const gate *g, uint64_t budget, size_t n_bytes,
                              const tt_limits *limits, tt_error *err)
{
    if (g->n_nodes > limits->max_nodes)
        return tt_fail(err, TT_LIMIT, "more than max_nodes (%lld) nodes",
                       (long long)limits->max_nodes);
    if (g->n_values > limits->max_values)
        return tt_fail(err, TT_LIMIT, "more than max_values (%lld) tensors",
                       (long long)limits->max_values);
    if (g->cost > budget)
        return tt_fail(err, TT_LIMIT,
                       "parsing these %zu bytes would take more than %llu bytes of "
                       "memory: the smaller of max_model_bytes (%lld) and 64 MiB + 8 "
                       "times the file",
                       n_bytes, (unsigned long long)budget,
                       (long long)limits->max_model_bytes);
    return TT_OK;
}

tt_status tt_onnx_gate(const void *bytes, size_t n_bytes, const tt_limits *limits,
                       tt_error *err)
{
    gate g = {.begin = bytes, .at = bytes, .depth = 1};
    uint64_t budget;
    if (limits->max_model_bytes < 0 || n_bytes > (uint64_t)limits->max_model_bytes)
        return tt_fail(err, TT_LIMIT, "%zu bytes exceed max_model_bytes (%lld)",
                       n_bytes, (long long)limits->max_model_bytes);
    budget = SPARE_BYTES + SPARE_FACTOR * (uint64_t)n_bytes;
    if (budget > (uint64_t)limits->max_model_bytes)
        budget = (uint64_t)limits->max_model_bytes;
    g.stack[0].end = g.begin + n_bytes;
    g.stack[0].kind = MODEL;
    while (g.depth > 0) {
        const frame *top = &g.stack[g.depth - 1];
        if (g.at == top->end) {
            g.n_graphs -= top->kind == GRAPH;
            --g.depth;
            continue;
        }
        TT_TRY(walk_field(&g, limits, err));
        TT_TRY(check_counts(&g, budget, n_bytes, limits, err));
    }
    return TT_OK;
}
