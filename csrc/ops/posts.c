/* Post-ops as an elementwise step: see posts.h.  Enters: oneDNN's list of post-ops.
 * Leaves: one loop of kernels/eltwise.h over the destination. */
#include "ops/posts.h"

#include <string.h>

#include "base/alloc.h"

void tt_prim_args_binary(tt_prim_args *args, tt_alg alg, tt_operand operand,
                         const tt_md *md)
{
    tt_post *post = &args->attr.posts[args->attr.n_posts];
    *post = (tt_post){.kind = TT_POST_BINARY, .alg = alg, .operand = *md};
    tt_prim_args_add(args, (tt_arg)(TT_ARG_POST + args->attr.n_posts), operand);
    args->attr.n_posts++;
}

void tt_prim_args_linear(tt_prim_args *args, float alpha, float beta)
{
    args->attr.posts[args->attr.n_posts++] = (tt_post){
        .kind = TT_POST_ELTWISE, .alg = TT_ALG_LINEAR, .alpha = alpha, .beta = beta};
}

tt_status tt_prim_args_posts(tt_lower *lower, const tt_node *node, int rank,
                             tt_order order, tt_prim_args *args, tt_error *err)
{
    return tt_lower_posts(lower, node, rank, order, &args->attr, args->args,
                          args->operands, &args->n, &args->sum, err);
}

tt_operand tt_prim_args_operand(const tt_prim_args *args, int post)
{
    for (int i = 0; i < args->n; ++i)
        if (args->args[i] == (tt_arg)(TT_ARG_POST + post)) return args->operands[i];
    return TT_NO_OPERAND;
}

/* ---- what own kernels apply themselves -------------------------------------- */

static bool post_op_kind(tt_alg alg, tt_post_op_kind *out)
{
    static const struct {
        tt_alg alg;
        tt_post_op_kind kind;
    } table[] = {
        {TT_ALG_RELU,        TT_POST_OP_RELU       },
        {TT_ALG_CLIP,        TT_POST_OP_CLIP       },
        {TT_ALG_LINEAR,      TT_POST_OP_LINEAR     },
        {TT_ALG_LOGISTIC,    TT_POST_OP_LOGISTIC   },
        {TT_ALG_SWISH,       TT_POST_OP_SWISH      },
        {TT_ALG_HARDSIGMOID, TT_POST_OP_HARDSIGMOID},
        {TT_ALG_HARDSWISH,   TT_POST_OP_HARDSWISH  },
        {TT_ALG_TANH,        TT_POST_OP_TANH       },
        {TT_ALG_GELU_ERF,    TT_POST_OP_GELU_ERF   },
        {TT_ALG_GELU_TANH,   TT_POST_OP_GELU_TANH  },
        {TT_ALG_ADD,         TT_POST_OP_ADD        },
        {TT_ALG_MUL,         TT_POST_OP_MUL        },
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; ++i) {
        if (table[i].alg != alg) continue;
        *out = table[i].kind;
        return true;
    }
    return false;
}

bool tt_post_ops_append(tt_post_ops *ops, tt_alg alg, float alpha, float beta,
                        bool is_full)
{
    tt_post_op op = {.alpha = alpha, .beta = beta, .is_full = is_full};
    bool is_relu = alg == TT_ALG_RELU && alpha == 0.0f, is_first;
    if (!post_op_kind(alg, &op.kind)) return false;
    is_first = !ops->has_clamp && ops->n == 0;
    if (is_first && (is_relu || alg == TT_ALG_CLIP)) {
        ops->has_clamp = true;
        ops->low = is_relu ? 0.0f : alpha;
        ops->high = is_relu ? __builtin_inff() : beta;
        return true;
    }
    if (ops->n == TT_POST_OPS_MAX) return false;
    ops->items[ops->n++] = op;
    return true;
}

/* ---- the elementwise program --------------------------------------------- */

typedef struct {
    tt_eltwise_builder builder;
    int n_loads;
    tt_operand operands[TT_ELTWISE_MAX_OPERANDS + 1];
    int64_t strides[TT_ELTWISE_MAX_OPERANDS][TT_MAX_RANK];
} program;

