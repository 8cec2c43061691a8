/* A network is opened and closed: its device, kernels, weights and the first memory of a run. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gpu.h"

enum { BEHIND = 4096 /* readable bytes behind an allocation */, PLAIN_SHARED = 48 << 10, NON_BLOCKING = 1 };

static _Thread_local int next_device;

int lb_set_device(int device) {
    const struct lb_driver *cuda = lb_cuda_driver();
    int count = 0;
    if (!cuda) return -1;
    cuda->cuDeviceGetCount(&count);
    if (device < 0 || device >= count) return lb_fail("there is no GPU %d: this machine has %d, counted from 0", device, count);
    next_device = device;
    return 0;
}

int lb_device(const struct lb_network *net) { return net ? net->device : -1; }

static int load(struct lb_network *n) {
    const struct lb_gpu_tables *t = n->tables;
    int major = 0, minor = 0, version = 0, native;
    char name[96] = "a GPU", said[1024] = "";
    TRY(n, cuDeviceGetAttribute(&major, CUDA_ATTRIBUTE_MAJOR, n->device));
    TRY(n, cuDeviceGetAttribute(&minor, CUDA_ATTRIBUTE_MINOR, n->device));
    n->cuda->cuDeviceGetName(name, sizeof name, n->device);
    n->cuda->cuDriverGetVersion(&version);
    snprintf(n->where, sizeof n->where, "GPU %d (%s, sm_%d%d)", n->device, name, major, minor);
    native = major == (int)t->major && minor >= (int)t->minor;
    if (major * 100 + minor < (int)(t->major * 100 + t->minor))
        return lb_fail("%s was compiled for sm_%u%u and newer; %s is older", t->base.name, t->major, t->minor, n->where);
    for (uint32_t i = 0; i < t->kernel_count; i++) {
        const struct lb_gpu_kernel *kernel = &t->kernels[i];
        int options[] = {CUDA_JIT_ERROR_LOG, CUDA_JIT_ERROR_BYTES};
        void *values[] = {said, (void *)(uintptr_t)(sizeof said - 1)};
        said[0] = 0;
        CUresult result = n->cuda->cuModuleLoadDataEx(&n->modules[i], native ? (const void *)kernel->cubin : kernel->ptx, 2, options, values);
        if (result)
            return lb_fail("%s on %s: the driver, of CUDA %d.%d, does not load %s, made by NVRTC %s: %s (%d)%s%.300s; a driver of an older "
                           "major version needs kernels made by an NVRTC of that version",
                           t->base.name, n->where, version / 1000, version % 1000 / 10, kernel->symbol, t->made_with,
                           lb_cuda_text(n->cuda, result), result, said[0] ? ": " : "", said);
        TRY(n, cuModuleGetFunction(&n->functions[i], n->modules[i], kernel->symbol));
        if (kernel->shared_bytes > PLAIN_SHARED) TRY(n, cuFuncSetAttribute(n->functions[i], CUDA_FUNCTION_SHARED, (int)kernel->shared_bytes));
    }
    return 0;
failed:
    return -1;
}

static int upload(struct lb_network *n, const struct lb_memory *memory) {
    const struct lb_gpu_tables *t = n->tables;
    CUstream stream = NULL;
    int result = -1;
    n->constants_at = memory->constants_at;
    n->tables_at = lb_round_up(memory->bytes, LB_GPU_ALIGN);
    if (lb_gpu_allocate(n, &n->memory, n->tables_at + t->table_bytes + BEHIND, "weights")) return -1;
    TRY(n, cuStreamCreate(&stream, NON_BLOCKING));
    TRY(n, cuMemcpyHtoDAsync_v2(n->memory, memory->data, memory->bytes, stream));
    if (t->table_bytes) TRY(n, cuMemcpyHtoDAsync_v2(n->memory + n->tables_at, t->base.addresses, t->table_bytes, stream));
    TRY(n, cuStreamSynchronize(stream));
    result = 0;
failed:
    if (stream) n->cuda->cuStreamDestroy_v2(stream);
    return result;
}

