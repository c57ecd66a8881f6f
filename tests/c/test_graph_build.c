/* graph/: regions, counted constants, building, editing, checking, dumping. */
#include <string.h>

#include "base/alloc.h"
#include "graph/check.h"
#include "graph/dump.h"
#include "graph/graph.h"
#include "harness.h"
#include "ops/op.h"

static const tt_shape F32_4 = {.dtype = TT_F32, .rank = 1, .dims = {4}};

/* ---- regions and constants ----------------------------------------------- */

TT_TEST(region_blocks_are_aligned_zeroed_and_checked)
{
    tt_region *region = tt_region_new();
    CHECK(region != NULL);
    for (size_t n = 0; n < 3000; n += 7) {
        unsigned char *block = tt_region_alloc(region, n, 3);
        CHECK(block != NULL);
        CHECK_INT((uintptr_t)block % 16, 0);
        for (size_t i = 0; i < 3 * n; ++i)
            CHECK_INT(block[i], 0);
        memset(block, 255, 3 * n);
    }
    CHECK(tt_region_alloc(region, 1 << 20, 3) != NULL);
    CHECK(tt_region_alloc(region, SIZE_MAX / 2, 3) == NULL);
    CHECK(tt_region_alloc(region, SIZE_MAX - 3, 1) == NULL);
    CHECK_TEXT(tt_region_printf(region, "%s/%d", "node", 7), "node/7");
    CHECK_TEXT(tt_region_strdup(region, ""), "");
    CHECK(tt_region_bytes(region) >= 3u << 20);
    tt_region_free(region);
    tt_region_free(NULL);
}

static void count_release(void *owner)
{
    ++*(int *)owner;
}

TT_TEST(constants_release_their_owner_once_and_copy_without_one)
{
    float data[4] = {1, 2, 3, 4};
    tt_constant *borrowed, *copied;
    int n_releases = 0;
    CHECK_OK(tt_constant_new(&F32_4, data, count_release, &n_releases, &borrowed, ERR));
    CHECK(tt_constant_data(borrowed) == data);
    tt_constant_unref(tt_constant_ref(borrowed));
    CHECK_INT(n_releases, 0);
    tt_constant_unref(borrowed);
    CHECK_INT(n_releases, 1);
    CHECK_OK(tt_constant_new(&F32_4, data, NULL, NULL, &copied, ERR));
    data[0] = 9;
    CHECK_NEAR(((const float *)tt_constant_data(copied))[0], 1, 0);
    tt_constant_unref(copied);
    tt_constant_unref(NULL);
}

TT_TEST(packed_bytes_count_two_items_of_4_bits_to_a_byte)
{
    tt_shape shape = {
        .dtype = TT_S4, .rank = 2, .dims = {3, 3}
    };
    size_t bytes;
    CHECK(tt_packed_bytes(&shape, &bytes));
    CHECK_INT(bytes, 5);
    shape.dtype = TT_F16;
    CHECK(tt_packed_bytes(&shape, &bytes));
    CHECK_INT(bytes, 18);
    shape.dims[0] = INT64_MAX / 2;
    CHECK(!tt_packed_bytes(&shape, &bytes));
    shape.dims[0] = -1;
    CHECK(!tt_packed_bytes(&shape, &bytes));
    shape = (tt_shape){.dtype = TT_S2, .rank = 1, .dims = {5}};
    CHECK(tt_packed_bytes(&shape, &bytes));
    CHECK_INT(bytes, 2);
    shape = (tt_shape){.dtype = TT_DTYPE_NONE, .rank = 0};
    CHECK(!tt_packed_bytes(&shape, &bytes));
}

/* ---- a small graph ------------------------------------------------------- */

enum { X, A, B, Y, W, N_VALUES };

static const tt_op plain_op = {.name = "Plain", .domain = "", .since = 1};

