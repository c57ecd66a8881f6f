/* A table of one operator for the fuzz targets: the reader only looks operators up,
 * and this keeps everything else of the engine out of their build. */
#include <string.h>

#include "ops/op.h"

static const tt_op relu = {.name = "Relu", .domain = "", .since = 1};

const tt_op *tt_op_find(const char *domain, const char *name, int version)
{
    if (version < relu.since || domain[0] != '\0') return NULL;
    return strcmp(name, relu.name) == 0 ? &relu : NULL;
}
