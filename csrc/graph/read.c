/* Flat bytes -> graphs: header, strings, opsets, constants (read.h has the format).
 * Everything is checked before use; counts are bounded by the bytes that are left
 * before anything is allocated for them. */
#include "graph/read.h"

#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "graph/read_state.h"
#include "graph/unpack.h"

/* Least bytes of one item of each section. */
enum {
    STRING_BYTES = 4,
    OPSET_BYTES = 8,
    CONSTANT_BYTES = 32,
    GRAPH_BYTES = 24,
    MAX_VERSION = 1 << 20
};

/* ---- buffers ------------------------------------------------------------- */

/* A counted buffer: each constant that looks into it holds a reference. */
typedef struct {
    atomic_int n_refs;
    tt_buffer buffer;
} holder;

static void release_buffer(const tt_buffer *buffer)
{
    if (buffer->release != NULL) buffer->release(buffer->owner);
}

static void holder_unref(void *owner)
{
    holder *at = owner;
    if (at == NULL) return;
    if (atomic_fetch_sub_explicit(&at->n_refs, 1, memory_order_acq_rel) != 1) return;
    release_buffer(&at->buffer);
    tt_free(at);
}

static void free_holders(holder **holders, int n)
{
    if (holders == NULL) return;
    for (int i = 0; i < n; ++i)
        holder_unref(holders[i]);
    tt_free((void *)holders);
}

/* Takes every buffer over, or releases every one of them. */
static tt_status take_buffers(const tt_buffer *buffers, int n, holder ***out,
                              tt_error *err)
{
    holder **holders = tt_calloc((size_t)n, sizeof *holders);
    int taken = 0;
    *out = holders;
    for (; holders != NULL && taken < n; ++taken) {
        holders[taken] = tt_calloc(1, sizeof *holders[taken]);
        if (holders[taken] == NULL) break;
        atomic_init(&holders[taken]->n_refs, 1);
        holders[taken]->buffer = buffers[taken];
    }
    if (holders != NULL && taken == n) return TT_OK;
    *out = NULL;
    for (int i = taken; i < n; ++i)
        release_buffer(&buffers[i]);
    free_holders(holders, taken);
    return tt_fail(err, TT_NO_MEMORY, "the table of %d buffers", n);
}

/* ---- strings and opsets -------------------------------------------------- */

/* Is text[0..n) well-formed UTF-8 without NUL?  (Unicode table 3-7.) */
static bool is_utf8(const uint8_t *text, size_t n)
{
    size_t i = 0;
    while (i < n) {
        uint8_t lead = text[i++], low = 0x80, high = 0xbf;
        int more;
        if (lead == 0) return false;
        if (lead < 0x80) continue;
        if (lead >= 0xc2 && lead <= 0xdf)
            more = 1;
        else if (lead >= 0xe0 && lead <= 0xef)
            more = 2;
        else if (lead >= 0xf0 && lead <= 0xf4)
            more = 3;
        else
            return false;
        if (lead == 0xe0) low = 0xa0;
        if (lead == 0xed) high = 0x9f;
        if (lead == 0xf0) low = 0x90;
        if (lead == 0xf4) high = 0x8f;
        for (; more > 0; --more, low = 0x80, high = 0xbf) {
            if (i == n || text[i] < low || text[i] > high) return false;
            ++i;
        }
    }
    return true;
}

static tt_status read_strings(tt_reader *reader, tt_error *err)
{
    tt_cursor *cursor = &reader->cursor;
    for (int i = 0; i < reader->n_strings; ++i) {
        size_t offset = tt_cursor_offset(cursor);
        const uint8_t *text;
        uint32_t n;
        char *copy;
        TT_TRY(tt_cursor_u32(cursor, &n, "the length of a string", err));
        TT_TRY(tt_cursor_take(cursor, n, &text, "a string", err));
        if (!is_utf8(text, n))
            return tt_fail(err, TT_BAD_MODEL,
                           "byte %zu: string %d is not UTF-8 without NUL", offset, i);
        copy = tt_region_alloc(reader->source->region, (size_t)n + 1, 1);
        if (copy == NULL) return tt_fail(err, TT_NO_MEMORY, "a string");
        memcpy(copy, text, n);
        reader->strings[i] = copy;
    }
    return TT_OK;
}

