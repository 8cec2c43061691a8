/* Runs generated CUDA C on a CPU: one fiber a thread, blocks one after another.  It goes in front of the kernels' text, whose inline
 * functions `asm volatile("PTX" ...)` host_text.py has rewritten to calls of ptx::... below, operand by operand as the asm text has them.
 *
 * Meant to be stricter than a GPU.  Shared memory starts as garbage in every block.  cp.async copies at the last moment that PTX allows (the
 * wait), so a missing wait shows.  Blocks, and the runnable threads between two barriers, come in random order, so many missing barriers
 * show.  Every warp-wide instruction checks that all 32 lanes arrive at the same one.  -fsanitize=alignment checks vector accesses, guard
 * bytes around each array (emulation.py) stores.  Floats: each operation rounds once (-ffp-contract=off).
 *
 * A fault ends the launch; emu::failure then says what it was.
 */
#include <climits>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>
#if !defined(__x86_64__) && !defined(EMU_UCONTEXT)
#define EMU_UCONTEXT
#endif
#ifdef EMU_UCONTEXT
#include <ucontext.h>
#endif

typedef unsigned int uint;
typedef unsigned char uchar;
typedef unsigned short ushort;
#define EMU_VECTORS(scalar, name) \
    struct alignas(2 * sizeof(scalar)) name##2 { scalar x, y; }; \
    struct alignas(4 * sizeof(scalar) > 16 ? 16 : 4 * sizeof(scalar)) name##4 { scalar x, y, z, w; }; \
    static inline name##2 make_##name##2(scalar x, scalar y) { return {x, y}; } \
    static inline name##4 make_##name##4(scalar x, scalar y, scalar z, scalar w) { return {x, y, z, w}; }
EMU_VECTORS(signed char, char)
EMU_VECTORS(uchar, uchar)
EMU_VECTORS(short, short)
EMU_VECTORS(ushort, ushort)
EMU_VECTORS(int, int)
EMU_VECTORS(uint, uint)
EMU_VECTORS(float, float)
EMU_VECTORS(double, double)
EMU_VECTORS(long long, longlong)
EMU_VECTORS(unsigned long long, ulonglong)
struct dim3 { uint x, y, z; };
#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)

