/* Tables: making, merging and reading them; see table.h. */
#include "base/alloc.h"
#include "base/checked.h"
#include "base/fork.h"
#include "watch/table_state.h"

static size_t registers_bytes(const tt_table_layout *layout)
{
    return (size_t)layout->n_columns * TT_DISTINCT_REGISTERS + TT_ALIGNMENT;
}

static void clear(tt_table *table)
{
    const tt_table_layout *layout = table->layout;
    for (int64_t c = 0; c < layout->n_columns; ++c)
        table->sums[c] = (tt_table_sums){.minimum = HUGE_VAL, .maximum = -HUGE_VAL};
    memset(table->registers, 0, registers_bytes(layout));
    memset(table->counts, 0, (size_t)layout->n_bins * sizeof *table->counts);
    tt_free(table->high);
    table->high = NULL;
    table->rows_bound = 0;
}

tt_status tt_table_new(tt_table_layout *layout, tt_table **out, tt_error *err)
{
    tt_table *table = tt_calloc(1, sizeof *table);
    *out = NULL;
    if (table == NULL)
        return tt_fail(err, TT_NO_MEMORY, "%zu bytes of a table", sizeof *table);
    pthread_mutex_init(&table->lock, NULL);
    table->layout = tt_table_layout_ref(layout);
    table->sums = tt_calloc((size_t)layout->n_columns, sizeof *table->sums);
    table->registers = tt_alloc(registers_bytes(layout));
    table->counts = tt_calloc((size_t)layout->n_bins, sizeof *table->counts);
    if (table->sums == NULL || table->registers == NULL || table->counts == NULL) {
        tt_table_free(table);
        return tt_fail(err, TT_NO_MEMORY, "no memory for a table of %lld columns",
                       (long long)layout->n_columns);
    }
    clear(table);
    *out = table;
    return TT_OK;
}

void tt_table_free(tt_table *table)
{
    if (table == NULL) return;
    tt_free(table->sums);
    tt_free(table->registers);
    tt_free(table->counts);
    tt_free(table->high);
    tt_table_layout_unref(table->layout);
    pthread_mutex_destroy(&table->lock);
    tt_free(table);
}

tt_table_layout *tt_table_layout_of(const tt_table *table)
{
    return table->layout;
}

size_t tt_table_memory_bytes(tt_table *table)
{
    const tt_table_layout *layout = table->layout;
    size_t counts_bytes = (size_t)layout->n_bins * sizeof *table->counts;
    bool is_wide;
    tt_mutex_lock(&table->lock);
    is_wide = table->high != NULL;
    tt_mutex_unlock(&table->lock);
    return sizeof *table + (size_t)layout->n_columns * sizeof *table->sums +
           registers_bytes(layout) + counts_bytes + (is_wide ? counts_bytes : 0);
}

void tt_table_clear(tt_table *table)
{
    tt_mutex_lock(&table->lock);
    clear(table);
    tt_mutex_unlock(&table->lock);
}

tt_status tt_table_copy(tt_table *table, tt_table **out, tt_error *err)
{
    tt_status status;
    TT_TRY(tt_table_new(table->layout, out, err));
    status = tt_table_merge(*out, table, err);
    if (status == TT_OK) return TT_OK;
    tt_table_free(*out);
    *out = NULL;
    return status;
}

/* ---- room ---------------------------------------------------------------------------- */

static int64_t rows_of(const tt_table_sums *sums)
{
    return sums->n + sums->n_missing + sums->n_infinite;
}

int64_t tt_table_most_rows(const tt_table *table)
{
    int64_t most = 0;
    for (int64_t c = 0; c < table->layout->n_columns; ++c) {
        int64_t rows = rows_of(&table->sums[c]);
        most = rows > most ? rows : most;
    }
    return most;
}

tt_status tt_table_make_room(tt_table *table, int64_t n_rows, tt_error *err)
{
    int64_t have;
    if (n_rows <= UINT32_MAX - table->rows_bound) { /* nearly always */
        table->rows_bound += n_rows;
        return TT_OK;
    }
    have = tt_table_most_rows(table);
    if (n_rows > TT_TABLE_MAX_ROWS - have)
        return tt_fail(err, TT_LIMIT, "%lld rows and %lld more are too many to count",
                       (long long)have, (long long)n_rows);
    if (have + n_rows > UINT32_MAX && table->high == NULL)
        table->high = tt_calloc((size_t)table->layout->n_bins, sizeof *table->high);
    if (have + n_rows > UINT32_MAX && table->high == NULL)
        return tt_fail(err, TT_NO_MEMORY, "no memory to count beyond %lld rows",
                       (long long)UINT32_MAX);
    table->rows_bound = have + n_rows;
    return TT_OK;
}

/* ---- merging ------------------------------------------------------------------------- */

