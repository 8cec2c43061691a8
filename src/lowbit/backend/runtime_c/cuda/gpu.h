/* A network on an NVIDIA GPU: what its files share.  One allocation for weights, one for each run that goes on at a time, its calls
 * captured once into a graph.  The primary context of the device is used, as other libraries do: their pointers and streams are
 * ours as well. */
#ifndef LB_CUDA_GPU_H
#define LB_CUDA_GPU_H

#include <pthread.h>
#include <sys/types.h>

#include "cuda_tables.h"
#include "driver.h"
#include "runtime.h"

enum { LB_GPU_ALIGN = 256 };

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

/* gpu.c.  Functions that fail give not 0, or NULL, and leave words in lb_error.  Between enter and leave the context is current, and
 * calls that allocate or ask are allowed while other threads capture graphs. */
int lb_gpu_failed(const struct lb_network *n, CUresult result, const char *what);
int lb_gpu_enter(const struct lb_network *n);
void lb_gpu_leave(const struct lb_network *n);
int lb_gpu_allocate(const struct lb_network *n, CUdeviceptr *memory, size_t bytes, const char *what);
CUdeviceptr lb_gpu_address(const struct lb_network *n, const struct area *area, struct lb_ref ref);
int lb_gpu_launch(const struct lb_network *n, const struct area *area, const struct lb_gpu_op *op, CUstream stream);

/* areas.c.  One that is free on `stream` without waiting, or a new one; when there are many already, one that it waits for. */
struct area *lb_gpu_take_area(struct lb_network *n, CUstream stream, int on_device);
void lb_gpu_give_area(struct lb_network *n, struct area *area);
struct area *lb_gpu_new_area(struct lb_network *n);
void lb_gpu_free_area(struct lb_network *n, struct area *area);

#define TRY(n, call)                                               \
    do {                                                           \
        if (lb_gpu_failed(n, (n)->cuda->call, #call)) goto failed; \
    } while (0)

#endif
