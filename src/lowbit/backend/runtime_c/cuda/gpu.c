/* Calls of the driver: errors in words, its context, memory, addresses, kernels. */
#include "gpu.h"

int lb_gpu_failed(const struct lb_network *n, CUresult result, const char *what) {
    if (!result) return 0;
    return lb_fail("%s on %s: %s: %s (%d)", n->tables->base.name, n->where, what, lb_cuda_text(n->cuda, result), result);
}

enum { RELAXED = 2 }; /* of modes in which streams are captured */
static _Thread_local int mode_before;

int lb_gpu_enter(const struct lb_network *n) {
    if (lb_gpu_failed(n, n->cuda->cuCtxPushCurrent_v2(n->context), "its context")) return -1;
    mode_before = RELAXED;
    n->cuda->cuThreadExchangeStreamCaptureMode(&mode_before);
    return 0;
}
void lb_gpu_leave(const struct lb_network *n) {
    CUcontext old;
    n->cuda->cuThreadExchangeStreamCaptureMode(&mode_before);
    n->cuda->cuCtxPopCurrent_v2(&old);
}

int lb_gpu_allocate(const struct lb_network *n, CUdeviceptr *memory, size_t bytes, const char *what) {
    size_t left = 0, total = 0;
    CUresult result = n->cuda->cuMemAlloc_v2(memory, bytes);
    if (result != CUDA_NO_MEMORY) return lb_gpu_failed(n, result, "cuMemAlloc");
    n->cuda->cuMemGetInfo_v2(&left, &total);
    return lb_fail("%s on %s: out of memory: %zu bytes for %s; %zu of %zu are free", n->tables->base.name, n->where, bytes, what, left, total);
}

CUdeviceptr lb_gpu_address(const struct lb_network *n, const struct area *area, struct lb_ref ref) {
    CUdeviceptr at = 0;
    switch (ref.space) {
    case LB_ARENA: return area->memory + ref.offset;
    case LB_WEIGHTS: return n->memory + ref.offset;
    case LB_CONSTANTS: return n->memory + n->constants_at + ref.offset;
    case LB_TABLES: return n->memory + n->tables_at + ref.offset;
    case LB_INPUT:
        at = area->memory + n->inputs_at;
        for (uint64_t i = 0; i < ref.offset; i++) at += lb_round_up(n->tables->input_bytes[i], LB_GPU_ALIGN);
        return at;
    case LB_OUTPUT:
        at = area->memory + n->outputs_at;
        for (uint64_t i = 0; i < ref.offset; i++) at += lb_round_up(n->tables->output_bytes[i], LB_GPU_ALIGN);
        return at;
    default: return 0;
    }
}

int lb_gpu_launch(const struct lb_network *n, const struct area *area, const struct lb_gpu_op *op, CUstream stream) {
    const struct lb_gpu_kernel *kernel = &n->tables->kernels[op->kernel];
    CUdeviceptr values[7], scratch = area->memory + n->scratch_at;
    uint64_t units = op->units;  /* of which the kernel reads its int32; drivers that do not know how much it takes read more */
    void *arguments[9] = {NULL}; /* those that it does not have are NULL, not whatever lies there */
    int count = 7;
    for (int i = 0; i < 7; i++) {
        values[i] = lb_gpu_address(n, area, op->args[i]);
        arguments[i] = &values[i];
    }
    if (kernel->counted) arguments[count++] = &units;
    if (kernel->scratch) arguments[count++] = &scratch;
    return lb_gpu_failed(n, n->cuda->cuLaunchKernel(n->functions[op->kernel], op->grid[0], op->grid[1], op->grid[2], kernel->threads, 1, 1,
                                             kernel->shared_bytes, stream, arguments, NULL), kernel->symbol);
}
