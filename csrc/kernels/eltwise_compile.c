/* Plans a program over a loop nest, and packs it into one block of plain data. */
#include <string.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "kernels/eltwise_plan.h"

enum {
    N_DIRECT = 1 << 15,     /* elements of a tile when no slots are needed */
    SLOTS_IN_L1 = 24 << 10, /* bytes that slots may take of L1 */
    N_SMALLEST = 64         /* elements: all slots of the worst program still fit */
};
static const double PARALLEL_NS = 30e3, GRAIN_NS = 12e3;

_Static_assert(TT_ELTWISE_MAX_SLOTS *N_SMALLEST * 8 <= TT_ELTWISE_SLOTS_BYTES,
               "the smallest tile must fit with every slot in use");

static size_t slot_bytes(const tt_eltwise_draft *draft)
{
    size_t bytes = (size_t)draft->tiling->n_full * draft->widest;
    return (bytes + TT_ALIGNMENT - 1) & ~(size_t)(TT_ALIGNMENT - 1);
}

/* Cuts into ever smaller tiles until the slots of one fit L1. */
static void fit_tiles(const tt_eltwise_table *table, const tt_eltwise_builder *b,
                      const tt_eltwise_nest *nest, tt_eltwise_tiling *tiling,
                      tt_eltwise_draft *draft)
{
    tt_eltwise_tile(nest, N_DIRECT, tiling);
    tt_eltwise_draft_make(table, b, nest, tiling, draft);
    if (draft->n_slots == 0) return;
    for (int64_t n_block = TT_ELTWISE_BLOCK;; n_block /= 2) {
        tt_eltwise_tile(nest, n_block, tiling);
        tt_eltwise_draft_make(table, b, nest, tiling, draft);
        if ((size_t)draft->n_slots * slot_bytes(draft) <= SLOTS_IN_L1) return;
        if (n_block == N_SMALLEST) return;
    }
}

/* The pointers are packed at run time: no gaps between the three kinds. */
static uint8_t packed_ref(const tt_eltwise *e, uint8_t ref)
{
    if (ref < TT_DRAFT_FIRST_SLOT) return ref;
    if (ref < TT_DRAFT_FIRST_CONSTANT)
        return (uint8_t)(ref - TT_DRAFT_FIRST_SLOT + e->n_operands);
    return (uint8_t)(ref - TT_DRAFT_FIRST_CONSTANT + e->n_operands + e->n_slots);
}

static void pack_steps(const tt_eltwise *e, tt_eltwise_step *to,
                       const tt_eltwise_step *from, int n)
{
    for (int i = 0; i < n; ++i) {
        to[i] = from[i];
        to[i].dst = packed_ref(e, from[i].dst);
        to[i].a = packed_ref(e, from[i].a);
        to[i].b = packed_ref(e, from[i].b);
        to[i].c = packed_ref(e, from[i].c);
    }
}

static int64_t element_bytes(const tt_eltwise_builder *b, int operand)
{
    return (int64_t)tt_dtype_bytes(operand < b->n_loads
                                       ? b->load_dtypes[operand]
                                       : b->store_dtypes[operand - b->n_loads]);
}

/* The stride, in elements, of loop i. */
static int64_t loop_stride(const tt_eltwise_draft *draft, int operand, int i)
{
    const int64_t *strides = draft->nest->strides[operand];
    int last = draft->tiling->n_dims - 1;
    return i == 0 ? strides[last] * draft->tiling->chunk : strides[last + i];
}

static void pack_tail(const tt_eltwise_draft *draft, tt_eltwise *e)
{
    int64_t *at = e->tail;
    tt_eltwise_step *steps;
    for (int i = 0; i < e->n_loops; ++i)
        for (int k = 0; k < e->n_operands; ++k)
            *at++ = loop_stride(draft, k, i) * element_bytes(draft->b, k);
    for (int k = 0; k < e->n_operands; ++k)
        for (int i = 0; i < e->n_tile_dims; ++i)
            *at++ = draft->nest->strides[k][i];
    for (int i = 0; i < e->n_constants; ++i)
        *at++ = draft->constants[i];
    steps = (tt_eltwise_step *)(void *)at;
    pack_steps(e, steps, draft->before, e->n_before);
    pack_steps(e, steps + e->n_before, draft->steps, e->n_steps);
}