static tt_status add(tt_graph *graph, const char *name, int in0, int in1, int out,
                     tt_error *err)
{
    tt_node *node;
    TT_TRY(tt_graph_add_node(graph, &plain_op, name, 2, 1, &node, err));
    node->inputs[0] = in0;
    node->inputs[1] = in1;
    node->outputs[0] = out;
    if (out >= 0) graph->values[out].producer = graph->n_nodes - 1;
    return TT_OK;
}

/* x -> a -> b -> y, w constant: a = x + w, b = a * a, y = b - x. */
static tt_status diamond(const tt_limits *limits, tt_graph **out, tt_error *err)
{
    static const char *const names[] = {"x", "a", "b", "y"};
    tt_status status;
    tt_constant *constant;
    tt_graph *graph;
    void *data;
    int index;
    TT_TRY(tt_graph_new(limits, &graph, err));
    *out = graph;
    for (int i = 0; i < 4; ++i)
        TT_TRY(tt_graph_add_value(graph, names[i], &F32_4, &index, err));
    TT_TRY(tt_constant_empty(&F32_4, &constant, &data, err));
    TT_TRY(tt_graph_add_constant(graph, "w", constant, &index, err));
    TT_TRY(add(graph, "add", X, W, A, err));
    TT_TRY(add(graph, "mul", A, A, B, err));
    TT_TRY(add(graph, "sub", B, X, Y, err));
    graph->inputs = tt_region_alloc(graph->region, 1, sizeof(int));
    graph->outputs = tt_region_alloc(graph->region, 1, sizeof(int));
    if (graph->inputs == NULL || graph->outputs == NULL)
        return tt_fail(err, TT_NO_MEMORY, "lists");
    graph->inputs[0] = X;
    graph->outputs[0] = Y;
    graph->n_inputs = graph->n_outputs = 1;
    status = tt_graph_check(graph, /*specialised=*/true, err);
    return status;
}

static tt_graph *new_diamond(void)
{
    static tt_limits limits;
    tt_graph *graph = NULL;
    limits = tt_limits_default();
    CHECK_OK(diamond(&limits, &graph, ERR));
    return graph;
}

TT_TEST(uses_count_every_reference)
{
    tt_graph *graph = new_diamond();
    CHECK_INT(tt_graph_n_uses(graph, X), 2);
    CHECK_INT(tt_graph_n_uses(graph, A), 2);
    CHECK_INT(tt_graph_n_uses(graph, Y), 1);
    CHECK_INT(tt_graph_n_uses(graph, W), 1);
    CHECK(tt_graph_is_output(graph, Y) && !tt_graph_is_output(graph, B));
    CHECK(tt_graph_constant(graph, W) != NULL && tt_graph_constant(graph, -1) == NULL);
    graph->nodes[2].posts[0] = (tt_node_post){.value = W};
    graph->nodes[2].n_posts = 1;
    CHECK_INT(tt_graph_n_uses(graph, W), 2);
    graph->nodes[1].dead = true;
    CHECK_INT(tt_graph_n_uses(graph, A), 0);
    tt_graph_free(graph);
}

TT_TEST(replace_then_sweep_drops_what_nobody_reads)
{
    tt_graph *graph = new_diamond();
    graph->nodes[2].posts[0] = (tt_node_post){.value = B};
    graph->nodes[2].n_posts = 1;
    tt_graph_replace(graph, B, W);
    CHECK_INT(graph->nodes[2].inputs[0], W);
    CHECK_INT(graph->nodes[2].posts[0].value, W);
    tt_graph_sweep(graph);
    CHECK_INT(graph->n_nodes, 1);
    CHECK_TEXT(graph->nodes[0].name, "sub");
    CHECK_INT(graph->values[Y].producer, 0);
    CHECK_INT(graph->values[A].producer, TT_ABSENT);
    CHECK_OK(tt_graph_check(graph, true, ERR));
    tt_graph_replace(graph, Y, X);
    CHECK_INT(graph->outputs[0], X);
    tt_graph_sweep(graph);
    CHECK_INT(graph->n_nodes, 0);
    CHECK_OK(tt_graph_check(graph, true, ERR));
    tt_graph_free(graph);
}