namespace emu {
#ifdef EMU_UCONTEXT
typedef ucontext_t Context;
static void change(Context &from, Context &to) { swapcontext(&from, &to); }
static void prepare(Context &c, char *stack, size_t bytes, void (*entry)()) {
    getcontext(&c);
    c.uc_stack.ss_sp = stack; c.uc_stack.ss_flags = 0; c.uc_stack.ss_size = bytes;
    makecontext(&c, entry, 0);
}
#else /* without the system call of swapcontext: ten times as fast */
typedef void *Context;
extern "C" void emu_change(void **from, void *to) __attribute__((visibility("hidden")));
asm(".text\n.p2align 4\n.type emu_change,@function\nemu_change:\n"
    "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\nmov %rsp,(%rdi)\nmov %rsi,%rsp\n"
    "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n");
static void change(Context &from, Context &to) { emu_change(&from, to); }
static void prepare(Context &c, char *stack, size_t bytes, void (*entry)()) {
    void **top = (void **)((uintptr_t)(stack + bytes) & ~(uintptr_t)15) - 2;
    *top = (void *)entry;
    for (int i = 0; i < 6; i++) *--top = nullptr;
    c = top;
}
#endif

struct Copy { void *to; const void *from; int bytes, group; };
struct Thread {
    Context context;
    bool done;
    int waits;     /* 0 runnable, 1 for its warp, 2 for its block */
    uint turn;     /* warp-wide instructions executed */
    int committed; /* groups of cp.async */
    std::vector<Copy> copies;
};
struct Warp {
    int arrived = 0;
    const char *what[2] = {};
    uint in[2][32][12];
};
enum { STACK = 64 << 10, DYNAMIC = 228 << 10 };
static std::vector<Thread> threads;
static std::vector<Warp> warps;
static std::vector<char> stacks;
static Context scheduler;
static int current, block_arrived;
static uint seed = 1;
static dim3 thread_index, block_index, grid_size, block_size;
static void (*body)(void **);
static void **arguments;
static char failure[200]; /* what went wrong in the last launch, "" nothing */
alignas(1024) static char dynamic_shared[DYNAMIC];

static uint random() { return (seed = seed * 1664525 + 1013904223) >> 8; }
static void fail(const char *why, const char *what) {
    if (!*failure) snprintf(failure, sizeof failure, "%s: %s (block %u, %u, thread %d)", why, what, block_index.x, block_index.y, current);
    if (current >= 0) change(threads[current].context, scheduler); /* never to return */
}
static void pause(int why) { threads[current].waits = why; change(threads[current].context, scheduler); }
static void entry() { body(arguments); threads[current].done = true; change(threads[current].context, scheduler); }

/* All lanes of a warp bring up to 12 words; returns the warp's words once all have. */
static uint (*meet(const char *what, const uint *words, int count))[12] {
    Thread &t = threads[current];
    Warp &w = warps[current / 32];
    int turn = t.turn++ & 1, lane = current % 32;
    if (w.arrived && w.what[turn] != what && (!w.what[turn] || strcmp(w.what[turn], what))) fail("lanes of a warp at different instructions", what);
    w.what[turn] = what; w.what[turn ^ 1] = nullptr;
    memcpy(w.in[turn][lane], words, count * sizeof *words);
    if (++w.arrived == 32) {
        w.arrived = 0;
        for (int i = current / 32 * 32; i < current / 32 * 32 + 32; i++) threads[i].waits = 0;
    } else
        pause(1);
    return w.in[turn];
}

static void sync_block() {
    if (++block_arrived == (int)threads.size()) {
        block_arrived = 0;
        for (auto &t : threads) t.waits = 0;
    } else
        pause(2);
}

/* Shared memory is static, since blocks run one after another; the first thread of a block to come here fills it with garbage. */
static std::vector<void *> filled;
static void *garbage(void *p, size_t bytes) {
    for (void *q : filled) if (p == q) return p;
    filled.push_back(p);
    for (size_t i = 0; i < bytes; i++) ((uchar *)p)[i] = random() >> 4;
    return p;
}

static void run_block(uint count) {
    static const uint primes[] = {37, 41, 43, 47, 53, 59, 61, 67}; /* prime to every multiple of 32 up to 1024: all threads, in another order */
    warps.assign(count / 32, {}); block_arrived = 0; filled.clear();
    for (uint i = 0; i < count; i++) {
        Thread &t = threads[i];
        t.done = false; t.waits = 0; t.turn = 0; t.committed = 0; t.copies.clear();
        prepare(t.context, &stacks[(size_t)i * STACK], STACK, entry);
    }
    for (uint left = count; left;) {
        bool moved = false;
        uint start = random() % count, step = primes[random() % 8];
        for (uint j = 0; j < count; j++) {
            uint i = (start + j * step) % count;
            if (threads[i].done || threads[i].waits) continue;
            moved = true; current = i; thread_index = {i, 0, 0};
            change(scheduler, threads[i].context);
            current = -1;
            if (*failure) return;
            if (threads[i].done) left--;
        }
        if (!moved) { fail("deadlock", "a barrier that not all threads reach"); return; }
    }
}

/* One launch; `run` calls a kernel with `values`, as of cuLaunchKernel: pointers to its arguments.  Returns whether all went well. */
static bool launch(dim3 grid, uint count, void (*run)(void **), void **values) {
    failure[0] = 0; current = -1; block_index = {0, 0, 0};
    if (count % 32 || !count || count > 1024) { fail("threads of a block: a multiple of 32 up to 1024", "launch"); return false; }
    grid_size = grid; block_size = {count, 1, 1}; body = run; arguments = values;
    stacks.resize((size_t)STACK * count);
    threads.resize(count);
    size_t total = (size_t)grid.x * grid.y * grid.z, first = total ? random() % total : 0, step = 1;
    for (size_t wanted = 1 + random() % total; wanted > 1; wanted--) { /* a step that is prime to the number of blocks */
        size_t a = wanted, b = total;
        while (b) { size_t r = a % b; a = b; b = r; }
        if (a == 1) { step = wanted; break; }
    }
    for (size_t i = 0; i < total && !*failure; i++) {
        size_t b = (first + i * step) % total;
        block_index = {(uint)(b % grid.x), (uint)(b / grid.x % grid.y), (uint)(b / grid.x / grid.y)};
        run_block(count);
    }
    return !*failure;
}

/* call<kernel>(values): the kernel with arguments as cuLaunchKernel takes them. */
template <class... A, size_t... I> static void apply(void (*f)(A...), void **values, std::index_sequence<I...>) { f(*(A *)values[I]...); }
template <class... A> static void apply(void (*f)(A...), void **values) { apply(f, values, std::index_sequence_for<A...>{}); }
template <auto kernel> static void call(void **values) { apply(kernel, values); }
} // namespace emu

