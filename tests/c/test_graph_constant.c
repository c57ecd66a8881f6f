/* graph/constant.c: lazy constants hold their bytes while they are pinned. */
#include <string.h>

#include "base/alloc.h"
#include "graph/graph.h"
#include "harness.h"

typedef struct {
    int n_fills, n_releases;
    bool fails;
} counts;

static const tt_shape MATRIX = {
    .dtype = TT_F32, .rank = 2, .dims = {3, 40}
};

static tt_status fill_numbers(void *owner, void *dst, tt_error *err)
{
    counts *c = owner;
    if (c->fails) return tt_fail(err, TT_FILE_CHANGED, "nothing to read");
    c->n_fills++;
    for (int i = 0; i < 120; ++i)
        ((float *)dst)[i] = (float)i;
    return TT_OK;
}

static void count_release(void *owner)
{
    ((counts *)owner)->n_releases++;
}

static tt_constant *new_numbers(counts *c)
{
    tt_constant *made;
    CHECK_OK(tt_constant_lazy(&MATRIX, fill_numbers, count_release, c, &made, ERR));
    return made;
}

TT_TEST(lazy_constants_have_bytes_while_somebody_has_them_pinned)
{
    counts c = {0};
    tt_constant *made = new_numbers(&c);
    CHECK(tt_constant_is_lazy(made) && tt_constant_fills_by(made, fill_numbers));
    CHECK(tt_constant_data(made) == NULL);
    for (int round = 1; round <= 3; ++round) {
        CHECK_OK(tt_constant_pin(made, ERR));
        CHECK_OK(tt_constant_pin(made, ERR));
        CHECK_INT(c.n_fills, round);
        tt_constant_unpin(made);
        CHECK(((const float *)tt_constant_data(made))[119] == 119.0f);
        tt_constant_unpin(made);
        CHECK(tt_constant_data(made) == NULL);
    }
    CHECK_OK(tt_constant_pin(made, ERR)); /* goes with the last reference */
    tt_constant_unref(made);
    CHECK_INT(c.n_releases, 1);
}

TT_TEST(constants_that_cannot_be_filled_stay_empty_and_may_be_tried_again)
{
    counts c = {.fails = true};
    tt_constant *made = new_numbers(&c);
    CHECK_STATUS(tt_constant_pin(made, ERR), TT_FILE_CHANGED);
    CHECK(tt_constant_data(made) == NULL);
    c.fails = false;
    (void)tt_alloc_fail_at(1, false);
    CHECK_STATUS(tt_constant_pin(made, ERR), TT_NO_MEMORY);
    (void)tt_alloc_fail_at(0, false);
    CHECK_OK(tt_constant_pin(made, ERR));
    tt_constant_unpin(made);
    tt_constant_unref(made);
    CHECK_INT(c.n_releases, 1);
}

TT_TEST(views_read_their_base_in_other_strides_and_keep_it)
{
    counts c = {0};
    tt_constant *base = new_numbers(&c), *view;
    tt_shape shape = {
        .dtype = TT_F32, .rank = 3, .dims = {2, 20, 3}
    };
    int64_t strides[3] = {20, 1, 40}; /* [3, 2, 20] with the first dim last */
    const int64_t *found;
    const float *data;
    CHECK_OK(tt_constant_view(&shape, base, strides, &view, ERR));
    CHECK(tt_constant_base(view, &found) == base);
    CHECK_INT(found[2], 40);
    tt_constant_unref(base);
    CHECK_OK(tt_constant_pin(view, ERR));
    data = tt_constant_data(view);
    for (int i = 0; i < 2; ++i)
        for (int j = 0; j < 20; ++j)
            for (int k = 0; k < 3; ++k)
                CHECK(data[(i * 20 + j) * 3 + k] == (float)(k * 40 + i * 20 + j));
    CHECK(tt_constant_data(base) == NULL);
    tt_constant_unpin(view);
    c.fails = true;
    CHECK_STATUS(tt_constant_pin(view, ERR), TT_FILE_CHANGED);
    tt_constant_unref(view);
    CHECK_INT(c.n_releases, 1);
}

TT_TEST(making_lazy_constants_survives_failing_allocations)
{
    counts c = {0};
    tt_constant *made, *base = new_numbers(&c);
    int64_t strides[2] = {40, 1};
    for (int k = 1; k <= 2; ++k) {
        (void)tt_alloc_fail_at(k, false);
        CHECK_STATUS(
            tt_constant_lazy(&MATRIX, fill_numbers, count_release, &c, &made, ERR),
            TT_NO_MEMORY);
        (void)tt_alloc_fail_at(k, false);
        CHECK_STATUS(tt_constant_view(&MATRIX, base, strides, &made, ERR),
                     TT_NO_MEMORY);
    }
    (void)tt_alloc_fail_at(0, false);
    CHECK_INT(c.n_releases, 0);
    tt_constant_unref(base);
    CHECK_INT(c.n_releases, 1);
}

TT_TEST(texts_must_fill_their_bytes_exactly)
{
    static const char bytes[] = "\3\0\0\0\0\0\0\0\2\0\0\0abcde";
    tt_shape shape = {.dtype = TT_STRING, .rank = 1, .dims = {3}};
    tt_constant *constant;
    tt_text *const *texts;
    char damaged[sizeof bytes];
    CHECK_INT(tt_constant_texts(&shape, bytes, 17, &constant, NULL), TT_OK);
    texts = tt_constant_data(constant);
    CHECK_TEXT(tt_text_bytes(texts[0], NULL), "abc");
    CHECK(texts[1] == NULL);
    CHECK_TEXT(tt_text_bytes(texts[2], NULL), "de");
    tt_constant_unref(constant);
    for (size_t n = 0; n < 17; ++n) {
        CHECK_INT(tt_constant_texts(&shape, bytes, n, &constant, NULL), TT_BAD_MODEL);
        CHECK(constant == NULL);
    }
    for (int i = 0; i < 12; ++i) {
        memcpy(damaged, bytes, sizeof bytes);
        damaged[i] = (char)(damaged[i] + 1);
        CHECK_INT(tt_constant_texts(&shape, damaged, 17, &constant, NULL),
                  TT_BAD_MODEL);
    }
    for (int k = 1; k < 8; ++k) {
        (void)tt_alloc_fail_at(k, false);
        if (tt_constant_texts(&shape, bytes, 17, &constant, NULL) == TT_OK)
            tt_constant_unref(constant);
        (void)tt_alloc_fail_at(0, false);
    }
}