static void merge_sums(tt_table_sums *into, const tt_table_sums *from)
{
    into->n += from->n;
    into->n_missing += from->n_missing;
    into->n_infinite += from->n_infinite;
    into->n_clamped += from->n_clamped;
    into->minimum = fmin(into->minimum, from->minimum);
    into->maximum = fmax(into->maximum, from->maximum);
    into->sum += from->sum;
    tt_u192_add(&into->squares, (tt_u128)from->squares.middle << 64 | from->squares.low,
                from->squares.high);
}

static void merge_counts(tt_table *into, const tt_table *from)
{
    int64_t n = into->layout->n_bins;
    for (int64_t b = 0; into->high == NULL && b < n; ++b)
        into->counts[b] += from->counts[b];
    for (int64_t b = 0; into->high != NULL && b < n; ++b) {
        uint32_t low = from->counts[b], high = from->high == NULL ? 0 : from->high[b];
        into->counts[b] += low;
        into->high[b] += high + (into->counts[b] < low);
    }
}

/* Both are locked (or one, if they are the same). */
static tt_status merge(tt_table *into, const tt_table *from, tt_error *err)
{
    TT_TRY(tt_table_make_room(into, tt_table_most_rows(from), err));
    merge_counts(into, from);
    for (int64_t c = 0; c < into->layout->n_columns; ++c) {
        const tt_table_sums sums = from->sums[c]; /* they may be the same */
        merge_sums(&into->sums[c], &sums);
        tt_distinct_merge(into->registers + c * TT_DISTINCT_REGISTERS,
                          from->registers + c * TT_DISTINCT_REGISTERS);
    }
    return TT_OK;
}

tt_status tt_table_merge(tt_table *table, tt_table *from, tt_error *err)
{
    /* in the order of their addresses, so that two threads cannot wait for each other */
    tt_table *first = (uintptr_t)table < (uintptr_t)from ? table : from;
    tt_table *second = first == table ? from : table;
    tt_status status;
    if (!tt_table_layout_equal(table->layout, from->layout))
        return tt_fail(err, TT_BAD_INPUT,
                       "tables of %lld and %lld columns count in different bins; only "
                       "tables made for the same reference can be merged",
                       (long long)table->layout->n_columns,
                       (long long)from->layout->n_columns);
    tt_mutex_lock(&first->lock);
    if (first != second) tt_mutex_lock(&second->lock);
    status = merge(table, from, err);
    if (first != second) tt_mutex_unlock(&second->lock);
    tt_mutex_unlock(&first->lock);
    return status;
}

/* ---- what it holds --------------------------------------------------------------------- */

int64_t tt_table_n_rows(tt_table *table)
{
    int64_t n_rows;
    tt_mutex_lock(&table->lock);
    n_rows = tt_table_most_rows(table);
    tt_mutex_unlock(&table->lock);
    return n_rows;
}

static double clamp(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

static void add_moments(const tt_table_bins *bins, const tt_table_sums *sums,
                        tt_table_summary *out)
{
    tt_center center = tt_center_of(sums->n, sums->sum, &sums->squares);
    double n = (double)sums->n, quantum = ldexp(1.0, bins->exponent);
    double mean = (double)(center.whole + bins->offset) + (double)center.rest / n;
    double variance = fmax(0.0, tt_center_m2(&center, sums->n)) / n;
    out->minimum = sums->minimum;
    out->maximum = sums->maximum;
    out->mean = clamp(bins->origin + mean * quantum, out->minimum, out->maximum) + 0.0;
    out->variance = variance * quantum * quantum;
}

tt_table_summary tt_table_summarize(tt_table *table, int64_t column)
{
    const tt_table_bins *bins = &table->layout->columns[column];
    const uint8_t *registers = table->registers + column * TT_DISTINCT_REGISTERS;
    tt_table_summary out;
    tt_table_sums sums;
    uint8_t own[TT_DISTINCT_REGISTERS];
    tt_mutex_lock(&table->lock);
    sums = table->sums[column];
    memcpy(own, registers, sizeof own);
    tt_mutex_unlock(&table->lock);
    out = (tt_table_summary){.n = sums.n,
                             .n_missing = sums.n_missing,
                             .n_infinite = sums.n_infinite,
                             .n_clamped = sums.n_clamped};
    out.minimum = out.maximum = out.mean = out.variance = (double)NAN;
    if (sums.n > 0 && !bins->is_categorical) add_moments(bins, &sums, &out);
    out.n_distinct = tt_distinct_estimate(own);
    return out;
}

void tt_table_counts(tt_table *table, int64_t column, int64_t *counts)
{
    tt_table_cells cells;
    tt_mutex_lock(&table->lock);
    cells = tt_table_cells_of(table, column);
    for (int64_t b = 0; b <= table->layout->columns[column].n; ++b)
        counts[b] = (int64_t)((uint64_t)(cells.high == NULL ? 0 : cells.high[b]) << 32 |
                              cells.counts[b]);
    tt_mutex_unlock(&table->lock);
}
