/* Texts, lists of tensors, and tensors that own what they refer to: see object.h.
 *
 * No item of a list is a list, so nothing here calls itself. */
#include "base/object.h"

#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "base/checked.h"

/* ---- texts ---------------------------------------------------------------- */

struct tt_text {
    atomic_llong refs;
    size_t n_bytes;
    char bytes[]; /* n_bytes and a zero */
};

tt_status tt_text_new(const char *bytes, size_t n_bytes, tt_text **out, tt_error *err)
{
    size_t total;
    *out = NULL;
    if (n_bytes == 0) return TT_OK;
    if (!tt_add_size(sizeof(tt_text) + 1, n_bytes, &total) ||
        (*out = tt_alloc(total)) == NULL)
        return tt_fail(err, TT_NO_MEMORY, "a text of %zu bytes", n_bytes);
    atomic_init(&(*out)->refs, 1);
    (*out)->n_bytes = n_bytes;
    memcpy((*out)->bytes, bytes, n_bytes);
    (*out)->bytes[n_bytes] = '\0';
    return TT_OK;
}

const char *tt_text_bytes(const tt_text *text, size_t *n_bytes)
{
    if (n_bytes != NULL) *n_bytes = text == NULL ? 0 : text->n_bytes;
    return text == NULL ? "" : text->bytes;
}

static void ref_texts(const tt_tensor *tensor)
{
    tt_text *const *texts = tensor->data;
    int64_t n = tt_shape_numel(&tensor->shape);
    for (int64_t i = 0; i < n; ++i)
        if (texts[i] != NULL)
            atomic_fetch_add_explicit(&texts[i]->refs, 1, memory_order_relaxed);
}

void tt_text_unref(tt_text *text)
{
    if (text != NULL && atomic_fetch_sub(&text->refs, 1) == 1) tt_free(text);
}

static void unref_texts(const tt_tensor *tensor)
{
    tt_text *const *texts = tensor->data;
    int64_t n = tt_shape_numel(&tensor->shape);
    for (int64_t i = 0; i < n; ++i)
        tt_text_unref(texts[i]);
}

/* ---- lists ---------------------------------------------------------------- */

typedef struct {
    int64_t refs;
    tt_tensor tensor; /* owned; no list */
} list_item;

/* Items that lists share; each of them sees the first few. */
typedef struct {
    int64_t refs;
    size_t n, capacity;
    list_item **items; /* a reference to each of n */
} list_store;

struct tt_list {
    int64_t refs;
    int64_t n, n_bytes;
    list_store *store;
};

static void item_unref(list_item *item)
{
    if (--item->refs > 0) return;
    if (item->tensor.data != NULL && item->tensor.shape.dtype == TT_STRING)
        unref_texts(&item->tensor);
    tt_free(item->tensor.data);
    tt_free(item);
}

static void store_unref(list_store *store)
{
    if (store == NULL || --store->refs > 0) return;
    for (size_t i = 0; i < store->n; ++i)
        item_unref(store->items[i]);
    tt_free(store->items);
    tt_free(store);
}

void tt_list_unref(tt_list *list)
{
    if (list == NULL || --list->refs > 0) return;
    store_unref(list->store);
    tt_free(list);
}

int64_t tt_list_n(const tt_list *list)
{
    return list == NULL ? 0 : list->n;
}

const tt_tensor *tt_list_at(const tt_list *list, int64_t i)
{
    return &list->store->items[i]->tensor;
}

static int64_t bytes_of(const tt_list *list)
{
    return list == NULL ? 0 : list->n_bytes;
}

/* Takes a reference to the item over in any case. */
static bool store_push(list_store *store, list_item *item)
{
    if (!tt_grow((void **)&store->items, &store->capacity, store->n + 1,
                 sizeof *store->items)) {
        item_unref(item);
        return false;
    }
    store->items[store->n++] = item;
    return true;
}

/* Adds items [first, end) of the list. */
static bool store_push_range(list_store *store, const tt_list *list, int64_t first,
                             int64_t end)
{
    for (int64_t i = first; i < end; ++i) {
        list_item *item = list->store->items[i];
        ++item->refs;
        if (!store_push(store, item)) return false;
    }
    return true;
}

/* A list of all items of the store; takes the reference over in any case. */
static tt_status list_over(list_store *store, int64_t n_bytes, tt_list **out,
                           tt_error *err)
{
    tt_list *list = tt_alloc(sizeof *list);
    *out = list;
    if (list == NULL) {
        store_unref(store);
        return tt_fail(err, TT_NO_MEMORY, "%s", "a list");
    }
    *list = (tt_list){1, (int64_t)store->n, n_bytes, store};
    return TT_OK;
}

static tt_status new_store(list_store **out, tt_error *err)
{
    *out = tt_calloc(1, sizeof **out);
    if (*out == NULL) return tt_fail(err, TT_NO_MEMORY, "%s", "a list");
    (*out)->refs = 1;
    return TT_OK;
}

