/* The public C API: load a model, choose outputs, plan for shapes, run.
 *
 *   tt_model    what was read from a file; weights, packed weights, threads.
 *   tt_program  a model together with the list of outputs that are wanted.
 *   tt_plan     a program compiled for concrete input shapes and strides;
 *               immutable, counted, cached by the program.
 *   tt_binding  a plan with a context of its own and fixed addresses.
 *
 * Thread rule: every function may be called from any thread at any time, except
 * the _free/_unref of an object that another thread is using and tt_binding_run,
 * which belongs to one thread at a time.  Ownership: whoever called _new or got a
 * reference calls _free or _unref; all of them accept NULL.
 * Statuses: TT_BAD_MODEL, TT_LIMIT, TT_UNSUPPORTED from the model functions;
 * TT_BAD_INPUT, TT_BAD_INPUT_TYPE, TT_LIMIT for inputs that do not fit;
 * TT_NO_MEMORY and TT_INTERRUPTED anywhere, after which everything is still
 * usable; TT_INTERNAL is a defect. */
#ifndef TT_H
#define TT_H

#include "base/limits.h"
#include "base/shape.h"
#include "base/status.h"
#include "dnnl/dnnl_shim.h"
#include "graph/graph.h"
#include "graph/read.h"

typedef struct tt_model tt_model;
typedef struct tt_program tt_program;
typedef struct tt_plan tt_plan;
typedef struct tt_binding tt_binding;

/* Passes that can be switched off, to find one that is wrong. */
#define TT_PASS_LIST(X)                                                             \
    X(TT_PASS_FOLD, "fold", "compute constant nodes when compiling")                \
    X(TT_PASS_SIMPLIFY, "simplify", "remove nodes without effect")                  \
    X(TT_PASS_BF16, "bf16", "casts to and from bfloat16 into their neighbours")     \
    X(TT_PASS_FUSE, "fuse", "post-ops, batch normalisation, composed operators")    \
    X(TT_PASS_INTEGER, "integer", "8-bit tensors are moved and pooled as they are") \
    X(TT_PASS_ATTENTION, "attention", "matmul, softmax, matmul as one kernel")      \
    X(TT_PASS_QUANTIZE, "quantize", "8-bit convolutions and matmuls as integers")   \
    X(TT_PASS_DYNAMIC, "dynamic", "dynamically quantised matmuls as one operator")  \
    X(TT_PASS_CHAIN, "chain", "elementwise chains as one loop")                     \
    X(TT_PASS_LAYOUT, "layout", "channels-last and consumer-preferred strides")     \
    X(TT_PASS_VIEWS, "views", "reshape, slice, concat without copies")              \
    X(TT_PASS_REUSE, "reuse", "memory of dead tensors is used again")               \
    X(TT_PASS_PRIMITIVES, "primitives", "oneDNN where there is an own kernel too")  \
    X(TT_PASS_KERNELS, "kernels", "own kernels where they beat oneDNN's")

enum {
#define TT_PASS_BIT(code, name, text) code##_BIT,
    TT_PASS_LIST(TT_PASS_BIT)
#undef TT_PASS_BIT
        TT_PASS_COUNT
};
enum {
#define TT_PASS_ENUM(code, name, text) code = 1 << code##_BIT,
    TT_PASS_LIST(TT_PASS_ENUM)
#undef TT_PASS_ENUM
        TT_PASS_ALL = (1 << TT_PASS_COUNT) - 1
};

/* Asked for at least every 20 ms during long runs, on the thread that called; a
 * status other than TT_OK (TT_INTERRUPTED) ends the run with it.  May be NULL. */
typedef tt_status (*tt_poll)(void *arg);

/* Runs a node that is not in the operator table.  Inputs are row-major; the callback
 * fills out[i].shape and out[i].data with a block from tt_alloc. May be NULL. */
typedef tt_status (*tt_fallback)(void *arg, int graph, int node,
                                 const tt_tensor *const *inputs, int n_inputs,
                                 tt_tensor *out, int n_outputs, tt_error *err);

typedef struct {
    int n_threads; /* >= 1 */
    tt_device device;
    bool staging;    /* debug: device memory by map/unmap on the CPU too */
    unsigned passes; /* TT_PASS_ALL or a subset */
    tt_limits limits;
    tt_fallback fallback; /* NULL: such nodes make tt_model_new fail */
    void *fallback_arg;   /* borrowed; must outlive the model */
} tt_options;

/* Threads from affinity and quota, CPU, all passes, default limits. */
tt_options tt_options_default(void);

/* ---- model --------------------------------------------------------------- */

/* Takes the buffers in any case (graph/read.h).  TT_UNSUPPORTED lists all
 * operators that are missing, one per line, in err->text (as many as fit). */
tt_status tt_model_new(const void *bytes, size_t n_bytes, const tt_buffer *buffers,
                       int n_buffers, const tt_options *options, tt_model **out,
                       tt_error *err);
void tt_model_free(tt_model *model);
const tt_graph *tt_model_graph(const tt_model *model); /* the main graph */

typedef struct {
    int64_t weights_bytes; /* as in the file, in memory now */
    int64_t stored_bytes;  /* in the file only */
    int64_t packed_bytes, plans_bytes, contexts_bytes;
    int64_t n_plans, n_contexts, n_compiles, n_runs;
} tt_model_stats;
void tt_model_stats_get(tt_model *model, tt_model_stats *stats);
/* Drops plans and contexts that nobody uses at the moment. */
void tt_model_trim(tt_model *model);

