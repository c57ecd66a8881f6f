/* Arrays into tables: see table.h.
 *
 * Few rows are added value by value.  Otherwise rows are read in tiles: a strip of
 * columns is turned into columns side by side, each of which a kernel reads while it is
 * in the cache. */
#include "base/alloc.h"
#include "base/checked.h"
#include "base/fork.h"
#include "watch/table_codes.h"
#include "watch/table_kernels.h"

/* Below, the work of a tile's beginning and end is not worth it. */
enum { FEW_ROWS = 8 };

/* An array of rows; the columns lie along the other axes, in order. */
typedef struct {
    tt_view view; /* rank >= 1 */
    int64_t n_columns;
    bool is_even; /* columns are column_stride apart */
    int64_t column_stride;
} rows;

static tt_status rows_of_view(const tt_table_layout *layout, const tt_view *view,
                              rows *out, tt_error *err)
{
    int64_t n_items, stride;
    int last = view->rank - 1;
    TT_TRY(tt_view_check(view, &n_items, err));
    *out = (rows){.view = *view, .is_even = true};
    if (view->rank < 1 || !tt_numel(view->dims + 1, last, &out->n_columns) ||
        out->n_columns != layout->n_columns)
        return tt_fail(err, TT_BAD_INPUT,
                       "expected rows of %lld columns, got an array of %d dims with "
                       "%lld in a row",
                       (long long)layout->n_columns, view->rank,
                       view->rank < 1 ? 0LL : (long long)out->n_columns);
    stride = out->column_stride = last > 0 ? view->strides[last] : 0;
    for (int i = last; i > 0; --i)
        out->is_even = out->is_even &&
                       (view->strides[i] == stride || view->dims[i] == 1) &&
                       tt_mul_i64(stride, view->dims[i], &stride);
    return TT_OK;
}

/* Numbers side by side. */
typedef union {
    float f32[TT_TILE_ROWS];
    double f64[TT_TILE_ROWS];
} tile_memory;

/* Where a column begins. */
static const char *column_of(const rows *from, int64_t column)
{
    const char *at = from->view.data;
    if (from->is_even) return at + column * from->column_stride;
    for (int i = from->view.rank - 1; i > 0; --i) {
        at += column % from->view.dims[i] * from->view.strides[i];
        column /= from->view.dims[i];
    }
    return at;
}

static void add_items(const tt_table_kernels *kernels, const tt_table_bins *bins,
                      tt_dtype dtype, const char *src, int64_t stride, int64_t n,
                      const tt_table_cells *cells)
{
    tile_memory tile;
    bool is_f64 = tt_view_is_f64(dtype);
    int64_t item_bytes = is_f64 ? sizeof(double) : sizeof(float);
    bool is_direct = (dtype == TT_F32 || dtype == TT_F64) && stride == item_bytes &&
                     (uintptr_t)src % (uintptr_t)item_bytes == 0;
    if (bins->is_categorical) {
        tt_table_add_codes(bins, dtype, src, stride, n, cells);
        return;
    }
    for (int64_t i = 0; i < n; i += TT_TILE_ROWS, src += TT_TILE_ROWS * stride) {
        int64_t m = n - i < TT_TILE_ROWS ? n - i : TT_TILE_ROWS;
        const void *items = is_direct ? (const void *)src : &tile;
        if (!is_direct) tt_view_gather(dtype, src, stride, m, &tile);
        if (is_f64)
            kernels->add_f64(bins, items, m, cells);
        else if (bins->has_f32)
            kernels->add_f32(bins, items, m, cells);
        else
            for (int64_t k = 0; k < m; ++k)
                tt_table_add_number(bins, (double)((const float *)items)[k], cells);
    }
}

/* ---- rows one by one ------------------------------------------------------------------- */

/* m columns of a row from `first` on, `offset` bytes behind the first row. */
static void gather_row(const rows *from, int64_t offset, int64_t first, int64_t m,
                       tile_memory *items)
{
    tt_dtype dtype = from->view.dtype;
    if (from->is_even) {
        tt_view_gather(dtype, column_of(from, first) + offset, from->column_stride, m,
                       items);
        return;
    }
    for (int64_t i = 0; i < m; ++i)
        tt_view_gather(dtype, column_of(from, first + i) + offset, /*stride=*/0, 1,
                       tt_view_is_f64(dtype) ? (void *)&items->f64[i]
                                             : (void *)&items->f32[i]);
}

static void add_row(tt_table *table, const rows *from, int64_t offset)
{
    bool is_f64 = tt_view_is_f64(from->view.dtype);
    tile_memory items;
    for (int64_t first = 0; first < from->n_columns; first += TT_TILE_ROWS) {
        int64_t m = from->n_columns - first;
        m = m < TT_TILE_ROWS ? m : TT_TILE_ROWS;
        gather_row(from, offset, first, m, &items);
        for (int64_t i = 0; i < m; ++i) {
            const tt_table_bins *bins = &table->layout->columns[first + i];
            tt_table_cells cells = tt_table_cells_of(table, first + i);
            if (bins->is_categorical) /* codes need all of their 64 bits */
                tt_table_add_codes(bins, from->view.dtype,
                                   column_of(from, first + i) + offset, 0, 1, &cells);
            else
                tt_table_add_number(bins, is_f64 ? items.f64[i] : (double)items.f32[i],
                                    &cells);
        }
    }
}

/* ---- tiles ----------------------------------------------------------------------------- */

/* A strip of floats side by side in their rows, as columns. */
typedef struct {
    float columns[TT_TILE_COLUMNS * TT_TILE_STRIDE];
} strip;

