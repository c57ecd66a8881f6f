/* What an operator's `lower` function may do: ask for its inputs in a memory
 * order, get destinations, and add steps.
 *
 * Lowering walks a specialised graph in topological order and turns nodes into
 * steps.  Tensors become operands: a shape, strides and a place in memory.
 * Memory is planned after all steps are known, so an operand has no address yet.
 *
 * Layout works on demand.  Every operand carries strides, so a transposed tensor,
 * a channels-last tensor, a slice are all just operands.  An operator that needs
 * a certain order says so in tt_lower_src, and gets a copy in that order only if
 * the tensor is not in it already (one copy, shared by all who ask).  Views
 * (Reshape, Transpose, Slice, Split, Squeeze, ...) add no step: tt_lower_view. */
#ifndef TT_PLAN_LOWER_H
#define TT_PLAN_LOWER_H

#include "dnnl/dnnl_shim.h"
#include "graph/graph.h"
#include "ops/op.h"

typedef enum {
    TT_ORDER_ANY,           /* any strides, views and broadcasts included */
    TT_ORDER_DENSE,         /* some permutation of a dense tensor */
    TT_ORDER_ROW_MAJOR,     /* dense, C order */
    TT_ORDER_CHANNELS_LAST, /* dense, (N, spatial.., C) in memory; rank >= 3 */
    TT_ORDER_ROWS           /* last dim contiguous (stride 1), others free */
} tt_order;

/* Index of an operand of the plan; TT_NO_OPERAND for an absent optional one. */
typedef int tt_operand;
enum { TT_NO_OPERAND = -1 };

/* ---- looking ------------------------------------------------------------- */

const tt_graph *tt_lower_graph(const tt_lower *lower);
tt_engine *tt_lower_engine(const tt_lower *lower);
int tt_lower_threads(const tt_lower *lower);
/* Are own kernels wanted where oneDNN has an implementation too? */
bool tt_lower_wants_kernels(const tt_lower *lower);
/* Is oneDNN wanted where there is an own kernel, fast or slow?  Switched off, own
 * kernels do all that they can, whatever the size: tests reach them so. */
bool tt_lower_wants_primitives(const tt_lower *lower);
static inline tt_site tt_lower_site(const tt_lower *lower, const tt_node *node)
{
    tt_site site = {tt_lower_graph(lower), node, -1};
    return site;
}
/* Valid until the next call that adds an operand: copy what you keep. */
const tt_shape *tt_operand_shape(const tt_lower *lower, tt_operand operand);
const int64_t *tt_operand_strides(const tt_lower *lower, tt_operand operand);
/* oneDNN's description of an operand. */
tt_md tt_operand_md(const tt_lower *lower, tt_operand operand);
/* The constant's data when the operand is a dense row-major constant, or NULL. */
const void *tt_operand_constant(const tt_lower *lower, tt_operand operand);

/* ---- inputs ---------------------------------------------------------------*/

/* Input i of the node in the wanted order (TT_NO_OPERAND when absent). */
tt_status tt_lower_src(tt_lower *lower, const tt_node *node, int i, tt_order order,
                       tt_operand *out, tt_error *err);
/* The same for a value of the graph (post-op operands). */
tt_status tt_lower_value(tt_lower *lower, int value, tt_order order, tt_operand *out,
                         tt_error *err);
/* A copy of `src` with exactly these strides (no copy when they are equal). */
tt_status tt_lower_copy(tt_lower *lower, tt_operand src, const int64_t *strides,
                        tt_operand *out, tt_error *err);
/* Is this node the last reader of value, and may its memory be overwritten (not a
 * constant, an input or an output of the model)? */
bool tt_lower_is_last_use(const tt_lower *lower, const tt_node *node, int value);
/* Is output i of the node an output of the model?  Then it is better written straight
 * into the caller's array than in place of an input, from where it would be copied. */
bool tt_lower_is_output(const tt_lower *lower, const tt_node *node, int i);

/* ---- outputs --------------------------------------------------------------*/

/* Memory for output i.  TT_ORDER_ANY: whatever the consumers like best, some
 * dense permutation or a place inside a concatenation (strided); DENSE: some
 * permutation, dense; ROW_MAJOR, CHANNELS_LAST: as named; ROWS: last dim
 * contiguous, may be strided (inside a concatenation). */
tt_status tt_lower_dst(tt_lower *lower, const tt_node *node, int i, tt_order order,
                       tt_operand *out, tt_error *err);
/* Output i is dense, with these strides. */
tt_status tt_lower_dst_strided(tt_lower *lower, const tt_node *node, int i,
                               const int64_t *strides, tt_operand *out, tt_error *err);
/* Output i overwrites `src` (same bytes, strides of src): in place.  The caller has
 * checked tt_lower_is_last_use. */
tt_status tt_lower_dst_inplace(tt_lower *lower, const tt_node *node, int i,
                               tt_operand src, tt_operand *out, tt_error *err);
/* Output i is a view of `src`: its shape comes from the graph, its strides and
 * offset (elements) from here.  No step. */
tt_status tt_lower_view(tt_lower *lower, const tt_node *node, int i, tt_operand src,
                        const int64_t *strides, int64_t offset, tt_error *err);
/* For Concat: has input i been written straight into its place in output 0? */
bool tt_lower_is_placed(const tt_lower *lower, const tt_node *node, int i);
/* Output i is this operand as it is (same shape). */
void tt_lower_bind(tt_lower *lower, const tt_node *node, int i, tt_operand operand);

/* ---- other memory ---------------------------------------------------------*/

