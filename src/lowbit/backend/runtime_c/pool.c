/* A pool of threads for jobs of microseconds.
 *
 * The units of a job lie in shares, one after the other, a thread (or a few) each: whoever comes takes
 * from its own share first, then from the others'.  So what a thread reads of one operation is mostly what
 * it wrote in the one before, and lies in its own cache.
 *
 * A share's ticket = generation << 32 | units left.  Whoever wants work takes some units off it with one
 * compare-and-swap; because the generation is part of the word, a thread that was descheduled and
 * comes back late can neither take from, nor delay, a job that is not its own.  A job is complete
 * when `done` has counted all units but the caller's, not when all threads have looked at it.
 *
 * Idle workers spin, then sleep on `wake` (a futex whose value is the generation).  The caller works
 * too; when the last units are with others it spins, then sleeps on `done`.
 *
 * One job runs at a time.  A caller that finds the pool busy does its job alone: with several callers
 * all threads are busy anyway.
 *
 * A scheduler likes to wake a thread where its waker runs; but the waker goes on computing, and both would share
 * that CPU for milliseconds.  Before workers are woken they are kept off the caller's CPU.
 *
 * Where other programs want the CPUs, too, a worker is now and then descheduled for milliseconds with
 * units in its hands, or costs a wake-up and comes when all is done: two threads take longer than one.
 * A job whose last units come that late, or some time of jobs that nobody came to, halves `width`, the
 * number of threads that take part; the others park.  After `patience` the width is doubled again; every
 * trouble doubles the patience, and HEALTHY_NS at full width without any halve it.
 */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "runtime.h"

enum {
    SPINS = 2000,        /* pauses before sleeping: 40-100 us, more than the serial gaps between operations */
    LATE_NS = 200000,    /* nobody is late by less, nor by less than twice the caller's own part */
    LONELY_NS = 1000000, /* of jobs that the caller did alone, less what it was helped with meanwhile, */
    GRACE_NS = 2000000,  /* and not so soon after workers were woken: an idle CPU takes its time */
    HEALTHY_NS = 16000000,
    LEAST_PATIENCE = 2000000,  /* ns: about a run of a small network, */
    MOST_PATIENCE = 32000000,  /* and many times what a descheduled thread costs */
    MAX_THREADS = 1024,
    MAX_SHARES = 16 /* every job writes them all */
};

struct worker {
    struct lb_pool *pool;
    uint32_t index; /* from 1: the caller is 0 */
    pthread_t thread;
};

struct share {
    _Alignas(64) _Atomic uint64_t ticket;
};

struct lb_pool {
    _Alignas(64) _Atomic uint32_t generation; /* of the job, and what goes with it: one line to fetch */
    _Atomic uint32_t units, shared;           /* shared: width of the pool when the job was given out */
    _Atomic(const struct lb_job *) job;
    _Atomic(void *) context;
    struct share shares[MAX_SHARES];
    _Alignas(64) _Atomic uint32_t done;
    _Alignas(64) _Atomic uint32_t wake;
    _Atomic uint32_t sleepers; /* workers asleep on `wake`, or about to be */
    _Atomic uint32_t caller_sleeps;
    _Alignas(64) _Atomic bool quit; /* a line that seldom changes: idle workers look at it all the time */
    _Atomic int threads;            /* with the caller */
    _Atomic uint32_t width;         /* <= threads; workers from this index on sleep on this word */
    _Alignas(64) _Atomic bool busy; /* a job, or a change of the pool, is under way; its owner has */
    uint64_t patience, changed;     /* ns; the time of the last change of width or patience */
    uint64_t lonely, woken;         /* ns; the time when sleeping workers were last woken */
    int avoided;                    /* the CPU that workers are kept off; -1: none */
    struct worker workers[MAX_THREADS - 1];
};

static void pause_briefly(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    __asm__ volatile("isb"); /* waits tens of cycles, where `yield` is a no-op */
#endif
}

static void futex_wait(_Atomic uint32_t *word, uint32_t value) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word, int count) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

static uint32_t generation(uint64_t ticket) { return (uint32_t)(ticket >> 32); }

static uint32_t shares_of(uint32_t units, uint32_t width) {
    uint32_t shares = width < MAX_SHARES ? width : MAX_SHARES;
    return units < shares ? units : shares;
}

/* The first unit of share `s`. */
static uint32_t share_begin(uint32_t units, uint32_t shares, uint32_t s) { return (uint32_t)((uint64_t)units * s / shares); }

/* Work on the job of generation `mine` until no unit is left; `index`: of this thread, of `width`.  Three quarters of
 * its own share go at once, for the first unit of a call may do what serves all of them (transform inputs), of others' shares
 * one half; single units balance the end.  Returns the units done. */
