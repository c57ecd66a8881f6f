/* A histogram of times: cells of 1 ns below 128 ns, then 128 cells in each octave up to
 * 2^40 ns (1100 s).  From 100 ns on no cell is wider than 1 % of what it holds; above the
 * last one nothing is told apart.
 *
 * All fields only ever grow, each by one atomic instruction: any number of threads, and
 * of processes that share the memory, may add; parts merge into the whole exactly; a
 * process that dies between two instructions leaves fields that differ by one call. */
#ifndef TT_WATCH_LATENCY_H
#define TT_WATCH_LATENCY_H

#include <stdatomic.h>
#include <stdint.h>

enum {
    TT_LATENCY_BITS = 7, /* 2^7 cells in an octave: 0.8 % at most */
    TT_LATENCY_MAX_BITS = 40,
    TT_LATENCY_CELLS = (TT_LATENCY_MAX_BITS - TT_LATENCY_BITS + 1) << TT_LATENCY_BITS
};

/* Zeroed memory is an empty one. */
typedef struct {
    atomic_ullong counts[TT_LATENCY_CELLS + 1]; /* the last: 2^40 ns and more */
} tt_latency;

/* The cell of a time, and the least time of a cell (0 to CELLS). */
int tt_latency_cell(uint64_t time_ns);
uint64_t tt_latency_low_ns(int cell);

/* Counts `n` that took so long. */
void tt_latency_add(tt_latency *latency, uint64_t time_ns, uint64_t n);

void tt_latency_merge(tt_latency *into, const tt_latency *from);

/* The sum of the counts. */
uint64_t tt_latency_n(const tt_latency *latency);

/* The time that the share q (0 to 1) does not exceed, in ns: within 0.5 % of one that
 * came, and max_ns beyond the last cell.  NaN of an empty one. */
double tt_latency_quantile(const tt_latency *latency, uint64_t max_ns, double q);

#endif
