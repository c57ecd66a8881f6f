/* Histograms of times: the cells against their definition, quantiles against sorted
 * times, merging. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "harness.h"
#include "watch/latency.h"

TT_TEST(a_cell_of_times_is_no_wider_than_one_percent)
{
    for (int cell = 0; cell < TT_LATENCY_CELLS; ++cell) {
        uint64_t low = tt_latency_low_ns(cell), high = tt_latency_low_ns(cell + 1);
        CHECK_INT(tt_latency_cell(low), cell);
        CHECK_INT(tt_latency_cell(high - 1), cell);
        CHECK(low < 100 || (double)(high - low) <= 0.01 * (double)low);
    }
    CHECK(tt_latency_low_ns(TT_LATENCY_CELLS) > 1000u * 1000000000ull);
    CHECK_INT(tt_latency_cell(UINT64_MAX), TT_LATENCY_CELLS);
    CHECK_INT(tt_latency_cell(0), 0);
}

static int by_size(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

TT_TEST(quantiles_of_times_are_those_of_the_sorted_times)
{
    enum { N = 5000 };
    static const double shares[] = {0.0, 0.001, 0.5, 0.9, 0.99, 0.999, 1.0};
    static uint64_t times[N];
    tt_latency *parts = tt_calloc(3, sizeof *parts), *whole = &parts[2];
    for (int i = 0; i < N; ++i) {
        times[i] = (uint64_t)pow(10.0, tt_random_between(2.0, 12.0));
        tt_latency_add(&parts[i % 2], times[i], 1);
    }
    tt_latency_merge(whole, &parts[0]);
    tt_latency_merge(whole, &parts[1]);
    qsort(times, N, sizeof times[0], by_size);
    CHECK_INT(tt_latency_n(whole), N);
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; ++i) {
        int rank = (int)ceil(shares[i] * N);
        double expected = (double)times[rank > 0 ? rank - 1 : 0];
        CHECK_NEAR(tt_latency_quantile(whole, times[N - 1], shares[i]), expected,
                   0.005 * expected);
    }
    tt_free(parts);
}

TT_TEST(no_times_have_no_quantile_and_endless_ones_their_maximum)
{
    tt_latency *latency = tt_calloc(1, sizeof *latency);
    CHECK(isnan(tt_latency_quantile(latency, 7, 0.5)));
    tt_latency_add(latency, 1ull << 50, 3);
    CHECK_NEAR(tt_latency_quantile(latency, 1ull << 50, 0.5), 0x1p50, 0.0);
    tt_free(latency);
}
