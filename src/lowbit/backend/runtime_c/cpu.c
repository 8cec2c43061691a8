/* What the CPU and its operating system offer. */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime.h"

#if defined(__x86_64__)
#include <cpuid.h>

/* States the operating system must save (XCR0): SSE and AVX; with opmask, ZMM0-15 upper, ZMM16-31; AMX's configuration and
 * its tiles, the last of which a process has to ask for. */
enum { NONE = 0, YMM = 0x6, ZMM = 0xe6, TILES = 0x60000, TILE_DATA = 18, REQUEST = 0x1023 /* ARCH_REQ_XCOMP_PERM */ };
enum { EAX, EBX, ECX, EDX };

static const struct {
    const char *name;
    uint32_t leaf, subleaf, reg, bit, state;
} features[] = {
    {"sse2", 1, 0, EDX, 26, NONE},         {"sse3", 1, 0, ECX, 0, NONE},
    {"ssse3", 1, 0, ECX, 9, NONE},         {"sse4.1", 1, 0, ECX, 19, NONE},
    {"sse4.2", 1, 0, ECX, 20, NONE},       {"popcnt", 1, 0, ECX, 23, NONE},
    {"avx", 1, 0, ECX, 28, YMM},           {"f16c", 1, 0, ECX, 29, YMM},
    {"fma", 1, 0, ECX, 12, YMM},           {"avx2", 7, 0, EBX, 5, YMM},
    {"bmi", 7, 0, EBX, 3, NONE},           {"bmi2", 7, 0, EBX, 8, NONE},
    {"avx512f", 7, 0, EBX, 16, ZMM},       {"avx512dq", 7, 0, EBX, 17, ZMM},
    {"avx512ifma", 7, 0, EBX, 21, ZMM},    {"avx512cd", 7, 0, EBX, 28, ZMM},
    {"avx512bw", 7, 0, EBX, 30, ZMM},      {"avx512vl", 7, 0, EBX, 31, ZMM},
    {"avx512vbmi", 7, 0, ECX, 1, ZMM},     {"avx512vbmi2", 7, 0, ECX, 6, ZMM},
    {"gfni", 7, 0, ECX, 8, NONE},          {"avx512vnni", 7, 0, ECX, 11, ZMM},
    {"avx512bitalg", 7, 0, ECX, 12, ZMM},  {"avx512vpopcntdq", 7, 0, ECX, 14, ZMM},
    {"avx512fp16", 7, 0, EDX, 23, ZMM},    {"avxvnni", 7, 1, EAX, 4, YMM},
    {"avx512bf16", 7, 1, EAX, 5, ZMM},     {"avxvnniint8", 7, 1, EDX, 4, YMM},
    {"sse4a", 0x80000001, 0, ECX, 6, NONE}, {"amx-bf16", 7, 0, EDX, 22, TILES},
    {"amx-tile", 7, 0, EDX, 24, TILES},    {"amx-int8", 7, 0, EDX, 25, TILES},
};

static uint64_t saved_states(void) {
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1)) return 0; /* OSXSAVE: xgetbv is allowed */
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return (uint64_t)d << 32 | a;
}

static bool has(const char *name) {
    for (size_t i = 0; i < sizeof features / sizeof *features; i++) {
        uint32_t r[4];
        if (strcmp(features[i].name, name)) continue;
        if (!__get_cpuid_count(features[i].leaf, features[i].subleaf, &r[EAX], &r[EBX], &r[ECX], &r[EDX])) return false;
        return (r[features[i].reg] >> features[i].bit & 1) && (saved_states() & features[i].state) == features[i].state;
    }
    return false; /* a feature this table does not know cannot be promised */
}

/* Asking again costs microseconds; threads and children inherit the permission.  The system refuses it where an alternate
 * signal stack is too small for the tiles. */
static const char *denied(const char *name) {
    bool tiles = !strcmp(name, "amx-tile");
    return tiles && syscall(SYS_arch_prctl, REQUEST, TILE_DATA) ? "the system's permission to use amx-tile" : NULL;
}

uint64_t lb_float_default(void) {
    uint32_t old, fresh = 0x1f80; /* all exceptions masked, round to nearest even, no FTZ, no DAZ */
    __asm__ volatile("stmxcsr %0" : "=m"(old));
    __asm__ volatile("ldmxcsr %0" : : "m"(fresh));
    return old;
}

void lb_float_restore(uint64_t state) {
    uint32_t old = (uint32_t)state;
    __asm__ volatile("ldmxcsr %0" : : "m"(old));
}

#elif defined(__aarch64__)
#include <sys/auxv.h>

/* Bits of AT_HWCAP and AT_HWCAP2 as Linux defines them. */
static const struct {
    const char *name;
    unsigned long type, bit;
} features[] = {
    {"fp-armv8", AT_HWCAP, 0}, {"neon", AT_HWCAP, 1},     {"lse", AT_HWCAP, 8},   {"fullfp16", AT_HWCAP, 10},
    {"dotprod", AT_HWCAP, 20}, {"sve", AT_HWCAP, 22},     {"sve2", AT_HWCAP2, 1}, {"i8mm", AT_HWCAP2, 13},
};

static bool has(const char *name) {
    for (size_t i = 0; i < sizeof features / sizeof *features; i++)
        if (!strcmp(features[i].name, name)) return getauxval(features[i].type) >> features[i].bit & 1;
    return false;
}

static const char *denied(const char *name) {
    (void)name;
    return NULL; /* a process need not ask for anything */
}

uint64_t lb_float_default(void) {
    uint64_t old;
    __asm__ volatile("mrs %0, fpcr" : "=r"(old));
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0));
    return old;
}

void lb_float_restore(uint64_t state) { __asm__ volatile("msr fpcr, %0" : : "r"(state)); }

#else
#error "the lowbit runtime supports x86-64 and AArch64"
#endif

const char *lb_missing_feature(const char *const *names) {
    const char *missing = NULL;
    for (size_t i = 0; names[i] && !missing; i++)
        if (!has(names[i])) missing = names[i];
    for (size_t i = 0; names[i] && !missing; i++) missing = denied(names[i]);
    return missing;
}

int lb_cpu_quota(const char *path) {
    long quota, period;
    FILE *file = fopen(path, "re");
    if (!file) return 0;
    int found = fscanf(file, "%ld %ld", &quota, &period); /* "max 100000" without a limit */
    fclose(file);
    return found == 2 && quota > 0 && period > 0 ? (int)((quota + period - 1) / period) : 0;
}

int lb_cpu_count(void) {
    cpu_set_t set;
    long count = sched_getaffinity(0, sizeof set, &set) ? sysconf(_SC_NPROCESSORS_ONLN) : CPU_COUNT(&set);
    /* In a container with few of many CPUs, threads beyond the quota would only be throttled. */
    int quota = lb_cpu_quota("/sys/fs/cgroup/cpu.max");
    if (quota && quota < count) count = quota;
    return count < 1 ? 1 : (int)count;
}
