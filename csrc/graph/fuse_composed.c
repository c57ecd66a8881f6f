/* Operators that exporters spell out in pieces become one again.
 *
 *   Gelu                x/2 (1 + erf(x / sqrt 2)), factors in any order
 *   Swish               x sigmoid(x)
 *   HardSwish           x hardsigmoid(x; 1/6, 1/2), x clip(x + 3, 0, 6) / 6
 *   Mish                x tanh(softplus(x))
 *   LayerNormalization  (x - mean) / sqrt(var + eps) * gamma + beta, last dim
 *
 * Each rule looks at the node that makes the result. */
#include <string.h>

#include "graph/fuse.h"
#include "graph/match.h"
#include "ops/op.h"

/* ---- products -------------------------------------------------------------------- */

enum { MAX_FACTORS = 6 };

/* The factors of nested multiplications (and divisions by a scalar), `scale` apart. */
typedef struct {
    double scale;
    int n;
    int values[MAX_FACTORS];
} product;

static bool push(product *p, const tt_graph *graph, int value)
{
    double scalar;
    if (tt_match_any_scalar(graph, value, &scalar)) {
        p->scale *= scalar;
        return true;
    }
    if (p->n == MAX_FACTORS) return false;
    p->values[p->n++] = value;
    return true;
}

/* Takes `root` apart; inner products must be read by nobody else. */
static bool factorise(tt_graph *graph, const tt_node *root, product *p)
{
    *p = (product){.scale = 1.0};
    if (!push(p, graph, root->inputs[0]) || !push(p, graph, root->inputs[1]))
        return false;
    for (int i = 0; i < p->n; ++i) {
        tt_node *inner = tt_match_only_producer(graph, p->values[i], "Mul");
        double divisor;
        if (inner == NULL) {
            inner = tt_match_only_producer(graph, p->values[i], "Div");
            if (inner == NULL ||
                !tt_match_any_scalar(graph, inner->inputs[1], &divisor))
                continue;
            p->scale /= divisor;
            p->values[i] = inner->inputs[0];
        } else {
            p->values[i] = p->values[--p->n];
            if (!push(p, graph, inner->inputs[0]) || !push(p, graph, inner->inputs[1]))
                return false;
        }
        i = -1; /* look at all again */
    }
    return true;
}

static bool near(double a, double b)
{
    double difference = a > b ? a - b : b - a;
    return difference <= 1e-4 * (b < 0 ? -b : b);
}

/* Is value = Erf(x / sqrt 2) + 1 for this x? */
static bool is_erf_plus_one(tt_graph *graph, int value, int x)
{
    tt_node *add = tt_match_only_producer(graph, value, "Add"), *erf, *scaled;
    double factor;
    if (add == NULL) return false;
    for (int k = 0; k < 2; ++k) {
        erf = tt_match_only_producer(graph, add->inputs[k], "Erf");
        if (erf == NULL || !tt_match_scalar(graph, add->inputs[1 - k], 1.0)) continue;
        if ((scaled = tt_match_only_producer(graph, erf->inputs[0], "Div")) != NULL)
            return scaled->inputs[0] == x &&
                   tt_match_any_scalar(graph, scaled->inputs[1], &factor) &&
                   near(factor, 1.4142135623730951);
        if ((scaled = tt_match_only_producer(graph, erf->inputs[0], "Mul")) != NULL)
            return tt_match_any_scalar(graph, tt_match_other(scaled, x), &factor) &&
                   near(factor, 0.7071067811865476);
    }
    return false;
}

static bool become_unary(tt_graph *graph, tt_node *root, const char *op, int version,
                         int x)
{
    return tt_node_become(graph, root, op, version, &x, 1);
}

static bool rule_gelu(tt_graph *graph, tt_node *root)
{
    product p;
    if (!tt_node_is(root, "Mul") || !factorise(graph, root, &p)) return false;
    if (p.n != 2 || !near(p.scale, 0.5)) return false;
    for (int k = 0; k < 2; ++k)
        if (is_erf_plus_one(graph, p.values[k], p.values[1 - k]))
            return become_unary(graph, root, "Gelu", 20, p.values[1 - k]);
    return false;
}

/* x * f(x) */
static int self_product(tt_graph *graph, const tt_node *root, const char *f,
                        tt_node **inner)
{
    if (!tt_node_is(root, "Mul")) return TT_ABSENT;
    for (int k = 0; k < 2; ++k) {
        *inner = tt_match_only_producer(graph, root->inputs[k], f);
        if (*inner != NULL && (*inner)->inputs[0] == root->inputs[1 - k])
            return root->inputs[1 - k];
    }
    return TT_ABSENT;
}

