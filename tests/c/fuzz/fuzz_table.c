/* libFuzzer: any bytes given to the readers of sketches of tables end in a documented
 * status, and what is accepted is written as the same bytes, merges with itself and can
 * be asked for everything.
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -std=c11 -D_GNU_SOURCE -Icsrc \
 *         tests/c/fuzz/fuzz_table.c csrc/watch/{table,distinct,view}*.c \
 *         csrc/base/{alloc,dtype,hash,shape,status}.c -lpthread -lm -o fuzz_table
 *     ./fuzz_table -max_total_time=60 corpus/
 * Seeds: files that hold what _core.TableSketch.to_bytes gives. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "watch/table.h"

static void require(bool condition)
{
    if (!condition) abort();
}

static void use(tt_table *table, const tt_table_layout *layout)
{
    static int64_t counts[TT_TABLE_MAX_CATEGORIES + 1];
    tt_error err;
    for (int64_t c = 0; c < tt_table_layout_n_columns(layout); ++c) {
        tt_table_summary summary = tt_table_summarize(table, c);
        int64_t n = 0;
        tt_table_counts(table, c, counts);
        for (int64_t b = 0; b <= tt_table_layout_column(layout, c).n; ++b)
            n += counts[b];
        require(n == summary.n);
        require(!(summary.mean < summary.minimum) && !(summary.variance < 0.0));
    }
    (void)tt_table_merge(table, table, &err);
}

/* What is read is written as it was. */
static void compare(tt_table *table, const tt_table_layout *layout, const void *data,
                    size_t n_bytes)
{
    size_t max_bytes = tt_table_layout_bytes(layout) + tt_table_max_bytes(table);
    unsigned char *bytes = tt_alloc(max_bytes);
    tt_writer writer = {bytes};
    require(bytes != NULL);
    tt_table_layout_write(layout, &writer);
    tt_table_write(table, &writer);
    require((size_t)(writer.at - bytes) == n_bytes &&
            memcmp(bytes, data, n_bytes) == 0);
    tt_free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    tt_reader reader = {data, n, false};
    tt_table_layout *layout;
    tt_table *table;
    tt_error err;
    tt_status status = tt_table_layout_read(&reader, &layout, &err);
    require((status == TT_OK) == (layout != NULL));
    require(status == TT_OK || status == TT_BAD_INPUT);
    if (status != TT_OK) return 0;
    status = tt_table_read(layout, reader.at, reader.n_left, &table, &err);
    require(status == TT_OK || status == TT_BAD_INPUT);
    if (status == TT_OK) {
        compare(table, layout, data, n);
        use(table, layout);
    }
    tt_table_free(table);
    tt_table_layout_unref(layout);
    return 0;
}
