/* Sketches of tables: every instruction set and cut against plain loops, the exactness
 * of sums, counts beyond 32 bits, bytes, memory that is not there. */
#include "watch/table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "harness.h"

enum { MAX_ROWS = 3000, N_COLUMNS = 21, N_EDGES = 255 };

static const int64_t codes[] = {7, -1, INT64_C(1) << 60, 0, INT64_MIN};
static double edges[N_COLUMNS][N_EDGES];

/* Columns of many kinds: 0, 1, 2, 3, 7.. 255 edges; tiny, huge, far from 0; the last two
 * are categorical. */
static tt_table_layout *make_layout(void)
{
    static const int64_t sizes[] = {0,  1,  2,  3,  7,   15,  16,
                                    31, 32, 63, 64, 127, 128, 255};
    static const double middles[] = {0.0, 1e6, -3e4, 1.7e9, 0.0, 1e-30, 5.0};
    static const double widths[] = {1.0, 3.0, 1e5, 900.0, 1e-42, 1e-33, 1e30};
    tt_table_column columns[N_COLUMNS] = {{0}};
    tt_table_layout *layout;
    for (int c = 0; c < N_COLUMNS; ++c) {
        int64_t n = sizes[c % 14];
        columns[c] = (tt_table_column){.n = n, .edges = edges[c]};
        for (int64_t i = 0; i < n; ++i) {
            double at = n == 1 ? 0.5 : (double)i / (double)(n - 1);
            at = c % 2 == 0 ? at : at * at * at; /* crowded at one end */
            edges[c][i] = middles[c % 7] + widths[c % 7] * (at - 0.5);
        }
    }
    columns[N_COLUMNS - 2] =
        (tt_table_column){.is_categorical = true, .n = 5, .codes = codes};
    columns[N_COLUMNS - 1] = (tt_table_column){.is_categorical = true};
    CHECK_OK(tt_table_layout_new(columns, N_COLUMNS, &layout, ERR));
    return layout;
}

static double value_for(const tt_table_layout *layout, int c)
{
    static const double odd[] = {(double)NAN, HUGE_VAL, -HUGE_VAL, -0.0, 1e300, -1e38};
    tt_table_column column = tt_table_layout_column(layout, c);
    double low, high;
    if (tt_random() % 20 == 0) return odd[tt_random() % 6];
    if (column.is_categorical)
        return tt_random() % 3 == 0 ? (double)(tt_random() % 100) / 4.0
                                    : (double)codes[tt_random() % 5];
    if (column.n == 0) return tt_random_between(-4.0, 4.0);
    if (tt_random() % 4 == 0) return column.edges[tt_random() % (uint64_t)column.n];
    low = column.edges[0];
    high = column.edges[column.n - 1];
    return tt_random_between(low - 0.2 * (high - low) - 1e-33,
                             high + 0.2 * (high - low));
}

static void fill(const tt_table_layout *layout, double *x, int64_t n_rows)
{
    for (int64_t i = 0; i < n_rows * N_COLUMNS; ++i)
        x[i] = value_for(layout, (int)(i % N_COLUMNS));
}

static tt_view rows_of(const void *x, tt_dtype dtype, int64_t n_rows)
{
    int64_t item = (int64_t)tt_dtype_bytes(dtype);
    return (tt_view){
        .dtype = dtype,
        .rank = 2,
        .dims = {n_rows,           N_COLUMNS},
        .strides = {N_COLUMNS * item, item     },
        .data = x
    };
}

/* Its bytes; the caller frees them. */
static unsigned char *bytes_of(tt_table *table, size_t *n_bytes)
{
    unsigned char *bytes = tt_alloc(tt_table_max_bytes(table));
    tt_writer writer = {bytes};
    CHECK(bytes != NULL);
    tt_table_write(table, &writer);
    *n_bytes = (size_t)(writer.at - bytes);
    CHECK(*n_bytes <= tt_table_max_bytes(table));
    return bytes;
}

