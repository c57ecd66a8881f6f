/* Flat bytes -> graphs, with total validation.
 *
 * The bytes come from python/trimtab/wire.py, which mirrors this file section
 * by section; but nothing in them is trusted: every index, count, size and text
 * is checked here, and every structural rule (topological order, one producer
 * per value, children before parents) is enforced, so that a defect in Python
 * cannot become a memory error.  One pass, no recursion, time linear in size.
 *
 * Format, little-endian, packed without alignment.  S = u32 index into strings.
 *   header    u8[4] "TTG1"; u32 n_strings; u32 n_opsets; u32 n_constants;
 *             u32 n_graphs
 *   strings   n_strings x { u32 n_bytes; u8[n_bytes] UTF-8 without NUL }
 *   opsets    n_opsets x { S domain ("" is ai.onnx); u32 version }
 *   constants n_constants x { S name; u32 dtype; u32 rank; i64 dims[rank];
 *             u32 buffer; u64 offset; u64 n_bytes }   (buffer: index into the
 *             buffers handed in beside the bytes; n_bytes must be exactly
 *             numel * itemsize; data little-endian, row-major; strings: as
 *             tt_constant_texts takes them)
 *   graphs    n_graphs x graph; children come before parents, the last is the
 *             main graph.  An attribute names a child by its number; each child
 *             is named exactly once.
 *   graph     S name; u32 n_values; u32 n_inputs; u32 n_outputs;
 *             u32 n_captures; u32 n_nodes
 *             values   n_values x { S name; u32 dtype (0 unknown), + 256: a
 *                      sequence of such tensors, + 512: optional; i32 rank
 *                      (-1 unknown); rank x { i64 dim (-1 unknown); S symbol
 *                      (0xffffffff none) }; i32 constant (-1 none) }
 *             inputs   n_inputs x u32 value
 *             outputs  n_outputs x u32 value
 *             captures n_captures x { u32 inner value; u32 outer value }
 *                      (outer: value of the graph whose node holds this one)
 *             nodes    n_nodes x { S op_type; S domain; S name; u32 n_inputs;
 *                      u32 n_outputs; u32 n_attributes;
 *                      n_inputs x i32 value (-1 absent);
 *                      n_outputs x i32 value (-1 absent);
 *                      n_attributes x { S name; u32 kind; u32 n; n x item } }
 *             item     FLOAT(S): f32; INT(S): i64; STRING(S): S; TENSOR: u32
 *                      constant; GRAPH: u32 graph
 */
#ifndef TT_GRAPH_READ_H
#define TT_GRAPH_READ_H

#include "graph/graph.h"

/* Bytes handed in beside the flat bytes, holding the weights.  `release(owner)`
 * is called exactly once per buffer, when the last constant lets go (or before
 * tt_model_read returns when there is none, or on failure).  A buffer that can be
 * `read` (a file) needs no data: its large weights are lazy constants. */
typedef tt_status (*tt_buffer_read)(void *owner, uint64_t offset, size_t n_bytes,
                                    void *dst, tt_error *err);
typedef struct {
    const void *data;
    size_t n_bytes;
    void (*release)(void *owner);
    void *owner;
    tt_buffer_read read; /* on any thread, also much later; NULL: data is there */
} tt_buffer;

/* All graphs of one model; graphs[n_graphs - 1] is the main one. */
typedef struct {
    int n_graphs;
    tt_graph **graphs;
    tt_region *region; /* strings, attributes */
    tt_limits limits;
    int n_constants;
    tt_constant **constants;
} tt_source;

/* TT_BAD_MODEL (with the byte offset and what was expected), TT_LIMIT,
 * TT_NO_MEMORY.  Nodes whose operator is not in the table get op == NULL. */
tt_status tt_source_read(const void *bytes, size_t n_bytes, const tt_buffer *buffers,
                         int n_buffers, const tt_limits *limits, tt_source **out,
                         tt_error *err);
void tt_source_free(tt_source *source);

#endif