static uint32_t work(struct lb_pool *pool, uint32_t mine, const struct lb_job *job, void *context, uint32_t units, uint32_t width,
                     uint32_t index) {
    uint32_t shares = shares_of(units, width), own = 0, first = index % width * shares / width;
    void *memory = NULL;
    for (uint32_t i = 0; i < shares; i++) {
        uint32_t s = (first + i) % shares, end = share_begin(units, shares, s + 1);
        _Atomic uint64_t *word = &pool->shares[s].ticket;
        uint64_t ticket = atomic_load_explicit(word, memory_order_acquire);
        while (generation(ticket) == mine && (uint32_t)ticket != 0) {
            uint32_t left = (uint32_t)ticket, most = i ? left / 2 : left - left / 4;
            uint32_t take = (uint32_t)((uint64_t)most * shares / width);
            if (take == 0) take = 1;
            if (!atomic_compare_exchange_weak_explicit(word, &ticket, ticket - take, memory_order_acq_rel, memory_order_acquire))
                continue;
            if (!own && job->enter) memory = job->enter(context); /* `job` and `context` are this job's: it waits for these units */
            job->run(context, memory, (int32_t)(end - left), (int32_t)(end - left + take));
            ticket = atomic_load_explicit(word, memory_order_acquire);
            own += take;
        }
    }
    if (own && job->leave) job->leave(context, memory);
    return own;
}

static void *worker(void *argument) {
    const struct worker *self = argument;
    struct lb_pool *pool = self->pool;
    /* A job already under way goes on without this thread. */
    uint32_t seen = atomic_load(&pool->generation);
    lb_float_default();
    for (;;) {
        uint32_t mine;
        int spins = 0;
        while ((mine = atomic_load_explicit(&pool->generation, memory_order_acquire)) == seen) {
            uint32_t width = atomic_load_explicit(&pool->width, memory_order_relaxed);
            if (atomic_load_explicit(&pool->quit, memory_order_acquire)) return NULL;
            if (self->index >= width) {
                futex_wait(&pool->width, width);
                seen = atomic_load(&pool->generation);
                spins = 0;
                continue;
            }
            if (++spins < SPINS) {
                pause_briefly();
                continue;
            }
            atomic_fetch_add(&pool->sleepers, 1);
            if (!atomic_load(&pool->quit)) futex_wait(&pool->wake, seen);
            atomic_fetch_sub(&pool->sleepers, 1);
            spins = 0;
        }
        seen = mine;
        /* If the job has ended meanwhile these may be those of the next one; then nothing is left in any share
         * of this generation, and the compare-and-swap in work() fails. */
        const struct lb_job *job = atomic_load_explicit(&pool->job, memory_order_relaxed);
        void *context = atomic_load_explicit(&pool->context, memory_order_relaxed);
        uint32_t units = atomic_load_explicit(&pool->units, memory_order_relaxed);
        uint32_t shared = atomic_load_explicit(&pool->shared, memory_order_relaxed);
        uint32_t own = work(pool, mine, job, context, units, shared, self->index);
        if (!own) continue;
        atomic_fetch_add(&pool->done, own); /* once: moving this line between cores costs as much as a small unit */
        if (atomic_load(&pool->caller_sleeps)) futex_wake(&pool->done, 1);
    }
}

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Workers may run where the caller may, but not on the CPU where it is now, unless there is no other. */
static void keep_apart(struct lb_pool *pool) {
    cpu_set_t allowed;
    int cpu = sched_getcpu();
    if (cpu < 0 || cpu == pool->avoided || sched_getaffinity(0, sizeof allowed, &allowed)) return;
    pool->avoided = cpu;
    if (CPU_COUNT(&allowed) > 1) CPU_CLR(cpu, &allowed);
    for (int i = 1; i < atomic_load(&pool->threads); i++)
        pthread_setaffinity_np(pool->workers[i - 1].thread, sizeof allowed, &allowed);
}

/* The threads from `width` on park, the others come back. */
static void set_width(struct lb_pool *pool, uint32_t width) {
    atomic_store(&pool->width, width);
    futex_wake(&pool->width, MAX_THREADS);
    pool->changed = now();
    pool->lonely = 0;
}

