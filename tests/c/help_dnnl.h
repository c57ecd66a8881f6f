/* Tensors, naive loops in double, and running a primitive: for tests of dnnl/. */
#ifndef TT_TESTS_HELP_DNNL_H
#define TT_TESTS_HELP_DNNL_H

#include "base/threads.h"
#include "dnnl/dnnl_shim.h"
#include "harness.h"

/* A description and its memory, filled with small random numbers (multiples of
 * 1/8 for floats, so that bf16 holds them exactly). */
typedef struct {
    tt_md md;
    void *data;
    size_t bytes;
} tensor;

enum { DIMS_END = -1 };
tensor tensor_row_major(tt_dtype dtype, ...); /* dims, then DIMS_END */
tensor tensor_channels_last(tt_dtype dtype, ...);
tensor tensor_padded(tt_dtype dtype, ...); /* rows two elements apart */
tt_md any_layout(const tensor *t);
tensor tensor_copy(const tensor *t);
void tensor_free(tensor *t);

int64_t numel(const tensor *t);
/* Element number i in row-major order of the dims, whatever the strides. */
double get(const tensor *t, int64_t i);
void set(tensor *t, int64_t i, double value);
/* Element at an index of up to five dims; 0 outside the dims. */
double at(const tensor *t, int64_t a, int64_t b, int64_t c, int64_t d, int64_t e);

/* How primitives run: every test runs in all of these ways. */
typedef struct {
    tt_engine *engine;
    tt_arena *arena;
    bool staging;
    int n_threads;
} way;

void for_every_way(void (*body)(const way *));

/* Runs `body(arg)` in the way's arena. */
tt_status run_in(const way *w, tt_status (*body)(void *), void *arg);

typedef struct {
    tt_arg arg;
    const tensor *tensor;
} operand;

/* Creates with `create` (a closure over *params), packs weights where the primitive
 * chose another layout than the tensor has, executes once, frees. */
typedef tt_status (*creator)(tt_engine *, const void *params, tt_prim **, tt_error *);
void run_prim(const way *w, creator create, const void *params, const operand *operands,
              int n_operands);

/* Compares dst with expected (row-major numbers) and names the worst element. */
void check_close(const tensor *dst, const double *expected, double tolerance);

#define CREATOR(name, function, params_type)                                    \
    static tt_status name(tt_engine *engine, const void *params, tt_prim **out, \
                          tt_error *err)                                        \
    {                                                                           \
        return function(engine, (const params_type *)params, out, err);         \
    }

#endif
