/* MatMulNBits of com.microsoft: x times constant weights of 4 or 8 bits, in blocks
 * along k with a scale and a zero point each.
 *
 * accuracy_level 4 allows x as int8, other levels mean float32. */
#include "ops/nbits_common.h"

enum {
    X = TT_NBITS_X,
    B = TT_NBITS_B,
    SCALES = TT_NBITS_SCALES,
    ZEROS = TT_NBITS_ZEROS,
    GROUP_INDEX,
    BIAS
};

enum { LEVEL_INT8 = 4, MAX_BLOCK = 1 << 20 };

/* ---- looking ------------------------------------------------------------------- */

static tt_status read_sizes(const tt_site *site, tt_nbits_layer *p, tt_error *err)
{
    int64_t bits, level;
    TT_TRY(tt_attribute_int(site->node, "bits", 4, &bits, err));
    TT_TRY(tt_attribute_int(site->node, "K", 0, &p->k, err));
    TT_TRY(tt_attribute_int(site->node, "N", 0, &p->n, err));
    TT_TRY(tt_attribute_int(site->node, "block_size", 0, &p->block, err));
    TT_TRY(tt_attribute_int(site->node, "accuracy_level", 0, &level, err));
    if (bits != 4 && bits != 8)
        return tt_fail_at(site->node, err, TT_UNSUPPORTED,
                          "weights of %lld bits, expected 4 or 8", (long long)bits);
    if (p->k < 1 || p->n < 1 || p->block < 16 || p->block > MAX_BLOCK ||
        (p->block & (p->block - 1)) != 0)
        return tt_fail_at(
            site->node, err, TT_BAD_MODEL,
            "K %lld, N %lld, block_size %lld: expected positive ones, and "
            "a power of two from 16 on",
            (long long)p->k, (long long)p->n, (long long)p->block);
    p->bits = (int)bits;
    p->is_integer = level == LEVEL_INT8;
    p->n_blocks = (p->k - 1) / p->block + 1;
    return TT_OK;
}

/* Input i must have so many elements: n rows of `each`. */
static tt_status check_rows(const tt_site *site, int i, int64_t n, int64_t each,
                            tt_error *err)
{
    const tt_shape *shape = tt_input_shape(site, i);
    int64_t found = tt_shape_numel(shape);
    if (found % n == 0 && found / n == each) return TT_OK;
    return tt_fail_at(site->node, err, TT_BAD_MODEL,
                      "input %d has %lld elements, expected %lld times %lld", i,
                      (long long)found, (long long)n, (long long)each);
}

static tt_status check_zeros(const tt_site *site, const tt_nbits_layer *p,
                             tt_error *err)
{
    tt_dtype dtype;
    if (!tt_has_input(site, ZEROS)) return TT_OK;
    dtype = tt_input_shape(site, ZEROS)->dtype;
    if (dtype == TT_F32) return check_rows(site, ZEROS, p->n, p->n_blocks, err);
    if (dtype == TT_U8)
        return check_rows(site, ZEROS, p->n, (p->n_blocks * p->bits + 7) / 8, err);
    return tt_fail_at(site->node, err, TT_UNSUPPORTED,
                      "zero points of %s, expected uint8 or float32",
                      tt_dtype_name(dtype));
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_shape *x;
    tt_nbits_layer p = {0};
    TT_TRY(tt_need_inputs(site, 3, err));
    TT_TRY(read_sizes(site, &p, err));
    x = tt_input_shape(site, X);
    if (x->dtype != TT_F32 || tt_input_shape(site, SCALES)->dtype != TT_F32 ||
        tt_input_shape(site, B)->dtype != TT_U8)
        return tt_fail_at(site->node, err, TT_UNSUPPORTED,
                          "inputs of %s, %s, %s: expected float32, uint8, float32",
                          tt_dtype_name(x->dtype),
                          tt_dtype_name(tt_input_shape(site, B)->dtype),
                          tt_dtype_name(tt_input_shape(site, SCALES)->dtype));
    if (x->rank < 1 || x->dims[x->rank - 1] != p.k)
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "the last dim of input 0 must be K, %lld", (long long)p.k);
    if (tt_has_input(site, GROUP_INDEX))
        return tt_fail_at(site->node, err, TT_UNSUPPORTED,
                          "rows in an order of their own (g_idx)");
    TT_TRY(check_rows(site, B, p.n, p.n_blocks * (p.block * p.bits / 8), err));
    TT_TRY(check_rows(site, SCALES, p.n, p.n_blocks, err));
    TT_TRY(check_zeros(site, &p, err));
    if (tt_has_input(site, BIAS)) {
        if (tt_input_shape(site, BIAS)->dtype != TT_F32)
            return tt_fail_at(site->node, err, TT_BAD_MODEL, "a bias of %s",
                              tt_dtype_name(tt_input_shape(site, BIAS)->dtype));
        TT_TRY(check_rows(site, BIAS, p.n, 1, err));
    }
    for (int i = B; i <= ZEROS; ++i)
        if (tt_has_input(site, i) && tt_input_constant(site, i) == NULL)
            return tt_fail_at(site->node, err, TT_UNSUPPORTED,
                              "input %d is computed, expected a constant", i);
    *out = *x;
    out->dims[x->rank - 1] = p.n;
    return tt_check_shape(site, out, err);
}

