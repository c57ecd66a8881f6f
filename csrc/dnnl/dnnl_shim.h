/* oneDNN as plain C functions that return a tt_status and cannot throw.
 *
 * Enters: tensor descriptions (tt_md), primitive parameters, post-ops.
 * Leaves: primitives, their scratchpad and weights layout, executable calls.
 * Only the C++ files of this folder include dnnl.h; every call there catches all
 * exceptions (std::bad_alloc -> TT_NO_MEMORY, others -> TT_INTERNAL).
 *
 * A tt_prim is immutable after creation and may be executed from many threads
 * at once (scratchpad mode is always `user`); a tt_call belongs to one thread
 * at a time.  Primitives are created for the number of threads of the arena
 * that the creating thread is in (base/threads.h), and must be executed in an
 * arena of the same size. */
#ifndef TT_DNNL_SHIM_H
#define TT_DNNL_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/hash.h"
#include "base/shape.h"
#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- engine ------------------------------------------------------------- */

typedef enum { TT_DEVICE_CPU, TT_DEVICE_GPU } tt_device;
typedef struct tt_engine tt_engine;

/* `staging`: reach memory by map/unmap as on a GPU even on a CPU engine (a debug
 * switch that lets the staging path be tested without a GPU; always on for a
 * GPU).  TT_NO_DEVICE says what is missing.  The caller owns *out. */
tt_status tt_engine_new(tt_device device, bool staging, tt_engine **out, tt_error *err);
void tt_engine_free(tt_engine *engine);

typedef struct {
    int major, minor, patch;
    const char *hash;          /* commit of the linked oneDNN */
    const char *cpu_runtime;   /* "tbb", "omp", "sycl", "threadpool", "sequential" */
    const char *gpu_runtime;   /* "none", "ocl", "sycl" */
    const char *effective_isa; /* "avx512_core_bf16" and so on */
    int n_gpus;
} tt_dnnl_info;
void tt_dnnl_info_get(tt_dnnl_info *info);
/* The global primitive cache; see the leak note in DECISIONS.md. */
tt_status tt_dnnl_set_cache_capacity(int n_primitives, tt_error *err);

/* ---- descriptions ------------------------------------------------------- */

/* dtype, dims and strides in elements; `any`: oneDNN chooses the layout.
 * ndims 0 means "absent" (for instance no bias). */
typedef struct {
    tt_dtype dtype;
    int ndims;
    int64_t dims[TT_MAX_RANK];
    int64_t strides[TT_MAX_RANK];
    bool any;
} tt_md;

typedef enum {
    TT_ALG_NONE,
    /* eltwise */
    TT_ALG_ABS,
    TT_ALG_CLIP,
    TT_ALG_ELU,
    TT_ALG_EXP,
    TT_ALG_GELU_ERF,
    TT_ALG_GELU_TANH,
    TT_ALG_HARDSIGMOID,
    TT_ALG_HARDSWISH,
    TT_ALG_LINEAR,
    TT_ALG_LOG,
    TT_ALG_LOGISTIC,
    TT_ALG_MISH,
    TT_ALG_POW,
    TT_ALG_RELU,
    TT_ALG_ROUND,
    TT_ALG_SOFT_RELU,
    TT_ALG_SQRT,
    TT_ALG_SQUARE,
    TT_ALG_SWISH,
    TT_ALG_TANH,
    /* binary */
    TT_ALG_ADD,
    TT_ALG_SUB,
    TT_ALG_MUL,
    TT_ALG_DIV,
    TT_ALG_MAX,
    TT_ALG_MIN,
    /* pooling */
    TT_ALG_POOL_MAX,
    TT_ALG_POOL_AVG_INCLUDE,
    TT_ALG_POOL_AVG_EXCLUDE,
    /* resampling */
    TT_ALG_NEAREST,
    TT_ALG_RESAMPLE_LINEAR,
    /* softmax */
    TT_ALG_SOFTMAX,
    TT_ALG_LOG_SOFTMAX,
    /* reduction */
    TT_ALG_REDUCE_MAX,
    TT_ALG_REDUCE_MIN,
    TT_ALG_REDUCE_SUM,
    TT_ALG_REDUCE_MUL,
    TT_ALG_REDUCE_MEAN,
    TT_ALG_COUNT
} tt_alg;

