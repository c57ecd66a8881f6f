/* Largest bytes of windows: choice of the instruction set, rows, their split over
 * threads.  See max_bytes.h. */
#include "kernels/max_bytes.h"

#include "base/checked.h"
#include "base/cpu.h"
#include "base/threads.h"

static const tt_max_bytes_table *table(void)
{
#ifdef __x86_64__
    tt_isa isa = tt_cpu_get()->isa;
    if (isa == TT_ISA_AVX512) return &tt_max_bytes_avx512;
    if (isa == TT_ISA_AVX2) return &tt_max_bytes_avx2;
#endif
    return &tt_max_bytes_scalar;
}

const char *tt_max_bytes_name(void)
{
    return table()->name;
}

bool tt_max_bytes_scratch(const tt_max_bytes *k, size_t *out)
{
    return tt_mul_size((size_t)k->src_w, (size_t)k->channels, out) &&
           tt_mul_size(*out, (size_t)k->n_slots, out);
}

/* The part of [at, at + n) that is in [0, end). */
static void clip(int64_t at, int64_t n, int64_t end, int64_t *first, int64_t *n_in)
{
    int64_t last = at + n < end ? at + n : end;
    *first = at < 0 ? 0 : at;
    *n_in = last - *first;
}

/* Pixels of a row of dst, from the largest of the rows of its windows. */
static void run_columns(const tt_max_bytes *k, tt_max_bytes_fn largest,
                        const char *line, char *dst)
{
    int64_t c = k->channels;
    for (int64_t x = 0, some; x < k->dst_w; x += some) {
        int64_t at = x * k->stride_w - k->pad_w, first, n;
        clip(at, k->kernel_w, k->src_w, &first, &n);
        some = 1;
        if (k->stride_w == 1 && n == k->kernel_w) { /* all that are whole at once */
            some = k->src_w - k->kernel_w - at + 1;
            if (some > k->dst_w - x) some = k->dst_w - x;
        }
        largest(dst + x * c, line + first * c, some * c, n, c);
    }
}

typedef struct {
    const tt_max_bytes *kernel;
    void *const *ptrs;
} max_call;

static void run_slots(void *arg, int64_t begin, int64_t end)
{
    const max_call *call = arg;
    const tt_max_bytes *k = call->kernel;
    const tt_max_bytes_table *t = table();
    tt_max_bytes_fn largest = k->is_signed ? t->s8 : t->u8;
    int64_t n_rows = k->batch * k->dst_h, row = k->src_w * k->channels;
    for (int64_t slot = begin; slot < end; ++slot) {
        char *line = (char *)call->ptrs[TT_MAX_BYTES_SCRATCH] + slot * row;
        int64_t last = n_rows * (slot + 1) / k->n_slots;
        for (int64_t i = n_rows * slot / k->n_slots; i < last; ++i) {
            int64_t y = i % k->dst_h * k->stride_h - k->pad_h, first, n;
            clip(y, k->kernel_h, k->src_h, &first, &n);
            largest(line,
                    (const char *)call->ptrs[TT_MAX_BYTES_SRC] +
                        (i / k->dst_h * k->src_h + first) * row,
                    row, n, row);
            run_columns(k, largest, line,
                        (char *)call->ptrs[TT_MAX_BYTES_DST] +
                            i * k->dst_w * k->channels);
        }
    }
}

tt_status tt_max_bytes_run(const void *params, void *const *ptrs, tt_error *err)
{
    max_call call = {.kernel = params, .ptrs = ptrs};
    (void)err;
    tt_parallel_for(call.kernel->n_slots, /*grain=*/1, run_slots, &call);
    return TT_OK;
}
