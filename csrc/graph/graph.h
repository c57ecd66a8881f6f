/* The one intermediate representation: what a model means.
 *
 * A tt_graph is a list of values (tensors) and a topologically ordered list of
 * nodes (operators of ONNX) over them.  Everything refers by index into
 * graph->values.  A graph read from a file has symbolic dims; specialising it
 * for concrete input shapes makes a working copy in which every value has a
 * concrete shape, and on which the passes (infer, fold, fuse, layout) work.
 *
 * Ownership: nodes, attributes, strings and index lists live in the graph's
 * region and are never freed one by one.  Constants are counted references.
 *
 * A value may be a sequence of tensors (one element, dtype TT_SEQUENCE), a tensor of
 * texts (TT_STRING) or, where it is optional and absent, TT_NOTHING: base/object.h. */
#ifndef TT_GRAPH_GRAPH_H
#define TT_GRAPH_GRAPH_H

#include "base/hash.h"
#include "base/limits.h"
#include "base/object.h"
#include "base/shape.h"
#include "base/status.h"
#include "graph/region.h"

typedef struct tt_op tt_op;
typedef struct tt_graph tt_graph;

/* ---- constants ---------------------------------------------------------- */

/* Immutable bytes of a dense row-major tensor, shared by reference count (constant.c).
 *
 * A lazy constant knows how to make its bytes and holds them only while somebody has
 * it pinned: weights stay in their file until a plan packs them, and go again when
 * nothing reads them as they are. */
typedef struct tt_constant tt_constant;

/* Copies nothing: `release(owner)` is called when the last reference goes.
 * data may be unaligned for its dtype only if `release` is NULL (then the bytes
 * are copied into an aligned block).  On failure nothing is released. */
tt_status tt_constant_new(const tt_shape *shape, const void *data,
                          void (*release)(void *owner), void *owner, tt_constant **out,
                          tt_error *err);
/* A tensor of texts, from `bytes`: per element the u32 number of its bytes, then all of
 * them one after the other.  Copied. */
tt_status tt_constant_texts(const tt_shape *shape, const void *bytes, size_t n_bytes,
                            tt_constant **out, tt_error *err);
/* A zeroed constant whose bytes the caller fills before anyone else sees it. */
tt_status tt_constant_empty(const tt_shape *shape, tt_constant **out, void **data,
                            tt_error *err);
/* Writes all bytes of a lazy constant to dst.  Called on any thread, under the lock of
 * that constant: it must not start parallel work. */
typedef tt_status (*tt_constant_fill)(void *owner, void *dst, tt_error *err);
/* A lazy constant; `release(owner)` as above.  On failure nothing is released. */
tt_status tt_constant_lazy(const tt_shape *shape, tt_constant_fill fill,
                           void (*release)(void *owner), void *owner, tt_constant **out,
                           tt_error *err);
/* A lazy constant that reads `base` with these strides (elements): a transposed or
 * reshaped one.  Takes a reference to base, which must be no view itself. */
tt_status tt_constant_view(const tt_shape *shape, tt_constant *base,
                           const int64_t *strides, tt_constant **out, tt_error *err);
tt_constant *tt_constant_ref(tt_constant *constant);
void tt_constant_unref(tt_constant *constant); /* NULL is allowed */
const tt_shape *tt_constant_shape(const tt_constant *constant);
/* NULL while a lazy constant is not pinned: pin what may be large. */
const void *tt_constant_data(const tt_constant *constant);
/* Makes the bytes of a lazy constant, or counts one more user; nothing to do for
 * others.  What is never unpinned goes with the last reference. */
tt_status tt_constant_pin(tt_constant *constant, tt_error *err);
void tt_constant_unpin(tt_constant *constant);
bool tt_constant_is_lazy(const tt_constant *constant);
/* Is this what makes its bytes? */
bool tt_constant_fills_by(const tt_constant *constant, tt_constant_fill fill);
/* What a view reads, and its strides; NULL for others. */
tt_constant *tt_constant_base(const tt_constant *constant, const int64_t **strides);
/* A name for the contents that is the same in another process that loads the same
 * file; what was made of them is found again by it.  Set it before anyone else sees
 * the constant. */
