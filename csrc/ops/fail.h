/* Failing at a node: the text begins with its type and name. */
#ifndef TT_OPS_FAIL_H
#define TT_OPS_FAIL_H

#include "graph/graph.h"

/* tt_fail with "Conv 'name': " in front and the node as the place. */
tt_status tt_fail_at(const tt_node *node, tt_error *err, tt_status code,
                     const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
