/* A network as a program of its own: what the generated part tells the written part. */
#ifndef LOWBIT_PROGRAM_H
#define LOWBIT_PROGRAM_H

#include <stddef.h>
#include <stdint.h>

/* What a run can end with; `--help` prints the list. */
enum { DONE, BAD_FILE, BAD_USAGE, WRONG_CPU, NO_MEMORY };

struct tensor {
    const char *name;
    uint32_t rank;
    uint64_t shape[8];
    size_t elements; /* float32, */
    int positions;   /* or int64_t */
};

struct operation {
    const char *layer, *kernel;
    uint64_t macs;
};

struct lb_network;

/* The generated description of the one network in this program, and its functions (see lowbit.h). */
struct program {
    const char *name, *target;
    const char *const *features; /* of the CPU, NULL-terminated */
    uint32_t inputs, outputs, operations;
    const struct tensor *input, *output;
    const struct operation *operation;
    const unsigned char *weights, *weights_end;
    struct lb_network *(*open_memory)(const void *weights, size_t size, int threads);
    int (*profile)(struct lb_network *net, const float *const *in, float *const *out, uint64_t *ns);
    int (*threads)(const struct lb_network *net);
    void (*close)(struct lb_network *net);
    const char *(*error)(void);
};
extern const struct program program;

/* cpu.c of the runtime: the first of the features this CPU lacks, or NULL. */
const char *lb_missing_feature(const char *const *features);

/* files.c: .npy files (format 1 to 3, little-endian float32, C order) and raw float32 values.  0 or BAD_FILE, the
 * reason on standard error. */
int read_tensor(const char *path, const struct tensor *tensor, float *values);
int write_tensor(const char *path, int npy, const struct tensor *tensor, const float *values);
/* "[1, 3, 224, 224]"; the text lives until the next call. */
const char *shape_text(const struct tensor *tensor);

/* report.c: ns[run * program.operations + operation]. */
void print_table(const uint64_t *ns, uint32_t runs, int threads);
void print_json(const uint64_t *ns, uint32_t runs, int threads);
void print_largest(const struct tensor *tensor, const float *values);

#endif
