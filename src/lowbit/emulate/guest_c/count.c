/* A QEMU plugin that counts how often each translated block runs, between the calls of two functions:
 * lowbit_mark (before and after each run of the network) and run_units (once before each operation).
 *
 * QEMU's distributions ship no header for plugins, so the functions used are declared here; they are the same
 * from QEMU 4.2 to 10, but for two.  QEMU_VERSION, 702 for QEMU 7.2, comes from the build.
 *
 * Written to the file $LOWBIT_COUNT as JSON:
 *   {"blocks": [[symbol, address, "instruction words in hexadecimal"], ...],
 *    "intervals": [[function that starts it, [[block, times], ...]], ...], "total": instructions}
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info_t;
typedef void (*on_translation)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);
typedef void (*on_execution)(unsigned vcpu, void *data);
typedef void (*on_end)(qemu_plugin_id_t id, void *data);

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, on_translation callback);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, on_execution callback, int flags, void *data);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, on_end callback, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
const char *qemu_plugin_insn_symbol(const struct qemu_plugin_insn *instruction);

#define EXPORT __attribute__((visibility("default")))

EXPORT int qemu_plugin_version = QEMU_VERSION < 900 ? 1 : QEMU_VERSION < 901 ? 2 : 3;

#if QEMU_VERSION < 901
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *instruction);
static uint32_t word_of(const struct qemu_plugin_insn *instruction) {
    uint32_t word;
    memcpy(&word, qemu_plugin_insn_data(instruction), sizeof word);
    return word;
}
#else
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *instruction, void *to, size_t size);
static uint32_t word_of(const struct qemu_plugin_insn *instruction) {
    uint32_t word = 0;
    qemu_plugin_insn_data(instruction, &word, sizeof word);
    return word;
}
#endif

#if QEMU_VERSION < 900
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *tb, int operation, void *counter, uint64_t add);
static void count_block(struct qemu_plugin_tb *tb, uint64_t *times) {
    qemu_plugin_register_vcpu_tb_exec_inline(tb, 0, times, 1); /* 0: add a 64-bit number */
}
#else
static void count_one(unsigned vcpu, void *times) {
    (void)vcpu;
    ++*(uint64_t *)times;
}
static void count_block(struct qemu_plugin_tb *tb, uint64_t *times) {
    qemu_plugin_register_vcpu_tb_exec_cb(tb, count_one, 0, times);
}
#endif

struct block {
    struct block *next;
    const char *symbol;
    uint64_t address, times, seen;
    size_t index, length;
    uint32_t words[];
};

static struct block *first, **last = &first;
static size_t blocks;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static FILE *out;
static int intervals, open_interval;

/* What ran since the last call, as [[block, times], ...]]. */
static void end_interval(void) {
    int some = 0;
    for (struct block *b = first; b; b = b->next) {
        if (open_interval && b->times != b->seen)
            fprintf(out, "%s[%zu,%" PRIu64 "]", some++ ? "," : "", b->index, b->times - b->seen);
        b->seen = b->times;
    }
    if (open_interval) fputs("]]", out);
    open_interval = 0;
}

static void on_event(unsigned vcpu, void *data) {
    (void)vcpu;
    pthread_mutex_lock(&lock);
    end_interval();
    fprintf(out, "%s\n[\"%s\",[", intervals++ ? "," : "", ((struct block *)data)->symbol);
    open_interval = 1;
    pthread_mutex_unlock(&lock);
}

/* The first block of the function to be translated is the one that calls enter. */
static int starts(const struct block *b, const char *function) {
    if (strcmp(b->symbol, function)) return 0;
    for (const struct block *other = first; other; other = other->next)
        if (other != b && !strcmp(other->symbol, function)) return other->address == b->address;
    return 1;
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
    (void)id;
    size_t length = qemu_plugin_tb_n_insns(tb);
    struct block *b = calloc(1, sizeof *b + length * sizeof *b->words);
    if (!b) abort();
    const char *symbol = qemu_plugin_insn_symbol(qemu_plugin_tb_get_insn(tb, 0));
    b->symbol = strdup(symbol ? symbol : "");
    b->address = qemu_plugin_tb_vaddr(tb);
    b->length = length;
    for (size_t i = 0; i < length; i++) b->words[i] = word_of(qemu_plugin_tb_get_insn(tb, i));
    pthread_mutex_lock(&lock);
    b->index = blocks++;
    *last = b;
    last = &b->next;
    if (starts(b, "lowbit_mark") || starts(b, "run_units")) qemu_plugin_register_vcpu_tb_exec_cb(tb, on_event, 0, b);
    pthread_mutex_unlock(&lock);
    count_block(tb, &b->times);
}

static void finished(qemu_plugin_id_t id, void *data) {
    (void)id, (void)data;
    uint64_t total = 0;
    end_interval();
    fputs("],\n\"blocks\": [", out);
    for (struct block *b = first; b; b = b->next) {
        total += b->times * b->length;
        fprintf(out, "%s\n[\"%s\",%" PRIu64 ",\"", b == first ? "" : ",", b->symbol, b->address);
        for (size_t i = 0; i < b->length; i++) fprintf(out, "%08x", b->words[i]);
        fputs("\"]", out);
    }
    fprintf(out, "],\n\"total\": %" PRIu64 "}\n", total);
    fclose(out);
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t *info, int argc, char **argv) {
    (void)info, (void)argc, (void)argv;
    const char *path = getenv("LOWBIT_COUNT");
    out = path ? fopen(path, "w") : NULL;
    if (!out) return -1;
    fputs("{\"intervals\": [", out);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, finished, NULL);
    return 0;
}
