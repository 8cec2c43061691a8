/* Tensors in files. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "program.h"

static int refuse(const char *path, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int refuse(const char *path, const char *format, ...) {
    va_list arguments;
    fprintf(stderr, "%s: %s: ", program.name, path);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return BAD_FILE;
}

const char *shape_text(const struct tensor *tensor) {
    static char text[256];
    size_t at = 0;
    for (uint32_t i = 0; i < tensor->rank; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%llu", i ? ", " : "[", (unsigned long long)tensor->shape[i]);
    snprintf(text + at, sizeof text - at, tensor->rank ? "]" : "[]");
    return text;
}

/* The number after `key` in a .npy header, as its text. */
static const char *value_of(const char *header, const char *key) {
    const char *at = strstr(header, key);
    if (!at) return "";
    at += strlen(key);
    while (*at == ' ' || *at == ':' || *at == '\'' || *at == '"') at++;
    return at;
}

static int check_header(const char *path, const char *header, const struct tensor *tensor) {
    const char *descr = value_of(header, "'descr'"), *order = value_of(header, "'fortran_order'");
    const char *at = value_of(header, "'shape'");
    if (strncmp(descr, "<f4'", 4))
        return refuse(path, "holds %.*s values, expected float32 (<f4)", (int)strcspn(descr, "'\", "), descr);
    if (strncmp(order, "False", 5)) return refuse(path, "is in Fortran order; save it with numpy.ascontiguousarray");
    if (*at++ != '(') return refuse(path, "has no shape in its header");
    const char *end = strchr(at, ')');
    if (!end) return refuse(path, "has no shape in its header");
    const char *digits = at;
    uint32_t rank = 0;
    int same = 1;
    while (digits < end) {
        char *next;
        unsigned long long extent = strtoull(digits, &next, 10);
        if (next == digits) break;
        same &= rank < tensor->rank && tensor->shape[rank] == extent;
        rank++;
        digits = next + strspn(next, ", ");
    }
    if (!same || rank != tensor->rank)
        return refuse(path, "has shape (%.*s), expected %s (%s)", (int)(end - at), at, shape_text(tensor), tensor->name);
    return 0;
}

static int read_header(const char *path, FILE *file, const struct tensor *tensor) {
    unsigned char start[6];
    uint32_t length = 0;
    static char header[65536];
    if (fread(start, 1, 2, file) != 2) return refuse(path, "is truncated");
    size_t digits = start[0] == 1 ? 2 : 4; /* bytes of the header's length */
    if (fread(start + 2, 1, digits, file) != digits) return refuse(path, "is truncated");
    for (size_t i = 0; i < digits; i++) length |= (uint32_t)start[2 + i] << 8 * i;
    if (length >= sizeof header) return refuse(path, "has a header of %u bytes", length);
    if (fread(header, 1, length, file) != length) return refuse(path, "is truncated");
    header[length] = 0;
    return check_header(path, header, tensor);
}

static int read_values(const char *path, FILE *file, const struct tensor *tensor, float *values) {
    char magic[6];
    size_t got = fread(magic, 1, sizeof magic, file);
    if (got == sizeof magic && !memcmp(magic, "\x93NUMPY", sizeof magic)) {
        if (read_header(path, file, tensor)) return BAD_FILE;
    } else {
        rewind(file);
    }
    size_t bytes = tensor->elements * sizeof *values, have = fread(values, 1, bytes, file);
    if (ferror(file)) return refuse(path, "cannot be read: %s", strerror(errno));
    if (have == bytes && fgetc(file) == EOF) return 0;
    fseek(file, 0, SEEK_END);
    return refuse(path, "holds %s than the %zu float32 values (%zu bytes) of input %s %s; the file has %ld bytes",
                  have < bytes ? "less" : "more", tensor->elements, bytes, tensor->name, shape_text(tensor), ftell(file));
}

int read_tensor(const char *path, const struct tensor *tensor, float *values) {
    FILE *file = fopen(path, "rbe");
    if (!file) return refuse(path, "cannot be read: %s", strerror(errno));
    int failed = read_values(path, file, tensor, values);
    fclose(file);
    if (failed) return failed;
    size_t strange = 0;
    for (size_t i = 0; i < tensor->elements; i++) strange += !(values[i] - values[i] == 0);
    if (strange) fprintf(stderr, "%s: note: %s holds %zu values that are NaN or infinite\n", program.name, path, strange);
    return 0;
}

/* Format 1.0: the header is padded so that the values start on a multiple of 64 bytes. */
static void write_header(FILE *file, const struct tensor *tensor) {
    char text[320];
    const char *type = tensor->positions ? "<i8" : "<f4";
    size_t at = (size_t)snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': (", type);
    for (uint32_t i = 0; i < tensor->rank; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%llu%s", (unsigned long long)tensor->shape[i],
                               tensor->rank == 1 ? "," : i + 1 < tensor->rank ? ", " : "");
    at += (size_t)snprintf(text + at, sizeof text - at, "), }");
    size_t length = (10 + at + 1 + 63) / 64 * 64 - 10;
    fwrite("\x93NUMPY\1\0", 1, 8, file);
    fputc((int)(length & 255), file);
    fputc((int)(length >> 8), file);
    fprintf(file, "%s%*s\n", text, (int)(length - at - 1), "");
}

int write_tensor(const char *path, int npy, const struct tensor *tensor, const float *values) {
    FILE *file = fopen(path, "wbe");
    if (!file) return refuse(path, "cannot be written: %s", strerror(errno));
    if (npy) write_header(file, tensor);
    int written = fwrite(values, tensor->positions ? sizeof(int64_t) : sizeof *values, tensor->elements, file) == tensor->elements;
    if (fclose(file) || !written) return refuse(path, "cannot be written: %s", strerror(errno));
    return 0;
}