static void check_equal(tt_table *a, tt_table *b)
{
    size_t n_a, n_b;
    unsigned char *of_a = bytes_of(a, &n_a), *of_b = bytes_of(b, &n_b);
    CHECK_INT(n_a, n_b);
    for (size_t i = 0; i < n_a; ++i)
        if (of_a[i] != of_b[i])
            tt_test_fail(__FILE__, __LINE__, "byte %zu of %zu differs", i, n_a);
    tt_free(of_a);
    tt_free(of_b);
}

static tt_table *table_of(tt_table_layout *layout, const tt_view *view, tt_isa isa)
{
    tt_table *table;
    CHECK_OK(tt_table_new(layout, &table, ERR));
    CHECK_OK(tt_table_update(table, view, isa, ERR));
    return table;
}

static double big[MAX_ROWS * N_COLUMNS];
static float small[MAX_ROWS * N_COLUMNS];

TT_TEST(every_instruction_set_and_dtype_counts_a_table_the_same)
{
    static const int64_t sizes[] = {0,  1,   7,   8,   9,   15,  16,
                                    17, 100, 511, 512, 513, 2999};
    tt_table_layout *layout = make_layout();
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; ++k) {
        tt_view doubles = rows_of(big, TT_F64, sizes[k]);
        tt_view floats = rows_of(small, TT_F32, sizes[k]);
        tt_table *plain, *of_floats;
        fill(layout, big, sizes[k]);
        for (int64_t i = 0; i < sizes[k] * N_COLUMNS; ++i)
            small[i] = (float)big[i];
        plain = table_of(layout, &doubles, TT_ISA_SCALAR);
        of_floats = table_of(layout, &floats, TT_ISA_SCALAR);
        for (int isa = TT_ISA_AVX2; isa <= (int)tt_cpu_get()->isa; ++isa) {
            tt_table *other = table_of(layout, &doubles, (tt_isa)isa);
            check_equal(plain, other);
            tt_table_free(other);
            other = table_of(layout, &floats, (tt_isa)isa);
            check_equal(of_floats, other);
            tt_table_free(other);
        }
        /* floats as doubles are the same values */
        for (int64_t i = 0; i < sizes[k] * N_COLUMNS; ++i)
            big[i] = (double)small[i];
        tt_table_clear(plain);
        CHECK_OK(tt_table_update(plain, &doubles, tt_cpu_get()->isa, ERR));
        check_equal(plain, of_floats);
        tt_table_free(plain);
        tt_table_free(of_floats);
    }
    tt_table_layout_unref(layout);
}

