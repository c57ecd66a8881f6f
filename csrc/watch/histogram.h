/* A histogram of numbers that come one array after another, in a fixed amount of memory.
 *
 * It has TT_GRID_CELLS bins on the grid of grid.h, so it depends on the values alone,
 * not on their order: histograms of parts, merged in any order, are the histogram of
 * the whole, count by count.  More than half of the bins lie within the range, unless
 * the range is below 2^-12 of the largest magnitude.  NaN and infinities are counted
 * and left out.
 *
 * Plain data of 16 KB: whoever has one owns it, nothing to free, a copy is a
 * histogram.  One thread at a time may change it.  After a failure it is what it was
 * before the call. */
#ifndef TT_WATCH_HISTOGRAM_H
#define TT_WATCH_HISTOGRAM_H

#include "base/cpu.h"
#include "watch/bytes.h"
#include "watch/grid.h"
#include "watch/moments.h"
#include "watch/view.h"

typedef struct {
    tt_moments moments;
    tt_grid grid; /* of the moments' range; {0, 0} while there is none */
    int64_t counts[TT_GRID_CELLS];
} tt_histogram;

void tt_histogram_clear(tt_histogram *histogram);

/* Adds the items of an array, with the instructions of `isa`.  TT_BAD_INPUT and
 * TT_BAD_INPUT_TYPE as in view.h, TT_NO_MEMORY, TT_LIMIT when counts would overflow. */
tt_status tt_histogram_update(tt_histogram *histogram, const tt_view *view, tt_isa isa,
                              tt_error *err);

/* Adds what `from` holds (which may be the same one).  TT_LIMIT as above. */
tt_status tt_histogram_merge(tt_histogram *histogram, const tt_histogram *from,
                             tt_error *err);

/* Edges of bin i are low_edge + i * width and + (i + 1) * width; 0 while it is empty. */
double tt_histogram_width(const tt_histogram *histogram);
double tt_histogram_low_edge(const tt_histogram *histogram);

/* Appends the histogram; equal ones (but for rounding of mean and m2) give equal bytes. */
void tt_histogram_write(const tt_histogram *histogram, tt_writer *writer);
enum { TT_HISTOGRAM_MAX_BYTES = 64 + TT_GRID_CELLS * 8 };

/* Reads one back; TT_BAD_INPUT for bytes that no histogram gives. */
tt_status tt_histogram_read(tt_histogram *histogram, const void *data, size_t n_bytes,
                            tt_error *err);

#endif