/* Working memory that lives for one step (aligned to 64). */
tt_status tt_lower_temporary(tt_lower *lower, size_t n_bytes, tt_operand *out,
                             tt_error *err);
/* An intermediate tensor between steps of one node; dense row-major when strides is
 * NULL. */
tt_status tt_lower_tensor(tt_lower *lower, const tt_shape *shape,
                          const int64_t *strides, tt_operand *out, tt_error *err);
/* A view of an operand as another tensor; no step. */
tt_status tt_lower_subview(tt_lower *lower, tt_operand src, const tt_shape *shape,
                           const int64_t *strides, int64_t offset, tt_operand *out,
                           tt_error *err);
/* An operand for a constant made by lowering; takes the reference. */
tt_status tt_lower_constant(tt_lower *lower, tt_constant *constant, tt_operand *out,
                            tt_error *err);
/* Weights in the layout that `prim` chose for `arg`, packed once per model and
 * shared by all plans.  `weights` is a constant operand (any strides). */
tt_status tt_lower_packed(tt_lower *lower, const tt_prim *prim, tt_arg arg,
                          tt_operand weights, const tt_md *plain, tt_operand *out,
                          tt_error *err);

/* What a function makes of weights, once per model and shared by all plans like packed
 * ones: `make` fills n_bytes (aligned to 64) from the weights and their description.
 * What it makes must depend on nothing else. */
typedef void (*tt_derive)(const tt_md *plain, const void *weights, void *made);
tt_status tt_lower_derived(tt_lower *lower, tt_operand weights, const tt_md *plain,
                           tt_derive make, size_t n_bytes, tt_operand *out,
                           tt_error *err);

/* What an operator makes of a node's attributes, once per model and `variant` and shared
 * by all plans.  `make` looks at nothing but the attributes and the variant; *data is
 * what it made, valid as long as the model. */
typedef tt_status (*tt_make)(const tt_node *node, int variant, tt_constant **out,
                             tt_error *err);
tt_status tt_lower_made(tt_lower *lower, const tt_node *node, tt_make make, int variant,
                        tt_operand *out, const void **data, tt_error *err);

/* ---- steps ----------------------------------------------------------------*/

/* A kernel: ptrs[k] is the address of operands[k] (NULL when absent).  `params`
 * was copied into the plan.  Runs inside the plan's arena: tt_parallel_for only. */
typedef tt_status (*tt_kernel)(const void *params, void *const *ptrs, tt_error *err);

typedef struct {
    double flops;   /* arithmetic operations (2 per multiply-add) */
    double bytes;   /* memory read and written at least once */
    double cost_ns; /* estimated time on one thread; 0: from flops and bytes */
} tt_work;

/* operands: first n_src that are read, then n_dst that are written (an operand in
 * both lists is updated in place; temporaries count as written).  `name` is the
 * implementation's name in profiles ("softmax:avx512"); a literal. */
tt_status tt_lower_kernel(tt_lower *lower, const tt_node *node, const char *name,
                          tt_kernel run, const void *params, size_t params_bytes,
                          const tt_operand *operands, int n_src, int n_dst,
                          const tt_work *work, tt_error *err);

/* The kernel that was added last may be given one array as its pointers `src` (read) and
 * `dst` (written): a cache that the caller wants appended to in place. */
enum { TT_MAX_SHARED = 2 };
void tt_lower_share(tt_lower *lower, int src, int dst);

/* Lowers an elementwise node (op->emit) or a chain made by graph/chain.c.  Operators that
 * have `lower` too call it where `emit` can do the node. */
tt_status tt_lower_elementwise(tt_lower *lower, const tt_node *node, tt_error *err);

/* Does work of this cost gain from the plan's threads?  Primitives for small work
 * must be created between tt_lower_serial_begin/_end (they then use one thread);
 * tt_lower_prim notes in which mode it was created. */
bool tt_lower_is_parallel(const tt_lower *lower, const tt_work *work);

/* Creates a primitive of any kind through `create(engine, params, out, err)`, with
 * the right number of threads for `work`.  On success the plan does NOT own it until
 * tt_lower_prim; free it with tt_prim_free if you decide otherwise. */
typedef tt_status (*tt_prim_create)(tt_engine *, const void *params, tt_prim **,
                                    tt_error *);
tt_status tt_lower_create(tt_lower *lower, tt_prim_create create, const void *params,
                          const tt_work *work, tt_prim **out, tt_error *err);

/* A oneDNN primitive with its arguments; the plan takes ownership of prim (also on
 * failure).  args[k] is bound to operands[k]; n_src first are read, then n_dst
 * written.  The scratchpad is added here. */
tt_status tt_lower_prim(tt_lower *lower, const tt_node *node, tt_prim *prim,
                        const tt_arg *args, const tt_operand *operands, int n_src,
                        int n_dst, const tt_work *work, tt_error *err);

/* The node's posts as oneDNN post-ops for a destination in `order`: fills attr and
 * appends the operands (TT_ARG_POST + i) to args/operands (room for
 * TT_MAX_NODE_POSTS more), all seen as tensors of `rank` dims.  When one of them can
 * be an in-place sum, *sum is its operand and the caller must take it as the
 * destination (tt_lower_dst_inplace); else *sum is TT_NO_OPERAND. */
tt_status tt_lower_posts(tt_lower *lower, const tt_node *node, int rank, tt_order order,
                         tt_attr *attr, tt_arg *args, tt_operand *operands, int *n_args,
                         tt_operand *sum, tt_error *err);

#endif
