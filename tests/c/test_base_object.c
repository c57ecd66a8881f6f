/* Texts, lists that share their items, tensors that own what they refer to. */
#include <string.h>

#include "base/alloc.h"
#include "base/object.h"
#include "harness.h"

static tt_tensor number(int64_t value)
{
    tt_tensor tensor;
    tt_shape shape = {.dtype = TT_S64};
    CHECK_INT(tt_tensor_new(&shape, &tensor, NULL), TT_OK);
    *(int64_t *)tensor.data = value;
    return tensor;
}

static int64_t at(const tt_list *list, int64_t i)
{
    return *(const int64_t *)tt_list_at(list, i)->data;
}

static tt_list *list_of(int n)
{
    tt_limits limits = tt_limits_default();
    tt_list *list = NULL;
    for (int i = 0; i < n; ++i) {
        tt_tensor item = number(i);
        CHECK_INT(tt_list_append(&list, &item, &limits, NULL), TT_OK);
        CHECK(item.data == NULL);
    }
    return list;
}

TT_TEST(lists_that_share_items_do_not_see_each_others_edits)
{
    tt_limits limits = tt_limits_default();
    tt_list *list = list_of(5), *longer, *other, *between, *shorter;
    tt_tensor a = number(10), b = number(20), c = number(30);
    CHECK_INT(tt_list_insert(list, 5, &a, &limits, &longer, NULL), TT_OK);
    CHECK_INT(tt_list_insert(list, 5, &b, &limits, &other, NULL), TT_OK);
    CHECK_INT(tt_list_insert(longer, 2, &c, &limits, &between, NULL), TT_OK);
    CHECK_INT(tt_list_erase(longer, 0, &shorter, NULL), TT_OK);
    tt_list_unref(list);
    CHECK(at(longer, 5) == 10 && at(other, 5) == 20 && at(between, 2) == 30);
    tt_list_unref(longer);
    CHECK(tt_list_n(between) == 7 && at(between, 6) == 10 && at(between, 3) == 2);
    CHECK(tt_list_n(shorter) == 5 && at(shorter, 0) == 1 && at(shorter, 4) == 10);
    tt_list_unref(other);
    tt_list_unref(between);
    tt_list_unref(shorter);
}

TT_TEST(an_empty_list_is_null)
{
    tt_list *one = list_of(1), *none;
    CHECK_INT(tt_list_erase(one, 0, &none, NULL), TT_OK);
    CHECK_INT(tt_list_n(none), 0);
    CHECK_INT(tt_list_n(NULL), 0);
    tt_list_unref(one);
    tt_list_unref(none);
    tt_list_unref(NULL);
}

TT_TEST(lists_end_at_their_limits)
{
    tt_limits limits = tt_limits_default();
    tt_list *list = list_of(3), *before = list;
    tt_tensor item = number(3);
    tt_error err = {0};
    limits.max_sequence_items = 3;
    CHECK_INT(tt_list_append(&list, &item, &limits, &err), TT_LIMIT);
    CHECK(item.data == NULL && list == before);
    limits.max_sequence_items = 100;
    limits.max_tensor_bytes = 31;
    item = number(3);
    CHECK_INT(tt_list_append(&list, &item, &limits, &err), TT_LIMIT);
    limits.max_tensor_bytes = 32;
    item = number(3);
    CHECK_INT(tt_list_append(&list, &item, &limits, &err), TT_OK);
    tt_list_unref(list);
}

TT_TEST(no_list_goes_into_a_list)
{
    tt_limits limits = tt_limits_default();
    tt_shape shape = {.dtype = TT_SEQUENCE};
    tt_list *outer = NULL;
    tt_tensor inner;
    CHECK_INT(tt_tensor_new(&shape, &inner, NULL), TT_OK);
    *(tt_list **)inner.data = list_of(2);
    CHECK_INT(tt_list_append(&outer, &inner, &limits, NULL), TT_BAD_INPUT_TYPE);
    CHECK(outer == NULL && inner.data == NULL);
}

TT_TEST(tensors_of_texts_own_them)
{
    tt_shape shape = {.dtype = TT_STRING, .rank = 1, .dims = {3}};
    tt_tensor first, second;
    tt_text **texts;
    size_t n;
    CHECK_INT(tt_tensor_new(&shape, &first, NULL), TT_OK);
    texts = first.data;
    CHECK(texts[0] == NULL && texts[2] == NULL);
    CHECK_INT(tt_text_new("a\0b", 3, &texts[0], NULL), TT_OK);
    CHECK_INT(tt_text_new("", 0, &texts[1], NULL), TT_OK);
    CHECK(texts[1] == NULL);
    CHECK_INT(tt_tensor_clone(&first, &second, NULL), TT_OK);
    tt_tensor_free(&first);
    CHECK(first.data == NULL);
    texts = second.data;
    CHECK(memcmp(tt_text_bytes(texts[0], &n), "a\0b", 4) == 0 && n == 3);
    CHECK_TEXT(tt_text_bytes(texts[1], &n), "");
    CHECK_INT(n, 0);
    tt_tensor_free(&second);
    tt_tensor_free(&second);
}

TT_TEST(lists_survive_a_failure_of_every_allocation)
{
    tt_limits limits = tt_limits_default();
    for (int k = 1; k < 40; ++k) {
        tt_list *list = list_of(4), *other = NULL, *shorter = NULL;
        tt_tensor item = number(9), more = number(8);
        (void)tt_alloc_fail_at(k, false);
        (void)tt_list_insert(list, 2, &item, &limits, &other, NULL);
        (void)tt_list_append(&list, &more, &limits, NULL);
        if (tt_list_erase(list, 1, &shorter, NULL) != TT_OK) shorter = NULL;
        (void)tt_alloc_fail_at(0, false);
        CHECK(item.data == NULL && more.data == NULL);
        CHECK(tt_list_n(list) >= 4 && at(list, 3) == 3);
        tt_list_unref(list);
        tt_list_unref(other);
        tt_list_unref(shorter);
    }
}
