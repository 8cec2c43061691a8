/* One network as a program: reads its inputs from files, writes its outputs, times its layers. */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "program.h"

struct options {
    const char *output;
    uint32_t runs;
    int threads;
    unsigned seed;
    int random, json;
};

static void usage(FILE *out) {
    fprintf(out,
            "usage: %s [options] INPUT...\n"
            "The network %s, compiled by lowbit for %s.\n\n"
            "  INPUT           .npy file of float32, or raw little-endian float32 values; one for each input\n"
            "  -o, --output F  write the output to F: .npy by that ending, else raw values; of several outputs\n"
            "                  the second and later ones go to F.1, F.2, ...\n"
            "      --random N  inputs from a generator with seed N instead of files, for timing\n"
            "      --runs N    run N times after one untimed run and print what each layer took\n"
            "      --json      print the times as JSON\n"
            "      --threads N threads; default: one for each CPU\n"
            "      --help      this text\n\n",
            program.name, program.name, program.target);
    for (uint32_t i = 0; i < program.inputs; i++)
        fprintf(out, "input  %u: %s %s\n", i, program.input[i].name, shape_text(&program.input[i]));
    for (uint32_t i = 0; i < program.outputs; i++)
        fprintf(out, "output %u: %s %s\n", i, program.output[i].name, shape_text(&program.output[i]));
    fprintf(out, "\nexit status: 0 done, 1 a file is missing, damaged or of the wrong size, 2 wrong options,\n"
                 "3 this CPU lacks an instruction the program needs, 4 out of memory\n");
}

/* A second net: the features are checked before any kernel runs, but a feature may be hidden or misreported. */
static void on_illegal_instruction(int signal) {
    (void)signal;
    const char *text[] = {program.name, ": illegal instruction: compiled for ", program.target, "; this CPU lacks an instruction\n"};
    for (size_t i = 0; i < sizeof text / sizeof *text; i++)
        if (write(STDERR_FILENO, text[i], strlen(text[i])) < 0) break;
    _exit(WRONG_CPU);
}

static int number(const char *option, const char *text, long least, long most) {
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno || end == text || *end || value < least || value > most) {
        fprintf(stderr, "%s: --%s takes a number from %ld to %ld, not %s\n", program.name, option, least, most, text);
        exit(BAD_USAGE);
    }
    return (int)value;
}

static struct options parse(int argc, char **argv) {
    static const struct option known[] = {
        {"output", required_argument, 0, 'o'}, {"random", required_argument, 0, 's'}, {"runs", required_argument, 0, 'r'},
        {"threads", required_argument, 0, 't'}, {"json", no_argument, 0, 'j'},       {"help", no_argument, 0, 'h'},
        {0, 0, 0, 0},
    };
    struct options options = {0};
    int c;
    while ((c = getopt_long(argc, argv, "o:h", known, NULL)) != -1) {
        switch (c) {
        case 'o': options.output = optarg; break;
        case 's': options.seed = (unsigned)number("random", optarg, 0, 2147483647), options.random = 1; break;
        case 'r': options.runs = (uint32_t)number("runs", optarg, 1, 1000000); break;
        case 't': options.threads = number("threads", optarg, 1, 1024); break;
        case 'j': options.json = 1; break;
        case 'h': usage(stdout); exit(DONE);
        default: fprintf(stderr, "see %s --help\n", argv[0]); exit(BAD_USAGE);
        }
    }
    int files = argc - optind, wanted = options.random ? 0 : (int)program.inputs;
    if (files != wanted) {
        fprintf(stderr, "%s: %d input files expected, %d given; see %s --help\n", program.name, wanted, files, argv[0]);
        exit(BAD_USAGE);
    }
    if (options.json && !options.runs) options.runs = 1;
    return options;
}

/* Uniform in [-1, 1): the upper bits of a linear congruential generator. */
static void fill_randomly(float *values, size_t count, unsigned seed) {
    uint64_t state = seed;
    for (size_t i = 0; i < count; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        values[i] = (float)(int32_t)(state >> 32) * 0x1p-31f;
    }
}

static float *allocate(const struct tensor *tensor) {
    float *values = malloc(tensor->elements * (tensor->positions ? sizeof(int64_t) : sizeof *values) + 1);
    if (values) return values;
    fprintf(stderr, "%s: out of memory: %zu values for %s\n", program.name, tensor->elements, tensor->name);
    exit(NO_MEMORY);
}

/* An instruction counter may watch this function: it is called right before and right after every run. */
__attribute__((noinline)) void lowbit_mark(void) { __asm__ volatile("" ::: "memory"); }

static int run(struct lb_network *net, const float *const *inputs, float *const *outputs, uint64_t *ns) {
    lowbit_mark();
    int failed = program.profile(net, inputs, outputs, ns);
    lowbit_mark();
    if (!failed) return DONE;
    fprintf(stderr, "%s\n", program.error());
    return NO_MEMORY;
}

static int write_outputs(const char *path, float *const *outputs) {
    size_t length = path ? strlen(path) : 0;
    int npy = length > 4 && !strcmp(path + length - 4, ".npy");
    for (uint32_t i = 0; i < program.outputs; i++) {
        if (!path) {
            print_largest(&program.output[i], outputs[i]);
            continue;
        }
        char *name;
        if ((i ? asprintf(&name, "%s.%u", path, i) : asprintf(&name, "%s", path)) < 0) return NO_MEMORY;
        int failed = write_tensor(name, npy, &program.output[i], outputs[i]);
        free(name);
        if (failed) return failed;
    }
    return DONE;
}

int main(int argc, char **argv) {
    struct options options = parse(argc, argv);
    const char *missing = lb_missing_feature(program.features);
    if (missing) {
        fprintf(stderr, "%s was compiled for %s; this CPU lacks %s\n", program.name, program.target, missing);
        return WRONG_CPU;
    }
    signal(SIGILL, on_illegal_instruction);
    const float *inputs[program.inputs + 1];
    float *outputs[program.outputs + 1];
    for (uint32_t i = 0; i < program.inputs; i++) {
        float *values = allocate(&program.input[i]);
        if (options.random) fill_randomly(values, program.input[i].elements, options.seed + i);
        else if (read_tensor(argv[optind + (int)i], &program.input[i], values)) return BAD_FILE;
        inputs[i] = values;
    }
    for (uint32_t i = 0; i < program.outputs; i++) outputs[i] = allocate(&program.output[i]);
    uint32_t timed = options.runs;
    uint64_t *ns = calloc((size_t)(timed + 1) * program.operations + 1, sizeof *ns);
    if (!ns) return NO_MEMORY;

    struct lb_network *net = program.open_memory(program.weights, (size_t)(program.weights_end - program.weights), options.threads);
    if (!net) {
        fprintf(stderr, "%s\n", program.error());
        return NO_MEMORY;
    }
    int status = DONE;
    for (uint32_t i = 0; i <= timed && status == DONE; i++) /* the first is not timed */
        status = run(net, inputs, outputs, ns + (size_t)(i ? i - 1 : timed) * program.operations);
    if (status == DONE && options.json) print_json(ns, timed, program.threads(net));
    else if (status == DONE && timed) print_table(ns, timed, program.threads(net));
    if (status == DONE && (options.output || !options.json)) status = write_outputs(options.output, outputs);
    program.close(net);
    for (uint32_t i = 0; i < program.inputs; i++) free((void *)(uintptr_t)inputs[i]);
    for (uint32_t i = 0; i < program.outputs; i++) free(outputs[i]);
    free(ns);
    return status;
}
