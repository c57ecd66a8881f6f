/* Columns of categories: items of any numeric dtype as codes. */
#ifndef TT_WATCH_TABLE_CODES_H
#define TT_WATCH_TABLE_CODES_H

#include "watch/table_state.h"

/* n items of a dtype that passed tt_view_check, `stride` bytes apart.  NaN is missing;
 * numbers that are no int64 are unseen. */
void tt_table_add_codes(const tt_table_bins *bins, tt_dtype dtype, const char *src,
                        int64_t stride, int64_t n, const tt_table_cells *cells);

#endif
