/* Every elementwise kernel, on every instruction set of this processor, against its
 * definition (kernels/eltwise_ref.c): on special values, on all pairs of them, and on
 * random numbers.  Integers and tests must be equal; floats within a bound in ULP. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "harness.h"
#include "kernels/eltwise_table.h"

enum { N = 1024, N_SPECIAL = 24 };

static const char *const names[] = {
#define NAME(name, n) #name,
    TT_ELTWISE_LIST(NAME)
#undef NAME
};
static const int arity[] = {
#define ARITY(name, n) n,
    TT_ELTWISE_LIST(ARITY)
#undef ARITY
};
static const tt_dtype dtypes[] = {TT_F32, TT_F64, TT_S8,  TT_U8,  TT_S16, TT_U16,
                                  TT_S32, TT_U32, TT_S64, TT_U64, TT_BOOL};
enum { N_DTYPES = sizeof dtypes / sizeof dtypes[0] };

/* ---- inputs --------------------------------------------------------------- */

static double special_float(tt_dtype dtype, int i)
{
    const double values[N_SPECIAL] = {0.0,
                                      -0.0,
                                      1.0,
                                      -1.0,
                                      (double)INFINITY,
                                      -(double)INFINITY,
                                      (double)NAN,
                                      0.5,
                                      -0.5,
                                      1.5,
                                      -1.5,
                                      2.5,
                                      1e-40,
                                      -1e-40,
                                      -FLT_MIN,
                                      FLT_MAX,
                                      -FLT_MAX,
                                      88.7,
                                      -103.9,
                                      -87.4,
                                      3.0,
                                      -2.0,
                                      1e-8,
                                      33554434.0};
    if (dtype == TT_F64 && i == 12) return DBL_MIN / 4;
    return values[i];
}

static uint64_t special_int(int i)
{
    const uint64_t values[N_SPECIAL] = {
        0,          1,          2,          ~0ull,      ~1ull,      127,
        128,        255,        256,        0x7fff,     0x8000,     0xffff,
        0x10000,    0x7fffffff, 0x80000000, 0xffffffff, 1ull << 32, 1ull << 63,
        ~0ull >> 1, 7,          63,         ~6ull,      31,         100};
    return values[i];
}

static void put(tt_dtype dtype, void *data, int i, double x, uint64_t bits)
{
    switch (dtype) {
    case TT_F32:
        ((float *)data)[i] = (float)x;
        break;
    case TT_F64:
        ((double *)data)[i] = x;
        break;
    case TT_BOOL:
        ((uint8_t *)data)[i] = (uint8_t)(bits & 1 ? bits % 200 + 1 : 0);
        break;
    default:
        memcpy((char *)data + (size_t)i * tt_dtype_bytes(dtype), &bits,
               tt_dtype_bytes(dtype)); /* little end first */
    }
}

/* The first N_SPECIAL^2 elements of two arrays hold all pairs of special values. */
static void fill(tt_dtype dtype, void *data, bool is_second)
{
    for (int i = 0; i < N; ++i) {
        int k = is_second ? i / N_SPECIAL : i % N_SPECIAL;
        double scale = i % 3 == 0 ? 1.0 : i % 3 == 1 ? 8.0 : 300.0;
        uint64_t bits = (uint64_t)tt_random() << 32 | tt_random();
        bits = i % 2 ? bits : bits >> (tt_random() % 60);
        if (i < N_SPECIAL * N_SPECIAL)
            put(dtype, data, i, special_float(dtype, k), special_int(k));
        else
            put(dtype, data, i, tt_random_between(-scale, scale), bits);
    }
}

/* ---- errors --------------------------------------------------------------- */

/* Distance in representable numbers; 0 for two NaN, huge for one. */
static double ulps_between(tt_dtype dtype, const void *got, const void *want, int i)
{
    double x, y, size, ulp;
    int exponent;
    if (dtype == TT_F32)
        x = (double)((const float *)got)[i], y = (double)((const float *)want)[i];
    else
        x = ((const double *)got)[i], y = ((const double *)want)[i];
    if (isnan(x) || isnan(y)) return isnan(x) && isnan(y) ? 0.0 : 1e300;
    if (x == y) return 0.0;
    if (isinf(y) && dtype == TT_F32) y = copysign(0x1p128, y);
    if (isinf(x) && dtype == TT_F32) x = copysign(0x1p128, x);
    size = fmax(fabs(x), fabs(y));
    (void)frexp(size, &exponent);
    ulp = dtype == TT_F32 ? ldexp(1.0, exponent < -125 ? -149 : exponent - 24)
                          : ldexp(1.0, exponent < -1021 ? -1074 : exponent - 53);
    return fabs(x - y) / ulp;
}

