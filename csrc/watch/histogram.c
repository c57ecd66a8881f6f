/* The streaming histogram: see histogram.h.
 *
 * An array is read block by block, each while it is in L1: range and sum first, which
 * may make the grid coarser; then the cells, counted in four tables of 16 bits by turns,
 * since increments of one address wait for each other. */
#include "watch/histogram.h"

#include "base/alloc.h"
#include "base/checked.h"
#include "watch/block_kernels.h"

enum {
    N_TABLES = 4,
    /* cells of a table: those of the grid, one for what is not finite, and padding */
    TABLE_CELLS = TT_GRID_CELLS + 4,
    /* a table gets at most every fourth value and three of a block's end */
    MAX_PENDING = 60 * TT_BLOCK_ITEMS,
    /* below, the tables cost more than they gain */
    MIN_TABLE_ITEMS = 2048,
};
_Static_assert(MAX_PENDING / N_TABLES + 4 * 60 <= UINT16_MAX, "a count may overflow");

static const uint64_t magic = 0x0001747369687474; /* "tthist", version 1 */

/* What an update works in. */
typedef struct {
    tt_blocks blocks;
    uint16_t cells[TT_BLOCK_ITEMS];
    uint16_t tables[N_TABLES][TABLE_CELLS];
    int64_t n_pending; /* values in the tables */
} workplace;

void tt_histogram_clear(tt_histogram *histogram)
{
    memset(histogram, 0, sizeof *histogram);
    histogram->moments = tt_moments_empty();
}

double tt_histogram_width(const tt_histogram *h)
{
    return h->moments.n == 0 ? 0.0 : ldexp(1.0, h->grid.exponent);
}

double tt_histogram_low_edge(const tt_histogram *h)
{
    return h->moments.n == 0 ? 0.0 : ldexp((double)h->grid.first, h->grid.exponent);
}

/* ---- the grid ---------------------------------------------------------------- */

/* Moves counts to the grid of [low, high], which holds the present range. */
static void regrid(tt_histogram *h, double low, double high)
{
    tt_grid old = h->grid, new = tt_grid_of(low, high);
    int shift = new.exponent - old.exponent;
    int64_t offset;
    bool is_empty = h->moments.n == 0;
    h->grid = new;
    if (is_empty || (shift == 0 && new.first == old.first)) return;
    /* coarser, in place: no cell moves up */
    offset = tt_grid_coarser(old.first, shift);
    for (int64_t i = 0; shift > 0 && i < TT_GRID_CELLS; ++i) {
        int64_t count = h->counts[i];
        h->counts[i] = 0;
        h->counts[tt_grid_coarser(old.first + i, shift) - offset] += count;
    }
    /* up, where smaller values came; what falls off the end is 0 */
    offset -= new.first;
    if (offset == 0) return;
    memmove(h->counts + offset, h->counts,
            (size_t)(TT_GRID_CELLS - offset) * sizeof h->counts[0]);
    memset(h->counts, 0, (size_t)offset * sizeof h->counts[0]);
}

/* ---- counting ---------------------------------------------------------------- */

static void flush(tt_histogram *h, workplace *work)
{
    if (work->n_pending == 0) return;
    for (int i = 0; i < TT_GRID_CELLS; ++i) {
        int32_t sum = 0;
        for (int t = 0; t < N_TABLES; ++t)
            sum += work->tables[t][i];
        h->counts[i] += sum;
    }
    memset(work->tables, 0, sizeof work->tables);
    work->n_pending = 0;
}

static void count_in_tables(workplace *work, int64_t n)
{
    const uint16_t *cells = work->cells;
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) {
        uint64_t four;
        memcpy(&four, cells + i, sizeof four);
        ++work->tables[0][four & 0xffff];
        ++work->tables[1][four >> 16 & 0xffff];
        ++work->tables[2][four >> 32 & 0xffff];
        ++work->tables[3][four >> 48];
    }
    for (; i < n; ++i)
        ++work->tables[0][cells[i]];
    work->n_pending += n;
}

static void count_few(tt_histogram *h, const uint16_t *cells, int64_t n)
{
    for (int64_t i = 0; i < n; ++i)
        if (cells[i] < TT_GRID_CELLS) ++h->counts[cells[i]];
}

static double find_cells(const tt_histogram *h, const tt_block *block,
                         const tt_block_kernels *kernels, double mean, workplace *work)
{
    if (block->f64 != NULL)
        return tt_cells_f64(block->f64, block->n, &h->grid, mean, work->cells);
    if (h->grid.exponent > TT_GRID_F32_EXPONENT) kernels = &tt_block_kernels_ref;
    return kernels->cells(block->f32, block->n, &h->grid, mean, work->cells);
}

