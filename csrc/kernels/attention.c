/* Attention: choice of the instruction set, blocks of rows, their split over threads. */
#include "kernels/attention.h"

#include "base/checked.h"
#include "base/cpu.h"
#include "base/threads.h"

static const tt_attention_table *table(const tt_attention_kernel *k)
{
#ifdef __x86_64__
    tt_isa isa = tt_cpu_get()->isa;
    if (k->rounds) return &tt_attention_avx512_bf16;
    if (isa == TT_ISA_AVX512) return &tt_attention_avx512;
    if (isa == TT_ISA_AVX2) return &tt_attention_avx2;
#endif
    (void)k;
    return &tt_attention_scalar;
}

const char *tt_attention_name(const tt_attention_kernel *k)
{
    return table(k)->name;
}

void tt_attention_settle_rounding(tt_attention_kernel *k)
{
    const tt_cpu *cpu = tt_cpu_get();
    if (cpu->isa != TT_ISA_AVX512 || !cpu->has_avx512_bf16 || k->head_size % 2 != 0 ||
        k->queries <= TT_ATTENTION_FEW)
        k->rounds = false;
}

/* ---- splitting -------------------------------------------------------------------- */

/* Rows of a block: multiples of every tile's height, so that only the last block of
 * a head has rows that do not fill a tile. */
enum { ROW_STEP = 24, MOST_ROWS = 384 };
/* Queries and results of a block stay in the second-level cache. */
enum { BLOCK_FLOATS = 65536 };

static int64_t round_up(int64_t n, int64_t to)
{
    return (n + to - 1) / to * to;
}

void tt_attention_join_heads(tt_attention_kernel *k)
{
    int64_t n = TT_ATTENTION_FEW;
    if (k->queries != 1) return;
    while (k->heads_per_key % n != 0)
        --n;
    if (n == 1) return;
    k->heads /= n;
    k->heads_per_key /= n;
    k->queries = n;
    k->is_one_place = true;
    for (int i = 0; i < 4; ++i) {
        int64_t *strides = (int64_t *[]){k->q, k->dst, k->scores, k->mask}[i];
        strides[2] = strides[1];
        strides[1] *= n;
    }
}

void tt_attention_split(tt_attention_kernel *k, int n_threads)
{
    int64_t width = k->head_size + k->value_size + 1;
    int64_t most = BLOCK_FLOATS / width / ROW_STEP * ROW_STEP, n_blocks;
    int64_t heads = k->batch * k->heads, n_items;
    if (most > MOST_ROWS) most = MOST_ROWS;
    if (most < 2 * ROW_STEP) most = 2 * ROW_STEP;
    n_blocks = (k->queries + most - 1) / most;
    while (n_threads > 1 && heads * n_blocks < 2 * n_threads &&
           k->queries / n_blocks > 2 * ROW_STEP)
        ++n_blocks;
    k->rows = k->queries;
    if (n_blocks > 1) k->rows = round_up((k->queries - 1) / n_blocks + 1, ROW_STEP);
    n_blocks = k->rows > 0 ? (k->queries - 1) / k->rows + 1 : 0;
    k->group = 1;
    if (k->queries <= TT_ATTENTION_FEW && heads > 0) {
        k->group = (heads - 1) / n_threads + 1;
        if (k->group > k->heads) k->group = k->heads;
        if (k->group > TT_ATTENTION_GROUP) k->group = TT_ATTENTION_GROUP;
    }
    n_items = n_blocks * k->batch * ((k->heads + k->group - 1) / k->group);
    k->n_slots = n_items < n_threads ? (int)n_items : n_threads;
    if (k->n_slots < 1) k->n_slots = 1;
}

tt_attention_layout tt_attention_layout_of(const tt_attention_kernel *k)
{
    /* tiles may run over the last row */
    int64_t rows = round_up(k->rows, TT_ATTENTION_LANES) + TT_ATTENTION_LANES;
    int64_t keys = TT_ATTENTION_KEYS, lanes = TT_ATTENTION_LANES;
    tt_attention_layout at = {.value_row = round_up(k->value_size, lanes)};
    at.dst = at.q + round_up(rows * k->head_size, lanes);
    at.k = at.dst + rows * at.value_row;
    at.v = at.k + k->head_size * keys;
    at.scores = at.v + keys * at.value_row;
    at.mask = at.scores + (TT_ATTENTION_ROWS + lanes) * keys;
    at.high = at.mask + keys;
    at.sum = at.high + rows;
    at.end = at.sum + rows * lanes;
    return at;
}

bool tt_attention_scratch_bytes(const tt_attention_kernel *k, size_t *out)
{
    static const int64_t WIDEST = INT64_C(1) << 40;
    tt_attention_layout at;
    if (k->head_size > WIDEST || k->value_size > WIDEST) return false;
    at = tt_attention_layout_of(k);
    return tt_mul_size((size_t)at.end * sizeof(float),
                       (size_t)k->n_slots * (size_t)k->group, out);
}

/* ---- running ---------------------------------------------------------------------- */

typedef struct {
    const tt_attention_kernel *k;
    void *const *ptrs;
    int64_t n_blocks, n_groups; /* of a head, of a batch */
    int64_t block_floats;
} attention_call;

