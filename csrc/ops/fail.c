/* Failing at a node: see fail.h. */
#include "ops/fail.h"

#include <stdarg.h>
#include <stdio.h>

tt_status tt_fail_at(const tt_node *node, tt_error *err, tt_status code,
                     const char *format, ...)
{
    char text[768];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)tt_fail(err, code, "%s '%s': %s", node->op_type, node->name, text);
    tt_error_where(err, node->name);
    return code;
}
