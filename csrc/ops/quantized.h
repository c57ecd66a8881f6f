/* Integer convolutions and matmuls (graph/quantized.h): made by graph/fuse_quantized.c,
 * never read from a file.  Each is lowered by the file of the f32 operator. */
#ifndef TT_OPS_QUANTIZED_H
#define TT_OPS_QUANTIZED_H

#include "graph/quantized.h"
#include "ops/op.h"

extern const tt_op tt_op_quantized_conv, tt_op_quantized_conv_transpose;
extern const tt_op tt_op_quantized_matmul, tt_op_quantized_gemm;

/* What such a node knows, or NULL for any other. */
const tt_quantized *tt_quantized_of(const tt_node *node);
bool tt_quantized_is_conv(const tt_node *node);
/* Do integers pay here, or has oneDNN its slow reference implementation only? */
tt_status tt_quantized_is_fast(tt_engine *engine, const tt_site *site, bool *out,
                               tt_error *err);
tt_status tt_conv_integers_are_fast(tt_engine *engine, const tt_site *site, bool *out,
                                    tt_error *err);
tt_status tt_conv_transpose_integers_are_fast(tt_engine *engine, const tt_site *site,
                                              bool *out, tt_error *err);

#endif
