/* Few rows times packed weights: choice of the instruction set, packing, threads. */
#include "kernels/matmul_packed.h"

#include <string.h>

#include "base/checked.h"
#include "base/cpu.h"
#include "base/threads.h"

static const tt_matmul_packed_table *table(void)
{
#ifdef __x86_64__
    tt_isa isa = tt_cpu_get()->isa;
    if (isa == TT_ISA_AVX512) return &tt_matmul_packed_avx512;
    if (isa == TT_ISA_AVX2) return &tt_matmul_packed_avx2;
#endif
    return &tt_matmul_packed_scalar;
}

const char *tt_matmul_packed_name(void)
{
    return table()->name;
}

bool tt_matmul_packed_bytes(int64_t k, int64_t n, size_t *out)
{
    size_t panel = (size_t)table()->panel, n_panels = ((size_t)n + panel - 1) / panel;
    return tt_mul_size(n_panels, panel * sizeof(float), out) &&
           tt_mul_size(*out, (size_t)k, out);
}

void tt_matmul_pack(const float *b, int64_t k, int64_t n, const int64_t *strides,
                    float *packed)
{
    int panel = table()->panel;
    for (int64_t column = 0; column < n; column += panel) {
        int64_t width = n - column < panel ? n - column : panel;
        for (int64_t row = 0; row < k; ++row, packed += panel) {
            const float *from = b + row * strides[0] + column * strides[1];
            for (int64_t j = 0; j < width; ++j)
                packed[j] = from[j * strides[1]];
            memset(packed + width, 0, (size_t)(panel - width) * sizeof *packed);
        }
    }
}

typedef struct {
    const tt_matmul_packed *kernel;
    void *const *ptrs;
} multiplying;

static void multiply(void *arg, int64_t begin, int64_t end)
{
    const multiplying *m = arg;
    table()->panels(m->kernel, m->ptrs, begin, end);
}

tt_status tt_matmul_packed_run(const void *params, void *const *ptrs, tt_error *err)
{
    const tt_matmul_packed *kernel = params;
    multiplying m = {kernel, ptrs};
    int64_t panel = table()->panel, n_panels = (kernel->n + panel - 1) / panel;
    /* about 20 us of reading weights at 10 GB/s */
    int64_t grain = 50000 / (panel * kernel->k + 1) + 1;
    (void)err;
    tt_parallel_for(n_panels, grain, multiply, &m);
    return TT_OK;
}