TT_TEST(parts_of_a_table_in_any_order_and_layout_are_the_whole)
{
    tt_table_layout *layout = make_layout();
    tt_isa isa = tt_cpu_get()->isa;
    tt_view view = rows_of(big, TT_F64, MAX_ROWS), part = view;
    tt_table *whole, *sum, *own, *by_column;
    fill(layout, big, MAX_ROWS);
    whole = table_of(layout, &view, isa);
    CHECK_OK(tt_table_new(layout, &sum, ERR));
    CHECK_OK(tt_table_new(layout, &by_column, ERR));
    for (int64_t end = MAX_ROWS, n = 1; end > 0; end -= part.dims[0], n = 2 * n + 1) {
        part.dims[0] = n < end ? n : end;
        part.data = view.data + (end - part.dims[0]) * view.strides[0];
        /* from the last row to the first */
        part.data += (part.dims[0] - 1) * view.strides[0];
        part.strides[0] = -view.strides[0];
        own = table_of(layout, &part, isa);
        CHECK_OK(tt_table_merge(sum, own, ERR));
        tt_table_free(own);
    }
    check_equal(sum, whole);
    for (int c = 0; c < N_COLUMNS; ++c) {
        part = view;
        part.rank = 1;
        part.data = view.data + c * view.strides[1];
        CHECK_OK(tt_table_update_column(by_column, c, &part, isa, ERR));
    }
    check_equal(by_column, whole);
    CHECK_INT(tt_table_n_rows(whole), MAX_ROWS);
    tt_table_free(sum);
    tt_table_free(by_column);
    tt_table_free(whole);
    tt_table_layout_unref(layout);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Different finite values of a column of `big`, of which n are finite. */
static double count_distinct(int column, int64_t n)
{
    static double sorted[MAX_ROWS];
    int64_t n_finite = 0, n_distinct = 0;
    for (int64_t r = 0; r < MAX_ROWS; ++r)
        if (isfinite(big[r * N_COLUMNS + column]))
            sorted[n_finite++] = big[r * N_COLUMNS + column];
    CHECK_INT(n_finite, n);
    qsort(sorted, (size_t)n, sizeof *sorted, compare);
    for (int64_t i = 0; i < n; ++i)
        n_distinct += i == 0 || sorted[i] != sorted[i - 1];
    return (double)n_distinct;
}

TT_TEST(a_table_holds_what_plain_loops_find)
{
    tt_table_layout *layout = make_layout();
    tt_view view = rows_of(big, TT_F64, MAX_ROWS);
    tt_table *table;
    fill(layout, big, MAX_ROWS);
    table = table_of(layout, &view, tt_cpu_get()->isa);
    for (int c = 0; c < N_COLUMNS - 2; ++c) {
        tt_table_column column = tt_table_layout_column(layout, c);
        tt_table_summary found = tt_table_summarize(table, c);
        int64_t counts[N_EDGES + 1], want[N_EDGES + 1] = {0};
        int64_t n = 0, n_missing = 0, n_infinite = 0;
        double low = HUGE_VAL, high = -HUGE_VAL;
        for (int64_t r = 0; r < MAX_ROWS; ++r) {
            double x = big[r * N_COLUMNS + c];
            int bin = 0;
            n_missing += isnan(x) != 0;
            n_infinite += isinf(x) != 0;
            if (!isfinite(x)) continue;
            while (bin < column.n && x >= edges[c][bin])
                ++bin;
            ++want[bin];
            ++n;
            low = fmin(low, x);
            high = fmax(high, x);
        }
        tt_table_counts(table, c, counts);
        CHECK(memcmp(counts, want, ((size_t)column.n + 1) * sizeof *want) == 0);
        CHECK_INT(found.n, n);
        CHECK_INT(found.n_missing, n_missing);
        CHECK_INT(found.n_infinite, n_infinite);
        CHECK(found.minimum == low && found.maximum == high);
        CHECK_NEAR(found.n_distinct / count_distinct(c, n), 1.0, 0.4); /* 4 sigma */
    }
    tt_table_free(table);
    tt_table_layout_unref(layout);
}

static tt_table_layout *layout_of(const double *at, int64_t n)
{
    tt_table_column column = {.n = n, .edges = at};
    tt_table_layout *layout;
    CHECK_OK(tt_table_layout_new(&column, 1, &layout, ERR));
    return layout;
}

static tt_table_summary summary_of(tt_table_layout *layout, const double *x, int64_t n)
{
    tt_view view = {.dtype = TT_F64,
                    .rank = 1,
                    .dims = {n},
                    .strides = {sizeof *x},
                    .data = (const char *)x};
    tt_table *table = table_of(layout, &view, tt_cpu_get()->isa);
    tt_table_summary summary = tt_table_summarize(table, 0);
    tt_table_free(table);
    return summary;
}

TT_TEST(moments_of_whole_numbers_are_exact)
{
    static const double at[] = {1990.0, 2000.0, 2010.0};
    tt_table_layout *layout = layout_of(at, 3);
    double x[600];
    tt_table_summary found;
    for (int i = 0; i < 600; ++i)
        x[i] = 1950.0 + i % 101;
    found = summary_of(layout, x, 505);
    CHECK(found.mean == 2000.0);
    CHECK(found.variance == 850.0); /* (101^2 - 1) / 12 */
    CHECK_INT(found.n_clamped, 0);
    for (int i = 0; i < 600; ++i)
        x[i] = 0.1; /* far from the edges, no whole number */
    found = summary_of(layout, x, 600);
    CHECK(found.mean == 0.1 && found.variance == 0.0);
    tt_table_layout_unref(layout);
}

TT_TEST(values_beyond_the_sums_are_clamped_and_counted)
{
    static const double at[] = {-1.0, 1.0};
    static const double x[] = {1e300, -1e300, 1e300, 0x1p30, 0.5};
    tt_table_layout *layout = layout_of(at, 2);
    tt_table_summary found = summary_of(layout, x, 5);
    CHECK_INT(found.n, 5);
    CHECK_INT(found.n_clamped, 3);
    CHECK(found.minimum == -1e300 && found.maximum == 1e300);
    CHECK_NEAR(found.mean / ((0x1p62 * 0x1p-25 + 0x1p30) / 5.0), 1.0, 1e-9);
    tt_table_layout_unref(layout);
}

TT_TEST(counts_pass_32_bits_and_stop_at_2_to_62)
{
    tt_table_layout *layout = make_layout();
    tt_view view = rows_of(big, TT_F64, 1000);
    tt_table *table, *back;
    tt_error err;
    tt_status status = TT_OK;
    int64_t n = 1000;
    size_t n_bytes;
    unsigned char *bytes;
    tt_table_summary before, after;
    fill(layout, big, 1000);
    table = table_of(layout, &view, tt_cpu_get()->isa);
    before = tt_table_summarize(table, 3);
    for (int i = 0; i < 30; ++i, n *= 2)
        CHECK_OK(tt_table_merge(table, table, ERR));
    CHECK_INT(tt_table_n_rows(table), n);
    /* the loops carry too */
    CHECK_OK(tt_table_update(table, &view, tt_cpu_get()->isa, ERR));
    after = tt_table_summarize(table, 3);
    CHECK_INT(after.n, before.n * (n / 1000 + 1));
    CHECK_NEAR(after.mean / before.mean, 1.0, 1e-15);
    CHECK_NEAR(after.variance / before.variance, 1.0, 1e-15);
    bytes = bytes_of(table, &n_bytes);
    CHECK_OK(tt_table_read(layout, bytes, n_bytes, &back, ERR));
    check_equal(table, back);
    tt_table_free(back);
    tt_free(bytes);
    for (int i = 0; i < 30 && status == TT_OK; ++i)
        status = tt_table_merge(table, table, &err);
    CHECK_INT(status, TT_LIMIT);
    CHECK(tt_table_n_rows(table) > INT64_C(1) << 60);
    tt_table_free(table);
    tt_table_layout_unref(layout);
}

TT_TEST(rows_of_more_dims_are_flattened)
{
    tt_table_layout *layout = make_layout();
    tt_view flat = rows_of(big, TT_F64, 40), view = flat;
    static double turned[40 * N_COLUMNS];
    tt_table *want, *found;
    fill(layout, big, 40);
    want = table_of(layout, &flat, TT_ISA_SCALAR);
    /* [40, 3, 7], stored as [40, 7, 3] */
    for (int r = 0; r < 40; ++r)
        for (int c = 0; c < N_COLUMNS; ++c)
            turned[r * N_COLUMNS + c % 7 * 3 + c / 7] = big[r * N_COLUMNS + c];
    view.rank = 3;
    view.data = (const char *)turned;
    view.dims[1] = 3;
    view.dims[2] = 7;
    view.strides[1] = sizeof(double);
    view.strides[2] = 3 * sizeof(double);
    for (int64_t n = 1; n <= 40; n += 39) {
        flat.dims[0] = view.dims[0] = n;
        tt_table_clear(want);
        CHECK_OK(tt_table_update(want, &flat, TT_ISA_SCALAR, ERR));
        found = table_of(layout, &view, tt_cpu_get()->isa);
        check_equal(want, found);
        tt_table_free(found);
    }
    tt_table_free(want);
    tt_table_layout_unref(layout);
}

TT_TEST(bytes_that_no_table_gives_are_refused)
{
    tt_table_layout *layout = make_layout();
    tt_view view = rows_of(big, TT_F64, 100);
    tt_table *table, *back;
    size_t n_bytes, n_again;
    unsigned char *bytes, *again;
    tt_error err;
    int n_refused = 0;
    fill(layout, big, 100);
    table = table_of(layout, &view, TT_ISA_SCALAR);
    bytes = bytes_of(table, &n_bytes);
    CHECK_OK(tt_table_read(layout, bytes, n_bytes, &back, ERR));
    check_equal(table, back);
    tt_table_free(back);
    for (size_t n = 0; n < n_bytes; n += 1 + n / 16)
        CHECK_INT(tt_table_read(layout, bytes, n, &back, &err), TT_BAD_INPUT);
    for (size_t i = 0; i < n_bytes; ++i) { /* what is taken, is given back */
        unsigned char was = bytes[i];
        bytes[i] = (unsigned char)(was ^ 1 << tt_random() % 8);
        if (tt_table_read(layout, bytes, n_bytes, &back, &err) == TT_OK) {
            again = bytes_of(back, &n_again);
            CHECK_INT(n_again, n_bytes);
            CHECK(memcmp(bytes, again, n_bytes) == 0);
            tt_free(again);
            tt_table_free(back);
        } else
            ++n_refused;
        bytes[i] = was;
    }
    CHECK(n_refused > 500); /* what contradicts itself; other counts could be */
    tt_free(bytes);
    tt_table_free(table);
    tt_table_layout_unref(layout);
}

TT_TEST(layouts_go_to_bytes_and_back)
{
    tt_table_layout *layout = make_layout(), *back;
    size_t n_bytes = tt_table_layout_bytes(layout);
    unsigned char *bytes = tt_alloc(n_bytes);
    tt_writer writer = {bytes};
    tt_reader reader = {bytes, n_bytes, false};
    tt_error err;
    tt_table_layout_write(layout, &writer);
    CHECK_INT(writer.at - bytes, n_bytes);
    CHECK_OK(tt_table_layout_read(&reader, &back, ERR));
    CHECK_INT(reader.n_left, 0);
    CHECK(tt_table_layout_equal(layout, back));
    tt_table_layout_unref(back);
    for (size_t n = 0; n < n_bytes; n += 1 + n / 64) {
        reader = (tt_reader){bytes, n, false};
        CHECK_INT(tt_table_layout_read(&reader, &back, &err), TT_BAD_INPUT);
    }
    tt_free(bytes);
    tt_table_layout_unref(layout);
}

TT_TEST(columns_that_are_none_are_refused)
{
    static const double at[] = {0.0, 1.0, 1.0, (double)NAN, HUGE_VAL};
    static const int64_t twice[] = {3, 3};
    static const tt_table_column bad[] = {
        {.n = 3, .edges = at},
        {.n = 1, .edges = at + 3},
        {.n = 2, .edges = at + 3},
        {.n = 1, .edges = at + 4},
        {.n = -1},
        {.n = 2, .edges = at, .scale = -1.0},
        {.n = 2, .edges = at, .scale = (double)NAN},
        {.n = TT_TABLE_MAX_EDGES + 1, .edges = at},
        {.n = 2, .codes = twice, .is_categorical = true},
        {.n = 1, .codes = twice, .is_categorical = true, .scale = 1.0},
        {.n = TT_TABLE_MAX_CATEGORIES + 1, .is_categorical = true},
    };
    tt_table_layout *layout;
    tt_error err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i)
        CHECK_INT(tt_table_layout_new(&bad[i], 1, &layout, &err), TT_BAD_INPUT);
    CHECK_INT(tt_table_layout_new(NULL, 0, &layout, &err), TT_BAD_INPUT);
}

