/* The end of a tile: bins of its values into counts, sums into sums.  Included by each
 * instruction set's file. */
#include "watch/table_kernels.h"

enum { N_PLACE_TABLES = 4, N_PLACES = 256 };
_Static_assert(TT_TILE_ROWS / N_PLACE_TABLES <= UINT8_MAX, "a count may overflow");

/* What a tile of fast values adds up to. */
typedef struct {
    int64_t n, n_missing;
    int64_t sum;
    uint64_t squares_even, squares_odd; /* of up to 256 values each */
    double minimum, maximum;
    uint16_t fast[TT_TILE_ROWS / 8]; /* which lanes of a vector are fast */
    uint8_t places[TT_TILE_ROWS];    /* bins; 0 where a value is not fast */
    /* increments of one address wait for each other, so four tables count by turns */
    uint8_t counts[N_PLACE_TABLES][N_PLACES];
} tt_tile;

static inline void begin(tt_tile *tile)
{
    tile->n = tile->n_missing = 0;
    memset(tile->counts, 0, sizeof tile->counts);
}

/* Counts 8 places.  Scalar work that goes on beside that of vectors. */
static inline void count_eight(tt_tile *tile, int64_t at)
{
    uint8_t(*counts)[N_PLACES] = tile->counts;
    uint64_t eight;
    memcpy(&eight, tile->places + at, sizeof eight);
    ++counts[0][eight & 0xff];
    ++counts[1][eight >> 8 & 0xff];
    ++counts[2][eight >> 16 & 0xff];
    ++counts[3][eight >> 24 & 0xff];
    ++counts[0][eight >> 32 & 0xff];
    ++counts[1][eight >> 40 & 0xff];
    ++counts[2][eight >> 48 & 0xff];
    ++counts[3][eight >> 56];
}

/* Adds a tile to a column.  n places were counted; those beyond tile->n are not fast:
 * NaN, or what came by tt_table_add_number, or padding. */
static void finish(const tt_tile *tile, const tt_table_bins *bins, int64_t n,
                   const tt_table_cells *cells)
{
    const uint8_t *a = tile->counts[0], *b = tile->counts[1];
    const uint8_t *c = tile->counts[2], *d = tile->counts[3];
    tt_table_sums *sums = cells->sums;
    uint32_t *counts = cells->counts;
    sums->n += tile->n;
    sums->n_missing += tile->n_missing;
    sums->sum += tile->sum;
    tt_u192_add(&sums->squares, (tt_u128)tile->squares_even + tile->squares_odd, 0);
    if (tile->minimum < sums->minimum) sums->minimum = tile->minimum;
    if (tile->maximum > sums->maximum) sums->maximum = tile->maximum;
    tt_table_count(cells, 0, (uint32_t)(a[0] + b[0] + c[0] + d[0] - (n - tile->n)));
    if (cells->high == NULL)
        for (int i = 1; i <= bins->n; ++i)
            counts[i] += (uint32_t)a[i] + b[i] + c[i] + d[i];
    else
        for (int i = 1; i <= bins->n; ++i)
            tt_table_count(cells, i, (uint32_t)a[i] + b[i] + c[i] + d[i]);
}

/* Lanes that are neither fast nor NaN; one of the pointers is set. */
static void add_others(const tt_table_bins *bins, unsigned others, const float *f32,
                       const double *f64, const tt_table_cells *cells)
{
    for (; others != 0; others &= others - 1) {
        int lane = __builtin_ctz(others);
        tt_table_add_number(bins, f32 != NULL ? (double)f32[lane] : f64[lane], cells);
    }
}

/* function(tree, n_levels, ...), compiled for each number of levels. */
#define TT_SWITCH_LEVELS(n_levels, function, tree, ...) \
    switch (n_levels) {                                 \
    case 1:                                             \
        function(tree, 1, __VA_ARGS__);                 \
        break;                                          \
    case 2:                                             \
        function(tree, 2, __VA_ARGS__);                 \
        break;                                          \
    case 3:                                             \
        function(tree, 3, __VA_ARGS__);                 \
        break;                                          \
    case 4:                                             \
        function(tree, 4, __VA_ARGS__);                 \
        break;                                          \
    case 5:                                             \
        function(tree, 5, __VA_ARGS__);                 \
        break;                                          \
    case 6:                                             \
        function(tree, 6, __VA_ARGS__);                 \
        break;                                          \
    case 7:                                             \
        function(tree, 7, __VA_ARGS__);                 \
        break;                                          \
    case 8:                                             \
        function(tree, 8, __VA_ARGS__);                 \
        break;                                          \
    default:                                            \
        function(tree, 0, __VA_ARGS__);                 \
    }
