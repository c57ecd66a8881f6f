/* From instructions to steps: which memory is read and written in place, what goes
 * through working slots, what is done once instead of per tile. */
#include <string.h>

#include "kernels/eltwise_plan.h"

enum {
    NO_REF = 255, /* refs of a draft are below */
    NEVER = -1,
    AT_END = TT_ELTWISE_MAX_INSTRUCTIONS
};

typedef tt_eltwise_place place;
typedef tt_eltwise_draft state;

/* ---- slots ---------------------------------------------------------------- */

/* A free slot; one that stays fixed is never one that another value had, because
 * what fills it runs before everything else. */
static uint8_t take_slot(state *s, size_t width, bool fixed)
{
    int slot = fixed ? s->n_slots : 0;
    while (slot < s->n_slots && s->is_slot_busy[slot])
        ++slot;
    if (slot == s->n_slots) ++s->n_slots;
    s->is_slot_busy[slot] = true;
    s->is_slot_fixed[slot] = fixed;
    if (width > s->widest) s->widest = width;
    return (uint8_t)(TT_DRAFT_FIRST_SLOT + slot);
}

static void give_slot(state *s, uint8_t ref)
{
    if (ref < TT_DRAFT_FIRST_SLOT || ref >= TT_DRAFT_FIRST_CONSTANT) return;
    if (!s->is_slot_fixed[ref - TT_DRAFT_FIRST_SLOT])
        s->is_slot_busy[ref - TT_DRAFT_FIRST_SLOT] = false;
}

static size_t width_of(const state *s, int reg)
{
    return tt_dtype_bytes(s->b->registers[reg]);
}

/* ---- steps ---------------------------------------------------------------- */

static void add_step(state *s, const tt_eltwise_step *step, bool fixed,
                     double element_ns)
{
    if (fixed) {
        s->before[s->n_before++] = *step;
        return;
    }
    s->steps[s->n_steps++] = *step;
    s->tile_ns += 4.0; /* the call */
    s->tile_ns +=
        element_ns * (step->kind == TT_STEP_SCALAR ? 1.0 : (double)s->tiling->n_full);
}

static tt_eltwise_step move_step(tt_step_kind kind, size_t width, uint8_t dst,
                                 uint8_t src)
{
    return (tt_eltwise_step){.kind = (uint8_t)kind,
                             .width = (uint8_t)width,
                             .dst = dst,
                             .a = src,
                             .b = src,
                             .c = src};
}

static tt_eltwise_step call_step(bool is_scalar, tt_eltwise_fn fn, uint8_t dst,
                                 uint8_t src)
{
    tt_eltwise_step step =
        move_step(is_scalar ? TT_STEP_SCALAR : TT_STEP_CALL, 0, dst, src);
    step.fn = fn;
    return step;
}

static const double MOVE_NS = 0.05, GATHER_NS = 0.5;

/* ---- loads ---------------------------------------------------------------- */

/* Brings a load's value to where instructions can read it. */
static void fetch(state *s, int reg)
{
    place *at = &s->places[reg];
    tt_dtype dtype;
    tt_eltwise_fn convert = NULL;
    int operand = 0;
    if (at->ref != NO_REF) return;
    while (s->b->loads[operand] != reg)
        ++operand;
    dtype = s->b->load_dtypes[operand];
    if (dtype == TT_F16) convert = s->table->load_f16;
    if (dtype == TT_BF16) convert = s->table->load_bf16;
    at->ref = (uint8_t)operand;
    at->is_scalar = s->tiling->kinds[operand] == TT_TILE_SCALAR;
    at->is_fixed = s->tiling->is_fixed[operand];
    if (s->tiling->kinds[operand] == TT_TILE_STRIDED) {
        size_t width = tt_dtype_bytes(dtype);
        uint8_t slot = take_slot(s, width, at->is_fixed);
        tt_eltwise_step step = move_step(TT_STEP_GATHER, width, slot, at->ref);
        add_step(s, &step, at->is_fixed, GATHER_NS);
        at->ref = slot;
    }
    if (convert != NULL) {
        uint8_t slot = take_slot(s, sizeof(float), at->is_fixed);
        tt_eltwise_step step = call_step(at->is_scalar, convert, slot, at->ref);
        add_step(s, &step, at->is_fixed, MOVE_NS);
        give_slot(s, at->ref);
        at->ref = slot;
    }
}

/* Spreads a scalar over a block. */
static void spread(state *s, int reg)
{
    place *at = &s->places[reg];
    size_t width = width_of(s, reg);
    uint8_t slot;
    tt_eltwise_step step;
    if (!at->is_scalar) return;
    slot = take_slot(s, width, at->is_fixed);
    step = move_step(TT_STEP_FILL, width, slot, at->ref);
    add_step(s, &step, at->is_fixed, MOVE_NS);
    give_slot(s, at->ref);
    at->ref = slot;
    at->is_scalar = false;
}

/* ---- instructions --------------------------------------------------------- */

