/* The memory of runs: made, filled and captured once, handed from run to run. */
#include <stdlib.h>
#include <sys/mman.h>

#include "fill.h"
#include "gpu.h"

enum { MOST_AREAS = 8, UNTIMED = 2, NON_BLOCKING = 1, OWN_THREAD = 1 };

void lb_gpu_free_area(struct lb_network *n, struct area *area) {
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

struct area *lb_gpu_new_area(struct lb_network *n) {
    struct area *area = calloc(1, sizeof *area);
    int capturing = 0;
    if (!area) {
        lb_fail("%s: out of memory", n->tables->base.name);
        return NULL;
    }
    TRY(n, cuStreamCreate(&area->stream, NON_BLOCKING));
    TRY(n, cuEventCreate(&area->done, UNTIMED));
    if (lb_gpu_allocate(n, &area->memory, n->area_bytes, "a run")) goto failed;
    if (fill(n, area)) goto failed;
    TRY(n, cuStreamBeginCapture_v2(area->stream, OWN_THREAD));
    capturing = 1;
    for (uint32_t i = 0; i < n->tables->base.op_count; i++)
        if (lb_gpu_launch(n, area, &n->tables->ops[i], area->stream)) goto failed;
    capturing = 0;
    TRY(n, cuStreamEndCapture(area->stream, &area->graph));
    TRY(n, cuGraphInstantiateWithFlags(&area->exec, area->graph, 0));
    return area;
failed:
    if (capturing) n->cuda->cuStreamEndCapture(area->stream, &area->graph);
    lb_gpu_free_area(n, area);
    return NULL;
}

void lb_gpu_give_area(struct lb_network *n, struct area *area) {
    pthread_mutex_lock(&n->lock);
    area->next = n->idle;
    n->idle = area;
    pthread_mutex_unlock(&n->lock);
}

struct area *lb_gpu_take_area(struct lb_network *n, CUstream stream, int on_device) {
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
        area = lb_gpu_new_area(n);
        if (!area) {
            pthread_mutex_lock(&n->lock);
            n->areas--;
            pthread_mutex_unlock(&n->lock);
            return NULL;
        }
    }
    if (!on_device) stream = area->stream;
    /* also where it was on this stream: another may have had the same address */
    if (area->used && lb_gpu_failed(n, n->cuda->cuStreamWaitEvent(stream, area->done, 0), "cuStreamWaitEvent")) {
        lb_gpu_give_area(n, area);
        return NULL;
    }
    area->last = stream;
    area->used = 1;
    return area;
}
