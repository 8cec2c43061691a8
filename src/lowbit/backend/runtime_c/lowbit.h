/* lowbit: the C interface of one compiled network.
 *
 * The header written beside a network is this one with `lowbit_` replaced by the network's own
 * prefix, so that several networks can live in one program.  Nothing but these functions is exported.
 *
 *     lowbit_network *net = lowbit_open("net.weights", 0);
 *     if (!net) { fprintf(stderr, "%s\n", lowbit_error()); return 1; }
 *     const float *inputs[1] = {image};
 *     float *outputs[1] = {scores};
 *     if (lowbit_run(net, inputs, outputs)) fprintf(stderr, "%s\n", lowbit_error());
 *     lowbit_close(net);
 *
 * Inputs and outputs are dense float32 arrays in the order and shapes of the PyTorch network; an output that holds
 * positions (argmax) is an array of int64_t, whose address is given as if it were one of floats.
 */
#ifndef LOWBIT_NETWORK_H
#define LOWBIT_NETWORK_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An open network: unpacked weights, a thread pool, and one work area per concurrent run. */
typedef struct lb_network lowbit_network;

/* Read the weight file of this network and make it ready to run on `threads` threads (the calling
 * thread counts; 0 = one for every CPU this process may use).  NULL on failure, see lowbit_error:
 * the CPU lacks a feature, or the file is missing, truncated, altered or made for another network. */
lowbit_network *lowbit_open(const char *weights_path, int threads);

/* The same from memory; the bytes may be freed as soon as this returns. */
lowbit_network *lowbit_open_memory(const void *weights, size_t size, int threads);

/* The same from `size` bytes that start at byte `offset` of an open file, which may hold other things, too. */
lowbit_network *lowbit_open_part(int file, uint64_t offset, uint64_t size, int threads);

/* Compute all outputs from all inputs.  0 on success, -1 on failure.  Any number of threads may run
 * one network at a time: whoever finds the pool busy computes alone.  Outputs may not overlap inputs.
 * A process that forked may run the network in the child, too; the child starts its own threads. */
int lowbit_run(lowbit_network *net, const float *const *inputs, float *const *outputs);

/* The same, and store the nanoseconds each operation took in ns[0 .. operations - 1]. */
int lowbit_profile(lowbit_network *net, const float *const *inputs, float *const *outputs, uint64_t *ns);

/* Change the number of threads (as in lowbit_open).  Waits for the operation in progress. */
int lowbit_set_threads(lowbit_network *net, int threads);
int lowbit_threads(const lowbit_network *net);

/* Stop the threads, free everything.  No run may be in progress.  NULL is allowed. */
void lowbit_close(lowbit_network *net);

/* What went wrong in the last failed call of this thread. */
const char *lowbit_error(void);

/* JSON: name, target, features, inputs, outputs (name, shape), operations (layer, kernel, macs), memory. */
const char *lowbit_info(void);

#ifdef __cplusplus
}
#endif
#endif
