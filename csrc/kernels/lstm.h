/* The usual LSTM in float: sigmoid, tanh, tanh, no clipping, peepholes or lengths.
 *
 * The recurrence is a matrix times a vector per step, so the weights are packed for
 * that: blocks of VF_N hidden units, in each block for every row k the four gates'
 * weights side by side.  A block's four gates are summed in registers and turned into
 * c and h at once, reading each weight exactly once per step. */
#ifndef TT_KERNELS_LSTM_H
#define TT_KERNELS_LSTM_H

#include "base/shape.h"
#include "base/status.h"

typedef struct {
    int64_t steps, batch, inputs, hidden;
    int n_directions;
    bool first_is_reverse, batch_first;
    bool has_projection; /* gates of x come ready made, [directions, rows, 4 hidden] */
} tt_lstm_kernel;

/* X is x [steps, batch, inputs] or, with has_projection, the gates i o f c of x with
 * both biases added.  W (packed; absent with has_projection), R (packed), bias [D, 4
 * hidden] i o f c (absent with has_projection or when zero). */
enum {
    TT_LSTM_X,
    TT_LSTM_W,
    TT_LSTM_R,
    TT_LSTM_BIAS,
    TT_LSTM_H0,
    TT_LSTM_C0,
    TT_LSTM_Y,
    TT_LSTM_YH,
    TT_LSTM_YC,
    TT_LSTM_SCRATCH,
    TT_LSTM_POINTERS
};

/* Floats of one direction's packed weights [4 hidden, columns]. */
size_t tt_lstm_packed_floats(int64_t hidden, int64_t columns);
/* Packs row-major weights [4 hidden, columns], gates i o f c. */
void tt_lstm_pack(const float *weights, int64_t hidden, int64_t columns, float *packed);

size_t tt_lstm_scratch_bytes(const tt_lstm_kernel *kernel);
/* A tt_kernel of plan/lower.h. */
tt_status tt_lstm_run(const void *params, void *const *ptrs, tt_error *err);
const char *tt_lstm_name(void);

/* Per instruction set.  step: for one sequence, gates (4 rows of `hidden`, may be
 * NULL: zeros) + W x + R h -> c (in place) and next h. */
typedef struct {
    const char *name;
    int64_t lanes;
    void (*step)(const float *gates, const float *w, const float *x, int64_t inputs,
                 const float *r, const float *h, float *c, float *next, int64_t hidden);
} tt_lstm_table;

extern const tt_lstm_table tt_lstm_scalar, tt_lstm_avx2, tt_lstm_avx512;

#endif
