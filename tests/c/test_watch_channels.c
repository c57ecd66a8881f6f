/* Statistics of channels: every instruction set and layout against plain loops, merging,
 * bytes, memory that is not there. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "harness.h"
#include "watch/channels.h"

enum { ROWS = 70, CHANNELS = 37, ITEMS = 11, N = ROWS * CHANNELS * ITEMS };

static void fill(float *x)
{
    for (int i = 0; i < N; ++i) {
        x[i] = (float)tt_random_between(-5.0, 9.0);
        if (tt_random() % 40 == 0) x[i] = tt_random() % 2 == 0 ? NAN : -HUGE_VALF;
    }
}

/* [ROWS, CHANNELS, ITEMS] in the order of `axes` in memory. */
static tt_view layout(const float *x, const int *axes)
{
    static const int64_t dims[3] = {ROWS, CHANNELS, ITEMS};
    tt_view view = {.dtype = TT_F32, .rank = 3, .data = (const char *)x};
    int64_t stride = sizeof(float);
    for (int i = 2; i >= 0; --i) {
        view.dims[axes[i]] = dims[axes[i]];
        view.strides[axes[i]] = stride;
        stride *= dims[axes[i]];
    }
    return view;
}

static float item(const tt_view *view, int r, int c, int i)
{
    float value;
    memcpy(&value,
           view->data + r * view->strides[0] + c * view->strides[1] +
               i * view->strides[2],
           sizeof value);
    return value;
}

static void check(const tt_channels *channels, const tt_view *view)
{
    int64_t n_nonfinite = 0;
    CHECK_INT(channels->n_channels, CHANNELS);
    for (int c = 0; c < CHANNELS; ++c) {
        const tt_channel *channel = &channels->channels[c];
        double low = HUGE_VAL, high = -HUGE_VAL, sum = 0.0;
        int64_t n = 0;
        for (int r = 0; r < ROWS; ++r)
            for (int i = 0; i < ITEMS; ++i) {
                double v = (double)item(view, r, c, i);
                n_nonfinite += !isfinite(v);
                if (!isfinite(v)) continue;
                low = fmin(low, v);
                high = fmax(high, v);
                sum += v;
                ++n;
            }
        CHECK_INT(channel->n, n);
        CHECK(channel->minimum == low && channel->maximum == high);
        CHECK_NEAR(channel->mean, sum / (double)n, 1e-12);
    }
    CHECK_INT(channels->n_nonfinite, n_nonfinite);
}

TT_TEST(every_layout_and_instruction_set_gives_the_channels)
{
    static const int orders[][3] = {
        {0, 1, 2},
        {0, 2, 1},
        {2, 0, 1},
        {1, 0, 2},
        {2, 1, 0}
    };
    static float x[N];
    fill(x);
    for (int isa = TT_ISA_SCALAR; isa <= (int)tt_cpu_get()->isa; ++isa)
        for (int k = 0; k < 5; ++k) {
            tt_view view = layout(x, orders[k]);
            tt_channels channels = {0};
            CHECK_OK(tt_channels_update(&channels, &view, k % 2 == 0 ? 1 : -2,
                                        (tt_isa)isa, ERR));
            check(&channels, &view);
            tt_channels_free(&channels);
        }
}

TT_TEST(channels_of_parts_merge_into_those_of_the_whole)
{
    static float x[N];
    static const int order[3] = {0, 1, 2};
    tt_channels sum = {0}, part = {0};
    tt_view view, rows;
    int64_t n;
    fill(x);
    view = layout(x, order);
    for (int r = ROWS - 10; r >= 0; r -= 10) {
        rows = view;
        rows.dims[0] = 10;
        rows.data += r * rows.strides[0];
        CHECK_OK(tt_channels_update(&part, &rows, 1, TT_ISA_SCALAR, ERR));
        CHECK_OK(tt_channels_merge(&sum, &part, ERR));
        tt_channels_free(&part);
    }
    check(&sum, &view);
    n = sum.channels[0].n;
    CHECK_OK(tt_channels_merge(&sum, &sum, ERR));
    CHECK_INT(sum.channels[0].n, 2 * n);
    CHECK_OK(tt_channels_merge(&sum, &part, ERR)); /* of an empty one: nothing */
    tt_channels_free(&sum);
}

