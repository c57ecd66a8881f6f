/* Counters in memory and in files: slots, forks, killed processes, foreign files, looks
 * and their budget. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "harness.h"
#include "watch/budget.h"
#include "watch/counters_file.h"
#include "watch/look.h"
#include "watch/process.h"

static void path_for(char *path, size_t n_bytes)
{
    static int n;
    (void)snprintf(path, n_bytes, "/tmp/trimtab-counters-%ld-%d", (long)getpid(), n++);
    (void)unlink(path);
}

static tt_counters *open_or_fail(const char *path)
{
    tt_counters *counters;
    tt_error err = {0};
    if (tt_counters_open(path, "model", &counters, &err) != TT_OK)
        tt_test_fail(__FILE__, __LINE__, "%s", err.text);
    return counters;
}

static uint64_t total(const tt_counters *counters, int *n_processes)
{
    tt_counts *sum = tt_calloc(1, sizeof *sum);
    uint64_t n;
    tt_counters_sum(counters, sum, n_processes);
    n = tt_counted(&sum->n_calls);
    tt_free(sum);
    return n;
}

static void count(tt_counters *counters)
{
    tt_count(&tt_counters_mine(counters)->n_calls, 1);
}

static void wait_for(pid_t child)
{
    int status;
    CHECK(waitpid(child, &status, 0) == child);
}

TT_TEST(a_process_is_alive_until_it_ends_even_before_it_is_waited_for)
{
    int ends[2];
    char byte;
    pid_t child;
    uint64_t process = 0;
    CHECK(pipe(ends) == 0);
    child = fork();
    if (child == 0) {
        process = tt_process_self();
        if (write(ends[1], &process, sizeof process) < 0) _exit(1);
        pause();
        _exit(0);
    }
    CHECK(read(ends[0], &process, sizeof process) == (ssize_t)sizeof process);
    CHECK(tt_process_is_alive(process));
    CHECK(!tt_process_is_alive(process ^ (1ull << 40))); /* began another time */
    CHECK(!tt_process_is_alive(0));
    kill(child, SIGKILL);
    close(ends[1]);
    CHECK(read(ends[0], &byte, 1) == 0); /* it has ended, and nobody waited */
    for (int i = 0; i < 1000 && tt_process_is_alive(process); ++i)
        usleep(1000);
    CHECK(!tt_process_is_alive(process));
    wait_for(child);
    close(ends[0]);
}

TT_TEST(more_processes_than_slots_may_come_one_after_another)
{
    char path[64];
    tt_counters *counters;
    int n_processes;
    path_for(path, sizeof path);
    counters = open_or_fail(path);
    for (int i = 0; i < TT_COUNTER_SLOTS + 40; ++i) {
        pid_t child = fork();
        if (child == 0) {
            count(counters);
            raise(SIGKILL);
        }
        wait_for(child);
    }
    count(counters);
    CHECK_INT(total(counters, &n_processes), TT_COUNTER_SLOTS + 41);
    CHECK_INT(n_processes, 1);
    tt_counters_close(counters);
    unlink(path);
}

TT_TEST(more_processes_than_slots_may_count_at_the_same_time)
{
    enum { N = TT_COUNTER_SLOTS + 6, COUNTS = 50 };
    char path[64];
    tt_counters *counters;
    pid_t children[N];
    int n_processes, go[2];
    path_for(path, sizeof path);
    counters = open_or_fail(path);
    CHECK(pipe(go) == 0);
    for (int i = 0; i < N; ++i) {
        children[i] = fork();
        if (children[i] == 0) {
            char byte;
            close(go[1]);
            count(counters);
            while (read(go[0], &byte, 1) < 0) {
            }
            for (int k = 1; k < COUNTS; ++k)
                count(counters);
            _exit(0);
        }
    }
    for (int i = 0; i < 5000 && total(counters, &n_processes) < N; ++i)
        usleep(1000);
    (void)total(counters, &n_processes);
    CHECK_INT(n_processes, TT_COUNTER_SLOTS);
    close(go[1]);
    for (int i = 0; i < N; ++i)
        wait_for(children[i]);
    CHECK_INT(total(counters, &n_processes), N * COUNTS);
    close(go[0]);
    tt_counters_close(counters);
    unlink(path);
}

TT_TEST(counts_outlive_the_processes_and_a_clean_end_frees_the_slot)
{
    char path[64];
    int n_processes;
    path_for(path, sizeof path);
    for (int i = 1; i <= 5; ++i) {
        tt_counters *counters = open_or_fail(path);
        count(counters);
        CHECK_INT(total(counters, &n_processes), i);
        CHECK_INT(n_processes, 1);
        CHECK_TEXT(tt_counters_name(counters), "model");
        tt_counters_close(counters);
    }
    unlink(path);
}