/* Memory traffic beyond L2 counts; below, the steps' own time covers it. */
static double memory_ns(const tt_eltwise_draft *draft, double n_elements)
{
    double bytes = 0.0;
    for (int k = 0; k < draft->nest->n_operands; ++k)
        if (!draft->tiling->is_fixed[k])
            bytes += n_elements * (double)element_bytes(draft->b, k);
    return bytes > (double)tt_cpu_get()->l2_bytes ? bytes * 0.08 : bytes * 0.01;
}

static void describe(const tt_eltwise_draft *draft, tt_eltwise *e)
{
    const tt_eltwise_tiling *tiling = draft->tiling;
    const tt_eltwise_step *first = &draft->steps[0];
    const double n_tiles = (double)tiling->n_tiles;
    e->name = draft->table->name;
    e->n_tiles = tiling->n_tiles;
    e->n_full = tiling->n_full;
    e->n_last = tiling->n_last;
    e->n_operands = draft->nest->n_operands;
    e->n_slots = draft->n_slots;
    e->n_constants = draft->b->n_constants;
    e->n_loops = tiling->n_loops;
    e->n_tile_dims = tiling->n_dims;
    e->n_before = draft->n_before;
    e->n_steps = draft->n_steps;
    e->slot_bytes = slot_bytes(draft);
    memcpy(e->counts, tiling->counts, sizeof e->counts);
    memcpy(e->tile_dims, draft->nest->dims, sizeof e->tile_dims);
    e->cost_ns = 10.0 + n_tiles * draft->tile_ns +
                 memory_ns(draft, n_tiles * (double)tiling->n_full);
    e->grain = e->n_tiles;
    if (e->cost_ns > PARALLEL_NS)
        e->grain = 1 + (int64_t)(n_tiles * GRAIN_NS / e->cost_ns);
    e->is_one_call = e->n_tiles == 1 && e->n_slots == 0 && e->n_before == 0 &&
                     e->n_steps == 1 && first->kind == TT_STEP_CALL;
}

tt_status tt_eltwise_compile_for(const tt_eltwise_table *table,
                                 const tt_eltwise_builder *b, const tt_shape *dims,
                                 const int64_t (*load_strides)[TT_MAX_RANK],
                                 const int64_t (*store_strides)[TT_MAX_RANK],
                                 tt_eltwise **out, tt_error *err)
{
    tt_eltwise_nest nest;
    tt_eltwise_tiling tiling;
    tt_eltwise_draft *draft = NULL;
    tt_eltwise *e = NULL;
    size_t n_bytes, n_words;
    *out = NULL;
    if (b->n_stores == 0)
        return tt_fail(err, TT_INTERNAL,
                       "an elementwise program of %d instructions "
                       "stores nothing",
                       b->n_instructions);
    if (tt_shape_numel(dims) == 0) {
        if ((e = tt_calloc(1, sizeof *e)) == NULL) goto no_memory;
        e->n_bytes = sizeof *e;
        e->name = table->name;
        *out = e;
        return TT_OK;
    }
    if ((draft = tt_alloc(sizeof *draft)) == NULL) goto no_memory;
    tt_eltwise_nest_make(dims, b->n_loads, load_strides, b->n_stores, store_strides,
                         &nest);
    fit_tiles(table, b, &nest, &tiling, draft);
    n_words = (size_t)(tiling.n_loops + tiling.n_dims) * (size_t)nest.n_operands +
              (size_t)b->n_constants;
    n_bytes = sizeof *e + n_words * sizeof(int64_t) +
              (size_t)(draft->n_before + draft->n_steps) * sizeof(tt_eltwise_step);
    if ((e = tt_calloc(1, n_bytes)) == NULL) goto no_memory;
    e->n_bytes = n_bytes;
    describe(draft, e);
    pack_tail(draft, e);
    tt_free(draft);
    *out = e;
    return TT_OK;
no_memory:
    tt_free(draft);
    return tt_fail(err, TT_NO_MEMORY,
                   "compiling an elementwise program of %d "
                   "instructions",
                   b->n_instructions);
}

tt_status tt_eltwise_compile(const tt_eltwise_builder *b, const tt_shape *dims,
                             const int64_t (*load_strides)[TT_MAX_RANK],
                             const int64_t (*store_strides)[TT_MAX_RANK],
                             tt_eltwise **out, tt_error *err)
{
    return tt_eltwise_compile_for(tt_eltwise_table_of(tt_cpu_get()->isa), b, dims,
                                  load_strides, store_strides, out, err);
}

size_t tt_eltwise_bytes(const tt_eltwise *eltwise)
{
    return eltwise->n_bytes;
}

double tt_eltwise_cost_ns(const tt_eltwise *eltwise)
{
    return eltwise->cost_ns;
}
