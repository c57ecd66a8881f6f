/* ISA, caches and how many threads the affinity mask and the container's quota
 * allow.  Everything is read once; nothing here can fail, only fall back. */
#include "base/cpu.h"

#include <ctype.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

static tt_cpu the_cpu;
static pthread_once_t once = PTHREAD_ONCE_INIT;

const char *tt_isa_name(tt_isa isa)
{
    switch (isa) {
#define ISA_NAME(code, text) \
    case code:               \
        return text;
        TT_ISA_LIST(ISA_NAME)
#undef ISA_NAME
    }
    return "unknown";
}

/* ---- instruction sets ---------------------------------------------------- */

#if defined(__x86_64__)
static void find_features(tt_cpu *cpu)
{
    unsigned a = 0, b = 0, c = 0, d = 0, a1 = 0, b1 = 0, c1 = 0, d1 = 0;
    __builtin_cpu_init();
    (void)__get_cpuid_count(7, 0, &a, &b, &c, &d);
    if (a >= 1) (void)__get_cpuid_count(7, 1, &a1, &b1, &c1, &d1);
    /* __builtin_cpu_supports also asks whether the system saves the registers */
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        cpu->isa = TT_ISA_AVX2;
    if (cpu->isa == TT_ISA_AVX2 && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        cpu->isa = TT_ISA_AVX512;
    if (cpu->isa >= TT_ISA_AVX2) cpu->has_avx_vnni = (a1 >> 4 & 1u) != 0;
    if (cpu->isa < TT_ISA_AVX512) return;
    cpu->has_avx512_vnni = (c >> 11 & 1u) != 0;
    cpu->has_avx512_bf16 = (a1 >> 5 & 1u) != 0;
    cpu->has_avx512_fp16 = (d >> 23 & 1u) != 0;
    cpu->has_amx = (d >> 24 & 1u) != 0;
}

static void find_brand(char *brand, size_t bytes)
{
    unsigned words[13] = {0};
    const char *text = (const char *)words;
    if (__get_cpuid_max(0x80000000u, NULL) < 0x80000004u) return;
    for (unsigned i = 0; i < 3; ++i)
        (void)__get_cpuid(0x80000002u + i, &words[4 * i], &words[4 * i + 1],
                          &words[4 * i + 2], &words[4 * i + 3]);
    while (*text == ' ')
        ++text;
    (void)snprintf(brand, bytes, "%s", text);
    for (size_t n = strlen(brand); n > 0 && brand[n - 1] == ' '; --n)
        brand[n - 1] = '\0';
}
#else
static void find_features(tt_cpu *cpu)
{
    cpu->isa = TT_ISA_SCALAR;
}

static void find_brand(char *brand, size_t bytes)
{
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "re");
    if (file == NULL) return;
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "model name", 10) == 0 && strchr(line, ':') != NULL) {
            line[strcspn(line, "\n")] = '\0';
            (void)snprintf(brand, bytes, "%.60s", strchr(line, ':') + 2);
            break;
        }
    (void)fclose(file);
}
#endif

/* Names of ONEDNN_MAX_CPU_ISA and TRIMTAB_ISA with what each still allows. */
static const struct {
    const char *name;
    tt_isa isa;
    bool avx_vnni, vnni, bf16, fp16, amx;
} caps[] = {
    {"SCALAR",           TT_ISA_SCALAR, false, false, false, false, false},
    {"SSE41",            TT_ISA_SCALAR, false, false, false, false, false},
    {"AVX",              TT_ISA_SCALAR, false, false, false, false, false},
    {"AVX2",             TT_ISA_AVX2,   false, false, false, false, false},
    {"AVX2_VNNI",        TT_ISA_AVX2,   true,  false, false, false, false},
    {"AVX2_VNNI_2",      TT_ISA_AVX2,   true,  false, false, false, false},
    {"AVX512_CORE",      TT_ISA_AVX512, false, false, false, false, false},
    {"AVX512_CORE_VNNI", TT_ISA_AVX512, false, true,  false, false, false},
    {"AVX512_CORE_BF16", TT_ISA_AVX512, false, true,  true,  false, false},
    {"AVX512_CORE_FP16", TT_ISA_AVX512, true,  true,  true,  true,  false},
};

