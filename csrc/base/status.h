/* Status codes and the error a caller hands in.
 *
 * Every fallible function returns a tt_status and takes `tt_error *err` last;
 * err may be NULL.  Whoever returns another status than TT_OK has filled err
 * (if there is one).  The text says what was expected, what came, and where. */
#ifndef TT_BASE_STATUS_H
#define TT_BASE_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#define TT_STATUS_LIST(X)                                                \
    X(TT_OK, "ok")                                                       \
    X(TT_BAD_MODEL, "malformed model")                                   \
    X(TT_FILE_CHANGED, "the file of a model has changed")                \
    X(TT_LIMIT, "limit exceeded")                                        \
    X(TT_UNSUPPORTED, "unsupported operator")                            \
    X(TT_BAD_INPUT, "bad input")                                         \
    X(TT_BAD_INPUT_TYPE, "bad input type")                               \
    X(TT_NO_MEMORY, "out of memory")                                     \
    X(TT_NEEDS_VALUE, "output shape depends on the value of an input")   \
    X(TT_NEEDS_RUN, "output shape is known only after the node has run") \
    X(TT_NO_DEVICE, "device is not available")                           \
    X(TT_INTERRUPTED, "interrupted")                                     \
    X(TT_CALLBACK, "the caller's callback failed")                       \
    X(TT_INTERNAL, "internal error")

#define TT_STATUS_ENUM(code, text) code,
typedef enum { TT_STATUS_LIST(TT_STATUS_ENUM) TT_STATUS_COUNT } tt_status;
#undef TT_STATUS_ENUM

/* Filled by tt_fail.  Plain data: the caller owns it, nothing to free. */
typedef struct {
    tt_status code;
    char text[1024];
    char where[256]; /* name of the node or tensor, may be empty */
} tt_error;

/* "malformed model" for TT_BAD_MODEL and so on; never NULL. */
const char *tt_status_text(tt_status code);

/* Fills *err (if not NULL) with a formatted text and returns `code`. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
tt_status
tt_fail(tt_error *err, tt_status code, const char *format, ...);

/* Names the node or tensor that a failure belongs to, unless one is named. */
void tt_error_where(tt_error *err, const char *name);

/* Returns from the calling function when `expression` is not TT_OK. */
#define TT_TRY(expression)                                  \
    do {                                                    \
        tt_status tt_try_status_ = (expression);            \
        if (tt_try_status_ != TT_OK) return tt_try_status_; \
    } while (0)

#ifdef __cplusplus
}
#endif

#endif
