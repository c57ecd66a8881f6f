/* Inside of the plan room: what compiling makes and running reads.
 *
 * A block is a piece of memory (arena, constant, caller's array); an operand is a
 * tensor in a block; a step runs over operands.  A plan is immutable once compiled;
 * a context holds the addresses of one call at a time. */
#ifndef TT_PLAN_PLAN_H
#define TT_PLAN_PLAN_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/pool.h"
#include "base/threads.h"
#include "plan/lower.h"
#include "tt.h"

typedef enum {
    TT_BLOCK_ARENA,    /* lives in the context's arena for some steps */
    TT_BLOCK_CONSTANT, /* address known when compiling */
    TT_BLOCK_INPUT,    /* the caller's array */
    TT_BLOCK_OUTPUT
} tt_block_kind;

typedef struct {
    tt_block_kind kind;
    size_t bytes;
    void *data;            /* CONSTANT; never written through */
    tt_constant *constant; /* CONSTANT: reference, pinned once data is there, or NULL */
    int external;          /* INPUT, OUTPUT: number */
    int first, last;       /* ARENA: steps that use it; last = -1: none */
    size_t offset;         /* ARENA: filled by memory.c */
    int last_reader;       /* while lowering: last node that reads a value in it */
} tt_block;

typedef struct {
    tt_shape shape;
    int64_t strides[TT_MAX_RANK];
    int block;
    int64_t offset; /* bytes from the start of the block */
} tt_operand_record;

typedef struct {
    tt_kernel run; /* NULL: a primitive */
    const void *params;
    tt_prim *prim; /* owned */
    tt_arg *args;  /* n_pointers of them */
    const char *implementation;
    const char *node, *op_type, *fused;
    int first_pointer, n_pointers, n_src;
    int call; /* index of the context's tt_call */
    bool is_parallel;
    /* pointers (first those read, then those written) that may be one array */
    int n_shared, shared[TT_MAX_SHARED][2];
    tt_work work;
} tt_step;

/* Where an address of the caller goes. */
typedef struct {
    int pointer;        /* index into the context's pointers */
    int call, argument; /* call >= 0: also an argument of that call */
    int64_t offset;
} tt_patch;

typedef struct tt_context tt_context;
struct tt_context {
    tt_context *next; /* in the plan's list of idle ones */
    void *arena;
    void **pointers;
    tt_call **calls;
    tt_error error;
};

/* What follows when the shapes of the rest depend on data: `eval` (if not NULL)
 * runs first, then the tail program.  Sources say where its inputs come from. */
typedef enum {
    TT_FROM_NOWHERE, /* absent */
    TT_FROM_INPUT,
    TT_FROM_HEAD,
    TT_FROM_EVAL,
    TT_FROM_CONSTANT /* index: value of the plan's graph */
} tt_source_kind;
typedef struct {
    tt_source_kind kind;
    int index;
} tt_tail_source;

typedef struct tt_clipping tt_clipping; /* clipping.c */

/* What is known of a value of the graph that a QuantizeLinear makes. */
typedef struct {
    tt_clipping *counter;         /* NULL: no QuantizeLinear makes it */
    bool counts_low, counts_high; /* is an end of the range a sign of cutting off? */
} tt_quantized_mark;