/* The promised bound.  Functions whose argument is itself a rounded product lose what
 * the rounding of it costs: up to |argument| ULP, and twice that where the argument is
 * the square of a rounded number. */
static double bound_of(tt_eltwise_op op, tt_dtype dtype)
{
    const bool is_double = dtype == TT_F64;
    switch (op) {
    case TT_ELTWISE_GELU_ERF:
        return is_double ? 4.0 : 8.0;
    case TT_ELTWISE_SWISH:
    case TT_ELTWISE_CELU:
    case TT_ELTWISE_MISH:
        return is_double ? 800.0 : 110.0; /* e^-104, e^-745 */
    case TT_ELTWISE_GELU_TANH:
        return is_double ? 1600.0 : 200.0;
    default:
        return 4.0;
    }
}

/* Sums of terms that may cancel: bounded by the terms, not by the result. */
static double absolute_of(tt_eltwise_op op, tt_dtype dtype)
{
    const double eps = dtype == TT_F32 ? 0x1p-22 : 0x1p-51;
    switch (op) {
    case TT_ELTWISE_LINEAR:
        return 4.0 * eps;
    case TT_ELTWISE_HARD_SIGMOID:
        return 4.0 * eps;
    case TT_ELTWISE_HARD_SWISH:
        return 4.0 * eps;
    default:
        return 0.0;
    }
}

static void check_equal(const char *what, tt_eltwise_op op, tt_dtype dtype,
                        tt_dtype result, int n, const void *got, const void *want)
{
    const size_t width = tt_dtype_bytes(result);
    for (int i = 0; i < n; ++i) {
        double error = 0.0;
        if (result == TT_F32 || result == TT_F64) {
            error = ulps_between(result, got, want, i);
            if (error > bound_of(op, dtype) && error < 1e299) {
                double x = result == TT_F32 ? (double)((const float *)got)[i]
                                            : ((const double *)got)[i];
                double y = result == TT_F32 ? (double)((const float *)want)[i]
                                            : ((const double *)want)[i];
                if (fabs(x - y) <= absolute_of(op, dtype) * fmax(1.0, fabs(y)))
                    error = 0.0;
            }
        } else if (memcmp((const char *)got + (size_t)i * width,
                          (const char *)want + (size_t)i * width, width) != 0) {
            error = 1e300;
        }
        if (error > bound_of(op, dtype))
            tt_test_fail(__FILE__, __LINE__, "%s of %s, %s: element %d is %g ULP off",
                         names[op], tt_dtype_name(dtype), what, i, error);
    }
}

/* ---- the sweep ------------------------------------------------------------ */

static _Alignas(64) char a[N * 8], b[N * 8], c[N * 8], got[N * 8], want[N * 8],
    spread_a[N * 8], spread_b[N * 8], spread_c[N * 8];

static void spread(char *to, const char *from, size_t width, bool is_scalar)
{
    for (size_t i = 0; i < N; ++i)
        memcpy(to + i * width, from + (is_scalar ? 5 * width : i * width), width);
}

