/* Making layouts of tables: see table_layout.h. */
#include "watch/table_layout.h"

#include "base/alloc.h"
#include "base/checked.h"

enum {
    MIN_CELLS = 64,
    CELL_PADDING = 3, /* vectors read four bytes at a time */
    MAX_CODES_BITS = 13,
};
_Static_assert(2 * (TT_TABLE_MAX_CATEGORIES + 1) <= 1 << MAX_CODES_BITS, "half empty");

/* ---- what the caller describes --------------------------------------------------- */

static tt_status check_edges(const tt_table_column *column, long long at, tt_error *err)
{
    if (column->n > TT_TABLE_MAX_EDGES)
        return tt_fail(err, TT_BAD_INPUT, "column %lld: at most %d edges, got %lld", at,
                       TT_TABLE_MAX_EDGES, (long long)column->n);
    for (int64_t i = 0; i < column->n; ++i) {
        double edge = column->edges[i];
        if (!isfinite(edge))
            return tt_fail(err, TT_BAD_INPUT,
                           "column %lld: edges must be finite, got %g", at, edge);
        if (i > 0 && !(column->edges[i - 1] < edge))
            return tt_fail(err, TT_BAD_INPUT,
                           "column %lld: edges must ascend, got %g before %g", at,
                           column->edges[i - 1], edge);
    }
    if (!(column->scale >= 0.0) || !isfinite(column->scale))
        return tt_fail(err, TT_BAD_INPUT,
                       "column %lld: a scale must be finite and not negative, got %g",
                       at, column->scale);
    return TT_OK;
}

static tt_status check_column(const tt_table_column *column, long long at,
                              tt_error *err)
{
    if (column->n < 0)
        return tt_fail(err, TT_BAD_INPUT, "column %lld: %lld bins", at,
                       (long long)column->n);
    if (!column->is_categorical) return check_edges(column, at, err);
    if (column->n > TT_TABLE_MAX_CATEGORIES)
        return tt_fail(err, TT_BAD_INPUT,
                       "column %lld: at most %d categories, got %lld", at,
                       TT_TABLE_MAX_CATEGORIES, (long long)column->n);
    if (column->scale != 0.0)
        return tt_fail(err, TT_BAD_INPUT, "column %lld: categories have no scale, %g",
                       at, column->scale);
    return TT_OK;
}

/* ---- quanta ------------------------------------------------------------------------ */

/* To the 24 digits of a float, of whatever exponent. */
static double as_single(double x)
{
    int exponent;
    double fraction = frexp(x, &exponent);
    return ldexp(rint(ldexp(fraction, 24)), exponent - 24);
}

/* Chooses the quantum, and what is 0. */
static void place_quanta(tt_table_bins *bins)
{
    double low = bins->n > 0 ? bins->edges[0] : 0.0;
    double high = bins->n > 0 ? bins->edges[bins->n - 1] : 0.0;
    double middle = 0.5 * low + 0.5 * high, half = 0.5 * high - 0.5 * low;
    double scale = half > 0.0 ? half : fabs(middle);
    int exponent;
    if (bins->scale > 0.0) scale = fmax(bins->scale, half / 3.0);
    if (scale == 0.0) scale = 1.0;
    exponent = ilogb(scale) - TT_QUANTA_DIGITS;
    /* a quantum is no less than the last bit of the middle, and its inverse a double */
    if (middle != 0.0 && exponent < ilogb(middle) - 52) exponent = ilogb(middle) - 52;
    if (exponent < -1022) exponent = -1022;
    bins->exponent = exponent;
    bins->inverse = ldexp(1.0, -exponent);
    bins->origin = 0.0;
    /* Then the difference is not exact everywhere, but where it is not, x is less than
     * half or more than twice the origin, so 2^29 quanta away and not fast. */
    if (fabs(middle * bins->inverse) > TT_QUANTA_MAX_OFFSET)
        bins->origin = as_single(middle);
    bins->offset = (int32_t)lrint((middle - bins->origin) * bins->inverse);
    bins->has_f32 = exponent >= -126 && exponent <= 126 &&
                    (double)(float)bins->origin == bins->origin;
}

