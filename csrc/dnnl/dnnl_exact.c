/* The self-test of 8-bit products: see dnnl_exact.h. */
#include "dnnl/dnnl_exact.h"

#include <pthread.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fork.h"

enum { ROWS = 4, INNER = 64, COLUMNS = 32, SRC = 255, WEIGHT = 127 };

typedef struct {
    uint8_t src[ROWS * INNER];
    int8_t weights[INNER * COLUMNS];
    int32_t dst[ROWS * COLUMNS];
} matrices;

static tt_md plain(tt_dtype dtype, int64_t rows, int64_t columns)
{
    return (tt_md){
        .dtype = dtype, .ndims = 2, .dims = {rows,    columns},
                .strides = {columns, 1      }
    };
}

static tt_status bind_and_execute(tt_call *call, void *const *addresses, int n,
                                  tt_error *err)
{
    for (int i = 0; i < n; ++i)
        TT_TRY(tt_call_bind(call, i, addresses[i], err));
    return tt_call_execute(call, err);
}

static tt_status multiply(tt_engine *engine, const tt_prim *prim, matrices *m,
                          tt_error *err)
{
    static const tt_arg args[] = {TT_ARG_SRC, TT_ARG_WEIGHTS, TT_ARG_DST,
                                  TT_ARG_SCRATCHPAD};
    void *scratchpad = tt_alloc(tt_prim_scratchpad_bytes(prim) + 1);
    void *addresses[] = {m->src, m->weights, m->dst, scratchpad};
    tt_call *call = NULL;
    tt_status status = scratchpad == NULL
                           ? tt_fail(err, TT_NO_MEMORY, "a self-test of 8 bits")
                           : tt_call_new(engine, prim, args, 4, &call, err);
    if (status == TT_OK) status = bind_and_execute(call, addresses, 4, err);
    tt_call_free(call);
    tt_free(scratchpad);
    return status;
}

static tt_status test(tt_engine *engine, bool *out, tt_error *err)
{
    tt_matmul_params p = {.src = plain(TT_U8, ROWS, INNER),
                          .weights = plain(TT_S8, INNER, COLUMNS),
                          .dst = plain(TT_S32, ROWS, COLUMNS),
                          .attr = tt_attr_default()};
    matrices *m = tt_alloc(sizeof *m);
    tt_prim *prim = NULL;
    tt_status status = m == NULL ? tt_fail(err, TT_NO_MEMORY, "a self-test of 8 bits")
                                 : tt_matmul_new(engine, &p, &prim, err);
    *out = true;
    if (status == TT_OK) {
        memset(m->src, SRC, sizeof m->src);
        memset(m->weights, WEIGHT, sizeof m->weights);
        status = multiply(engine, prim, m, err);
        for (int i = 0; i < ROWS * COLUMNS && status == TT_OK; ++i)
            *out &= m->dst[i] == INNER * SRC * WEIGHT;
    }
    tt_prim_free(prim);
    tt_free(m);
    return status;
}

tt_status tt_dnnl_is_exact(tt_engine *engine, bool *out, tt_error *err)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static enum { UNKNOWN, EXACT, SATURATES } answer;
    tt_status status = TT_OK;
    tt_mutex_lock(&lock);
    if (answer == UNKNOWN) {
        status = test(engine, out, err);
        if (status == TT_OK) answer = *out ? EXACT : SATURATES;
    }
    *out = answer == EXACT;
    tt_mutex_unlock(&lock);
    return status;
}
