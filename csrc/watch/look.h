/* A look at one tensor of a call: NaN, infinities, values outside limits, rows that are
 * constant. */
#ifndef TT_WATCH_LOOK_H
#define TT_WATCH_LOOK_H

#include "base/cpu.h"
#include "watch/counters.h"
#include "watch/view.h"

/* Rows of fewer values may well be constant. */
enum { TT_CONSTANT_ITEMS = 16 };

/* Some rows of `view`, side by side, of about max_bytes, beginning at random; where one
 * row is larger, a part of one, and *has_rows is false.  `view` has passed
 * tt_view_check. */
tt_view tt_look_part(const tt_view *view, int64_t max_bytes, uint64_t random,
                     bool *has_rows);

/* Adds what the items of `view` are to *oddity; limits may be infinite.  With has_rows,
 * axis 0 counts rows.  `view` has passed tt_view_check. */
void tt_look_at(const tt_view *view, bool has_rows, double low, double high, tt_isa isa,
                tt_oddity *oddity);

#endif