static void add_block(tt_histogram *h, const tt_block *block,
                      const tt_block_kernels *kernels, bool is_small, workplace *work)
{
    const tt_moments *have = &h->moments;
    tt_moments moments = tt_moments_empty();
    tt_scan scan;
    if (block->f64 != NULL)
        tt_scan_f64(block->f64, block->n, &scan);
    else
        kernels->scan(block->f32, block->n, &scan);
    moments.n = scan.n;
    moments.n_nonfinite = block->n - scan.n;
    if (scan.n > 0) {
        bool is_wider = scan.minimum < have->minimum || scan.maximum > have->maximum;
        moments.minimum = scan.minimum;
        moments.maximum = scan.maximum;
        moments.mean =
            fmin(fmax(scan.sum / (double)scan.n, scan.minimum), scan.maximum);
        if (is_wider) {
            flush(h, work);
            regrid(h, fmin(scan.minimum, have->minimum),
                   fmax(scan.maximum, have->maximum));
        }
        moments.m2 = find_cells(h, block, kernels, moments.mean, work);
        if (is_small)
            count_few(h, work->cells, block->n);
        else
            count_in_tables(work, block->n);
        if (work->n_pending > MAX_PENDING - TT_BLOCK_ITEMS) flush(h, work);
    }
    (void)tt_moments_merge(&h->moments, &moments); /* the sums were checked before */
}

static tt_status check_room(const tt_moments *moments, int64_t n_more, tt_error *err)
{
    int64_t sum;
    if (tt_add_i64(moments->n, n_more, &sum) &&
        tt_add_i64(sum, moments->n_nonfinite, &sum))
        return TT_OK;
    return tt_fail(err, TT_LIMIT, "%lld values and %lld more are too many to count",
                   (long long)moments->n, (long long)n_more);
}

tt_status tt_histogram_update(tt_histogram *h, const tt_view *view, tt_isa isa,
                              tt_error *err)
{
    const tt_block_kernels *kernels = tt_block_kernels_of(isa);
    workplace *work;
    tt_block block;
    int64_t n_items;
    TT_TRY(tt_view_check(view, &n_items, err));
    TT_TRY(check_room(&h->moments, n_items, err));
    if (n_items == 0) return TT_OK;
    work = tt_alloc(sizeof *work);
    if (work == NULL)
        return tt_fail(err, TT_NO_MEMORY, "%zu bytes to count in", sizeof *work);
    if (n_items >= MIN_TABLE_ITEMS) memset(work->tables, 0, sizeof work->tables);
    work->n_pending = 0;
    tt_blocks_begin(&work->blocks, view);
    while (tt_blocks_next(&work->blocks, &block))
        add_block(h, &block, kernels, n_items < MIN_TABLE_ITEMS, work);
    flush(h, work);
    tt_free(work);
    return TT_OK;
}

tt_status tt_histogram_merge(tt_histogram *h, const tt_histogram *from, tt_error *err)
{
    tt_moments moments = from->moments;
    TT_TRY(check_room(&h->moments, moments.n + moments.n_nonfinite, err));
    if (moments.n > 0) {
        tt_grid grid = from->grid; /* of what is perhaps the same histogram */
        int shift;
        regrid(h, fmin(moments.minimum, h->moments.minimum),
               fmax(moments.maximum, h->moments.maximum));
        shift = h->grid.exponent - grid.exponent;
        for (int64_t i = 0; i < TT_GRID_CELLS; ++i)
            if (from->counts[i] > 0)
                h->counts[tt_grid_coarser(grid.first + i, shift) - h->grid.first] +=
                    from->counts[i];
    }
    (void)tt_moments_merge(&h->moments, &moments);
    return TT_OK;
}

/* ---- bytes -------------------------------------------------------------------- */

/* Cells that the range covers; 0 while there is none. */
static int64_t used_cells(const tt_histogram *h)
{
    double scale = tt_grid_scale(h->grid.exponent);
    if (h->moments.n == 0) return 0;
    return tt_grid_cell(h->moments.maximum, scale) - h->grid.first + 1;
}

void tt_histogram_write(const tt_histogram *h, tt_writer *writer)
{
    int64_t n_cells = used_cells(h);
    tt_write_u64(writer, magic);
    tt_write_moments(writer, &h->moments);
    for (int64_t i = 0; i < n_cells; ++i)
        tt_write_i64(writer, h->counts[i]);
}

/* Counts of a histogram whose moments are known: they sum to n, and the range ends
 * where there are counts. */
static bool read_counts(tt_histogram *h, tt_reader *reader)
{
    int64_t n_cells = used_cells(h), sum = 0;
    if (reader->n_left != (size_t)n_cells * 8) return false;
    for (int64_t i = 0; i < n_cells; ++i) {
        h->counts[i] = tt_read_i64(reader);
        if (h->counts[i] < 0 || !tt_add_i64(sum, h->counts[i], &sum)) return false;
    }
    return sum == h->moments.n &&
           (n_cells == 0 || (h->counts[0] > 0 && h->counts[n_cells - 1] > 0));
}

tt_status tt_histogram_read(tt_histogram *h, const void *data, size_t n_bytes,
                            tt_error *err)
{
    tt_reader reader = {data, n_bytes, false};
    uint64_t found = tt_read_u64(&reader);
    tt_histogram_clear(h);
    if (found != magic)
        return tt_fail(err, TT_BAD_INPUT,
                       "%zu bytes are no histogram: they begin with %016llx", n_bytes,
                       (unsigned long long)found);
    h->moments = tt_read_moments(&reader);
    if (!reader.is_short && tt_moments_is_valid(&h->moments)) {
        if (h->moments.n > 0)
            h->grid = tt_grid_of(h->moments.minimum, h->moments.maximum);
        if (read_counts(h, &reader)) return TT_OK;
    }
    tt_histogram_clear(h);
    return tt_fail(err, TT_BAD_INPUT,
                   "%zu bytes hold no valid histogram: they are cut off, or counts, "
                   "range and mean contradict each other",
                   n_bytes);
}