/* May instruction `index` write to the memory of store `k` at once?  Not if a load
 * that could be the same memory is read after it. */
static bool may_write_through(const state *s, int index, int k)
{
    const tt_eltwise_builder *b = s->b;
    const int64_t *strides = s->nest->strides[b->n_loads + k];
    for (int i = 0; i < b->n_loads; ++i) {
        if (s->last_use[b->loads[i]] <= index) continue;
        if (tt_dtype_bytes(b->load_dtypes[i]) != tt_dtype_bytes(b->store_dtypes[k]))
            continue;
        if (memcmp(s->nest->strides[i], strides,
                   (size_t)s->nest->n_dims * sizeof *strides) == 0)
            return false;
    }
    return true;
}

/* The operand of a store that instruction `index` can write its result to, or
 * NO_REF. */
static uint8_t find_destination(const state *s, int index, int reg)
{
    const tt_eltwise_builder *b = s->b;
    for (int k = 0; k < b->n_stores; ++k) {
        int operand = b->n_loads + k;
        if (s->stores[k] != reg || b->store_dtypes[k] != b->registers[reg]) continue;
        if (s->tiling->kinds[operand] != TT_TILE_CONTIGUOUS) continue;
        if (may_write_through(s, index, k)) return (uint8_t)operand;
    }
    return NO_REF;
}

static tt_eltwise_fn find_kernel(const state *s, const tt_eltwise_instruction *at,
                                 int scalars)
{
    if (at->op == TT_ELTWISE_CAST) return s->table->casts[at->dtype][at->cast_to];
    if (at->op == TT_ELTWISE_QUANTIZE) return s->table->quantize[at->cast_to];
    if (at->op == TT_ELTWISE_DEQUANTIZE) return s->table->dequantize[at->dtype];
    return s->table->kernels[at->dtype][at->op].by_scalar[scalars];
}

static int count_args(const tt_eltwise_instruction *at)
{
    int n = 0;
    while (n < 3 && at->args[n] >= 0)
        ++n;
    return n;
}

/* Chooses the version of the kernel for the arguments that are scalars; spreads
 * those it has no version for. */
static tt_eltwise_fn choose_kernel(state *s, const tt_eltwise_instruction *at, int n)
{
    int first = n < 2 ? 0 : n - 2, scalars = 0;
    for (int i = 0; i < first; ++i)
        spread(s, at->args[i]);
    for (int i = first; i < n; ++i)
        if (s->places[at->args[i]].is_scalar) scalars |= 1 << (i - first);
    if (find_kernel(s, at, scalars) == NULL || (n == 2 && scalars == 3)) {
        for (int i = first; i < n; ++i)
            spread(s, at->args[i]);
        scalars = 0;
    }
    return find_kernel(s, at, scalars);
}

static void release_arguments(state *s, const tt_eltwise_instruction *at, int index,
                              int n, bool same_width)
{
    size_t width = width_of(s, at->result);
    for (int i = 0; i < n; ++i)
        if (s->last_use[at->args[i]] == index &&
            (width_of(s, at->args[i]) == width) == same_width)
            give_slot(s, s->places[at->args[i]].ref);
}

static void add_instruction(state *s, int index)
{
    const tt_eltwise_instruction *at = &s->b->instructions[index];
    const int n = count_args(at);
    place *result = &s->places[at->result];
    tt_eltwise_step step = {.kind = TT_STEP_SCALAR};
    uint8_t refs[3];
    result->is_scalar = result->is_fixed = true;
    for (int i = 0; i < n; ++i) {
        fetch(s, at->args[i]);
        result->is_scalar = result->is_scalar && s->places[at->args[i]].is_scalar;
        result->is_fixed = result->is_fixed && s->places[at->args[i]].is_fixed;
    }
    step.fn = find_kernel(s, at, 0);
    if (!result->is_scalar) {
        step.kind = TT_STEP_CALL;
        step.fn = choose_kernel(s, at, n);
    }
    for (int i = 0; i < 3; ++i)
        refs[i] = s->places[at->args[i < n ? i : 0]].ref;
    step.a = refs[0], step.b = refs[1], step.c = refs[2];
    step.immediate = (tt_eltwise_immediate){at->alpha, at->beta};
    /* a slot may be overwritten in place by a result of the same width */
    release_arguments(s, at, index, n, /*same_width=*/true);
    result->ref = NO_REF;
    if (!result->is_scalar && !result->is_fixed)
        result->ref = find_destination(s, index, at->result);
    if (result->ref == NO_REF)
        result->ref = take_slot(s, width_of(s, at->result), result->is_fixed);
    release_arguments(s, at, index, n, /*same_width=*/false);
    step.dst = result->ref;
    add_step(s, &step, result->is_fixed,
             tt_eltwise_op_ns(at->op, at->dtype, tt_cpu_get()->isa));
}

/* ---- stores --------------------------------------------------------------- */