typedef enum { TT_POST_SUM, TT_POST_ELTWISE, TT_POST_BINARY } tt_post_kind;

typedef struct {
    tt_post_kind kind;
    tt_alg alg;        /* eltwise or binary */
    float alpha, beta; /* eltwise */
    float scale;       /* sum: dst + scale * (what is there - zero_point) */
    int zero_point;
    tt_md operand; /* binary: the second operand */
} tt_post;

enum { TT_MAX_POSTS = 16 };

/* Scales and zero points are run-time arguments; a mask of -1 means absent, 0
 * per tensor, bit d per dim d (oneDNN's meaning). */
typedef struct {
    int n_posts;
    tt_post posts[TT_MAX_POSTS];
    int src_scale_mask, weights_scale_mask, dst_scale_mask;
    int src_zero_point_mask, weights_zero_point_mask, dst_zero_point_mask;
} tt_attr;

/* No post-ops, no scales. */
static inline tt_attr tt_attr_default(void)
{
    tt_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.src_scale_mask = attr.weights_scale_mask = attr.dst_scale_mask = -1;
    attr.src_zero_point_mask = attr.weights_zero_point_mask = -1;
    attr.dst_zero_point_mask = -1;
    return attr;
}

/* ---- primitives --------------------------------------------------------- */

typedef struct tt_prim tt_prim;

/* Arguments of an execution.  Post-op i's operand is TT_ARG_POST + i. */
typedef enum {
    TT_ARG_SRC,
    TT_ARG_SRC_1,
    TT_ARG_SRC_2,
    TT_ARG_WEIGHTS,
    TT_ARG_WEIGHTS_1,
    TT_ARG_WEIGHTS_2,
    TT_ARG_WEIGHTS_3,
    TT_ARG_BIAS,
    TT_ARG_DST,
    TT_ARG_DST_1,
    TT_ARG_DST_2,
    TT_ARG_DIFF_SRC,
    TT_ARG_DIFF_WEIGHTS,
    TT_ARG_DIFF_BIAS,
    TT_ARG_DIFF_DST,
    TT_ARG_SCALE,
    TT_ARG_SHIFT,
    TT_ARG_MEAN,
    TT_ARG_VARIANCE,
    TT_ARG_WORKSPACE,
    TT_ARG_SCRATCHPAD,
    TT_ARG_SRC_SCALE,
    TT_ARG_WEIGHTS_SCALE,
    TT_ARG_DST_SCALE,
    TT_ARG_SRC_ZERO_POINT,
    TT_ARG_WEIGHTS_ZERO_POINT,
    TT_ARG_DST_ZERO_POINT,
    TT_ARG_POST,
    TT_ARG_COUNT = TT_ARG_POST + TT_MAX_POSTS
} tt_arg;

enum { TT_MAX_SPATIAL = 3 };

/* weights: [oc, ic/g, k..] or [g, oc/g, ic/g, k..] when grouped (oneDNN's
 * order), strides or `any`.  dilations count from 0 (oneDNN). */
typedef struct {
    tt_md src, weights, bias, dst;
    int64_t strides[TT_MAX_SPATIAL], dilations[TT_MAX_SPATIAL];
    int64_t pads_begin[TT_MAX_SPATIAL], pads_end[TT_MAX_SPATIAL];
    tt_attr attr;
} tt_conv_params;

typedef struct {
    tt_md src, weights, bias, dst; /* bias has the rank of dst, ones but the last */
    tt_attr attr;
} tt_matmul_params;

