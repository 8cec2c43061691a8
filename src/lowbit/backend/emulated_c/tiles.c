/* AMX's tiles in plain C: what kernels for a target that emulates amx-tile, amx-int8 and amx-bf16 call in place of the instructions.
 * Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18, and the instructions' own pages. */
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

enum { TILES = 8, ROWS = 16, BYTES = 64 };

/* Of this thread, as the registers are. */
static _Thread_local struct {
    uint8_t palette, start, reserved[14];
    uint16_t columns[16]; /* bytes of a row */
    uint8_t rows[16];
} shape;
static _Thread_local uint8_t tile[TILES][ROWS][BYTES];

_Static_assert(sizeof shape == 64, "what ldtilecfg reads");

void lb_ldtilecfg(const void *from) {
    memcpy(&shape, from, sizeof shape);
    memset(tile, 0, sizeof tile);
}

void lb_tilerelease(void) {
    memset(&shape, 0, sizeof shape);
    memset(tile, 0xff, sizeof tile); /* nobody may rely on what was there */
}

void lb_tilezero(int32_t t) { memset(tile[t], 0, sizeof tile[t]); }

void lb_tileloadd64(int32_t t, const uint8_t *from, int64_t stride) {
    memset(tile[t], 0, sizeof tile[t]);
    for (int r = 0; r < shape.rows[t]; r++) memcpy(tile[t][r], from + r * stride, shape.columns[t]);
}

void lb_tilestored64(int32_t t, uint8_t *to, int64_t stride) {
    for (int r = 0; r < shape.rows[t]; r++) memcpy(to + r * stride, tile[t][r], shape.columns[t]);
}

/* c[m][n] += the products of four bytes a[m][4k..] and b[k][4n..], modulo 2^32; rows of b are as many as a has dwords. */
#define DOT_PRODUCT(NAME, A, B)                                                        \
    void NAME(int32_t c, int32_t a, int32_t b) {                                       \
        for (int m = 0; m < shape.rows[c]; m++) {                                      \
            uint32_t sums[BYTES / 4];                                                  \
            memcpy(sums, tile[c][m], sizeof sums);                                     \
            for (int k = 0; k < shape.columns[a] / 4; k++)                             \
                for (int n = 0; n < shape.columns[c] / 4; n++)                         \
                    for (int j = 0; j < 4; j++)                                        \
                        sums[n] += (uint32_t)((A)tile[a][m][4 * k + j] * (B)tile[b][k][4 * n + j]); \
            memcpy(tile[c][m], sums, sizeof sums);                                     \
        }                                                                              \
    }

DOT_PRODUCT(lb_tdpbusd, uint8_t, int8_t)
DOT_PRODUCT(lb_tdpbsud, int8_t, uint8_t)
DOT_PRODUCT(lb_tdpbssd, int8_t, int8_t)
DOT_PRODUCT(lb_tdpbuud, uint8_t, uint8_t)

/* One row of c += the products of bfloat16 a[2k..] and b[k][2n..]: even and odd K apart, in fused multiply-adds from 0 on, then the
 * two together, then that to the sum before. */
static __attribute__((noinline)) void half_products(const uint32_t *a, int pairs, const uint8_t (*b)[BYTES], float *c) {
    float even[BYTES / 4] = {0}, odd[BYTES / 4] = {0};
    for (int k = 0; k < pairs; k++) {
        uint32_t both[BYTES / 4], low = a[k] << 16, high = a[k] & 0xffff0000u;
        float x, y, first[BYTES / 4], second[BYTES / 4];
        memcpy(&x, &low, sizeof x);
        memcpy(&y, &high, sizeof y);
        memcpy(both, b[k], sizeof both);
        for (int n = 0; n < BYTES / 4; n++) {
            uint32_t u = both[n] << 16, v = both[n] & 0xffff0000u;
            memcpy(&first[n], &u, sizeof u);
            memcpy(&second[n], &v, sizeof v);
        }
        for (int n = 0; n < BYTES / 4; n++) {
            even[n] = __builtin_fmaf(x, first[n], even[n]);
            odd[n] = __builtin_fmaf(y, second[n], odd[n]);
        }
    }
    for (int n = 0; n < BYTES / 4; n++) c[n] += even[n] + odd[n];
}

/* To nearest even, denormal numbers zeros before and after, whatever the thread's own mode is. */
void lb_tdpbf16ps(int32_t c, int32_t a, int32_t b) {
    enum { MASKED = 0x1f80, FLUSH_RESULTS = 0x8000, FLUSH_OPERANDS = 0x0040 };
    const unsigned before = _mm_getcsr();
    _mm_setcsr(MASKED | FLUSH_RESULTS | FLUSH_OPERANDS);
    for (int m = 0; m < shape.rows[c]; m++) {
        uint32_t inputs[BYTES / 4];
        float sums[BYTES / 4];
        memcpy(inputs, tile[a][m], sizeof inputs);
        memcpy(sums, tile[c][m], sizeof sums);
        half_products(inputs, shape.columns[a] / 4, (const uint8_t(*)[BYTES])tile[b], sums);
        memcpy(tile[c][m], sums, sizeof sums);
    }
    _mm_setcsr(before);
}
