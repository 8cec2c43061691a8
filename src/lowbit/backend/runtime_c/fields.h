/* Bit fields of 1..8 or 16 bits, least significant bit first -> integers. */
#ifndef LB_FIELDS_H
#define LB_FIELDS_H

#include <stdint.h>
#include <string.h>

#include "tables.h"

static uint64_t load64(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* decode8 and decode32: `count` fields from bit `at` of `p` on.  Eight fields of up to 7 bits fit into the
 * 57 bits that one unaligned 64-bit load holds behind any bit offset; the file ends in 64 spare bytes.
 * The width is a constant in every call of SMALL, so its inner loop becomes straight code. */
#define DEFINE_DECODE(TYPE, SMALL, NAME)                                                                         \
    static inline __attribute__((always_inline)) void SMALL(const uint8_t *restrict p, uint64_t at, int32_t count, \
                                                            const int32_t bits, struct lb_field f, TYPE *restrict out) { \
        const int32_t mask = (1 << bits) - 1;                                                                    \
        int32_t i = 0;                                                                                           \
        for (; i + 8 <= count; i += 8, at += 8 * (uint32_t)bits) {                                               \
            const uint64_t word = load64(p + at / 8) >> at % 8;                                                  \
            for (int32_t k = 0; k < 8; k++)                                                                      \
                out[i + k] = (TYPE)(((((int32_t)(word >> k * bits) & mask) << f.shift) ^ f.flip) - f.minus);     \
        }                                                                                                        \
        const uint64_t word = load64(p + at / 8) >> at % 8;                                                      \
        for (int32_t k = 0; i < count; i++, k++)                                                                 \
            out[i] = (TYPE)(((((int32_t)(word >> k * bits) & mask) << f.shift) ^ f.flip) - f.minus);             \
    }                                                                                                            \
                                                                                                                 \
    static void NAME(const uint8_t *restrict p, uint64_t at, int32_t count, struct lb_field f, TYPE *restrict out) { \
        const uint8_t *restrict bytes = p + at / 8;                                                              \
        switch (f.container) {                                                                                   \
        case 1: SMALL(p, at, count, 1, f, out); return;                                                          \
        case 2: SMALL(p, at, count, 2, f, out); return;                                                          \
        case 3: SMALL(p, at, count, 3, f, out); return;                                                          \
        case 5: SMALL(p, at, count, 5, f, out); return;                                                          \
        case 6: SMALL(p, at, count, 6, f, out); return;                                                          \
        case 7: SMALL(p, at, count, 7, f, out); return;                                                          \
        case 8:                                                                                                  \
            for (int32_t i = 0; i < count; i++) out[i] = (TYPE)(((bytes[i] << f.shift) ^ f.flip) - f.minus);     \
            return;                                                                                              \
        case 16:                                                                                                 \
            for (int32_t i = 0; i < count; i++)                                                                  \
                out[i] = (TYPE)((((bytes[2 * i] | bytes[2 * i + 1] << 8) << f.shift) ^ f.flip) - f.minus);       \
            return;                                                                                              \
        default: /* 4: a byte is a pair */                                                                       \
            if (at % 8 && count) {                                                                               \
                *out++ = (TYPE)((((*bytes++ >> 4) << f.shift) ^ f.flip) - f.minus);                              \
                count--;                                                                                         \
            }                                                                                                    \
            for (int32_t k = 0; k < count / 2; k++) {                                                            \
                out[2 * k] = (TYPE)((((bytes[k] & 15) << f.shift) ^ f.flip) - f.minus);                          \
                out[2 * k + 1] = (TYPE)((((bytes[k] >> 4) << f.shift) ^ f.flip) - f.minus);                      \
            }                                                                                                    \
            if (count % 2) out[count - 1] = (TYPE)((((bytes[count / 2] & 15) << f.shift) ^ f.flip) - f.minus);   \
        }                                                                                                        \
    }

DEFINE_DECODE(int8_t, small8, decode8)
DEFINE_DECODE(int32_t, small32, decode32)

#endif
