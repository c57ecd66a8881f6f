/* The bins of a table's columns, and what finds them fast: see table.h for the public
 * part.
 *
 * A numeric value has two coordinates.  Its *quanta* (an integer) go into the sums; the
 * *bin* follows from comparing it with edges: quanta, shifted right, give one of up to
 * 2048 cells of equal width between the edges, the cell says how many edges lie before
 * it, and those within it (mostly one at most) are searched.  Both are monotone, so the
 * edges before a value's cell are below it, and those behind it above. */
#ifndef TT_WATCH_TABLE_LAYOUT_H
#define TT_WATCH_TABLE_LAYOUT_H

#include <math.h>
#include <stdatomic.h>

#include "base/hash.h"
#include "watch/table.h"

enum {
    /* Quanta that vectors take: 256 of their squares are below 2^64.  All edges are
     * within, and four times the half range. */
    TT_QUANTA_FAST = (1 << 28) - 1,
    /* bits of the half range in quanta, less one */
    TT_QUANTA_DIGITS = 25,
    /* of `offset`, so that no difference of quanta is taken for another when 32 bits
     * wrap around */
    TT_QUANTA_MAX_OFFSET = 1 << 30,
    TT_TABLE_MAX_CELLS = 2048,
};
#define TT_QUANTA_LIMIT 0x1p62

/* One column. */
typedef struct {
    bool is_categorical;
    bool has_f32; /* may floats be counted as floats? */
    int32_t n;    /* edges or categories; bins are one more */
    int64_t first_bin;
    /* quanta of x: (x - origin) * inverse, rounded to the nearest, less offset */
    double origin, inverse;
    int32_t offset;
    int exponent; /* 2^exponent is the quantum */
    /* cell: (quanta - first) >> shift, from 0 to last_cell */
    int32_t first, shift, last_cell;
    int32_t step;           /* largest of the search in a cell: 2^k, or 0 */
    const uint8_t *cells;   /* edges before each cell; 3 bytes behind may be read */
    const double *edges;    /* with +inf behind, as far as the search may look */
    const float *edges_f32; /* the smallest floats that are not below them */
    /* the same edges as a search tree, for vectors: see tt_table_level */
    int n_levels;
    const float *tree_f32;
    const double *tree_f64;
    double scale; /* as it was given */
    /* categories */
    const int64_t *codes;
    const uint16_t *slots; /* hash table: category + 1, or 0; 2^(64 - slot_shift) */
    int slot_shift;
    void *memory;
} tt_table_bins;

struct tt_table_layout {
    atomic_long n_refs;
    int64_t n_columns, n_bins;
    tt_hash digest;
    tt_table_bins *columns;
};

/* Where a level of a search tree begins.  Edges, with +inf up to 2^n_levels - 1 of them,
 * are a balanced tree; level k holds its 2^k nodes, padded to 16, from left to right:
 * edge number (2 i + 1) 2^(n_levels - 1 - k) - 1 is node i. */
enum { TT_TABLE_MAX_LEVELS = 8 };
static inline int tt_table_level(int level)
{
    return level <= 4 ? 16 * level : 16 * 3 + (1 << level);
}

/* Finite x.  Sets *is_clamped where it was beyond TT_QUANTA_LIMIT. */
static inline int64_t tt_table_quanta(const tt_table_bins *bins, double x,
                                      bool *is_clamped)
{
    const int64_t limit = (int64_t)TT_QUANTA_LIMIT;
    double scaled = (x - bins->origin) * bins->inverse;
    int64_t quanta;
    *is_clamped = !(fabs(scaled) <= TT_QUANTA_LIMIT);
    if (*is_clamped) return x > bins->origin ? limit : -limit;
    quanta = llrint(scaled) - bins->offset;
    *is_clamped = quanta > limit || quanta < -limit;
    return quanta > limit ? limit : quanta < -limit ? -limit : quanta;
}

/* The bin of a finite value. */
static inline int tt_table_place(const tt_table_bins *bins, double x, int64_t quanta)
{
    int64_t cell = (quanta - bins->first) >> bins->shift;
    int place;
    cell = cell < 0 ? 0 : cell > bins->last_cell ? bins->last_cell : cell;
    place = bins->cells[cell];
    for (int step = bins->step; step > 0; step >>= 1)
        place += x >= bins->edges[place + step - 1] ? step : 0;
    return place;
}

/* Where to look for a code first: Fibonacci hashing, by the top bits. */
static inline uint32_t tt_table_slot_of(int64_t code, int shift)
{
    return (uint32_t)((uint64_t)code * UINT64_C(0x9e3779b97f4a7c15) >> shift);
}

static inline uint32_t tt_table_next_slot(uint32_t at, int shift)
{
    return (at + 1) & ((1u << (64 - shift)) - 1u);
}

/* The bin of a code. */
static inline int tt_table_category(const tt_table_bins *bins, int64_t code)
{
    int shift = bins->slot_shift, slot;
    uint32_t at = tt_table_slot_of(code, shift);
    for (; (slot = bins->slots[at]) != 0; at = tt_table_next_slot(at, shift))
        if (bins->codes[slot - 1] == code) return slot - 1;
    return bins->n;
}

#endif