static void start(struct lb_pool *pool, int threads) {
    int started = 1;
    sigset_t all, old;
    if (threads < 1) threads = lb_cpu_count();
    if (threads > MAX_THREADS) threads = MAX_THREADS;
    atomic_store(&pool->quit, false);
    atomic_store(&pool->width, MAX_THREADS);
    pool->patience = LEAST_PATIENCE;
    pool->avoided = -1;
    sigfillset(&all); /* signals belong to the program's own threads */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (; started < threads; started++) {
        struct worker *w = &pool->workers[started - 1];
        *w = (struct worker){.pool = pool, .index = (uint32_t)started};
        if (pthread_create(&w->thread, NULL, worker, w)) break;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    atomic_store(&pool->threads, started); /* with fewer threads than asked for it still computes */
    set_width(pool, (uint32_t)started);
}

static void stop(struct lb_pool *pool) {
    int threads = atomic_load(&pool->threads);
    atomic_store(&pool->quit, true);
    set_width(pool, MAX_THREADS);
    atomic_fetch_add(&pool->wake, 1); /* who is about to sleep finds another value */
    futex_wake(&pool->wake, threads);
    for (int i = 1; i < threads; i++) pthread_join(pool->workers[i - 1].thread, NULL);
    atomic_store(&pool->threads, 1);
    atomic_store(&pool->wake, atomic_load(&pool->generation));
}

struct lb_pool *lb_pool_create(int threads) {
    struct lb_pool *pool = aligned_alloc(64, (sizeof *pool + 63) / 64 * 64);
    if (!pool) return NULL;
    memset(pool, 0, sizeof *pool);
    start(pool, threads);
    return pool;
}

void lb_pool_destroy(struct lb_pool *pool) {
    stop(pool);
    free(pool);
}

int lb_pool_threads(const struct lb_pool *pool) { return atomic_load_explicit(&pool->threads, memory_order_relaxed); }

void lb_pool_resize(struct lb_pool *pool, int threads) {
    while (atomic_exchange_explicit(&pool->busy, true, memory_order_acquire)) sched_yield();
    stop(pool);
    start(pool, threads);
    atomic_store_explicit(&pool->busy, false, memory_order_release);
}

void lb_pool_forked(struct lb_pool *pool) {
    int threads = atomic_load(&pool->threads);
    memset(pool, 0, sizeof *pool);
    start(pool, threads);
}

/* Wait until others have done `units` units. */
static void wait_for_others(struct lb_pool *pool, uint32_t units) {
    uint32_t done;
    for (int spins = 0; (done = atomic_load_explicit(&pool->done, memory_order_acquire)) != units;) {
        if (++spins < SPINS) {
            pause_briefly();
            continue;
        }
        atomic_store(&pool->caller_sleeps, 1);
        done = atomic_load(&pool->done);
        if (done != units) futex_wait(&pool->done, done);
        atomic_store(&pool->caller_sleeps, 0);
        spins = 0;
    }
}

static void adapt(struct lb_pool *pool, bool trouble) {
    uint32_t threads = (uint32_t)atomic_load(&pool->threads), width = atomic_load(&pool->width);
    if (trouble) {
        set_width(pool, width / 2);
        if (pool->patience < MOST_PATIENCE) pool->patience *= 2;
    } else if (width < threads) {
        if (now() - pool->changed < pool->patience) return;
        keep_apart(pool);
        set_width(pool, 2 * width < threads ? 2 * width : threads);
    } else if (pool->patience > LEAST_PATIENCE && now() - pool->changed >= HEALTHY_NS) {
        pool->patience /= 2;
        pool->changed = now();
    }
}

/* The job of the pool's owner.  Returns whether it had better been done by fewer. */
static bool run_together(struct lb_pool *pool, const struct lb_job *job, void *context, uint32_t units, uint32_t width) {
    atomic_store_explicit(&pool->done, 0, memory_order_relaxed);
    atomic_store_explicit(&pool->job, job, memory_order_relaxed);
    atomic_store_explicit(&pool->context, context, memory_order_relaxed);
    atomic_store_explicit(&pool->units, units, memory_order_relaxed);
    atomic_store_explicit(&pool->shared, width, memory_order_relaxed);
    uint32_t mine = atomic_load_explicit(&pool->generation, memory_order_relaxed) + 1, shares = shares_of(units, width);
    for (uint32_t s = 0; s < shares; s++) {
        uint64_t left = share_begin(units, shares, s + 1) - share_begin(units, shares, s);
        atomic_store_explicit(&pool->shares[s].ticket, (uint64_t)mine << 32 | left, memory_order_release);
    }
    /* Sequentially consistent, as is the count of sleepers: either the worker sees the new generation
     * or this thread sees the sleeper. */
    atomic_store(&pool->generation, mine);
    atomic_store(&pool->wake, mine);
    uint64_t start = now();
    if (atomic_load(&pool->sleepers)) {
        keep_apart(pool);
        futex_wake(&pool->wake, (int)(units < width ? units : width) - 1);
        pool->woken = start;
    }
    uint32_t own = work(pool, mine, job, context, units, width, 0);
    uint64_t end = now(), time = end - start;
    if (own == units) {
        if (end - pool->woken < GRACE_NS) return false;
        pool->lonely += time;
        return pool->lonely > LONELY_NS;
    }
    uint64_t help = own ? time * (units - own) / own : time;
    pool->lonely -= help < pool->lonely ? help : pool->lonely;
    if (atomic_load_explicit(&pool->done, memory_order_acquire) == units - own) return false;
    wait_for_others(pool, units - own);
    return now() - end > 2 * time + LATE_NS;
}

void lb_pool_run(struct lb_pool *pool, const struct lb_job *job, void *context, uint32_t units) {
    if (units <= 1 || lb_pool_threads(pool) == 1 || atomic_load_explicit(&pool->busy, memory_order_relaxed) ||
        atomic_exchange_explicit(&pool->busy, true, memory_order_acquire)) {
        lb_run_alone(job, context, units);
        return;
    }
    uint32_t width = atomic_load_explicit(&pool->width, memory_order_relaxed);
    bool trouble = false;
    if (width > 1) {
        trouble = run_together(pool, job, context, units, width);
    } else {
        lb_run_alone(job, context, units);
    }
    adapt(pool, trouble);
    atomic_store_explicit(&pool->busy, false, memory_order_release);
}
