/* The tables a compiled network consists of, filled in by the generated source, and its exported API. */
#ifndef LB_TABLES_H
#define LB_TABLES_H

#include <stddef.h>
#include <stdint.h>

typedef void (*lb_kernel)(const void *x, const void *r, const void *w, const void *b, const float *s,
                          const int32_t *t, void *o, int32_t lo, int32_t hi);

/* A kernel that asks for scratch memory: `m`, of the thread that computes, `scratch_bytes` large, with any content. */
typedef void (*lb_kernel_with_memory)(const void *x, const void *r, const void *w, const void *b, const float *s,
                                      const int32_t *t, void *o, int32_t lo, int32_t hi, void *m);

/* What a kernel asks for: scratch memory, and what each thread that computes any of its units does before the first and after
 * the last of them.  Each may be NULL. */
struct lb_asking {
    lb_kernel_with_memory kernel;
    void (*begin)(void *m);
    void (*end)(void *m);
};

/* LB_TABLES: lb_tables.addresses. */
enum { LB_NULL, LB_ARENA, LB_CONSTANTS, LB_WEIGHTS, LB_TABLES, LB_INPUT, LB_OUTPUT };

/* A pointer to form: base of `space` + `offset` bytes; for input and output, the index of the tensor. */
struct lb_ref {
    uint64_t offset;
    uint32_t space;
};

/* Bytes to set before an operation.  An image is: head, (row, gap) * (rows - 1), row, tail; the rows
 * are kept, the rest is set to `value`, elements of `element` bytes.  rows = 0: only the head. */
struct lb_fill {
    uint64_t offset, head, row, gap, tail;
    uint32_t images, rows, element, value;
};

struct lb_op {
    lb_kernel kernel;             /* NULL where `asks` has one */
    const struct lb_asking *asks; /* NULL: for nothing */
    struct lb_ref args[7];        /* x r w b s t o */
    uint32_t units, first_fill, fills;
};

/* How to read one bit field f of `container` bits: value = ((f << shift) ^ flip) - minus. */
struct lb_field {
    int32_t container, shift, flip, minus;
};

/* One layer's weights, on disk [n][runs][run_len] fields from byte `source` of the weight file on; in
 * memory [block][step][part][lane nr][k_group] elements (`element` bytes, 0 = one bit, 3 = all
 * k_group, of `bits` bits, in a byte, 5 = two of 4 bits in a byte, 7 = four of 2 bits, 6 = half of a
 * float as bfloat16) from byte `target` on.  What becomes an address lies in lb_tables.addresses, NULL = absent; group_scale is a byte offset in the file, 0 = absent: numbers that weights are multiplied by.
 * split: a bit for each step of each block, 1 = in memory the step is two, its weights in halves; the panels are
 * then followed, on a multiple of 64 bytes, by int32 [first step of each block, blocks + 1 | offset of each step].
 * shuffle: int32; byte i of each stretch of `shuffled` bytes is byte shuffle[i] of what it is otherwise (of elements of 4 and
 * 2 bits: before several of them become a byte). */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers" /* layers without an order leave the last two out */
struct lb_weights {
    uint64_t source, target;
    struct lb_field field;
    uint32_t element, n, runs, run_len, run_pad, nr, k_group, parts, groups, group_size, channels, bits;
    const uint8_t *window_start, *split, *offsets;
    uint64_t group_scale;
    uint32_t shuffled;
    const uint8_t *shuffle;
};

struct lb_tables {
    const char *name, *target, *info;
    const char *const *features; /* NULL-terminated, names as in LLVM */
    const struct lb_op *ops;
    const struct lb_fill *fills;
    const struct lb_weights *weights;
    const uint8_t *addresses; /* on a multiple of 64 bytes */
    uint32_t op_count, weight_count, input_count, output_count;
    uint64_t arena_bytes, scratch_bytes, weight_bytes, constant_bytes;
    uint64_t file_bytes, file_constants, identity; /* of the weight file that belongs to this network */
};

struct lb_network;
struct lb_network *lb_open(const struct lb_tables *tables, const char *path, int threads);
struct lb_network *lb_open_memory(const struct lb_tables *tables, const void *data, size_t size, int threads);
struct lb_network *lb_open_part(const struct lb_tables *tables, int file, uint64_t offset, uint64_t size, int threads);
int lb_run(struct lb_network *net, const float *const *inputs, float *const *outputs, uint64_t *ns);
int lb_set_threads(struct lb_network *net, int threads);
int lb_threads(const struct lb_network *net);
void lb_close(struct lb_network *net);
const char *lb_error(void);

#define LB_EXPORT __attribute__((visibility("default")))

/* The functions of lowbit.h under the prefix `P`, for the network described by `T`; and the prefix
 * itself, for who opens a library without its header. */
#define LB_API(P, T)                                                                                        \
    LB_EXPORT extern const char lowbit_prefix[];                                                            \
    const char lowbit_prefix[] = #P;                                                                        \
    LB_EXPORT struct lb_network *P##_open(const char *path, int threads) { return lb_open(T, path, threads); } \
    LB_EXPORT struct lb_network *P##_open_memory(const void *data, size_t size, int threads) {              \
        return lb_open_memory(T, data, size, threads);                                                      \
    }                                                                                                       \
    LB_EXPORT struct lb_network *P##_open_part(int file, uint64_t offset, uint64_t size, int threads) {     \
        return lb_open_part(T, file, offset, size, threads);                                                \
    }                                                                                                       \
    LB_EXPORT int P##_run(struct lb_network *net, const float *const *in, float *const *out) {              \
        return lb_run(net, in, out, NULL);                                                                  \
    }                                                                                                       \
    LB_EXPORT int P##_profile(struct lb_network *net, const float *const *in, float *const *out, uint64_t *ns) { \
        return lb_run(net, in, out, ns);                                                                    \
    }                                                                                                       \
    LB_EXPORT int P##_set_threads(struct lb_network *net, int threads) { return lb_set_threads(net, threads); } \
    LB_EXPORT int P##_threads(const struct lb_network *net) { return lb_threads(net); }                     \
    LB_EXPORT void P##_close(struct lb_network *net) { lb_close(net); }                                     \
    LB_EXPORT const char *P##_error(void) { return lb_error(); }                                            \
    LB_EXPORT const char *P##_info(void) { return (T)->info; }

#endif
