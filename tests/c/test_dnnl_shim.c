/* dnnl/: the rules around primitives: what is refused, what is asked for, staging,
 * many threads, failing allocations. */
#include <pthread.h>
#include <string.h>

#include "base/alloc.h"
#include "help_dnnl.h"

CREATOR(new_matmul, tt_matmul_new, tt_matmul_params)

static tt_engine *cpu_engine(void)
{
    tt_engine *engine;
    CHECK_OK(tt_engine_new(TT_DEVICE_CPU, false, &engine, ERR));
    return engine;
}

TT_TEST(info_names_the_linked_library)
{
    tt_dnnl_info info;
    tt_dnnl_info_get(&info);
    CHECK(info.major == 3 && info.minor >= 2);
    CHECK(strlen(info.hash) >= 7);
    CHECK(strcmp(info.cpu_runtime, "other") != 0);
    CHECK(strcmp(info.effective_isa, "") != 0);
    CHECK(info.n_gpus >= 0);
}

TT_TEST(a_gpu_that_is_not_there_is_an_error_that_says_what_is_missing)
{
    tt_dnnl_info info;
    tt_engine *engine;
    tt_dnnl_info_get(&info);
    if (info.n_gpus > 0) tt_test_skip("there is one");
    CHECK_STATUS(tt_engine_new(TT_DEVICE_GPU, false, &engine, ERR), TT_NO_DEVICE);
    CHECK(engine == NULL);
    CHECK(strstr(tt_test_error.text, "device='cpu'") != NULL);
    tt_engine_free(NULL);
}

TT_TEST(cache_capacity_is_settable)
{
    CHECK_OK(tt_dnnl_set_cache_capacity(2048, ERR));
    CHECK_STATUS(tt_dnnl_set_cache_capacity(-1, ERR), TT_INTERNAL);
}

TT_TEST(what_onednn_refuses_is_unsupported_and_described)
{
    tt_engine *engine = cpu_engine();
    tensor a = tensor_row_major(TT_F32, 4, 8, DIMS_END);
    tensor b = tensor_row_major(TT_F32, 9, 5, DIMS_END); /* 8 against 9 */
    tensor dst = tensor_row_major(TT_F32, 4, 5, DIMS_END);
    tt_matmul_params p = {
        .src = a.md, .weights = b.md, .dst = dst.md, .attr = tt_attr_default()};
    tt_unary_params e = {.alg = TT_ALG_RELU, .src = a.md, .dst = a.md};
    tt_prim *prim = (tt_prim *)engine;
    CHECK_STATUS(tt_matmul_new(engine, &p, &prim, ERR), TT_UNSUPPORTED);
    CHECK(prim == NULL);
    CHECK(strstr(tt_test_error.text, "float32[4,8]") != NULL);
    CHECK(strstr(tt_test_error.text, "matmul") != NULL);
    e.attr = tt_attr_default();
    e.src.dtype = e.dst.dtype = TT_S64; /* a dtype that oneDNN does not know */
    CHECK_STATUS(tt_eltwise_new(engine, &e, &prim, ERR), TT_UNSUPPORTED);
    CHECK(strstr(tt_test_error.text, "int64[4,8]") != NULL);
    e.src.dtype = e.dst.dtype = TT_F32;
    e.alg = TT_ALG_NONE;
    CHECK_STATUS(tt_eltwise_new(engine, &e, &prim, ERR), TT_UNSUPPORTED);
    e.alg = TT_ALG_RELU;
    e.attr.n_posts = TT_MAX_POSTS + 1;
    CHECK_STATUS(tt_eltwise_new(engine, &e, &prim, NULL), TT_UNSUPPORTED);
    tensor_free(&a);
    tensor_free(&b);
    tensor_free(&dst);
    tt_engine_free(engine);
}

