/* Histograms: every instruction set against the definition, merging, bytes, memory that
 * is not there. */
#include "watch/histogram.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "harness.h"
#include "watch/block_kernels.h"

enum { N = 9000 };

static tt_view floats(const float *x, int64_t n)
{
    return (tt_view){.dtype = TT_F32,
                     .rank = 1,
                     .dims = {n},
                     .strides = {sizeof(float)},
                     .data = (const char *)x};
}

static void add(tt_histogram *h, const float *x, int64_t n, tt_isa isa)
{
    tt_view view = floats(x, n);
    CHECK_OK(tt_histogram_update(h, &view, isa, ERR));
}

/* Values of many magnitudes; about one of 50 is not finite. */
static void fill(float *x, int64_t n, double spread)
{
    static const float odd[] = {NAN,   HUGE_VALF, -HUGE_VALF, 0.0f,
                                -0.0f, 0x1p-149f, -0x1p-149f};
    for (int64_t i = 0; i < n; ++i) {
        double power = tt_random_between(-spread, spread);
        x[i] = (float)ldexp(tt_random_between(-1.0, 1.0), (int)power);
        if (tt_random() % 25 == 0) x[i] = odd[tt_random() % 7];
    }
}

static bool has_isa(tt_isa isa)
{
    return isa <= tt_cpu_get()->isa;
}

static void check_equal(const tt_histogram *a, const tt_histogram *b)
{
    CHECK_INT(a->moments.n, b->moments.n);
    CHECK_INT(a->moments.n_nonfinite, b->moments.n_nonfinite);
    CHECK(memcmp(&a->moments.minimum, &b->moments.minimum, sizeof(double)) == 0);
    CHECK(memcmp(&a->moments.maximum, &b->moments.maximum, sizeof(double)) == 0);
    CHECK_INT(a->grid.exponent, b->grid.exponent);
    CHECK_INT(a->grid.first, b->grid.first);
    CHECK(memcmp(a->counts, b->counts, sizeof a->counts) == 0);
    CHECK_NEAR(a->moments.mean, b->moments.mean,
               1e-12 * (fabs(b->moments.minimum) + fabs(b->moments.maximum)));
    CHECK_NEAR(a->moments.m2, b->moments.m2, 1e-9 * b->moments.m2);
}

/* Every value counted in the cell of its definition, in integers where it can be. */
static void check_definition(const tt_histogram *h, const float *x, int64_t n)
{
    static int64_t counts[TT_GRID_CELLS];
    int64_t n_finite = 0;
    double low = HUGE_VAL, high = -HUGE_VAL;
    memset(counts, 0, sizeof counts);
    for (int64_t i = 0; i < n; ++i) {
        double v = (double)x[i], w = ldexp(1.0, h->grid.exponent);
        int64_t k = 0;
        if (!isfinite(x[i])) continue;
        ++n_finite;
        low = fmin(low, v);
        high = fmax(high, v);
        k = (int64_t)(v / w);
        while ((double)k * w > v) /* exact: k has 25 bits */
            --k;
        CHECK(k >= h->grid.first && k < h->grid.first + TT_GRID_CELLS);
        ++counts[k - h->grid.first];
    }
    CHECK_INT(h->moments.n, n_finite);
    CHECK_INT(h->moments.n_nonfinite, n - n_finite);
    CHECK(h->moments.minimum == low && h->moments.maximum == high);
    CHECK(memcmp(counts, h->counts, sizeof counts) == 0);
}

TT_TEST(every_instruction_set_counts_as_the_definition_says)
{
    static float x[N];
    static tt_histogram h, first;
    for (int round = 0; round < 60; ++round) {
        int64_t n = round < 20 ? round : 1 + (int64_t)(tt_random() % N);
        fill(x, n, round % 3 == 0 ? 1.0 : round % 3 == 1 ? 12.0 : 126.0);
        for (int isa = TT_ISA_SCALAR; isa <= TT_ISA_AVX512; ++isa) {
            if (!has_isa((tt_isa)isa)) continue;
            tt_histogram_clear(&h);
            add(&h, x, n, (tt_isa)isa);
            check_definition(&h, x, n);
            if (isa == TT_ISA_SCALAR) first = h;
            check_equal(&h, &first);
        }
    }
}

TT_TEST(products_too_small_for_a_float_stay_below_zero)
{
    static tt_histogram h;
    float x[40];
    for (int i = 0; i < 40; ++i)
        x[i] = i % 2 == 0 ? -0x1p-149f : 0x1p-149f;
    x[17] = 0x1.8p127f;
    for (int isa = TT_ISA_SCALAR; isa <= TT_ISA_AVX512; ++isa) {
        if (!has_isa((tt_isa)isa)) continue;
        tt_histogram_clear(&h);
        add(&h, x, 40, (tt_isa)isa);
        CHECK_INT(h.counts[0], 20);
        CHECK_INT(h.counts[1], 19);
        CHECK_INT(h.grid.first, -1);
        check_definition(&h, x, 40);
    }
}

