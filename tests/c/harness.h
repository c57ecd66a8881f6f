/* The test driver of the C core: TT_TEST(name) { ... } is all there is to write.
 *
 * A test registers itself before main, runs alone in its turn, and ends at its
 * first failed CHECK.  Messages name the file, the line and both values. */
#ifndef TT_TESTS_HARNESS_H
#define TT_TESTS_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct tt_test {
    const char *name, *file;
    void (*body)(void);
    struct tt_test *next;
} tt_test;

void tt_test_add(tt_test *test);

#define TT_TEST(test_name)                                             \
    static void test_name(void);                                       \
    __attribute__((constructor)) static void add_##test_name(void)     \
    {                                                                  \
        static tt_test test = {#test_name, __FILE__, test_name, NULL}; \
        tt_test_add(&test);                                            \
    }                                                                  \
    static void test_name(void)

/* Ends the running test.  Only from the thread that runs it. */
_Noreturn void tt_test_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Ends the running test without a verdict. */
_Noreturn void tt_test_skip(const char *reason);

#define CHECK(condition)                                                      \
    do {                                                                      \
        if (!(condition)) tt_test_fail(__FILE__, __LINE__, "%s", #condition); \
    } while (0)

#define CHECK_INT(value, expected)                                                \
    do {                                                                          \
        long long value_ = (long long)(value), expected_ = (long long)(expected); \
        if (value_ != expected_)                                                  \
            tt_test_fail(__FILE__, __LINE__, "%s is %lld, expected %lld", #value, \
                         value_, expected_);                                      \
    } while (0)

#define CHECK_TEXT(value, expected)                                                   \
    do {                                                                              \
        const char *value_ = (value), *expected_ = (expected);                        \
        if (strcmp(value_, expected_) != 0)                                           \
            tt_test_fail(__FILE__, __LINE__, "%s is \"%s\", expected \"%s\"", #value, \
                         value_, expected_);                                          \
    } while (0)

/* |value - expected| <= tolerance; NaN never passes. */
#define CHECK_NEAR(value, expected, tolerance)                                        \
    do {                                                                              \
        double value_ = (value), expected_ = (expected), tolerance_ = (tolerance);    \
        double error_ = value_ > expected_ ? value_ - expected_ : expected_ - value_; \
        if (!(error_ <= tolerance_))                                                  \
            tt_test_fail(__FILE__, __LINE__, "%s is %.9g, expected %.9g +- %.3g",     \
                         #value, value_, expected_, tolerance_);                      \
    } while (0)

/* expression, which takes `&err`, must be TT_OK. */
#define CHECK_OK(expression)                                            \
    do {                                                                \
        tt_status status_ = (expression);                               \
        if (status_ != TT_OK)                                           \
            tt_test_fail(__FILE__, __LINE__, "%s: %s: %s", #expression, \
                         tt_status_text(status_), tt_test_error.text);  \
    } while (0)

#define CHECK_STATUS(expression, expected)                                            \
    do {                                                                              \
        tt_status status_ = (expression);                                             \
        if (status_ != (expected))                                                    \
            tt_test_fail(__FILE__, __LINE__, "%s: %s (%s), expected %s", #expression, \
                         tt_status_text(status_), tt_test_error.text,                 \
                         tt_status_text(expected));                                   \
    } while (0)

/* Hand this to what is tested: CHECK_OK prints it. */
extern tt_error tt_test_error;
#define ERR (&tt_test_error)

/* Repeatable random numbers; every test starts from the same seed. */
uint32_t tt_random(void);
double tt_random_between(double low, double high);

double tt_seconds(void); /* monotonic clock */

#endif
