/* Setting the halo of a buffer before its producer runs. */
#ifndef LB_FILL_H
#define LB_FILL_H

#include <string.h>

#include "tables.h"

static void lb_fill_bytes(uint8_t *p, uint64_t bytes, const struct lb_fill *f) {
    if (f->element == 1) {
        memset(p, (int)f->value, bytes);
    } else if (f->value == 0) {
        memset(p, 0, bytes);
    } else {
        for (uint64_t i = 0; i < bytes; i += f->element) memcpy(p + i, &f->value, f->element);
    }
}

static void lb_fill_buffer(uint8_t *p, const struct lb_fill *f) {
    for (uint32_t image = 0; image < f->images; image++) {
        lb_fill_bytes(p, f->head, f);
        p += f->head;
        for (uint32_t row = 1; row < f->rows; row++) {
            p += f->row;
            lb_fill_bytes(p, f->gap, f);
            p += f->gap;
        }
        if (f->rows) p += f->row;
        lb_fill_bytes(p, f->tail, f);
        p += f->tail;
    }
}

#endif
