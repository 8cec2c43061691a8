/* A network: opened from its weight file, run from its tables. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fill.h"
#include "runtime.h"

/* The start of a weight file; `sum` is over everything after it. */
struct header {
    char magic[8];
    uint64_t version, bytes, identity, sum, reserved[3];
};

enum { SPARE = 64 }; /* readable bytes behind the last buffer, for loads wider than the data */

/* The memory of one run: the arena, and behind it scratch memory for `slots` threads. */
struct area {
    struct area *next;
    uint8_t *arena;
    size_t bytes;
    int slots;
    atomic_flag taken[]; /* of each slot */
};

struct lb_network {
    const struct lb_tables *tables;
    struct lb_pool *pool;
    uint8_t *memory; /* weights, then constants; read-only once open */
    size_t memory_bytes, constants_at;
    struct area *idle;
    pthread_mutex_t lock; /* of `idle` */
    _Atomic pid_t owner;  /* the process whose threads the pool has */
};

/* Anonymous zeroed memory; large pages spare most page faults and TLB misses where the system has them. */
static uint8_t *map_memory(size_t bytes) {
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return NULL;
    if (bytes >= (size_t)1 << 21) madvise(p, bytes, MADV_HUGEPAGE);
    return p;
}

static size_t round_up(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

/* A page fault in a mapped file brings its neighbours up to this alignment, too.  A multiple of every page size. */
enum { AROUND = 1 << 16 };

void lb_forget(struct lb_file file, uint64_t from, uint64_t to) {
    const uintptr_t start = (uintptr_t)file.data, low = round_up(start, AROUND), last = (start + to) / AROUND * AROUND;
    const uintptr_t first = (start + from) / AROUND * AROUND > low ? (start + from) / AROUND * AROUND : low;
    if (file.mapped && first < last) madvise((void *)first, last - first, MADV_DONTNEED);
}

/* Sum of a bijective mix of every word and its position: any one altered word alters it. */
struct sum {
    struct lb_file file;
    uint64_t words; /* after the header */
    _Atomic uint64_t sum;
};

enum { SUM_WORDS = 1 << 16 }; /* of one unit: few pages, and many units */

static void add_up(void *context, void *own, int32_t lo, int32_t hi) {
    (void)own;
    struct sum *s = context;
    const uint8_t *p = s->file.data + sizeof(struct header);
    for (uint64_t unit = (uint64_t)lo; unit < (uint64_t)hi; unit++) {
        uint64_t sum = 0, first = unit * SUM_WORDS, end = first + SUM_WORDS < s->words ? first + SUM_WORDS : s->words;
        for (uint64_t i = first; i < end; i++) {
            uint64_t v;
            memcpy(&v, p + 8 * i, 8);
            v += i * 0x9e3779b97f4a7c15u;
            sum += (v ^ v >> 29) * 0xbf58476d1ce4e5b9u;
        }
        atomic_fetch_add(&s->sum, sum);
        lb_forget(s->file, sizeof(struct header) + 8 * first, sizeof(struct header) + 8 * end);
    }
}

static uint64_t checksum(struct lb_file file, size_t size, struct lb_pool *pool) {
    struct sum s = {.file = file, .words = (size - sizeof(struct header)) / 8};
    static const struct lb_job job = {add_up, NULL, NULL};
    lb_pool_run(pool, &job, &s, (uint32_t)((s.words + SUM_WORDS - 1) / SUM_WORDS));
    lb_forget(file, 0, size);
    return s.sum;
}

/* Everything about a weight file but its sum. */
static int check(const struct lb_tables *t, const uint8_t *data, size_t size) {
    struct header h;
    if (size < sizeof h) return lb_fail("%s: the weight file has %zu bytes, too few for its header", t->name, size);
    memcpy(&h, data, sizeof h);
    if (memcmp(h.magic, "LOWBITW", 8)) return lb_fail("%s: not a lowbit weight file", t->name);
    if (h.version != 2) return lb_fail("%s: weight file of version %llu; this library reads version 2", t->name, (unsigned long long)h.version);
    if (h.bytes != size)
        return lb_fail("%s: the weight file has %zu bytes but should have %llu", t->name, size, (unsigned long long)h.bytes);
    if (h.identity != t->identity || h.bytes != t->file_bytes)
        return lb_fail("%s: this weight file belongs to another network or another version of it", t->name);
    if (h.reserved[0] | h.reserved[1] | h.reserved[2]) return lb_fail("%s: the weight file is damaged (header)", t->name);
    return 0;
}

static int unpack(struct lb_network *net, struct lb_file file, size_t size) {
    const struct lb_tables *t = net->tables;
    struct header h;
    memcpy(&h, file.data, sizeof h);
    if (h.sum != checksum(file, size, net->pool)) return lb_fail("%s: the weight file is damaged (checksum)", t->name);
    net->constants_at = round_up(t->weight_bytes, 64);
    net->memory_bytes = net->constants_at + t->constant_bytes + SPARE;
    net->memory = map_memory(net->memory_bytes);
    if (!net->memory) return lb_fail("%s: out of memory: %zu bytes for weights", t->name, net->memory_bytes);
    memcpy(net->memory + net->constants_at, file.data + t->file_constants, t->constant_bytes);
    if (lb_unpack(t, file, net->memory, net->pool)) return -1;
    mprotect(net->memory, net->memory_bytes, PROT_READ);
    return 0;
}

static struct lb_network *open_file(const struct lb_tables *tables, struct lb_file file, size_t size, int threads) {
    const char *missing = lb_missing_feature(tables->features);
    if (missing) {
        lb_fail("%s was compiled for %s; this CPU lacks %s", tables->name, tables->target, missing);
        return NULL;
    }
    if (check(tables, file.data, size)) return NULL;
    struct lb_network *net = calloc(1, sizeof *net);
    if (net) net->pool = lb_pool_create(threads);
    if (!net || !net->pool) {
        free(net);
        lb_fail("%s: out of memory", tables->name);
        return NULL;
    }
    net->tables = tables;
    net->owner = getpid();
    pthread_mutex_init(&net->lock, NULL);
    if (unpack(net, file, size)) {
        lb_close(net);
        return NULL;
    }
    return net;
}

struct lb_network *lb_open_memory(const struct lb_tables *tables, const void *data, size_t size, int threads) {
    return open_file(tables, (struct lb_file){data, false}, size, threads);
}

/* Pages are read ahead, and given back once their bytes have been used: what stays is the unpacked weights. */
struct lb_network *lb_open_part(const struct lb_tables *tables, int file, uint64_t offset, uint64_t size, int threads) {
    struct stat status;
    if (fstat(file, &status)) {
        lb_fail("%s: cannot read the weight file: %s", tables->name, strerror(errno));
        return NULL;
    }
    uint64_t end = (uint64_t)status.st_size, before = offset % (uint64_t)sysconf(_SC_PAGESIZE);
    if (size == 0 || size > end || offset > end - size) {
        lb_fail("%s: the weight file takes bytes %llu to %llu of a file of %llu bytes", tables->name, (unsigned long long)offset,
                (unsigned long long)(offset + size), (unsigned long long)end);
        return NULL;
    }
    uint8_t *data = mmap(NULL, before + size, PROT_READ, MAP_PRIVATE, file, (off_t)(offset - before));
    if (data == MAP_FAILED) {
        lb_fail("%s: cannot map the weight file: %s", tables->name, strerror(errno));
        return NULL;
    }
    madvise(data, before + size, MADV_WILLNEED);
    struct lb_network *net = open_file(tables, (struct lb_file){data + before, true}, size, threads);
    munmap(data, before + size);
    return net;
}

struct lb_network *lb_open(const struct lb_tables *tables, const char *path, int threads) {
    struct lb_network *net = NULL;
    struct stat status;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &status)) {
        lb_fail("%s: cannot read the weight file %s: %s", tables->name, path, strerror(errno));
    } else if (status.st_size == 0) {
        lb_fail("%s: the weight file %s is empty", tables->name, path);
    } else {
        net = lb_open_part(tables, file, 0, (uint64_t)status.st_size, threads);
    }
    if (file >= 0) close(file);
    return net;
}

