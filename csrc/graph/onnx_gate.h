/* The budget of an ONNX file, before protobuf sees it.
 *
 * Protobuf makes 80 bytes of memory from one byte of an empty message, so its
 * consumption is counted here first: one iterative pass over the wire format that
 * allocates nothing.  The gate only accepts or refuses; a defect in it could cost
 * memory, never the safety of what is parsed. */
#ifndef TT_GRAPH_ONNX_GATE_H
#define TT_GRAPH_ONNX_GATE_H

#include <stddef.h>

#include "base/limits.h"
#include "base/status.h"

/* TT_BAD_MODEL: no protobuf (bad varint, field 0, groups, a length past its message).
 * TT_LIMIT: more than max_nodes, max_values or max_depth, messages nested deeper than
 * protobuf takes, or an estimate of parsing it beyond max_model_bytes or beyond
 * 64 MiB + 8 * n_bytes.  Linear in n_bytes. */
tt_status tt_onnx_gate(const void *bytes, size_t n_bytes, const tt_limits *limits,
                       tt_error *err);

#endif