static tt_status check_item(const tt_list *list, const tt_tensor *item,
                            const tt_limits *limits, int64_t *n_bytes, tt_error *err)
{
    if (tt_dtype_is_object(item->shape.dtype) && item->shape.dtype != TT_STRING)
        return tt_fail(err, TT_BAD_INPUT_TYPE,
                       "a sequence holds tensors, this is to be a %s in one",
                       tt_dtype_name(item->shape.dtype));
    if (tt_list_n(list) >= limits->max_sequence_items)
        return tt_fail(err, TT_LIMIT,
                       "a sequence of more than max_sequence_items = %lld tensors",
                       (long long)limits->max_sequence_items);
    if (!tt_add_i64(bytes_of(list), (int64_t)tt_shape_bytes(&item->shape), n_bytes) ||
        *n_bytes > limits->max_tensor_bytes)
        return tt_fail(err, TT_LIMIT,
                       "the tensors of a sequence exceed max_tensor_bytes = %lld",
                       (long long)limits->max_tensor_bytes);
    return TT_OK;
}

tt_status tt_list_insert(const tt_list *list, int64_t at, tt_tensor *item,
                         const tt_limits *limits, tt_list **out, tt_error *err)
{
    int64_t n = tt_list_n(list), n_bytes = 0;
    list_item *made = NULL;
    list_store *store;
    tt_status status = check_item(list, item, limits, &n_bytes, err);
    if (status == TT_OK && (made = tt_alloc(sizeof *made)) == NULL)
        status = tt_fail(err, TT_NO_MEMORY, "%s", "an item of a list");
    if (status != TT_OK) {
        tt_tensor_free(item);
        return status;
    }
    *made = (list_item){1, *item};
    item->data = NULL;
    if (list != NULL && at == n && list->store->n == (size_t)n) {
        store = list->store; /* nobody has put anything behind our last */
        if (!store_push(store, made)) return tt_fail(err, TT_NO_MEMORY, "%s", "a list");
        ++store->refs;
        return list_over(store, n_bytes, out, err);
    }
    status = new_store(&store, err);
    if (status != TT_OK) {
        item_unref(made);
        return status;
    }
    if (!store_push_range(store, list, 0, at)) {
        item_unref(made);
        store_unref(store);
        return tt_fail(err, TT_NO_MEMORY, "%s", "a list");
    }
    if (!store_push(store, made) || !store_push_range(store, list, at, n)) {
        store_unref(store);
        return tt_fail(err, TT_NO_MEMORY, "%s", "a list");
    }
    return list_over(store, n_bytes, out, err);
}

tt_status tt_list_append(tt_list **list, tt_tensor *item, const tt_limits *limits,
                         tt_error *err)
{
    tt_list *longer;
    TT_TRY(tt_list_insert(*list, tt_list_n(*list), item, limits, &longer, err));
    tt_list_unref(*list);
    *list = longer;
    return TT_OK;
}

tt_status tt_list_erase(const tt_list *list, int64_t at, tt_list **out, tt_error *err)
{
    int64_t bytes = (int64_t)tt_shape_bytes(&tt_list_at(list, at)->shape);
    list_store *store;
    TT_TRY(new_store(&store, err));
    if (!store_push_range(store, list, 0, at) ||
        !store_push_range(store, list, at + 1, list->n)) {
        store_unref(store);
        return tt_fail(err, TT_NO_MEMORY, "%s", "a list");
    }
    return list_over(store, list->n_bytes - bytes, out, err);
}

/* ---- tensors that own ------------------------------------------------------ */

tt_status tt_tensor_new(const tt_shape *shape, tt_tensor *out, tt_error *err)
{
    size_t bytes = tt_shape_bytes(shape);
    out->shape = *shape;
    tt_strides_row_major(shape->dims, shape->rank, out->strides);
    out->data = tt_alloc(bytes + 1);
    if (out->data == NULL) return tt_fail(err, TT_NO_MEMORY, "%zu bytes", bytes);
    if (tt_dtype_is_object(shape->dtype)) memset(out->data, 0, bytes);
    return TT_OK;
}

tt_status tt_tensor_clone(const tt_tensor *tensor, tt_tensor *out, tt_error *err)
{
    size_t bytes = tt_shape_bytes(&tensor->shape);
    TT_TRY(tt_tensor_new(&tensor->shape, out, err));
    if (bytes > 0) memcpy(out->data, tensor->data, bytes);
    tt_tensor_own(out);
    return TT_OK;
}

void tt_tensor_own(const tt_tensor *tensor)
{
    int64_t n = tt_shape_numel(&tensor->shape);
    tt_list *const *lists = tensor->data;
    if (tensor->shape.dtype == TT_STRING) ref_texts(tensor);
    for (int64_t i = 0; tensor->shape.dtype == TT_SEQUENCE && i < n; ++i)
        if (lists[i] != NULL) ++lists[i]->refs;
}

void tt_tensor_free(tt_tensor *tensor)
{
    int64_t n;
    tt_list *const *lists = tensor->data;
    if (tensor->data == NULL) return;
    if (tensor->shape.dtype == TT_STRING) unref_texts(tensor);
    n = tensor->shape.dtype == TT_SEQUENCE ? tt_shape_numel(&tensor->shape) : 0;
    for (int64_t i = 0; i < n; ++i)
        tt_list_unref(lists[i]);
    tt_free(tensor->data);
    tensor->data = NULL;
}