void tt_constant_set_key(tt_constant *constant, tt_hash key);
/* The key that was set; of a view its base's and the strides; of bytes that are there
 * their hash.  False for a lazy constant without one. */
bool tt_constant_key(const tt_constant *constant, tt_hash *out);
/* Bytes of the dense tensor in memory; false when that overflows, or the dtype has no
 * size. */
bool tt_dense_bytes(const tt_shape *shape, size_t *out);
/* The same in a file, where elements below a byte lie close together. */
bool tt_packed_bytes(const tt_shape *shape, size_t *out);

/* ---- attributes --------------------------------------------------------- */

/* X(kind, code of AttributeProto.AttributeType, its name in messages) */
#define TT_ATTRIBUTE_LIST(X)                      \
    X(TT_ATTRIBUTE_FLOAT, 1, "a float")           \
    X(TT_ATTRIBUTE_INT, 2, "an int")              \
    X(TT_ATTRIBUTE_STRING, 3, "a string")         \
    X(TT_ATTRIBUTE_TENSOR, 4, "a tensor")         \
    X(TT_ATTRIBUTE_GRAPH, 5, "a graph")           \
    X(TT_ATTRIBUTE_FLOATS, 6, "a list of floats") \
    X(TT_ATTRIBUTE_INTS, 7, "a list of ints")     \
    X(TT_ATTRIBUTE_STRINGS, 8, "a list of strings")

typedef enum {
#define TT_ATTRIBUTE_ENUM(code, onnx, text) code = onnx,
    TT_ATTRIBUTE_LIST(TT_ATTRIBUTE_ENUM)
#undef TT_ATTRIBUTE_ENUM
} tt_attribute_kind;

typedef struct {
    const char *name;
    tt_attribute_kind kind;
    int64_t n; /* number of items, 1 for the scalar kinds */
    union {
        const int64_t *ints;        /* INT, INTS */
        const float *floats;        /* FLOAT, FLOATS */
        const char *const *strings; /* STRING, STRINGS; zero-terminated */
        tt_constant *tensor;        /* borrowed from the graph */
        tt_graph *graph;            /* borrowed from the model */
    } as;
} tt_attribute;

/* ---- values and nodes --------------------------------------------------- */

enum { TT_UNKNOWN_RANK = -1, TT_UNKNOWN_DIM = -1 };

typedef struct {
    const char *name;
    tt_shape shape; /* rank TT_UNKNOWN_RANK, dims TT_UNKNOWN_DIM, or exact */
    const char *symbols[TT_MAX_RANK]; /* dim_param of each dim (of item's), or NULL */
    tt_constant *constant;            /* owned reference, or NULL */
    int producer;                     /* node index, or -1: input, constant, capture */
    bool is_optional;                 /* declared so: nothing is a value too */
    const tt_shape *item; /* of a sequence: its tensors as declared, or NULL */
} tt_value;

/* A post-op the compiler attached to a convolution, matmul, ...; applied in
 * order to the node's result.  `value` is the second operand, or -1; an operand of u8
 * or s8 stands for alpha * (operand - beta).  Operators without
 * accepts_posts keep only the names of nodes they absorbed here. */
typedef struct {
    int kind; /* tt_post_kind of dnnl/dnnl_shim.h */
    int alg;  /* tt_alg */
    float alpha, beta;
    int value;
    const char *node; /* name of the node that was absorbed */
} tt_node_post;

enum { TT_MAX_NODE_POSTS = 8, TT_ABSENT = -1 };

typedef struct {
    const tt_op *op; /* NULL: not in the table (a fallback runs it) */
    const char *op_type, *domain, *name;
    int version; /* opset of the node's domain in the model */
    int n_inputs, n_outputs, n_attributes;
    int n_captures;        /* see tt_capture; formal inputs come first */
    int *inputs, *outputs; /* value index or TT_ABSENT */
    const tt_attribute *attributes;
    int n_posts; /* filled by fuse */
    tt_node_post posts[TT_MAX_NODE_POSTS];
    void *extra;                 /* what a fused node needs besides attributes */
    int graph_index, node_index; /* where it stands in the model that was read */
    bool dead;                   /* removed by a pass, skipped by all later ones */
    bool is_kept;                /* not folded yet: fuse_quantized.c wants to see it */
} tt_node;

