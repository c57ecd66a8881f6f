/* Loops that do nothing but multiply-add, or nothing but read.
 *
 * Each kernel is written for the widest instructions the processor has, chosen at
 * run time.  Multiply-adds run on as many independent accumulators as fit in
 * registers: latency 4 times 2 units a cycle needs 8.  Timed across tt_parallel_for,
 * so a figure for n threads contains one fork and join per 2 ms. */
#include "base/peaks.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/cpu.h"
#include "base/threads.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* One iteration of a kernel does this many operations. */
typedef struct {
    void (*run)(int64_t n_iterations, float *result);
    double ops_per_iteration;
} arithmetic;

/* ---- multiply-add --------------------------------------------------------- */

enum { PLAIN_LANES = 32 };

/* For any processor: the compiler's vectors. */
__attribute__((optimize("O3"))) static void fma_plain(int64_t n_iterations,
                                                      float *result)
{
    volatile float seed = 0.5f;
    float a = seed, b = seed + 0.1f, sums[PLAIN_LANES];
    for (int k = 0; k < PLAIN_LANES; ++k)
        sums[k] = (float)k;
    for (int64_t i = 0; i < n_iterations; ++i)
        for (int k = 0; k < PLAIN_LANES; ++k)
            sums[k] = sums[k] * a + b;
    *result = sums[0];
    for (int k = 1; k < PLAIN_LANES; ++k)
        *result += sums[k];
}

#if defined(__x86_64__)

/* n accumulators s0.. of one type, each updated by `step` once an iteration. */
#define EACH_10(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9)
#define EACH_20(X) \
    EACH_10(X)     \
    X(10) X(11) X(12) X(13) X(14) X(15) X(16) X(17) X(18) X(19)

