/* What tt_eltwise_compile makes and tt_eltwise_run walks (internal to
 * kernels/eltwise*.c).
 *
 * The index space of the result is cut into tiles of at most `n_tile` elements: the
 * innermost dims in full times a chunk of the next one.  Loops run over the tiles;
 * within one, every step is a call over all its elements.  A step names its memory
 * by an index into one table of pointers: operands (which move from tile to tile),
 * then slots (blocks of working memory in L1), then constants. */
#ifndef TT_KERNELS_ELTWISE_PLAN_H
#define TT_KERNELS_ELTWISE_PLAN_H

#include "kernels/eltwise_table.h"

enum {
    TT_ELTWISE_MAX_SLOTS = TT_ELTWISE_MAX_REGISTERS + TT_ELTWISE_MAX_OPERANDS,
    TT_ELTWISE_SLOTS_BYTES = 40 << 10, /* all of them together, on the stack */
    /* an instruction each; two for a load, four for a store, one to spread a scalar */
    TT_ELTWISE_MAX_STEPS = TT_ELTWISE_MAX_INSTRUCTIONS + 4 * TT_ELTWISE_MAX_OPERANDS +
                           TT_ELTWISE_MAX_REGISTERS,
    TT_ELTWISE_MAX_LOOPS = TT_MAX_RANK + 1
};

/* ---- the loop nest -------------------------------------------------------- */

/* Dims without ones, innermost first, adjacent ones merged where every operand
 * allows it.  At least one dim. */
typedef struct {
    int n_dims, n_operands;
    int64_t dims[TT_MAX_RANK];
    int64_t strides[TT_ELTWISE_MAX_OPERANDS][TT_MAX_RANK]; /* elements */
} tt_eltwise_nest;

/* Orders and merges; loads come before stores in `operands`. */
void tt_eltwise_nest_make(const tt_shape *dims, int n_loads,
                          const int64_t (*load_strides)[TT_MAX_RANK], int n_stores,
                          const int64_t (*store_strides)[TT_MAX_RANK],
                          tt_eltwise_nest *nest);

/* How an operand lies within a tile. */
typedef enum { TT_TILE_CONTIGUOUS, TT_TILE_SCALAR, TT_TILE_STRIDED } tt_tile_kind;

typedef struct {
    int n_dims;             /* dims of the tile; the last is the chunked one */
    int64_t chunk;          /* items of the last dim in a full tile */
    int64_t n_full, n_last; /* elements of a full tile, of the last one in its row */
    int64_t n_tiles;
    int n_loops; /* counts[0] goes over chunks */
    int64_t counts[TT_ELTWISE_MAX_LOOPS];
    tt_tile_kind kinds[TT_ELTWISE_MAX_OPERANDS];
    bool is_fixed[TT_ELTWISE_MAX_OPERANDS]; /* the same elements in every tile */
} tt_eltwise_tiling;

void tt_eltwise_tile(const tt_eltwise_nest *nest, int64_t n_block,
                     tt_eltwise_tiling *tiling);

/* ---- steps ----------------------------------------------------------------- */

typedef enum {
    TT_STEP_CALL,   /* fn over the tile */
    TT_STEP_SCALAR, /* fn over one element */
    TT_STEP_FILL,   /* dst = the element at a, all over the tile */
    TT_STEP_COPY,   /* contiguous to contiguous */
    TT_STEP_GATHER, /* strided operand a to contiguous */
    TT_STEP_SCATTER /* contiguous to strided operand dst */
} tt_step_kind;

typedef struct {
    uint8_t kind, width;  /* width: bytes of an element, for all but CALL, SCALAR */
    uint8_t dst, a, b, c; /* indices into the table of pointers */
    tt_eltwise_fn fn;
    tt_eltwise_immediate immediate;
} tt_eltwise_step;

/* Indices while steps are being made; packed without gaps in the end. */
enum {
    TT_DRAFT_FIRST_SLOT = TT_ELTWISE_MAX_OPERANDS,
    TT_DRAFT_FIRST_CONSTANT = TT_DRAFT_FIRST_SLOT + TT_ELTWISE_MAX_SLOTS
};

/* Where the value of a register is, and how much of it. */
typedef struct {
    uint8_t ref;
    bool is_scalar; /* one element for the whole tile */
    bool is_fixed;  /* the same in every tile: made before the loop */
} tt_eltwise_place;

typedef struct {
    const tt_eltwise_table *table;
    const tt_eltwise_builder *b;
    const tt_eltwise_nest *nest;
    const tt_eltwise_tiling *tiling;
    tt_eltwise_place places[TT_ELTWISE_MAX_REGISTERS];
    int last_use[TT_ELTWISE_MAX_REGISTERS]; /* index of an instruction */
    int stores[TT_ELTWISE_MAX_OPERANDS];    /* register that destination i takes */
    bool is_slot_busy[TT_ELTWISE_MAX_SLOTS], is_slot_fixed[TT_ELTWISE_MAX_SLOTS];
    int n_slots;
    size_t widest; /* bytes of an element of the widest register in a slot */
    int64_t constants[TT_ELTWISE_MAX_REGISTERS];
    int n_before, n_steps;
    tt_eltwise_step before[TT_ELTWISE_MAX_STEPS], steps[TT_ELTWISE_MAX_STEPS];
    double tile_ns; /* of all steps over a full tile */
} tt_eltwise_draft;

void tt_eltwise_draft_make(const tt_eltwise_table *table, const tt_eltwise_builder *b,
                           const tt_eltwise_nest *nest, const tt_eltwise_tiling *tiling,
                           tt_eltwise_draft *draft);

/* ---- the compiled program ------------------------------------------------- */

struct tt_eltwise {
    size_t n_bytes;
    int64_t n_tiles, grain; /* grain: tiles that one thread should take at least */
    int64_t n_full, n_last;
    double cost_ns;
    const char *name;
    int n_operands, n_slots, n_constants, n_loops, n_tile_dims;
    int n_before, n_steps; /* steps once per thread, then per tile */
    size_t slot_bytes;
    bool is_one_call; /* one tile, one CALL step, no slots */
    int64_t counts[TT_ELTWISE_MAX_LOOPS];
    int64_t tile_dims[TT_MAX_RANK];
    /* behind the struct: int64_t loop_strides[n_loops][n_operands] (bytes),
     * int64_t tile_strides[n_operands][n_tile_dims] (elements),
     * int64_t constants[n_constants], tt_eltwise_step steps[n_before + n_steps] */
    int64_t tail[];
};

static inline const int64_t *tt_eltwise_loop_strides(const tt_eltwise *e, int loop)
{
    return e->tail + (size_t)loop * (size_t)e->n_operands;
}
static inline const int64_t *tt_eltwise_tile_strides(const tt_eltwise *e, int operand)
{
    return tt_eltwise_loop_strides(e, e->n_loops) +
           (size_t)operand * (size_t)e->n_tile_dims;
}
static inline const int64_t *tt_eltwise_constants(const tt_eltwise *e)
{
    return tt_eltwise_tile_strides(e, e->n_operands);
}
static inline const tt_eltwise_step *tt_eltwise_steps(const tt_eltwise *e)
{
    return (const tt_eltwise_step *)(const void *)(tt_eltwise_constants(e) +
                                                   e->n_constants);
}

#endif