/* A register filled from `operand`, described by md and broadcast to `rank` dims. */
static int load(program *p, tt_operand operand, const tt_md *md)
{
    int reg = tt_eltwise_load(&p->builder, md->dtype);
    if (reg < 0) return reg;
    p->operands[p->n_loads] = operand;
    for (int i = 0; i < md->ndims; ++i)
        p->strides[p->n_loads][i] = md->dims[i] == 1 ? 0 : md->strides[i];
    p->n_loads++;
    return reg;
}

static int unary(program *p, tt_eltwise_op op, int x, double alpha, double beta)
{
    return tt_eltwise_add(&p->builder, op, x, -1, -1, alpha, beta, TT_DTYPE_NONE);
}

static int binary(program *p, tt_eltwise_op op, int a, int b)
{
    return tt_eltwise_add(&p->builder, op, a, b, -1, 0.0, 0.0, TT_DTYPE_NONE);
}

static int add_eltwise(program *p, const tt_post *post, int x)
{
    double alpha = (double)post->alpha, beta = (double)post->beta;
    int r;
    switch (post->alg) {
    case TT_ALG_ABS:
        return unary(p, TT_ELTWISE_ABS, x, 0, 0);
    case TT_ALG_CLIP:
        return unary(p, TT_ELTWISE_CLIP, x, alpha, beta);
    case TT_ALG_ELU:
        return unary(p, TT_ELTWISE_ELU, x, alpha, 0);
    case TT_ALG_EXP:
        return unary(p, TT_ELTWISE_EXP, x, 0, 0);
    case TT_ALG_GELU_ERF:
        return unary(p, TT_ELTWISE_GELU_ERF, x, 0, 0);
    case TT_ALG_GELU_TANH:
        return unary(p, TT_ELTWISE_GELU_TANH, x, 0, 0);
    case TT_ALG_HARDSIGMOID:
        return unary(p, TT_ELTWISE_HARD_SIGMOID, x, alpha, beta);
    case TT_ALG_HARDSWISH:
        r = unary(p, TT_ELTWISE_HARD_SIGMOID, x, alpha, beta);
        return r < 0 ? r : binary(p, TT_ELTWISE_MUL, x, r);
    case TT_ALG_LINEAR:
        return unary(p, TT_ELTWISE_LINEAR, x, alpha, beta);
    case TT_ALG_LOG:
        return unary(p, TT_ELTWISE_LOG, x, 0, 0);
    case TT_ALG_LOGISTIC:
        return unary(p, TT_ELTWISE_SIGMOID, x, 0, 0);
    case TT_ALG_MISH:
        return unary(p, TT_ELTWISE_MISH, x, 0, 0);
    case TT_ALG_POW:
        r = unary(p, TT_ELTWISE_POW_SCALAR, x, beta, 0);
        return r < 0 ? r : unary(p, TT_ELTWISE_LINEAR, r, alpha, 0);
    case TT_ALG_RELU:
        if (post->alpha == 0.0f) return unary(p, TT_ELTWISE_RELU, x, 0, 0);
        return unary(p, TT_ELTWISE_LEAKY_RELU, x, alpha, 0);
    case TT_ALG_ROUND:
        return unary(p, TT_ELTWISE_ROUND, x, 0, 0);
    case TT_ALG_SOFT_RELU:
        r = unary(p, TT_ELTWISE_LINEAR, x, alpha, 0);
        if (r >= 0) r = unary(p, TT_ELTWISE_SOFTPLUS, r, 0, 0);
        return r < 0 ? r : unary(p, TT_ELTWISE_LINEAR, r, 1.0 / alpha, 0);
    case TT_ALG_SQRT:
        return unary(p, TT_ELTWISE_SQRT, x, 0, 0);
    case TT_ALG_SQUARE:
        return binary(p, TT_ELTWISE_MUL, x, x);
    case TT_ALG_SWISH:
        return unary(p, TT_ELTWISE_SWISH, x, alpha, 0);
    case TT_ALG_TANH:
        return unary(p, TT_ELTWISE_TANH, x, 0, 0);
    default:
        return -1;
    }
}

