/* What a run took and what it found, as text and as JSON. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "program.h"

static int ascending(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Sorts `values`; the mean of the two in the middle. */
static double median(uint64_t *values, uint32_t count) {
    qsort(values, count, sizeof *values, ascending);
    return ((double)values[(count - 1) / 2] + (double)values[count / 2]) / 2;
}

static double operation_median(const uint64_t *ns, uint32_t runs, uint32_t operation, uint64_t *work) {
    for (uint32_t run = 0; run < runs; run++) work[run] = ns[(size_t)run * program.operations + operation];
    return median(work, runs);
}

struct total {
    double mean, median, min, max, std; /* ms */
};

static struct total total_of(const uint64_t *ns, uint32_t runs, uint64_t *work) {
    struct total total = {0};
    double squares = 0;
    for (uint32_t run = 0; run < runs; run++) {
        work[run] = 0;
        for (uint32_t i = 0; i < program.operations; i++) work[run] += ns[(size_t)run * program.operations + i];
        total.mean += (double)work[run] / runs;
    }
    for (uint32_t run = 0; run < runs; run++) squares += pow((double)work[run] - total.mean, 2) / runs;
    total.median = median(work, runs) / 1e6;
    total.min = (double)work[0] / 1e6;
    total.max = (double)work[runs - 1] / 1e6;
    total.std = sqrt(squares) / 1e6;
    total.mean /= 1e6;
    return total;
}

void print_table(const uint64_t *ns, uint32_t runs, int threads) {
    uint64_t *work = malloc(runs * sizeof *work);
    if (!work) return;
    struct total total = total_of(ns, runs, work);
    size_t width = 5;
    for (uint32_t i = 0; i < program.operations; i++)
        if (strlen(program.operation[i].layer) > width) width = strlen(program.operation[i].layer);
    printf("%-*s %10s %6s %12s %8s\n", (int)width, "layer", "median ms", "%", "MACs", "GMAC/s");
    double sum = 0;
    for (uint32_t i = 0; i < program.operations; i++) sum += operation_median(ns, runs, i, work);
    for (uint32_t i = 0; i < program.operations; i++) {
        const struct operation *op = &program.operation[i];
        double time = operation_median(ns, runs, i, work);
        printf("%-*s %10.4f %6.1f", (int)width, op->layer, time / 1e6, sum > 0 ? 100 * time / sum : 0);
        if (op->macs && time > 0) printf(" %12llu %8.2f", (unsigned long long)op->macs, (double)op->macs / time);
        putchar('\n');
    }
    printf("%s for %s, %d thread%s, %u runs: mean %.3f ms, median %.3f, min %.3f, max %.3f, std %.3f\n", program.name,
           program.target, threads, threads == 1 ? "" : "s", runs, total.mean, total.median, total.min, total.max, total.std);
    free(work);
}

static void json_text(const char *text) {
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') putchar('\\');
        if ((unsigned char)*text < 32) printf("\\u%04x", *text);
        else putchar(*text);
    }
    putchar('"');
}

void print_json(const uint64_t *ns, uint32_t runs, int threads) {
    uint64_t *work = malloc(runs * sizeof *work);
    if (!work) return;
    struct total total = total_of(ns, runs, work);
    printf("{\"network\": ");
    json_text(program.name);
    printf(", \"target\": ");
    json_text(program.target);
    printf(", \"threads\": %d, \"runs\": %u, \"mean_ms\": %.6f, \"median_ms\": %.6f, \"min_ms\": %.6f, \"max_ms\": %.6f, \"std_ms\": %.6f,\n",
           threads, runs, total.mean, total.median, total.min, total.max, total.std);
    printf(" \"layers\": [");
    for (uint32_t i = 0; i < program.operations; i++) {
        const struct operation *op = &program.operation[i];
        printf("%s\n  {\"layer\": ", i ? "," : "");
        json_text(op->layer);
        printf(", \"kernel\": ");
        json_text(op->kernel);
        printf(", \"macs\": %llu, \"median_ms\": %.6f}", (unsigned long long)op->macs, operation_median(ns, runs, i, work) / 1e6);
    }
    printf("]}\n");
    free(work);
}

void print_largest(const struct tensor *tensor, const float *values) {
    enum { SHOWN = 5 };
    size_t best[SHOWN], found = 0;
    if (tensor->positions) {
        const int64_t *positions = (const int64_t *)(const void *)values;
        printf("%s %s, first:", tensor->name, shape_text(tensor));
        for (size_t i = 0; i < tensor->elements && i < SHOWN; i++) printf(" %lld", (long long)positions[i]);
        putchar('\n');
        return;
    }
    for (size_t i = 0; i < tensor->elements; i++) {
        size_t at = found;
        while (at > 0 && values[i] > values[best[at - 1]]) at--;
        if (at == SHOWN) continue;
        if (found < SHOWN) found++;
        for (size_t k = found - 1; k > at; k--) best[k] = best[k - 1];
        best[at] = i;
    }
    printf("%s %s, largest:", tensor->name, shape_text(tensor));
    for (size_t i = 0; i < found; i++) printf(" [%zu] %.9g", best[i], (double)values[best[i]]);
    putchar('\n');
}