TT_TEST(arrays_that_do_not_fit_the_channels_are_refused)
{
    static float x[N];
    static const int order[3] = {0, 1, 2};
    tt_channels channels = {0}, other = {0};
    tt_view view = layout(x, order);
    CHECK_STATUS(tt_channels_update(&channels, &view, 3, TT_ISA_SCALAR, ERR),
                 TT_BAD_INPUT);
    CHECK_STATUS(tt_channels_update(&channels, &view, -4, TT_ISA_SCALAR, ERR),
                 TT_BAD_INPUT);
    CHECK_OK(tt_channels_update(&channels, &view, 1, TT_ISA_SCALAR, ERR));
    CHECK_STATUS(tt_channels_update(&channels, &view, 2, TT_ISA_SCALAR, ERR),
                 TT_BAD_INPUT);
    CHECK_OK(tt_channels_update(&other, &view, 2, TT_ISA_SCALAR, ERR));
    CHECK_STATUS(tt_channels_merge(&channels, &other, ERR), TT_BAD_INPUT);
    check(&channels, &view);
    view.rank = 0;
    CHECK_STATUS(tt_channels_update(&channels, &view, 0, TT_ISA_SCALAR, ERR),
                 TT_BAD_INPUT);
    view.rank = 1;
    view.dims[0] = TT_CHANNELS_MAX + 1;
    view.strides[0] = 0;
    CHECK_STATUS(tt_channels_update(&channels, &view, 0, TT_ISA_SCALAR, ERR),
                 TT_BAD_INPUT);
    tt_channels_free(&channels);
    tt_channels_free(&other);
}

TT_TEST(channels_survive_a_failure_of_every_allocation)
{
    static float x[N];
    static const int order[3] = {0, 1, 2};
    tt_view view = layout(x, order);
    for (int k = 1; k <= 6; ++k) {
        tt_channels channels = {0};
        (void)tt_alloc_fail_at(k, false);
        CHECK_STATUS(tt_channels_update(&channels, &view, 1, TT_ISA_SCALAR, ERR),
                     TT_NO_MEMORY);
        (void)tt_alloc_fail_at(0, false);
        CHECK(channels.channels == NULL);
        CHECK_OK(tt_channels_update(&channels, &view, 1, TT_ISA_SCALAR, ERR));
        check(&channels, &view);
        tt_channels_free(&channels);
    }
}

TT_TEST(bytes_of_channels_come_back_or_are_refused)
{
    static float x[N];
    static unsigned char bytes[24 + CHANNELS * 32], changed[sizeof bytes];
    static const int order[3] = {0, 1, 2};
    tt_channels channels = {0}, back = {0};
    tt_view view = layout(x, order);
    tt_writer writer = {bytes};
    int n_refused = 0;
    fill(x);
    CHECK_OK(tt_channels_update(&channels, &view, 1, TT_ISA_SCALAR, ERR));
    CHECK_INT(tt_channels_bytes(&channels), sizeof bytes);
    tt_channels_write(&channels, &writer);
    CHECK_OK(tt_channels_read(&back, bytes, sizeof bytes, ERR));
    check(&back, &view);
    tt_channels_free(&back);
    for (size_t n = 0; n < sizeof bytes; ++n)
        CHECK_STATUS(tt_channels_read(&back, bytes, n, ERR), TT_BAD_INPUT);
    for (int round = 0; round < 3000; ++round) {
        memcpy(changed, bytes, sizeof bytes);
        changed[tt_random() % (round % 2 == 0 ? 24 : sizeof bytes)] =
            (unsigned char)tt_random();
        if (tt_channels_read(&back, changed, sizeof bytes, ERR) != TT_OK) {
            ++n_refused;
            CHECK(back.channels == NULL);
            continue;
        }
        (void)tt_channels_merge(&back, &channels, ERR);
        tt_channels_free(&back);
    }
    CHECK(n_refused > 1000);
    tt_channels_free(&channels);
}
