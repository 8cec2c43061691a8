/* The tables of a network on a GPU, filled in by the generated source, and the functions that it exports beside those of tables.h. */
#ifndef LB_CUDA_TABLES_H
#define LB_CUDA_TABLES_H

#include "tables.h"

/* A kernel: machine code for one architecture, what a newer one can be given instead, and the text that both are made of. */
struct lb_gpu_kernel {
    const char *symbol;
    const unsigned char *cubin;
    const char *ptx, *text;
    uint32_t threads, shared_bytes;
    uint32_t counted; /* it has an argument more, int32: the units of the call */
    uint32_t scratch; /* bytes of each thread; it has an argument more, a pointer to that of all threads */
};

struct lb_gpu_op {
    struct lb_ref args[7]; /* x r w b s t o */
    uint32_t kernel, units, grid[3], first_fill, fills;
};

struct lb_gpu_tables {
    struct lb_tables base; /* without its operations */
    const struct lb_gpu_kernel *kernels;
    const struct lb_gpu_op *ops;
    const uint64_t *input_bytes, *output_bytes;
    uint32_t kernel_count, major, minor; /* compute capability that the machine code is for */
    const char *made_with;               /* NVRTC's version */
    uint64_t table_bytes, scratch_bytes; /* of base.addresses; of all threads of the kernel that needs most */
};

int lb_run_device(struct lb_network *net, const void *const *inputs, void *const *outputs, void *stream);
int lb_set_device(int device);
int lb_device(const struct lb_network *net);

#define LB_CUDA_API(P)                                                                                      \
    LB_EXPORT int P##_run_device(struct lb_network *net, const void *const *in, void *const *out, void *stream) { \
        return lb_run_device(net, in, out, stream);                                                         \
    }                                                                                                       \
    LB_EXPORT int P##_set_device(int device) { return lb_set_device(device); }                              \
    LB_EXPORT int P##_device(const struct lb_network *net) { return lb_device(net); }

#endif