/* ---- cells ------------------------------------------------------------------------- */

static int64_t quanta_of(const tt_table_bins *bins, double x)
{
    bool is_clamped;
    return tt_table_quanta(bins, x, &is_clamped);
}

/* Divides the range of the edges into at most n_cells cells. */
static void divide(tt_table_bins *bins, int n_cells)
{
    int64_t first = quanta_of(bins, bins->edges[0]);
    int64_t span = quanta_of(bins, bins->edges[bins->n - 1]) - first;
    bins->first = (int32_t)first;
    for (bins->shift = 0; span >> bins->shift >= n_cells;)
        ++bins->shift;
    bins->last_cell = (int32_t)(span >> bins->shift);
}

static int64_t cell_of(const tt_table_bins *bins, double edge)
{
    return (quanta_of(bins, edge) - bins->first) >> bins->shift;
}

/* The largest step of a search among the most edges that share a cell. */
static int search_step(const tt_table_bins *bins)
{
    int most = 0, n = 0, step = 1;
    for (int i = 0; i < bins->n; ++i) {
        bool is_same =
            i > 0 && cell_of(bins, bins->edges[i]) == cell_of(bins, bins->edges[i - 1]);
        n = is_same ? n + 1 : 1;
        most = n > most ? n : most;
    }
    while (2 * step <= most)
        step *= 2;
    return most == 0 ? 0 : step;
}

/* As few cells as give the shortest search. */
static void choose_cells(tt_table_bins *bins)
{
    int best = MIN_CELLS, best_step = 0;
    if (bins->n == 0) return;
    for (int n_cells = MIN_CELLS; n_cells <= TT_TABLE_MAX_CELLS; n_cells *= 2) {
        int step;
        divide(bins, n_cells);
        step = search_step(bins);
        if (best_step != 0 && step >= best_step) continue;
        best = n_cells;
        best_step = step;
        if (step == 1) break;
    }
    divide(bins, best);
    bins->step = best_step;
}

static void fill_cells(tt_table_bins *bins, uint8_t *cells)
{
    int n_before = 0;
    for (int64_t cell = 0; cell <= bins->last_cell; ++cell) {
        while (n_before < bins->n && cell_of(bins, bins->edges[n_before]) < cell)
            ++n_before;
        cells[cell] = (uint8_t)n_before;
    }
    bins->cells = cells;
}

static float not_below(double edge)
{
    float single = (float)edge;
    return (double)single < edge ? nextafterf(single, HUGE_VALF) : single;
}

static double edge_or_inf(const tt_table_bins *bins, int i)
{
    return i < bins->n ? bins->edges[i] : HUGE_VAL;
}

static void fill_trees(const tt_table_bins *bins, double *doubles, float *singles)
{
    for (int level = 0; level < bins->n_levels; ++level)
        for (int i = 0; i < 1 << level; ++i) {
            int at = tt_table_level(level) + i;
            int edge = ((2 * i + 1) << (bins->n_levels - 1 - level)) - 1;
            doubles[at] = edge_or_inf(bins, edge);
            singles[at] = not_below(doubles[at]);
        }
}

static int count_levels(int n_edges)
{
    int n_levels = 0;
    while ((1 << n_levels) - 1 < n_edges)
        ++n_levels;
    return n_levels;
}

