/* The operator table: every record of op_list.h, and the search in it. */
#include "ops/op.h"

#include <string.h>

#define OP(record) extern const tt_op tt_op_##record;
#include "ops/op_list.h"
#undef OP

static const tt_op *const table[] = {
#define OP(record) &tt_op_##record,
#include "ops/op_list.h"
#undef OP
    NULL /* ends the table */
};

static const char *plain_domain(const char *domain)
{
    return strcmp(domain, "ai.onnx") == 0 ? "" : domain;
}

const tt_op *tt_op_find(const char *domain, const char *name, int version)
{
    const tt_op *best = NULL;
    const char *wanted = plain_domain(domain);
    for (const tt_op *const *at = table; *at != NULL; ++at) {
        const tt_op *op = *at;
        if (strcmp(op->name, name) != 0 || strcmp(op->domain, wanted) != 0) continue;
        if (version < op->since || (op->until != 0 && version > op->until)) continue;
        if (best == NULL || op->since > best->since) best = op;
    }
    return best;
}

const tt_op *tt_op_at(int i)
{
    int n = (int)(sizeof table / sizeof table[0]) - 1;
    return i >= 0 && i < n ? table[i] : NULL;
}
