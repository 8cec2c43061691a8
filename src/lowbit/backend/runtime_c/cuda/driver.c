/* NVIDIA's driver, opened at run time. */
#include "driver.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "runtime.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct lb_driver driver;
static int ready;
static pid_t owner; /* whose process the driver is of: it does not come along through fork() */

#define FORKED "NVIDIA's driver was opened before the fork() that made this process, and works only in the one that opened it; start " \
               "processes anew (multiprocessing's \"spawn\")"

static int load(void) {
    const char *named = getenv("LOWBIT_CUDA_DRIVER"), *name = named && *named ? named : "libcuda.so.1";
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!library) return lb_fail("there is no NVIDIA driver here: %s", dlerror());
#define RESOLVE(f, arguments) \
    if (!(*(void **)&driver.f = dlsym(library, #f))) return lb_fail("the NVIDIA driver is too old: %s has no function " #f, name);
    LB_CUDA_FUNCTIONS(RESOLVE)
    CUresult result = driver.cuInit(0);
    if (result == CUDA_NOT_INITIALIZED) return lb_fail(FORKED); /* what cuInit says then */
    if (result) return lb_fail("the NVIDIA driver finds no GPU: %s", lb_cuda_text(&driver, result));
    return 0;
}

const struct lb_driver *lb_cuda_driver(void) {
    pthread_mutex_lock(&lock);
    if (!ready && load() == 0) ready = 1, owner = getpid();
    int found = ready;
    if (found && owner != getpid()) {
        lb_fail(FORKED);
        found = 0;
    }
    pthread_mutex_unlock(&lock);
    return found ? &driver : NULL;
}

const char *lb_cuda_text(const struct lb_driver *cuda, CUresult result) {
    const char *text = NULL;
    return cuda->cuGetErrorString(result, &text) == 0 && text ? text : "an error that the driver has no words for";
}