struct tt_plan {
    atomic_int refs;
    tt_program *program; /* borrowed: the program outlives its plans' users */
    tt_model *model;
    tt_plan *newer, *older; /* in the program's list, newest first */
    /* key */
    tt_tensor *inputs; /* n_inputs; data: copy of by-value inputs, else NULL */
    int n_inputs, n_outputs;
    tt_shape *outputs;
    /* work */
    tt_graph *graph;   /* specialised; names live here */
    tt_region *region; /* params, args, lists */
    int n_steps, n_blocks, n_operands, n_pointers, n_calls;
    tt_step *steps;
    tt_block *blocks;
    tt_operand_record *operands;
    int *pointer_operands; /* operand of each pointer, or TT_NO_OPERAND */
    int n_patches;
    tt_patch *patches;  /* grouped by external: inputs then outputs */
    int *patch_start;   /* n_inputs + n_outputs + 1 */
    int *shared_inputs; /* per output: the input that may be the same array, or -1 */
    bool needs_arena;   /* false: only small kernels, run on the caller */
    bool counts_clipping;
    int n_marked;
    tt_quantized_mark *quantized; /* n_marked, per value of graph; or NULL */
    size_t scratchpad_bytes;
    tt_plan_memory memory;
    /* rest */
    tt_program *tail;             /* owned; NULL: static */
    tt_node *eval;                /* node of `graph` to run before the tail, or NULL */
    tt_tail_source *tail_sources; /* per input of the tail */
    tt_tail_source *eval_sources; /* per input of eval */
    pthread_mutex_t lock;         /* guards idle */
    tt_context *idle;
    int n_idle;
};

struct tt_program {
    tt_model *model;
    tt_program *next;          /* in the model's list */
    tt_graph *graph;           /* owned; symbolic */
    bool *by_value;            /* inputs whose values are part of the key */
    const char **output_names; /* of the request, or NULL: the model's own */
    int n_output_names;
    const tt_graph *body; /* the Loop or Scan body it runs, or NULL */
    pthread_mutex_t lock; /* guards the list and compiling */
    tt_plan *newest, *oldest;
    int n_plans;
    int64_t plan_bytes;
};

typedef struct tt_packed tt_packed;           /* packed.c */
typedef struct tt_packed_file tt_packed_file; /* packed_file.c */
typedef struct tt_made tt_made;               /* made.c */

struct tt_model {
    tt_options options;
    tt_source *source; /* what was read; its last graph is the main one */
    tt_graph *graph;   /* main graph after the passes that need no shapes */
    tt_engine *engine;
    tt_arena *parallel, *serial; /* parallel == NULL when n_threads == 1 */
    pthread_mutex_t lock;        /* guards programs */
    /* Guards packed, its pool and file, and made; taken after all others but those of constants. */
    pthread_mutex_t packed_lock;
    tt_program *programs;
    tt_packed *packed;
    tt_pool packed_pool;         /* their memory */
    tt_packed_file *packed_file; /* where packed weights may lie already, or NULL */
    tt_made *made;               /* of the attributes of nodes */
    tt_clipping *clipping;       /* per node of the main graph, or NULL; set once */
    atomic_bool counts_clipping;
    atomic_llong packed_bytes, contexts_bytes, n_contexts, n_compiles, n_runs;
};

/* ---- compile.c, evaluate.c, ... ------------------------------------------ */

tt_status tt_program_new(tt_model *model, tt_graph *graph, tt_program **out,
                         tt_error *err); /* takes graph in any case */
void tt_program_free(tt_program *program);

/* Compiles for these inputs (the program's lock is held). */
tt_status tt_plan_compile(tt_program *program, const tt_tensor *inputs, tt_plan **out,
                          tt_error *err);
/* An empty plan with one reference; NULL: out of memory, err says so. */
tt_plan *tt_plan_new(tt_model *model, tt_error *err);
void tt_plan_free(tt_plan *plan);
/* Makes the bytes of the block's constant, if it has one and they are not there. */
tt_status tt_block_hold(tt_block *block, tt_error *err);
/* Gives the block's constant back, if it has one. */
void tt_block_let_go(tt_block *block);
/* Lowers a specialised graph into plan->steps and plans its memory. */
tt_status tt_plan_lower(tt_plan *plan, tt_graph *graph, const tt_tensor *inputs,
                        tt_error *err);
/* share.c: fills plan->shared_inputs, after the patches. */
tt_status tt_plan_find_shared(tt_plan *plan, tt_error *err);
/* Offsets of arena blocks, arena size. */
tt_status tt_plan_memory_assign(tt_plan *plan, bool reuse, tt_error *err);

