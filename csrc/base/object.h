/* What is no number: texts, and lists of tensors, shared by counting.
 *
 * An element of dtype string points to a tt_text, the one element of dtype sequence to
 * a tt_list; NULL is the empty one of each.  Kernels move such elements as any other 8
 * bytes.  A tensor that has an owner (an argument, a result, what passes from one plan
 * to the next) owns a reference per element; blocks inside of a plan borrow. */
#ifndef TT_BASE_OBJECT_H
#define TT_BASE_OBJECT_H

#include "base/limits.h"
#include "base/shape.h"

typedef struct tt_text tt_text;
typedef struct tt_list tt_list;

/* ---- texts ---------------------------------------------------------------- */

/* A copy of these bytes (UTF-8) with one reference; *out is NULL for no bytes. */
tt_status tt_text_new(const char *bytes, size_t n_bytes, tt_text **out, tt_error *err);
/* The bytes, zero-terminated; "" for NULL.  n_bytes may be NULL. */
const char *tt_text_bytes(const tt_text *text, size_t *n_bytes);
void tt_text_unref(tt_text *text); /* NULL is allowed; on any thread */

/* ---- lists ---------------------------------------------------------------- */

/* A list never changes, but appending to the longest of several that share their items
 * takes no copy.  Lists belong to one run, so to one thread at a time. */
int64_t tt_list_n(const tt_list *list); /* 0 for NULL */
/* Item i, row-major; it lives as long as the list. */
const tt_tensor *tt_list_at(const tt_list *list, int64_t i);
/* A new list with `item` before position `at` of 0..n.  Takes the item's block in any
 * case.  TT_LIMIT beyond max_sequence_items or max_tensor_bytes (of all items). */
tt_status tt_list_insert(const tt_list *list, int64_t at, tt_tensor *item,
                         const tt_limits *limits, tt_list **out, tt_error *err);
/* The same at the end of *list, which it replaces; *list stays on failure. */
tt_status tt_list_append(tt_list **list, tt_tensor *item, const tt_limits *limits,
                         tt_error *err);
/* A new list without item `at`. */
tt_status tt_list_erase(const tt_list *list, int64_t at, tt_list **out, tt_error *err);
void tt_list_unref(tt_list *list); /* NULL is allowed */

/* ---- tensors that own ------------------------------------------------------ */

/* Are elements references? */
static inline bool tt_dtype_is_counted(tt_dtype dtype)
{
    return dtype == TT_STRING || dtype == TT_SEQUENCE;
}
/* Is it something else than numbers? */
static inline bool tt_dtype_is_object(tt_dtype dtype)
{
    return tt_dtype_is_counted(dtype) || dtype == TT_NOTHING;
}
/* A row-major tensor of this shape with a block of its own; elements that are
 * references are NULL, others undefined. */
tt_status tt_tensor_new(const tt_shape *shape, tt_tensor *out, tt_error *err);
/* A row-major tensor with a block of its own and the elements of one that is too. */
tt_status tt_tensor_clone(const tt_tensor *tensor, tt_tensor *out, tt_error *err);
/* One reference more for each element of a row-major tensor: its block owns them. */
void tt_tensor_own(const tt_tensor *tensor);
/* Gives back the elements and the block; data becomes NULL. */
void tt_tensor_free(tt_tensor *tensor);

/* The only element of a tensor of dtype sequence. */
static inline tt_list *tt_tensor_list(const tt_tensor *tensor)
{
    return *(tt_list *const *)tensor->data;
}

#endif
