/* Chains of elementwise operators as one loop over L1-sized blocks.
 *
 * A program is a short list of instructions over virtual registers.  Loads read
 * an operand (strided, broadcast), each instruction runs over a block of
 * at most TT_ELTWISE_BLOCK elements held in L1, stores write a destination.  So a chain
 * of n operators reads and writes memory once.  Computation is in f32 for
 * f32/f16/bf16, f64 for f64, and in the integer type itself for integers (wrap
 * around, no undefined behaviour); conversions are explicit CAST instructions
 * except that loads/stores of f16 and bf16 convert to/from f32 registers. */
#ifndef TT_KERNELS_ELTWISE_H
#define TT_KERNELS_ELTWISE_H

#include "base/shape.h"
#include "base/status.h"

/* X(name, number of register arguments).  alpha and beta are immediates. */
/* clang-format off */
#define TT_ELTWISE_LIST(X)                                                                              \
    /* unary, float */                                                                                  \
    X(ABS, 1)                                                                                           \
    X(NEG, 1)                                                                                           \
    X(SIGN, 1)                                                                                          \
    X(CEIL, 1)                                                                                          \
    X(FLOOR, 1) X(ROUND, 1) X(SQRT, 1) X(RECIPROCAL, 1) X(EXP, 1) X(LOG, 1) X(ERF, 1)                   \
        X(SIGMOID, 1) X(TANH, 1) X(SIN, 1) X(COS, 1) X(TAN, 1) X(ASIN, 1) X(ACOS, 1)                    \
            X(ATAN, 1) X(SINH, 1) X(COSH, 1) X(ASINH, 1) X(ACOSH, 1) X(ATANH, 1)                        \
                X(RELU, 1) /* max(x, 0), NaN stays NaN */                                               \
        X(LEAKY_RELU, 1)   /* x >= 0 ? x : alpha x */                                                   \
        X(ELU, 1)          /* x >= 0 ? x : alpha (e^x - 1) */                                           \
        X(SELU, 1)         /* beta * elu_alpha(x) */                                                    \
        X(CELU, 1)         /* max(0,x) + min(0, alpha (e^(x/alpha) - 1)) */                             \
        X(HARD_SIGMOID, 1) /* max(0, min(1, alpha x + beta)) */                                         \
        X(HARD_SWISH, 1)   /* x max(0, min(1, x/6 + 1/2)) */                                            \
        X(SOFTPLUS, 1) X(SOFTSIGN, 1) X(MISH, 1) X(SWISH, 1)  /* x sigmoid(alpha x) */                  \
        X(GELU_ERF, 1) X(GELU_TANH, 1) X(THRESHOLDED_RELU, 1) /* x > alpha ? x : 0 */                   \
        X(SHRINK, 1)     /* x < -alpha ? x+beta : x > alpha ? x-beta : 0 */                             \
        X(LINEAR, 1)     /* alpha x + beta */                                                           \
        X(CLIP, 1)       /* min(max(x, alpha), beta), NaN stays NaN */                                  \
        X(POW_SCALAR, 1) /* x ^ alpha; 2, 3, .5, -1 are special-cased */                                \
        X(IS_NAN, 1)     /* -> bool */                                                                  \
        X(IS_INF, 1)     /* -> bool; alpha: detect negative, beta: positive */                          \
        X(NOT, 1) X(BITWISE_NOT, 1) X(                                                                  \
            CAST,                                                                                       \
            1) /* dtype of the source register -> result dtype */                                       \
        X(QUANTIZE, 1)   /* float to u8 s8 u16 s16: scale alpha, zero point beta */                     \
        X(DEQUANTIZE, 1) /* and back */                                                                 \
        /* binary: dtype of both arguments */                                                           \
        X(ADD, 2) X(SUB, 2) X(MUL, 2) X(DIV, 2) X(MAX, 2) X(MIN, 2) X(POW, 2)                           \
            X(MOD, 2) /* sign of the divisor (Python); integers: x mod 0 = 0 */                         \
        X(FMOD, 2)    /* sign of the dividend (C) */                                                    \
        X(PRELU, 2)   /* a >= 0 ? a : a b */                                                            \
        X(AND, 2) X(OR, 2) X(XOR, 2) X(BITWISE_AND, 2) X(BITWISE_OR, 2)                                 \
            X(BITWISE_XOR, 2) X(SHIFT_LEFT, 2)                                                          \
                X(SHIFT_RIGHT, 2) /* counts outside [0, width): 0, or the sign */                                  \
        X(EQUAL, 2) X(GREATER, 2) X(GREATER_EQUAL, 2) X(LESS, 2) X(LESS_EQUAL, 2)                       \
            X(SELECT, 3) /* bool a ? b : c */

