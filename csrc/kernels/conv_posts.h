/* What own convolutions do to a result before they store it: bias, a clamp, then a
 * short list of steps. */
#ifndef TT_KERNELS_CONV_POSTS_H
#define TT_KERNELS_CONV_POSTS_H

#include <stdbool.h>
#include <stdint.h>

enum { TT_CONV_MAX_POSTS = 4 };

typedef enum {
    TT_CONV_RELU,        /* x < 0 ? alpha x : x */
    TT_CONV_CLIP,        /* between alpha and beta */
    TT_CONV_LINEAR,      /* alpha x + beta */
    TT_CONV_LOGISTIC,    /* 1 / (1 + e^-x) */
    TT_CONV_SWISH,       /* x / (1 + e^-(alpha x)) */
    TT_CONV_HARDSIGMOID, /* alpha x + beta between 0 and 1 */
    TT_CONV_HARDSWISH,   /* x times that */
    TT_CONV_TANH,
    TT_CONV_ADD, /* an operand */
    TT_CONV_MUL
} tt_conv_post_kind;

typedef struct {
    tt_conv_post_kind kind;
    float alpha, beta;
    bool is_full; /* the operand has the place of dst for every element, else one
                   * element per channel */
} tt_conv_post;

typedef struct {
    bool has_clamp; /* comes first */
    float low, high;
    int n;
    tt_conv_post items[TT_CONV_MAX_POSTS];
} tt_conv_posts;

#endif