TT_TEST(in_memory_a_forked_child_begins_at_zero)
{
    tt_counters *counters = open_or_fail(NULL);
    int n_processes, status;
    pid_t child;
    count(counters);
    count(counters);
    child = fork();
    if (child == 0) {
        count(counters);
        _exit((int)total(counters, &n_processes));
    }
    CHECK(waitpid(child, &status, 0) == child);
    CHECK_INT(WEXITSTATUS(status), 1);
    CHECK_INT(total(counters, &n_processes), 2);
    tt_counters_close(counters);
}

/* What opening says of a file with these bytes in place of the first, of this size. */
static void check_refused(const char *path, int at, int value, long n_bytes,
                          const char *text)
{
    tt_counters *counters = NULL;
    tt_error err = {0};
    char byte = (char)value;
    int descriptor;
    tt_counters_close(open_or_fail(path));
    descriptor = open(path, O_RDWR);
    if (at >= 0) CHECK(pwrite(descriptor, &byte, 1, at) == 1);
    if (n_bytes >= 0) CHECK(ftruncate(descriptor, n_bytes) == 0);
    close(descriptor);
    CHECK_INT(tt_counters_open(path, "model", &counters, &err), TT_BAD_INPUT);
    CHECK(counters == NULL);
    if (strstr(err.text, text) == NULL)
        tt_test_fail(__FILE__, __LINE__, "no '%s' in '%s'", text, err.text);
    unlink(path);
}

TT_TEST(files_that_are_none_are_refused)
{
    char path[64];
    path_for(path, sizeof path);
    for (int at = 0; at < (int)sizeof(tt_counter_header); at += 7)
        check_refused(path, at, 0x5a, -1, "no file of counters");
    check_refused(path, -1, 0, 0, "got 0");
    check_refused(path, -1, 0, 4096, "got 4096");
    check_refused(path, -1, 0, TT_COUNTER_FILE_BYTES + 1L, "expected");
    /* the top byte of a count, in a slot that was used */
    check_refused(path,
                  TT_COUNTER_HEADER_BYTES + TT_SLOT_BYTES +
                      (int)offsetof(tt_slot, counts) + 7,
                  0x40, -1, "damaged");
}

TT_TEST(what_cannot_be_a_file_is_refused)
{
    static const char *const paths[] = {"/tmp", "/dev/null", "/nowhere/at/all", ""};
    tt_counters *counters;
    char path[64];
    tt_error err = {0};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; ++i)
        CHECK_INT(tt_counters_open(paths[i], "", &counters, &err), TT_BAD_INPUT);
    path_for(path, sizeof path);
    CHECK(symlink("/nowhere/at/all", path) == 0);
    CHECK_INT(tt_counters_open(path, "", &counters, &err), TT_BAD_INPUT);
    unlink(path);
    CHECK(mkfifo(path, 0600) == 0);
    CHECK_INT(tt_counters_open(path, "", &counters, &err), TT_BAD_INPUT);
    unlink(path);
}

TT_TEST(another_deployment_s_file_is_refused_and_no_name_takes_any)
{
    char path[64];
    tt_counters *counters;
    tt_error err = {0};
    path_for(path, sizeof path);
    tt_counters_close(open_or_fail(path));
    CHECK_INT(tt_counters_open(path, "other", &counters, &err), TT_BAD_INPUT);
    CHECK(strstr(err.text, "'model'") != NULL && strstr(err.text, "'other'") != NULL);
    CHECK_INT(tt_counters_open(path, "", &counters, &err), TT_OK);
    tt_counters_close(counters);
    unlink(path);
}

TT_TEST(without_room_for_the_file_opening_fails_and_leaves_nothing)
{
    char path[64];
    pid_t child;
    int status;
    path_for(path, sizeof path);
    child = fork();
    if (child == 0) {
        struct rlimit limit = {1 << 20, 1 << 20};
        tt_counters *counters;
        tt_error err = {0};
        signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(2);
        _exit(tt_counters_open(path, "", &counters, &err) == TT_BAD_INPUT &&
                      strstr(err.text, strerror(EFBIG)) != NULL
                  ? 0
                  : 1);
    }
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), 0);
    CHECK(access(path, F_OK) != 0);
}

