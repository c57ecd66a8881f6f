/* Facts about element types, read from the one X-macro in dtype.h. */
#include "base/dtype.h"

typedef struct {
    unsigned bits;
    const char *name;
} dtype_facts;

static const dtype_facts facts[TT_DTYPE_COUNT] = {
#define TT_DTYPE_FACTS(code, onnx, bits_, name_) [onnx] = {bits_, name_},
    TT_DTYPE_LIST(TT_DTYPE_FACTS)
#undef TT_DTYPE_FACTS
};

bool tt_dtype_is_known(int64_t code)
{
    return code > 0 && code < TT_DTYPE_COUNT && facts[code].name != NULL;
}

unsigned tt_dtype_bits(tt_dtype dtype)
{
    return tt_dtype_is_known(dtype) ? facts[dtype].bits : 0;
}

size_t tt_dtype_bytes(tt_dtype dtype)
{
    return (tt_dtype_bits(dtype) + 7u) / 8u;
}

const char *tt_dtype_name(tt_dtype dtype)
{
    return tt_dtype_is_known(dtype) ? facts[dtype].name : "unknown";
}

bool tt_dtype_is_float(tt_dtype dtype)
{
    return dtype == TT_F32 || dtype == TT_F64 || dtype == TT_F16 || dtype == TT_BF16;
}

bool tt_dtype_is_signed_int(tt_dtype dtype)
{
    return dtype == TT_S8 || dtype == TT_S16 || dtype == TT_S32 || dtype == TT_S64;
}

bool tt_dtype_is_unsigned_int(tt_dtype dtype)
{
    return dtype == TT_U8 || dtype == TT_U16 || dtype == TT_U32 || dtype == TT_U64;
}

bool tt_dtype_is_int(tt_dtype dtype)
{
    return tt_dtype_is_signed_int(dtype) || tt_dtype_is_unsigned_int(dtype);
}

bool tt_dtype_is_small(tt_dtype dtype)
{
    return dtype >= TT_F8E4M3FN && dtype <= TT_F6E3M2;
}