static int add_binary(program *p, tt_alg alg, int x, int y)
{
    switch (alg) {
    case TT_ALG_ADD:
        return binary(p, TT_ELTWISE_ADD, x, y);
    case TT_ALG_SUB:
        return binary(p, TT_ELTWISE_SUB, x, y);
    case TT_ALG_MUL:
        return binary(p, TT_ELTWISE_MUL, x, y);
    case TT_ALG_DIV:
        return binary(p, TT_ELTWISE_DIV, x, y);
    case TT_ALG_MAX:
        return binary(p, TT_ELTWISE_MAX, x, y);
    case TT_ALG_MIN:
        return binary(p, TT_ELTWISE_MIN, x, y);
    default:
        return -1;
    }
}

/* An integer operand as f32; a sum brings its own scale and zero point. */
static int real(program *p, const tt_post *post, int y)
{
    double scale = (double)post->scale;
    y = tt_eltwise_add(&p->builder, TT_ELTWISE_CAST, y, -1, -1, 0.0, 0.0, TT_F32);
    if (y < 0 || post->kind != TT_POST_SUM) return y;
    return unary(p, TT_ELTWISE_LINEAR, y, scale, -scale * post->zero_point);
}

/* Register of the result, or -1 when the program does not hold it. */
static int add_posts(program *p, tt_lower *lower, const tt_md *md,
                     const tt_prim_args *args, int x)
{
    for (int i = 0; i < args->attr.n_posts && x >= 0; ++i) {
        const tt_post *post = &args->attr.posts[i];
        int y;
        if (post->kind == TT_POST_ELTWISE) {
            x = add_eltwise(p, post, x);
            continue;
        }
        if (post->kind == TT_POST_SUM) {
            tt_md seen = *md;
            /* The operand has the strides that dst would have had in its place. */
            if (md->ndims == tt_operand_shape(lower, args->sum)->rank)
                memcpy(seen.strides, tt_operand_strides(lower, args->sum),
                       sizeof seen.strides);
            else
                tt_strides_row_major(seen.dims, seen.ndims, seen.strides);
            y = load(p, args->sum, &seen);
        } else {
            y = load(p, tt_prim_args_operand(args, i), &post->operand);
        }
        if (y >= 0 && md->dtype == TT_F32 && tt_dtype_is_int(p->builder.registers[y]))
            y = real(p, post, y);
        if (y < 0) return -1;
        x = post->kind == TT_POST_SUM ? binary(p, TT_ELTWISE_ADD, x, y)
                                      : add_binary(p, post->alg, x, y);
    }
    return x;
}

static tt_status run_posts(const void *params, void *const *ptrs, tt_error *err)
{
    (void)err;
    tt_eltwise_run(params, ptrs);
    return TT_OK;
}

tt_status tt_posts_lower(tt_lower *lower, const tt_node *node, tt_operand dst,
                         const tt_md *md, const tt_prim_args *args, tt_error *err)
{
    program p = {0};
    tt_shape dims = {.dtype = md->dtype, .rank = md->ndims};
    int64_t store[1][TT_MAX_RANK] = {{0}};
    tt_work work = {0};
    tt_eltwise *eltwise;
    tt_status status;
    int reg;
    if (args->attr.n_posts == 0) return TT_OK;
    memcpy(dims.dims, md->dims, sizeof dims.dims);
    memcpy(store[0], md->strides, sizeof store[0]);
    reg = add_posts(&p, lower, md, args, load(&p, dst, md));
    if (reg < 0 || !tt_eltwise_store(&p.builder, reg, md->dtype))
        return tt_fail(err, TT_UNSUPPORTED,
                       "%s '%s': its %d post-ops do not fit an elementwise step",
                       node->op_type, node->name, args->attr.n_posts);
    TT_TRY(tt_eltwise_compile(&p.builder, &dims,
                              (const int64_t(*)[TT_MAX_RANK])p.strides,
                              (const int64_t(*)[TT_MAX_RANK])store, &eltwise, err));
    p.operands[p.n_loads] = dst;
    work.bytes = 2.0 * (double)tt_shape_bytes(&dims);
    work.flops = (double)args->attr.n_posts * (double)tt_shape_numel(&dims);
    work.cost_ns = tt_eltwise_cost_ns(eltwise);
    status = tt_lower_kernel(lower, node, "posts", run_posts, eltwise,
                             tt_eltwise_bytes(eltwise), p.operands, p.n_loads, 1, &work,
                             err);
    tt_free(eltwise);
    return status;
}
