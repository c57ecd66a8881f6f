/* Tables and layouts as bytes: see table.h.
 *
 * A table: magic, digest of the layout, bytes of a count (4, or 8 where a column has
 * 2^32 rows or more), then column by column its sums, counts and registers. */
#include "base/alloc.h"
#include "base/checked.h"
#include "base/fork.h"
#include "watch/table_state.h"

static const uint64_t table_magic = 0x0001656c62617474;  /* "ttable", version 1 */
static const uint64_t layout_magic = 0x000174756f79616c; /* "layout", version 1 */

enum {
    HEADER_BYTES = 32,
    SUMS_BYTES = 80, /* of a numeric column; a categorical one has the first 16 */
};

/* ---- fields that are not of 8 bytes ------------------------------------------------------- */

static void write_u32(tt_writer *writer, uint32_t value)
{
    for (int i = 0; i < 4; ++i)
        *writer->at++ = (unsigned char)(value >> (8 * i));
}

static uint32_t read_u32(tt_reader *reader)
{
    uint32_t value = 0;
    if (reader->n_left < 4) {
        reader->is_short = true;
        return 0;
    }
    for (int i = 0; i < 4; ++i)
        value |= (uint32_t)reader->at[i] << (8 * i);
    reader->at += 4;
    reader->n_left -= 4;
    return value;
}

/* ---- writing ------------------------------------------------------------------------------- */

size_t tt_table_max_bytes(const tt_table *table)
{
    const tt_table_layout *layout = table->layout;
    return HEADER_BYTES +
           (size_t)layout->n_columns * (SUMS_BYTES + TT_DISTINCT_REGISTERS) +
           (size_t)layout->n_bins * sizeof(uint64_t);
}

static void write_sums(const tt_table_sums *sums, bool is_categorical,
                       tt_writer *writer)
{
    tt_write_i64(writer, sums->n_missing);
    tt_write_i64(writer, sums->n_infinite);
    if (is_categorical) return;
    tt_write_i64(writer, sums->n_clamped);
    tt_write_f64(writer, sums->minimum);
    tt_write_f64(writer, sums->maximum);
    tt_write_u64(writer, (uint64_t)(tt_u128)sums->sum);
    tt_write_i64(writer, (int64_t)(sums->sum >> 64));
    tt_write_u64(writer, sums->squares.low);
    tt_write_u64(writer, sums->squares.middle);
    tt_write_u64(writer, sums->squares.high);
}

static void write_column(const tt_table *table, int64_t column, bool is_wide,
                         tt_writer *writer)
{
    const tt_table_bins *bins = &table->layout->columns[column];
    tt_table_cells cells = tt_table_cells_of(table, column);
    write_sums(cells.sums, bins->is_categorical, writer);
    for (int b = 0; b <= bins->n; ++b) {
        write_u32(writer, cells.counts[b]);
        if (is_wide) write_u32(writer, cells.high[b]);
    }
    memcpy(writer->at, cells.registers, TT_DISTINCT_REGISTERS);
    writer->at += TT_DISTINCT_REGISTERS;
}

void tt_table_write(tt_table *table, tt_writer *writer)
{
    const tt_table_layout *layout = table->layout;
    bool is_wide;
    tt_mutex_lock(&table->lock);
    is_wide = tt_table_most_rows(table) > UINT32_MAX;
    tt_write_u64(writer, table_magic);
    tt_write_u64(writer, layout->digest.word[0]);
    tt_write_u64(writer, layout->digest.word[1]);
    tt_write_u64(writer, is_wide ? sizeof(uint64_t) : sizeof(uint32_t));
    for (int64_t c = 0; c < layout->n_columns; ++c)
        write_column(table, c, is_wide, writer);
    tt_mutex_unlock(&table->lock);
}

/* ---- what can be ----------------------------------------------------------------------------- */

/* The first and the last bin with a count. */
static void find_ends(const tt_table_cells *cells, int n_bins, int *first, int *last)
{
    *first = *last = -1;
    for (int b = 0; b < n_bins; ++b) {
        if (cells->counts[b] == 0 && (cells->high == NULL || cells->high[b] == 0))
            continue;
        if (*first < 0) *first = b;
        *last = b;
    }
}

