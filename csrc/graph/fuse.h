/* Rewrites of a graph into a cheaper one with the same meaning.
 *
 * Each is a table of rules {name, match and apply}; a rule looks at one node and its
 * neighbours.  Weights rules need constants only and run once per model; the others
 * need shapes and run once per plan. */
#ifndef TT_GRAPH_FUSE_H
#define TT_GRAPH_FUSE_H

#include "dnnl/dnnl_shim.h"
#include "graph/graph.h"

/* Identity, Dropout, casts to the same type, ... vanish. */
tt_status tt_graph_simplify(tt_graph *graph, tt_error *err);
/* Sums and extrema of many tensors become trees; always done. */
tt_status tt_graph_split_nary(tt_graph *graph, tt_error *err);
/* BatchNormalization (and Mul, Add by constants) into the weights before it. */
tt_status tt_graph_fuse_weights(tt_graph *graph, tt_error *err);
/* Layers of bfloat16 with weights of float32, before constants are folded; is_native:
 * the processor multiplies bfloat16. */
tt_status tt_graph_mix_bf16(tt_graph *graph, bool is_native, tt_error *err);
/* The other casts to and from bfloat16. */
tt_status tt_graph_fuse_bf16(tt_graph *graph, bool is_native, tt_error *err);
/* Number of the output of a LayerNormalization that is its result as bfloat16, beside
 * the result in float32. */
enum { TT_LAYER_NORM_NARROW_OUTPUT = 4 };
/* Layers and normalisations store bfloat16 where their result is only read as such. */
tt_status tt_graph_store_bf16(tt_graph *graph, bool is_native, tt_error *err);
/* Matmuls of one input with constant weights become one. */
tt_status tt_graph_fuse_parallel(tt_graph *graph, tt_error *err);
/* Operators that exporters spell out: Gelu, LayerNormalization, Swish, ... */
tt_status tt_graph_fuse_composed(tt_graph *graph, tt_error *err);
/* A Pad of zeros becomes the padding of the convolution that reads it. */
tt_status tt_graph_fuse_pads(tt_graph *graph, tt_error *err);
/* A convolution whose input is quantised bytes reads the bytes. */
tt_status tt_graph_fuse_bytes(tt_graph *graph, tt_error *err);
/* 8-bit tensors go through reshapes, pools, concatenations, ... as they are. */
tt_status tt_graph_fuse_integer(tt_graph *graph, tt_error *err);
/* Scales out of attention's matmuls, its mask into its softmax. */
tt_status tt_graph_fuse_scores(tt_graph *graph, tt_error *err);
/* Then all of it, from Q, K, V to the result, into one node. */
tt_status tt_graph_fuse_attention(tt_graph *graph, tt_error *err);
/* DynamicQuantizeLinear, MatMulInteger, Cast, Mul become one node. */
tt_status tt_graph_fuse_dynamic_quantized(tt_graph *graph, tt_error *err);
/* Activations and sums become post-ops of Conv, MatMul, ... */
tt_status tt_graph_fuse_posts(tt_graph *graph, tt_error *err);

/* Integer operators (quantized.h).  Folding constants leaves, after the first: every
 * QuantizeLinear and DequantizeLinear; after the second: those of weights that a layer
 * computes with as integers.  is_exact: sums of products of two bytes do not saturate
 * on this processor (dnnl/dnnl_exact.h). */
tt_status tt_graph_keep_linear(tt_graph *graph, tt_error *err);
tt_status tt_graph_keep_weights(tt_graph *graph, bool is_exact, tt_error *err);
/* Products with other dequantised weights read them as they are. */
tt_status tt_graph_fuse_weight_only(tt_graph *graph, tt_error *err);
/* DequantizeLinear > Conv, MatMul, ... become integer operators.  *has_left: some nodes
 * that were kept may be folded now. */
tt_status tt_graph_fuse_quantized(tt_graph *graph, tt_engine *engine, bool is_exact,
                                  bool *has_left, tt_error *err);
/* They take in the QuantizeLinear behind them and their posts, and read integers in
 * place of a DequantizeLinear that is added. */
tt_status tt_graph_fuse_requantize(tt_graph *graph, tt_error *err);

#endif
