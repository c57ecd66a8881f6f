/* Packed weights in a file: what is sound comes back, anything else does not. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "harness.h"
#include "plan/packed_file.h"

enum { N = 5, START = 128, TABLE = START + 32, ENTRY = 48 };

typedef struct {
    tt_hash key, sum;
    uint64_t offset, bytes;
} entry;

static int temporary(void)
{
    char name[] = "/tmp/trimtab-packed-XXXXXX";
    int descriptor = mkstemp(name);
    CHECK(descriptor >= 0);
    (void)unlink(name);
    return descriptor;
}

static size_t size_of(int i)
{
    return (size_t)(1000 * i + 1);
}

/* A file of N pieces of bytes i + 1 that begins at START. */
static int written(void)
{
    tt_packed_piece pieces[N];
    tt_error err = {0};
    int descriptor = temporary();
    CHECK(lseek(descriptor, START, SEEK_SET) == START);
    for (int i = 0; i < N; ++i) {
        char *data = malloc(size_of(i));
        memset(data, i + 1, size_of(i));
        pieces[i] = (tt_packed_piece){{{(uint64_t)i, 77}}, data, size_of(i)};
    }
    CHECK(tt_packed_file_write(descriptor, pieces, N, &err) == TT_OK);
    for (int i = 0; i < N; ++i)
        free((void *)(uintptr_t)pieces[i].data);
    return descriptor;
}

static bool has(tt_packed_file *file, int i, size_t bytes)
{
    char *dst = calloc(1, bytes + 1);
    tt_hash key = {
        {(uint64_t)i, 77}
    };
    bool found = tt_packed_file_read(file, key, dst, bytes);
    if (found) CHECK(dst[0] == i + 1 && dst[bytes - 1] == i + 1);
    CHECK(dst[bytes] == 0);
    free(dst);
    return found;
}

TT_TEST(pieces_come_back_in_any_order)
{
    static const int orders[3][N] = {
        {0, 1, 2, 3, 4},
        {4, 3, 2, 1, 0},
        {2, 2, 0, 4, 1}
    };
    int descriptor = written();
    tt_packed_file *file = tt_packed_file_open(descriptor, START);
    CHECK(tt_packed_file_n(file) == N);
    (void)close(descriptor); /* it has its own */
    for (int k = 0; k < 3; ++k)
        for (int i = 0; i < N; ++i)
            CHECK(has(file, orders[k][i], size_of(orders[k][i])));
    CHECK(!has(file, 1, size_of(1) - 1));
    CHECK(!has(file, 1, size_of(1) + 1));
    CHECK(!has(file, N, 1));
    tt_packed_file_close(file);
}

TT_TEST(no_file_has_no_pieces)
{
    tt_packed_file *file = tt_packed_file_open(-1, 0);
    CHECK(tt_packed_file_n(file) == 0);
    CHECK(!has(file, 0, 1));
    tt_packed_file_close(file);
    tt_packed_file_close(NULL);
    CHECK(tt_packed_file_n(NULL) == 0);
    file = tt_packed_file_open(100000, 0);
    CHECK(tt_packed_file_n(file) == 0);
    tt_packed_file_close(file);
}

TT_TEST(a_file_that_ends_early_loses_what_is_not_there)
{
    int descriptor = written();
    off_t whole = lseek(descriptor, 0, SEEK_END);
    for (off_t end = whole - 1; end >= 0; end -= 37) {
        tt_packed_file *file;
        CHECK(ftruncate(descriptor, end) == 0);
        file = tt_packed_file_open(descriptor, START);
        for (int i = 0; i < N; ++i)
            (void)has(file, i, size_of(i));
        CHECK(!has(file, N - 1, size_of(N - 1)));
        tt_packed_file_close(file);
    }
    (void)close(descriptor);
}

TT_TEST(a_changed_byte_is_noticed)
{
    int descriptor = written();
    off_t whole = lseek(descriptor, 0, SEEK_END);
    for (off_t at = START; at < whole; at += at < START + 600 ? 1 : 101) {
        tt_packed_file *file;
        int n_found = 0;
        char byte, changed;
        CHECK(pread(descriptor, &byte, 1, at) == 1);
        changed = (char)(byte ^ 4);
        CHECK(pwrite(descriptor, &changed, 1, at) == 1);
        file = tt_packed_file_open(descriptor, START);
        for (int i = 0; i < N; ++i)
            n_found += has(file, i, size_of(i)); /* checks the bytes */
        CHECK(n_found == 0 || n_found >= N - 1);
        tt_packed_file_close(file);
        CHECK(pwrite(descriptor, &byte, 1, at) == 1);
    }
    (void)close(descriptor);
}

/* A table that says `offset` and `bytes` of each piece, with the right hash. */
static void lie(int descriptor, uint64_t offset, uint64_t bytes)
{
    entry entries[N];
    tt_hash hash;
    CHECK(pread(descriptor, entries, sizeof entries, TABLE) == (ssize_t)sizeof entries);
    for (int i = 0; i < N; ++i) {
        entries[i].offset = offset;
        entries[i].bytes = bytes;
    }
    hash = tt_hash_bytes(entries, sizeof entries, N);
    CHECK(pwrite(descriptor, entries, sizeof entries, TABLE) ==
          (ssize_t)sizeof entries);
    CHECK(pwrite(descriptor, &hash, sizeof hash, START + 16) == (ssize_t)sizeof hash);
}

TT_TEST(a_table_that_lies_is_not_used)
{
    static const uint64_t lies[][2] = {
        {0,                 1                },
        {32,                1                },
        {UINT64_MAX,        1                },
        {UINT64_MAX - 10,   100              },
        {1 << 20,           1                },
        {32 + N * ENTRY,    UINT64_MAX       },
        {32 + N * ENTRY,    1 << 20          },
        {(uint64_t)1 << 63, (uint64_t)1 << 63},
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; ++i) {
        int descriptor = written();
        tt_packed_file *file;
        lie(descriptor, lies[i][0], lies[i][1]);
        file = tt_packed_file_open(descriptor, START);
        CHECK(tt_packed_file_n(file) == 0);
        tt_packed_file_close(file);
        (void)close(descriptor);
    }
}

TT_TEST(counts_of_pieces_are_bounded)
{
    static const uint64_t counts[] = {N + 1, 1 << 20, (1 << 20) + 1, UINT64_MAX / ENTRY,
                                      UINT64_MAX};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; ++i) {
        int descriptor = written();
        tt_packed_file *file;
        CHECK(pwrite(descriptor, &counts[i], 8, START + 8) == 8);
        file = tt_packed_file_open(descriptor, START);
        CHECK(tt_packed_file_n(file) == 0);
        tt_packed_file_close(file);
        (void)close(descriptor);
    }
}

TT_TEST(memory_may_run_out)
{
    int descriptor = written();
    for (int k = 1; k <= 3; ++k) {
        tt_packed_file *file;
        (void)tt_alloc_fail_at(k, false);
        file = tt_packed_file_open(descriptor, START);
        (void)tt_alloc_fail_at(0, false);
        CHECK(k == 1 ? file == NULL : tt_packed_file_n(file) == (k == 2 ? 0 : N));
        tt_packed_file_close(file);
    }
    (void)close(descriptor);
}

TT_TEST(a_descriptor_that_cannot_be_written_is_an_error)
{
    tt_packed_piece piece = {{{1, 1}}, "a", 1};
    tt_error err = {0};
    CHECK(tt_packed_file_write(-1, &piece, 1, &err) == TT_INTERNAL);
}