/* `bins` is a copy of what the caller described; edges still his. */
static bool make_numeric(tt_table_bins *bins)
{
    const double *from = bins->edges;
    size_t n_edges, n_nodes, n_cells;
    double *doubles;
    float *singles;
    place_quanta(bins);
    choose_cells(bins);
    bins->n_levels = count_levels(bins->n);
    n_nodes = (size_t)tt_table_level(bins->n_levels);
    n_edges = (size_t)bins->n + 2 * (size_t)bins->step; /* with the padding */
    n_cells = (size_t)bins->last_cell + 1 + CELL_PADDING;
    doubles = tt_calloc(1, (n_nodes + n_edges) * (sizeof *doubles + sizeof *singles) +
                               n_cells);
    if (doubles == NULL) return false;
    bins->memory = doubles;
    singles = (float *)(void *)(doubles + n_nodes + n_edges);
    bins->tree_f64 = doubles; /* first, as their lines are read whole */
    bins->tree_f32 = singles;
    bins->edges = doubles + n_nodes;
    bins->edges_f32 = singles + n_nodes;
    for (size_t i = 0; i < n_edges; ++i) {
        bool is_edge = i < (size_t)bins->n;
        doubles[n_nodes + i] = is_edge ? from[i] + 0.0 : HUGE_VAL; /* no -0 */
        singles[n_nodes + i] = is_edge ? not_below(from[i]) : HUGE_VALF;
    }
    fill_trees(bins, doubles, singles);
    fill_cells(bins, (uint8_t *)(singles + n_nodes + n_edges));
    return true;
}

/* ---- categories -------------------------------------------------------------------- */

static tt_status make_categorical(tt_table_bins *bins, long long column, tt_error *err)
{
    const int64_t *from = bins->codes;
    int bits = 1;
    int64_t *codes;
    uint16_t *slots;
    size_t n = (size_t)bins->n, bytes;
    while (1 << bits < 2 * (bins->n + 1))
        ++bits;
    bins->slot_shift = 64 - bits;
    bytes = n * sizeof *codes + (sizeof *slots << bits);
    codes = tt_calloc(1, bytes);
    if (codes == NULL)
        return tt_fail(err, TT_NO_MEMORY, "column %lld: %zu bytes of categories",
                       column, bytes);
    slots = (uint16_t *)(codes + n);
    bins->memory = codes;
    bins->codes = codes;
    bins->slots = slots;
    for (int i = 0; i < bins->n; ++i) {
        uint32_t at = tt_table_slot_of(from[i], bins->slot_shift);
        codes[i] = from[i];
        if (tt_table_category(bins, from[i]) != bins->n)
            return tt_fail(err, TT_BAD_INPUT,
                           "column %lld: the categories hold code %lld twice", column,
                           (long long)from[i]);
        while (slots[at] != 0)
            at = tt_table_next_slot(at, bins->slot_shift);
        slots[at] = (uint16_t)(i + 1);
    }
    return TT_OK;
}

/* ---- layouts ----------------------------------------------------------------------- */

static tt_status make_column(tt_table_layout *layout, int64_t at,
                             const tt_table_column *column, tt_error *err)
{
    tt_table_bins *bins = &layout->columns[at];
    TT_TRY(check_column(column, at, err));
    bins->is_categorical = column->is_categorical;
    bins->n = (int32_t)column->n;
    bins->edges = column->edges;
    bins->codes = column->codes;
    bins->scale = column->scale + 0.0;
    bins->first_bin = layout->n_bins;
    layout->n_bins += column->n + 1;
    if (layout->n_bins > TT_TABLE_MAX_BINS)
        return tt_fail(err, TT_BAD_INPUT, "column %lld: a table has at most %d bins",
                       (long long)at, TT_TABLE_MAX_BINS);
    if (bins->is_categorical) return make_categorical(bins, at, err);
    if (make_numeric(bins)) return TT_OK;
    return tt_fail(err, TT_NO_MEMORY, "column %lld: no memory for %lld edges",
                   (long long)at, (long long)column->n);
}

