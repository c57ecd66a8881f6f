/* graph/read.c: a small model of two graphs, its mutants, failing allocations. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "graph/check.h"
#include "graph/read.h"
#include "harness.h"
#include "ops/op.h"

/* ---- writing ------------------------------------------------------------- */

typedef struct {
    uint8_t bytes[4096];
    size_t n;
} writer;

static void put(writer *to, const void *data, size_t n)
{
    memcpy(to->bytes + to->n, data, n);
    to->n += n;
}

static void put_u32(writer *to, uint32_t value)
{
    put(to, &value, sizeof value);
}

static void put_i64(writer *to, int64_t value)
{
    put(to, &value, sizeof value);
}

static void put_words(writer *to, const uint32_t *words, size_t n)
{
    put(to, words, n * sizeof *words);
}

#define WORDS(to, ...)                             \
    put_words(to, (const uint32_t[]){__VA_ARGS__}, \
              sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static const uint32_t NONE = 0xffffffffu;
enum { S_EMPTY, S_RELU, S_X, S_Y, S_W, S_IF, S_BODY, S_MAIN, S_N, S_ALPHA, S_C };
static const char *const strings[] = {"",     "Relu", "x", "y",     "w", "If",
                                      "body", "main", "N", "alpha", "c"};
enum { N_STRINGS = sizeof strings / sizeof strings[0], N_BUFFERS = 2 };

static void put_body(writer *to)
{
    WORDS(to, S_BODY, 2, 0, 1, 1, 1);
    WORDS(to, S_X, 0, NONE, NONE); /* value 0, captured */
    WORDS(to, S_Y, 0, NONE, NONE); /* value 1 */
    WORDS(to, 1);                  /* output */
    WORDS(to, 0, 0);               /* capture: inner 0, outer 0 */
    WORDS(to, S_RELU, S_EMPTY, S_RELU, 1, 1, 1, 0, 1);
    WORDS(to, S_ALPHA, TT_ATTRIBUTE_FLOATS, 2, 0x3f800000, 0x40000000);
}

static void put_main(writer *to)
{
    WORDS(to, S_MAIN, 4, 2, 1, 0, 1);
    WORDS(to, S_X, TT_F32, 2);
    put_i64(to, TT_UNKNOWN_DIM);
    put_u32(to, S_N);
    put_i64(to, 3);
    WORDS(to, NONE, NONE);
    WORDS(to, S_C, TT_BOOL, 0, NONE); /* value 1, a scalar */
    WORDS(to, S_W, TT_BOOL, 1);       /* value 2 is constant 1 */
    put_i64(to, 4);
    WORDS(to, NONE, 1);
    WORDS(to, S_Y, 0, NONE, NONE); /* value 3 */
    WORDS(to, 0, 1);               /* inputs x, c */
    WORDS(to, 3);                  /* output y */
    WORDS(to, S_IF, S_EMPTY, S_IF, 2, 1, 3, 1, 2, 3);
    WORDS(to, S_ALPHA, TT_ATTRIBUTE_TENSOR, 1, 0);
    WORDS(to, S_IF, TT_ATTRIBUTE_GRAPH, 1, 0);
    WORDS(to, S_N, TT_ATTRIBUTE_INTS, 1);
    put_i64(to, -7);
}

static void put_model(writer *to)
{
    to->n = 0;
    put(to, "TTG1", 4);
    WORDS(to, N_STRINGS, 1, 2, 2);
    for (int i = 0; i < N_STRINGS; ++i) {
        put_u32(to, (uint32_t)strlen(strings[i]));
        put(to, strings[i], strlen(strings[i]));
    }
    WORDS(to, S_EMPTY, 18);
    WORDS(to, S_ALPHA, TT_F32, 1); /* constant 0: 2 floats, unaligned */
    put_i64(to, 2);
    put_u32(to, 0);
    put_i64(to, 1);
    put_i64(to, 8);
    WORDS(to, S_W, TT_BOOL, 1); /* constant 1: 4 bools */
    put_i64(to, 4);
    put_u32(to, 1);
    put_i64(to, 0);
    put_i64(to, 4);
    put_body(to);
    put_main(to);
}

/* ---- reading ------------------------------------------------------------- */

static uint8_t weights[N_BUFFERS][64] = {
    {0},
    {0, 1, 2, 255}
};
static int n_releases[N_BUFFERS];

static void count_release(void *owner)
{
    ++*(int *)owner;
}

static tt_status read_bytes(const void *bytes, size_t n, const tt_limits *limits,
                            tt_source **out)
{
    tt_buffer buffers[N_BUFFERS];
    for (int i = 0; i < N_BUFFERS; ++i) {
        n_releases[i] = 0;
        buffers[i] =
            (tt_buffer){weights[i], sizeof weights[i], count_release, &n_releases[i],
                        /*read=*/NULL};
    }
    return tt_source_read(bytes, n, buffers, N_BUFFERS, limits, out, ERR);
}

static void check_released(void)
{
    for (int i = 0; i < N_BUFFERS; ++i)
        CHECK_INT(n_releases[i], 1);
}

static tt_status read_model(const writer *model, tt_source **out)
{
    tt_limits limits = tt_limits_default();
    return read_bytes(model->bytes, model->n, &limits, out);
}

TT_TEST(reading_gives_graphs_values_nodes_and_attributes)
{
    writer model;
    tt_source *source;
    const tt_graph *body, *main_graph;
    const tt_node *node;
    put_model(&model);
    CHECK_OK(read_model(&model, &source));
    CHECK_INT(source->n_graphs, 2);
    body = source->graphs[0];
    main_graph = source->graphs[1];
    CHECK_OK(tt_graph_check(body, false, ERR));
    CHECK_OK(tt_graph_check(main_graph, false, ERR));
    CHECK_TEXT(main_graph->name, "main");
    CHECK_TEXT(main_graph->values[0].symbols[0], "N");
    CHECK_INT(main_graph->values[0].shape.dims[0], TT_UNKNOWN_DIM);
    CHECK_INT(main_graph->values[0].shape.dims[1], 3);
    node = &main_graph->nodes[0];
    CHECK(node->op == tt_op_find("", "If", 18));
    CHECK_INT(node->version, 18);
    CHECK_INT(node->n_inputs, 3); /* c, w, and x, which the body captures */
    CHECK_INT(node->n_captures, 1);
    CHECK_INT(node->inputs[2], 0);
    CHECK_INT(node->n_attributes, 3);
    CHECK(node->attributes[1].as.graph == body);
    CHECK_INT(node->attributes[2].as.ints[0], -7);
    node = &body->nodes[0];
    CHECK(node->op == tt_op_find("", "Relu", 18));
    CHECK_NEAR(node->attributes[0].as.floats[1], 2, 0);
    tt_source_free(source);
    check_released();
}

TT_TEST(bools_become_0_or_1_and_unaligned_data_is_copied)
{
    writer model;
    tt_source *source;
    const uint8_t *bools;
    put_model(&model);
    CHECK_OK(read_model(&model, &source));
    bools = tt_constant_data(source->constants[1]);
    for (int i = 0; i < 4; ++i)
        CHECK_INT(bools[i], i > 0);
    CHECK_INT((uintptr_t)tt_constant_data(source->constants[0]) % 4, 0);
    CHECK_INT(n_releases[0], 1); /* copied, so let go at once */
    CHECK_INT(n_releases[1], 1);
    tt_source_free(source);
    check_released();
}

TT_TEST(a_buffer_lives_as_long_as_a_constant_over_it)
{
    writer model;
    tt_source *source;
    tt_constant *kept;
    weights[1][2] = weights[1][3] = 1; /* true bools need no copy */
    put_model(&model);
    CHECK_OK(read_model(&model, &source));
    weights[1][2] = 2;
    weights[1][3] = 255;
    CHECK(tt_constant_data(source->constants[1]) == weights[1]);
    kept = tt_constant_ref(source->constants[1]);
    tt_source_free(source);
    CHECK_INT(n_releases[1], 0);
    tt_constant_unref(kept);
    check_released();
}

TT_TEST(every_truncation_is_refused)
{
    writer model;
    put_model(&model);
    for (size_t n = 0; n < model.n; ++n) {
        tt_limits limits = tt_limits_default();
        tt_source *source;
        uint8_t *exact = malloc(n + 1); /* so that a sanitizer sees the end */
        CHECK(exact != NULL);
        memcpy(exact + 1, model.bytes, n);
        CHECK_STATUS(read_bytes(exact + 1, n, &limits, &source), TT_BAD_MODEL);
        free(exact);
        CHECK(source == NULL);
        check_released();
    }
    put_u32(&model, 0);
    {
        tt_source *source;
        CHECK_STATUS(read_model(&model, &source), TT_BAD_MODEL);
    }
    check_released();
}

/* A mutant is refused with a documented status, or its graphs are legal. */
static void read_mutant(const writer *mutant)
{
    tt_source *source;
    tt_status status = read_model(mutant, &source);
    CHECK(status == TT_OK || status == TT_BAD_MODEL || status == TT_LIMIT ||
          status == TT_UNSUPPORTED);
    CHECK((status == TT_OK) == (source != NULL));
    for (int i = 0; status == TT_OK && i < source->n_graphs; ++i) {
        tt_graph *copy;
        CHECK_OK(tt_graph_check(source->graphs[i], false, ERR));
        CHECK_OK(tt_graph_copy(source->graphs[i], &copy, ERR));
        CHECK_OK(tt_graph_sort(copy, ERR));
        tt_graph_sweep(copy);
        CHECK_OK(tt_graph_check(copy, false, ERR));
        tt_graph_free(copy);
    }
    tt_source_free(source);
    check_released();
}

TT_TEST(mutants_of_one_word_are_refused_or_legal)
{
    static const uint32_t values[] = {
        0, 1, 2, 3, 4, 10, 11, 255, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
    writer model, mutant;
    put_model(&model);
    for (size_t at = 0; at + 4 <= model.n; ++at)
        for (size_t i = 0; i < sizeof values / sizeof values[0]; ++i) {
            mutant = model;
            memcpy(mutant.bytes + at, &values[i], 4);
            read_mutant(&mutant);
        }
}

TT_TEST(mutants_of_many_bytes_are_refused_or_legal)
{
    writer model, mutant;
    put_model(&model);
    for (int i = 0; i < 50000; ++i) {
        int n_changes = 1 + (int)(tt_random() % 4);
        mutant = model;
        while (n_changes-- > 0) {
            size_t at = tt_random() % mutant.n;
            switch (tt_random() % 3) {
            case 0:
                mutant.bytes[at] = (uint8_t)tt_random();
                break;
            case 1:
                mutant.bytes[at] ^= (uint8_t)(1u << tt_random() % 8);
                break;
            default:
                mutant.bytes[at] = (uint8_t)(mutant.bytes[at] + 1);
                break;
            }
        }
        read_mutant(&mutant);
    }
}

TT_TEST(limits_are_enforced_by_the_reader)
{
    writer model;
    tt_source *source;
    put_model(&model);
#define CHECK_LIMIT(field, value, expected)                                           \
    do {                                                                              \
        tt_limits limits = tt_limits_default();                                       \
        limits.field = (value);                                                       \
        CHECK_STATUS(read_bytes(model.bytes, model.n, &limits, &source), (expected)); \
        tt_source_free(source);                                                       \
        check_released();                                                             \
    } while (0)
    CHECK_LIMIT(max_nodes, 2, TT_OK);
    CHECK_LIMIT(max_nodes, 1, TT_LIMIT);
    CHECK_LIMIT(max_values, 6, TT_OK);
    CHECK_LIMIT(max_values, 5, TT_LIMIT);
    CHECK_LIMIT(max_depth, 1, TT_OK);
    CHECK_LIMIT(max_depth, 0, TT_LIMIT);
    CHECK_LIMIT(max_tensor_bytes, 8, TT_OK);
    CHECK_LIMIT(max_tensor_bytes, 7, TT_LIMIT);
    CHECK_LIMIT(max_model_bytes, (int64_t)model.n + 12, TT_OK);
    CHECK_LIMIT(max_model_bytes, (int64_t)model.n + 11, TT_LIMIT);
    CHECK_LIMIT(max_model_bytes, (int64_t)model.n - 1, TT_LIMIT);
    CHECK_LIMIT(max_plans, -1, TT_BAD_INPUT);
#undef CHECK_LIMIT
}

TT_TEST(reading_survives_a_failure_of_every_allocation)
{
    writer model;
    put_model(&model);
    for (int sticky = 0; sticky < 2; ++sticky)
        for (int64_t k = 1;; ++k) {
            tt_source *source;
            tt_status status;
            int64_t n;
            (void)tt_alloc_fail_at(k, sticky != 0);
            status = read_model(&model, &source);
            n = tt_alloc_fail_at(0, false);
            tt_source_free(source);
            check_released();
            if (n < k) {
                CHECK_INT(status, TT_OK);
                break;
            }
            CHECK_INT(status, TT_NO_MEMORY);
        }
}