static bool is_value(double x)
{
    return isfinite(x) && !(x == 0.0 && signbit(x));
}

/* Could n integers between low and high, both among them, have this spread? */
static bool could_be_spread(const tt_center *center, int64_t n, int64_t low,
                            int64_t high)
{
    tt_i128 below = (tt_i128)low - center->whole, above = (tt_i128)high - center->whole;
    tt_u192 ends = {0}, rest = {.low = (uint64_t)center->rest};
    tt_u192_add(&ends, (tt_u128)(below * below), 0);
    if (n > 1) tt_u192_add(&ends, (tt_u128)(above * above), 0);
    /* deviations add up to `rest`, so their squares do at least */
    if (tt_u192_is_less(&center->spread, &ends) ||
        tt_u192_is_less(&center->spread, &rest))
        return false;
    return (n > 2 && low < high) || !tt_u192_is_less(&ends, &center->spread);
}

/* Could n integers between low and high, both among them, add up to this? */
static bool could_be_sums(const tt_table_sums *sums, int64_t low, int64_t high)
{
    int64_t n = sums->n;
    tt_i128 least = (tt_i128)low * (n - 1) + high, most = (tt_i128)high * (n - 1) + low;
    uint64_t largest = -low > high ? (uint64_t)-low : (uint64_t)high; /* <= 2^62 */
    tt_u192 bound = {0};
    tt_center center;
    if (n == 1 && low != high) return false;
    if (sums->sum < least || sums->sum > most) return false;
    /* squares: as odd as the sum, n of the largest at most */
    if (((uint64_t)(tt_u128)sums->sum ^ sums->squares.low) & 1) return false;
    tt_u192_add_product(&bound, (tt_i128)largest * (int64_t)largest, (uint64_t)n);
    if (tt_u192_is_less(&bound, &sums->squares)) return false;
    /* and of a spread that the two ends and this mean leave */
    center = tt_center_of(n, sums->sum, &sums->squares);
    return center.spread.high >> 63 == 0 && could_be_spread(&center, n, low, high);
}

static bool could_be_numbers(const tt_table_bins *bins, const tt_table_cells *cells)
{
    const tt_table_sums *sums = cells->sums;
    int64_t low, high;
    int first, last;
    bool is_low_clamped, is_high_clamped;
    if (sums->n == 0)
        return sums->minimum == HUGE_VAL && sums->maximum == -HUGE_VAL &&
               sums->sum == 0 && sums->n_clamped == 0 &&
               (sums->squares.low | sums->squares.middle | sums->squares.high) == 0;
    if (!is_value(sums->minimum) || !is_value(sums->maximum) ||
        sums->minimum > sums->maximum)
        return false;
    low = tt_table_quanta(bins, sums->minimum, &is_low_clamped);
    high = tt_table_quanta(bins, sums->maximum, &is_high_clamped);
    find_ends(cells, bins->n + 1, &first, &last);
    return first == tt_table_place(bins, sums->minimum, low) &&
           last == tt_table_place(bins, sums->maximum, high) && sums->n_clamped >= 0 &&
           sums->n_clamped <= sums->n &&
           (sums->n_clamped > 0) == (is_low_clamped || is_high_clamped) &&
           could_be_sums(sums, low, high);
}

static bool could_be(const tt_table_bins *bins, const tt_table_cells *cells)
{
    const tt_table_sums *sums = cells->sums;
    int64_t rows = 0;
    return sums->n_missing >= 0 && sums->n_infinite >= 0 &&
           tt_add_i64(sums->n, sums->n_missing, &rows) &&
           tt_add_i64(rows, sums->n_infinite, &rows) && rows <= TT_TABLE_MAX_ROWS &&
           tt_distinct_is_valid(cells->registers, sums->n) &&
           (bins->is_categorical || could_be_numbers(bins, cells));
}

/* ---- reading ----------------------------------------------------------------------------------- */

