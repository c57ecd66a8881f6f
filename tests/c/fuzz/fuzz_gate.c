/* libFuzzer: any bytes given to tt_onnx_gate end in one of three statuses.
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -std=c11 -D_GNU_SOURCE -Icsrc \
 *         tests/c/fuzz/fuzz_gate.c csrc/graph/onnx_gate.c csrc/base/status.c \
 *         -o fuzz_gate
 *     ./fuzz_gate -max_total_time=60 folder-of-onnx-files/ */
#include <stdlib.h>

#include "graph/onnx_gate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    tt_limits limits = tt_limits_default();
    tt_error err;
    tt_status status = tt_onnx_gate(data, n, &limits, &err);
    if (status != TT_OK && status != TT_BAD_MODEL && status != TT_LIMIT) abort();
    return 0;
}
