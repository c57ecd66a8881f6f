/* base/cpu.h: plausible facts, and the caps of the environment (in children,
 * because they are read once). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cpu.h"
#include "harness.h"

TT_TEST(cpu_facts_are_plausible)
{
    const tt_cpu *cpu = tt_cpu_get();
    CHECK(cpu == tt_cpu_get());
    CHECK(cpu->l1d_bytes >= 8 << 10 && cpu->l1d_bytes <= 1 << 20);
    CHECK(cpu->l2_bytes >= cpu->l1d_bytes && cpu->l3_bytes > 0);
    CHECK(cpu->n_threads >= 1 && cpu->n_threads <= sysconf(_SC_NPROCESSORS_CONF));
    CHECK(strlen(cpu->brand) > 0);
    if (cpu->isa < TT_ISA_AVX512) CHECK(!cpu->has_avx512_vnni && !cpu->has_amx);
    CHECK_TEXT(tt_isa_name(TT_ISA_AVX512), "avx512");
}

/* isa, vnni, bf16 and threads that a fresh process finds with one variable set. */
static void in_child(const char *name, const char *value, int facts[4])
{
    int ends[2], status;
    pid_t child;
    CHECK_INT(pipe(ends), 0);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        char program[512] = {0};
        (void)setenv(name, value, 1);
        (void)dup2(ends[1], 1);
        if (readlink("/proc/self/exe", program, sizeof program - 1) > 0)
            (void)execl(program, program, "print_cpu_facts", (char *)NULL);
        _exit(3);
    }
    (void)close(ends[1]);
    FILE *out = fdopen(ends[0], "r");
    char line[256];
    int n_read = 0;
    while (out != NULL && fgets(line, sizeof line, out) != NULL)
        if (sscanf(line, "facts %d %d %d %d", &facts[0], &facts[1], &facts[2],
                   &facts[3]) == 4)
            n_read = 4;
    if (out != NULL) (void)fclose(out);
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
    CHECK_INT(n_read, 4);
}

TT_TEST(print_cpu_facts)
{
    const tt_cpu *cpu = tt_cpu_get();
    printf("facts %d %d %d %d\n", cpu->isa, cpu->has_avx512_vnni, cpu->has_avx512_bf16,
           cpu->n_threads);
}

TT_TEST(environment_caps_the_isa)
{
    int facts[4];
    int host = (int)tt_cpu_get()->isa, avx2 = TT_ISA_AVX2;
    if (getenv("TRIMTAB_ISA") != NULL || getenv("ONEDNN_MAX_CPU_ISA") != NULL)
        tt_test_skip("the environment caps the ISA already");
    in_child("TRIMTAB_ISA", "scalar", facts);
    CHECK(facts[0] == TT_ISA_SCALAR && facts[1] == 0 && facts[2] == 0);
    in_child("TRIMTAB_ISA", "avx2", facts);
    CHECK(facts[0] == (host < avx2 ? host : avx2) && facts[1] == 0);
    in_child("TRIMTAB_ISA", "avx512", facts);
    CHECK_INT(facts[0], host);
    in_child("ONEDNN_MAX_CPU_ISA", "avx512_core", facts);
    CHECK(facts[0] == host && facts[1] == 0 && facts[2] == 0);
    in_child("ONEDNN_MAX_CPU_ISA", "SSE41", facts);
    CHECK_INT(facts[0], TT_ISA_SCALAR);
    in_child("ONEDNN_MAX_CPU_ISA", "ALL", facts);
    CHECK_INT(facts[0], host);
}

TT_TEST(environment_sets_the_number_of_threads)
{
    int facts[4];
    int host = tt_cpu_get()->n_threads;
    if (getenv("TRIMTAB_THREADS") != NULL)
        tt_test_skip("the environment sets the number of threads already");
    in_child("TRIMTAB_THREADS", "3", facts);
    CHECK_INT(facts[3], 3);
    in_child("TRIMTAB_THREADS", "1", facts);
    CHECK_INT(facts[3], 1);
    static const char *const refused[] = {"0", "-2", "2000", "two", "2x", ""};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; ++i) {
        in_child("TRIMTAB_THREADS", refused[i], facts);
        CHECK_INT(facts[3], host);
    }
}