TT_TEST(primitives_tell_their_implementation_and_sizes)
{
    tt_engine *engine = cpu_engine();
    tensor a = tensor_row_major(TT_F32, 4, 32, DIMS_END);
    tensor b = tensor_row_major(TT_F32, 32, 48, DIMS_END);
    tensor dst = tensor_row_major(TT_F32, 4, 48, DIMS_END);
    tt_matmul_params p = {.src = a.md,
                          .weights = any_layout(&b),
                          .dst = dst.md,
                          .attr = tt_attr_default()};
    tt_prim *prim;
    p.attr.weights_scale_mask = 2;
    CHECK_OK(tt_matmul_new(engine, &p, &prim, ERR));
    CHECK(strlen(tt_prim_impl(prim)) > 2);
    CHECK_INT(tt_prim_is_reference(prim), strstr(tt_prim_impl(prim), "ref") != NULL);
    CHECK_INT(tt_prim_arg_bytes(prim, TT_ARG_SRC), 4 * 32 * 4);
    CHECK_INT(tt_prim_arg_bytes(prim, TT_ARG_DST), 4 * 48 * 4);
    CHECK(tt_prim_arg_bytes(prim, TT_ARG_WEIGHTS) >= 32 * 48 * 4);
    CHECK_INT(tt_prim_arg_bytes(prim, TT_ARG_WEIGHTS_SCALE), 48 * 4);
    CHECK_INT(tt_prim_arg_bytes(prim, TT_ARG_SRC_SCALE), 0);
    CHECK_INT(tt_prim_arg_bytes(prim, TT_ARG_BIAS), 0);
    CHECK_INT(tt_prim_arg_bytes(prim, TT_ARG_SCRATCHPAD),
              tt_prim_scratchpad_bytes(prim));
    tt_prim_free(prim);
    tt_prim_free(NULL);
    tensor_free(&a);
    tensor_free(&b);
    tensor_free(&dst);
    tt_engine_free(engine);
}

TT_TEST(reference_implementations_are_recognised)
{
    tt_engine *engine = cpu_engine();
    tensor src = tensor_row_major(TT_F32, 4, 5, 6, DIMS_END);
    tensor dst = tensor_row_major(TT_F32, 4, 1, 6, DIMS_END); /* a middle axis */
    tt_unary_params p = {.alg = TT_ALG_REDUCE_SUM,
                         .src = src.md,
                         .dst = dst.md,
                         .attr = tt_attr_default()};
    tt_prim *prim;
    CHECK_OK(tt_reduction_new(engine, &p, &prim, ERR));
    CHECK_TEXT(tt_prim_impl(prim), "ref:any"); /* to this day, 3.2 to 3.13 */
    CHECK(tt_prim_is_reference(prim));
    tt_prim_free(prim);
    p.src = p.dst = src.md;
    p.alg = TT_ALG_RELU;
    CHECK_OK(tt_eltwise_new(engine, &p, &prim, ERR));
    CHECK(strncmp(tt_prim_impl(prim), "jit", 3) != 0 || !tt_prim_is_reference(prim));
    tt_prim_free(prim);
    tensor_free(&src);
    tensor_free(&dst);
    tt_engine_free(engine);
}

TT_TEST(layouts_compare_and_know_the_plain_one)
{
    tt_engine *engine = cpu_engine();
    tensor a = tensor_row_major(TT_F32, 64, 64, DIMS_END);
    tensor b = tensor_row_major(TT_F32, 64, 64, DIMS_END);
    tt_matmul_params p = {
        .src = a.md, .weights = b.md, .dst = a.md, .attr = tt_attr_default()};
    tt_prim *plain, *chosen;
    tt_layout *l0, *l1, *l2;
    CHECK_OK(tt_matmul_new(engine, &p, &plain, ERR));
    p.weights.any = true;
    CHECK_OK(tt_matmul_new(engine, &p, &chosen, ERR));
    CHECK_OK(tt_layout_new(plain, TT_ARG_WEIGHTS, &l0, ERR));
    CHECK_OK(tt_layout_new(chosen, TT_ARG_WEIGHTS, &l1, ERR));
    CHECK_OK(tt_layout_new(chosen, TT_ARG_WEIGHTS, &l2, ERR));
    CHECK(tt_layout_is(l0, &b.md));
    CHECK(tt_layout_equal(l1, l2));
    CHECK_INT(tt_layout_equal(l0, l1), tt_layout_is(l1, &b.md));
    CHECK_INT(tt_layout_bytes(l0), 64 * 64 * 4);
    tt_layout_free(l0);
    tt_layout_free(l1);
    tt_layout_free(l2);
    tt_layout_free(NULL);
    CHECK_STATUS(tt_layout_new(chosen, TT_ARG_BIAS, &l0, ERR), TT_INTERNAL);
    CHECK(l0 == NULL);
    tt_prim_free(plain);
    tt_prim_free(chosen);
    tensor_free(&a);
    tensor_free(&b);
    tt_engine_free(engine);
}