/* mask: as tt_eltwise_kernel.by_scalar. */
static void check_kernel(const tt_eltwise_table *table, tt_eltwise_op op,
                         tt_dtype dtype, int mask, tt_dtype result, double alpha,
                         double beta)
{
    const tt_eltwise_fn fn = table->kernels[dtype][op].by_scalar[mask];
    const size_t width = tt_dtype_bytes(dtype);
    const bool is_select = op == TT_ELTWISE_SELECT;
    const bool a_scalar = !is_select && (mask & 1);
    const bool b_scalar = is_select ? mask & 1 : mask & 2, c_scalar = mask & 2;
    const tt_eltwise_immediate immediate = {alpha, beta};
    const int lengths[] = {N, 0, 1, 7, 16, 33, 509};
    spread(spread_a, a, is_select ? 1 : width, a_scalar);
    spread(spread_b, b, width, b_scalar);
    spread(spread_c, c, width, is_select && c_scalar);
    CHECK(tt_eltwise_ref(op, dtype, result, N, want, spread_a, spread_b, spread_c,
                         alpha, beta));
    for (size_t k = 0; k < sizeof lengths / sizeof lengths[0]; ++k) {
        const size_t n = (size_t)lengths[k], bytes = n * tt_dtype_bytes(result);
        memset(got, 0x5a, sizeof got);
        fn(lengths[k], got, a_scalar ? a + 5 * width : a, b_scalar ? b + 5 * width : b,
           is_select && c_scalar ? c + 5 * width : c, &immediate);
        check_equal(table->name, op, dtype, result, lengths[k], got, want);
        if (bytes < sizeof got) CHECK(got[bytes] == 0x5a);
    }
}

static tt_dtype result_of(tt_eltwise_op op, tt_dtype dtype)
{
    switch (op) {
    case TT_ELTWISE_IS_NAN:
    case TT_ELTWISE_IS_INF:
    case TT_ELTWISE_EQUAL:
    case TT_ELTWISE_GREATER:
    case TT_ELTWISE_GREATER_EQUAL:
    case TT_ELTWISE_LESS:
    case TT_ELTWISE_LESS_EQUAL:
        return TT_BOOL;
    default:
        return dtype;
    }
}

static void check_op(const tt_eltwise_table *table, tt_eltwise_op op, tt_dtype dtype)
{
    const tt_dtype result = result_of(op, dtype);
    static const double alphas[][2] = {
        {1.0, 0.5},
        {0.7, 1.3},
        {2.0, 3.0},
        {0.0, 1.0}
    };
    static const double powers[] = {2.0, 3.0, 0.5, -1.0, 1.0, 0.0, 1.7, -2.3};
    fill(dtype, a, false);
    fill(dtype, b, true);
    fill(dtype, c, true);
    if (op == TT_ELTWISE_SELECT) fill(TT_BOOL, a, false);
    for (int mask = 0; mask < 4; ++mask)
        if (table->kernels[dtype][op].by_scalar[mask] != NULL)
            check_kernel(table, op, dtype, mask, result, 1.0, 0.5);
    if (arity[op] != 1) return;
    for (int i = 0; i < 4; ++i)
        if (op != TT_ELTWISE_CELU || alphas[i][0] != 0.0)
            check_kernel(table, op, dtype, 0, result, alphas[i][0], alphas[i][1]);
    for (int i = 0; op == TT_ELTWISE_POW_SCALAR && i < 8; ++i)
        check_kernel(table, op, dtype, 0, result, powers[i], 0.0);
    if (op == TT_ELTWISE_CLIP) {
        check_kernel(table, op, dtype, 0, result, -(double)INFINITY, 6.0);
        check_kernel(table, op, dtype, 0, result, -3.0, (double)INFINITY);
        check_kernel(table, op, dtype, 0, result, 5.0, -5.0);
    }
}

/* Tested apart, by the types from and to. */
static bool converts(tt_eltwise_op op)
{
    return op == TT_ELTWISE_CAST || op == TT_ELTWISE_QUANTIZE ||
           op == TT_ELTWISE_DEQUANTIZE;
}

static void check_table(const tt_eltwise_table *table)
{
    int n_checked = 0;
    for (int op = 0; op < TT_ELTWISE_COUNT; ++op)
        for (int d = 0; d < N_DTYPES; ++d)
            if (!converts((tt_eltwise_op)op) &&
                tt_eltwise_has((tt_eltwise_op)op, dtypes[d])) {
                check_op(table, (tt_eltwise_op)op, dtypes[d]);
                ++n_checked;
            }
    CHECK(n_checked > 300);
}

TT_TEST(eltwise_kernels_of_every_isa_agree_with_their_definitions)
{
    for (int isa = TT_ISA_SCALAR; isa <= (int)tt_cpu_get()->isa; ++isa)
        check_table(tt_eltwise_table_of((tt_isa)isa));
}

