/* A network on an NVIDIA GPU: one allocation for weights, one for each run that goes on at a time, its calls captured once into a
 * graph.  The primary context of the device is used, as other libraries do: their pointers and streams are ours as well. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#include "cuda_tables.h"
#include "driver.h"
#include "fill.h"
#include "runtime.h"

enum { MOST_AREAS = 8, ALIGN = 256, BEHIND = 4096 /* readable bytes behind an allocation */, PLAIN_SHARED = 48 << 10, TIMED = 0, UNTIMED = 2, NON_BLOCKING = 1, OWN_THREAD = 1 };

/* The memory of one run: arena | inputs | outputs | scratch, and the graph whose kernels have their addresses. */
struct area {
    struct area *next;
    CUdeviceptr memory;
    CUgraph graph;
    CUgraphExec exec;
    CUstream stream; /* for callers without one */
    CUevent done;    /* recorded behind the last run */
    CUstream last;   /* on which that was */
    int used;
};

struct lb_network {
    const struct lb_gpu_tables *tables;
    const struct lb_driver *cuda;
    CUcontext context;
    int device, threads, areas;
    CUmodule *modules;
    CUfunction *functions;
    CUdeviceptr memory; /* weights | constants | tables */
    size_t constants_at, tables_at, inputs_at, outputs_at, scratch_at, area_bytes;
    struct area *idle;
    pthread_mutex_t lock; /* of `idle`, `areas` */
    pid_t owner;
    char where[160]; /* the device, in words */
};

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