TT_TEST(a_post_operand_keeps_its_producer_alive)
{
    tt_graph *graph = new_diamond();
    graph->nodes[2].posts[0] = (tt_node_post){.value = B};
    graph->nodes[2].n_posts = 1;
    graph->nodes[2].inputs[0] = X;
    tt_graph_sweep(graph);
    CHECK_INT(graph->n_nodes, 3);
    tt_graph_free(graph);
}

TT_TEST(sweep_without_memory_drops_only_what_is_dead)
{
    tt_graph *graph = new_diamond();
    tt_graph_replace(graph, Y, W);
    graph->nodes[2].dead = true;
    (void)tt_alloc_fail_at(1, true);
    tt_graph_sweep(graph);
    (void)tt_alloc_fail_at(0, false);
    CHECK_INT(graph->n_nodes, 2);
    tt_graph_sweep(graph);
    CHECK_INT(graph->n_nodes, 0);
    tt_graph_free(graph);
}

TT_TEST(sort_moves_appended_nodes_before_their_readers)
{
    tt_graph *graph = new_diamond();
    int between;
    CHECK_OK(tt_graph_sort(graph, ERR));
    CHECK_TEXT(graph->nodes[0].name, "add");
    CHECK_OK(tt_graph_add_value(graph, "between", &F32_4, &between, ERR));
    CHECK_OK(add(graph, "new", A, W, between, ERR));
    graph->nodes[1].inputs[1] = between;
    CHECK_STATUS(tt_graph_check(graph, true, ERR), TT_INTERNAL);
    CHECK_OK(tt_graph_sort(graph, ERR));
    CHECK_OK(tt_graph_check(graph, true, ERR));
    CHECK_TEXT(graph->nodes[0].name, "add");
    CHECK_TEXT(graph->nodes[1].name, "new");
    CHECK_TEXT(graph->nodes[2].name, "mul");
    CHECK_INT(graph->values[between].producer, 1);
    graph->nodes[0].inputs[0] = B;
    CHECK_STATUS(tt_graph_sort(graph, ERR), TT_BAD_MODEL);
    tt_graph_free(graph);
}

TT_TEST(a_copy_is_edited_without_touching_the_original)
{
    tt_graph *graph = new_diamond(), *copy;
    tt_constant *constant;
    void *data;
    CHECK_OK(tt_graph_copy(graph, &copy, ERR));
    CHECK_OK(tt_graph_check(copy, true, ERR));
    tt_graph_replace(copy, X, W);
    CHECK_OK(tt_constant_empty(&F32_4, &constant, &data, ERR));
    tt_graph_set_constant(copy, B, constant);
    tt_graph_sweep(copy);
    CHECK_INT(copy->n_nodes, 1);
    CHECK_OK(tt_graph_check(copy, true, ERR));
    CHECK_INT(graph->n_nodes, 3);
    CHECK_INT(graph->nodes[0].inputs[0], X);
    CHECK(graph->values[B].constant == NULL);
    CHECK_OK(tt_graph_check(graph, true, ERR));
    tt_graph_free(copy);
    tt_graph_free(graph);
}

TT_TEST(limits_bound_values_and_nodes)
{
    tt_limits limits = tt_limits_default();
    tt_graph *graph = NULL;
    limits.max_values = N_VALUES - 1;
    CHECK_STATUS(diamond(&limits, &graph, ERR), TT_LIMIT);
    tt_graph_free(graph);
    limits = tt_limits_default();
    limits.max_nodes = 2;
    CHECK_STATUS(diamond(&limits, &graph, ERR), TT_LIMIT);
    tt_graph_free(graph);
}