TT_TEST(eltwise_every_isa_has_the_same_kernels)
{
    const tt_eltwise_table *first = tt_eltwise_table_of(TT_ISA_SCALAR);
    for (int isa = TT_ISA_SCALAR; isa <= (int)tt_cpu_get()->isa; ++isa)
        for (int op = 0; op < TT_ELTWISE_COUNT; ++op)
            for (int d = 0; d < N_DTYPES; ++d) {
                const tt_eltwise_table *table = tt_eltwise_table_of((tt_isa)isa);
                CHECK((table->kernels[dtypes[d]][op].by_scalar[0] == NULL) ==
                      (first->kernels[dtypes[d]][op].by_scalar[0] == NULL));
            }
}

/* ---- casts ---------------------------------------------------------------- */

TT_TEST(eltwise_casts_saturate_floats_and_wrap_integers)
{
    for (int isa = TT_ISA_SCALAR; isa <= (int)tt_cpu_get()->isa; ++isa)
        for (int from = 0; from < N_DTYPES; ++from)
            for (int to = 0; to < N_DTYPES; ++to) {
                const tt_eltwise_table *table = tt_eltwise_table_of((tt_isa)isa);
                const tt_dtype x = dtypes[from], y = dtypes[to];
                fill(x, a, false);
                CHECK(tt_eltwise_ref(TT_ELTWISE_CAST, x, y, N, want, a, a, a, 0, 0));
                table->casts[x][y](N, got, a, a, a, NULL);
                for (int i = 0; i < N; ++i) {
                    const size_t width = tt_dtype_bytes(y), at = (size_t)i * width;
                    bool same = memcmp(got + at, want + at, width) == 0;
                    if (!same && (y == TT_F32 || y == TT_F64))
                        same = ulps_between(y, got, want, i) == 0.0;
                    if (!same)
                        tt_test_fail(__FILE__, __LINE__, "%s: %s to %s, element %d",
                                     table->name, tt_dtype_name(x), tt_dtype_name(y),
                                     i);
                }
            }
}

/* ---- quantising ------------------------------------------------------------ */

static const struct {
    tt_dtype dtype;
    double zero_points[3];
} quantized[] = {
    {TT_U8,  {0, 128, 255}     },
    {TT_S8,  {-128, 0, 127}    },
    {TT_U16, {0, 1000, 65535}  },
    {TT_S16, {-32768, 0, 32767}},
};

/* Special floats, then multiples of half a step around the whole range: ties. */
static void fill_reals(float scale, int first)
{
    float *x = (float *)(void *)a;
    fill(TT_F32, a, false);
    for (int i = N / 2; i < N; ++i)
        x[i] = (float)(first + i) * 0.5f * scale;
}

static void check_quantized(const tt_eltwise_table *table, int k, float scale,
                            double zero)
{
    const tt_dtype dtype = quantized[k].dtype;
    const size_t width = tt_dtype_bytes(dtype);
    const tt_eltwise_immediate immediate = {(double)scale, zero};
    for (int first = -700; first < 700; first += N / 4) {
        fill_reals(scale, first);
        CHECK(tt_eltwise_ref(TT_ELTWISE_QUANTIZE, TT_F32, dtype, N, want, a, a, a,
                             (double)scale, zero));
        table->quantize[dtype](N, got, a, a, a, &immediate);
        for (int i = 0; i < N; ++i)
            if (memcmp(got + (size_t)i * width, want + (size_t)i * width, width) != 0)
                tt_test_fail(__FILE__, __LINE__,
                             "%s: to %s, scale %g, zero point %g, x = %.9g",
                             table->name, tt_dtype_name(dtype), (double)scale, zero,
                             (double)((float *)(void *)a)[i]);
    }
    fill(dtype, a, false);
    CHECK(tt_eltwise_ref(TT_ELTWISE_DEQUANTIZE, dtype, TT_F32, N, want, a, a, a,
                         (double)scale, zero));
    table->dequantize[dtype](N, got, a, a, a, &immediate);
    CHECK(memcmp(got, want, N * sizeof(float)) == 0);
}