static int failed(const struct lb_network *n, CUresult result, const char *what) {
    if (!result) return 0;
    return lb_fail("%s on %s: %s: %s (%d)", n->tables->base.name, n->where, what, lb_cuda_text(n->cuda, result), result);
}
#define TRY(n, call)                                           \
    do {                                                       \
        if (failed(n, (n)->cuda->call, #call)) goto failed;    \
    } while (0)

static int enter(const struct lb_network *n) { return failed(n, n->cuda->cuCtxPushCurrent_v2(n->context), "its context"); }
static void leave(const struct lb_network *n) {
    CUcontext old;
    n->cuda->cuCtxPopCurrent_v2(&old);
}

static int allocate(const struct lb_network *n, CUdeviceptr *memory, size_t bytes, const char *what) {
    size_t left = 0, total = 0;
    CUresult result = n->cuda->cuMemAlloc_v2(memory, bytes);
    if (result != CUDA_NO_MEMORY) return failed(n, result, "cuMemAlloc");
    n->cuda->cuMemGetInfo_v2(&left, &total);
    return lb_fail("%s on %s: out of memory: %zu bytes for %s; %zu of %zu are free", n->tables->base.name, n->where, bytes, what, left, total);
}

static CUdeviceptr address(const struct lb_network *n, const struct area *area, struct lb_ref ref) {
    CUdeviceptr at = 0;
    switch (ref.space) {
    case LB_ARENA: return area->memory + ref.offset;
    case LB_WEIGHTS: return n->memory + ref.offset;
    case LB_CONSTANTS: return n->memory + n->constants_at + ref.offset;
    case LB_TABLES: return n->memory + n->tables_at + ref.offset;
    case LB_INPUT:
        at = area->memory + n->inputs_at;
        for (uint64_t i = 0; i < ref.offset; i++) at += lb_round_up(n->tables->input_bytes[i], ALIGN);
        return at;
    case LB_OUTPUT:
        at = area->memory + n->outputs_at;
        for (uint64_t i = 0; i < ref.offset; i++) at += lb_round_up(n->tables->output_bytes[i], ALIGN);
        return at;
    default: return 0;
    }
}

static int launch(const struct lb_network *n, const struct area *area, const struct lb_gpu_op *op, CUstream stream) {
    const struct lb_gpu_kernel *kernel = &n->tables->kernels[op->kernel];
    CUdeviceptr values[7], scratch = area->memory + n->scratch_at;
    int32_t units = (int32_t)op->units;
    void *arguments[9];
    int count = 7;
    for (int i = 0; i < 7; i++) {
        values[i] = address(n, area, op->args[i]);
        arguments[i] = &values[i];
    }
    if (kernel->counted) arguments[count++] = &units;
    if (kernel->scratch) arguments[count++] = &scratch;
    return failed(n, n->cuda->cuLaunchKernel(n->functions[op->kernel], op->grid[0], op->grid[1], op->grid[2], kernel->threads, 1, 1,
                                             kernel->shared_bytes, stream, arguments, NULL), kernel->symbol);
}

static void free_area(struct lb_network *n, struct area *area) {
    if (area->exec) n->cuda->cuGraphExecDestroy(area->exec);
    if (area->graph) n->cuda->cuGraphDestroy(area->graph);
    if (area->done) n->cuda->cuEventDestroy_v2(area->done);
    if (area->stream) n->cuda->cuStreamDestroy_v2(area->stream);
    if (area->memory) n->cuda->cuMemFree_v2(area->memory);
    free(area);
}

/* What surrounds activations is written once: no two of them share memory where anything does (lowering/plan_memory.py). */
static int fill(struct lb_network *n, struct area *area) {
    const struct lb_tables *t = &n->tables->base;
    uint8_t *image = t->arena_bytes ? lb_map_memory(t->arena_bytes) : NULL;
    int result = -1;
    if (!t->arena_bytes) return 0;
    if (!image) return lb_fail("%s: out of memory: %llu bytes for activations", t->name, (unsigned long long)t->arena_bytes);
    for (uint32_t i = 0; i < t->op_count; i++)
        for (uint32_t k = 0; k < n->tables->ops[i].fills; k++) {
            const struct lb_fill *f = &t->fills[n->tables->ops[i].first_fill + k];
            lb_fill_buffer(image + f->offset, f);
        }
    TRY(n, cuMemcpyHtoDAsync_v2(area->memory, image, t->arena_bytes, area->stream));
    TRY(n, cuStreamSynchronize(area->stream));
    result = 0;
failed:
    munmap(image, t->arena_bytes);
    return result;
}

static struct area *new_area(struct lb_network *n) {
    struct area *area = calloc(1, sizeof *area);
    int capturing = 0;
    if (!area) {
        lb_fail("%s: out of memory", n->tables->base.name);
        return NULL;
    }
    TRY(n, cuStreamCreate(&area->stream, NON_BLOCKING));
    TRY(n, cuEventCreate(&area->done, UNTIMED));
    if (allocate(n, &area->memory, n->area_bytes, "a run")) goto failed;
    if (fill(n, area)) goto failed;
    TRY(n, cuStreamBeginCapture_v2(area->stream, OWN_THREAD));
    capturing = 1;
    for (uint32_t i = 0; i < n->tables->base.op_count; i++)
        if (launch(n, area, &n->tables->ops[i], area->stream)) goto failed;
    capturing = 0;
    TRY(n, cuStreamEndCapture(area->stream, &area->graph));
    TRY(n, cuGraphInstantiateWithFlags(&area->exec, area->graph, 0));
    return area;
failed:
    if (capturing) n->cuda->cuStreamEndCapture(area->stream, &area->graph);
    free_area(n, area);
    return NULL;
}

static void give_area(struct lb_network *n, struct area *area) {
    pthread_mutex_lock(&n->lock);
    area->next = n->idle;
    n->idle = area;
    pthread_mutex_unlock(&n->lock);
}

/* One that is free on `stream` without waiting, or a new one; when there are many already, one that it waits for. */
static struct area *take_area(struct lb_network *n, CUstream stream, int on_device) {
    struct area *area = NULL;
    pthread_mutex_lock(&n->lock);
    for (struct area **at = &n->idle; *at; at = &(*at)->next)
        if (!(*at)->used || (on_device && (*at)->last == stream) || n->cuda->cuEventQuery((*at)->done) == 0) {
            area = *at;
            *at = area->next;
            break;
        }
    if (!area && n->idle && n->areas >= MOST_AREAS) {
        area = n->idle;
        n->idle = area->next;
    }
    if (!area) n->areas++;
    pthread_mutex_unlock(&n->lock);
    if (!area) {
        area = new_area(n);
        if (!area) {
            pthread_mutex_lock(&n->lock);
            n->areas--;
            pthread_mutex_unlock(&n->lock);
            return NULL;
        }
    }
    if (!on_device) stream = area->stream;
    if (area->used && area->last != stream && failed(n, n->cuda->cuStreamWaitEvent(stream, area->done, 0), "cuStreamWaitEvent")) {
        give_area(n, area);
        return NULL;
    }
    area->last = stream;
    area->used = 1;
    return area;
}

static int load(struct lb_network *n) {
    const struct lb_gpu_tables *t = n->tables;
    int major = 0, minor = 0, version = 0, native;
    char name[96] = "a GPU", said[1024];
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
        void *values[] = {said, (void *)(uintptr_t)sizeof said};
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
    n->tables_at = lb_round_up(memory->bytes, ALIGN);
    if (allocate(n, &n->memory, n->tables_at + t->table_bytes + BEHIND, "weights")) return -1;
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
    size_t at = lb_round_up(t->base.arena_bytes + LB_SPARE, ALIGN);
    n->inputs_at = at;
    for (uint32_t i = 0; i < t->base.input_count; i++) at += lb_round_up(t->input_bytes[i], ALIGN);
    n->outputs_at = at += ALIGN; /* kernels may read a little behind an input */
    for (uint32_t i = 0; i < t->base.output_count; i++) at += lb_round_up(t->output_bytes[i], ALIGN);
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
    if (enter(n)) goto failed;
    entered = 1;
    if (load(n) || upload(n, &memory)) goto failed;
    area = new_area(n); /* what there is no memory for is said now */
    if (!area) goto failed;
    n->areas = 1;
    give_area(n, area);
    leave(n);
    munmap(memory.data, memory.bytes);
    lb_pool_destroy(pool);
    return n;
failed:
    if (entered) leave(n);
    if (memory.data) munmap(memory.data, memory.bytes);
    if (pool) lb_pool_destroy(pool);
    lb_close(n);
    return NULL;
}

/* Inputs, graph and outputs on `stream`, or, with `ns`, the operations one by one. */
static int queue(struct lb_network *n, struct area *area, const void *const *inputs, void *const *outputs, int on_device, CUstream stream) {
    const struct lb_gpu_tables *t = n->tables;
    for (uint32_t i = 0; i < t->base.input_count; i++) {
        CUdeviceptr to = address(n, area, (struct lb_ref){i, LB_INPUT});
        if (on_device) TRY(n, cuMemcpyDtoDAsync_v2(to, (CUdeviceptr)(uintptr_t)inputs[i], t->input_bytes[i], stream));
        else TRY(n, cuMemcpyHtoDAsync_v2(to, inputs[i], t->input_bytes[i], stream));
    }
    if (outputs) TRY(n, cuGraphLaunch(area->exec, stream));
    for (uint32_t i = 0; outputs && i < t->base.output_count; i++) {
        CUdeviceptr from = address(n, area, (struct lb_ref){i, LB_OUTPUT});
        if (on_device) TRY(n, cuMemcpyDtoDAsync_v2((CUdeviceptr)(uintptr_t)outputs[i], from, t->output_bytes[i], stream));
        else TRY(n, cuMemcpyDtoHAsync_v2(outputs[i], from, t->output_bytes[i], stream));
    }
    return 0;
failed:
    return -1;
}

static int check_call(const struct lb_network *n, const void *const *inputs, void *const *outputs) {
    if (!n || !inputs || !outputs) return lb_fail("run: the network, the inputs and the outputs may not be NULL");
    const struct lb_tables *t = &n->tables->base;
    for (uint32_t i = 0; i < t->input_count; i++)
        if (!inputs[i]) return lb_fail("%s: input %u is NULL", t->name, i);
    for (uint32_t i = 0; i < t->output_count; i++)
        if (!outputs[i]) return lb_fail("%s: output %u is NULL", t->name, i);
    if (n->owner != getpid()) return lb_fail("%s: a network on a GPU does not run in a forked child; open it there", t->name);
    return 0;
}

int lb_run_device(struct lb_network *n, const void *const *inputs, void *const *outputs, void *stream) {
    int result = -1;
    if (check_call(n, inputs, outputs) || enter(n)) return -1;
    struct area *area = take_area(n, stream, 1);
    if (!area) goto failed;
    result = queue(n, area, inputs, outputs, 1, stream);
    if (failed(n, n->cuda->cuEventRecord(area->done, stream), "cuEventRecord")) result = -1;
    give_area(n, area);
failed:
    leave(n);
    return result;
}

/* The operations one after another, an event between each two. */
static int timed(struct lb_network *n, struct area *area, uint64_t *ns) {
    uint32_t count = n->tables->base.op_count;
    CUevent *events = calloc(count + 1, sizeof *events);
    int result = -1;
    if (!events) return lb_fail("%s: out of memory", n->tables->base.name);
    for (uint32_t i = 0; i <= count; i++) TRY(n, cuEventCreate(&events[i], TIMED));
    TRY(n, cuEventRecord(events[0], area->stream));
    for (uint32_t i = 0; i < count; i++) {
        if (launch(n, area, &n->tables->ops[i], area->stream)) goto failed;
        TRY(n, cuEventRecord(events[i + 1], area->stream));
    }
    TRY(n, cuEventSynchronize(events[count]));
    for (uint32_t i = 0; i < count; i++) {
        float milliseconds = 0;
        TRY(n, cuEventElapsedTime(&milliseconds, events[i], events[i + 1]));
        ns[i] = (uint64_t)(milliseconds * 1e6);
    }
    result = 0;
failed:
    for (uint32_t i = 0; i <= count; i++)
        if (events[i]) n->cuda->cuEventDestroy_v2(events[i]);
    free(events);
    return result;
}

int lb_run(struct lb_network *n, const float *const *inputs, float *const *outputs, uint64_t *ns) {
    const void *const *from = (const void *const *)inputs;
    void *const *to = (void *const *)outputs;
    int result = -1;
    if (check_call(n, from, to) || enter(n)) return -1;
    struct area *area = take_area(n, NULL, 0);
    if (!area) goto failed;
    result = ns ? queue(n, area, from, NULL, 0, area->stream) : 0;
    if (!result && ns) result = timed(n, area, ns);
    if (!result) result = queue(n, area, from, to, 0, area->stream);
    if (failed(n, n->cuda->cuStreamSynchronize(area->stream), "running it")) result = -1;
    if (failed(n, n->cuda->cuEventRecord(area->done, area->stream), "cuEventRecord")) result = -1;
    give_area(n, area);
failed:
    leave(n);
    return result;
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
    if (n->context && n->owner == getpid() && !enter(n)) {
        for (struct area *area = n->idle, *next; area; area = next) {
            next = area->next;
            if (area->used) n->cuda->cuEventSynchronize(area->done);
            free_area(n, area);
        }
        if (n->memory) n->cuda->cuMemFree_v2(n->memory);
        for (uint32_t i = 0; i < n->tables->kernel_count; i++)
            if (n->modules[i]) n->cuda->cuModuleUnload(n->modules[i]);
        leave(n);
        n->cuda->cuDevicePrimaryCtxRelease_v2(n->device);
    }
    free(n->modules);
    free(n->functions);
    free(n);
}
