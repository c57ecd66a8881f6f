/* Element types: one X-macro holds every fact about them.
 *
 * X(enum, onnx code, size in bits, name) -- the ONNX code is TensorProto.DataType; the
 * enum's value is that code too, so nothing is ever translated between the file, the
 * graph and the plan.  Codes from 48 on are our own: a sequence is one element, a
 * reference to a list of tensors (base/object.h); an optional that is empty is one
 * element of nothing, one that is not is its value.
 *
 * The size in bits is that of files.  In memory every element takes whole bytes: types
 * below a byte lie in the low bits of a byte each, as the arrays of ml_dtypes have
 * them.  Who reads such a byte ignores the bits above, who writes one clears them.  A
 * text's element in memory is a reference. */
#ifndef TT_BASE_DTYPE_H
#define TT_BASE_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TT_DTYPE_LIST(X)                      \
    X(TT_F32, 1, 32, "float32")               \
    X(TT_U8, 2, 8, "uint8")                   \
    X(TT_S8, 3, 8, "int8")                    \
    X(TT_U16, 4, 16, "uint16")                \
    X(TT_S16, 5, 16, "int16")                 \
    X(TT_S32, 6, 32, "int32")                 \
    X(TT_S64, 7, 64, "int64")                 \
    X(TT_STRING, 8, 64, "string")             \
    X(TT_BOOL, 9, 8, "bool")                  \
    X(TT_F16, 10, 16, "float16")              \
    X(TT_F64, 11, 64, "float64")              \
    X(TT_U32, 12, 32, "uint32")               \
    X(TT_U64, 13, 64, "uint64")               \
    X(TT_C64, 14, 64, "complex64")            \
    X(TT_C128, 15, 128, "complex128")         \
    X(TT_BF16, 16, 16, "bfloat16")            \
    X(TT_F8E4M3FN, 17, 8, "float8e4m3fn")     \
    X(TT_F8E4M3FNUZ, 18, 8, "float8e4m3fnuz") \
    X(TT_F8E5M2, 19, 8, "float8e5m2")         \
    X(TT_F8E5M2FNUZ, 20, 8, "float8e5m2fnuz") \
    X(TT_U4, 21, 4, "uint4")                  \
    X(TT_S4, 22, 4, "int4")                   \
    X(TT_F4E2M1, 23, 4, "float4e2m1")         \
    X(TT_F8E8M0, 24, 8, "float8e8m0")         \
    X(TT_U2, 25, 2, "uint2")                  \
    X(TT_S2, 26, 2, "int2")                   \
    X(TT_F6E2M3, 27, 6, "float6e2m3")         \
    X(TT_F6E3M2, 28, 6, "float6e3m2")         \
    X(TT_SEQUENCE, 48, 64, "sequence")        \
    X(TT_NOTHING, 49, 8, "nothing")

typedef enum {
    TT_DTYPE_NONE = 0,
#define TT_DTYPE_ENUM(code, onnx, bits, name) code = onnx,
    TT_DTYPE_LIST(TT_DTYPE_ENUM)
#undef TT_DTYPE_ENUM
} tt_dtype;

enum { TT_DTYPE_COUNT = 50 };

/* True for a code of the table above. */
bool tt_dtype_is_known(int64_t code);

/* Bytes of one element in memory (of its reference: base/object.h); 0 for unknown
 * codes. */
size_t tt_dtype_bytes(tt_dtype dtype);
/* Bits of one element in a file, where elements below a byte lie close together, the
 * first in the low bits; 0 for strings and unknown codes. */
unsigned tt_dtype_bits(tt_dtype dtype);

/* "float32" and so on; "unknown" for a code outside the table. */
const char *tt_dtype_name(tt_dtype dtype);

bool tt_dtype_is_float(tt_dtype dtype); /* f64 f32 f16 bf16 */
bool tt_dtype_is_signed_int(tt_dtype dtype);
bool tt_dtype_is_unsigned_int(tt_dtype dtype);
bool tt_dtype_is_int(tt_dtype dtype); /* signed or unsigned, not bool */
/* Floats of 8 bits and less, integers below a byte: stored, moved, cast, quantised;
 * none of the questions above says yes to them. */
bool tt_dtype_is_small(tt_dtype dtype);

#ifdef __cplusplus
}
#endif

#endif