TT_TEST(a_call_with_an_argument_the_primitive_lacks_is_refused)
{
    tt_engine *engine = cpu_engine();
    tensor a = tensor_row_major(TT_F32, 4, 4, DIMS_END);
    tt_unary_params p = {
        .alg = TT_ALG_RELU, .src = a.md, .dst = a.md, .attr = tt_attr_default()};
    tt_arg args[] = {TT_ARG_SRC, TT_ARG_BIAS};
    tt_prim *prim;
    tt_call *call;
    CHECK_OK(tt_eltwise_new(engine, &p, &prim, ERR));
    CHECK_STATUS(tt_call_new(engine, prim, args, 2, &call, ERR), TT_INTERNAL);
    CHECK(call == NULL);
    CHECK(strstr(tt_test_error.text, "has no argument") != NULL);
    tt_call_free(NULL);
    tt_prim_free(prim);
    tensor_free(&a);
    tt_engine_free(engine);
}

/* ---- staging gives the same bits ------------------------------------------ */

static tensor staged_dst[2];
static int n_staged;

static void matmul_again(const way *w)
{
    tensor a, b, dst;
    tt_matmul_params p = {.attr = tt_attr_default()};
    if (w->n_threads != 1) return;
    /* the same numbers in both ways */
    a = tensor_row_major(TT_F32, 31, 63, DIMS_END);
    b = tensor_row_major(TT_F32, 63, 47, DIMS_END);
    dst = tensor_row_major(TT_F32, 31, 47, DIMS_END);
    for (int64_t i = 0; i < numel(&a); ++i)
        set(&a, i, 1.0 / (double)(i + 3));
    for (int64_t i = 0; i < numel(&b); ++i)
        set(&b, i, (double)(i % 31) / 7.0 - 2);
    p.src = a.md;
    p.weights = any_layout(&b);
    p.dst = dst.md;
    operand operands[] = {
        {TT_ARG_SRC,     &a  },
        {TT_ARG_WEIGHTS, &b  },
        {TT_ARG_DST,     &dst}
    };
    run_prim(w, new_matmul, &p, operands, 3);
    staged_dst[n_staged++] = dst;
    tensor_free(&a);
    tensor_free(&b);
}

TT_TEST(staging_gives_the_same_bits)
{
    n_staged = 0;
    for_every_way(matmul_again);
    CHECK_INT(n_staged, 2);
    CHECK(memcmp(staged_dst[0].data, staged_dst[1].data, staged_dst[0].bytes) == 0);
    tensor_free(&staged_dst[0]);
    tensor_free(&staged_dst[1]);
}

/* ---- one primitive, many threads ----------------------------------------- */

enum { N_THREADS = 4, SIDE = 40 };

typedef struct {
    tt_engine *engine;
    const tt_prim *prim;
    tt_arena *arena;
    const tensor *src, *weights;
    float factor;
    tensor dst;
    tt_call *call;
    void *scratchpad;
    bool ok;
} worker;

static tt_status execute(void *arg)
{
    return tt_call_execute(((worker *)arg)->call, NULL);
}

/* Each thread multiplies its own source and must see nobody else's. */
static void *multiply_many_times(void *arg)
{
    worker *m = arg;
    static const tt_arg args[] = {TT_ARG_SRC, TT_ARG_WEIGHTS, TT_ARG_DST,
                                  TT_ARG_SCRATCHPAD};
    float *src = tt_alloc(m->src->bytes);
    void *data[] = {src, m->weights->data, m->dst.data, m->scratchpad};
    m->ok = src != NULL &&
            tt_call_new(m->engine, m->prim, args, 4, &m->call, NULL) == TT_OK;
    for (int i = 0; i < SIDE * SIDE && m->ok; ++i)
        src[i] = ((const float *)m->src->data)[i] * m->factor;
    for (int i = 0; i < 4 && m->ok; ++i)
        m->ok = tt_call_bind(m->call, i, data[i], NULL) == TT_OK;
    for (int i = 0; i < 200 && m->ok; ++i)
        m->ok = tt_arena_run(m->arena, execute, m, NULL) == TT_OK;
    tt_call_free(m->call);
    tt_free(src);
    return NULL;
}

typedef struct {
    tt_engine *engine;
    const tt_matmul_params *params;
    tt_prim *prim;
} creation;