#define KERNEL(name, features, EACH, type, load_a, load_b, step, collect)    \
    __attribute__((target(features))) static void name(int64_t n_iterations, \
                                                       float *result)        \
    {                                                                        \
        volatile float seed = 0.5f;                                          \
        EACH(DECLARE_##type)                                                 \
        load_a;                                                              \
        load_b;                                                              \
        for (int64_t i = 0; i < n_iterations; ++i) {                         \
            EACH(step)                                                       \
        }                                                                    \
        *result = 0.0f;                                                      \
        EACH(collect)                                                        \
    }

#define DECLARE___m256(k) __m256 s##k = _mm256_set1_ps(seed);
#define DECLARE___m512(k) __m512 s##k = _mm512_set1_ps(seed);
#define DECLARE___m256i(k) __m256i s##k = _mm256_set1_epi32((int)seed);
#define DECLARE___m512i(k) __m512i s##k = _mm512_set1_epi32((int)seed);

#define FMA_256(k) s##k = _mm256_fmadd_ps(a, b, s##k);
#define FMA_512(k) s##k = _mm512_fmadd_ps(a, b, s##k);
#define DOT_BF16(k) s##k = _mm512_dpbf16_ps(s##k, a, b);
/* (gcc 12 spills half of the accumulators when it gets the intrinsic) */
#define DOT_512(k) __asm__("vpdpbusd %2, %1, %0" : "+v"(s##k) : "v"(a), "v"(b));
#define DOT_256(k) s##k = _mm256_dpbusd_avx_epi32(s##k, a, b);

#define TAKE_256(k) *result += _mm256_cvtss_f32(s##k);
#define TAKE_512(k) *result += _mm512_cvtss_f32(s##k);
#define TAKE_256I(k) *result += (float)_mm256_extract_epi32(s##k, 0);
#define TAKE_512I(k) \
    *result += (float)_mm_extract_epi32(_mm512_castsi512_si128(s##k), 0);

KERNEL(fma_avx2, "avx2,fma", EACH_10, __m256, __m256 a = _mm256_set1_ps(seed),
       __m256 b = _mm256_set1_ps(seed * 1e-6f), FMA_256, TAKE_256)
KERNEL(fma_avx512, "avx512f", EACH_20, __m512, __m512 a = _mm512_set1_ps(seed),
       __m512 b = _mm512_set1_ps(seed * 1e-6f), FMA_512, TAKE_512)
KERNEL(dot_bf16, "avx512f,avx512bf16", EACH_20, __m512,
       __m512bh a = _mm512_cvtne2ps_pbh(_mm512_set1_ps(seed), _mm512_set1_ps(seed)),
       __m512bh b = _mm512_cvtne2ps_pbh(_mm512_set1_ps(seed * 1e-6f),
                                        _mm512_set1_ps(seed * 1e-6f)),
       DOT_BF16, TAKE_512)
KERNEL(dot_int8, "avx512f,avx512vnni", EACH_20, __m512i,
       __m512i a = _mm512_set1_epi8((char)(seed + 1.0f)),
       __m512i b = _mm512_set1_epi8((char)(seed + 1.0f)), DOT_512, TAKE_512I)
KERNEL(dot_int8_avx, "avx2,avxvnni", EACH_10, __m256i,
       __m256i a = _mm256_set1_epi8((char)(seed + 1.0f)),
       __m256i b = _mm256_set1_epi8((char)(seed + 1.0f)), DOT_256, TAKE_256I)

static arithmetic choose_f32(const tt_cpu *cpu)
{
    if (cpu->isa == TT_ISA_AVX512) return (arithmetic){fma_avx512, 20 * 16 * 2};
    if (cpu->isa == TT_ISA_AVX2) return (arithmetic){fma_avx2, 10 * 8 * 2};
    return (arithmetic){fma_plain, PLAIN_LANES * 2};
}

static arithmetic choose_bf16(const tt_cpu *cpu)
{
    if (cpu->has_avx512_bf16) return (arithmetic){dot_bf16, 20 * 32 * 2};
    return (arithmetic){0};
}

static arithmetic choose_int8(const tt_cpu *cpu)
{
    if (cpu->has_avx512_vnni) return (arithmetic){dot_int8, 20 * 64 * 2};
    if (cpu->has_avx_vnni) return (arithmetic){dot_int8_avx, 10 * 32 * 2};
    return (arithmetic){0};
}

#else

static arithmetic choose_f32(const tt_cpu *cpu)
{
    (void)cpu;
    return (arithmetic){fma_plain, PLAIN_LANES * 2};
}

static arithmetic choose_bf16(const tt_cpu *cpu)
{
    (void)cpu;
    return (arithmetic){0};
}

static arithmetic choose_int8(const tt_cpu *cpu)
{
    (void)cpu;
    return (arithmetic){0};
}

#endif

/* ---- reading -------------------------------------------------------------- */

/* Sums 64-byte blocks; the compiler vectorises it with what the target allows. */
#define READ_LOOP                                   \
    const uint64_t *words = data;                   \
    uint64_t sums[32] = {0}, sum = 0;               \
    for (int64_t i = 0; i + 32 <= n_words; i += 32) \
        for (int k = 0; k < 32; ++k)                \
            sums[k] ^= words[i + k];                \
    for (int k = 0; k < 32; ++k)                    \
        sum ^= sums[k];                             \
    return sum;

__attribute__((optimize("O3"))) static uint64_t read_plain(const void *data,
                                                           int64_t n_words)
{
    READ_LOOP
}

#if defined(__x86_64__)
__attribute__((target("avx2"), optimize("O3"))) static uint64_t read_avx2(
    const void *data, int64_t n_words)
{
    const __m256i *blocks = data;
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
    for (int64_t i = 0; i + 16 <= n_words; i += 16, blocks += 4) {
        a = _mm256_xor_si256(a, _mm256_load_si256(blocks));
        b = _mm256_xor_si256(b, _mm256_load_si256(blocks + 1));
        c = _mm256_xor_si256(c, _mm256_load_si256(blocks + 2));
        d = _mm256_xor_si256(d, _mm256_load_si256(blocks + 3));
    }
    a = _mm256_xor_si256(_mm256_xor_si256(a, b), _mm256_xor_si256(c, d));
    return (uint64_t)_mm256_extract_epi64(a, 0) ^ (uint64_t)_mm256_extract_epi64(a, 3);
}

__attribute__((target("avx512f"), optimize("O3"))) static uint64_t read_avx512(
    const void *data, int64_t n_words)
{
    const __m512i *blocks = data;
    __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
    for (int64_t i = 0; i + 32 <= n_words; i += 32, blocks += 4) {
        a = _mm512_xor_si512(a, _mm512_load_si512(blocks));
        b = _mm512_xor_si512(b, _mm512_load_si512(blocks + 1));
        c = _mm512_xor_si512(c, _mm512_load_si512(blocks + 2));
        d = _mm512_xor_si512(d, _mm512_load_si512(blocks + 3));
    }
    a = _mm512_xor_si512(_mm512_xor_si512(a, b), _mm512_xor_si512(c, d));
    return (uint64_t)_mm512_reduce_or_epi64(a);
}
#endif

typedef uint64_t (*reader)(const void *data, int64_t n_words);

static reader choose_reader(const tt_cpu *cpu)
{
#if defined(__x86_64__)
    if (cpu->isa == TT_ISA_AVX512) return read_avx512;
    if (cpu->isa == TT_ISA_AVX2) return read_avx2;
#endif
    (void)cpu;
    return read_plain;
}

static const size_t least_bytes = (size_t)128 << 20, most_bytes = (size_t)1 << 30;
static const size_t page_bytes = 4096;

/* ---- timing --------------------------------------------------------------- */

enum { N_RUNS = 25, TRIAL_ITERATIONS = 20000 };
static const double run_s = 0.002;

/* One figure being measured: `work` does `amount` on each of n_threads. */
typedef struct {
    arithmetic arithmetic;
    reader reader;
    const char *data; /* all threads read their own part */
    int64_t bytes_each;
    int64_t n_iterations;
    int n_threads;
    tt_arena *arena;
    double best_s;
    atomic_uint_fast64_t sink; /* so that no loop is left out */
} measurement;

static double now_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void work(void *arg, int64_t begin, int64_t end)
{
    measurement *m = arg;
    for (int64_t i = begin; i < end; ++i) {
        uint64_t sum = 0;
        if (m->reader != NULL) {
            for (int64_t k = 0; k < m->n_iterations; ++k)
                sum ^= m->reader(m->data + i * m->bytes_each, m->bytes_each / 8);
        } else {
            float result = 0;
            m->arithmetic.run(m->n_iterations, &result);
            memcpy(&sum, &result, sizeof result);
        }
        atomic_fetch_xor_explicit(&m->sink, sum, memory_order_relaxed);
    }
}

static tt_status timed_runs(void *arg)
{
    measurement *m = arg;
    m->best_s = 1e30;
    for (int run = 0; run < N_RUNS; ++run) {
        double start = now_s(), took;
        tt_parallel_for(m->n_threads, 1, work, m);
        took = now_s() - start;
        if (took < m->best_s) m->best_s = took;
    }
    return TT_OK;
}

/* Amount per second, in 1e9: grows the number of iterations until a run is long
 * enough, then takes the best of several. */
static tt_status measure(measurement *m, double amount_per_iteration, double *out,
                         tt_error *err)
{
    TT_TRY(tt_arena_run(m->arena, timed_runs, m, err));
    if (m->best_s < run_s) {
        double more = run_s / (m->best_s > 1e-7 ? m->best_s : 1e-7);
        m->n_iterations = 1 + (int64_t)((double)m->n_iterations * more);
        TT_TRY(tt_arena_run(m->arena, timed_runs, m, err));
    }
    *out =
        amount_per_iteration * (double)m->n_iterations * m->n_threads / m->best_s / 1e9;
    return TT_OK;
}

static tt_status measure_arithmetic(tt_arena *arena, int n_threads, arithmetic kernel,
                                    double *out, tt_error *err)
{
    measurement m = {.arithmetic = kernel,
                     .n_iterations = TRIAL_ITERATIONS,
                     .n_threads = n_threads,
                     .arena = arena};
    *out = 0;
    if (kernel.run == NULL) return TT_OK;
    return measure(&m, kernel.ops_per_iteration, out, err);
}

/* Every thread reads `bytes_each` of its own again and again. */
static tt_status measure_reading(tt_arena *arena, int n_threads, const char *data,
                                 size_t bytes_each, double *out, tt_error *err)
{
    size_t whole_pages = bytes_each / page_bytes * page_bytes;
    measurement m = {.reader = choose_reader(tt_cpu_get()),
                     .data = data,
                     .bytes_each = (int64_t)whole_pages,
                     .n_iterations = 1,
                     .n_threads = n_threads,
                     .arena = arena};
    return measure(&m, (double)whole_pages, out, err);
}

static tt_status measure_all(tt_arena *arena, int n_threads, const char *data,
                             size_t n_bytes, tt_peaks *out, tt_error *err)
{
    const tt_cpu *cpu = tt_cpu_get();
    size_t n = (size_t)n_threads, l2 = cpu->l2_bytes / 2, l3 = cpu->l3_bytes / 2 / n;
    if (l2 > n_bytes / n) l2 = n_bytes / n;
    TT_TRY(measure_arithmetic(arena, n_threads, choose_f32(cpu), &out->f32_gops, err));
    TT_TRY(
        measure_arithmetic(arena, n_threads, choose_bf16(cpu), &out->bf16_gops, err));
    TT_TRY(
        measure_arithmetic(arena, n_threads, choose_int8(cpu), &out->int8_gops, err));
    TT_TRY(measure_reading(arena, n_threads, data, l2, &out->l2_gbps, err));
    TT_TRY(measure_reading(arena, n_threads, data, l3, &out->l3_gbps, err));
    return measure_reading(arena, n_threads, data, n_bytes / n, &out->memory_gbps, err);
}

tt_status tt_peaks_measure(int n_threads, tt_peaks *out, tt_error *err)
{
    size_t n_bytes = 4 * tt_cpu_get()->l3_bytes;
    tt_arena *arena = NULL;
    char *data = NULL;
    tt_status status = tt_arena_new(n_threads, &arena, err);
    memset(out, 0, sizeof *out);
    if (status != TT_OK) return status;
    if (n_bytes < least_bytes) n_bytes = least_bytes;
    if (n_bytes > most_bytes) n_bytes = most_bytes;
    data = tt_alloc(n_bytes);
    if (data == NULL) {
        status = tt_fail(err, TT_NO_MEMORY, "%zu bytes to measure bandwidth", n_bytes);
    } else {
        memset(data, 1, n_bytes);
        status = measure_all(arena, n_threads, data, n_bytes, out, err);
    }
    tt_free(data);
    tt_arena_free(arena);
    return status;
}