static void read_sums(tt_table_sums *sums, bool is_categorical, tt_reader *reader)
{
    uint64_t low;
    sums->n_missing = tt_read_i64(reader);
    sums->n_infinite = tt_read_i64(reader);
    if (is_categorical) return;
    sums->n_clamped = tt_read_i64(reader);
    sums->minimum = tt_read_f64(reader);
    sums->maximum = tt_read_f64(reader);
    low = tt_read_u64(reader);
    sums->sum = (tt_i128)((tt_u128)tt_read_u64(reader) << 64 | low);
    sums->squares.low = tt_read_u64(reader);
    sums->squares.middle = tt_read_u64(reader);
    sums->squares.high = tt_read_u64(reader);
}

static bool read_column(tt_table *table, int64_t column, tt_reader *reader)
{
    const tt_table_bins *bins = &table->layout->columns[column];
    tt_table_cells cells = tt_table_cells_of(table, column);
    read_sums(cells.sums, bins->is_categorical, reader);
    for (int b = 0; b <= bins->n; ++b) {
        uint64_t count = cells.counts[b] = read_u32(reader);
        if (cells.high != NULL)
            count |= (uint64_t)(cells.high[b] = read_u32(reader)) << 32;
        if (count > (uint64_t)TT_TABLE_MAX_ROWS ||
            !tt_add_i64(cells.sums->n, (int64_t)count, &cells.sums->n))
            return false;
    }
    if (reader->is_short || reader->n_left < TT_DISTINCT_REGISTERS) return false;
    memcpy(cells.registers, reader->at, TT_DISTINCT_REGISTERS);
    reader->at += TT_DISTINCT_REGISTERS;
    reader->n_left -= TT_DISTINCT_REGISTERS;
    return could_be(bins, &cells);
}

static tt_status fill(tt_table *table, tt_reader *reader, size_t n_bytes, bool is_wide,
                      tt_error *err)
{
    for (int64_t c = 0; c < table->layout->n_columns; ++c)
        if (!read_column(table, c, reader))
            return tt_fail(err, TT_BAD_INPUT,
                           "%zu bytes hold no valid table: column %lld is cut off, or "
                           "its counts, range and sums contradict each other",
                           n_bytes, (long long)c);
    if (reader->n_left > 0 || is_wide != (tt_table_most_rows(table) > UINT32_MAX))
        return tt_fail(err, TT_BAD_INPUT,
                       "%zu bytes hold no valid table: %zu too many, or counts of "
                       "another width",
                       n_bytes, reader->n_left);
    table->rows_bound = tt_table_most_rows(table);
    return TT_OK;
}

tt_status tt_table_read(tt_table_layout *layout, const void *data, size_t n_bytes,
                        tt_table **out, tt_error *err)
{
    tt_reader reader = {data, n_bytes, false};
    uint64_t found = tt_read_u64(&reader), width;
    tt_hash digest = {
        {tt_read_u64(&reader), 0}
    };
    tt_status status = TT_OK;
    tt_table *table;
    *out = NULL;
    digest.word[1] = tt_read_u64(&reader);
    width = tt_read_u64(&reader);
    if (found != table_magic ||
        (width != sizeof(uint32_t) && width != sizeof(uint64_t)))
        return tt_fail(err, TT_BAD_INPUT,
                       "%zu bytes are no table: they begin with %016llx", n_bytes,
                       (unsigned long long)found);
    if (!tt_hash_equal(digest, layout->digest))
        return tt_fail(err, TT_BAD_INPUT,
                       "%zu bytes hold a table that counts in other bins than those of "
                       "this layout of %lld columns",
                       n_bytes, (long long)layout->n_columns);
    TT_TRY(tt_table_new(layout, &table, err));
    if (width == sizeof(uint64_t))
        status = tt_table_make_room(table, UINT32_MAX + INT64_C(1), err);
    if (status == TT_OK)
        status = fill(table, &reader, n_bytes, width == sizeof(uint64_t), err);
    if (status == TT_OK)
        *out = table;
    else
        tt_table_free(table);
    return status;
}

