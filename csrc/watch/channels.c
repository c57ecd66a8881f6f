/* Statistics per channel: see channels.h.
 *
 * Where channels lie side by side in floats, whole rows are read, a vector of channels
 * at a time; elsewhere the items of one channel after another, in blocks. */
#include "watch/channels.h"

#include <math.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "watch/block_kernels.h"

/* Rows that are read for one vector of channels before the next: as many as stay in L2. */
enum { STRIP_ITEMS = 1 << 16, MIN_STRIP_ROWS = 16 };

static const uint64_t magic = 0x00016e6368637474; /* "ttchchn", version 1 */

static double clamp(double x, double low, double high)
{
    return fmin(fmax(x, low), high); /* of NaN, low */
}

static void add(tt_channel *into, const tt_channel *from)
{
    double share;
    if (from->n == 0) return;
    into->n += from->n; /* checked before */
    share = (double)from->n / (double)into->n;
    into->minimum = fmin(into->minimum, from->minimum) + 0.0;
    into->maximum = fmax(into->maximum, from->maximum) + 0.0;
    /* halves: the difference may be beyond double */
    into->mean += 2.0 * (share * (0.5 * from->mean - 0.5 * into->mean));
    into->mean = clamp(into->mean, into->minimum, into->maximum) + 0.0;
}

static tt_status make(tt_channels *out, int64_t n_channels, tt_error *err)
{
    *out = (tt_channels){0};
    out->channels = tt_calloc((size_t)n_channels, sizeof *out->channels);
    if (out->channels == NULL)
        return tt_fail(err, TT_NO_MEMORY, "the state of %lld channels",
                       (long long)n_channels);
    out->n_channels = n_channels;
    for (int64_t c = 0; c < n_channels; ++c) {
        out->channels[c].minimum = HUGE_VAL;
        out->channels[c].maximum = -HUGE_VAL;
    }
    return TT_OK;
}

void tt_channels_free(tt_channels *channels)
{
    tt_free(channels->channels);
    *channels = (tt_channels){0};
}

/* ---- an array ------------------------------------------------------------------ */

/* Memory for the sums of one array, and its blocks. */
typedef struct {
    tt_blocks blocks;
    tt_columns columns;
} workplace;

static void workplace_free(workplace *work)
{
    if (work == NULL) return;
    tt_free(work->columns.n);
    tt_free(work->columns.minimum);
    tt_free(work->columns.maximum);
    tt_free(work->columns.sum);
    tt_free(work);
}

static workplace *workplace_new(int64_t n_channels)
{
    size_t n = (size_t)n_channels;
    workplace *work = tt_calloc(1, sizeof *work);
    tt_columns *columns = work == NULL ? NULL : &work->columns;
    if (work == NULL) return NULL;
    columns->n = tt_calloc(n, sizeof *columns->n);
    columns->minimum = tt_calloc(n, sizeof *columns->minimum);
    columns->maximum = tt_calloc(n, sizeof *columns->maximum);
    columns->sum = tt_calloc(n, sizeof *columns->sum);
    if (columns->n == NULL || columns->minimum == NULL || columns->maximum == NULL ||
        columns->sum == NULL) {
        workplace_free(work);
        return NULL;
    }
    for (int64_t c = 0; c < n_channels; ++c) {
        columns->minimum[c] = HUGE_VAL;
        columns->maximum[c] = -HUGE_VAL;
    }
    return work;
}

/* Rows of channels that lie side by side. */
static void read_rows(const tt_view *rest, int64_t n_channels,
                      const tt_block_kernels *kernels, const tt_columns *columns)
{
    int64_t stride = rest->strides[0] / (int64_t)sizeof(float), n_left = rest->dims[0];
    int64_t n_rows = STRIP_ITEMS / (stride > 0 ? stride : 1);
    const float *x = (const void *)rest->data;
    if (n_rows < MIN_STRIP_ROWS) n_rows = MIN_STRIP_ROWS;
    for (; n_left > 0; n_left -= n_rows, x += n_rows * stride) {
        if (n_rows > n_left) n_rows = n_left;
        kernels->columns(x, stride, n_rows, n_channels, columns);
    }
}