/* A value of an enclosing graph that a body reads.  Besides, the node holding the
 * bodies reads it: its last n_captures inputs are the captures of its bodies, body
 * after body in the order of the attributes.  So whoever follows inputs (uses,
 * sorting, liveness) needs no special case, and edits of the outer graph reach the
 * body: `outer` is right in the graph that was read, node->inputs in every copy. */
typedef struct {
    int inner, outer;
} tt_capture;

struct tt_graph {
    const char *name;
    int n_values, n_nodes, n_inputs, n_outputs, n_captures;
    tt_value *values;
    tt_node *nodes;
    int *inputs, *outputs; /* value indices */
    tt_capture *captures;  /* bodies of If, Loop, Scan only */
    size_t values_capacity, nodes_capacity;
    tt_region *region;       /* owns the lists and strings made by passes */
    const tt_limits *limits; /* borrowed from the model */
    int64_t folded_bytes;    /* constants made by passes, see max_fold_bytes */
};

/* ---- building and copying ----------------------------------------------- */

tt_status tt_graph_new(const tt_limits *limits, tt_graph **out, tt_error *err);
void tt_graph_free(tt_graph *graph); /* NULL is allowed */
/* A working copy: own values and node lists, shared attributes, strings and
 * constants.  The original must outlive it. */
tt_status tt_graph_copy(const tt_graph *graph, tt_graph **out, tt_error *err);

/* Room for this many values and nodes in all; TT_LIMIT beyond the limits. */
tt_status tt_graph_reserve(tt_graph *graph, int64_t n_values, int64_t n_nodes,
                           tt_error *err);
/* Appends a value (index in *out).  `name` is borrowed or region-owned. */
tt_status tt_graph_add_value(tt_graph *, const char *name, const tt_shape *shape,
                             int *out, tt_error *);
/* Appends a value holding `constant`; takes the caller's reference in any case. */
tt_status tt_graph_add_constant(tt_graph *, const char *name, tt_constant *constant,
                                int *out, tt_error *);
/* Makes a value a constant; takes the caller's reference in any case.  The node that
 * made it loses that output (TT_ABSENT) at the next sweep or sort.  NULL: it is none
 * any more. */
void tt_graph_set_constant(tt_graph *, int value, tt_constant *constant);
/* Appends an empty node with room for the lists, all of them TT_ABSENT.  May move
 * the nodes: a pointer to another one is void afterwards.  A node that others read
 * from must be sorted in (tt_graph_sort). */
tt_status tt_graph_add_node(tt_graph *, const tt_op *op, const char *name, int n_inputs,
                            int n_outputs, tt_node **out, tt_error *);

/* ---- reading ------------------------------------------------------------ */

/* The tensor of value `index` if it is constant, else NULL. */
static inline const tt_constant *tt_graph_constant(const tt_graph *graph, int value)
{
    return value < 0 ? NULL : graph->values[value].constant;
}
/* How many inputs and post operands of live nodes, and outputs of the graph, are
 * the value: 2 for x * x. */
int tt_graph_n_uses(const tt_graph *graph, int value);
/* Replaces every use of `from` (node inputs, post operands, outputs) by `to`. */
void tt_graph_replace(tt_graph *graph, int from, int to);
/* Marks nodes nobody reads as dead, and drops dead nodes from the list;
 * re-numbers producers.  Without memory it only drops what is dead already. */
void tt_graph_sweep(tt_graph *graph);
/* Brings nodes that passes appended into topological order, moving as few as it
 * can, and re-numbers producers.  TT_BAD_MODEL when they form a cycle. */
tt_status tt_graph_sort(tt_graph *graph, tt_error *err);
/* Is value one of the graph's outputs? */
bool tt_graph_is_output(const tt_graph *graph, int value);

#endif