/* ---- layouts: magic, number of columns, then kind, number of bins, scale, edges or codes --------- */

size_t tt_table_layout_bytes(const tt_table_layout *layout)
{
    size_t n = 2;
    for (int64_t c = 0; c < layout->n_columns; ++c)
        n += 3 + (size_t)layout->columns[c].n;
    return n * sizeof(uint64_t);
}

void tt_table_layout_write(const tt_table_layout *layout, tt_writer *writer)
{
    tt_write_u64(writer, layout_magic);
    tt_write_i64(writer, layout->n_columns);
    for (int64_t c = 0; c < layout->n_columns; ++c) {
        const tt_table_bins *bins = &layout->columns[c];
        tt_write_u64(writer, bins->is_categorical);
        tt_write_i64(writer, bins->n);
        tt_write_f64(writer, bins->scale);
        for (int i = 0; i < bins->n; ++i)
            if (bins->is_categorical)
                tt_write_i64(writer, bins->codes[i]);
            else
                tt_write_f64(writer, bins->edges[i]);
    }
}

/* n items of 8 bytes, edges or codes.  False where one is -0, which no layout has. */
static bool read_values(tt_reader *reader, bool are_codes, int64_t n, char *values)
{
    for (int64_t i = 0; i < n; ++i, values += sizeof(double)) {
        int64_t code;
        double edge;
        if (are_codes) {
            code = tt_read_i64(reader);
            memcpy(values, &code, sizeof code);
            continue;
        }
        edge = tt_read_f64(reader);
        if (edge == 0.0 && signbit(edge)) return false;
        memcpy(values, &edge, sizeof edge);
    }
    return true;
}

/* Describes the columns; `values` gets their edges and codes.  False where the bytes are
 * none of a layout. */
static bool read_columns(tt_reader *reader, tt_table_column *columns, int64_t n_columns,
                         char *values)
{
    for (int64_t c = 0; c < n_columns; ++c) {
        tt_table_column *column = &columns[c];
        uint64_t kind = tt_read_u64(reader);
        column->is_categorical = kind == 1;
        column->n = tt_read_i64(reader);
        column->scale = tt_read_f64(reader);
        if (kind > 1 || column->n < 0 || column->n > TT_TABLE_MAX_CATEGORIES ||
            (size_t)column->n > reader->n_left / sizeof(double) ||
            (column->scale == 0.0 && signbit(column->scale)))
            return false;
        column->codes = (const int64_t *)(const void *)values;
        column->edges = (const double *)(const void *)values;
        if (!read_values(reader, kind == 1, column->n, values)) return false;
        values += column->n * (int64_t)sizeof(double);
    }
    return !reader->is_short;
}

tt_status tt_table_layout_read(tt_reader *reader, tt_table_layout **out, tt_error *err)
{
    size_t n_bytes = reader->n_left;
    uint64_t found = tt_read_u64(reader);
    int64_t n_columns = tt_read_i64(reader);
    tt_table_column *columns;
    char *values;
    tt_status status;
    *out = NULL;
    /* each column has three fields at least: what is asked for is bounded by what came */
    if (found != layout_magic || n_columns < 1 || n_columns > TT_TABLE_MAX_COLUMNS ||
        (size_t)n_columns > reader->n_left / (3 * sizeof(uint64_t)))
        return tt_fail(err, TT_BAD_INPUT,
                       "%zu bytes are no layout of a table: they begin with %016llx",
                       n_bytes, (unsigned long long)found);
    columns = tt_calloc((size_t)n_columns, sizeof *columns);
    values = tt_alloc(reader->n_left);
    if (columns == NULL || values == NULL)
        status =
            tt_fail(err, TT_NO_MEMORY, "no memory for a layout of %zu bytes", n_bytes);
    else if (!read_columns(reader, columns, n_columns, values))
        status =
            tt_fail(err, TT_BAD_INPUT, "%zu bytes hold no valid layout of %lld columns",
                    n_bytes, (long long)n_columns);
    else
        status = tt_table_layout_new(columns, n_columns, out, err);
    tt_free(values);
    tt_free(columns);
    return status;
}
