/* A network without an operating system: unpacks its weights, runs once on the input it carries, compares with the
 * output it carries, and says through semihosting (which QEMU and debuggers answer) whether they are equal.
 * Exit code 0: equal, 1: different, 3: an instruction this CPU lacks, 200: another fault. */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fill.h"
#include "runtime.h"
#include "tables.h"

#undef LB_API /* no functions to call from outside; just the tables */
#define LB_API(P, T) static const struct lb_tables *const tables = (T);
#include "generated.c"
#include "bare.h" /* generated: the sizes, and tensors as {elements, values} */

enum { DIFFERENT = 1, WRONG_CPU = 3, FAULT = 200 };
enum { SYS_WRITE0 = 4, SYS_EXIT_EXTENDED = 32, APPLICATION_EXIT = 0x20026 };

static uint64_t host(uint64_t operation, const void *block) {
    register uint64_t x0 __asm__("x0") = operation;
    register const void *x1 __asm__("x1") = block;
    __asm__ volatile("hlt #0xf000" : "+r"(x0) : "r"(x1) : "memory");
    return x0;
}

static void say(const char *text) { host(SYS_WRITE0, text); }

static void say_number(uint64_t value) {
    char text[24], *at = text + sizeof text - 1;
    *at = 0;
    do *--at = (char)('0' + value % 10);
    while (value /= 10);
    say(at);
}

_Noreturn void leave(uint64_t code);
_Noreturn void leave(uint64_t code) {
    uint64_t block[2] = {APPLICATION_EXIT, code};
    host(SYS_EXIT_EXTENDED, block);
    for (;;) __asm__ volatile("wfe");
}

_Noreturn void fault(uint64_t esr, uint64_t elr, uint64_t far);
_Noreturn void fault(uint64_t esr, uint64_t elr, uint64_t far) {
    bool undefined = esr >> 26 == 0;
    say(tables->name);
    if (undefined) {
        say(": illegal instruction: compiled for ");
        say(tables->target);
    } else {
        say(": fault of class ");
        say_number(esr >> 26);
        say(" at address ");
        say_number(far);
    }
    say(", instruction at ");
    say_number(elr);
    say("\n");
    leave(undefined ? WRONG_CPU : FAULT);
}

/* One table of 1 GiB blocks, addresses as they are: normal cached memory where RAM is, device memory elsewhere.
 * Unaligned vector loads need normal memory. */
void map_memory(void);
void map_memory(void) {
    enum { BLOCK = 1, ACCESSED = 1 << 10, INNER_SHAREABLE = 3 << 8, NORMAL = 0 << 2, DEVICE = 1 << 2, GIBS = 4 };
    static uint64_t table[512] __attribute__((aligned(4096)));
    for (uint64_t i = 0; i < GIBS; i++)
        table[i] = i << 30 | BLOCK | ACCESSED | (RAM_GIBS >> i & 1 ? INNER_SHAREABLE | NORMAL : DEVICE | 3ull << 53 /* no code */);
    const uint64_t attributes = 0x00ff; /* 0: write-back; 1: device */
    /* 39-bit addresses, table in write-back memory, no second table, 40-bit physical addresses */
    const uint64_t control = 25 | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 23 | 2ull << 32;
    uint64_t system;
    __asm__ volatile("msr mair_el1, %0\n msr tcr_el1, %1\n msr ttbr0_el1, %2\n isb\n tlbi vmalle1\n dsb sy\n isb"
                     : : "r"(attributes), "r"(control), "r"(table) : "memory");
    __asm__ volatile("mrs %0, sctlr_el1" : "=r"(system));
    system |= 1 | 1 << 2 | 1 << 12; /* MMU, data cache, instruction cache */
    __asm__ volatile("msr sctlr_el1, %0\n isb" : : "r"(system) : "memory");
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0));
}

/* gcc would see that the loop below is memset, and call it. */
#if defined(__clang__)
#define AS_WRITTEN
#else
#define AS_WRITTEN __attribute__((optimize("no-tree-loop-distribute-patterns")))
#endif