/* clang-format on */

typedef enum {
#define TT_ELTWISE_ENUM(name, n) TT_ELTWISE_##name,
    TT_ELTWISE_LIST(TT_ELTWISE_ENUM)
#undef TT_ELTWISE_ENUM
        TT_ELTWISE_COUNT
} tt_eltwise_op;

enum {
    TT_ELTWISE_MAX_INSTRUCTIONS = 48,
    TT_ELTWISE_MAX_REGISTERS = 64,
    TT_ELTWISE_MAX_OPERANDS = 16, /* loads and stores together */
    TT_ELTWISE_BLOCK = 2048       /* elements, at most */
};

typedef struct {
    tt_eltwise_op op;
    tt_dtype dtype; /* of the arguments (SELECT: of b and c) */
    int args[3];    /* registers */
    int result;     /* register */
    tt_dtype
        cast_to; /* CAST, QUANTIZE: what was asked for (f16 gives an f32 register) */
    double alpha, beta;
} tt_eltwise_instruction;

/* Appends to the program under construction; see the functions below. */
typedef struct {
    int n_registers, n_instructions, n_loads, n_stores, n_constants;
    tt_dtype registers[TT_ELTWISE_MAX_REGISTERS]; /* dtype of each */
    tt_eltwise_instruction instructions[TT_ELTWISE_MAX_INSTRUCTIONS];
    int loads[TT_ELTWISE_MAX_OPERANDS];  /* register that operand i fills */
    int stores[TT_ELTWISE_MAX_OPERANDS]; /* register that destination i takes */
    tt_dtype load_dtypes[TT_ELTWISE_MAX_OPERANDS];
    tt_dtype store_dtypes[TT_ELTWISE_MAX_OPERANDS];
    struct {
        int reg;
        double value;
    } constants[TT_ELTWISE_MAX_REGISTERS];
} tt_eltwise_builder;

/* A new register filled from the next operand of `dtype`; -1 when full.  (An
 * f16/bf16 operand gives an f32 register.) */
int tt_eltwise_load(tt_eltwise_builder *b, tt_dtype dtype);
/* A new register holding an immediate of `dtype` (a register dtype); -1 full. */
int tt_eltwise_constant(tt_eltwise_builder *b, tt_dtype dtype, double value);
/* Appends an instruction; result register or -1 when the program is full or
 * (op, dtype) has no kernel.  Unused args are -1.  Comparisons, AND.., IS_* give
 * TT_BOOL registers; CAST and QUANTIZE give `cast_to` (ignored otherwise). */
int tt_eltwise_add(tt_eltwise_builder *b, tt_eltwise_op op, int a0, int a1, int a2,
                   double alpha, double beta, tt_dtype cast_to);
/* The next destination, of `dtype`, takes `reg`; false when full. */
bool tt_eltwise_store(tt_eltwise_builder *b, int reg, tt_dtype dtype);
/* Is there a kernel for op on arguments of this register dtype? */
bool tt_eltwise_has(tt_eltwise_op op, tt_dtype dtype);

/* The finished step: program plus loop nest.  Plain data, no pointers to free. */
typedef struct tt_eltwise tt_eltwise;

/* Plans the loops: `dims` of the result, strides (elements) of each load and
 * store over those dims (0 = broadcast).  Dims are reordered and merged so that
 * the longest contiguous run is innermost.  *out comes from tt_alloc and is
 * freed with tt_free. */
tt_status tt_eltwise_compile(const tt_eltwise_builder *b, const tt_shape *dims,
                             const int64_t (*load_strides)[TT_MAX_RANK],
                             const int64_t (*store_strides)[TT_MAX_RANK],
                             tt_eltwise **out, tt_error *err);
size_t tt_eltwise_bytes(const tt_eltwise *eltwise);
/* Runs in the current arena, in parallel when it is large.  ptrs: the loads'
 * base pointers in order, then the stores'.  A store may be exactly a load's
 * memory (in place); otherwise they do not overlap. */
void tt_eltwise_run(const tt_eltwise *eltwise, void *const *ptrs);
/* Estimated nanoseconds of one run on one thread. */
double tt_eltwise_cost_ns(const tt_eltwise *eltwise);

#endif
