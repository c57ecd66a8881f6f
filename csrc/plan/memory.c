/* Liveness -> offsets in one arena.
 *
 * Every arena block lives from its first to its last step.  Walking the steps, a
 * block takes the free gap that was freed last among those that fit (its bytes are
 * the likeliest to be in cache still); the arena grows only when none fits.  If that
 * costs more than a quarter over best fit, best fit is taken. */
#include <limits.h>
#include <string.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "plan/plan.h"

typedef struct {
    size_t offset, bytes;
    int freed_at; /* step; larger is more recent */
} gap;

typedef struct {
    gap *gaps; /* sorted by offset, never adjacent */
    int n_gaps;
    size_t top; /* bytes of the arena so far */
} arena_map;

enum { HOTTEST, BEST_FIT };

static int choose_gap(const arena_map *map, size_t bytes, int policy)
{
    int best = -1;
    for (int i = 0; i < map->n_gaps; ++i) {
        const gap *g = &map->gaps[i];
        if (g->bytes < bytes) continue;
        if (best < 0)
            best = i;
        else if (policy == HOTTEST && g->freed_at > map->gaps[best].freed_at)
            best = i;
        else if (policy == BEST_FIT && g->bytes < map->gaps[best].bytes)
            best = i;
    }
    return best;
}

static void remove_gap(arena_map *map, int i)
{
    memmove(&map->gaps[i], &map->gaps[i + 1],
            (size_t)(map->n_gaps - i - 1) * sizeof *map->gaps);
    map->n_gaps--;
}

static size_t take(arena_map *map, size_t bytes, int policy)
{
    int i = choose_gap(map, bytes, policy);
    size_t offset;
    if (i >= 0) {
        offset = map->gaps[i].offset;
        map->gaps[i].offset += bytes;
        map->gaps[i].bytes -= bytes;
        if (map->gaps[i].bytes == 0) remove_gap(map, i);
        return offset;
    }
    /* grow; a gap at the end is part of the new block */
    i = map->n_gaps - 1;
    if (i >= 0 && map->gaps[i].offset + map->gaps[i].bytes == map->top) {
        offset = map->gaps[i].offset;
        remove_gap(map, i);
    } else {
        offset = map->top;
    }
    map->top = offset + bytes;
    return offset;
}

static void give(arena_map *map, size_t offset, size_t bytes, int step)
{
    int i = 0;
    while (i < map->n_gaps && map->gaps[i].offset < offset)
        ++i;
    memmove(&map->gaps[i + 1], &map->gaps[i],
            (size_t)(map->n_gaps - i) * sizeof *map->gaps);
    map->gaps[i] = (gap){.offset = offset, .bytes = bytes, .freed_at = step};
    map->n_gaps++;
    if (i + 1 < map->n_gaps && offset + bytes == map->gaps[i + 1].offset) {
        map->gaps[i].bytes += map->gaps[i + 1].bytes;
        remove_gap(map, i + 1);
    }
    if (i > 0 && map->gaps[i - 1].offset + map->gaps[i - 1].bytes == offset) {
        map->gaps[i - 1].bytes += map->gaps[i].bytes;
        map->gaps[i - 1].freed_at = step;
        remove_gap(map, i);
    }
}

/* Blocks by first step: order[start[s] .. start[s + 1]). */
typedef struct {
    int *by_first, *first_start, *by_last, *last_start;
} schedule;

static void count_sort(const tt_plan *plan, bool by_last, int *order, int *start)
{
    memset(start, 0, ((size_t)plan->n_steps + 2) * sizeof *start);
    for (int b = 0; b < plan->n_blocks; ++b) {
        const tt_block *block = &plan->blocks[b];
        if (block->kind == TT_BLOCK_ARENA && block->last >= 0)
            start[(by_last ? block->last : block->first) + 1]++;
    }
    for (int s = 0; s <= plan->n_steps; ++s)
        start[s + 1] += start[s];
    for (int b = plan->n_blocks - 1; b >= 0; --b) {
        const tt_block *block = &plan->blocks[b];
        if (block->kind == TT_BLOCK_ARENA && block->last >= 0)
            order[--start[(by_last ? block->last : block->first) + 1]] = b;
    }
    memmove(start, start + 1, ((size_t)plan->n_steps + 1) * sizeof *start);
}