/* What the compiler and the runtime expect of a C library. */
AS_WRITTEN void *memset(void *to, int value, size_t count) {
    unsigned char *p = to;
    while (count--) *p++ = (unsigned char)value;
    return to;
}

AS_WRITTEN void *memcpy(void *restrict to, const void *restrict from, size_t count) {
    unsigned char *p = to;
    const unsigned char *q = from;
    while (count--) *p++ = *q++;
    return to;
}

extern unsigned char heap[];
static unsigned char *heap_top;

/* Unpacking holds one piece of memory at a time. */
void *malloc(size_t bytes) {
    if (heap_top) return NULL;
    heap_top = heap + bytes;
    return heap;
}

void free(void *p) {
    if (p) heap_top = NULL;
}

int lb_fail(const char *format, ...) {
    say(format);
    say("\n");
    return -1;
}

void lb_forget(struct lb_file file, uint64_t from, uint64_t to) { (void)file, (void)from, (void)to; }

void lb_pool_run(struct lb_pool *pool, const struct lb_job *job, void *context, uint32_t units) {
    (void)pool;
    lb_run_alone(job, context, units);
}

static uint8_t weights_memory[WEIGHT_BYTES] __attribute__((aligned(64)));
static uint8_t arena[ARENA_BYTES] __attribute__((aligned(64)));
static uint8_t scratch[SCRATCH_BYTES] __attribute__((aligned(64)));

static void *pointer(struct lb_ref ref) {
    switch (ref.space) {
    case LB_ARENA: return arena + ref.offset;
    case LB_CONSTANTS: return (void *)(uintptr_t)(weights_file + tables->file_constants + ref.offset);
    case LB_WEIGHTS: return weights_memory + ref.offset;
    case LB_TABLES: return (void *)(uintptr_t)(tables->addresses + ref.offset);
    case LB_INPUT: return (void *)(uintptr_t)input[ref.offset].values;
    case LB_OUTPUT: return output[ref.offset];
    default: return NULL;
    }
}

static void run(void) {
    for (uint32_t i = 0; i < tables->op_count; i++) {
        const struct lb_op *op = &tables->ops[i];
        void *a[7];
        for (int k = 0; k < 7; k++) a[k] = pointer(op->args[k]);
        for (uint32_t k = 0; k < op->fills; k++) {
            const struct lb_fill *f = &tables->fills[op->first_fill + k];
            lb_fill_buffer(arena + f->offset, f);
        }
        const struct lb_asking *asks = op->asks;
        void *own = asks && asks->kernel ? scratch : NULL;
        if (asks && asks->begin) asks->begin(own);
        if (asks && asks->kernel)
            asks->kernel(a[0], a[1], a[2], a[3], a[4], a[5], a[6], 0, (int32_t)op->units, own);
        else
            op->kernel(a[0], a[1], a[2], a[3], a[4], a[5], a[6], 0, (int32_t)op->units);
        if (asks && asks->end) asks->end(own);
    }
}

/* Values whose bits differ.  (Float registers hold them, but no arithmetic touches them.) */
static size_t differences(void) {
    size_t count = 0;
    for (uint32_t i = 0; i < tables->output_count; i++)
        for (size_t k = 0; k < expected[i].elements; k++) count += ((const uint32_t *)output[i])[k] != expected[i].values[k];
    return count;
}

int main(void) {
    struct lb_file file = {weights_file, false};
    if (lb_unpack(tables, file, weights_memory, NULL)) return FAULT;
    run();
    size_t values = 0, wrong = differences();
    for (uint32_t i = 0; i < tables->output_count; i++) values += expected[i].elements;
    say(tables->name);
    say(": ");
    say_number(values - wrong);
    say(" of ");
    say_number(values);
    say(" output values equal the expected ones\n");
    return wrong ? DIFFERENT : 0;
}