#define threadIdx emu::thread_index
#define blockIdx emu::block_index
#define gridDim emu::grid_size
#define blockDim emu::block_size
static inline void __syncthreads() { emu::sync_block(); }
static inline void __syncwarp() { emu::meet("__syncwarp", nullptr, 0); }
template <class T> static T __shfl_xor_sync(uint, T value, int mask) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8);
    uint words[2];
    memcpy(words, &value, sizeof value);
    memcpy(&value, emu::meet("shfl.xor", words, sizeof value / 4)[emu::current % 32 ^ mask], sizeof value);
    return value;
}
static inline int min(int a, int b) { return a < b ? a : b; }
static inline int max(int a, int b) { return a > b ? a : b; }
static inline uint min(uint a, uint b) { return a < b ? a : b; }
static inline uint max(uint a, uint b) { return a > b ? a : b; }
static inline int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }
static inline float min(float a, float b) { return fminf(a, b); } /* CUDA's: the number of a number and a NaN */
static inline float max(float a, float b) { return fmaxf(a, b); }
static inline double min(double a, double b) { return fmin(a, b); }
static inline double max(double a, double b) { return fmax(a, b); }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __fsqrt_rn(float a) { return sqrtf(a); }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline double __dsqrt_rn(double a) { return sqrt(a); }
static inline double __dmul_rn(double a, double b) { return a * b; }
static inline double __dadd_rn(double a, double b) { return a + b; }
static inline double __dsub_rn(double a, double b) { return a - b; }
static inline double __ddiv_rn(double a, double b) { return a / b; }
static inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }
/* To integers: rounded half to even, or toward zero; what does not fit becomes the nearest that does, NaN 0. */
static inline int emu_integer(double whole) { return std::isnan(whole) ? 0 : whole >= 2147483647.0 ? INT_MAX : whole <= -2147483648.0 ? INT_MIN : (int)whole; }
static inline int __float2int_rn(float a) { return emu_integer(rint((double)a)); }
static inline int __float2int_rz(float a) { return emu_integer(trunc((double)a)); }
static inline int __double2int_rn(double a) { return emu_integer(rint(a)); }
static inline int __double2int_rz(double a) { return emu_integer(trunc(a)); }
static inline float __int2float_rn(int a) { return (float)a; }
static inline float __double2float_rn(double a) { return (float)a; }
template <class To, class From> static To emu_bits(From from) { To to; static_assert(sizeof to == sizeof from); memcpy(&to, &from, sizeof to); return to; }
static inline int __float_as_int(float a) { return emu_bits<int>(a); }
static inline uint __float_as_uint(float a) { return emu_bits<uint>(a); }
static inline float __int_as_float(int a) { return emu_bits<float>(a); }
static inline double __longlong_as_double(long long a) { return emu_bits<double>(a); }
static inline float __uint_as_float(uint a) { return emu_bits<float>(a); }
/* float16: exact, and rounded half to even with its subnormals; NaN stays one. */
static inline float lowbit_half_to_float(ushort half) {
    uint sign = (uint)(half >> 15) << 31, exponent = half >> 10 & 31, fraction = half & 1023;
    if (exponent == 31) return __uint_as_float(sign | 0x7F800000 | fraction << 13);
    float size = exponent ? ldexpf((float)(1024 + fraction), (int)exponent - 25) : ldexpf((float)fraction, -24);
    return __uint_as_float(sign | __float_as_uint(size));
}
static inline ushort lowbit_float_to_half(float value) {
    uint bits = __float_as_uint(value), sign = bits >> 16 & 0x8000;
    float size = fabsf(value);
    if (std::isnan(value)) return 0x7FFF;
    if (size >= 65520.0f) return (ushort)(sign | 0x7C00);
    if (size < 0x1p-14f) return (ushort)(sign | (uint)rintf(size * 0x1p24f)); /* 1024 of them are the first normal number */
    uint rounded = (bits & 0x7FFFFFFF) + 0xFFF + (bits >> 13 & 1);
    return (ushort)(sign | ((rounded >> 13) - (112u << 10)));
}
static inline int __popc(uint a) { return __builtin_popcount(a); }
static inline int __popcll(unsigned long long a) { return __builtin_popcountll(a); }
static inline uint __byte_perm(uint a, uint b, uint selector) {
    unsigned long long bytes = (unsigned long long)b << 32 | a;
    uint result = 0;
    for (int i = 0; i < 4; i++) result |= (uint)(bytes >> (8 * (selector >> (4 * i) & 7)) & 255) << (8 * i);
    return result;
}
/* Shared addresses of PTX are 32 bits: offsets from a static of this program. */
static inline uint __cvta_generic_to_shared(const void *p) { return (uint)((const char *)p - emu::dynamic_shared); }
static inline char *shared(uint p) { return emu::dynamic_shared + (int)p; }