TT_TEST(arrays_that_do_not_fit_a_table_are_refused)
{
    tt_table_layout *layout = make_layout();
    tt_view view = rows_of(big, TT_F64, 100), bad = view;
    tt_table *table, *before;
    tt_error err;
    fill(layout, big, 100);
    table = table_of(layout, &view, TT_ISA_SCALAR);
    CHECK_OK(tt_table_copy(table, &before, ERR));
    bad.dims[1] = N_COLUMNS - 1;
    CHECK_INT(tt_table_update(table, &bad, TT_ISA_SCALAR, &err), TT_BAD_INPUT);
    bad.rank = 0;
    CHECK_INT(tt_table_update(table, &bad, TT_ISA_SCALAR, &err), TT_BAD_INPUT);
    bad = view;
    bad.dtype = TT_C64;
    CHECK_INT(tt_table_update(table, &bad, TT_ISA_SCALAR, &err), TT_BAD_INPUT_TYPE);
    for (int c = -1; c <= N_COLUMNS; c += N_COLUMNS + 1)
        CHECK_INT(tt_table_update_column(table, c, &view, TT_ISA_SCALAR, &err),
                  TT_BAD_INPUT);
    check_equal(table, before);
    tt_table_free(before);
    tt_table_free(table);
    tt_table_layout_unref(layout);
}