static tt_status read_opsets(tt_reader *reader, tt_error *err)
{
    tt_cursor *cursor = &reader->cursor;
    for (int i = 0; i < reader->n_opsets; ++i) {
        tt_opset *opset = &reader->opsets[i];
        uint32_t version;
        TT_TRY(tt_cursor_index(cursor, reader->n_strings, &opset->domain,
                               "the domain of an opset", err));
        TT_TRY(tt_cursor_u32(cursor, &version, "the version of an opset", err));
        if (version < 1 || version > MAX_VERSION)
            return tt_fail(
                err, TT_BAD_MODEL, "opset '%s': version %lu is outside [1, %d]",
                reader->strings[opset->domain], (unsigned long)version, MAX_VERSION);
        opset->version = (int)version;
    }
    return TT_OK;
}

/* ---- constants ----------------------------------------------------------- */

static bool is_aligned(const void *data, size_t itemsize)
{
    size_t unit = itemsize > sizeof(int64_t) ? sizeof(int64_t) : itemsize;
    return unit == 0 || (uintptr_t)data % unit == 0;
}

static bool has_odd_bool(const uint8_t *data, size_t n)
{
    uint8_t all = 0;
    for (size_t i = 0; i < n; ++i)
        all |= data[i];
    return all > 1;
}

static void clean_bools(uint8_t *data, size_t n)
{
    for (size_t i = 0; i < n; ++i)
        data[i] = data[i] != 0;
}

/* A constant over data[0..n_bytes) of `from`: a view where the bytes can be used as
 * they are, else an aligned copy with bools as 0 and 1. */
static tt_status make_constant(const tt_shape *shape, holder *from, const uint8_t *data,
                               size_t n_bytes, tt_constant **out, tt_error *err)
{
    bool odd = shape->dtype == TT_BOOL && has_odd_bool(data, n_bytes);
    void *copy;
    if (!odd && is_aligned(data, tt_dtype_bytes(shape->dtype))) {
        TT_TRY(tt_constant_new(shape, data, holder_unref, from, out, err));
        atomic_fetch_add_explicit(&from->n_refs, 1, memory_order_relaxed);
        return TT_OK;
    }
    TT_TRY(tt_constant_empty(shape, out, &copy, err));
    memcpy(copy, data, n_bytes);
    if (odd) clean_bools(copy, n_bytes);
    return TT_OK;
}

/* ---- constants that stay in their file ------------------------------------ */

/* A range of a buffer; holds a reference to it. */
typedef struct {
    holder *from;
    uint64_t offset;
    size_t n_bytes;
    tt_shape shape;
} stored;

static bool is_below_a_byte(tt_dtype dtype)
{
    unsigned bits = tt_dtype_bits(dtype);
    return bits > 0 && bits < 8;
}

static tt_status fill_stored(void *owner, void *dst, tt_error *err)
{
    const stored *s = owner;
    const tt_buffer *buffer = &s->from->buffer;
    if (is_below_a_byte(s->shape.dtype))
        return tt_read_unpacked(&s->shape, buffer, s->offset, s->n_bytes, dst, err);
    TT_TRY(buffer->read(buffer->owner, s->offset, s->n_bytes, dst, err));
    if (s->shape.dtype == TT_BOOL) clean_bools(dst, s->n_bytes);
    return TT_OK;
}

static void release_stored(void *owner)
{
    holder_unref(((stored *)owner)->from);
    tt_free(owner);
}

/* Weights of matrices and filters, which get packed.  Other constants are looked at
 * while compiling: they are here always. */
static bool is_worth_leaving(const tt_shape *shape, size_t n_bytes)
{
    static const size_t LEAST_BYTES = (size_t)1 << 16;
    return n_bytes >= LEAST_BYTES && shape->rank >= 2 &&
           (shape->dtype == TT_F32 || shape->dtype == TT_F16 ||
            shape->dtype == TT_BF16 || shape->dtype == TT_S8 || shape->dtype == TT_U8 ||
            tt_dtype_bits(shape->dtype) < 8);
}

/* Which bytes of which file, and as what. */
static tt_hash key_of_place(const tt_shape *shape, int buffer, uint64_t offset,
                            size_t n_bytes)
{
    uint64_t words[5 + TT_MAX_RANK] = {(uint64_t)buffer, offset, n_bytes, shape->dtype,
                                       (uint64_t)shape->rank};
    memcpy(words + 5, shape->dims, (size_t)shape->rank * sizeof shape->dims[0]);
    return tt_hash_bytes(words, sizeof words, /*seed=*/3);
}