typedef struct {
    tt_alg alg;
    tt_md src, dst;
    int64_t kernel[TT_MAX_SPATIAL], strides[TT_MAX_SPATIAL];
    int64_t dilations[TT_MAX_SPATIAL];
    int64_t pads_begin[TT_MAX_SPATIAL], pads_end[TT_MAX_SPATIAL];
    tt_attr attr;
} tt_pool_params;

/* eltwise, softmax (axis), reduction, resampling (factors from the dims) */
typedef struct {
    tt_alg alg;
    tt_md src, dst;
    int axis;
    float alpha, beta;
    tt_attr attr;
} tt_unary_params;

typedef struct {
    tt_alg alg;
    tt_md src0, src1, dst; /* broadcasting only in src1 */
    tt_attr attr;
} tt_binary_params;

/* scale and shift of dtype f32; epsilon inside the root */
typedef struct {
    tt_md src, dst;
    float epsilon;
    bool use_scale, use_shift;
} tt_layer_norm_params;

typedef struct {
    tt_md src, dst;
    tt_attr attr; /* scales, zero points, sum */
} tt_reorder_params;

typedef enum { TT_RNN_LSTM, TT_RNN_GRU, TT_RNN_LBR_GRU } tt_rnn_kind;
typedef enum {
    TT_RNN_LEFT2RIGHT,
    TT_RNN_RIGHT2LEFT,
    TT_RNN_BIDIRECTIONAL_CONCAT
} tt_rnn_direction;

/* oneDNN's shapes: src_layer [t,n,ic], src_iter [1,d,n,c], weights_layer
 * [1,d,ic,g,c], weights_iter [1,d,c,g,c], bias [1,d,g(+1 for lbr),c], dst_layer
 * [t,n,d*c], dst_iter [1,d,n,c], peephole weights [1,d,3,c].  ndims 0: absent.
 * Arguments: SRC=src_layer SRC_1=src_iter SRC_2=src_iter_c WEIGHTS=weights_layer
 * WEIGHTS_1=weights_iter WEIGHTS_2=peephole BIAS=bias DST=dst_layer
 * DST_1=dst_iter DST_2=dst_iter_c. */
typedef struct {
    tt_rnn_kind kind;
    tt_rnn_direction direction;
    tt_md src_layer, src_iter, src_iter_c;
    tt_md weights_layer, weights_iter, weights_peephole, bias;
    tt_md dst_layer, dst_iter, dst_iter_c;
} tt_rnn_params;

/* Each creates a primitive the caller owns.  TT_UNSUPPORTED when oneDNN has no
 * implementation for it, TT_NO_MEMORY, TT_INTERNAL.  (deconv: weights
 * [ic.. as oneDNN: [oc, ic/g, k..] or [g, oc/g, ic/g, k..]).) */
tt_status tt_conv_new(tt_engine *, const tt_conv_params *, tt_prim **, tt_error *);
tt_status tt_deconv_new(tt_engine *, const tt_conv_params *, tt_prim **, tt_error *);
tt_status tt_matmul_new(tt_engine *, const tt_matmul_params *, tt_prim **, tt_error *);
tt_status tt_pool_new(tt_engine *, const tt_pool_params *, tt_prim **, tt_error *);
tt_status tt_eltwise_new(tt_engine *, const tt_unary_params *, tt_prim **, tt_error *);
tt_status tt_softmax_new(tt_engine *, const tt_unary_params *, tt_prim **, tt_error *);
tt_status tt_reduction_new(tt_engine *, const tt_unary_params *, tt_prim **,
                           tt_error *);
tt_status tt_resampling_new(tt_engine *, const tt_unary_params *, tt_prim **,
                            tt_error *);
tt_status tt_binary_new(tt_engine *, const tt_binary_params *, tt_prim **, tt_error *);
tt_status tt_layer_norm_new(tt_engine *, const tt_layer_norm_params *, tt_prim **,
                            tt_error *);
tt_status tt_reorder_new(tt_engine *, const tt_reorder_params *, tt_prim **,
                         tt_error *);
