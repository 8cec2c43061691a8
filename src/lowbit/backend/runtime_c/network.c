/* A network: run from its tables. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "fill.h"
#include "runtime.h"

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
    struct lb_memory memory; /* read-only once open */
    struct area *idle;
    pthread_mutex_t lock; /* of `idle` */
    _Atomic pid_t owner;  /* the process whose threads the pool has */
};

struct lb_network *lb_open_file(const struct lb_tables *tables, struct lb_file file, size_t size, int threads) {
    const char *missing = lb_missing_feature(tables->features);
    if (missing) {
        lb_fail("%s was compiled for %s; this CPU lacks %s", tables->name, tables->target, missing);
        return NULL;
    }
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
    if (lb_read_weights(tables, file, size, net->pool, &net->memory)) {
        lb_close(net);
        return NULL;
    }
    mprotect(net->memory.data, net->memory.bytes, PROT_READ);
    return net;
}

static size_t scratch_at(const struct lb_tables *t, int slot) {
    return lb_round_up(t->arena_bytes + LB_SPARE, 64) + (size_t)slot * lb_round_up(t->scratch_bytes + LB_SPARE, 64);
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
    area->arena = lb_map_memory(area->bytes);
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
    const struct lb_tables *t = net ? net->tables : NULL;
    if (lb_check_call(t, (const void *const *)inputs, (void *const *)outputs)) return -1;
    adopt(net);
    struct area *area = take_area(net);
    if (!area) return lb_fail("%s: out of memory: %zu bytes for activations", t->name, (size_t)t->arena_bytes);
    const uintptr_t bases[] = {
        [LB_NULL] = 0,
        [LB_ARENA] = (uintptr_t)area->arena,
        [LB_CONSTANTS] = (uintptr_t)(net->memory.data + net->memory.constants_at),
        [LB_WEIGHTS] = (uintptr_t)net->memory.data,
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
    if (net->memory.data) munmap(net->memory.data, net->memory.bytes);
    free(net);
}
