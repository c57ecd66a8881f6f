/* What this processor can do and how much of it we may use. */
#ifndef TT_BASE_CPU_H
#define TT_BASE_CPU_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Instruction sets, best last.  Capped by TRIMTAB_ISA (scalar, avx2, avx512)
 * and by ONEDNN_MAX_CPU_ISA, both read once. */
#define TT_ISA_LIST(X)         \
    X(TT_ISA_SCALAR, "scalar") \
    X(TT_ISA_AVX2, "avx2")     \
    X(TT_ISA_AVX512, "avx512")

typedef enum {
#define TT_ISA_ENUM(code, text) code,
    TT_ISA_LIST(TT_ISA_ENUM)
#undef TT_ISA_ENUM
} tt_isa;

typedef struct {
    tt_isa isa;
    bool has_avx512_vnni, has_avx512_bf16, has_avx512_fp16, has_amx, has_avx_vnni;
    bool emulates_bf16; /* oneDNN's bf16 is wanted though the processor has none */
    size_t l1d_bytes, l2_bytes, l3_bytes; /* of one core / shared; never 0 */
    int n_threads; /* TRIMTAB_THREADS, or min of affinity mask and cgroup quota; >= 1 */
    char brand[64];
} tt_cpu;

/* Found out once; the same pointer ever after.  Thread-safe. */
const tt_cpu *tt_cpu_get(void);
const char *tt_isa_name(tt_isa isa);
/* Are products of bf16 worth it here?  TRIMTAB_EMULATE_BF16=1 says so on any AVX-512,
 * where oneDNN emulates them: slow, for tests. */
static inline bool tt_cpu_multiplies_bf16(const tt_cpu *cpu)
{
    return cpu->has_avx512_bf16 || cpu->has_amx || cpu->emulates_bf16;
}

#ifdef __cplusplus
}
#endif

#endif
