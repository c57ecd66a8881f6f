/* base/: status, checked, dtype, shape. */
#include <string.h>

#include "base/checked.h"
#include "base/dtype.h"
#include "base/limits.h"
#include "base/shape.h"
#include "harness.h"

TT_TEST(status_texts_are_there_for_every_code)
{
    for (int code = 0; code < TT_STATUS_COUNT; ++code)
        CHECK(strlen(tt_status_text((tt_status)code)) > 1);
    CHECK_TEXT(tt_status_text((tt_status)99), "unknown status");
    CHECK_TEXT(tt_status_text((tt_status)-1), "unknown status");
}

TT_TEST(fail_formats_and_accepts_no_error)
{
    tt_error err;
    CHECK_INT(tt_fail(&err, TT_LIMIT, "%d of %s", 7, "x"), TT_LIMIT);
    CHECK_TEXT(err.text, "7 of x");
    CHECK_INT(err.code, TT_LIMIT);
    CHECK_TEXT(err.where, "");
    CHECK_INT(tt_fail(NULL, TT_LIMIT, "%d", 7), TT_LIMIT);
}

TT_TEST(fail_cuts_a_text_that_is_too_long)
{
    tt_error err;
    char longer[3000];
    memset(longer, 'a', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    (void)tt_fail(&err, TT_INTERNAL, "%s", longer);
    CHECK_INT(strlen(err.text), sizeof err.text - 1);
    tt_error_where(&err, longer);
    CHECK_INT(strlen(err.where), sizeof err.where - 1);
}

TT_TEST(error_keeps_the_first_name)
{
    tt_error err;
    (void)tt_fail(&err, TT_INTERNAL, "text");
    tt_error_where(&err, "inner");
    tt_error_where(&err, "outer");
    CHECK_TEXT(err.where, "inner");
    tt_error_where(NULL, "nobody");
}

TT_TEST(checked_arithmetic_reports_overflow_and_leaves_the_result)
{
    size_t s = 5;
    int64_t i = 5;
    CHECK(!tt_mul_size(SIZE_MAX, 2, &s) && s == 5);
    CHECK(!tt_add_size(SIZE_MAX, 1, &s) && s == 5);
    CHECK(!tt_mul_i64(INT64_MAX, 2, &i) && i == 5);
    CHECK(!tt_mul_i64(INT64_MIN, -1, &i) && i == 5);
    CHECK(!tt_add_i64(INT64_MAX, 1, &i) && i == 5);
    CHECK(!tt_round_up(SIZE_MAX - 3, 64, &s) && s == 5);
    CHECK(tt_mul_size(6, 7, &s) && s == 42);
    CHECK(tt_add_i64(-6, 7, &i) && i == 1);
    CHECK(tt_round_up(65, 64, &s) && s == 128);
    CHECK(tt_round_up(64, 64, &s) && s == 64);
    CHECK(tt_round_up(0, 64, &s) && s == 0);
}

TT_TEST(numel_of_dims)
{
    int64_t n = -1;
    CHECK(tt_numel(NULL, 0, &n) && n == 1);
    CHECK(tt_numel((int64_t[]){2, 3, 4}, 3, &n) && n == 24);
    CHECK(tt_numel((int64_t[]){2, 0, 4}, 3, &n) && n == 0);
    CHECK(!tt_numel((int64_t[]){2, -1}, 2, &n));
    CHECK(!tt_numel((int64_t[]){INT64_MAX, 2}, 2, &n));
    /* a zero does not excuse an overflow of the others */
    CHECK(!tt_numel((int64_t[]){INT64_MAX, 0, 2}, 3, &n));
}

TT_TEST(dtype_facts_follow_from_the_name)
{
    int n_known = 0;
    for (int code = -1; code <= TT_DTYPE_COUNT; ++code) {
        tt_dtype dtype = (tt_dtype)code;
        const char *name = tt_dtype_name(dtype);
        int is_bits_64 = strstr(name, "64") != NULL, is_8 = strcmp(name, "int8") == 0;
        if (!tt_dtype_is_known(code)) {
            CHECK_TEXT(name, "unknown");
            CHECK_INT(tt_dtype_bytes(dtype), 0);
            continue;
        }
        ++n_known;
        CHECK(tt_dtype_is_float(dtype) + tt_dtype_is_int(dtype) <= 1);
        CHECK_INT(tt_dtype_is_int(dtype),
                  tt_dtype_is_signed_int(dtype) + tt_dtype_is_unsigned_int(dtype));
        if (is_8) CHECK_INT(tt_dtype_bytes(dtype), 1);
        if (is_bits_64 && tt_dtype_is_int(dtype)) CHECK_INT(tt_dtype_bytes(dtype), 8);
    }
#define COUNT_ONE(code, onnx, bits, name) +1
    CHECK_INT(n_known, 0 TT_DTYPE_LIST(COUNT_ONE)); /* there are gaps */
#undef COUNT_ONE
    CHECK_INT(tt_dtype_bytes(TT_BF16), 2);
    CHECK_INT(tt_dtype_bytes(TT_STRING), 8); /* a reference */
    CHECK_INT(tt_dtype_bytes(TT_S4), 1);     /* in memory */
    CHECK_INT(tt_dtype_bits(TT_S4), 4);
}

TT_TEST(strides_of_both_layouts)
{
    int64_t s[4];
    tt_strides_row_major((int64_t[]){2, 3, 4, 5}, 4, s);
    CHECK(s[0] == 60 && s[1] == 20 && s[2] == 5 && s[3] == 1);
    tt_strides_channels_last((int64_t[]){2, 3, 4, 5}, 4, s);
    CHECK(s[0] == 60 && s[1] == 1 && s[2] == 15 && s[3] == 3);
    tt_strides_row_major((int64_t[]){2, 0, 4}, 3, s);
    CHECK(s[0] == 4 && s[1] == 4 && s[2] == 1);
}

TT_TEST(layouts_are_recognised)
{
    tt_shape shape = {
        TT_F32, 4, {2, 3, 1, 5}
    };
    int64_t row[4], last[4], reversed[4] = {1, 2, 6, 6};
    tt_strides_row_major(shape.dims, 4, row);
    tt_strides_channels_last(shape.dims, 4, last);
    CHECK(tt_is_row_major(&shape, row) && !tt_is_channels_last(&shape, row));
    CHECK(tt_is_channels_last(&shape, last) && !tt_is_row_major(&shape, last));
    row[2] = 999; /* the stride of a dim of one does not matter */
    CHECK(tt_is_row_major(&shape, row));
    CHECK(tt_is_dense(&shape, row) && tt_is_dense(&shape, last));
    CHECK(tt_is_dense(&shape, reversed));
    row[0] = 16;
    CHECK(!tt_is_dense(&shape, row));
    row[0] = 0;
    CHECK(!tt_is_dense(&shape, row));
    shape.dims[3] = 0;
    CHECK(tt_is_dense(&shape, row) && tt_is_row_major(&shape, row));
}

TT_TEST(span_counts_from_first_to_last)
{
    tt_shape shape = {
        TT_F32, 2, {3, 4}
    };
    CHECK_INT(tt_span(&shape, (int64_t[]){4, 1}), 12);
    CHECK_INT(tt_span(&shape, (int64_t[]){10, 2}), 27);
    CHECK_INT(tt_span(&shape, (int64_t[]){0, 0}), 1);
    shape.dims[0] = 0;
    CHECK_INT(tt_span(&shape, (int64_t[]){4, 1}), 0);
    shape.rank = 0;
    CHECK_INT(tt_span(&shape, NULL), 1);
}

TT_TEST(broadcasting_follows_numpy)
{
    tt_shape a =
                 {
                     TT_F32, 3, {5, 1, 4}
    },
             b = {TT_F32, 2, {3, 1}}, out = {0};
    out.dtype = TT_BOOL;
    CHECK_OK(tt_shape_broadcast(&a, &b, &out, ERR));
    CHECK(out.rank == 3 && out.dims[0] == 5 && out.dims[1] == 3 && out.dims[2] == 4);
    CHECK_INT(out.dtype, TT_BOOL);
    b.dims[0] = 0; /* zero against one is zero */
    CHECK_OK(tt_shape_broadcast(&a, &b, &out, ERR));
    CHECK_INT(out.dims[1], 0);
    b = (tt_shape){
        TT_F32, 2, {3, 2}
    };
    CHECK_STATUS(tt_shape_broadcast(&a, &b, &out, ERR), TT_BAD_MODEL);
    CHECK(strstr(tt_test_error.text, "[5,1,4]") && strstr(tt_test_error.text, "[3,2]"));
    a = (tt_shape){
        TT_F32, 2, {INT64_MAX, 1}
    };
    b = (tt_shape){
        TT_F32, 2, {1, 3}
    };
    CHECK_STATUS(tt_shape_broadcast(&a, &b, &out, ERR), TT_LIMIT);
}

TT_TEST(shape_text_is_always_terminated)
{
    tt_shape shape = {
        TT_F32, 3, {1234567, 89, 5}
    };
    char text[64];
    CHECK_TEXT(tt_shape_text(&shape, text, sizeof text), "[1234567,89,5]");
    for (size_t bytes = 1; bytes < 16; ++bytes) {
        memset(text, 'x', sizeof text);
        CHECK(strlen(tt_shape_text(&shape, text, bytes)) < bytes);
        CHECK(text[bytes] == 'x');
    }
    shape.rank = 0;
    CHECK_TEXT(tt_shape_text(&shape, text, sizeof text), "[]");
}

TT_TEST(default_limits_are_positive)
{
    tt_limits limits = tt_limits_default();
#define CHECK_LIMIT(field, value, text) CHECK(limits.field > 0 && strlen(text) > 3);
    TT_LIMITS_LIST(CHECK_LIMIT)
#undef CHECK_LIMIT
}
