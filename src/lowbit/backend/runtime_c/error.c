#include <stdarg.h>
#include <stdio.h>

#include "runtime.h"

static _Thread_local char text[512];

int lb_fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return -1;
}

int lb_check_call(const struct lb_tables *t, const void *const *inputs, void *const *outputs) {
    if (!t || !inputs || !outputs) return lb_fail("run: the network, the inputs and the outputs may not be NULL");
    for (uint32_t i = 0; i < t->input_count; i++)
        if (!inputs[i]) return lb_fail("%s: input %u is NULL", t->name, i);
    for (uint32_t i = 0; i < t->output_count; i++)
        if (!outputs[i]) return lb_fail("%s: output %u is NULL", t->name, i);
    return 0;
}

const char *lb_error(void) { return text; }