/* All items of channel c. */
static void read_channel(workplace *work, const tt_view *rest, int64_t c,
                         const tt_block_kernels *kernels)
{
    const tt_columns *columns = &work->columns;
    tt_block block;
    tt_blocks_begin(&work->blocks, rest);
    while (tt_blocks_next(&work->blocks, &block)) {
        tt_scan scan;
        if (block.f64 != NULL)
            tt_scan_f64(block.f64, block.n, &scan);
        else
            kernels->scan(block.f32, block.n, &scan);
        columns->n[c] += scan.n;
        columns->sum[c] += scan.sum;
        columns->minimum[c] = fmin(columns->minimum[c], scan.minimum);
        columns->maximum[c] = fmax(columns->maximum[c], scan.maximum);
    }
}

static void read_array(workplace *work, const tt_view *view, int axis,
                       const tt_block_kernels *kernels)
{
    tt_view rest = *view, merged;
    int64_t n_channels = view->dims[axis], step = view->strides[axis];
    const int64_t item = (int64_t)sizeof(float);
    rest.dims[axis] = 1;
    merged = tt_view_merged(&rest);
    if (view->dtype == TT_F32 && (step == item || n_channels == 1) &&
        merged.rank == 1 && merged.strides[0] % item == 0 &&
        (uintptr_t)view->data % sizeof(float) == 0) {
        read_rows(&merged, n_channels, kernels, &work->columns);
        return;
    }
    for (int64_t c = 0; c < n_channels; ++c) {
        read_channel(work, &rest, c, kernels);
        rest.data += step;
    }
}

/* Counts of a channel are sums of checked sums: only the total can overflow. */
static int64_t n_seen(const tt_channels *channels)
{
    int64_t n = channels->n_nonfinite;
    for (int64_t c = 0; c < channels->n_channels; ++c)
        n += channels->channels[c].n;
    return n;
}

static tt_status check_room(const tt_channels *channels, int64_t n_more, tt_error *err)
{
    int64_t n = n_seen(channels), sum;
    if (tt_add_i64(n, n_more, &sum)) return TT_OK;
    return tt_fail(err, TT_LIMIT, "%lld values and %lld more are too many to count",
                   (long long)n, (long long)n_more);
}

static tt_status check_axis(const tt_channels *channels, const tt_view *view, int *axis,
                            tt_error *err)
{
    int64_t n;
    if (*axis < -view->rank || *axis >= view->rank)
        return tt_fail(err, TT_BAD_INPUT, "axis %d is not one of the array's %d", *axis,
                       view->rank);
    if (*axis < 0) *axis += view->rank;
    n = view->dims[*axis];
    if (n > TT_CHANNELS_MAX)
        return tt_fail(err, TT_BAD_INPUT, "%lld channels are more than %d",
                       (long long)n, TT_CHANNELS_MAX);
    if (channels->n_channels != 0 && n != channels->n_channels)
        return tt_fail(err, TT_BAD_INPUT,
                       "expected %lld channels on axis %d as in earlier arrays, got "
                       "%lld",
                       (long long)channels->n_channels, *axis, (long long)n);
    return TT_OK;
}

tt_status tt_channels_update(tt_channels *channels, const tt_view *view, int axis,
                             tt_isa isa, tt_error *err)
{
    const tt_columns *columns;
    workplace *work;
    int64_t n_items;
    TT_TRY(tt_view_check(view, &n_items, err));
    TT_TRY(check_axis(channels, view, &axis, err));
    TT_TRY(check_room(channels, n_items, err));
    if (n_items == 0) return TT_OK;
    work = workplace_new(view->dims[axis]);
    if (work == NULL)
        return tt_fail(err, TT_NO_MEMORY, "the sums of %lld channels",
                       (long long)view->dims[axis]);
    if (channels->n_channels == 0) {
        tt_status status = make(channels, view->dims[axis], err);
        if (status != TT_OK) {
            workplace_free(work);
            return status;
        }
    }
    read_array(work, view, axis, tt_block_kernels_of(isa));
    columns = &work->columns;
    channels->n_nonfinite += n_items;
    for (int64_t c = 0; c < channels->n_channels; ++c) {
        double mean = columns->n[c] > 0 ? columns->sum[c] / (double)columns->n[c] : 0.0;
        tt_channel one = {columns->n[c], columns->minimum[c], columns->maximum[c],
                          clamp(mean, columns->minimum[c], columns->maximum[c])};
        add(&channels->channels[c], &one);
        channels->n_nonfinite -= one.n;
    }
    workplace_free(work);
    return TT_OK;
}