static tt_status create_in_arena(void *arg)
{
    creation *c = arg;
    return tt_matmul_new(c->engine, c->params, &c->prim, ERR);
}

static void share_a_primitive(const way *w)
{
    tensor src = tensor_row_major(TT_F32, SIDE, SIDE, DIMS_END);
    tensor weights = tensor_row_major(TT_F32, SIDE, SIDE, DIMS_END);
    tt_matmul_params p = {
        .src = src.md, .weights = weights.md, .dst = src.md, .attr = tt_attr_default()};
    creation c = {w->engine, &p, NULL};
    pthread_t threads[N_THREADS];
    worker workers[N_THREADS];
    CHECK_OK(run_in(w, create_in_arena, &c));
    for (int i = 0; i < N_THREADS; ++i) {
        workers[i] = (worker){.engine = w->engine,
                              .prim = c.prim,
                              .arena = w->arena,
                              .src = &src,
                              .weights = &weights,
                              .factor = (float)(i + 1),
                              .dst = tensor_copy(&src)};
        workers[i].scratchpad = tt_alloc(tt_prim_scratchpad_bytes(c.prim));
        CHECK_INT(pthread_create(&threads[i], NULL, multiply_many_times, &workers[i]),
                  0);
    }
    for (int i = 0; i < N_THREADS; ++i) {
        CHECK_INT(pthread_join(threads[i], NULL), 0);
        CHECK(workers[i].ok);
    }
    for (int i = 0; i < N_THREADS; ++i) {
        for (int64_t k = 0; k < SIDE * SIDE; ++k)
            CHECK_NEAR(get(&workers[i].dst, k), (i + 1) * get(&workers[0].dst, k),
                       1e-3);
        tt_free(workers[i].scratchpad);
    }
    for (int i = 0; i < N_THREADS; ++i)
        tensor_free(&workers[i].dst);
    tt_prim_free(c.prim);
    tensor_free(&src);
    tensor_free(&weights);
}

TT_TEST(one_primitive_runs_in_many_threads_at_once)
{
    for_every_way(share_a_primitive);
}

/* ---- every allocation of ours fails once --------------------------------- */

static tt_status whole_life(tt_engine **engine, tt_prim **prim, tt_layout **layout,
                            tt_call **call, const tt_matmul_params *p,
                            const tensor *weights, void *packed)
{
    static const tt_arg args[] = {TT_ARG_SRC, TT_ARG_WEIGHTS, TT_ARG_DST};
    TT_TRY(tt_engine_new(TT_DEVICE_CPU, true, engine, ERR));
    TT_TRY(tt_matmul_new(*engine, p, prim, ERR));
    TT_TRY(tt_layout_new(*prim, TT_ARG_WEIGHTS, layout, ERR));
    TT_TRY(tt_layout_pack(*engine, &weights->md, weights->data, *layout, packed, ERR));
    return tt_call_new(*engine, *prim, args, 3, call, ERR);
}

TT_TEST(every_failing_allocation_is_reported_and_leaks_nothing)
{
    tensor src = tensor_row_major(TT_F32, 16, 16, DIMS_END);
    tensor weights = tensor_row_major(TT_F32, 16, 16, DIMS_END);
    void *packed = tt_alloc(1 << 16);
    tt_matmul_params p = {.src = src.md,
                          .weights = any_layout(&weights),
                          .dst = src.md,
                          .attr = tt_attr_default()};
    int64_t n_failed = 0;
    for (int64_t k = 1; k < 100; ++k) {
        tt_engine *engine = NULL;
        tt_prim *prim = NULL;
        tt_layout *layout = NULL;
        tt_call *call = NULL;
        tt_status status;
        (void)tt_alloc_fail_at(k, false);
        status = whole_life(&engine, &prim, &layout, &call, &p, &weights, packed);
        (void)tt_alloc_fail_at(0, false);
        CHECK((call != NULL) == (status == TT_OK));
        tt_call_free(call);
        tt_layout_free(layout);
        tt_prim_free(prim);
        tt_engine_free(engine);
        if (status == TT_OK) break;
        CHECK_INT(status, TT_NO_MEMORY);
        ++n_failed;
    }
    CHECK(n_failed >= 8);
    tt_free(packed);
    tensor_free(&src);
    tensor_free(&weights);
}
