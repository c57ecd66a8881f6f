/* libFuzzer: any bytes given to tt_source_read end in a documented status, release
 * every buffer exactly once, and what is accepted is a legal graph that can be copied,
 * sorted, swept and dumped.
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -std=c11 -D_GNU_SOURCE -Icsrc \
 *         tests/c/fuzz/fuzz_read.c tests/c/fuzz/operators.c \
 *         csrc/graph/{graph,edit,region,read,read_graph,cursor,check,dump}.c \
 *         csrc/base/{alloc,dtype,shape,status}.c -o fuzz_read
 *     ./fuzz_read -max_total_time=60 corpus/
 * Seeds: python tests/c/fuzz/seeds.py model.onnx... corpus/ */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "graph/check.h"
#include "graph/dump.h"
#include "graph/read.h"

enum { N_BUFFERS = 24, BUFFER_BYTES = 4096 };

static uint8_t weights[BUFFER_BYTES + 8];
static int n_releases[N_BUFFERS];

static void count_release(void *owner)
{
    ++*(int *)owner;
}

static void require(bool condition)
{
    if (!condition) abort();
}

static void use(const tt_graph *graph)
{
    tt_error err;
    tt_graph *copy;
    char *text;
    require(tt_graph_check(graph, /*specialised=*/false, &err) == TT_OK);
    require(tt_graph_copy(graph, &copy, &err) == TT_OK);
    require(tt_graph_sort(copy, &err) == TT_OK);
    tt_graph_sweep(copy);
    require(tt_graph_check(copy, /*specialised=*/false, &err) == TT_OK);
    for (int format = TT_DUMP_TEXT; format <= TT_DUMP_JSON; ++format) {
        require(tt_graph_dump(copy, (tt_dump_format)format, &text, &err) == TT_OK);
        tt_free(text);
    }
    tt_graph_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    tt_limits limits = tt_limits_default();
    tt_buffer buffers[N_BUFFERS];
    tt_source *source;
    tt_status status;
    tt_error err;
    limits.max_model_bytes = 1 << 20;
    for (int i = 0; i < N_BUFFERS; ++i) { /* aligned ones and others */
        n_releases[i] = 0;
        buffers[i] =
            (tt_buffer){weights + i % 8, BUFFER_BYTES, count_release, &n_releases[i],
                        /*read=*/NULL};
    }
    for (size_t i = 0; i < sizeof weights; ++i)
        weights[i] = (uint8_t)(i * 7);
    status = tt_source_read(data, n, buffers, N_BUFFERS, &limits, &source, &err);
    require(status == TT_OK || status == TT_BAD_MODEL || status == TT_LIMIT ||
            status == TT_UNSUPPORTED);
    require((status == TT_OK) == (source != NULL));
    for (int i = 0; status == TT_OK && i < source->n_graphs; ++i)
        use(source->graphs[i]);
    tt_source_free(source);
    for (int i = 0; i < N_BUFFERS; ++i)
        require(n_releases[i] == 1);
    return 0;
}