static size_t rounded(size_t bytes)
{
    return (bytes + (TT_ALIGNMENT - 1)) & ~(size_t)(TT_ALIGNMENT - 1);
}

static size_t assign(const tt_plan *plan, const schedule *sched, arena_map *map,
                     int policy, size_t *offsets)
{
    map->n_gaps = 0;
    map->top = 0;
    for (int s = 0; s < plan->n_steps; ++s) {
        int end = s + 1 < plan->n_steps ? sched->first_start[s + 1]
                                        : sched->first_start[plan->n_steps];
        for (int k = sched->first_start[s]; k < end; ++k) {
            int b = sched->by_first[k];
            offsets[b] = take(map, rounded(plan->blocks[b].bytes + 1), policy);
        }
        end = sched->last_start[s + 1];
        for (int k = sched->last_start[s]; k < end; ++k) {
            int b = sched->by_last[k];
            give(map, offsets[b], rounded(plan->blocks[b].bytes + 1), s);
        }
    }
    return map->top;
}

static size_t assign_all_distinct(tt_plan *plan)
{
    size_t top = 0;
    for (int b = 0; b < plan->n_blocks; ++b) {
        tt_block *block = &plan->blocks[b];
        if (block->kind != TT_BLOCK_ARENA || block->last < 0) continue;
        block->offset = top;
        top += rounded(block->bytes + 1);
    }
    return top;
}

static bool total_fits(const tt_plan *plan, size_t limit, size_t *total)
{
    *total = 0;
    for (int b = 0; b < plan->n_blocks; ++b) {
        const tt_block *block = &plan->blocks[b];
        if (block->kind != TT_BLOCK_ARENA || block->last < 0) continue;
        if (block->bytes > limit ||
            !tt_add_size(*total, rounded(block->bytes + 1), total))
            return false;
    }
    return true;
}

static tt_status assign_reusing(tt_plan *plan, size_t *top, tt_error *err)
{
    size_t n = (size_t)plan->n_blocks + 1, steps = (size_t)plan->n_steps + 3;
    int *ints = tt_calloc(2 * (n + steps), sizeof *ints);
    size_t *offsets = tt_calloc(2 * n, sizeof *offsets);
    arena_map map = {.gaps = tt_calloc(n + 1, sizeof *map.gaps)};
    schedule sched;
    size_t hottest, fitted;
    if (ints == NULL || offsets == NULL || map.gaps == NULL) {
        tt_free(ints);
        tt_free(offsets);
        tt_free(map.gaps);
        return tt_fail(err, TT_NO_MEMORY, "planning the memory of %d blocks",
                       plan->n_blocks);
    }
    sched = (schedule){ints, ints + n, ints + n + steps, ints + 2 * n + steps};
    count_sort(plan, false, sched.by_first, sched.first_start);
    count_sort(plan, true, sched.by_last, sched.last_start);
    hottest = assign(plan, &sched, &map, HOTTEST, offsets);
    fitted = assign(plan, &sched, &map, BEST_FIT, offsets + n);
    bool use_fitted = hottest > fitted + fitted / 4;
    for (int b = 0; b < plan->n_blocks; ++b)
        plan->blocks[b].offset = use_fitted ? offsets[n + (size_t)b] : offsets[b];
    *top = use_fitted ? fitted : hottest;
    tt_free(ints);
    tt_free(offsets);
    tt_free(map.gaps);
    return TT_OK;
}

tt_status tt_plan_memory_assign(tt_plan *plan, bool reuse, tt_error *err)
{
    size_t limit = (size_t)plan->model->options.limits.max_arena_bytes, total, top = 0;
    size_t scratchpad = rounded(plan->scratchpad_bytes);
    if (!total_fits(plan, limit, &total))
        return tt_fail(err, TT_LIMIT,
                       "an intermediate tensor exceeds max_arena_bytes "
                       "= %zu",
                       limit);
    if (reuse)
        TT_TRY(assign_reusing(plan, &top, err));
    else
        top = assign_all_distinct(plan);
    if (top > limit || scratchpad > limit - top)
        return tt_fail(err, TT_LIMIT,
                       "one call needs %zu bytes, max_arena_bytes is %zu",
                       top + scratchpad, limit);
    plan->memory.arena_bytes = (int64_t)(top + scratchpad);
    plan->memory.tensors_bytes = (int64_t)total;
    plan->memory.scratchpad_bytes = (int64_t)scratchpad;
    return TT_OK;
}
