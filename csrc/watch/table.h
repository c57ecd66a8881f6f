/* What a table's columns hold, counted in the bins of a reference.
 *
 * Of each column: counts per bin, missing (NaN) and infinite values, minimum, maximum,
 * mean, variance, and an estimate of how many different values there are.  A table
 * depends on the values alone, not on their order, on how they were cut into arrays,
 * or on the instructions that counted them: tables of parts, merged in any order, are
 * the table of the whole, byte for byte.
 *
 * Sums are of integers: a value counts as its multiple of the column's quantum, a power
 * of two, rounded to the nearest.  The quantum is at most 2^-25 of the half range of
 * the edges (or of `scale`, but no less than the last bit of their middle, nor than
 * 2^-1022), so whole numbers are exact whenever it is no more than 1; otherwise the mean
 * is off by half a quantum at most, and so is the deviation.  Values further than 2^62
 * quanta from the middle of the edges count as if they were there: summary.n_clamped
 * says how many.
 *
 * A layout (bins, and what finds them fast) is immutable and counted by reference: its
 * tables share it.  A table has a lock of its own: any thread may call any function of
 * it at any time, but for tt_table_free.  Large arrays are counted outside the lock.
 * A call that fails leaves the table as it was. */
#ifndef TT_WATCH_TABLE_H
#define TT_WATCH_TABLE_H

#include "base/cpu.h"
#include "watch/bytes.h"
#include "watch/view.h"

typedef struct tt_table_layout tt_table_layout;
typedef struct tt_table tt_table;

enum {
    TT_TABLE_MAX_COLUMNS = 1 << 16,
    TT_TABLE_MAX_EDGES = 255,
    TT_TABLE_MAX_CATEGORIES = 4095,
    TT_TABLE_MAX_BINS = 1 << 22, /* of all columns */
};

/* One column, as the caller describes it; what it points to is copied. */
typedef struct {
    bool is_categorical;
    int64_t n;            /* edges, or categories */
    const double *edges;  /* finite, ascending; bin i is edges[i-1] <= x < edges[i] */
    const int64_t *codes; /* of categories, all different; the last bin is for others */
    double scale; /* numeric: magnitude of the deviations from the middle of the edges;
                     0: half of their range */
} tt_table_column;

/* TT_BAD_INPUT for columns that are none or too many, TT_NO_MEMORY. */
tt_status tt_table_layout_new(const tt_table_column *columns, int64_t n_columns,
                              tt_table_layout **out, tt_error *err);
tt_table_layout *tt_table_layout_ref(tt_table_layout *layout);
void tt_table_layout_unref(tt_table_layout *layout); /* NULL is allowed */
int64_t tt_table_layout_n_columns(const tt_table_layout *layout);
/* As it was given (or came from the edges); the pointers live as long as the layout. */
tt_table_column tt_table_layout_column(const tt_table_layout *layout, int64_t column);
bool tt_table_layout_equal(const tt_table_layout *a, const tt_table_layout *b);

/* Empty; takes a reference to the layout.  The caller owns it. */
tt_status tt_table_new(tt_table_layout *layout, tt_table **out, tt_error *err);
void tt_table_free(tt_table *table);                        /* NULL is allowed */
tt_table_layout *tt_table_layout_of(const tt_table *table); /* borrowed */
size_t tt_table_memory_bytes(tt_table *table);              /* without the layout */
tt_status tt_table_copy(tt_table *table, tt_table **out, tt_error *err);
void tt_table_clear(tt_table *table);

/* Adds the rows of an array: the first axis counts rows, the others hold the columns
 * (so [n, k], [n] of a table of one column, or [n, a, b] of a * b).  Numbers are taken
 * as doubles; codes of categories as int64 (NaN is missing, fractions are unseen).
 * No allocation for arrays below TT_TABLE_FEW_ITEMS, and about 20 ns a value for a few
 * rows.  TT_BAD_INPUT for another number of columns, TT_BAD_INPUT_TYPE, TT_LIMIT when
 * counts would pass 2^62, TT_NO_MEMORY. */
tt_status tt_table_update(tt_table *table, const tt_view *view, tt_isa isa,
                          tt_error *err);
/* Adds all items of an array, of any rank, to one column. */
tt_status tt_table_update_column(tt_table *table, int64_t column, const tt_view *view,
                                 tt_isa isa, tt_error *err);
enum { TT_TABLE_FEW_ITEMS = 1 << 14 };

/* Adds what `from` holds (which may be the same one, or change meanwhile).
 * TT_BAD_INPUT where the layouts are not equal. */
tt_status tt_table_merge(tt_table *table, tt_table *from, tt_error *err);

typedef struct {
    int64_t n; /* finite values, or present categories: the sum of the counts */
    int64_t n_missing, n_infinite;
    int64_t n_clamped;                       /* values beyond 2^62 quanta */
    double minimum, maximum, mean, variance; /* NaN while n is 0, and of categories */
    double
        n_distinct; /* estimate, standard error 9 % (far less below 64); 0 if n is 0 */
} tt_table_summary;

/* The most that a column has: n + n_missing + n_infinite. */
int64_t tt_table_n_rows(tt_table *table);
tt_table_summary tt_table_summarize(tt_table *table, int64_t column);
/* n + 1 counts of the column. */
void tt_table_counts(tt_table *table, int64_t column, int64_t *counts);

/* ---- bytes: equal tables give equal ones ---- */

/* A table without its layout: no more than this many bytes. */
size_t tt_table_max_bytes(const tt_table *table);
void tt_table_write(tt_table *table, tt_writer *writer);
/* A new table of that layout; TT_BAD_INPUT for bytes that tt_table_write cannot give
 * for it. */
tt_status tt_table_read(tt_table_layout *layout, const void *data, size_t n_bytes,
                        tt_table **out, tt_error *err);
size_t tt_table_layout_bytes(const tt_table_layout *layout);
void tt_table_layout_write(const tt_table_layout *layout, tt_writer *writer);
/* Takes what it reads off the reader. */
tt_status tt_table_layout_read(tt_reader *reader, tt_table_layout **out, tt_error *err);

#endif
