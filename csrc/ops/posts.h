/* Post-ops as a step of their own, for results that no primitive with post-ops
 * computes: own kernels, and primitives that would fall to a reference
 * implementation because of a post-op. */
#ifndef TT_OPS_POSTS_H
#define TT_OPS_POSTS_H

#include "kernels/post_ops.h"
#include "plan/lower.h"

/* The arguments of a primitive while they are collected: sources first, then
 * destinations. */
typedef struct {
    tt_attr attr;
    int n;
    tt_arg args[TT_ARG_COUNT];
    tt_operand operands[TT_ARG_COUNT];
    tt_operand sum; /* the destination to work in, or TT_NO_OPERAND */
} tt_prim_args;

static inline tt_prim_args tt_prim_args_empty(void)
{
    tt_prim_args args = {.attr = tt_attr_default(), .sum = TT_NO_OPERAND};
    return args;
}

static inline void tt_prim_args_add(tt_prim_args *args, tt_arg arg, tt_operand operand)
{
    args->args[args->n] = arg;
    args->operands[args->n++] = operand;
}

/* The second operand of post number `post`, or TT_NO_OPERAND. */
tt_operand tt_prim_args_operand(const tt_prim_args *args, int post);

/* The node's posts (tt_lower_posts) behind those already in args->attr. */
tt_status tt_prim_args_posts(tt_lower *lower, const tt_node *node, int rank,
                             tt_order order, tt_prim_args *args, tt_error *err);

/* Appends a binary post-op with this operand, seen as `md`. */
void tt_prim_args_binary(tt_prim_args *args, tt_alg alg, tt_operand operand,
                         const tt_md *md);

/* Appends alpha x + beta. */
void tt_prim_args_linear(tt_prim_args *args, float alpha, float beta);

/* Appends an elementwise or binary post-op (`is_full`: see tt_post_op) to those that
 * own kernels apply themselves; one that comes first and is a relu or clip becomes the
 * clamp.  False: the kernels do not know it, or the list is full. */
bool tt_post_ops_append(tt_post_ops *ops, tt_alg alg, float alpha, float beta,
                        bool is_full);

/* Adds a step that applies all posts of `args` to dst in place; `md` describes dst
 * in the rank that the posts' operands have.  No step without posts. */
tt_status tt_posts_lower(tt_lower *lower, const tt_node *node, tt_operand dst,
                         const tt_md *md, const tt_prim_args *args, tt_error *err);

#endif