/* What stopped specialising before the last node. */
typedef enum { TT_CUT_NONE, TT_CUT_VALUE, TT_CUT_RUN } tt_cut_kind;
typedef struct {
    tt_cut_kind kind;
    int node;  /* index in the graph */
    int value; /* TT_CUT_VALUE: whose value is needed */
} tt_cut;

/* specialise.c: shapes, folding, inlining of If, in one walk over a graph whose inputs
 * have concrete shapes.  Stops at the first node that needs more (*cut). */
tt_status tt_graph_specialise(tt_model *model, tt_graph *graph, tt_cut *cut,
                              tt_error *err);
/* Folds what is constant whatever the input shapes are; keeps_f32: but for casts of
 * float32 to bfloat16. */
tt_status tt_graph_fold_constants(tt_model *model, tt_graph *graph, bool keeps_f32,
                                  tt_error *err);

/* control.c: replaces If number `node`, whose condition is constant, by its branch. */
tt_status tt_graph_inline_if(tt_graph *graph, int node, tt_error *err);
/* Runs Loop or Scan; as tt_op.eval. */
tt_status tt_control_eval(tt_model *model, const tt_node *node,
                          const tt_tensor *const *inputs, tt_tensor *out, tt_poll poll,
                          void *poll_arg, tt_error *err);

/* flight.c: does the operator of the node take its inputs and outputs as they are?  False
 * for objects that only a fallback knows what to do with. */
bool tt_node_runs_here(const tt_graph *graph, const tt_node *node);

/* sequences.c: rewrites node `at` if it works on sequences whose tensors are known; new
 * nodes come before it, the first of them at `at`. */
tt_status tt_graph_fold_sequence(tt_graph *graph, int at, tt_error *err);
/* Is it a node that only tells which tensors a sequence has?  It has no step. */
bool tt_node_lists_tensors(const tt_node *node);
/* The number of such a node whose sequence itself the node wants, or an output; -1. */
int tt_graph_listed_input(const tt_graph *graph, const tt_node *node);
int tt_graph_listed_output(const tt_graph *graph);

/* passes.c: the rewrites that need no shapes, and those before lowering. */
tt_status tt_graph_prepare(tt_model *model, tt_graph *graph, tt_error *err);
tt_status tt_graph_optimise(tt_model *model, tt_graph *graph, tt_error *err);

/* The plan for these inputs without checking them against the signature (they come
 * from the engine itself). */
tt_status tt_program_find(tt_program *program, const tt_tensor *inputs, tt_plan **out,
                          tt_error *err);
/* Bytes of the constants that were read. */
int64_t tt_model_weights_bytes(const tt_model *model);
/* The program of a Loop or Scan body. */
tt_status tt_model_body(tt_model *model, tt_graph *body, tt_program **out,
                        tt_error *err);

/* Computes the outputs of a node whose inputs are constants (or only their shapes
 * matter); makes them constants of the graph.  TT_LIMIT leaves the node alone. */
tt_status tt_evaluate_node(tt_model *model, tt_graph *graph, tt_node *node,
                           tt_error *err);

/* clipping.c: notes which values are quantised, before passes fuse what makes them. */
tt_status tt_plan_mark_quantized(tt_plan *plan, tt_error *err);

/* ---- context.c, run.c ----------------------------------------------------- */

tt_status tt_context_lease(tt_plan *plan, tt_context **out, tt_error *err);
void tt_context_return(tt_plan *plan, tt_context *context);
void tt_context_free(tt_plan *plan, tt_context *context);
tt_status tt_context_set(const tt_plan *plan, tt_context *context, int external,
                         void *data, tt_error *err);
/* step_ns may be NULL. */
tt_status tt_context_run(const tt_plan *plan, tt_context *context, tt_poll poll,
                         void *poll_arg, int64_t *step_ns, tt_error *err);
/* Asks the poll (NULL: none) whether to go on, if *polled_ns is 20 ms ago or more. */
tt_status tt_poll_ask(tt_poll poll, void *poll_arg, int64_t *polled_ns, tt_error *err);

#endif
