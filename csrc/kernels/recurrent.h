/* RNN, GRU and LSTM by their definition, for every option of the ONNX operators.
 *
 * One cell type, D directions, any activation functions, clipping, peepholes, lengths
 * per sequence.  Computes in double.  The fast path of the usual LSTM is lstm.h. */
#ifndef TT_KERNELS_RECURRENT_H
#define TT_KERNELS_RECURRENT_H

#include "base/shape.h"
#include "base/status.h"

typedef enum { TT_CELL_RNN, TT_CELL_GRU, TT_CELL_LSTM } tt_cell;

/* X(code, ONNX name) */
#define TT_ACTIVATION_LIST(X)                            \
    X(TT_ACTIVATION_RELU, "Relu")                        \
    X(TT_ACTIVATION_TANH, "Tanh")                        \
    X(TT_ACTIVATION_SIGMOID, "Sigmoid")                  \
    X(TT_ACTIVATION_AFFINE, "Affine")                    \
    X(TT_ACTIVATION_LEAKY_RELU, "LeakyRelu")             \
    X(TT_ACTIVATION_THRESHOLDED_RELU, "ThresholdedRelu") \
    X(TT_ACTIVATION_SCALED_TANH, "ScaledTanh")           \
    X(TT_ACTIVATION_HARD_SIGMOID, "HardSigmoid")         \
    X(TT_ACTIVATION_ELU, "Elu")                          \
    X(TT_ACTIVATION_SOFTSIGN, "Softsign")                \
    X(TT_ACTIVATION_SOFTPLUS, "Softplus")

typedef enum {
#define TT_ACTIVATION_ENUM(code, name) code,
    TT_ACTIVATION_LIST(TT_ACTIVATION_ENUM)
#undef TT_ACTIVATION_ENUM
        TT_ACTIVATION_COUNT
} tt_activation_kind;

typedef struct {
    tt_activation_kind kind;
    float alpha, beta;
} tt_activation;

/* ONNX's name, or NULL past the end. */
const char *tt_activation_name(int kind);

typedef struct {
    tt_cell cell;
    tt_dtype dtype;
    int64_t steps, batch, inputs, hidden;
    int n_directions;
    bool first_is_reverse; /* direction "reverse" */
    bool batch_first;      /* layout 1 */
    bool linear_before_reset, input_forget;
    float clip;                   /* 0: none */
    tt_activation activations[6]; /* 3 per direction */
} tt_recurrent_kernel;

/* Pointers of the step, in this order; NULL where the tensor is absent. */
enum {
    TT_RECURRENT_X,
    TT_RECURRENT_W,
    TT_RECURRENT_R,
    TT_RECURRENT_B,
    TT_RECURRENT_LENGTHS, /* int32 */
    TT_RECURRENT_H0,
    TT_RECURRENT_C0,
    TT_RECURRENT_P,
    TT_RECURRENT_Y,
    TT_RECURRENT_YH,
    TT_RECURRENT_YC,
    TT_RECURRENT_SCRATCH, /* tt_recurrent_scratch_bytes */
    TT_RECURRENT_POINTERS
};

size_t tt_recurrent_scratch_bytes(const tt_recurrent_kernel *kernel);
/* A tt_kernel of plan/lower.h; all tensors dense row-major. */
tt_status tt_recurrent_run_ref(const void *params, void *const *ptrs, tt_error *err);

#endif