static tt_status make_stored(const tt_shape *shape, holder *from, int number,
                             uint64_t offset, size_t n_bytes, tt_constant **out,
                             tt_error *err)
{
    stored place = {from, offset, n_bytes, *shape}, *owner;
    tt_status status;
    void *data;
    if (!is_worth_leaving(shape, n_bytes)) {
        TT_TRY(tt_constant_empty(shape, out, &data, err));
        status = fill_stored(&place, data, err);
        if (status != TT_OK) tt_constant_unref(*out);
        return status;
    }
    owner = tt_alloc(sizeof *owner);
    if (owner == NULL) return tt_fail(err, TT_NO_MEMORY, "the place of a constant");
    *owner = place;
    status = tt_constant_lazy(shape, fill_stored, release_stored, owner, out, err);
    if (status != TT_OK) {
        tt_free(owner);
        return status;
    }
    if (from->buffer.read != NULL)
        tt_constant_set_key(*out, key_of_place(shape, number, offset, n_bytes));
    atomic_fetch_add_explicit(&from->n_refs, 1, memory_order_relaxed);
    return TT_OK;
}

static tt_status read_constant_shape(tt_reader *reader, tt_shape *shape,
                                     const char *name, tt_error *err)
{
    tt_cursor *cursor = &reader->cursor;
    uint32_t dtype, rank;
    TT_TRY(tt_cursor_u32(cursor, &dtype, "the dtype of a constant", err));
    TT_TRY(tt_cursor_u32(cursor, &rank, "the rank of a constant", err));
    if (!tt_dtype_is_known(dtype) || dtype == TT_SEQUENCE || dtype == TT_NOTHING)
        return tt_fail(err, TT_BAD_MODEL, "tensor '%s': dtype %lu is not known", name,
                       (unsigned long)dtype);
    if (rank > TT_MAX_RANK)
        return tt_fail(err, TT_LIMIT, "tensor '%s': rank %lu, at most %d is supported",
                       name, (unsigned long)rank, TT_MAX_RANK);
    shape->dtype = (tt_dtype)dtype;
    shape->rank = (int)rank;
    return tt_cursor_copy(cursor, shape->dims, rank * sizeof shape->dims[0],
                          "the dims of a constant", err);
}

/* The elements at where[0], where[1] bytes. */
static tt_status read_texts(const tt_shape *shape, const tt_buffer *buffer,
                            const uint64_t *where, tt_constant **out, tt_error *err)
{
    size_t n_bytes = (size_t)where[1];
    tt_status status;
    void *bytes;
    if (buffer->read == NULL)
        return tt_constant_texts(shape, (const uint8_t *)buffer->data + where[0],
                                 n_bytes, out, err);
    bytes = tt_alloc(n_bytes);
    if (bytes == NULL) return tt_fail(err, TT_NO_MEMORY, "texts of %zu bytes", n_bytes);
    status = buffer->read(buffer->owner, where[0], n_bytes, bytes, err);
    if (status == TT_OK) status = tt_constant_texts(shape, bytes, n_bytes, out, err);
    tt_free(bytes);
    return status;
}