tt_status tt_rnn_new(tt_engine *, const tt_rnn_params *, tt_prim **, tt_error *);
/* Is there an implementation of this convolution that is not a reference one?  Asks
 * without making code. */
tt_status tt_conv_probe(tt_engine *, const tt_conv_params *, bool is_transposed,
                        bool *is_fast, tt_error *);
/* Gradients of a convolution; the descriptions are those of the forward one.
 * grad_src: DIFF_DST, WEIGHTS -> DIFF_SRC; grad_weights: SRC, DIFF_DST -> DIFF_WEIGHTS
 * and, where `bias` is there, DIFF_BIAS.  Posts and scales are not looked at. */
tt_status tt_conv_grad_src_new(tt_engine *, const tt_conv_params *, tt_prim **,
                               tt_error *);
tt_status tt_conv_grad_weights_new(tt_engine *, const tt_conv_params *, tt_prim **,
                                   tt_error *);

/* A reorder between the layout that `prim` chose for `arg` and a plain one: the way to
 * pack what changes from call to call, and to unpack what a primitive made. */
typedef struct {
    const tt_prim *prim;
    tt_arg arg;
    tt_md plain;
    bool to_plain;
} tt_relayout_params;
tt_status tt_relayout_new(tt_engine *, const tt_relayout_params *, tt_prim **,
                          tt_error *);
void tt_prim_free(tt_prim *prim);

/* oneDNN's implementation name, "brgconv:avx512_core"; lives as long as prim. */
const char *tt_prim_impl(const tt_prim *prim);
/* Is it one of the slow reference implementations ("ref", "simple")? */
bool tt_prim_is_reference(const tt_prim *prim);
size_t tt_prim_scratchpad_bytes(const tt_prim *prim);
/* Bytes of an argument in the layout the primitive wants (padding included). */
size_t tt_prim_arg_bytes(const tt_prim *prim, tt_arg arg);

/* ---- weights in the layout a primitive chose ---------------------------- */

typedef struct tt_layout tt_layout; /* owns a memory descriptor */

/* The layout that `prim` chose for `arg` (weights given as `any`). */
tt_status tt_layout_new(const tt_prim *prim, tt_arg arg, tt_layout **out,
                        tt_error *err);
void tt_layout_free(tt_layout *layout);
bool tt_layout_equal(const tt_layout *a, const tt_layout *b);
size_t tt_layout_bytes(const tt_layout *layout);
/* A name for the layout that is the same in another process; false where oneDNN does
 * not tell all of it (opaque formats, compensation of 8-bit weights). */
bool tt_layout_key(const tt_layout *layout, tt_hash *out);
/* Does the layout equal the plain strided description? Then no packing needed. */
bool tt_layout_is(const tt_layout *layout, const tt_md *plain);
/* Reorders `src`, described by `plain`, into `dst` of tt_layout_bytes bytes,
 * aligned to 64.  Runs at once, on the calling thread's arena. */
tt_status tt_layout_pack(tt_engine *, const tt_md *plain, const void *src,
                         const tt_layout *layout, void *dst, tt_error *err);

/* ---- execution ---------------------------------------------------------- */

typedef struct tt_call tt_call;

/* A primitive with its memory objects, every argument unbound.  `args` lists the
 * arguments that will be bound.  The prim must outlive the call. */
tt_status tt_call_new(tt_engine *, const tt_prim *prim, const tt_arg *args, int n_args,
                      tt_call **out, tt_error *err);
void tt_call_free(tt_call *call);
/* Points argument args[index] at `data` (not owned); no allocation, cannot fail
 * unless the engine is staging. */
tt_status tt_call_bind(tt_call *call, int index, void *data, tt_error *err);
/* Executes and waits.  Every argument must be bound. */
tt_status tt_call_execute(tt_call *call, tt_error *err);

#ifdef __cplusplus
}
#endif
#endif
