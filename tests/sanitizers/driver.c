/* A network under sanitizers: opened in every way, run by many threads while its pool is resized, several at a time, and
 * opened from weight files that are cut, altered, or altered with their sum made right again.
 *
 *     driver WEIGHTS ROUNDS IN,IN,... OUT,OUT,...      (elements of each tensor)
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "network.h"

enum { MOST = 8, CALLERS = 4 };

static size_t inputs, outputs, in_elements[MOST], out_elements[MOST];
static float *in[MOST];
static int rounds;
static uint64_t dice = 88172645463325252u;

static uint64_t roll(void) {
    dice ^= dice << 13, dice ^= dice >> 7, dice ^= dice << 17;
    return dice;
}

static void must(bool holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "FAILED: %s (%s)\n", what, lowbit_error());
    exit(1);
}

/* Outputs in memory of exactly their size, so that a write beyond it is seen. */
struct result {
    float *out[MOST];
};

static struct result make_result(void) {
    struct result r = {0};
    for (size_t i = 0; i < outputs; i++) r.out[i] = malloc(out_elements[i] * sizeof(float) + !out_elements[i]);
    return r;
}

static void free_result(struct result r) {
    for (size_t i = 0; i < outputs; i++) free(r.out[i]);
}

static bool same(struct result a, struct result b) {
    for (size_t i = 0; i < outputs; i++)
        if (memcmp(a.out[i], b.out[i], out_elements[i] * sizeof(float))) return false;
    return true;
}

static void run(lowbit_network *net, struct result r) {
    must(lowbit_run(net, (const float *const *)in, r.out) == 0, "run");
}

static struct result expected;

static void *many_runs(void *net) {
    struct result r = make_result();
    uint64_t *ns = calloc(OPERATIONS, sizeof *ns);
    for (int i = 0; i < rounds; i++) {
        if (i % 5)
            run(net, r);
        else
            must(lowbit_profile(net, (const float *const *)in, r.out, ns) == 0, "profile");
        must(same(r, expected), "the same result from every thread");
    }
    free(ns);
    free_result(r);
    return NULL;
}

static atomic_bool over;

static void *resize(void *net) {
    for (int i = 0; !atomic_load(&over); i++) {
        must(lowbit_set_threads(net, 1 + i % 5) == 0, "set_threads");
        must(lowbit_threads(net) >= 1, "threads");
        usleep(300);
    }
    return NULL;
}

static void one_network(lowbit_network *net) {
    pthread_t callers[CALLERS], other;
    atomic_store(&over, false);
    pthread_create(&other, NULL, resize, net);
    for (int i = 0; i < CALLERS; i++) pthread_create(&callers[i], NULL, many_runs, net);
    for (int i = 0; i < CALLERS; i++) pthread_join(callers[i], NULL);
    atomic_store(&over, true);
    pthread_join(other, NULL);
}

struct file {
    const char *path;
    unsigned char *data;
    size_t size;
};

/* Open, run, close, again and again, while others do so with networks of their own. */
static void *own_networks(void *context) {
    const struct file *file = context;
    struct result r = make_result();
    for (int i = 0; i < rounds / 4 + 1; i++) {
        int handle = open(file->path, O_RDONLY);
        lowbit_network *a = lowbit_open(file->path, 1 + i % 3), *b = lowbit_open_memory(file->data, file->size, 1);
        lowbit_network *c = lowbit_open_part(handle, 0, file->size, 2);
        close(handle);
        must(a && b && c, "open");
        for (int k = 0; k < 3; k++) {
            run(k == 0 ? a : k == 1 ? b : c, r);
            must(same(r, expected), "the same result from every network");
        }
        lowbit_close(b);
        lowbit_close(a);
        lowbit_close(c);
    }
    free_result(r);
    return NULL;
}

