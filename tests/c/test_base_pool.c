/* Large blocks and pools of pieces. */
#include <string.h>

#include "base/alloc.h"
#include "base/pool.h"
#include "harness.h"

TT_TEST(large_blocks_are_aligned_and_writable_to_their_end)
{
    static const size_t sizes[] = {1, 4096, ((size_t)4 << 20) - 1, (size_t)4 << 20,
                                   ((size_t)7 << 20) + 13};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; ++i) {
        char *block = tt_alloc_pages(sizes[i]);
        CHECK(block != NULL);
        CHECK((uintptr_t)block % TT_ALIGNMENT == 0);
        memset(block, 1, sizes[i]);
        tt_free_pages(block, sizes[i]);
    }
    tt_free_pages(NULL, 100);
    CHECK(tt_alloc_pages(SIZE_MAX - 5) == NULL);
}

TT_TEST(pieces_of_a_pool_do_not_overlap)
{
    tt_pool pool = {.block_bytes = 1000};
    char *pieces[50];
    for (int i = 0; i < 50; ++i) {
        size_t bytes = (size_t)(i * 37 % 300 + 1);
        pieces[i] = tt_pool_alloc(&pool, i == 20 ? 5000 : bytes);
        CHECK(pieces[i] != NULL);
        CHECK((uintptr_t)pieces[i] % TT_ALIGNMENT == 0);
        memset(pieces[i], i, i == 20 ? 5000 : bytes);
    }
    for (int i = 0; i < 50; ++i)
        CHECK(pieces[i][0] == i && pieces[i][i * 37 % 300] == i);
    tt_pool_free(&pool);
    CHECK(pool.newest == NULL);
}

TT_TEST(a_piece_that_is_undone_is_handed_out_again)
{
    tt_pool pool = {.block_bytes = 1000};
    char *first = tt_pool_alloc(&pool, 100), *second = tt_pool_alloc(&pool, 100);
    tt_pool_undo(&pool, second);
    CHECK(tt_pool_alloc(&pool, 50) == second);
    CHECK(first != second);
    tt_pool_free(&pool);
}

TT_TEST(a_pool_survives_a_failure_of_every_allocation)
{
    for (int k = 1; k <= 4; ++k) {
        tt_pool pool = {.block_bytes = 100};
        void *piece;
        (void)tt_alloc_fail_at(k, true);
        piece = tt_pool_alloc(&pool, 50);
        if (k > 2) CHECK(piece != NULL);
        if (k <= 2) CHECK(piece == NULL);
        piece = tt_pool_alloc(&pool, 500);
        CHECK(piece == NULL);
        (void)tt_alloc_fail_at(0, false);
        CHECK(tt_pool_alloc(&pool, 500) != NULL);
        tt_pool_free(&pool);
    }
}
