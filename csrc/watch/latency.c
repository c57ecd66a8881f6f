/* Histograms of times: see latency.h. */
#include "watch/latency.h"

#include <math.h>

enum { PER_OCTAVE = 1 << TT_LATENCY_BITS };

int tt_latency_cell(uint64_t time_ns)
{
    int shift;
    if (time_ns < PER_OCTAVE) return (int)time_ns;
    if (time_ns >> TT_LATENCY_MAX_BITS != 0) return TT_LATENCY_CELLS;
    shift = 63 - TT_LATENCY_BITS - __builtin_clzll(time_ns);
    return (shift << TT_LATENCY_BITS) + (int)(time_ns >> shift);
}

uint64_t tt_latency_low_ns(int cell)
{
    int octave = cell >> TT_LATENCY_BITS;
    if (octave == 0) return (uint64_t)cell;
    return (uint64_t)((cell & (PER_OCTAVE - 1)) | PER_OCTAVE) << (octave - 1);
}

static uint64_t get(const atomic_ullong *field)
{
    return atomic_load_explicit(field, memory_order_relaxed);
}

static void add(atomic_ullong *field, uint64_t n)
{
    atomic_fetch_add_explicit(field, n, memory_order_relaxed);
}

void tt_latency_add(tt_latency *latency, uint64_t time_ns, uint64_t n)
{
    add(&latency->counts[tt_latency_cell(time_ns)], n);
}

void tt_latency_merge(tt_latency *into, const tt_latency *from)
{
    for (int i = 0; i <= TT_LATENCY_CELLS; ++i) {
        uint64_t n = get(&from->counts[i]);
        if (n != 0) add(&into->counts[i], n);
    }
}

uint64_t tt_latency_n(const tt_latency *latency)
{
    uint64_t n = 0;
    for (int i = 0; i <= TT_LATENCY_CELLS; ++i)
        n += get(&latency->counts[i]);
    return n;
}

double tt_latency_quantile(const tt_latency *latency, uint64_t max_ns, double q)
{
    uint64_t n = tt_latency_n(latency);
    double wanted = ceil(q * (double)n), reached = 0.0;
    int cell = 0;
    if (n == 0) return NAN;
    if (wanted < 1.0) wanted = 1.0;
    for (; cell < TT_LATENCY_CELLS; ++cell) {
        reached += (double)get(&latency->counts[cell]);
        if (reached >= wanted) break;
    }
    if (cell == TT_LATENCY_CELLS) return (double)max_ns;
    /* times are whole ns: the middle of those that the cell holds */
    return 0.5 * (double)(tt_latency_low_ns(cell) + tt_latency_low_ns(cell + 1) - 1);
}