static bool rule_swish(tt_graph *graph, tt_node *root)
{
    tt_node *sigmoid;
    int x = self_product(graph, root, "Sigmoid", &sigmoid);
    return x >= 0 && become_unary(graph, root, "Swish", 24, x);
}

static bool rule_hard_swish(tt_graph *graph, tt_node *root)
{
    tt_node *inner;
    int x = self_product(graph, root, "HardSigmoid", &inner);
    const tt_attribute *alpha, *beta;
    if (x < 0) return false;
    alpha = tt_attribute_find(inner, "alpha");
    beta = tt_attribute_find(inner, "beta");
    return alpha != NULL && near((double)alpha->as.floats[0], 1.0 / 6.0) &&
           (beta == NULL || near((double)beta->as.floats[0], 0.5)) &&
           become_unary(graph, root, "HardSwish", 14, x);
}

/* clip(x + 3, 0, 6) */
static bool is_relu6_of_shifted(tt_graph *graph, int value, int x)
{
    tt_node *clip = tt_match_only_producer(graph, value, "Clip"), *add;
    double low = 1.0;
    if (clip == NULL || clip->n_inputs < 3) return false;
    if (!tt_match_any_scalar(graph, clip->inputs[1], &low) || low != 0.0 ||
        !tt_match_scalar(graph, clip->inputs[2], 6.0))
        return false;
    add = tt_match_only_producer(graph, clip->inputs[0], "Add");
    return add != NULL && tt_match_scalar(graph, tt_match_other(add, x), 3.0);
}

static bool rule_hard_swish_clip(tt_graph *graph, tt_node *root)
{
    product p;
    if (tt_node_is(root, "Div")) {
        double six;
        tt_node *mul = tt_match_only_producer(graph, root->inputs[0], "Mul");
        if (mul == NULL || !tt_match_any_scalar(graph, root->inputs[1], &six) ||
            !factorise(graph, mul, &p))
            return false;
        p.scale /= six;
    } else if (!tt_node_is(root, "Mul") || !factorise(graph, root, &p)) {
        return false;
    }
    if (p.n != 2 || !near(p.scale, 1.0 / 6.0)) return false;
    for (int k = 0; k < 2; ++k)
        if (is_relu6_of_shifted(graph, p.values[k], p.values[1 - k]))
            return become_unary(graph, root, "HardSwish", 14, p.values[1 - k]);
    return false;
}

static bool rule_mish(tt_graph *graph, tt_node *root)
{
    if (!tt_node_is(root, "Mul")) return false;
    for (int k = 0; k < 2; ++k) {
        tt_node *tanh_node = tt_match_only_producer(graph, root->inputs[k], "Tanh");
        tt_node *softplus =
            tanh_node == NULL
                ? NULL
                : tt_match_only_producer(graph, tanh_node->inputs[0], "Softplus");
        if (softplus != NULL && softplus->inputs[0] == root->inputs[1 - k])
            return become_unary(graph, root, "Mish", 18, softplus->inputs[0]);
    }
    return false;
}

/* ---- layer normalisation ------------------------------------------------------------ */

/* ReduceMean over the last dim alone, keeping it. */
static bool is_last_mean(const tt_graph *graph, const tt_node *node)
{
    int rank = graph->values[node->inputs[0]].shape.rank;
    const tt_attribute *axes = tt_attribute_find(node, "axes");
    const tt_attribute *keep = tt_attribute_find(node, "keepdims");
    int64_t axis;
    if (keep != NULL && keep->as.ints[0] == 0) return false;
    if (axes != NULL) {
        if (axes->n != 1) return false;
        axis = axes->as.ints[0];
    } else {
        double value;
        if (node->n_inputs < 2 || !tt_match_any_scalar(graph, node->inputs[1], &value))
            return false;
        axis = (int64_t)value;
    }
    return axis == -1 || axis == rank - 1;
}

/* x when value = x - mean(x). */
static int centred(tt_graph *graph, int value)
{
    tt_node *sub = tt_match_producer(graph, value, "Sub"), *mean;
    if (sub == NULL) return TT_ABSENT;
    mean = tt_match_producer(graph, sub->inputs[1], "ReduceMean");
    if (mean == NULL || mean->inputs[0] != sub->inputs[0] || !is_last_mean(graph, mean))
        return TT_ABSENT;
    return sub->inputs[0];
}

