/* Status texts and the one place where error messages are formatted. */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *tt_status_text(tt_status code)
{
    static const char *const texts[] = {
#define TT_STATUS_TEXT(code_, text_) text_,
        TT_STATUS_LIST(TT_STATUS_TEXT)
#undef TT_STATUS_TEXT
    };
    if ((int)code < 0 || code >= TT_STATUS_COUNT) return "unknown status";
    return texts[code];
}

tt_status tt_fail(tt_error *err, tt_status code, const char *format, ...)
{
    va_list args;
    if (err == NULL) return code;
    err->code = code;
    err->where[0] = '\0';
    va_start(args, format);
    (void)vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    return code;
}

void tt_error_where(tt_error *err, const char *name)
{
    if (err == NULL || name == NULL || err->where[0] != '\0') return;
    (void)snprintf(err->where, sizeof err->where, "%s", name);
}
