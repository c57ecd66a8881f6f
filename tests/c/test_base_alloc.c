/* base/alloc.h: alignment, growth, and the hook that makes allocations fail. */
#include <string.h>

#include "base/alloc.h"
#include "harness.h"

TT_TEST(blocks_are_aligned_and_usable_to_the_last_byte)
{
    static const size_t sizes[] = {0, 1, 63, 64, 65, 1000, 100000, 5000000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; ++i) {
        char *block = tt_alloc(sizes[i]);
        CHECK(block != NULL);
        CHECK_INT((uintptr_t)block % TT_ALIGNMENT, 0);
        memset(block, 7, sizes[i]);
        tt_free(block);
    }
    tt_free(NULL);
}

TT_TEST(calloc_zeroes_and_refuses_an_overflow)
{
    unsigned char *block = tt_alloc(256);
    CHECK(block != NULL);
    memset(block, 255, 256);
    tt_free(block);
    block = tt_calloc(64, 4);
    CHECK(block != NULL);
    for (int i = 0; i < 256; ++i)
        CHECK_INT(block[i], 0);
    tt_free(block);
    CHECK(tt_calloc(SIZE_MAX / 2, 3) == NULL);
    CHECK(tt_alloc(SIZE_MAX - 5) == NULL);
}

TT_TEST(grow_doubles_keeps_the_contents_and_survives_failure)
{
    int *block = NULL;
    size_t capacity = 0;
    for (size_t n = 0; n < 1000; ++n) {
        CHECK(tt_grow((void **)&block, &capacity, n + 1, sizeof *block));
        CHECK(capacity > n);
        block[n] = (int)n;
    }
    for (int n = 0; n < 1000; ++n)
        CHECK_INT(block[n], n);
    CHECK(capacity <= 2048);
    (void)tt_alloc_fail_at(1, false);
    CHECK(!tt_grow((void **)&block, &capacity, capacity + 1, sizeof *block));
    (void)tt_alloc_fail_at(0, false);
    CHECK_INT(block[999], 999);
    CHECK(!tt_grow((void **)&block, &capacity, SIZE_MAX, sizeof *block));
    CHECK(!tt_grow((void **)&block, &capacity, SIZE_MAX / 2, sizeof *block));
    tt_free(block);
}

TT_TEST(strdup_copies)
{
    char *copy = tt_strdup("words");
    CHECK(copy != NULL);
    CHECK_TEXT(copy, "words");
    tt_free(copy);
    copy = tt_strdup("");
    CHECK(copy != NULL);
    CHECK_TEXT(copy, "");
    tt_free(copy);
}

/* Which of five allocations fail, as bits. */
static int failures(int64_t k, bool sticky)
{
    int bits = 0;
    (void)tt_alloc_fail_at(k, sticky);
    for (int i = 0; i < 5; ++i) {
        void *block = tt_alloc(8);
        if (block == NULL) bits |= 1 << i;
        tt_free(block);
    }
    CHECK_INT(tt_alloc_fail_at(0, false), 5);
    return bits;
}

TT_TEST(the_kth_allocation_fails_and_sticky_fails_all_after_it)
{
    CHECK_INT(failures(0, false), 0);
    CHECK_INT(failures(1, false), 1);
    CHECK_INT(failures(3, false), 4);
    CHECK_INT(failures(3, true), 4 | 8 | 16);
    CHECK_INT(failures(6, true), 0);
    CHECK_INT(failures(-1, true), 0);
}