/* Makes a layout as `given`, a table, fills it and copies it. */
static tt_status live(const tt_table_layout *given, const tt_view *view, tt_error *err)
{
    tt_table_column columns[N_COLUMNS];
    tt_table_layout *layout = NULL;
    tt_table *table = NULL, *copy = NULL;
    tt_status status;
    for (int c = 0; c < N_COLUMNS; ++c)
        columns[c] = tt_table_layout_column(given, c);
    status = tt_table_layout_new(columns, N_COLUMNS, &layout, err);
    if (status == TT_OK) status = tt_table_new(layout, &table, err);
    if (status == TT_OK) status = tt_table_update(table, view, TT_ISA_SCALAR, err);
    if (status == TT_OK) status = tt_table_copy(table, &copy, err);
    tt_table_free(copy);
    tt_table_free(table);
    tt_table_layout_unref(layout);
    return status;
}

TT_TEST(any_allocation_of_a_table_may_fail)
{
    tt_table_layout *layout = make_layout();
    tt_view view = rows_of(big, TT_F64, MAX_ROWS); /* large: counted apart */
    tt_error err;
    int64_t n;
    fill(layout, big, MAX_ROWS);
    (void)tt_alloc_fail_at(0, false);
    CHECK_OK(live(layout, &view, ERR));
    n = tt_alloc_fail_at(0, false);
    CHECK(n > N_COLUMNS);
    for (int64_t k = 1; k <= n; ++k) {
        tt_status status;
        (void)tt_alloc_fail_at(k, false);
        status = live(layout, &view, &err);
        (void)tt_alloc_fail_at(0, false);
        CHECK_INT(status, TT_NO_MEMORY);
    }
    tt_table_layout_unref(layout);
}

