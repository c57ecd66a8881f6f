/* Rotary position embedding: each pair of items of a head is turned by an angle that
 * depends on the place of the token; tables hold the cosines and sines.
 *
 * A pair is items i and i + half, or 2 i and 2 i + 1 when interleaved.  Items behind the
 * pairs are copied. */
#ifndef TT_KERNELS_ROTARY_H
#define TT_KERNELS_ROTARY_H

#include "base/dtype.h"
#include "base/status.h"

/* What a head is turned by: rows of `half` cosines and sines, n_rows of them. */
typedef struct {
    tt_dtype dtype; /* of the items and the tables, a float */
    int64_t half, head_size, n_rows;
    bool is_interleaved;
} tt_rotary_turn;

/* One head of one token; x and dst are contiguous and do not overlap. */
void tt_rotary_row(const tt_rotary_turn *turn, const void *x, const void *cosines,
                   const void *sines, int64_t row, void *dst);

typedef enum {
    TT_ROTARY_BY_TOKEN, /* the tables have a row for each token of each batch */
    TT_ROTARY_BY_PLACE, /* int64 [batch, tokens]: the row of each token */
    TT_ROTARY_FROM      /* int64 [1]: the row of token 0, the others follow */
} tt_rotary_places;

/* Strides are in elements, from batch to batch, head to head and token to token. */
typedef struct {
    tt_rotary_turn turn;
    tt_rotary_places places;
    int64_t batch, heads, tokens;
    int64_t x[3], dst[3];
} tt_rotary;

enum {
    TT_ROTARY_X,
    TT_ROTARY_COS,
    TT_ROTARY_SIN,
    TT_ROTARY_PLACES,
    TT_ROTARY_N_SRC,
    TT_ROTARY_DST = TT_ROTARY_N_SRC,
    TT_ROTARY_N
};

/* A tt_kernel of plan/lower.h; TT_BAD_INPUT when a place is outside of the tables. */
tt_status tt_rotary_run(const void *params, void *const *ptrs, tt_error *err);

#endif
