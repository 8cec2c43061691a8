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

#include "runtime.h"

/* The start of a weight file; `sum` is over everything after it. */
struct header {
    char magic[8];
    uint64_t version, bytes, identity, sum, reserved[3];
};

enum { SPARE = 64 }; /* readable bytes behind the last buffer, for loads wider than the data */

/* The memory of one run. */
struct area {
    struct area *next;
    uint8_t *arena;
};

struct lb_network {
    const struct lb_tables *tables;
    struct lb_pool *pool;
    uint8_t *memory; /* weights, then constants; read-only once open */
    size_t memory_bytes, constants_at, arena_bytes;
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

/* Sum of a bijective mix of every word and its position: any one altered word alters it. */
static uint64_t checksum(const uint8_t *p, size_t words) {
    uint64_t sum = 0;
    for (size_t i = 0; i < words; i++) {
        uint64_t v;
        memcpy(&v, p + 8 * i, 8);
        v += (uint64_t)i * 0x9e3779b97f4a7c15u;
        sum += (v ^ v >> 29) * 0xbf58476d1ce4e5b9u;
    }
    return sum;
}

static int check(const struct lb_tables *t, const uint8_t *data, size_t size) {
    struct header h;
    if (size < sizeof h) return lb_fail("%s: the weight file has %zu bytes, too few for its header", t->name, size);
    memcpy(&h, data, sizeof h);
    if (memcmp(h.magic, "LOWBITW", 8)) return lb_fail("%s: not a lowbit weight file", t->name);
    if (h.version != 1) return lb_fail("%s: weight file of version %llu; this library reads version 1", t->name, (unsigned long long)h.version);
    if (h.bytes != size)
        return lb_fail("%s: the weight file has %zu bytes but should have %llu", t->name, size, (unsigned long long)h.bytes);
    if (h.identity != t->identity || h.bytes != t->file_bytes)
        return lb_fail("%s: this weight file belongs to another network or another version of it", t->name);
    if (h.sum != checksum(data + sizeof h, (size - sizeof h) / 8)) return lb_fail("%s: the weight file is damaged (checksum)", t->name);
    return 0;
}

static int unpack(struct lb_network *net, const uint8_t *data) {
    const struct lb_tables *t = net->tables;
    net->constants_at = round_up(t->weight_bytes, 64);
    net->memory_bytes = net->constants_at + t->constant_bytes + SPARE;
    net->memory = map_memory(net->memory_bytes);
    if (!net->memory) return lb_fail("%s: out of memory: %zu bytes for weights", t->name, net->memory_bytes);
    memcpy(net->memory + net->constants_at, data + t->file_constants, t->constant_bytes);
    if (lb_unpack(t, data, net->memory, net->pool)) return -1;
    mprotect(net->memory, net->memory_bytes, PROT_READ);
    return 0;
}

struct lb_network *lb_open_memory(const struct lb_tables *tables, const void *data, size_t size, int threads) {
    const char *missing = lb_missing_feature(tables->features);
    if (missing) {
        lb_fail("%s was compiled for %s; this CPU lacks %s", tables->name, tables->target, missing);
        return NULL;
    }
    if (check(tables, data, size)) return NULL;
    struct lb_network *net = calloc(1, sizeof *net);
    if (net) net->pool = lb_pool_create(threads);
    if (!net || !net->pool) {
        free(net);
        lb_fail("%s: out of memory", tables->name);
        return NULL;
    }
    net->tables = tables;
    net->arena_bytes = tables->arena_bytes + SPARE;
    net->owner = getpid();
    pthread_mutex_init(&net->lock, NULL);
    if (unpack(net, data)) {
        lb_close(net);
        return NULL;
    }
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
        size_t size = (size_t)status.st_size;
        void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
        if (data == MAP_FAILED) {
            lb_fail("%s: cannot map the weight file %s: %s", tables->name, path, strerror(errno));
        } else {
            net = lb_open_memory(tables, data, size, threads);
            munmap(data, size);
        }
    }
    if (file >= 0) close(file);
    return net;
}

static struct area *take_area(struct lb_network *net) {
    pthread_mutex_lock(&net->lock);
    struct area *area = net->idle;
    if (area) net->idle = area->next;
    pthread_mutex_unlock(&net->lock);
    if (area) return area;
    area = malloc(sizeof *area);
    if (area && !(area->arena = map_memory(net->arena_bytes))) {
        free(area);
        area = NULL;
    }
    return area;
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

static void fill(uint8_t *p, uint64_t bytes, const struct lb_fill *f) {
    if (f->element == 1) {
        memset(p, (int)f->value, bytes);
    } else if (f->value == 0) {
        memset(p, 0, bytes);
    } else {
        for (uint64_t i = 0; i < bytes; i += f->element) memcpy(p + i, &f->value, f->element);
    }
}

static void fill_buffer(uint8_t *p, const struct lb_fill *f) {
    for (uint32_t image = 0; image < f->images; image++) {
        fill(p, f->head, f);
        p += f->head;
        for (uint32_t row = 1; row < f->rows; row++) {
            p += f->row;
            fill(p, f->gap, f);
            p += f->gap;
        }
        if (f->rows) p += f->row;
        fill(p, f->tail, f);
        p += f->tail;
    }
}

struct call {
    lb_kernel kernel;
    void *args[7];
};

static void run_units(void *context, int32_t lo, int32_t hi) {
    const struct call *c = context;
    c->kernel(c->args[0], c->args[1], c->args[2], c->args[3], c->args[4], c->args[5], c->args[6], lo, hi);
}

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *pointer(const struct lb_network *net, const struct area *area, const float *const *inputs,
                     float *const *outputs, struct lb_ref ref) {
    switch (ref.space) {
    case LB_ARENA: return area->arena + ref.offset;
    case LB_CONSTANTS: return net->memory + net->constants_at + ref.offset;
    case LB_WEIGHTS: return net->memory + ref.offset;
    case LB_INPUT: return (void *)(uintptr_t)inputs[ref.offset]; /* kernels only read it */
    case LB_OUTPUT: return outputs[ref.offset];
    default: return NULL;
    }
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
    if (!area) return lb_fail("%s: out of memory: %zu bytes for activations", t->name, net->arena_bytes);
    uint64_t modes = lb_float_default(), before = ns ? now() : 0;
    for (uint32_t i = 0; i < t->op_count; i++) {
        const struct lb_op *op = &t->ops[i];
        struct call call = {.kernel = op->kernel};
        for (int k = 0; k < 7; k++) call.args[k] = pointer(net, area, inputs, outputs, op->args[k]);
        for (uint32_t k = 0; k < op->fills; k++) {
            const struct lb_fill *f = &t->fills[op->first_fill + k];
            fill_buffer(area->arena + f->offset, f);
        }
        lb_pool_run(net->pool, run_units, &call, op->units);
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
        munmap(area->arena, net->arena_bytes);
        free(area);
    }
    if (net->memory) munmap(net->memory, net->memory_bytes);
    free(net);
}
