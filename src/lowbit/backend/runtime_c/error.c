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

const char *lb_error(void) { return text; }
