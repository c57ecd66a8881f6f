/* Post-ops of operators whose own kernel gives rows of n numbers (tt_post_ops of
 * kernels/post_ops.h): in the kernel where it knows them all, else in a step behind. */
#ifndef TT_OPS_OWN_POSTS_H
#define TT_OPS_OWN_POSTS_H

#include "kernels/post_ops.h"
#include "ops/posts.h"

typedef struct {
    tt_post_ops posts;
    bool accumulates; /* dst holds what is added first */
    tt_operand dst;   /* row-major */
    tt_operand operands[TT_POST_OPS_MAX];
    tt_prim_args apart; /* for the step behind */
} tt_own_posts;

/* Output 0 of the node, and what the kernel is to do before it stores. */
tt_status tt_own_posts_begin(tt_lower *lower, const tt_node *node, tt_own_posts *out,
                             tt_error *err);
/* The step behind the kernel's, where there is one. */
tt_status tt_own_posts_end(tt_lower *lower, const tt_node *node,
                           const tt_own_posts *posts, tt_error *err);

#endif