static void apply_cap(tt_cpu *cpu, const char *value)
{
    char name[32] = {0};
    if (value == NULL) return;
    for (size_t i = 0; value[i] != '\0' && i + 1 < sizeof name; ++i)
        name[i] = (char)toupper((unsigned char)value[i]);
    for (size_t i = 0; i < sizeof caps / sizeof caps[0]; ++i) {
        if (strcmp(name, caps[i].name) != 0) continue;
        if (caps[i].isa < cpu->isa) cpu->isa = caps[i].isa;
        cpu->has_avx_vnni = cpu->has_avx_vnni && caps[i].avx_vnni;
        cpu->has_avx512_vnni = cpu->has_avx512_vnni && caps[i].vnni;
        cpu->has_avx512_bf16 = cpu->has_avx512_bf16 && caps[i].bf16;
        cpu->has_avx512_fp16 = cpu->has_avx512_fp16 && caps[i].fp16;
        cpu->has_amx = cpu->has_amx && caps[i].amx;
    }
}

static void apply_isa(tt_cpu *cpu, const char *value)
{
    /* "avx512" means all of it; the other names are oneDNN's */
    if (value != NULL && strcmp(value, "avx512") != 0) apply_cap(cpu, value);
}

/* ---- caches -------------------------------------------------------------- */

static bool read_line(const char *path, char *text, int text_bytes)
{
    FILE *file = fopen(path, "re");
    bool ok;
    if (file == NULL) return false;
    ok = fgets(text, text_bytes, file) != NULL;
    (void)fclose(file);
    if (ok) text[strcspn(text, "\n")] = '\0';
    return ok;
}

static size_t parse_size(const char *text)
{
    char *end;
    unsigned long long n = strtoull(text, &end, 10);
    if (n > (1ull << 40)) return 0;
    if (*end == 'K') n <<= 10;
    if (*end == 'M') n <<= 20;
    return (size_t)n;
}

static void find_caches(tt_cpu *cpu)
{
    for (int index = 0; index < 8; ++index) {
        char path[96], level[16], type[24], size[24];
        const char *folder = "/sys/devices/system/cpu/cpu0/cache/index";
        (void)snprintf(path, sizeof path, "%s%d/level", folder, index);
        if (!read_line(path, level, sizeof level)) break;
        (void)snprintf(path, sizeof path, "%s%d/type", folder, index);
        if (!read_line(path, type, sizeof type)) continue;
        (void)snprintf(path, sizeof path, "%s%d/size", folder, index);
        if (!read_line(path, size, sizeof size)) continue;
        if (level[0] == '1' && type[0] == 'D') cpu->l1d_bytes = parse_size(size);
        if (level[0] == '2') cpu->l2_bytes = parse_size(size);
        if (level[0] == '3') cpu->l3_bytes = parse_size(size);
    }
    if (cpu->l1d_bytes == 0) cpu->l1d_bytes = (size_t)32 << 10;
    if (cpu->l2_bytes == 0) cpu->l2_bytes = (size_t)512 << 10;
    if (cpu->l3_bytes == 0) cpu->l3_bytes = (size_t)8 << 20;
}

/* ---- threads ------------------------------------------------------------- */

static int affinity_count(void)
{
    int count = 0;
    for (int n_cpus = 1024; n_cpus <= 1 << 16 && count == 0; n_cpus *= 2) {
        size_t bytes = CPU_ALLOC_SIZE((size_t)n_cpus);
        cpu_set_t *set = CPU_ALLOC((size_t)n_cpus);
        if (set == NULL) break;
        if (sched_getaffinity(0, bytes, set) == 0) count = CPU_COUNT_S(bytes, set);
        CPU_FREE(set);
    }
    return count > 0 ? count : 1;
}

