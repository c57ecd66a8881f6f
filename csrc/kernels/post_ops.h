/* What own kernels do to a result before they store it: a clamp, then a short list of
 * steps. */
#ifndef TT_KERNELS_POST_OPS_H
#define TT_KERNELS_POST_OPS_H

#include <stdbool.h>
#include <stdint.h>

enum { TT_POST_OPS_MAX = 4 };

typedef enum {
    TT_POST_OP_RELU,        /* x < 0 ? alpha x : x */
    TT_POST_OP_CLIP,        /* between alpha and beta */
    TT_POST_OP_LINEAR,      /* alpha x + beta */
    TT_POST_OP_LOGISTIC,    /* 1 / (1 + e^-x) */
    TT_POST_OP_SWISH,       /* x / (1 + e^-(alpha x)) */
    TT_POST_OP_HARDSIGMOID, /* alpha x + beta between 0 and 1 */
    TT_POST_OP_HARDSWISH,   /* x times that */
    TT_POST_OP_TANH,
    TT_POST_OP_GELU_ERF,
    TT_POST_OP_GELU_TANH,
    TT_POST_OP_ADD, /* an operand */
    TT_POST_OP_MUL
} tt_post_op_kind;

typedef struct {
    tt_post_op_kind kind;
    float alpha, beta;
    bool is_full; /* the operand has the place of dst for every element, else one
                   * element per channel */
} tt_post_op;

typedef struct {
    bool has_clamp; /* comes first */
    float low, high;
    int n;
    tt_post_op items[TT_POST_OPS_MAX];
} tt_post_ops;

#endif