static void sign(unsigned char *data, size_t size) {
    uint64_t sum = 0;
    for (size_t i = 0; 64 + 8 * i + 8 <= size; i++) {
        uint64_t v;
        memcpy(&v, data + 64 + 8 * i, 8);
        v += i * 0x9e3779b97f4a7c15u;
        sum += (v ^ v >> 29) * 0xbf58476d1ce4e5b9u;
    }
    memcpy(data + 32, &sum, 8);
}

/* Memory of exactly the file's size: a read beyond it is seen. */
static void bad_weights(const struct file *file) {
    struct result r = make_result();
    int opened = 0, refused = 0;
    for (int i = 0; i < 8 * rounds; i++) {
        size_t size = i % 4 ? file->size : roll() % file->size;
        unsigned char *data = malloc(size + !size);
        memcpy(data, file->data, size);
        if (i % 4 == 1 && size > 64) {
            data[roll() % size] ^= (unsigned char)(1 + roll() % 255);
        } else if (i % 4 >= 2) {
            size_t from = 64 + roll() % (size - 64), count = i % 8 == 2 ? size : roll() % 64;
            for (size_t k = from; k < size && k < from + count; k++) data[k] = i % 3 ? (unsigned char)roll() : 0xff;
            sign(data, size);
        }
        lowbit_network *net = lowbit_open_memory(data, size, 1 + i % 2);
        free(data);
        if (net) {
            run(net, r);
            lowbit_close(net);
            opened++;
        } else {
            must(*lowbit_error() != 0, "a text that says why");
            refused++;
        }
    }
    must(opened >= 4 * rounds - 1 && refused >= 2 * rounds, "signed numbers open, others do not");
    free_result(r);
}

static void misuse(lowbit_network *net, const struct file *file) {
    must(lowbit_run(NULL, (const float *const *)in, expected.out) < 0, "no network");
    must(lowbit_run(net, NULL, expected.out) < 0, "no inputs");
    must(lowbit_run(net, (const float *const *)in, NULL) < 0, "no outputs");
    must(lowbit_open("/nonexistent", 1) == NULL, "no file");
    must(lowbit_open("/", 1) == NULL, "a folder");
    must(lowbit_open_part(-1, 0, 64, 1) == NULL, "no descriptor");
    must(lowbit_open_memory(file->data, 0, 1) == NULL, "no bytes");
    must(strstr(lowbit_info(), "\"inputs\"") != NULL, "info");
    lowbit_close(NULL);
}

static size_t numbers(const char *text, size_t *values) {
    size_t count = 0;
    for (char *end; *text && count < MOST; text = *end ? end + 1 : end) values[count++] = strtoul(text, &end, 10);
    return count;
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    struct file file = {.path = argv[1]};
    rounds = atoi(argv[2]);
    inputs = numbers(argv[3], in_elements), outputs = numbers(argv[4], out_elements);
    struct stat status;
    int handle = open(file.path, O_RDONLY);
    must(handle >= 0 && fstat(handle, &status) == 0, "the weight file");
    file.size = (size_t)status.st_size;
    file.data = malloc(file.size);
    must(read(handle, file.data, file.size) == (ssize_t)file.size, "all of it");
    close(handle);
    for (size_t i = 0; i < inputs; i++) {
        in[i] = malloc(in_elements[i] * sizeof(float) + !in_elements[i]);
        for (size_t k = 0; k < in_elements[i]; k++) in[i][k] = (float)(int)(roll() % 2001) / 500 - 2;
    }

    lowbit_network *net = lowbit_open(file.path, 2);
    must(net != NULL, "open");
    expected = make_result();
    run(net, expected);
    one_network(net);
    misuse(net, &file);
    lowbit_close(net);

    pthread_t owners[3];
    for (int i = 0; i < 3; i++) pthread_create(&owners[i], NULL, own_networks, &file);
    for (int i = 0; i < 3; i++) pthread_join(owners[i], NULL);
    bad_weights(&file);

    free_result(expected);
    for (size_t i = 0; i < inputs; i++) free(in[i]);
    free(file.data);
    puts("ok");
    return 0;
}