/* Whole CPUs that `quota` of every `period` amounts to, rounded up. */
static int quota_cpus(long long quota, long long period, int n_threads)
{
    if (quota <= 0 || period <= 0) return n_threads;
    if (quota / period >= n_threads) return n_threads;
    return (int)((quota + period - 1) / period);
}

/* "max 100000" or "150000 100000" of version 2; two files of version 1. */
static int folder_quota(const char *folder, int n_threads)
{
    char path[512], text[64];
    long long quota, period;
    int length = snprintf(path, sizeof path, "%s/cpu.max", folder);
    if (length < 0 || (size_t)length >= sizeof path - 32) return n_threads;
    if (read_line(path, text, sizeof text)) {
        if (sscanf(text, "%lld %lld", &quota, &period) == 2)
            return quota_cpus(quota, period, n_threads);
        return n_threads;
    }
    (void)snprintf(path, sizeof path, "%.480s/cpu.cfs_quota_us", folder);
    if (!read_line(path, text, sizeof text)) return n_threads;
    quota = strtoll(text, NULL, 10);
    (void)snprintf(path, sizeof path, "%.480s/cpu.cfs_period_us", folder);
    if (!read_line(path, text, sizeof text)) return n_threads;
    return quota_cpus(quota, strtoll(text, NULL, 10), n_threads);
}

/* A quota may stand on any group from the process's own up to the root. */
static int hierarchy_quota(const char *root, const char *group, int n_threads)
{
    char folder[448];
    size_t root_length = strlen(root);
    int length = snprintf(folder, sizeof folder, "%s%s", root, group);
    if (length < 0 || (size_t)length >= sizeof folder) return n_threads;
    for (;;) {
        char *slash;
        n_threads = folder_quota(folder, n_threads);
        slash = strrchr(folder, '/');
        if (slash == NULL || (size_t)(slash - folder) < root_length) break;
        *slash = '\0';
    }
    return n_threads;
}

static int cgroup_count(int n_threads)
{
    char line[512];
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (file == NULL) return n_threads;
    while (fgets(line, sizeof line, file) != NULL) {
        char *names = strchr(line, ':'), *group;
        line[strcspn(line, "\n")] = '\0';
        if (names == NULL || (group = strchr(names + 1, ':')) == NULL) continue;
        *group++ = '\0';
        ++names;
        if (names[0] == '\0')
            n_threads = hierarchy_quota("/sys/fs/cgroup", group, n_threads);
        else if (strcmp(names, "cpu") == 0 || strncmp(names, "cpu,", 4) == 0 ||
                 strstr(names, ",cpu,") != NULL)
            n_threads = hierarchy_quota("/sys/fs/cgroup/cpu", group, n_threads);
    }
    (void)fclose(file);
    return n_threads;
}

/* A number of threads from the environment; anything else than 1 to 1024 is as if it
 * were not set. */
static int wanted_threads(const char *value, int otherwise)
{
    char *end;
    long wanted;
    if (value == NULL) return otherwise;
    wanted = strtol(value, &end, 10);
    return end != value && *end == '\0' && wanted >= 1 && wanted <= 1024 ? (int)wanted
                                                                         : otherwise;
}

static bool is_set(const char *value)
{
    return value != NULL && strcmp(value, "1") == 0;
}

static void find_all(void)
{
    tt_cpu cpu = {.isa = TT_ISA_SCALAR, .brand = "unknown"};
    find_features(&cpu);
    apply_cap(&cpu, getenv("ONEDNN_MAX_CPU_ISA"));
    apply_isa(&cpu, getenv("TRIMTAB_ISA"));
    cpu.emulates_bf16 =
        cpu.isa == TT_ISA_AVX512 && is_set(getenv("TRIMTAB_EMULATE_BF16"));
    find_brand(cpu.brand, sizeof cpu.brand);
    find_caches(&cpu);
    cpu.n_threads =
        wanted_threads(getenv("TRIMTAB_THREADS"), cgroup_count(affinity_count()));
    the_cpu = cpu;
}

const tt_cpu *tt_cpu_get(void)
{
    (void)pthread_once(&once, find_all);
    return &the_cpu;
}