TT_TEST(eltwise_quantises_by_the_definition_on_every_isa)
{
    static const float scales[] = {0.1f,  1.0f,   0.007843138f, 3.1415927f, 1e-30f,
                                   1e30f, 1e-42f, -0.5f,        0.0625f,    1.9999999f};
    for (int isa = TT_ISA_SCALAR; isa <= (int)tt_cpu_get()->isa; ++isa)
        for (size_t k = 0; k < sizeof quantized / sizeof quantized[0]; ++k)
            for (size_t s = 0; s < sizeof scales / sizeof scales[0]; ++s)
                for (int z = 0; z < 3; ++z)
                    check_quantized(tt_eltwise_table_of((tt_isa)isa), (int)k, scales[s],
                                    quantized[k].zero_points[z]);
}

/* Value of a 16-bit float with `n_exponent` exponent bits, from the format. */
static double value_of(unsigned bits, int n_exponent)
{
    const int n_mantissa = 15 - n_exponent, bias = (1 << (n_exponent - 1)) - 1;
    const int exponent = (int)(bits >> n_mantissa) & ((1 << n_exponent) - 1);
    const double mantissa = (double)(bits & ((1u << n_mantissa) - 1u));
    double x = ldexp(mantissa + ldexp(1.0, n_mantissa), exponent - bias - n_mantissa);
    if (exponent == 0) x = ldexp(mantissa, 1 - bias - n_mantissa);
    if (exponent == (1 << n_exponent) - 1)
        x = mantissa == 0.0 ? (double)INFINITY : (double)NAN;
    return bits & 0x8000u ? -x : x;
}

static void check_16_bits(tt_eltwise_fn load, tt_eltwise_fn store, int n_exponent)
{
    for (unsigned first = 0; first < 0x10000u; first += 64) {
        uint16_t memory[64], back[64];
        float x[64], middle[64];
        for (unsigned i = 0; i < 64; ++i)
            memory[i] = (uint16_t)(first + i);
        load(64, x, memory, memory, memory, NULL);
        store(64, back, x, x, x, NULL);
        for (unsigned i = 0; i < 64; ++i) {
            const double value = value_of(first + i, n_exponent);
            CHECK(isnan(value) ? isnan(x[i]) : (double)x[i] == value);
            CHECK(isnan(value) ? isnan(x[i]) : back[i] == memory[i]);
        }
        /* half way to the next: to the even one; a bit more: up; a bit less: down */
        for (int step = -1; step <= 1; ++step) {
            for (unsigned i = 0; i < 64; ++i) {
                double next = value_of(first + i + 1, n_exponent);
                middle[i] = x[i];
                if (isfinite(next) && isfinite(x[i])) {
                    middle[i] = (float)((value_of(first + i, n_exponent) + next) / 2);
                    if (step != 0)
                        middle[i] = nextafterf(
                            middle[i], step < 0 ? 0.0f : copysignf(INFINITY, x[i]));
                }
            }
            store(64, back, middle, middle, middle, NULL);
            for (unsigned i = 0; i < 64; ++i) {
                unsigned here = first + i;
                if (middle[i] == x[i] || isnan(x[i]) || (here & 0x7fffu) == 0x7fffu)
                    continue;
                CHECK_INT(back[i], step > 0   ? here + 1
                                   : step < 0 ? here
                                              : here + (here & 1u));
            }
        }
    }
}

TT_TEST(eltwise_16_bit_floats_load_exactly_and_store_to_nearest_even)
{
    for (int isa = TT_ISA_SCALAR; isa <= (int)tt_cpu_get()->isa; ++isa) {
        const tt_eltwise_table *table = tt_eltwise_table_of((tt_isa)isa);
        check_16_bits(table->load_f16, table->store_f16, 5);
        check_16_bits(table->load_bf16, tt_eltwise_store_bf16(table), 8);
    }
}

TT_TEST(eltwise_double_to_half_rounds_once)
{
    /* half way between 1 and the next half, plus less than a float can tell */
    const double x[4] = {1.0 + 0x1p-11 + 0x1p-40, 1.0 + 0x1p-11, 65519.999999, 65520.0};
    const float expected[4] = {1.0f + 0x1p-10f, 1.0f, 65504.0f, INFINITY};
    for (int isa = TT_ISA_SCALAR; isa <= (int)tt_cpu_get()->isa; ++isa) {
        float y[4];
        tt_eltwise_table_of((tt_isa)isa)->casts[TT_F64][TT_F16](4, y, x, x, x, NULL);
        for (int i = 0; i < 4; ++i)
            CHECK(y[i] == expected[i]);
    }
}
