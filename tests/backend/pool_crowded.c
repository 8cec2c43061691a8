/* Workers that are late, or that never come, as on CPUs that other programs use: the pool stops asking
 * for them, and asks again once they are punctual. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "runtime.h"

static pthread_t caller;
static _Atomic long helped; /* units that a worker did */
static _Atomic long total;
static _Atomic int late_us; /* what a worker loses in every call */

static void add(void *context, void *own, int32_t lo, int32_t hi) {
    (void)context, (void)own;
    atomic_fetch_add(&total, hi - lo);
    if (pthread_equal(pthread_self(), caller)) {
        usleep(30); /* time for the workers to come, also on a single CPU */
        return;
    }
    atomic_fetch_add(&helped, hi - lo);
    if (late_us) usleep((unsigned)late_us);
}

static const struct lb_job job = {add, NULL, NULL};

static long run(struct lb_pool *pool, int jobs) {
    helped = total = 0;
    for (int i = 0; i < jobs; i++) lb_pool_run(pool, &job, NULL, 16);
    if (total != 16L * jobs) printf("%ld units of %ld\n", (long)total, 16L * jobs);
    return helped;
}

/* Whether workers come to have a share in jobs (or none), before 20 seconds of trying are over: other
 * programs may be using this machine, too. */
static bool comes_to(struct lb_pool *pool, bool share) {
    time_t end = time(NULL) + 20;
    while (time(NULL) < end) {
        long units = run(pool, 50);
        if (share ? units >= 100 : units <= 50) return true;
    }
    return false;
}

int main(void) {
    caller = pthread_self();
    for (int threads = 2; threads <= 8; threads += 3) {
        struct lb_pool *pool = lb_pool_create(threads);
        if (!comes_to(pool, true)) return printf("%d threads: no help at first\n", threads);
        late_us = 20000;
        if (!comes_to(pool, false)) return printf("%d threads: still waiting for late workers\n", threads);
        late_us = 0;
        if (!comes_to(pool, true)) return printf("%d threads: no help any more\n", threads);
        lb_pool_resize(pool, 3);
        if (!comes_to(pool, true)) return printf("%d threads: no help after a change\n", threads);
        lb_pool_destroy(pool);
    }
    puts("ok");
    return 0;
}