static tt_status read_constant(tt_reader *reader, holder *const *holders, int n_holders,
                               int64_t *total, tt_constant **out, tt_error *err)
{
    tt_cursor *cursor = &reader->cursor;
    const tt_limits *limits = reader->limits;
    tt_shape shape = {.rank = 0};
    uint64_t where[2]; /* offset, bytes */
    const tt_buffer *buffer;
    const char *name;
    char text[256];
    size_t expected, dense;
    int string, index;
    TT_TRY(tt_cursor_index(cursor, reader->n_strings, &string, "a name", err));
    name = reader->strings[string];
    TT_TRY(read_constant_shape(reader, &shape, name, err));
    TT_TRY(tt_cursor_index(cursor, n_holders, &index, "a buffer", err));
    TT_TRY(tt_cursor_copy(cursor, where, sizeof where, "the place of a constant", err));
    buffer = &holders[index]->buffer;
    if (!tt_packed_bytes(&shape, &expected) || !tt_dense_bytes(&shape, &dense))
        return tt_fail(err, TT_BAD_MODEL,
                       "tensor '%s': shape %s has a negative dim or too many elements",
                       name, tt_shape_text(&shape, text, sizeof text));
    if (dense > (uint64_t)limits->max_tensor_bytes)
        return tt_fail(err, TT_LIMIT,
                       "tensor '%s': %zu bytes exceed max_tensor_bytes (%lld)", name,
                       dense, (long long)limits->max_tensor_bytes);
    /* texts have lengths of their own */
    if (shape.dtype == TT_STRING) expected = where[1];
    if (where[1] != expected)
        return tt_fail(err, TT_BAD_MODEL,
                       "tensor '%s': %s of shape %s takes %zu bytes, it has %llu", name,
                       tt_dtype_name(shape.dtype),
                       tt_shape_text(&shape, text, sizeof text), expected,
                       (unsigned long long)where[1]);
    if (where[0] > buffer->n_bytes || where[1] > buffer->n_bytes - where[0])
        return tt_fail(err, TT_BAD_MODEL,
                       "tensor '%s': %llu bytes at offset %llu leave its buffer of %zu",
                       name, (unsigned long long)where[1], (unsigned long long)where[0],
                       buffer->n_bytes);
    if (!tt_add_i64(*total, (int64_t)dense, total) || *total > limits->max_model_bytes)
        return tt_fail(err, TT_LIMIT,
                       "tensor '%s': the weights exceed max_model_bytes (%lld)", name,
                       (long long)limits->max_model_bytes);
    if (expected == 0) {
        void *nothing;
        return tt_constant_empty(&shape, out, &nothing, err);
    }
    if (shape.dtype == TT_STRING) return read_texts(&shape, buffer, where, out, err);
    if (buffer->read != NULL || is_below_a_byte(shape.dtype))
        return make_stored(&shape, holders[index], index, where[0], expected, out, err);
    return make_constant(&shape, holders[index],
                         (const uint8_t *)buffer->data + where[0], expected, out, err);
}

static tt_status read_constants(tt_reader *reader, int n, holder *const *holders,
                                int n_holders, tt_error *err)
{
    tt_source *source = reader->source;
    int64_t total = (int64_t)(reader->cursor.end - reader->cursor.begin);
    source->constants = tt_calloc((size_t)n, sizeof(tt_constant *));
    if (source->constants == NULL)
        return tt_fail(err, TT_NO_MEMORY, "the table of %d constants", n);
    for (int i = 0; i < n; ++i) {
        TT_TRY(read_constant(reader, holders, n_holders, &total, &source->constants[i],
                             err));
        source->n_constants = i + 1;
    }
    return TT_OK;
}

/* ---- the whole ----------------------------------------------------------- */

static tt_status allocate_tables(tt_reader *reader, int n_graphs, tt_error *err)
{
    size_t strings = (size_t)reader->n_strings, graphs = (size_t)n_graphs;
    reader->strings = tt_calloc(strings, sizeof *reader->strings);
    reader->memos = tt_calloc(strings, sizeof *reader->memos);
    reader->name_seen = tt_calloc(strings, sizeof *reader->name_seen);
    reader->attribute_seen = tt_calloc(strings, sizeof *reader->attribute_seen);
    reader->opsets = tt_calloc((size_t)reader->n_opsets, sizeof *reader->opsets);
    reader->depths = tt_calloc(graphs, sizeof *reader->depths);
    reader->has_parent = tt_calloc(graphs, sizeof *reader->has_parent);
    reader->source->graphs = tt_calloc(graphs, sizeof *reader->source->graphs);
    if (reader->strings == NULL || reader->memos == NULL || reader->name_seen == NULL ||
        reader->attribute_seen == NULL || reader->opsets == NULL ||
        reader->depths == NULL || reader->has_parent == NULL ||
        reader->source->graphs == NULL)
        return tt_fail(err, TT_NO_MEMORY, "tables for %d strings and %d graphs",
                       reader->n_strings, n_graphs);
    for (int i = 0; i < reader->n_strings; ++i)
        reader->memos[i].domain = -1;
    return TT_OK;
}

static tt_status read_graphs(tt_reader *reader, int n_graphs, tt_error *err)
{
    const tt_source *source = reader->source;
    const tt_graph *main_graph;
    for (int i = 0; i < n_graphs; ++i)
        TT_TRY(tt_read_graph(reader, err));
    for (int i = 0; i < n_graphs - 1; ++i)
        if (!reader->has_parent[i])
            return tt_fail(err, TT_BAD_MODEL, "graph %d '%s' belongs to no node", i,
                           source->graphs[i]->name);
    main_graph = source->graphs[n_graphs - 1];
    if (main_graph->n_captures != 0)
        return tt_fail(err, TT_BAD_MODEL, "the main graph '%s' captures %d values",
                       main_graph->name, main_graph->n_captures);
    if (tt_cursor_left(&reader->cursor) != 0)
        return tt_fail(err, TT_BAD_MODEL, "byte %zu: %zu bytes follow the last graph",
                       tt_cursor_offset(&reader->cursor),
                       tt_cursor_left(&reader->cursor));
    return TT_OK;
}

