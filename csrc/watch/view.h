/* Arrays in memory as blocks of numbers: any numeric dtype, any strides.
 *
 * What is computed of the values does not depend on their order, so they come in the
 * order of their addresses: axes are sorted by stride, negative ones are turned round,
 * axes without a gap between them become one. */
#ifndef TT_WATCH_VIEW_H
#define TT_WATCH_VIEW_H

#include "base/shape.h"

/* An array that somebody else owns. */
typedef struct {
    tt_dtype dtype;
    int rank;
    int64_t dims[TT_MAX_RANK];
    int64_t strides[TT_MAX_RANK]; /* bytes: any sign, 0 repeats */
    const char *data;             /* of item [0, 0, ..]; need not be aligned */
} tt_view;

/* TT_BAD_INPUT_TYPE for a dtype without real numbers, TT_BAD_INPUT for dims that are
 * negative or whose product overflows; else *n_items. */
tt_status tt_view_check(const tt_view *view, int64_t *n_items, tt_error *err);

enum { TT_BLOCK_ITEMS = 4096 };

/* n values side by side; exactly one pointer is set.  Of 64 and 32 bit integers and
 * f64 come doubles (64 bits rounded to 53), of everything else floats, exactly. */
typedef struct {
    const float *f32;
    const double *f64;
    int64_t n; /* 1 to TT_BLOCK_ITEMS */
} tt_block;

/* The blocks of a view, one after another; holds their memory (36 KB). */
typedef struct {
    tt_view view; /* sorted and merged */
    int64_t index[TT_MAX_RANK];
    const char *row;      /* where the innermost axis begins */
    int64_t done, n_left; /* items of that axis, of the view */
    union {
        float f32[TT_BLOCK_ITEMS];
        double f64[TT_BLOCK_ITEMS];
    } memory;
} tt_blocks;

/* Does tt_view_gather give doubles (8 bytes) rather than floats? */
bool tt_view_is_f64(tt_dtype dtype);
/* n items of a dtype that passed tt_view_check, `stride` bytes apart, side by side. */
void tt_view_gather(tt_dtype dtype, const char *src, int64_t stride, int64_t n,
                    void *dst);

/* The same items with as few axes as there can be, at least one, the largest stride first
 * and none negative.  `view` has passed tt_view_check and is not empty. */
tt_view tt_view_merged(const tt_view *view);

/* `view` has passed tt_view_check. */
void tt_blocks_begin(tt_blocks *blocks, const tt_view *view);
bool tt_blocks_next(tt_blocks *blocks, tt_block *block); /* false: no more */

#endif
