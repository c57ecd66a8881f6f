/* Range and mean of each channel of arrays that come one after another.
 *
 * 32 bytes a channel; states of parts merge into the state of the whole. */
#ifndef TT_WATCH_CHANNELS_H
#define TT_WATCH_CHANNELS_H

#include "base/cpu.h"
#include "watch/bytes.h"
#include "watch/view.h"

typedef struct {
    int64_t n;               /* finite values */
    double minimum, maximum; /* +inf and -inf while n is 0 */
    double mean;             /* 0 while n is 0; within the range */
} tt_channel;

/* The caller owns it; begins as {0} and ends with tt_channels_free. */
typedef struct {
    int64_t n_channels;  /* 0: nothing came yet */
    int64_t n_nonfinite; /* NaN and infinities of all channels, left out */
    tt_channel *channels;
} tt_channels;

enum { TT_CHANNELS_MAX = 1 << 24 };

void tt_channels_free(tt_channels *channels); /* {0} again */

/* Adds an array whose channels lie along `axis` (negative: from the end).  The first
 * array says how many there are.  After a failure the state is what it was before:
 * TT_BAD_INPUT for an axis the array has not, another number of channels or too many;
 * the rest as in histogram.h. */
tt_status tt_channels_update(tt_channels *channels, const tt_view *view, int axis,
                             tt_isa isa, tt_error *err);

/* Adds what `from` holds (which may be the same one). */
tt_status tt_channels_merge(tt_channels *channels, const tt_channels *from,
                            tt_error *err);

/* Bytes as in histogram.h; tt_channels_read fills a state of {0}. */
size_t tt_channels_bytes(const tt_channels *channels);
void tt_channels_write(const tt_channels *channels, tt_writer *writer);
tt_status tt_channels_read(tt_channels *channels, const void *data, size_t n_bytes,
                           tt_error *err);

#endif