/* Count, in one call of 64, the elements of quantised tensors at the ends of their range?
 * Plans compiled from then on do; nothing is done where it is off.  An end does not count
 * where real values end by themselves: at the zero point, at the bounds of a Clip. */
tt_status tt_model_count_clipping(tt_model *model, bool on, tt_error *err);
typedef struct {
    const char
        *name; /* of the tensor that is quantised; NULL: the node quantises none */
    int64_t n_clipped, n_seen;
} tt_clipped;
/* What was counted for node number `node` of the model; false: past the last, or nothing
 * ever counted. */
bool tt_model_clipping(tt_model *model, int node, tt_clipped *out);

/* Takes packed weights from a file of tt_model_write_packed that begins at `offset`,
 * where it has them intact; the descriptor is duplicated.  Before the first plan; a
 * descriptor of -1 prepares for writing only.  False: nothing of use was found.  The
 * caller must see to it that the file is of this build, processor and model: what it
 * holds is checked for damage and size, not for what it means. */
bool tt_model_read_packed(tt_model *model, int descriptor, uint64_t offset);
/* Writes all packed weights at the descriptor's position, after tt_model_read_packed. */
tt_status tt_model_write_packed(tt_model *model, int descriptor, int *n_written,
                                tt_error *err);

/* ---- program ------------------------------------------------------------- */

/* Program for these value names (outputs or any intermediate tensor); n_outputs 0
 * means the model's outputs.  Owned by the model; the same names give the same
 * program.  TT_BAD_INPUT names an unknown one. */
tt_status tt_model_program(tt_model *model, const char *const *outputs, int n_outputs,
                           tt_program **out, tt_error *err);
int tt_program_n_outputs(const tt_program *program);

/* ---- plan ---------------------------------------------------------------- */

/* The plan for these inputs, compiled or from the cache; the caller owns a
 * reference.  inputs[i] is graph input i: shape, strides and data (data is read only
 * where a shape depends on a value).  TT_BAD_INPUT(_TYPE) names the input. */
tt_status tt_program_plan(tt_program *program, const tt_tensor *inputs, tt_plan **out,
                          tt_error *err);
tt_plan *tt_plan_ref(tt_plan *plan);
void tt_plan_unref(tt_plan *plan);
/* False when output shapes depend on data: then only tt_program_run works. */
bool tt_plan_is_static(const tt_plan *plan);
/* Does the plan (still) hold for these inputs?  Cheap: compares shapes, strides
 * and the values it was specialised on. */
bool tt_plan_accepts(const tt_plan *plan, const tt_tensor *inputs);
/* Shape of output i of a static plan; outputs are written row-major. */
const tt_shape *tt_plan_output(const tt_plan *plan, int i);
/* The input that output i may be written over when both are the same row-major array (a
 * cache that is appended to), or -1. */
int tt_plan_shared_input(const tt_plan *plan, int i);
/* Runs with the caller's memory: inputs[i] as planned, outputs[i] row-major and
 * aligned to the element, not overlapping any input but that of tt_plan_shared_input.  step_ns[i], unless NULL, gets the
 * time of step i. */
tt_status tt_plan_run(tt_plan *plan, void *const *inputs, void *const *outputs,
                      tt_poll poll, void *poll_arg, int64_t *step_ns, tt_error *err);

/* Static or not: the outputs' blocks come from tt_alloc and belong to the caller
 * (outputs[i].data, row-major). */
tt_status tt_program_run(tt_program *program, const tt_tensor *inputs,
                         tt_tensor *outputs, tt_poll poll, void *poll_arg,
                         tt_error *err);

/* ---- binding ------------------------------------------------------------- */

/* Fixed addresses; keeps a reference to the plan. */
tt_status tt_binding_new(tt_plan *plan, void *const *inputs, void *const *outputs,
                         tt_binding **out, tt_error *err);
void tt_binding_free(tt_binding *binding);
tt_status tt_binding_run(tt_binding *binding, tt_poll poll, void *poll_arg,
                         tt_error *err);

/* ---- inspection ---------------------------------------------------------- */

typedef struct {
    const char *node, *op_type; /* of the model's node that gave the name */
    const char *fused;          /* names of absorbed nodes, "a, b" or "" */
    const char *implementation; /* "brgconv:avx512_core", "softmax:avx2" */
    const char *dtype;          /* of the first tensor that it reads, or "" */
    double flops, bytes;
    int n_threads;
} tt_step_info;

int tt_plan_n_steps(const tt_plan *plan);
void tt_plan_step(const tt_plan *plan, int i, tt_step_info *info);
typedef struct {
    int64_t arena_bytes;      /* working memory of one call */
    int64_t tensors_bytes;    /* what the tensors would take without reuse */
    int64_t scratchpad_bytes; /* of the largest primitive */
    int64_t packed_bytes;     /* packed weights this plan refers to */
    int64_t plan_bytes;       /* steps, operands and (estimated) primitives */
} tt_plan_memory;
void tt_plan_memory_get(const tt_plan *plan, tt_plan_memory *memory);
/* The specialised graph as JSON text, freed with tt_free. */
tt_status tt_plan_dump(const tt_plan *plan, char **out, tt_error *err);

#endif