static void place(struct lb_network *n) {
    const struct lb_gpu_tables *t = n->tables;
    size_t at = lb_round_up(t->base.arena_bytes + LB_SPARE, LB_GPU_ALIGN);
    n->inputs_at = at;
    for (uint32_t i = 0; i < t->base.input_count; i++) at += lb_round_up(t->input_bytes[i], LB_GPU_ALIGN);
    n->outputs_at = at += LB_GPU_ALIGN; /* kernels may read a little behind an input */
    for (uint32_t i = 0; i < t->base.output_count; i++) at += lb_round_up(t->output_bytes[i], LB_GPU_ALIGN);
    n->scratch_at = at;
    n->area_bytes = at + t->scratch_bytes + BEHIND;
}

struct lb_network *lb_open_file(const struct lb_tables *tables, struct lb_file file, size_t size, int threads) {
    const struct lb_driver *cuda = lb_cuda_driver();
    struct lb_memory memory = {0};
    struct lb_pool *pool = NULL;
    struct lb_network *n = cuda ? calloc(1, sizeof *n) : NULL;
    struct area *area = NULL;
    int entered = 0;
    if (!cuda) return NULL;
    if (n) n->tables = (const struct lb_gpu_tables *)(const void *)tables; /* the first member of those */
    if (n) n->modules = calloc(n->tables->kernel_count + 1, sizeof *n->modules);
    if (n) n->functions = calloc(n->tables->kernel_count + 1, sizeof *n->functions);
    pool = lb_pool_create(threads);
    if (!n || !n->modules || !n->functions || !pool) {
        lb_fail("%s: out of memory", tables->name);
        goto failed;
    }
    n->cuda = cuda, n->device = next_device, n->owner = getpid(), n->threads = lb_pool_threads(pool);
    snprintf(n->where, sizeof n->where, "GPU %d", n->device);
    pthread_mutex_init(&n->lock, NULL);
    place(n);
    if (lb_read_weights(tables, file, size, pool, &memory)) goto failed;
    TRY(n, cuDeviceGet(&n->device, next_device));
    TRY(n, cuDevicePrimaryCtxRetain(&n->context, n->device));
    if (lb_gpu_enter(n)) goto failed;
    entered = 1;
    if (load(n) || upload(n, &memory)) goto failed;
    area = lb_gpu_new_area(n); /* what there is no memory for is said now */
    if (!area) goto failed;
    n->areas = 1;
    lb_gpu_give_area(n, area);
    lb_gpu_leave(n);
    munmap(memory.data, memory.bytes);
    lb_pool_destroy(pool);
    return n;
failed:
    if (entered) lb_gpu_leave(n);
    if (memory.data) munmap(memory.data, memory.bytes);
    if (pool) lb_pool_destroy(pool);
    lb_close(n);
    return NULL;
}

/* Of the CPU, which unpack weights when a network is opened; nothing else of it takes time. */
int lb_set_threads(struct lb_network *n, int threads) {
    if (!n) return lb_fail("set_threads: the network may not be NULL");
    n->threads = threads ? threads : 1;
    return 0;
}

int lb_threads(const struct lb_network *n) { return n ? n->threads : 0; }

void lb_close(struct lb_network *n) {
    if (!n) return;
    if (n->context && n->owner == getpid() && !lb_gpu_enter(n)) {
        for (struct area *area = n->idle, *next; area; area = next) {
            next = area->next;
            if (area->used) n->cuda->cuEventSynchronize(area->done);
            lb_gpu_free_area(n, area);
        }
        if (n->memory) n->cuda->cuMemFree_v2(n->memory);
        for (uint32_t i = 0; i < n->tables->kernel_count; i++)
            if (n->modules[i]) n->cuda->cuModuleUnload(n->modules[i]);
        lb_gpu_leave(n);
        n->cuda->cuDevicePrimaryCtxRelease_v2(n->device);
    }
    free(n->modules);
    free(n->functions);
    free(n);
}