static tt_status read_sections(tt_reader *reader, holder *const *holders, int n_holders,
                               tt_error *err)
{
    tt_cursor *cursor = &reader->cursor;
    const uint8_t *magic;
    int n_constants, n_graphs;
    TT_TRY(tt_cursor_take(cursor, 4, &magic, "the magic number", err));
    if (memcmp(magic, "TTG1", 4) != 0)
        return tt_fail(
            err, TT_BAD_MODEL,
            "byte 0: expected the magic number TTG1, got %02x %02x %02x %02x", magic[0],
            magic[1], magic[2], magic[3]);
    TT_TRY(tt_cursor_count(cursor, STRING_BYTES, &reader->n_strings, "strings", err));
    TT_TRY(tt_cursor_count(cursor, OPSET_BYTES, &reader->n_opsets, "opsets", err));
    TT_TRY(tt_cursor_count(cursor, CONSTANT_BYTES, &n_constants, "constants", err));
    TT_TRY(tt_cursor_count(cursor, GRAPH_BYTES, &n_graphs, "graphs", err));
    if (n_graphs < 1)
        return tt_fail(err, TT_BAD_MODEL, "expected at least one graph, got %d",
                       n_graphs);
    TT_TRY(allocate_tables(reader, n_graphs, err));
    TT_TRY(read_strings(reader, err));
    TT_TRY(read_opsets(reader, err));
    TT_TRY(read_constants(reader, n_constants, holders, n_holders, err));
    return read_graphs(reader, n_graphs, err);
}

static tt_status check_limits(const tt_limits *limits, tt_error *err)
{
#define CHECK(field, value, text)                                  \
    if (limits->field < 0)                                         \
        return tt_fail(err, TT_BAD_INPUT,                          \
                       "limit " #field " is %lld, it must not be " \
                       "negative",                                 \
                       (long long)limits->field);
    TT_LIMITS_LIST(CHECK)
#undef CHECK
    return TT_OK;
}

tt_status tt_source_read(const void *bytes, size_t n_bytes, const tt_buffer *buffers,
                         int n_buffers, const tt_limits *limits, tt_source **out,
                         tt_error *err)
{
    tt_reader reader = {.limits = limits};
    holder **holders;
    tt_status status;
    *out = NULL;
    TT_TRY(take_buffers(buffers, n_buffers, &holders, err));
    reader.cursor.begin = reader.cursor.at = bytes;
    reader.cursor.end = reader.cursor.begin + n_bytes;
    reader.source = tt_calloc(1, sizeof *reader.source);
    if (reader.source == NULL || (reader.source->region = tt_region_new()) == NULL) {
        status = tt_fail(err, TT_NO_MEMORY, "a model's header");
        goto done;
    }
    reader.source->limits = *limits;
    reader.limits = &reader.source->limits;
    status = check_limits(limits, err);
    if (status == TT_OK && n_bytes > (uint64_t)limits->max_model_bytes)
        status = tt_fail(err, TT_LIMIT, "%zu bytes exceed max_model_bytes (%lld)",
                         n_bytes, (long long)limits->max_model_bytes);
    if (status == TT_OK) status = read_sections(&reader, holders, n_buffers, err);
done:
    free_holders(holders, n_buffers);
    tt_free((void *)reader.strings);
    tt_free(reader.memos);
    tt_free(reader.name_seen);
    tt_free(reader.attribute_seen);
    tt_free(reader.opsets);
    tt_free(reader.depths);
    tt_free(reader.has_parent);
    if (status == TT_OK)
        *out = reader.source;
    else
        tt_source_free(reader.source);
    return status;
}

void tt_source_free(tt_source *source)
{
    if (source == NULL) return;
    for (int i = 0; i < source->n_graphs; ++i)
        tt_graph_free(source->graphs[i]);
    for (int i = 0; i < source->n_constants; ++i)
        tt_constant_unref(source->constants[i]);
    tt_free((void *)source->graphs);
    tt_free((void *)source->constants);
    tt_region_free(source->region);
    tt_free(source);
}