/* ---- PTX, by the tables of PTX ISA 9.7 "Matrix fragments": registers in the order of the asm text ---- */
namespace ptx {
template <int BITS, bool SIGNED> static int element(uint word, int i) {
    uint v = word >> (BITS * i) & ((1u << BITS) - 1);
    return SIGNED && v >> (BITS - 1) ? (int)v - (1 << BITS) : (int)v;
}

/* Sum of products of `words` words. OP 0: of integers of BITS bits, 1: ones of the exclusive or, 2: ones of the conjunction. */
template <int BITS, bool ASIGN, bool BSIGN, int OP> __attribute__((optimize("O3"))) static int products(const uint *a, const uint *b, int words) {
    int sum = 0;
    if constexpr (OP) {
        for (int i = 0; i < words; i++) sum += __builtin_popcount(OP == 1 ? a[i] ^ b[i] : a[i] & b[i]);
    } else if constexpr (BITS == 8) {
        const uchar *p = (const uchar *)a, *q = (const uchar *)b;
        for (int i = 0; i < 4 * words; i++) sum += (ASIGN ? (int)(signed char)p[i] : (int)p[i]) * (BSIGN ? (int)(signed char)q[i] : (int)q[i]);
    } else {
        for (int i = 0; i < words; i++)
            for (int j = 0; j < 32 / BITS; j++) sum += element<BITS, ASIGN>(a[i], j) * element<BITS, BSIGN>(b[i], j);
    }
    return sum;
}

/* c + the sum of products of float16, cut off toward zero as tensor cores do: what they keep of it beyond that is not said. */
static uint floats(const uint *a, const uint *b, int words, uint c) {
    double sum = __uint_as_float(c);
    for (int i = 0; i < words; i++)
        for (int shift = 0; shift < 32; shift += 16) sum += (double)lowbit_half_to_float(a[i] >> shift) * lowbit_half_to_float(b[i] >> shift);
    float value = (float)sum;
    if (std::isfinite(sum) && fabs((double)value) > fabs(sum)) value = nextafterf(value, 0.0f);
    return __float_as_uint(value);
}

/* D[m][n] += sum_k A[m][k] B[k][n]; thread (g, t) = (lane / 4, lane % 4); P elements a 32-bit register.
 * a_r: row g + 8 (r % HALF), columns P t + P 4 (r / HALF); b_r: column g, rows P t + 4 P r; d_r: row g + 8 (r / 2), column 2 t + r % 2. */
template <int HALF, int KWORDS, int BITS, bool ASIGN, bool BSIGN, int OP> static void mma(const char *what, uint *const *d, const uint *a, const uint *b, const uint *c) {
    uint words[8];
    const int na = HALF * KWORDS;
    for (int i = 0; i < na; i++) words[i] = a[i];
    for (int i = 0; i < KWORDS; i++) words[na + i] = b[i];
    auto in = emu::meet(what, words, na + KWORDS);
    int lane = emu::current % 32, g = lane / 4, t = lane % 4;
    uint rows[HALF][4 * KWORDS], columns[2][4 * KWORDS];
    for (int k = 0; k < KWORDS; k++)
        for (int u = 0; u < 4; u++) {
            for (int half = 0; half < HALF; half++) rows[half][4 * k + u] = in[4 * g + u][half + HALF * k];
            for (int j = 0; j < 2; j++) columns[j][4 * k + u] = in[4 * (2 * t + j) + u][na + k];
        }
    for (int r = 0; r < 2 * HALF; r++)
        if constexpr (BITS == 16) *d[r] = floats(rows[r / 2], columns[r % 2], 4 * KWORDS, c[r]);
        else *d[r] = c[r] + (uint)products<BITS, ASIGN, BSIGN, OP>(rows[r / 2], columns[r % 2], 4 * KWORDS);
}
#define MMA(name, HALF, KWORDS, BITS, AS, BS, OP) \
    template <class... O> static void name(O &&...o) { \
        static_assert(sizeof...(o) == 4 * HALF + HALF * KWORDS + KWORDS, #name); \
        auto at = [](auto &v) { static_assert(sizeof v == 4); return (uint *)&v; }; \
        uint *p[] = {at(o)...}; \
        uint a[4], b[2], c[4]; \
        for (int i = 0; i < HALF * KWORDS; i++) a[i] = *p[2 * HALF + i]; \
        for (int i = 0; i < KWORDS; i++) b[i] = *p[2 * HALF + HALF * KWORDS + i]; \
        for (int i = 0; i < 2 * HALF; i++) c[i] = *p[2 * HALF + HALF * KWORDS + KWORDS + i]; \
        mma<HALF, KWORDS, BITS, AS, BS, OP>(#name, p, a, b, c); \
    }
MMA(mma_sync_aligned_m16n8k16_row_col_f32_f16_f16_f32, 2, 2, 16, true, true, 0)
MMA(mma_sync_aligned_m16n8k8_row_col_f32_f16_f16_f32, 2, 1, 16, true, true, 0)
MMA(mma_sync_aligned_m16n8k32_row_col_s32_u8_s8_s32, 2, 2, 8, false, true, 0)
MMA(mma_sync_aligned_m16n8k32_row_col_s32_s8_s8_s32, 2, 2, 8, true, true, 0)
MMA(mma_sync_aligned_m16n8k32_row_col_s32_s8_u8_s32, 2, 2, 8, true, false, 0)
MMA(mma_sync_aligned_m16n8k32_row_col_s32_u8_u8_s32, 2, 2, 8, false, false, 0)
MMA(mma_sync_aligned_m8n8k16_row_col_s32_u8_u8_s32, 1, 1, 8, false, false, 0)
MMA(mma_sync_aligned_m16n8k16_row_col_s32_u8_s8_s32, 2, 1, 8, false, true, 0)
MMA(mma_sync_aligned_m8n8k16_row_col_s32_u8_s8_s32, 1, 1, 8, false, true, 0)
MMA(mma_sync_aligned_m8n8k16_row_col_s32_s8_s8_s32, 1, 1, 8, true, true, 0)
MMA(mma_sync_aligned_m8n8k16_row_col_s32_s8_u8_s32, 1, 1, 8, true, false, 0)
MMA(mma_sync_aligned_m16n8k64_row_col_s32_s4_u4_s32, 2, 2, 4, true, false, 0)
MMA(mma_sync_aligned_m8n8k32_row_col_s32_s4_u4_s32, 1, 1, 4, true, false, 0)
MMA(mma_sync_aligned_m16n8k64_row_col_s32_u4_s4_s32, 2, 2, 4, false, true, 0)
MMA(mma_sync_aligned_m8n8k32_row_col_s32_u4_s4_s32, 1, 1, 4, false, true, 0)
MMA(mma_sync_aligned_m16n8k256_row_col_s32_b1_b1_s32_and_popc, 2, 2, 1, false, false, 2)
MMA(mma_sync_aligned_m16n8k256_row_col_s32_b1_b1_s32_xor_popc, 2, 2, 1, false, false, 1)
MMA(mma_sync_aligned_m8n8k128_row_col_s32_b1_b1_s32_xor_popc, 1, 1, 1, false, false, 1)

static void dp4a_u32_s32(int &d, uint a, int b, int c) { d = c + products<8, false, true, 0>(&a, (const uint *)&b, 1); }
static void dp4a_s32_s32(int &d, int a, int b, int c) { d = c + products<8, true, true, 0>((const uint *)&a, (const uint *)&b, 1); }
static void prmt_b32(uint &d, uint a, uint b, uint selector) { d = __byte_perm(a, b, selector); }
static void red_global_add_s32(void *p, int value) { *(int *)p += value; }
/* Lanes 8 m .. 8 m + 7 give the rows of matrix m (16 bytes each); thread l gets bytes 4 (l % 4) .. + 3 of row l / 4 of each. */
template <int COUNT> static void ldmatrix(const char *what, uint **r, uint p) {
    if ((uintptr_t)shared(p) % 16) emu::fail("address not a multiple of 16", what);
    auto in = emu::meet(what, &p, 1);
    int lane = emu::current % 32;
    for (int m = 0; m < COUNT; m++) memcpy(r[m], shared(in[8 * m + lane / 4][0]) + 4 * (lane % 4), 4);
}
static void ldmatrix_sync_aligned_m8n8_x4_shared_b16(uint &r0, uint &r1, uint &r2, uint &r3, uint p) { uint *r[] = {&r0, &r1, &r2, &r3}; ldmatrix<4>("ldmatrix.x4", r, p); }
static void ldmatrix_sync_aligned_m8n8_x2_shared_b16(uint &r0, uint &r1, uint p) { uint *r[] = {&r0, &r1}; ldmatrix<2>("ldmatrix.x2", r, p); }
static void ldmatrix_sync_aligned_m8n8_x1_shared_b16(uint &r0, uint p) { uint *r[] = {&r0}; ldmatrix<1>("ldmatrix.x1", r, p); }
static void cp_async(uint to, const void *from, int bytes) {
    emu::Thread &t = emu::threads[emu::current];
    if (((uintptr_t)shared(to) | (uintptr_t)from) % bytes) emu::fail("address not aligned", "cp.async");
    t.copies.push_back({shared(to), from, bytes, t.committed});
}
static void cp_async_cg_shared_global(uint to, const void *from, int bytes) { cp_async(to, from, bytes); }
static void cp_async_ca_shared_global(uint to, const void *from, int bytes) { cp_async(to, from, bytes); }
static void cp_async_commit_group() { emu::threads[emu::current].committed++; }
static void cp_async_wait_group(int n) { /* all but the last n groups are there */
    emu::Thread &t = emu::threads[emu::current];
    size_t kept = 0;
    for (const emu::Copy &copy : t.copies)
        if (copy.group < t.committed - n) memcpy(copy.to, copy.from, copy.bytes);
        else t.copies[kept++] = copy;
    t.copies.resize(kept);
}
} // namespace ptx
