/* graph/onnx_gate.c: what protobuf may be given. */
#include <string.h>

#include "base/alloc.h"
#include "graph/onnx_gate.h"
#include "harness.h"

static tt_status gate(const void *bytes, size_t n)
{
    tt_limits limits = tt_limits_default();
    return tt_onnx_gate(bytes, n, &limits, ERR);
}

TT_TEST(gate_passes_a_model_and_an_empty_file)
{
    /* ir_version 8; graph { node { output "y" } name "g" }; opset { version 18 } */
    static const char model[] =
        "\x08\x08\x3a\x08\x0a\x03\x12\x01y\x12\x01g\x42\x02\x10\x12";
    CHECK_OK(gate(model, sizeof model - 1));
    CHECK_OK(gate("", 0));
}

TT_TEST(gate_refuses_what_is_no_protobuf)
{
    static const struct {
        const char *bytes;
        size_t n;
    } bad[] = {
        {"\x08",                                             1 }, /* no number */
        {"\x08\x80",                                         2 }, /* cut off */
        {"\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 12}, /* 11 bytes */
        {"\x00\x01",                                         2 }, /* field 0 */
        {"\x3a\x05\x0a",                                     3 }, /* length past the end */
        {"\x3a\x02\x0a\x05",                                 4 }, /* ... of its message */
        {"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",     11},
        {"\x0b\x0c",                                         2 }, /* a group */
        {"\x0e",                                             1 }, /* wire type 6 */
        {"\x09\x01",                                         2 }, /* 8 bytes expected */
        {"\x0d\x01",                                         2 }, /* 4 bytes expected */
        {"\x88\x80\x80\x80\x80\x01\x01",                     7 }, /* tag over 32 bits */
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; ++i)
        CHECK_STATUS(gate(bad[i].bytes, bad[i].n), TT_BAD_MODEL);
}

TT_TEST(gate_counts_nodes_values_and_bytes)
{
    /* graph with two nodes of one output each */
    static const char model[] = "\x3a\x0a\x0a\x03\x12\x01y\x0a\x03\x12\x01z";
    tt_limits limits = tt_limits_default();
    limits.max_nodes = 1;
    CHECK_STATUS(tt_onnx_gate(model, 12, &limits, ERR), TT_LIMIT);
    limits = tt_limits_default();
    limits.max_values = 1;
    CHECK_STATUS(tt_onnx_gate(model, 12, &limits, ERR), TT_LIMIT);
    limits = tt_limits_default();
    limits.max_model_bytes = 11;
    CHECK_STATUS(tt_onnx_gate(model, 12, &limits, ERR), TT_LIMIT);
    limits.max_model_bytes = 12; /* messages take more than that */
    CHECK_STATUS(tt_onnx_gate(model, 12, &limits, ERR), TT_LIMIT);
    limits.max_model_bytes = 4096;
    CHECK_OK(tt_onnx_gate(model, 12, &limits, ERR));
}

/* A field `tag` that holds what is in text[0..n), written before it; new length. */
static size_t wrap(uint8_t *end, size_t n, uint8_t tag)
{
    size_t length = n, head = 1;
    uint8_t bytes[8];
    bytes[0] = tag;
    do {
        bytes[head++] = (uint8_t)((length & 127) | (length > 127 ? 128 : 0));
        length >>= 7;
    } while (length > 0);
    memcpy(end - n - head, bytes, head);
    return n + head;
}

TT_TEST(gate_bounds_the_nesting_of_bodies)
{
    uint8_t text[1024];
    for (int depth = 30; depth < 36; ++depth) {
        size_t n = 0;
        for (int i = 0; i < depth; ++i) { /* graph < attribute < node < graph */
            n = wrap(text + sizeof text, n, 0x32);
            n = wrap(text + sizeof text, n, 0x2a);
            n = wrap(text + sizeof text, n, 0x0a);
        }
        n = wrap(text + sizeof text, n, 0x3a);
        CHECK_STATUS(gate(text + sizeof text - n, n), depth <= 32 ? TT_OK : TT_LIMIT);
    }
}

/* n times the same two bytes inside a graph. */
static tt_status gate_repeated(uint8_t tag, uint8_t value, size_t n)
{
    uint8_t *text = tt_alloc(2 * n + 16);
    tt_status status;
    size_t total;
    CHECK(text != NULL);
    for (size_t i = 0; i < n; ++i) {
        text[16 + 2 * i] = tag;
        text[17 + 2 * i] = value;
    }
    total = wrap(text + 16 + 2 * n, 2 * n, 0x3a);
    status = gate(text + 16 + 2 * n - total, total);
    tt_free(text);
    return status;
}

TT_TEST(gate_stops_files_that_protobuf_would_blow_up)
{
    CHECK_STATUS(gate_repeated(0x0a, 0, 1000000), TT_LIMIT);   /* empty nodes */
    CHECK_STATUS(gate_repeated(0x2a, 0, 1000000), TT_LIMIT);   /* empty initializers */
    CHECK_STATUS(gate_repeated(0x5a, 0, 1000000), TT_LIMIT);   /* empty inputs */
    CHECK_STATUS(gate_repeated(0xc2, 0x3e, 500000), TT_LIMIT); /* unknown fields */
    CHECK_OK(gate_repeated(0x0a, 0, 100000));
}