static bool is_square(tt_graph *graph, int value, int x)
{
    tt_node *node = tt_match_producer(graph, value, "Pow");
    if (node != NULL)
        return node->inputs[0] == x && tt_match_scalar(graph, node->inputs[1], 2.0);
    node = tt_match_producer(graph, value, "Mul");
    return node != NULL && node->inputs[0] == x && node->inputs[1] == x;
}

/* Both centred values are x - mean(x), maybe computed twice. */
static bool same_centred(tt_graph *graph, int a, int b)
{
    return a == b || (centred(graph, a) >= 0 && centred(graph, a) == centred(graph, b));
}

/* epsilon when value = sqrt(mean(d^2) + epsilon) for the centred d. */
static bool is_deviation(tt_graph *graph, int value, int d, double *epsilon)
{
    tt_node *root = tt_match_producer(graph, value, "Sqrt"), *add, *mean, *square;
    if (root == NULL) return false;
    add = tt_match_producer(graph, root->inputs[0], "Add");
    for (int k = 0; add != NULL && k < 2; ++k) {
        mean = tt_match_producer(graph, add->inputs[k], "ReduceMean");
        if (mean == NULL || !is_last_mean(graph, mean) ||
            !tt_match_any_scalar(graph, add->inputs[1 - k], epsilon))
            continue;
        square = tt_match_producer(graph, mean->inputs[0], NULL);
        if (square != NULL && same_centred(graph, square->inputs[0], d) &&
            is_square(graph, mean->inputs[0], square->inputs[0]))
            return true;
    }
    return false;
}

static bool is_last_vector(const tt_graph *graph, int value, const tt_shape *x)
{
    const tt_constant *constant = tt_graph_constant(graph, value);
    const tt_shape *shape;
    if (constant == NULL || x->rank < 1) return false;
    shape = tt_constant_shape(constant);
    return shape->dtype == TT_F32 && shape->rank == 1 &&
           shape->dims[0] == x->dims[x->rank - 1];
}

/* Add(Mul(Div(d, deviation), gamma), beta) */
static bool rule_layer_norm(tt_graph *graph, tt_node *root)
{
    if (!tt_node_is(root, "Add")) return false;
    for (int k = 0; k < 2; ++k) {
        tt_node *mul = tt_match_only_producer(graph, root->inputs[k], "Mul");
        for (int m = 0; mul != NULL && m < 2; ++m) {
            tt_node *div = tt_match_only_producer(graph, mul->inputs[m], "Div");
            int x = div == NULL ? TT_ABSENT : centred(graph, div->inputs[0]);
            int inputs[3] = {x, mul->inputs[1 - m], root->inputs[1 - k]};
            const tt_shape *shape;
            double epsilon;
            if (x < 0) continue;
            shape = &graph->values[x].shape;
            if (!is_deviation(graph, div->inputs[1], div->inputs[0], &epsilon) ||
                !is_last_vector(graph, inputs[1], shape) ||
                !is_last_vector(graph, inputs[2], shape))
                continue;
            return tt_node_become(graph, root, "LayerNormalization", 17, inputs, 3) &&
                   tt_node_set_int(graph, root, "axis", -1) &&
                   tt_node_set_float(graph, root, "epsilon", (float)epsilon);
        }
    }
    return false;
}

/* ---- the table ------------------------------------------------------------------------ */

typedef struct {
    const char *name;
    bool (*apply)(tt_graph *graph, tt_node *root);
} rule;

static const rule rules[] = {
    {"gelu",            rule_gelu           },
    {"swish",           rule_swish          },
    {"hard_swish",      rule_hard_swish     },
    {"hard_swish_clip", rule_hard_swish_clip},
    {"mish",            rule_mish           },
    {"layer_norm",      rule_layer_norm     },
};

tt_status tt_graph_fuse_composed(tt_graph *graph, tt_error *err)
{
    (void)err;
    for (int i = 0; i < graph->n_nodes; ++i) {
        tt_node *node = &graph->nodes[i];
        if (node->dead || node->op == NULL || node->n_inputs != 2) continue;
        if (graph->values[node->outputs[0]].shape.dtype != TT_F32) continue;
        for (size_t r = 0; r < sizeof rules / sizeof rules[0]; ++r)
            if (rules[r].apply(graph, node)) break;
    }
    tt_graph_sweep(graph);
    return TT_OK;
}
