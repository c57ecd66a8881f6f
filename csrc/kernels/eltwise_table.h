/* The kernels behind a tt_eltwise program: one table per instruction set, and the
 * definition they are tested against (internal to kernels/eltwise*.c and tests). */
#ifndef TT_KERNELS_ELTWISE_TABLE_H
#define TT_KERNELS_ELTWISE_TABLE_H

#include "base/cpu.h"
#include "kernels/eltwise.h"

/* What an instruction carries besides its registers. */
typedef struct {
    double alpha, beta;
} tt_eltwise_immediate;

/* dst[i] = op(a[i], b[i], c[i]) for i in [0, n).  dst may be exactly one of the
 * arguments of the same element size; otherwise they do not overlap. */
typedef void (*tt_eltwise_fn)(int64_t n, void *dst, const void *a, const void *b,
                              const void *c, const tt_eltwise_immediate *immediate);

/* by_scalar[m]: the version for which the arguments in the bit mask m hold a single
 * element.  Bits 0 and 1 are the last two arguments (a and b of a binary operation,
 * b and c of SELECT).  by_scalar[0] always exists; a missing other one means that
 * the scalar must be spread over a block first. */
typedef struct {
    tt_eltwise_fn by_scalar[4];
} tt_eltwise_kernel;

enum { TT_ELTWISE_DTYPES = TT_BF16 + 1 };

typedef struct {
    const char *name; /* "eltwise:avx512" and so on */
    /* [register dtype]: an array over tt_eltwise_op, or NULL */
    const tt_eltwise_kernel *kernels[TT_ELTWISE_DTYPES];
    /* [from][to], register dtypes; to may also be f16 or bf16: an f32 register
     * rounded to that precision */
    tt_eltwise_fn casts[TT_ELTWISE_DTYPES][TT_ELTWISE_DTYPES];
    tt_eltwise_fn quantize[TT_ELTWISE_DTYPES];   /* [to], from f32 */
    tt_eltwise_fn dequantize[TT_ELTWISE_DTYPES]; /* [from], to f32 */
    /* memory of f16 or bf16 <-> f32 registers */
    tt_eltwise_fn load_f16, load_bf16, store_f16, store_bf16;
} tt_eltwise_table;

extern const tt_eltwise_table tt_eltwise_scalar;
#ifdef __x86_64__
extern const tt_eltwise_table tt_eltwise_avx2, tt_eltwise_avx512;
/* store_bf16 for processors with AVX-512 BF16 */
void tt_eltwise_store_bf16_avx512(int64_t n, void *dst, const void *a, const void *b,
                                  const void *c, const tt_eltwise_immediate *immediate);
#endif
/* The table's store_bf16, or a faster one that this processor has. */
tt_eltwise_fn tt_eltwise_store_bf16(const tt_eltwise_table *table);

/* The table of an instruction set, which the processor must have; the scalar one
 * where this build has no other. */
const tt_eltwise_table *tt_eltwise_table_of(tt_isa isa);

/* tt_eltwise_compile for a given table instead of the processor's best. */
tt_status tt_eltwise_compile_for(const tt_eltwise_table *table,
                                 const tt_eltwise_builder *b, const tt_shape *dims,
                                 const int64_t (*load_strides)[TT_MAX_RANK],
                                 const int64_t (*store_strides)[TT_MAX_RANK],
                                 tt_eltwise **out, tt_error *err);

/* Nanoseconds per element on one AVX-512 core with data in L1, rough. */
double tt_eltwise_op_ns(tt_eltwise_op op, tt_dtype dtype, tt_isa isa);

/* The same operation written from its definition: float arithmetic in long double
 * with libm, integers in 128 bits.  Only tests call it.  dst has dtype `to` for
 * CAST, bool for the tests, else `dtype`; false when (op, dtype) has no meaning. */
bool tt_eltwise_ref(tt_eltwise_op op, tt_dtype dtype, tt_dtype to, int64_t n, void *dst,
                    const void *a, const void *b, const void *c, double alpha,
                    double beta);

#endif