/* ---- packing: descriptions are [n, n_blocks, elements or bytes of a block] ------- */

static void pack_b_4(const tt_md *md, const void *from, void *made)
{
    tt_nbits_pack(from, 4, md->dims[0], md->dims[1], md->dims[2] * 2, made);
}

static void pack_b_8(const tt_md *md, const void *from, void *made)
{
    tt_nbits_pack(from, 8, md->dims[0], md->dims[1], md->dims[2], made);
}

static void pack_scales(const tt_md *md, const void *from, void *made)
{
    tt_nbits_pack_numbers(from, TT_F32, 0.0f, md->dims[0], md->dims[1], md->strides,
                          made);
}

static void pack_zeros_4(const tt_md *md, const void *from, void *made)
{
    if (md->dtype == TT_F32)
        tt_nbits_pack_numbers(from, TT_F32, 8.0f, md->dims[0], md->dims[1], md->strides,
                              made);
    else
        tt_nbits_pack_zeros(from, 4, md->dims[0], md->dims[1], md->strides[0], made);
}

static void pack_zeros_8(const tt_md *md, const void *from, void *made)
{
    if (md->dtype == TT_F32)
        tt_nbits_pack_numbers(from, TT_F32, 128.0f, md->dims[0], md->dims[1],
                              md->strides, made);
    else
        tt_nbits_pack_zeros(from, 8, md->dims[0], md->dims[1], md->strides[0], made);
}

static tt_status pack(tt_lower *lower, const tt_nbits_layer *p, const tt_site *site,
                      int i, tt_operand *operand, tt_error *err)
{
    tt_md md = {
        .ndims = 3, .dims = {p->n, p->n_blocks, 1}
    };
    tt_derive make = p->bits == 4 ? pack_b_4 : pack_b_8;
    if (!tt_has_input(site, i)) return TT_OK;
    md.dtype = tt_input_shape(site, i)->dtype;
    if (i == B)
        md.dims[2] = p->block * p->bits / 8;
    else
        make = i == SCALES ? pack_scales : p->bits == 4 ? pack_zeros_4 : pack_zeros_8;
    tt_strides_row_major(md.dims, md.ndims, md.strides);
    if (i == ZEROS && md.dtype == TT_U8)
        md.strides[0] = (p->n_blocks * p->bits + 7) / 8; /* bytes */
    return tt_lower_derived(lower, *operand, &md, make, tt_nbits_packed_bytes(p, i),
                            operand, err);
}

static tt_status lower_nbits(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    tt_nbits_layer p = {.bias = BIAS};
    TT_TRY(read_sizes(&site, &p, err));
    return tt_nbits_lower(lower, node, &p, pack, err);
}

const tt_op tt_op_matmul_nbits = {
    .name = "MatMulNBits",
    .domain = "com.microsoft",
    .since = 1,
    .summary = "matrix product with weights of 4 or 8 bits in blocks",
    .accepts_posts = true,
    .infer = infer,
    .lower = lower_nbits,
};
