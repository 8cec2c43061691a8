/* The parts of the runtime. */
#ifndef LB_RUNTIME_H
#define LB_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tables.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "weight files are little-endian"
#endif

/* error.c: keep a text for lb_error, in this thread; returns -1. */
int lb_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Fails for a pointer of a run that is NULL; `t` is NULL where the network is. */
int lb_check_call(const struct lb_tables *t, const void *const *inputs, void *const *outputs);

/* cpu.c: the first of the features this CPU (or its operating system) lacks, or NULL.  Asks the system for AMX's tiles. */
const char *lb_missing_feature(const char *const *features);
/* CPUs this process may use, by its affinity and by its control group's quota; at least 1. */
int lb_cpu_count(void);
/* CPUs that a cgroup file "cpu.max" allows, rounded up; 0 = no limit. */
int lb_cpu_quota(const char *path);
/* Default rounding and no flushing of denormals, so that results do not depend on the caller's modes.
 * Returns what lb_float_restore puts back. */
uint64_t lb_float_default(void);
void lb_float_restore(uint64_t state);

/* pool.c: threads that share the units [0, units) of one job at a time.  `run` does units [lo, hi).  A thread that does any calls
 * `enter` (NULL: nothing) before the first and `leave` after the last of them; `own` is what `enter` returned. */
struct lb_job {
    void (*run)(void *context, void *own, int32_t lo, int32_t hi);
    void *(*enter)(void *context);
    void (*leave)(void *context, void *own);
};
struct lb_pool;
struct lb_pool *lb_pool_create(int threads);
void lb_pool_destroy(struct lb_pool *pool);
int lb_pool_threads(const struct lb_pool *pool);
void lb_pool_resize(struct lb_pool *pool, int threads);
void lb_pool_run(struct lb_pool *pool, const struct lb_job *job, void *context, uint32_t units);
/* All of a job in this thread. */
static inline void lb_run_alone(const struct lb_job *job, void *context, uint32_t units) {
    void *own = job->enter ? job->enter(context) : NULL;
    job->run(context, own, 0, (int32_t)units);
    if (job->leave) job->leave(context, own);
}
/* In a child process: forget the parent's threads and start own ones. */
void lb_pool_forked(struct lb_pool *pool);

/* The bytes of a weight file, and whether they are a mapping of the file of which pages may be given back. */
struct lb_file {
    const uint8_t *data;
    bool mapped;
};
/* weights.c: bytes [from, to) will not be read again soon.  What follows may be, if on the same page. */
void lb_forget(struct lb_file file, uint64_t from, uint64_t to);

enum { LB_SPARE = 64 }; /* readable bytes behind the last buffer, for loads wider than the data */
static inline size_t lb_round_up(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

/* weights.c: anonymous zeroed memory, NULL where there is none. */
uint8_t *lb_map_memory(size_t bytes);
/* Unpacked weights, then constants; what lb_map_memory gave. */
struct lb_memory {
    uint8_t *data;
    size_t bytes, constants_at;
};
/* Checks a weight file and unpacks it; `memory` is what there is of it even where that fails. */
int lb_read_weights(const struct lb_tables *tables, struct lb_file file, size_t size, struct lb_pool *pool, struct lb_memory *memory);
/* network.c, or cuda/open.c: lb_open and its like once the bytes of the weight file are at hand. */
struct lb_network *lb_open_file(const struct lb_tables *tables, struct lb_file file, size_t size, int threads);

/* unpack.c: all weights, from a checked weight file into zeroed memory. */
int lb_unpack(const struct lb_tables *tables, struct lb_file file, uint8_t *memory, struct lb_pool *pool);

#endif