TT_TEST(without_memory_opening_fails_and_leaves_nothing)
{
    char path[64];
    path_for(path, sizeof path);
    for (int k = 1; k < 10; ++k) {
        tt_counters *counters;
        tt_error err = {0};
        tt_status status;
        (void)tt_alloc_fail_at(k, false);
        status = tt_counters_open(path, "", &counters, &err);
        (void)tt_alloc_fail_at(0, false);
        if (status == TT_OK) {
            tt_counters_close(counters);
            unlink(path);
            CHECK(k > 1);
            return;
        }
        CHECK_INT(status, TT_NO_MEMORY);
        CHECK(access(path, F_OK) != 0);
    }
    CHECK(false);
}

/* ---- looking ----------------------------------------------------------------------- */

TT_TEST(a_look_counts_what_a_loop_counts)
{
    enum { ROWS = 7, COLUMNS = 33, N = ROWS * COLUMNS };
    float x[N];
    tt_view view = {
        .dtype = TT_F32,
        .rank = 2,
        .dims = {ROWS,        COLUMNS},
        .strides = {COLUMNS * 4, 4      },
        .data = (const char *)x
    };
    uint64_t n_nan = 0, n_infinite = 0, n_below = 0, n_above = 0;
    for (int i = 0; i < N; ++i) {
        x[i] = (float)tt_random_between(-2.0, 2.0);
        if (i % 11 == 0) x[i] = i % 2 == 0 ? NAN : HUGE_VALF;
        if (i / COLUMNS == 2) x[i] = 1.5f;
        n_nan += isnan(x[i]) != 0;
        n_infinite += isinf(x[i]) != 0;
        n_below += x[i] < -1.0f;
        n_above += isfinite(x[i]) && x[i] > 1.0f;
    }
    for (int isa = 0; isa <= (int)tt_cpu_get()->isa; ++isa) {
        tt_oddity seen = {0};
        tt_look_at(&view, true, -1.0, 1.0, (tt_isa)isa, &seen);
        CHECK_INT(tt_counted(&seen.n_rows), ROWS);
        CHECK_INT(tt_counted(&seen.n_values), N);
        CHECK_INT(tt_counted(&seen.n_nan), n_nan);
        CHECK_INT(tt_counted(&seen.n_infinite), n_infinite);
        CHECK_INT(tt_counted(&seen.n_below), n_below);
        CHECK_INT(tt_counted(&seen.n_above), n_above);
        CHECK_INT(tt_counted(&seen.n_constant), 1);
    }
}

TT_TEST(a_part_lies_within_its_tensor_and_is_as_large_as_allowed)
{
    int64_t dims[3] = {5, 6, 50};
    tt_view view = {.dtype = TT_F32, .rank = 3, .data = NULL};
    for (int i = 0; i < 3; ++i)
        view.dims[i] = dims[i];
    view.strides[2] = 4, view.strides[1] = 200, view.strides[0] = 1200;
    for (int64_t max_bytes = 1; max_bytes < 7000; max_bytes += 13)
        for (uint64_t random = 0; random < 50; random += 7) {
            bool has_rows;
            tt_view part = tt_look_part(&view, max_bytes, random, &has_rows);
            int64_t n = part.dims[0] * part.dims[1] * part.dims[2] * 4;
            int64_t first = (int64_t)(part.data - view.data);
            CHECK(n <= max_bytes || n == 4);
            CHECK(first >= 0 && first + (part.dims[0] - 1) * 1200 +
                                        (part.dims[1] - 1) * 200 + part.dims[2] * 4 <=
                                    6000);
            CHECK(has_rows == (max_bytes >= 1200));
            if (has_rows) CHECK(part.dims[1] == 6 && part.dims[2] == 50);
        }
}

TT_TEST(looks_take_the_share_of_the_time_that_they_may)
{
    static const double call_ns = 20e3, look_ns = 900.0;
    tt_budget budget = tt_budget_new(0, 0.01);
    double looked = 0.0, all = 0.0;
    int n_first = 0, n_calls = 200000;
    for (int i = 0; i < n_calls; ++i) {
        all += call_ns;
        if (!tt_budget_wants(&budget, i % 500 == 0 ? 5e7 : call_ns)) continue;
        tt_budget_spent(&budget, i % 1000 == 0 ? 1e7 : look_ns);
        looked += look_ns;
        n_first += i < 100;
    }
    CHECK_INT(n_first, 100); /* the first are on the house */
    CHECK(looked / all < 0.011 && looked / all > 0.008);
    budget = tt_budget_new(7, 0.0);
    looked = 0;
    for (int i = 0; i < 70; ++i)
        looked += tt_budget_wants(&budget, 1.0);
    CHECK_NEAR(looked, 10.0, 0.0);
    budget = tt_budget_new(0, 0.0);
    for (int i = 0; i < 100; ++i)
        CHECK(!tt_budget_wants(&budget, 1e9));
}
