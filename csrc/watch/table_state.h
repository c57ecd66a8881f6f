/* What a table holds, inside: see table.h. */
#ifndef TT_WATCH_TABLE_STATE_H
#define TT_WATCH_TABLE_STATE_H

#include <pthread.h>

#include "watch/distinct.h"
#include "watch/table_layout.h"
#include "watch/wide.h"

/* One column, but for its counts and registers. */
typedef struct {
    int64_t n; /* the sum of the counts */
    int64_t n_missing, n_infinite, n_clamped;
    double minimum, maximum; /* +inf and -inf while n is 0, and of categories */
    tt_i128 sum;             /* of quanta */
    tt_u192 squares;
} tt_table_sums;

struct tt_table {
    pthread_mutex_t lock;
    tt_table_layout *layout;
    tt_table_sums *sums;
    uint8_t *registers; /* TT_DISTINCT_REGISTERS a column; 3 bytes behind may be read */
    uint32_t *counts;   /* of all columns */
    int64_t rows_bound; /* no column has more rows */
    uint32_t *high;     /* the upper halves of the counts; NULL while they are 0 */
};

/* The most that a column has. */
int64_t tt_table_most_rows(const tt_table *table);
/* Before n_rows more come: TT_LIMIT, TT_NO_MEMORY, or room to count them. */
tt_status tt_table_make_room(tt_table *table, int64_t n_rows, tt_error *err);
#define TT_TABLE_MAX_ROWS (INT64_C(1) << 62)

/* One column of a table, as the loops need it. */
typedef struct {
    tt_table_sums *sums;
    uint8_t *registers;
    uint32_t *counts, *high; /* of the column; high may be NULL */
} tt_table_cells;

static inline tt_table_cells tt_table_cells_of(const tt_table *table, int64_t column)
{
    int64_t first = table->layout->columns[column].first_bin;
    return (tt_table_cells){
        &table->sums[column], table->registers + column * TT_DISTINCT_REGISTERS,
        table->counts + first, table->high == NULL ? NULL : table->high + first};
}

static inline void tt_table_count(const tt_table_cells *cells, int bin, uint32_t n)
{
    cells->counts[bin] += n;
    if (cells->high != NULL && cells->counts[bin] < n) ++cells->high[bin];
}

/* A value of a numeric column.  What all other loops do for many at a time. */
static inline void tt_table_add_number(const tt_table_bins *bins, double x,
                                       const tt_table_cells *cells)
{
    tt_table_sums *sums = cells->sums;
    bool is_clamped;
    int64_t quanta;
    if (!isfinite(x)) {
        sums->n_missing += isnan(x) != 0;
        sums->n_infinite += isnan(x) == 0;
        return;
    }
    x += 0.0; /* no -0 */
    quanta = tt_table_quanta(bins, x, &is_clamped);
    ++sums->n;
    sums->n_clamped += is_clamped;
    if (x < sums->minimum) sums->minimum = x;
    if (x > sums->maximum) sums->maximum = x;
    sums->sum += quanta;
    tt_u192_add_square(&sums->squares, quanta);
    tt_distinct_add(cells->registers, tt_word_of(x));
    tt_table_count(cells, tt_table_place(bins, x, quanta), 1);
}

#endif
