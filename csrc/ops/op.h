/* The record of one operator, and what its functions get to see.
 *
 * An operator is one file csrc/ops/<name>.c that defines one or more records
 * (one per behaviour that changed between opsets), plus a line OP(<record>) in
 * op_list.h, plus tests/ops/test_<name>.py.  Nothing else lists operators. */
#ifndef TT_OPS_OP_H
#define TT_OPS_OP_H

#include "dnnl/dnnl_shim.h"
#include "graph/graph.h"
#include "kernels/eltwise.h"

typedef struct tt_lower tt_lower; /* plan/lower.h */

/* What infer, emit and eval see of a node. */
typedef struct {
    const tt_graph *graph;
    const tt_node *node;
    int needs_input; /* set by tt_need_* when it returns TT_NEEDS_VALUE */
} tt_site;

struct tt_op {
    const char *name, *domain; /* ONNX op_type; "" is ai.onnx */
    int since, until;          /* opsets served, inclusive; until 0: no end */
    const char *summary;       /* one line for the operator page */

    /* Checks attributes and inputs and gives dtype and dims of each output
     * (out[0..n_outputs)).  All input shapes are concrete.  TT_NEEDS_VALUE when
     * a shape depends on an input that is not constant, TT_NEEDS_RUN when only
     * running the node tells (eval must exist then). */
    tt_status (*infer)(tt_site *site, tt_shape *out, tt_error *err);

    /* What can be said of the attributes alone, at the door: called once, when the model
     * is loaded.  NULL: infer says it all. */
    tt_status (*check)(const tt_node *node, tt_error *err);

    /* Adds the steps of the node to the plan (plan/lower.h).  NULL for
     * elementwise operators, which have `emit` (both: not every node is). */
    tt_status (*lower)(tt_lower *lower, const tt_node *node, tt_error *err);

    /* Elementwise operators: appends instructions to the builder.  args[i] is
     * the register of input i; the result's register goes to *result.
     * TT_UNSUPPORTED when this instance (dtype) has no elementwise form. */
    tt_status (*emit)(tt_site *site, tt_eltwise_builder *builder, const int *args,
                      int *result, tt_error *err);

    /* Operators whose output shape depends on data: computes the outputs, each
     * with a block from tt_alloc that the caller then owns (out[i].data). */
    tt_status (*eval)(tt_site *site, const tt_tensor *const *inputs, tt_tensor *out,
                      tt_error *err);

    /* Can a producer absorb this node as a post-op acting on input `which`?
     * Fills *post (value: the other operand, or -1) and returns true. */
    bool (*as_post)(const tt_site *site, int which, tt_node_post *post);

    /* Takes and makes elements that are texts: it moves them and never looks at them. */
    bool takes_strings;
    /* Takes and makes sequences, nothing and texts. */
    bool takes_sequences;
    /* If, Loop, Scan and the like: handled by plan/control.c. */
    bool is_control_flow;
    /* Never folded, never shared: random numbers. */
    bool is_random;
    /* The outputs depend on the shapes of the inputs alone (Shape, Size): computed
     * when compiling even if the inputs are not constant; lower binds a constant. */
    bool reads_shape_only;
    /* lower applies node->posts (Conv, ConvTranspose, MatMul, Gemm). */
    bool accepts_posts;
    /* The output is the input's elements in row-major order (Reshape, Flatten,
     * Squeeze, Unsqueeze, Identity, Dropout with one output). */
    bool is_reshape;
};

/* ---- attribute readers (ops/attribute.c) --------------------------------
 * The first form gives the default when the attribute is missing and
 * TT_BAD_MODEL when it has another kind. */
const tt_attribute *tt_attribute_find(const tt_node *node, const char *name);
tt_status tt_attribute_int(const tt_node *, const char *name, int64_t fallback,
                           int64_t *out, tt_error *);
tt_status tt_attribute_float(const tt_node *, const char *name, float fallback,
                             float *out, tt_error *);
tt_status tt_attribute_string(const tt_node *, const char *name, const char *fallback,
                              const char **out, tt_error *);
/* *n = -1 and *out = NULL when missing. */
tt_status tt_attribute_ints(const tt_node *, const char *name, const int64_t **out,
                            int *n, tt_error *);
tt_status tt_attribute_floats(const tt_node *, const char *name, const float **out,
                              int *n, tt_error *);
/* Wraps a negative axis; TT_BAD_MODEL when outside [-rank, rank). */
tt_status tt_axis(const tt_node *, int64_t axis, int rank, int *out, tt_error *);

/* ---- input readers (ops/infer_rules.c) ----------------------------------- */

static inline bool tt_has_input(const tt_site *site, int i)
{
    return i < site->node->n_inputs && site->node->inputs[i] >= 0;
}
static inline const tt_shape *tt_input_shape(const tt_site *site, int i)
{
    return &site->graph->values[site->node->inputs[i]].shape;
}
/* The constant of input i, or NULL (absent or not constant). */
const tt_constant *tt_input_constant(const tt_site *site, int i);
/* The same, but TT_NEEDS_VALUE (and site->needs_input) when it is present and
 * not constant; *out is NULL when it is absent. */
tt_status tt_need_constant(tt_site *site, int i, const tt_constant **out, tt_error *);
/* Input i as int64 (from int32, int64); at most max items, *n = -1 when absent.
 * TT_NEEDS_VALUE when not constant. */
tt_status tt_need_ints(tt_site *site, int i, int64_t *out, int max, int *n, tt_error *);
tt_status tt_need_floats(tt_site *site, int i, float *out, int max, int *n, tt_error *);
/* Is input i, if it is there, of this type and shape? */
tt_status tt_check_input(const tt_site *site, int i, tt_dtype dtype, int rank,
                         const int64_t *dims, tt_error *err);
/* Checks presence: TT_BAD_MODEL names the node when inputs [0, n) are missing. */
tt_status tt_need_inputs(const tt_site *site, int n, tt_error *err);
/* A constant scalar of any real dtype as double; false when not such. */
bool tt_scalar_value(const tt_constant *constant, double *out);

/* The type of weights, bias and result of a layer: that of input 0, but float32 for a
 * layer of bfloat16 that graph/fuse_bf16.c made (its attribute `mixed_bf16`). */
tt_dtype tt_layer_dtype(const tt_site *site);

/* ---- shape rules (ops/infer_rules.c), usable directly as .infer ---------- */
tt_status tt_infer_same(tt_site *, tt_shape *out, tt_error *);      /* out = input 0 */
tt_status tt_infer_broadcast(tt_site *, tt_shape *out, tt_error *); /* all inputs */
tt_status tt_infer_compare(tt_site *, tt_shape *out, tt_error *);   /* -> bool */
/* Checks that out's element count and bytes fit the limits. */
tt_status tt_check_shape(const tt_site *, const tt_shape *out, tt_error *);

/* ---- the table ----------------------------------------------------------- */
/* Best record for (domain, name) that serves `version`; NULL when none. */
const tt_op *tt_op_find(const char *domain, const char *name, int version);
/* Record i of the table, NULL past the end. */
const tt_op *tt_op_at(int i);

#endif