tt_status tt_channels_merge(tt_channels *channels, const tt_channels *from,
                            tt_error *err)
{
    if (from->n_channels == 0) return TT_OK;
    if (channels->n_channels != 0 && channels->n_channels != from->n_channels)
        return tt_fail(err, TT_BAD_INPUT,
                       "expected %lld channels as in earlier arrays, got %lld",
                       (long long)channels->n_channels, (long long)from->n_channels);
    TT_TRY(check_room(channels, n_seen(from), err));
    if (channels->n_channels == 0) TT_TRY(make(channels, from->n_channels, err));
    for (int64_t c = 0; c < channels->n_channels; ++c) {
        tt_channel one = from->channels[c]; /* which may be the one that changes */
        add(&channels->channels[c], &one);
    }
    channels->n_nonfinite += from->n_nonfinite;
    return TT_OK;
}

/* ---- bytes --------------------------------------------------------------------- */

enum { HEADER_BYTES = 24, CHANNEL_BYTES = 32 };

size_t tt_channels_bytes(const tt_channels *channels)
{
    return HEADER_BYTES + (size_t)channels->n_channels * CHANNEL_BYTES;
}

void tt_channels_write(const tt_channels *channels, tt_writer *writer)
{
    tt_write_u64(writer, magic);
    tt_write_i64(writer, channels->n_channels);
    tt_write_i64(writer, channels->n_nonfinite);
    for (int64_t c = 0; c < channels->n_channels; ++c) {
        const tt_channel *channel = &channels->channels[c];
        tt_write_i64(writer, channel->n);
        tt_write_f64(writer, channel->minimum);
        tt_write_f64(writer, channel->maximum);
        tt_write_f64(writer, channel->mean);
    }
}

static bool is_valid(const tt_channel *channel)
{
    if (channel->n == 0)
        return channel->minimum == HUGE_VAL && channel->maximum == -HUGE_VAL &&
               channel->mean == 0.0;
    return channel->n > 0 && isfinite(channel->minimum) && isfinite(channel->maximum) &&
           channel->minimum <= channel->mean && channel->mean <= channel->maximum;
}

static tt_status refuse(tt_channels *channels, size_t n_bytes, tt_error *err)
{
    tt_channels_free(channels);
    return tt_fail(
        err, TT_BAD_INPUT,
        "%zu bytes hold no valid statistics of channels: they are cut off, or "
        "counts, range and mean contradict each other",
        n_bytes);
}

tt_status tt_channels_read(tt_channels *channels, const void *data, size_t n_bytes,
                           tt_error *err)
{
    tt_reader reader = {data, n_bytes, false};
    uint64_t found = tt_read_u64(&reader);
    int64_t n_channels = tt_read_i64(&reader), n_nonfinite = tt_read_i64(&reader), sum;
    *channels = (tt_channels){0};
    if (reader.is_short || found != magic || n_channels < 0 ||
        n_channels > TT_CHANNELS_MAX || n_nonfinite < 0 ||
        (n_channels == 0 && n_nonfinite > 0) ||
        reader.n_left != (size_t)n_channels * CHANNEL_BYTES)
        return refuse(channels, n_bytes, err);
    if (n_channels == 0) return TT_OK;
    TT_TRY(make(channels, n_channels, err));
    channels->n_nonfinite = sum = n_nonfinite;
    for (int64_t c = 0; c < n_channels; ++c) {
        tt_channel *channel = &channels->channels[c];
        channel->n = tt_read_i64(&reader);
        channel->minimum = tt_read_f64(&reader);
        channel->maximum = tt_read_f64(&reader);
        channel->mean = tt_read_f64(&reader);
        if (!is_valid(channel) || !tt_add_i64(sum, channel->n, &sum))
            return refuse(channels, n_bytes, err);
    }
    return TT_OK;
}
