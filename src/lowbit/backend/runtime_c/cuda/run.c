/* Runs, on streams of others or on our own, and timed ones. */
#include <stdlib.h>
#include <unistd.h>

#include "gpu.h"

enum { TIMED = 0 };

/* Inputs, graph and outputs on `stream`; without `outputs` the inputs alone. */
static int queue(struct lb_network *n, struct area *area, const void *const *inputs, void *const *outputs, int on_device, CUstream stream) {
    const struct lb_gpu_tables *t = n->tables;
    for (uint32_t i = 0; i < t->base.input_count; i++) {
        CUdeviceptr to = lb_gpu_address(n, area, (struct lb_ref){i, LB_INPUT});
        if (on_device) TRY(n, cuMemcpyDtoDAsync_v2(to, (CUdeviceptr)(uintptr_t)inputs[i], t->input_bytes[i], stream));
        else TRY(n, cuMemcpyHtoDAsync_v2(to, inputs[i], t->input_bytes[i], stream));
    }
    if (outputs) TRY(n, cuGraphLaunch(area->exec, stream));
    for (uint32_t i = 0; outputs && i < t->base.output_count; i++) {
        CUdeviceptr from = lb_gpu_address(n, area, (struct lb_ref){i, LB_OUTPUT});
        if (on_device) TRY(n, cuMemcpyDtoDAsync_v2((CUdeviceptr)(uintptr_t)outputs[i], from, t->output_bytes[i], stream));
        else TRY(n, cuMemcpyDtoHAsync_v2(outputs[i], from, t->output_bytes[i], stream));
    }
    return 0;
failed:
    return -1;
}

static int check_call(const struct lb_network *n, const void *const *inputs, void *const *outputs) {
    if (lb_check_call(n ? &n->tables->base : NULL, inputs, outputs)) return -1;
    if (n->owner != getpid()) return lb_fail("%s: a network on a GPU does not run in a forked child; start the process anew and open it there", n->tables->base.name);
    return 0;
}

int lb_run_device(struct lb_network *n, const void *const *inputs, void *const *outputs, void *stream) {
    int result = -1;
    int capturing = 0;
    struct area *area = NULL;
    if (check_call(n, inputs, outputs) || lb_gpu_enter(n)) return -1;
    if (lb_gpu_failed(n, n->cuda->cuStreamIsCapturing(stream, &capturing), "cuStreamIsCapturing")) goto failed;
    if (capturing) { /* what is captured runs whenever somebody likes, and the memory of a run belongs to one at a time */
        lb_fail("%s on %s: the stream is being captured into a graph; the network has a graph of its own, run it outside", n->tables->base.name, n->where);
        goto failed;
    }
    area = lb_gpu_take_area(n, stream, 1);
    if (!area) goto failed;
    result = queue(n, area, inputs, outputs, 1, stream);
    if (lb_gpu_failed(n, n->cuda->cuEventRecord(area->done, stream), "cuEventRecord")) result = -1;
    lb_gpu_give_area(n, area);
failed:
    lb_gpu_leave(n);
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
        if (lb_gpu_launch(n, area, &n->tables->ops[i], area->stream)) goto failed;
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
    if (check_call(n, from, to) || lb_gpu_enter(n)) return -1;
    struct area *area = lb_gpu_take_area(n, NULL, 0);
    if (!area) goto failed;
    result = ns ? queue(n, area, from, NULL, 0, area->stream) : 0;
    if (!result && ns) result = timed(n, area, ns);
    if (!result) result = queue(n, area, from, to, 0, area->stream);
    if (lb_gpu_failed(n, n->cuda->cuStreamSynchronize(area->stream), "running it")) result = -1;
    if (lb_gpu_failed(n, n->cuda->cuEventRecord(area->done, area->stream), "cuEventRecord")) result = -1;
    lb_gpu_give_area(n, area);
failed:
    lb_gpu_leave(n);
    return result;
}