static const void *mask_at(const attention_call *call, int64_t batch, int64_t head)
{
    const tt_attention_kernel *k = call->k;
    int64_t offset = batch * k->mask[0] + head * k->mask[1];
    if (k->mask_kind == TT_MASK_NONE) return NULL;
    if (k->mask_kind == TT_MASK_BOOL)
        return (const unsigned char *)call->ptrs[TT_ATTENTION_MASK] + offset;
    return (const float *)call->ptrs[TT_ATTENTION_MASK] + offset;
}

void tt_attention_range(const tt_attention_kernel *k, const void *lengths,
                        int64_t batch, int64_t *visible, int64_t *offset)
{
    int64_t length;
    *visible = k->visible;
    *offset = k->offset;
    if (!k->has_lengths) return;
    length = ((const int64_t *)lengths)[batch];
    length = length < 0 ? 0 : length > k->keys ? k->keys : length;
    if (!k->keeps_offset) *offset = length - (k->is_one_place ? 1 : k->queries);
    if (length < *visible) *visible = length;
}

/* The first head of those that share keys copies their past. */
static void find_past(const attention_call *call, int64_t batch, int64_t head,
                      tt_attention_block *block)
{
    const tt_attention_kernel *k = call->k;
    void *const *p = call->ptrs;
    int64_t shared = head / k->heads_per_key;
    if (!k->has_past || block->offset <= 0) return;
    block->past = block->offset < k->keys ? block->offset : k->keys;
    block->past_k = (const float *)p[TT_ATTENTION_PAST_K] + batch * k->past_k[0] +
                    shared * k->past_k[1];
    block->past_v = (const float *)p[TT_ATTENTION_PAST_V] + batch * k->past_v[0] +
                    shared * k->past_v[1];
    if (head % k->heads_per_key != 0) return;
    if (block->past_k != block->k)
        block->present_k = (float *)p[TT_ATTENTION_PRESENT_K] +
                           (block->k - (const float *)p[TT_ATTENTION_K]);
    if (block->past_v != block->v)
        block->present_v = (float *)p[TT_ATTENTION_PRESENT_V] +
                           (block->v - (const float *)p[TT_ATTENTION_V]);
}

static tt_attention_block block_of(const attention_call *call, int64_t batch,
                                   int64_t head, int64_t first, float *scratch)
{
    const tt_attention_kernel *k = call->k;
    void *const *p = call->ptrs;
    int64_t shared = head / k->heads_per_key;
    tt_attention_block block = {.kernel = k, .first = first, .scratch = scratch};
    block.q = (const float *)p[TT_ATTENTION_Q] + batch * k->q[0] + head * k->q[1];
    block.k = (const float *)p[TT_ATTENTION_K] + batch * k->k[0] + shared * k->k[1];
    block.v = (const float *)p[TT_ATTENTION_V] + batch * k->v[0] + shared * k->v[1];
    block.dst = (float *)p[TT_ATTENTION_DST] + batch * k->dst[0] + head * k->dst[1];
    if (k->scores_kind != TT_SCORES_NONE)
        block.scores = (float *)p[TT_ATTENTION_SCORES] + batch * k->scores[0] +
                       head * k->scores[1];
    block.mask = mask_at(call, batch, head);
    if (p[TT_ATTENTION_SINKS] != NULL)
        block.sinks = (const float *)p[TT_ATTENTION_SINKS] +
                      head * (k->is_one_place ? k->queries : 1);
    block.rows = k->queries - first < k->rows ? k->queries - first : k->rows;
    tt_attention_range(k, p[TT_ATTENTION_LENGTHS], batch, &block.visible,
                       &block.offset);
    find_past(call, batch, head, &block);
    return block;
}

static void run_item(const attention_call *call, int64_t item, float *scratch)
{
    const tt_attention_kernel *k = call->k;
    tt_attention_block blocks[TT_ATTENTION_GROUP];
    int64_t first = item % call->n_blocks * k->rows, group = item / call->n_blocks;
    int64_t batch = group / call->n_groups, head = group % call->n_groups * k->group;
    int64_t n = k->heads - head < k->group ? k->heads - head : k->group;
    for (int64_t i = 0; i < n; ++i)
        blocks[i] =
            block_of(call, batch, head + i, first, scratch + i * call->block_floats);
    table(k)->run(blocks, n);
}

static void run_slots(void *arg, int64_t begin, int64_t end)
{
    const attention_call *call = arg;
    const tt_attention_kernel *k = call->k;
    int64_t n = k->batch * call->n_groups * call->n_blocks;
    for (int64_t slot = begin; slot < end; ++slot) {
        float *scratch = (float *)call->ptrs[TT_ATTENTION_SCRATCH] +
                         slot * k->group * call->block_floats;
        int64_t from = n * slot / k->n_slots, to = n * (slot + 1) / k->n_slots;
        for (int64_t item = from; item < to; ++item)
            run_item(call, item, scratch);
    }
}

tt_status tt_attention_run(const void *params, void *const *ptrs, tt_error *err)
{
    const tt_attention_kernel *k = params;
    attention_call call = {.k = k, .ptrs = ptrs};
    (void)err;
    if (k->queries == 0) return TT_OK;
    call.n_blocks = (k->queries - 1) / k->rows + 1;
    call.n_groups = (k->heads + k->group - 1) / k->group;
    call.block_floats = tt_attention_layout_of(k).end;
    tt_parallel_for(k->n_slots, /*grain=*/1, run_slots, &call);
    return TT_OK;
}