/* With several stores, one may overwrite the memory of a load that another stores. */
static void copy_aside(state *s, int reg)
{
    place *at = &s->places[reg];
    tt_eltwise_step step;
    uint8_t slot;
    if (at->ref >= s->b->n_loads || at->is_scalar) return;
    slot = take_slot(s, width_of(s, reg), false);
    step = move_step(TT_STEP_COPY, width_of(s, reg), slot, at->ref);
    add_step(s, &step, false, MOVE_NS);
    at->ref = slot;
    at->is_fixed = false;
}

static void add_store(state *s, int k)
{
    const int reg = s->stores[k], operand = s->b->n_loads + k;
    const tt_dtype dtype = s->b->store_dtypes[k];
    const bool is_strided = s->tiling->kinds[operand] != TT_TILE_CONTIGUOUS;
    const size_t width = tt_dtype_bytes(dtype);
    place at = s->places[reg];
    tt_eltwise_step step;
    if (at.ref == operand) return;
    if (dtype != s->b->registers[reg]) {
        tt_eltwise_fn fn =
            dtype == TT_F16 ? s->table->store_f16 : tt_eltwise_store_bf16(s->table);
        uint8_t dst = !is_strided && !at.is_scalar ? (uint8_t)operand
                                                   : take_slot(s, sizeof(float), false);
        step = call_step(at.is_scalar, fn, dst, at.ref);
        add_step(s, &step, false, MOVE_NS);
        at.ref = dst;
    }
    if (at.ref == operand) return;
    if (at.is_scalar) {
        uint8_t dst = is_strided ? take_slot(s, width, false) : (uint8_t)operand;
        step = move_step(TT_STEP_FILL, width, dst, at.ref);
        add_step(s, &step, false, MOVE_NS);
        at.ref = dst;
    }
    if (at.ref == operand) return;
    step = move_step(is_strided ? TT_STEP_SCATTER : TT_STEP_COPY, width,
                     (uint8_t)operand, at.ref);
    add_step(s, &step, false, is_strided ? GATHER_NS : MOVE_NS);
}

/* ---- the whole program ---------------------------------------------------- */

static int64_t encode_constant(tt_dtype dtype, double value)
{
    /* the kernels' own conversions: exact for f64, saturating for integers */
    int64_t bits = 0;
    tt_eltwise_table_of(TT_ISA_SCALAR)
        ->casts[TT_F64][dtype](1, &bits, &value, &value, &value, NULL);
    return bits;
}

/* A store of f16 or bf16 rounds: what was rounded for it alone is stored as it was. */
static void find_stored(state *s)
{
    const tt_eltwise_builder *b = s->b;
    for (int k = 0; k < b->n_stores; ++k) {
        s->stores[k] = b->stores[k];
        if (b->store_dtypes[k] == b->registers[b->stores[k]]) continue;
        for (int i = 0; i < b->n_instructions; ++i) {
            const tt_eltwise_instruction *at = &b->instructions[i];
            if (at->result == b->stores[k] && at->op == TT_ELTWISE_CAST &&
                at->cast_to == b->store_dtypes[k] && at->dtype == TT_F32)
                s->stores[k] = at->args[0];
        }
    }
}

static void find_uses(state *s)
{
    const tt_eltwise_builder *b = s->b;
    for (int i = 0; i < b->n_registers; ++i)
        s->last_use[i] = NEVER;
    for (int i = 0; i < b->n_stores; ++i)
        s->last_use[s->stores[i]] = AT_END;
    for (int i = b->n_instructions - 1; i >= 0; --i) {
        const tt_eltwise_instruction *at = &b->instructions[i];
        if (s->last_use[at->result] == NEVER) continue;
        for (int k = 0; k < count_args(at); ++k)
            if (s->last_use[at->args[k]] < i) s->last_use[at->args[k]] = i;
    }
}

void tt_eltwise_draft_make(const tt_eltwise_table *table, const tt_eltwise_builder *b,
                           const tt_eltwise_nest *nest, const tt_eltwise_tiling *tiling,
                           tt_eltwise_draft *s)
{
    memset(s, 0, sizeof *s);
    s->table = table, s->b = b, s->nest = nest, s->tiling = tiling;
    for (int i = 0; i < b->n_registers; ++i)
        s->places[i].ref = NO_REF;
    for (int i = 0; i < b->n_constants; ++i) {
        int reg = b->constants[i].reg;
        s->places[reg] = (place){(uint8_t)(TT_DRAFT_FIRST_CONSTANT + i), true, true};
        s->constants[i] = encode_constant(b->registers[reg], b->constants[i].value);
    }
    find_stored(s);
    find_uses(s);
    for (int i = 0; i < b->n_instructions; ++i)
        if (s->last_use[b->instructions[i].result] != NEVER) add_instruction(s, i);
    for (int i = 0; i < b->n_stores; ++i) {
        fetch(s, s->stores[i]);
        if (b->n_stores > 1) copy_aside(s, s->stores[i]);
    }
    for (int i = 0; i < b->n_stores; ++i)
        add_store(s, i);
}