static size_t scratch_at(const struct lb_tables *t, int slot) {
    return round_up(t->arena_bytes + SPARE, 64) + (size_t)slot * round_up(t->scratch_bytes + SPARE, 64);
}

static void free_area(struct area *area) {
    munmap(area->arena, area->bytes);
    free(area);
}

static struct area *take_area(struct lb_network *net) {
    int slots = net->tables->scratch_bytes ? lb_pool_threads(net->pool) : 0;
    pthread_mutex_lock(&net->lock);
    struct area *area = net->idle;
    if (area) net->idle = area->next;
    pthread_mutex_unlock(&net->lock);
    if (area && area->slots >= slots) return area;
    if (area) free_area(area); /* made for fewer threads */
    area = calloc(1, sizeof *area + (size_t)slots * sizeof *area->taken);
    if (!area) return NULL;
    area->slots = slots;
    area->bytes = scratch_at(net->tables, slots);
    area->arena = map_memory(area->bytes);
    if (area->arena) return area;
    free(area);
    return NULL;
}

static void give_area(struct lb_network *net, struct area *area) {
    pthread_mutex_lock(&net->lock);
    area->next = net->idle;
    net->idle = area;
    pthread_mutex_unlock(&net->lock);
}

/* In a child process the parent's threads do not exist and its lock may be held for ever.  Areas in
 * use by other threads at the fork are lost to the child. */
static void adopt(struct lb_network *net) {
    pid_t self = getpid(), owner = atomic_load(&net->owner);
    while (owner != self) {
        if (owner == 0) { /* another thread is at it */
            sched_yield();
            owner = atomic_load(&net->owner);
        } else if (atomic_compare_exchange_strong(&net->owner, &owner, 0)) {
            pthread_mutex_init(&net->lock, NULL);
            lb_pool_forked(net->pool);
            atomic_store(&net->owner, self);
            return;
        }
    }
}