TT_TEST(parts_in_any_order_are_the_whole)
{
    static float x[N];
    static tt_histogram whole, sum, part;
    for (int round = 0; round < 40; ++round) {
        int64_t cuts[5] = {0, 0, 0, 0, N};
        fill(x, N, round % 2 == 0 ? 3.0 : 60.0);
        for (int i = 1; i < 4; ++i)
            cuts[i] = tt_random() % N;
        for (int i = 1; i < 4; ++i)
            for (int k = i; k > 1 && cuts[k] < cuts[k - 1]; --k) {
                int64_t swap = cuts[k];
                cuts[k] = cuts[k - 1];
                cuts[k - 1] = swap;
            }
        tt_histogram_clear(&whole);
        tt_histogram_clear(&sum);
        add(&whole, x, N, tt_cpu_get()->isa);
        for (int i = 0; i < 4; ++i) {
            int k = (i * 3 + round) % 4;
            tt_histogram_clear(&part);
            add(&part, x + cuts[k], cuts[k + 1] - cuts[k], tt_cpu_get()->isa);
            CHECK_OK(tt_histogram_merge(&sum, &part, ERR));
        }
        check_equal(&sum, &whole);
        CHECK_OK(tt_histogram_merge(&sum, &sum, ERR));
        CHECK_INT(sum.moments.n, 2 * whole.moments.n);
        CHECK_INT(sum.counts[0], 2 * whole.counts[0]);
    }
}

TT_TEST(tables_of_16_bits_do_not_overflow)
{
    static float x[300000];
    static tt_histogram h;
    for (int i = 0; i < 300000; ++i)
        x[i] = 1.0f;
    tt_histogram_clear(&h);
    add(&h, x, 300000, tt_cpu_get()->isa);
    CHECK_INT(h.counts[0], 300000);
    CHECK_NEAR(h.moments.mean, 1.0, 0.0);
    CHECK_NEAR(h.moments.m2, 0.0, 0.0);
}

TT_TEST(any_strides_give_the_items_of_the_array)
{
    static float x[6 * 7 * 800], sorted[6 * 7 * 800];
    static tt_histogram h, expected;
    const int64_t item = sizeof(float);
    fill(x, 6 * 7 * 800, 2.0);
    for (int round = 0; round < 60; ++round) {
        int64_t dims[3] = {6, 7, 800}, full[3] = {7 * 800, 800, 1};
        tt_view view = {.dtype = TT_F32, .rank = 3, .data = (const char *)x};
        int64_t n = 0;
        for (int i = 0; i < 3; ++i) {
            int64_t step = 1 + tt_random() % 3;
            int at = (i + round) % 3;
            view.dims[at] = (dims[i] + step - 1) / step;
            view.strides[at] = full[i] * step * item;
            if (tt_random() % 2 == 0) {
                view.data += view.strides[at] * (view.dims[at] - 1);
                view.strides[at] = -view.strides[at];
            }
            if (tt_random() % 8 == 0) view.strides[at] = 0;
        }
        for (int64_t a = 0; a < view.dims[0]; ++a)
            for (int64_t b = 0; b < view.dims[1]; ++b)
                for (int64_t c = 0; c < view.dims[2]; ++c)
                    memcpy(&sorted[n++],
                           view.data + a * view.strides[0] + b * view.strides[1] +
                               c * view.strides[2],
                           sizeof(float));
        tt_histogram_clear(&h);
        tt_histogram_clear(&expected);
        CHECK_OK(tt_histogram_update(&h, &view, tt_cpu_get()->isa, ERR));
        add(&expected, sorted, n, TT_ISA_SCALAR);
        check_equal(&h, &expected);
    }
}

TT_TEST(every_half_float_becomes_the_number_that_it_is)
{
    static tt_histogram h;
    for (uint32_t bits = 0; bits < 0x10000; ++bits) {
        uint16_t half = (uint16_t)bits;
        int exponent = (int)(bits >> 10 & 31);
        double fraction = (double)(bits & 0x3ff) / 1024.0;
        double value =
            exponent == 0 ? ldexp(fraction, -14) : ldexp(1.0 + fraction, exponent - 15);
        tt_view view = {.dtype = TT_F16, .data = (const char *)&half};
        if (bits & 0x8000) value = -value;
        if (exponent == 31) value = NAN;
        tt_histogram_clear(&h);
        CHECK_OK(tt_histogram_update(&h, &view, TT_ISA_SCALAR, ERR));
        CHECK_INT(h.moments.n, exponent == 31 ? 0 : 1);
        if (exponent != 31) CHECK(h.moments.minimum == value);
    }
}

