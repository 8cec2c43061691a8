/* Of a job of 64 units on two threads the caller begins with unit 0, a worker that comes with unit 32; of its own share each takes
 * three quarters at once, and no call crosses from one share to the other. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "runtime.h"

enum { UNITS = 64, JOBS = 2000 };

static _Atomic int count;
static struct {
    pthread_t thread;
    int lo, hi;
} calls[UNITS];

static void spin(void *context, void *own, int32_t lo, int32_t hi) {
    (void)context, (void)own;
    int at = atomic_fetch_add(&count, 1);
    calls[at].thread = pthread_self(), calls[at].lo = lo, calls[at].hi = hi;
    for (volatile int i = 0; i < 3000 * (hi - lo); i++) {
    }
}

static const struct lb_job job = {spin, NULL, NULL};

int main(void) {
    struct lb_pool *pool = lb_pool_create(2);
    int together = 0;
    for (int round = 0; round < JOBS; round++) {
        count = 0;
        lb_pool_run(pool, &job, NULL, UNITS);
        int mine = -1, other = -1, done = 0;
        for (int i = 0; i < count; i++) {
            int *first = pthread_equal(calls[i].thread, pthread_self()) ? &mine : &other;
            if (*first < 0) *first = i;
            done += calls[i].hi - calls[i].lo;
            if (count > 1 && calls[i].lo / 32 != (calls[i].hi - 1) / 32) return puts("a call across shares");
        }
        if (done != UNITS) return puts("not every unit");
        if (mine < 0 || other < 0 || count == 1) continue; /* nobody came, or only one thread works at present */
        if (calls[mine].lo == 0 && calls[mine].hi == 24 && calls[other].lo == 32 && calls[other].hi == 56) together++;
    }
    lb_pool_destroy(pool);
    if (together == 0) return puts("never a share each");
    puts("ok");
    return 0;
}
