/* The loop over tiles and steps. */
#include <string.h>

#include "base/threads.h"
#include "kernels/eltwise_plan.h"

/* ---- moves ---------------------------------------------------------------- */

#define MOVE_ROW(TYPE)                                     \
    {                                                      \
        TYPE *to = dst;                                    \
        const TYPE *from = src;                            \
        if (from_stride == 0) {                            \
            const TYPE x = *from;                          \
            for (int64_t i = 0; i < n; ++i)                \
                to[i * to_stride] = x;                     \
        } else if (to_stride == 1) {                       \
            for (int64_t i = 0; i < n; ++i)                \
                to[i] = from[i * from_stride];             \
        } else {                                           \
            for (int64_t i = 0; i < n; ++i)                \
                to[i * to_stride] = from[i * from_stride]; \
        }                                                  \
        break;                                             \
    }

/* n elements of `width` bytes; strides count elements. */
static void move_row(int64_t n, int width, void *dst, int64_t to_stride,
                     const void *src, int64_t from_stride)
{
    if (to_stride == 1 && from_stride == 1) {
        memcpy(dst, src, (size_t)n * (size_t)width);
        return;
    }
    switch (width) {
    case 1:
        MOVE_ROW(uint8_t)
    case 2:
        MOVE_ROW(uint16_t)
    case 4:
        MOVE_ROW(uint32_t)
    default:
        MOVE_ROW(uint64_t)
    }
}

/* Walks the rows of a strided operand's tile, moving each to or from `block`. */
static void move_tile(const tt_eltwise *e, int operand, int width, int64_t n,
                      char *memory, char *block, bool is_gather)
{
    const int64_t *strides = tt_eltwise_tile_strides(e, operand);
    const int64_t n_row = e->n_tile_dims == 1 ? n : e->tile_dims[0];
    int64_t index[TT_MAX_RANK] = {0};
    for (int64_t done = 0;;) {
        if (is_gather)
            move_row(n_row, width, block + done * width, 1, memory, strides[0]);
        else
            move_row(n_row, width, memory, strides[0], block + done * width, 1);
        done += n_row;
        if (done >= n) return;
        for (int d = 1;; ++d) {
            memory += strides[d] * width;
            /* the last dim is cut by n, not by its own count */
            if (++index[d] < e->tile_dims[d] || d == e->n_tile_dims - 1) break;
            memory -= strides[d] * width * index[d];
            index[d] = 0;
        }
    }
}

/* ---- steps ---------------------------------------------------------------- */

static void run_steps(const tt_eltwise *e, const tt_eltwise_step *steps, int n_steps,
                      int64_t n, char *const *table)
{
    for (const tt_eltwise_step *step = steps; step < steps + n_steps; ++step) {
        char *dst = table[step->dst], *a = table[step->a];
        switch (step->kind) {
        case TT_STEP_CALL:
            step->fn(n, dst, a, table[step->b], table[step->c], &step->immediate);
            break;
        case TT_STEP_SCALAR:
            step->fn(1, dst, a, table[step->b], table[step->c], &step->immediate);
            break;
        case TT_STEP_FILL:
            move_row(n, step->width, dst, 1, a, 0);
            break;
        case TT_STEP_COPY:
            move_row(n, step->width, dst, 1, a, 1);
            break;
        case TT_STEP_GATHER:
            move_tile(e, step->a, step->width, n, a, dst, /*is_gather=*/true);
            break;
        default:
            move_tile(e, step->dst, step->width, n, dst, a, /*is_gather=*/false);
            break;
        }
    }
}

typedef struct {
    const tt_eltwise *e;
    void *const *ptrs;
} job;

static void run_tiles(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    const tt_eltwise *e = j->e;
    const tt_eltwise_step *steps = tt_eltwise_steps(e);
    _Alignas(64) char slots[TT_ELTWISE_SLOTS_BYTES];
    char *table[TT_ELTWISE_MAX_OPERANDS + TT_ELTWISE_MAX_SLOTS +
                TT_ELTWISE_MAX_REGISTERS];
    int64_t index[TT_ELTWISE_MAX_LOOPS], rest = begin;
    for (int k = 0; k < e->n_operands; ++k)
        table[k] = j->ptrs[k];
    for (int k = 0; k < e->n_slots; ++k)
        table[e->n_operands + k] = slots + (size_t)k * e->slot_bytes;
    for (int k = 0; k < e->n_constants; ++k)
        table[e->n_operands + e->n_slots + k] =
            (char *)(void *)(uintptr_t)&tt_eltwise_constants(e)[k];
    for (int i = 0; i < e->n_loops; ++i) {
        const int64_t *strides = tt_eltwise_loop_strides(e, i);
        index[i] = rest % e->counts[i];
        rest /= e->counts[i];
        for (int k = 0; k < e->n_operands; ++k)
            table[k] += index[i] * strides[k];
    }
    run_steps(e, steps, e->n_before, e->n_full, table);
    for (int64_t tile = begin;;) {
        int64_t n = index[0] == e->counts[0] - 1 ? e->n_last : e->n_full;
        run_steps(e, steps + e->n_before, e->n_steps, n, table);
        if (++tile == end) return;
        for (int i = 0;; ++i) {
            const int64_t *strides = tt_eltwise_loop_strides(e, i);
            if (++index[i] < e->counts[i]) {
                for (int k = 0; k < e->n_operands; ++k)
                    table[k] += strides[k];
                break;
            }
            index[i] = 0;
            for (int k = 0; k < e->n_operands; ++k)
                table[k] -= strides[k] * (e->counts[i] - 1);
        }
    }
}

static const void *operand_or_constant(const tt_eltwise *e, void *const *ptrs, int ref)
{
    return ref < e->n_operands
               ? ptrs[ref]
               : (const void *)&tt_eltwise_constants(e)[ref - e->n_operands];
}

void tt_eltwise_run(const tt_eltwise *eltwise, void *const *ptrs)
{
    const tt_eltwise *e = eltwise;
    job j = {e, ptrs};
    if (e->is_one_call) {
        const tt_eltwise_step *step = tt_eltwise_steps(e);
        step->fn(e->n_last, ptrs[step->dst], operand_or_constant(e, ptrs, step->a),
                 operand_or_constant(e, ptrs, step->b),
                 operand_or_constant(e, ptrs, step->c), &step->immediate);
    } else if (e->grain < e->n_tiles) {
        tt_parallel_for(e->n_tiles, e->grain, run_tiles, &j);
    } else if (e->n_tiles > 0) {
        run_tiles(&j, 0, e->n_tiles);
    }
}
