/* Runs the registered tests.
 *
 *     driver              all of them
 *     driver alloc fork   those whose name or file contains one of the words
 *     driver --list       names only
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "harness.h"

tt_error tt_test_error;

static tt_test *first;
static jmp_buf end_of_test;
static uint32_t random_state;
enum { FAILED = 1, SKIPPED = 2 };

/* Sorted by file and name: the order of constructors is the linker's. */
void tt_test_add(tt_test *test)
{
    tt_test **at = &first;
    while (*at != NULL) {
        int by_file = strcmp((*at)->file, test->file);
        if (by_file > 0 || (by_file == 0 && strcmp((*at)->name, test->name) > 0)) break;
        at = &(*at)->next;
    }
    test->next = *at;
    *at = test;
}

void tt_test_fail(const char *file, int line, const char *format, ...)
{
    va_list args;
    printf("    %s:%d: ", file, line);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    longjmp(end_of_test, FAILED);
}

void tt_test_skip(const char *reason)
{
    printf("    skipped: %s\n", reason);
    longjmp(end_of_test, SKIPPED);
}

uint32_t tt_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}

double tt_random_between(double low, double high)
{
    return low + (high - low) * (double)(tt_random() >> 8) / (double)(1u << 24);
}

double tt_seconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static bool is_wanted(const tt_test *test, char **words, int n_words)
{
    for (int i = 0; i < n_words; ++i)
        if (strstr(test->name, words[i]) != NULL ||
            strstr(test->file, words[i]) != NULL)
            return true;
    return n_words == 0;
}

static int run(const tt_test *test)
{
    int outcome;
    random_state = 2463534242u;
    memset(&tt_test_error, 0, sizeof tt_test_error);
    outcome = setjmp(end_of_test);
    if (outcome == 0) test->body();
    return outcome;
}

int main(int argc, char **argv)
{
    int n_run = 0, n_failed = 0, n_skipped = 0;
    bool only_list = argc == 2 && strcmp(argv[1], "--list") == 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (const tt_test *test = first; test != NULL; test = test->next) {
        int outcome;
        if (!only_list && !is_wanted(test, argv + 1, argc - 1)) continue;
        printf("%s\n", test->name);
        if (only_list) continue;
        outcome = run(test);
        ++n_run;
        if (outcome == FAILED) printf("    FAILED %s\n", test->name);
        n_failed += outcome == FAILED;
        n_skipped += outcome == SKIPPED;
    }
    if (only_list) return 0;
    printf("%d tests, %d failed, %d skipped\n", n_run, n_failed, n_skipped);
    return n_failed == 0 && n_run > 0 ? 0 : 1;
}
