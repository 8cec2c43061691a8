/* Many callers of one pool while another thread resizes it: every unit is done exactly once, and the
 * caller sees what the workers wrote (plain data, so a thread sanitizer checks the ordering). */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "runtime.h"

enum { MOST = 257 };

struct data {
    int counts[MOST];
    int add;
};

static struct lb_pool *pool;
static _Atomic int callers_left;
static int rounds;

static void add(void *context, void *own, int32_t lo, int32_t hi) {
    if (own != context) abort();
    struct data *d = context;
    for (int32_t i = lo; i < hi; i++) d->counts[i] += d->add;
}

static _Atomic int entered, left;

static void *enter(void *context) {
    atomic_fetch_add(&entered, 1);
    return context;
}

/* The job is not over before everyone left it: whoever asked for it may free what they work on. */
static void leave(void *context, void *own) {
    struct data *d = own;
    if (own != context || d->add <= 0) abort();
    atomic_fetch_add(&left, 1);
}

static const struct lb_job job = {add, enter, leave};

static void *caller(void *seed) {
    struct data *d = calloc(1, sizeof *d);
    unsigned random = (unsigned)(size_t)seed + 1;
    long want[MOST] = {0};
    const char *wrong = NULL;
    for (int round = 0; round < rounds; round++) {
        random = random * 1103515245 + 12345;
        uint32_t units = 1 + (random >> 16) % MOST;
        d->add = round % 7 + 1;
        lb_pool_run(pool, &job, d, units);
        for (uint32_t i = 0; i < units; i++) want[i] += d->add;
        for (uint32_t i = 0; i < MOST; i++)
            if (d->counts[i] != want[i]) wrong = "a unit was lost, done twice, or not seen";
        if ((random >> 8) % 100 == 0) usleep(200); /* long enough for workers to sleep */
    }
    free(d);
    atomic_fetch_sub(&callers_left, 1);
    return (void *)(uintptr_t)wrong;
}

int main(int argc, char **argv) {
    int callers = argc > 1 ? atoi(argv[1]) : 1, resize = argc > 2 && atoi(argv[2]);
    rounds = argc > 3 ? atoi(argv[3]) : 2000;
    static const int counts[] = {1, 2, 3, 4, 5, 16, 23, 37}; /* with shares of one thread each, and of several */
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
        int threads = counts[k];
        pthread_t handles[16];
        pool = lb_pool_create(threads);
        if (!pool || lb_pool_threads(pool) != threads) return printf("no pool of %d threads\n", threads);
        callers_left = callers;
        for (size_t i = 0; i < (size_t)callers; i++) pthread_create(&handles[i], NULL, caller, (void *)i);
        for (int n = 1; resize && callers_left; n = n % 4 + 1) {
            lb_pool_resize(pool, n);
            usleep(300);
        }
        for (int i = 0; i < callers; i++) {
            void *wrong;
            pthread_join(handles[i], &wrong);
            if (wrong) return printf("%d threads: %s\n", threads, (const char *)wrong);
        }
        lb_pool_destroy(pool);
    }
    if (entered != left || entered < callers * rounds) return printf("%d threads entered a job, %d left\n", entered, left);
    puts("ok");
    return 0;
}
