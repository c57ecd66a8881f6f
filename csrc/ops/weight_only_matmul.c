/* WeightOnlyMatMul of the domain trimtab: x of float32 times constant weights of 4 or 8
 * bits that stay as they are.
 *
 *   inputs      x [.., k], w [k, n], scales, zero points like scales or absent (the
 *               integer 0), bias [n] or absent
 *   scales      [] or [1]; [n]; or, with `block` > 0, as w with one for so many rows k
 *   transposed  w is [n, k], and so are scales of blocks
 *
 * DequantizeLinear and MatMul or Gemm become it (graph/fuse_weight_only.c). */
#include "ops/nbits_common.h"

enum {
    X = TT_NBITS_X,
    W = TT_NBITS_B,
    SCALES = TT_NBITS_SCALES,
    ZEROS = TT_NBITS_ZEROS,
    BIAS
};

/* The kernel's blocks are a multiple of this. */
enum { GROUP = 8 };

static int bits_of(tt_dtype dtype)
{
    if (dtype == TT_S8 || dtype == TT_U8) return 8;
    return dtype == TT_S4 || dtype == TT_U4 ? 4 : 0;
}

static bool is_unsigned(tt_dtype dtype)
{
    return dtype == TT_U8 || dtype == TT_U4;
}

/* What unsigned integers of this type are stored around. */
static float middle_of(tt_dtype dtype)
{
    return dtype == TT_U8 ? 128.0f : dtype == TT_U4 ? 8.0f : 0.0f;
}

/* ---- looking ------------------------------------------------------------------- */

static tt_status read_layer(const tt_site *site, tt_nbits_layer *p, int64_t *strides,
                            tt_error *err)
{
    const tt_shape *w = tt_input_shape(site, W);
    int64_t transposed, block;
    TT_TRY(tt_attribute_int(site->node, "transposed", 0, &transposed, err));
    TT_TRY(tt_attribute_int(site->node, "block", 0, &block, err));
    if (w->rank != 2 || bits_of(w->dtype) == 0 || block < 0 || block % GROUP != 0 ||
        tt_shape_numel(w) == 0)
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "weights of %s, rank %d, in blocks of %lld",
                          tt_dtype_name(w->dtype), w->rank, (long long)block);
    p->bits = bits_of(w->dtype);
    p->bias = BIAS;
    p->n = w->dims[transposed != 0 ? 0 : 1];
    p->k = w->dims[transposed != 0 ? 1 : 0];
    strides[0] = transposed != 0 ? p->k : 1;
    strides[1] = transposed != 0 ? 1 : p->n;
    p->block = block != 0 ? block : (p->k + GROUP - 1) / GROUP * GROUP;
    p->n_blocks = (p->k - 1) / p->block + 1;
    return TT_OK;
}

/* Strides of columns and blocks in scales or zero points. */
static tt_status read_strides(const tt_site *site, int input, const tt_nbits_layer *p,
                              int64_t *strides, tt_error *err)
{
    const tt_shape *shape = tt_input_shape(site, input);
    int64_t n = tt_shape_numel(shape), transposed;
    TT_TRY(tt_attribute_int(site->node, "transposed", 0, &transposed, err));
    strides[0] = strides[1] = 0;
    if (shape->rank == 2 && n == p->n * p->n_blocks) {
        strides[0] = transposed != 0 ? p->n_blocks : 1;
        strides[1] = transposed != 0 ? 1 : p->n;
        return TT_OK;
    }
    if (shape->rank <= 1 && n == 1) return TT_OK;
    strides[0] = 1;
    if (shape->rank == 1 && n == p->n) return TT_OK;
    return tt_fail_at(site->node, err, TT_BAD_MODEL,
                      "input %d has %lld elements, expected 1, %lld or %lld", input,
                      (long long)n, (long long)p->n, (long long)(p->n * p->n_blocks));
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_shape *x;
    tt_nbits_layer p = {0};
    int64_t strides[2];
    TT_TRY(tt_need_inputs(site, 3, err));
    TT_TRY(read_layer(site, &p, strides, err));
    x = tt_input_shape(site, X);
    if (x->dtype != TT_F32 || x->rank < 1 || x->dims[x->rank - 1] != p.k)
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "input 0 must be float32 with a last dim of %lld",
                          (long long)p.k);
    TT_TRY(read_strides(site, SCALES, &p, strides, err));
    if (tt_has_input(site, ZEROS)) TT_TRY(read_strides(site, ZEROS, &p, strides, err));
    if (tt_has_input(site, BIAS) && tt_shape_numel(tt_input_shape(site, BIAS)) != p.n)
        return tt_fail_at(
            site->node, err, TT_BAD_MODEL, "a bias of %lld, expected %lld",
            (long long)tt_shape_numel(tt_input_shape(site, BIAS)), (long long)p.n);
    *out = *x;
    out->dims[x->rank - 1] = p.n;
    return tt_check_shape(site, out, err);
}