TT_TEST(a_table_that_cannot_grow_or_be_read_stays_as_it_was)
{
    tt_table_layout *layout = make_layout(), *back;
    tt_view view = rows_of(big, TT_F64, 1000);
    tt_table *table, *other;
    tt_reader reader;
    tt_writer writer;
    tt_error err;
    unsigned char *bytes;
    size_t n_bytes;
    fill(layout, big, 1000);
    table = table_of(layout, &view, TT_ISA_SCALAR);
    for (int i = 0; i < 22; ++i)
        CHECK_OK(tt_table_merge(table, table, ERR));
    (void)tt_alloc_fail_at(1, false);
    CHECK_INT(tt_table_merge(table, table, &err), TT_NO_MEMORY);
    (void)tt_alloc_fail_at(0, false);
    CHECK_INT(tt_table_n_rows(table), INT64_C(1000) << 22);
    bytes = bytes_of(table, &n_bytes);
    for (int64_t k = 1; k <= 4; ++k) {
        (void)tt_alloc_fail_at(k, false);
        CHECK_INT(tt_table_read(layout, bytes, n_bytes, &other, &err), TT_NO_MEMORY);
        (void)tt_alloc_fail_at(0, false);
    }
    tt_free(bytes);
    n_bytes = tt_table_layout_bytes(layout);
    bytes = tt_alloc(n_bytes);
    writer.at = bytes;
    tt_table_layout_write(layout, &writer);
    for (int64_t k = 1; k <= N_COLUMNS + 3; ++k) {
        (void)tt_alloc_fail_at(k, false);
        reader = (tt_reader){bytes, n_bytes, false};
        CHECK_INT(tt_table_layout_read(&reader, &back, &err), TT_NO_MEMORY);
        (void)tt_alloc_fail_at(0, false);
    }
    tt_free(bytes);
    tt_table_free(table);
    tt_table_layout_unref(layout);
}