static bool has_strips(const rows *from)
{
    return from->view.dtype == TT_F32 && from->is_even &&
           from->column_stride == (int64_t)sizeof(float) && from->n_columns > 1;
}

static void add_strip(tt_table *table, const tt_table_kernels *kernels,
                      const rows *from, int64_t offset, int64_t n_rows, int64_t first,
                      strip *memory)
{
    int64_t n = from->n_columns - first;
    n = n < TT_TILE_COLUMNS ? n : TT_TILE_COLUMNS;
    kernels->columns_f32(column_of(from, first) + offset, from->view.strides[0], n_rows,
                         n, memory->columns);
    for (int64_t c = 0; c < n; ++c) {
        tt_table_cells cells = tt_table_cells_of(table, first + c);
        const void *column = memory->columns + c * TT_TILE_STRIDE;
        add_items(kernels, &table->layout->columns[first + c], TT_F32, column,
                  sizeof(float), n_rows, &cells);
    }
}

/* Some rows, `offset` bytes behind the first. */
static void add_tile(tt_table *table, const tt_table_kernels *kernels, const rows *from,
                     int64_t offset, int64_t n_rows, strip *memory)
{
    for (int64_t c = 0; c < from->n_columns; c += TT_TILE_COLUMNS) {
        int64_t end = c + TT_TILE_COLUMNS;
        if (memory != NULL) {
            add_strip(table, kernels, from, offset, n_rows, c, memory);
            continue;
        }
        for (int64_t i = c; i < end && i < from->n_columns; ++i) {
            tt_table_cells cells = tt_table_cells_of(table, i);
            add_items(kernels, &table->layout->columns[i], from->view.dtype,
                      column_of(from, i) + offset, from->view.strides[0], n_rows,
                      &cells);
        }
    }
}

static void add_rows(tt_table *table, const tt_table_kernels *kernels, const rows *from)
{
    int64_t n_rows = from->view.dims[0], stride = from->view.strides[0];
    bool is_few = n_rows < FEW_ROWS;
    strip memory;
    for (int64_t r = 0; is_few && r < n_rows; ++r)
        add_row(table, from, r * stride);
    for (int64_t r = 0; !is_few && r < n_rows; r += TT_TILE_ROWS) {
        int64_t left = n_rows - r;
        add_tile(table, kernels, from, r * stride,
                 left < TT_TILE_ROWS ? left : TT_TILE_ROWS,
                 has_strips(from) ? &memory : NULL);
    }
}

/* ---- one column ------------------------------------------------------------------------ */

/* All items of a view of any rank, in the order of their addresses. */
static void add_column(tt_table *table, const tt_table_kernels *kernels, int64_t column,
                       const tt_view *given)
{
    const tt_view view = tt_view_merged(given);
    tt_table_cells cells = tt_table_cells_of(table, column);
    int64_t index[TT_MAX_RANK] = {0};
    const char *row = view.data;
    int last = view.rank - 1, axis;
    do {
        add_items(kernels, &table->layout->columns[column], view.dtype, row,
                  view.strides[last], view.dims[last], &cells);
        for (axis = last - 1; axis >= 0; --axis) {
            row += view.strides[axis];
            if (++index[axis] < view.dims[axis]) break;
            row -= view.strides[axis] * view.dims[axis];
            index[axis] = 0;
        }
    } while (axis >= 0);
}

/* ---- updates --------------------------------------------------------------------------- */

/* What is to be added: rows, or the items of a column. */
typedef struct {
    const tt_table_kernels *kernels;
    const rows *from;      /* or NULL */
    const tt_view *column; /* or NULL */
    int64_t at;            /* which column */
    int64_t n_rows, n_items;
} work;

static tt_status add(tt_table *table, const work *job, tt_error *err)
{
    TT_TRY(tt_table_make_room(table, job->n_rows, err));
    if (job->from != NULL)
        add_rows(table, job->kernels, job->from);
    else
        add_column(table, job->kernels, job->at, job->column);
    return TT_OK;
}

/* Much is counted in a table of its own, so that nobody waits. */
static tt_status update(tt_table *table, const work *job, tt_error *err)
{
    tt_status status;
    tt_table *own;
    if (job->n_items == 0) return TT_OK;
    if (job->n_items < TT_TABLE_FEW_ITEMS) {
        tt_mutex_lock(&table->lock);
        status = add(table, job, err);
        tt_mutex_unlock(&table->lock);
        return status;
    }
    TT_TRY(tt_table_new(table->layout, &own, err));
    status = add(own, job, err);
    if (status == TT_OK) status = tt_table_merge(table, own, err);
    tt_table_free(own);
    return status;
}

tt_status tt_table_update(tt_table *table, const tt_view *view, tt_isa isa,
                          tt_error *err)
{
    work job = {.kernels = tt_table_kernels_of(isa)};
    rows from;
    TT_TRY(rows_of_view(table->layout, view, &from, err));
    job.from = &from;
    job.n_rows = view->dims[0];
    job.n_items = job.n_rows * from.n_columns;
    return update(table, &job, err);
}

tt_status tt_table_update_column(tt_table *table, int64_t column, const tt_view *view,
                                 tt_isa isa, tt_error *err)
{
    work job = {.kernels = tt_table_kernels_of(isa), .column = view, .at = column};
    if (column < 0 || column >= table->layout->n_columns)
        return tt_fail(err, TT_BAD_INPUT, "column %lld of a table of %lld",
                       (long long)column, (long long)table->layout->n_columns);
    TT_TRY(tt_view_check(view, &job.n_items, err));
    job.n_rows = job.n_items;
    return update(table, &job, err);
}