struct call {
    lb_kernel kernel;
    const struct lb_asking *asks;
    void *args[7];
    const struct lb_tables *tables;
    struct area *area;
};

/* Once for each operation when one thread computes: lowbit.emulate counts instructions between its calls. */
static void run_units(void *context, void *own, int32_t lo, int32_t hi) {
    const struct call *c = context;
    void *const *a = c->args;
    if (c->kernel)
        c->kernel(a[0], a[1], a[2], a[3], a[4], a[5], a[6], lo, hi);
    else
        c->asks->kernel(a[0], a[1], a[2], a[3], a[4], a[5], a[6], lo, hi, own);
}

/* Scratch memory for this thread, where the kernel asks for it.  A thread beyond the slots, of a pool that has grown since,
 * waits for one. */
static void *enter(void *context) {
    const struct call *c = context;
    struct area *area = c->area;
    void *own = NULL;
    if (c->asks->kernel) {
        int slot = 0;
        while (atomic_flag_test_and_set_explicit(&area->taken[slot], memory_order_acquire)) slot = (slot + 1) % area->slots;
        own = area->arena + scratch_at(c->tables, slot);
    }
    if (c->asks->begin) c->asks->begin(own);
    return own;
}

static void leave(void *context, void *own) {
    const struct call *c = context;
    if (c->asks->end) c->asks->end(own);
    if (!own) return;
    size_t first = scratch_at(c->tables, 0), pitch = scratch_at(c->tables, 1) - first;
    atomic_flag_clear_explicit(&c->area->taken[((size_t)((uint8_t *)own - c->area->arena) - first) / pitch], memory_order_release);
}

static const struct lb_job plain = {run_units, NULL, NULL}, asking = {run_units, enter, leave};

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int lb_run(struct lb_network *net, const float *const *inputs, float *const *outputs, uint64_t *ns) {
    if (!net || !inputs || !outputs) return lb_fail("run: the network, the inputs and the outputs may not be NULL");
    const struct lb_tables *t = net->tables;
    for (uint32_t i = 0; i < t->input_count; i++)
        if (!inputs[i]) return lb_fail("%s: input %u is NULL", t->name, i);
    for (uint32_t i = 0; i < t->output_count; i++)
        if (!outputs[i]) return lb_fail("%s: output %u is NULL", t->name, i);
    adopt(net);
    struct area *area = take_area(net);
    if (!area) return lb_fail("%s: out of memory: %zu bytes for activations", t->name, (size_t)t->arena_bytes);
    const uintptr_t bases[] = {
        [LB_NULL] = 0,
        [LB_ARENA] = (uintptr_t)area->arena,
        [LB_CONSTANTS] = (uintptr_t)(net->memory + net->constants_at),
        [LB_WEIGHTS] = (uintptr_t)net->memory,
        [LB_TABLES] = (uintptr_t)t->addresses,
    };
    uint64_t modes = lb_float_default(), before = ns ? now() : 0;
    for (uint32_t i = 0; i < t->op_count; i++) {
        const struct lb_op *op = &t->ops[i];
        struct call call;
        call.kernel = op->kernel, call.asks = op->asks, call.tables = t, call.area = area;
        for (int k = 0; k < 7; k++) {
            const struct lb_ref ref = op->args[k];
            if (ref.space == LB_INPUT)
                call.args[k] = (void *)(uintptr_t)inputs[ref.offset]; /* kernels only read it */
            else
                call.args[k] = ref.space == LB_OUTPUT ? outputs[ref.offset] : (void *)(bases[ref.space] + ref.offset);
        }
        for (uint32_t k = 0; k < op->fills; k++) {
            const struct lb_fill *f = &t->fills[op->first_fill + k];
            lb_fill_buffer(area->arena + f->offset, f);
        }
        lb_pool_run(net->pool, op->asks ? &asking : &plain, &call, op->units);
        if (ns) {
            uint64_t after = now();
            ns[i] = after - before;
            before = after;
        }
    }
    lb_float_restore(modes);
    give_area(net, area);
    return 0;
}

int lb_set_threads(struct lb_network *net, int threads) {
    if (!net) return lb_fail("set_threads: the network may not be NULL");
    adopt(net);
    lb_pool_resize(net->pool, threads);
    return 0;
}

int lb_threads(const struct lb_network *net) { return net ? lb_pool_threads(net->pool) : 0; }

void lb_close(struct lb_network *net) {
    if (!net) return;
    if (net->owner == getpid()) lb_pool_destroy(net->pool); /* a child leaves the pool: it has no threads to join */
    for (struct area *area = net->idle, *next; area; area = next) {
        next = area->next;
        free_area(area);
    }
    if (net->memory) munmap(net->memory, net->memory_bytes);
    free(net);
}