TT_TEST(building_survives_a_failure_of_every_allocation)
{
    tt_limits limits = tt_limits_default();
    for (int sticky = 0; sticky < 2; ++sticky)
        for (int64_t k = 1;; ++k) {
            tt_graph *graph = NULL, *copy = NULL;
            tt_status status;
            int64_t n;
            (void)tt_alloc_fail_at(k, sticky != 0);
            status = diamond(&limits, &graph, ERR);
            if (status == TT_OK) status = tt_graph_copy(graph, &copy, ERR);
            n = tt_alloc_fail_at(0, false);
            tt_graph_free(copy);
            tt_graph_free(graph);
            if (n < k) {
                CHECK_INT(status, TT_OK);
                break;
            }
            CHECK_INT(status, TT_NO_MEMORY);
        }
}

/* ---- checking and dumping ------------------------------------------------- */

TT_TEST(check_finds_what_a_pass_could_break)
{
    tt_graph *graph = new_diamond();
    tt_node saved = graph->nodes[1];
    graph->nodes[1].inputs = (int[]){A, N_VALUES};
    CHECK_STATUS(tt_graph_check(graph, false, ERR), TT_INTERNAL);
    graph->nodes[1].inputs = (int[]){A, Y}; /* reads what comes later */
    CHECK_STATUS(tt_graph_check(graph, false, ERR), TT_INTERNAL);
    graph->nodes[1] = saved;
    graph->nodes[1].outputs = (int[]){A}; /* a second producer */
    CHECK_STATUS(tt_graph_check(graph, false, ERR), TT_INTERNAL);
    graph->nodes[1] = saved;
    graph->nodes[1].n_posts = TT_MAX_NODE_POSTS + 1;
    CHECK_STATUS(tt_graph_check(graph, false, ERR), TT_INTERNAL);
    graph->nodes[1] = saved;
    graph->values[B].producer = 0;
    CHECK_STATUS(tt_graph_check(graph, false, ERR), TT_INTERNAL);
    graph->values[B].producer = 1;
    graph->values[B].shape.dims[0] = TT_UNKNOWN_DIM;
    CHECK_OK(tt_graph_check(graph, false, ERR));
    CHECK_STATUS(tt_graph_check(graph, true, ERR), TT_INTERNAL);
    graph->values[B].shape = F32_4;
    graph->values[W].shape.dims[0] = 5; /* not what its constant has */
    CHECK_STATUS(tt_graph_check(graph, false, ERR), TT_INTERNAL);
    graph->values[W].shape.dims[0] = 4;
    graph->outputs[0] = -1;
    CHECK_STATUS(tt_graph_check(graph, false, ERR), TT_INTERNAL);
    graph->outputs[0] = Y;
    graph->nodes[1].dead = true; /* its output is still read */
    CHECK_STATUS(tt_graph_check(graph, false, ERR), TT_INTERNAL);
    graph->nodes[1].dead = false;
    CHECK_OK(tt_graph_check(graph, true, ERR));
    tt_graph_free(graph);
}

TT_TEST(dump_shows_each_format_and_survives_failing_allocations)
{
    static const char *const expected[] = {
        "  a: float32[4] = Plain(x, w: float32[4])  # add\n",
        "  n1 -> n2 [label=\"b\"];\n",
        "\"inputs\": [\"x\", \"w\"]",
    };
    tt_graph *graph = new_diamond();
    for (int format = TT_DUMP_TEXT; format <= TT_DUMP_JSON; ++format) {
        char *text;
        CHECK_OK(tt_graph_dump(graph, (tt_dump_format)format, &text, ERR));
        CHECK(strstr(text, expected[format]) != NULL);
        tt_free(text);
        (void)tt_alloc_fail_at(3, false);
        CHECK_STATUS(tt_graph_dump(graph, (tt_dump_format)format, &text, ERR),
                     TT_NO_MEMORY);
        (void)tt_alloc_fail_at(0, false);
        CHECK(text == NULL);
    }
    tt_graph_free(graph);
}
