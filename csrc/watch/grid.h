/* The grid of a histogram: cells whose edges are multiples of a power of two.
 *
 * Cell k covers [k w, (k + 1) w) with w = 2^exponent.  Which grid a histogram has
 * follows from the smallest and the largest value alone: the finest one where both
 * lie within TT_GRID_CELLS cells.  A wider range doubles w, and a cell of the finer
 * grid lies in one of the coarser: counts move, none is split.  So it does not matter
 * in which order or in which parts values come. */
#ifndef TT_WATCH_GRID_H
#define TT_WATCH_GRID_H

#include <math.h>
#include <stdint.h>

enum {
    TT_GRID_CELLS = 2048,
    /* cells are never narrower than 2^-23 of the largest magnitude (a float's last
     * bit): |k| <= 2^24, exact as a float */
    TT_GRID_DIGITS = 23,
    /* nor than the smallest normal float */
    TT_GRID_MIN_EXPONENT = -126,
    /* up to here 2^-exponent is a normal float */
    TT_GRID_F32_EXPONENT = 126
};

typedef struct {
    int exponent;
    int64_t first; /* cell of the smallest value */
} tt_grid;

/* k / 2^shift, rounded down; shift >= 0. */
static inline int64_t tt_grid_coarser(int64_t cell, int shift)
{
    if (shift > 62) shift = 62; /* what is left of a cell is its sign */
    return cell >= 0 ? cell >> shift : -(-(cell + 1) >> shift) - 1;
}

/* 2^-exponent: exact for every exponent of a grid. */
static inline double tt_grid_scale(int exponent)
{
    return ldexp(1.0, -exponent);
}

/* floor(x scale), also where the product is smaller than a double can be. */
static inline int64_t tt_grid_cell(double x, double scale)
{
    double scaled = floor(x * scale);
    return scaled == 0.0 && x < 0.0 ? -1 : (int64_t)scaled;
}

/* The grid of finite values between low <= high. */
static inline tt_grid tt_grid_of(double low, double high)
{
    double largest = fabs(low) > fabs(high) ? fabs(low) : fabs(high);
    int exponent =
        largest == 0.0 ? TT_GRID_MIN_EXPONENT : ilogb(largest) - TT_GRID_DIGITS;
    int64_t first, last;
    if (exponent < TT_GRID_MIN_EXPONENT) exponent = TT_GRID_MIN_EXPONENT;
    first = tt_grid_cell(low, tt_grid_scale(exponent));
    last = tt_grid_cell(high, tt_grid_scale(exponent));
    while (last - first >= TT_GRID_CELLS) { /* 14 times at most */
        first = tt_grid_coarser(first, 1);
        last = tt_grid_coarser(last, 1);
        ++exponent;
    }
    return (tt_grid){exponent, first};
}

#endif