/* ---- packing: dims are n, k, block or n, blocks ----------------------------------- */

static void pack_weights(const tt_md *md, const void *from, void *made)
{
    int bits = bits_of(md->dtype);
    tt_nbits_matrix b = {.data = from,
                         .bits = bits,
                         .flip =
                             is_unsigned(md->dtype) ? 0 : (uint8_t)(1 << (bits - 1)),
                         .n = md->dims[0],
                         .k = md->dims[1],
                         .block = md->dims[2],
                         .strides = md->strides};
    tt_nbits_pack_matrix(&b, made);
}

static void pack_numbers(const tt_md *md, const void *from, void *made)
{
    tt_nbits_pack_numbers(from, md->dtype, middle_of(md->dtype), md->dims[0],
                          md->dims[1], md->strides, made);
}

/* The integer 0 where that is not the middle. */
static void pack_nothing(const tt_md *md, float middle, void *made)
{
    static const int64_t strides[2] = {0};
    static const float nothing = 0.0f;
    tt_nbits_pack_numbers(&nothing, TT_F32, middle, md->dims[0], md->dims[1], strides,
                          made);
}

static void pack_no_zeros_8(const tt_md *md, const void *from, void *made)
{
    (void)from;
    pack_nothing(md, middle_of(TT_U8), made);
}

static void pack_no_zeros_4(const tt_md *md, const void *from, void *made)
{
    (void)from;
    pack_nothing(md, middle_of(TT_U4), made);
}

static tt_status pack(tt_lower *lower, const tt_nbits_layer *p, const tt_site *site,
                      int i, tt_operand *operand, tt_error *err)
{
    tt_md md = {
        .ndims = 2, .dims = {p->n, p->n_blocks}
    };
    tt_derive make = pack_numbers;
    if (i == W) {
        tt_nbits_layer again = {0};
        md.ndims = 3;
        md.dims[1] = p->k;
        md.dims[2] = p->block;
        make = pack_weights;
        TT_TRY(read_layer(site, &again, md.strides, err));
    } else if (!tt_has_input(site, i)) {
        if (!is_unsigned(tt_input_shape(site, W)->dtype)) return TT_OK;
        TT_TRY(
            tt_lower_src(lower, site->node, SCALES, TT_ORDER_ROW_MAJOR, operand, err));
        make = p->bits == 8 ? pack_no_zeros_8 : pack_no_zeros_4;
        i = SCALES;
    } else {
        TT_TRY(read_strides(site, i, p, md.strides, err));
    }
    md.dtype = tt_input_shape(site, i)->dtype;
    return tt_lower_derived(lower, *operand, &md, make, tt_nbits_packed_bytes(p, i),
                            operand, err);
}

static tt_status lower_weight_only(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    tt_nbits_layer p = {0};
    int64_t strides[2];
    TT_TRY(read_layer(&site, &p, strides, err));
    return tt_nbits_lower(lower, node, &p, pack, err);
}

const tt_op tt_op_weight_only_matmul = {
    .name = "WeightOnlyMatMul",
    .domain = "trimtab",
    .since = 1,
    .summary = "matrix product with weights that stay integers, made by the engine",
    .accepts_posts = true,
    .infer = infer,
    .lower = lower_weight_only,
};