TT_TEST(what_is_no_array_of_numbers_is_refused)
{
    static tt_histogram h;
    tt_view view = {.dtype = TT_STRING};
    tt_histogram_clear(&h);
    CHECK_STATUS(tt_histogram_update(&h, &view, TT_ISA_SCALAR, ERR), TT_BAD_INPUT_TYPE);
    view.dtype = TT_C64;
    CHECK_STATUS(tt_histogram_update(&h, &view, TT_ISA_SCALAR, ERR), TT_BAD_INPUT_TYPE);
    view.dtype = (tt_dtype)99;
    CHECK_STATUS(tt_histogram_update(&h, &view, TT_ISA_SCALAR, ERR), TT_BAD_INPUT_TYPE);
    view.dtype = TT_F32;
    view.rank = 2;
    view.dims[0] = view.dims[1] = INT64_C(1) << 40;
    CHECK_STATUS(tt_histogram_update(&h, &view, TT_ISA_SCALAR, ERR), TT_BAD_INPUT);
    view.dims[1] = 0;
    CHECK_OK(tt_histogram_update(&h, &view, TT_ISA_SCALAR, ERR));
    CHECK_INT(h.moments.n, 0);
}

TT_TEST(an_update_without_memory_changes_nothing)
{
    static float x[N];
    static tt_histogram h, before;
    tt_view view = floats(x, N);
    fill(x, N, 2.0);
    tt_histogram_clear(&h);
    add(&h, x, 100, TT_ISA_SCALAR);
    before = h;
    (void)tt_alloc_fail_at(1, true);
    CHECK_STATUS(tt_histogram_update(&h, &view, TT_ISA_SCALAR, ERR), TT_NO_MEMORY);
    (void)tt_alloc_fail_at(0, false);
    CHECK(memcmp(&h, &before, sizeof h) == 0);
}

TT_TEST(counts_that_would_overflow_are_refused)
{
    static tt_histogram h, before;
    float one = 1.0f;
    tt_view view = floats(&one, 1);
    tt_histogram_clear(&h);
    add(&h, &one, 1, TT_ISA_SCALAR);
    h.moments.n = INT64_MAX - 5;
    h.counts[0] = INT64_MAX - 5;
    h.moments.n_nonfinite = 5;
    before = h;
    CHECK_STATUS(tt_histogram_update(&h, &view, TT_ISA_SCALAR, ERR), TT_LIMIT);
    CHECK_STATUS(tt_histogram_merge(&h, &before, ERR), TT_LIMIT);
    CHECK(memcmp(&h, &before, sizeof h) == 0);
}

TT_TEST(bytes_come_back_as_the_histogram_that_wrote_them)
{
    static float x[N];
    static unsigned char bytes[TT_HISTOGRAM_MAX_BYTES];
    static tt_histogram h, back;
    for (int round = 0; round < 20; ++round) {
        tt_writer writer = {bytes};
        tt_histogram_clear(&h);
        fill(x, N, 5.0 * round);
        add(&h, x, round == 0 ? 0 : N >> (round / 2), TT_ISA_SCALAR);
        tt_histogram_write(&h, &writer);
        CHECK(writer.at <= bytes + sizeof bytes);
        CHECK_OK(tt_histogram_read(&back, bytes, (size_t)(writer.at - bytes), ERR));
        CHECK(memcmp(&h, &back, sizeof h) == 0);
    }
}

/* Either refused, or a histogram that can be used like any other. */
TT_TEST(bytes_that_were_changed_are_refused_or_harmless)
{
    static float x[200];
    static unsigned char bytes[TT_HISTOGRAM_MAX_BYTES], changed[TT_HISTOGRAM_MAX_BYTES];
    static tt_histogram h, back;
    tt_writer writer = {bytes};
    size_t n_bytes;
    int n_refused = 0;
    fill(x, 200, 3.0);
    tt_histogram_clear(&h);
    add(&h, x, 200, TT_ISA_SCALAR);
    tt_histogram_write(&h, &writer);
    n_bytes = (size_t)(writer.at - bytes);
    for (size_t n = 0; n < n_bytes; n += 1 + n / 16)
        CHECK_STATUS(tt_histogram_read(&back, bytes, n, ERR), TT_BAD_INPUT);
    for (int round = 0; round < 4000; ++round) {
        size_t length = round % 2 == 0 ? 64 : n_bytes;
        memcpy(changed, bytes, n_bytes);
        for (uint32_t k = 0; k <= tt_random() % 3; ++k)
            changed[tt_random() % length] = (unsigned char)tt_random();
        if (tt_histogram_read(&back, changed, n_bytes, ERR) != TT_OK) {
            CHECK_INT(back.moments.n, 0);
            ++n_refused;
            continue;
        }
        add(&back, x, 200, TT_ISA_SCALAR);
        CHECK_OK(tt_histogram_merge(&back, &h, ERR));
    }
    CHECK(n_refused > 2000);
}
