/* What the elementwise operators share: dtype rules, one-instruction emission, and
 * post-ops. */
#ifndef TT_OPS_ELEMENTWISE_H
#define TT_OPS_ELEMENTWISE_H

#include "ops/fail.h"
#include "ops/op.h"

/* Which dtypes an operator takes (those this engine computes with). */
typedef enum {
    TT_TAKES_FLOAT,  /* float16 bfloat16 float32 float64 */
    TT_TAKES_NUMBER, /* those and all integers */
    TT_TAKES_SIGNED, /* floats and signed integers */
    TT_TAKES_INT,    /* all integers */
    TT_TAKES_UNSIGNED,
    TT_TAKES_BOOL,
    TT_TAKES_ANY /* numbers and bool */
} tt_takes;

bool tt_takes_dtype(tt_takes takes, tt_dtype dtype);
/* TT_UNSUPPORTED with the operator, the input and what it takes, when input i has
 * another dtype. */
tt_status tt_check_dtype(const tt_site *site, int i, tt_takes takes, tt_error *err);
/* The same for every input, then the shape rule. */
tt_status tt_infer_same_of(tt_site *site, tt_takes takes, tt_shape *out, tt_error *err);
tt_status tt_infer_broadcast_of(tt_site *site, tt_takes takes, tt_shape *out,
                                tt_error *err);
tt_status tt_infer_compare_of(tt_site *site, tt_takes takes, tt_shape *out,
                              tt_error *err);
/* TT_BAD_MODEL unless the node has between `least` and `most` inputs. */
tt_status tt_check_inputs(const tt_site *site, int least, int most, tt_error *err);

/* Appends op on registers a, b, c (-1: none) with the node's name in failures. */
tt_status tt_emit(const tt_site *site, tt_eltwise_builder *builder, tt_eltwise_op op,
                  int a, int b, int c, double alpha, double beta, int *result,
                  tt_error *err);
tt_status tt_emit_unary(const tt_site *site, tt_eltwise_builder *builder,
                        tt_eltwise_op op, int a, double alpha, double beta, int *result,
                        tt_error *err);
tt_status tt_emit_binary(const tt_site *site, tt_eltwise_builder *builder,
                         tt_eltwise_op op, int a, int b, int *result, tt_error *err);
tt_status tt_emit_cast(const tt_site *site, tt_eltwise_builder *builder, int a,
                       tt_dtype to, int *result, tt_error *err);
tt_status tt_emit_constant(const tt_site *site, tt_eltwise_builder *builder,
                           tt_dtype dtype, double value, int *result, tt_error *err);

/* Fills *post with an eltwise post-op; true. */
bool tt_post_eltwise(tt_node_post *post, int alg, double alpha, double beta);
/* Fills *post with a binary post-op on the node's input `other`; false when that is
 * also the input that the post-op acts on. */
bool tt_post_binary(const tt_site *site, int alg, int which, int other,
                    tt_node_post *post);
/* Is input i a constant of one element?  Then its value. */
bool tt_input_scalar(const tt_site *site, int i, double *out);

/* A record of an elementwise operator; `record##_infer` and so on are its functions. */
#define TT_ELEMENTWISE_OP(record, op_type, domain_, since_, until_, post, text) \
    const tt_op tt_op_##record = {.name = op_type,                              \
                                  .domain = domain_,                            \
                                  .since = since_,                              \
                                  .until = until_,                              \
                                  .summary = text,                              \
                                  .infer = record##_infer,                      \
                                  .emit = record##_emit,                        \
                                  .as_post = post};

#endif