/* The digest is of the bytes of the description. */
static tt_status make_digest(tt_table_layout *layout, tt_error *err)
{
    size_t n_bytes = tt_table_layout_bytes(layout);
    unsigned char *bytes = tt_alloc(n_bytes);
    tt_writer writer = {bytes};
    if (bytes == NULL)
        return tt_fail(err, TT_NO_MEMORY, "%zu bytes of a layout", n_bytes);
    tt_table_layout_write(layout, &writer);
    layout->digest = tt_hash_bytes(bytes, n_bytes, /*seed=*/1);
    tt_free(bytes);
    return TT_OK;
}

static tt_status fill(tt_table_layout *layout, const tt_table_column *columns,
                      tt_error *err)
{
    for (int64_t i = 0; i < layout->n_columns; ++i)
        TT_TRY(make_column(layout, i, &columns[i], err));
    return make_digest(layout, err);
}

tt_status tt_table_layout_new(const tt_table_column *columns, int64_t n_columns,
                              tt_table_layout **out, tt_error *err)
{
    tt_table_layout *layout;
    tt_status status;
    *out = NULL;
    if (n_columns < 1 || n_columns > TT_TABLE_MAX_COLUMNS)
        return tt_fail(err, TT_BAD_INPUT, "a table has 1 to %d columns, got %lld",
                       TT_TABLE_MAX_COLUMNS, (long long)n_columns);
    layout = tt_calloc(1, sizeof *layout);
    if (layout == NULL)
        return tt_fail(err, TT_NO_MEMORY, "%zu bytes of a layout", sizeof *layout);
    layout->n_refs = 1;
    layout->columns = tt_calloc((size_t)n_columns, sizeof *layout->columns);
    if (layout->columns == NULL)
        status = tt_fail(err, TT_NO_MEMORY, "no memory for %lld columns",
                         (long long)n_columns);
    else {
        layout->n_columns = n_columns;
        status = fill(layout, columns, err);
    }
    if (status == TT_OK)
        *out = layout;
    else
        tt_table_layout_unref(layout);
    return status;
}

tt_table_layout *tt_table_layout_ref(tt_table_layout *layout)
{
    atomic_fetch_add_explicit(&layout->n_refs, 1, memory_order_relaxed);
    return layout;
}

void tt_table_layout_unref(tt_table_layout *layout)
{
    if (layout == NULL ||
        atomic_fetch_sub_explicit(&layout->n_refs, 1, memory_order_acq_rel) > 1)
        return;
    for (int64_t i = 0; i < layout->n_columns; ++i)
        tt_free(layout->columns[i].memory);
    tt_free(layout->columns);
    tt_free(layout);
}

int64_t tt_table_layout_n_columns(const tt_table_layout *layout)
{
    return layout->n_columns;
}

tt_table_column tt_table_layout_column(const tt_table_layout *layout, int64_t column)
{
    const tt_table_bins *bins = &layout->columns[column];
    return (tt_table_column){.is_categorical = bins->is_categorical,
                             .n = bins->n,
                             .edges = bins->is_categorical ? NULL : bins->edges,
                             .codes = bins->is_categorical ? bins->codes : NULL,
                             .scale = bins->scale};
}

static bool is_same_column(const tt_table_bins *a, const tt_table_bins *b)
{
    const void *of_a = a->is_categorical ? (const void *)a->codes : a->edges;
    const void *of_b = b->is_categorical ? (const void *)b->codes : b->edges;
    _Static_assert(sizeof *a->codes == sizeof *a->edges, "one size for both");
    return a->is_categorical == b->is_categorical && a->n == b->n &&
           a->scale == b->scale &&
           memcmp(of_a, of_b, (size_t)a->n * sizeof *a->edges) == 0;
}

bool tt_table_layout_equal(const tt_table_layout *a, const tt_table_layout *b)
{
    if (a == b) return true;
    if (a->n_columns != b->n_columns || !tt_hash_equal(a->digest, b->digest))
        return false;
    for (int64_t i = 0; i < a->n_columns; ++i)
        if (!is_same_column(&a->columns[i], &b->columns[i])) return false;
    return true;
}
