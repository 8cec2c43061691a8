/* Bit fields on disk -> the panels kernels read.
 *
 * On disk a layer is [n][runs][run_len] fields, least significant bit first, without padding.  In
 * memory it is [block][step][part][lane][k_group] elements; step s of a run covers its positions
 * [s * k_group, (s + 1) * k_group).  The memory is zero to begin with, so only real weights are
 * written.  The unit of work is one block of `nr` channels; within it a stretch of positions is
 * decoded for one lane after the other, so that the panel lines it touches stay in the L1 cache.
 */
#include <stdlib.h>
#include <string.h>

#include "fields.h"
#include "runtime.h"

enum {
    STRETCH = 512,   /* positions decoded at a time: 8 KiB of an int8 panel of 16 lanes */
    FORGET = 1 << 18 /* bytes of the file that are read before their pages are given back */
};

static int32_t load32(const uint8_t *p, uint64_t index) {
    int32_t v;
    memcpy(&v, p + 4 * index, sizeof v);
    return v;
}

/* What one block is made from. */
struct layer {
    const struct lb_weights *w;
    struct lb_file whole;
    const uint8_t *file, *bits; /* the whole file, and from its first weight on */
    uint8_t *target;
    int32_t steps_run;     /* steps of one run */
    uint32_t block_steps;  /* steps of one block */
    uint32_t element;      /* bytes */
    uint32_t group_bytes;  /* of the k_group elements of one lane */
    uint32_t part_bytes;   /* of all lanes of one part of one step */
    int32_t *table;        /* of the steps of layers with split ones */
    _Atomic bool *failed;
};

/* Where the weights of one channel lie: field index of its first weight, and the position in a run
 * that its first weight takes (grouped convolutions: its group's place in the block's window). */
struct channel {
    uint32_t index;
    uint64_t field;
    int32_t place;
};

static struct channel channel_of(const struct layer *l, uint32_t block, uint32_t index) {
    const struct lb_weights *w = l->w;
    struct channel c = {index, (uint64_t)index * w->runs * w->run_len, 0};
    if (w->window_start) {
        uint32_t group = index / (w->n / w->groups);
        c.place = (int32_t)(group * w->run_len) - load32(w->window_start, block);
    }
    return c;
}

/* Weights at positions [from, from + count) of a run as integers, 0 outside the channel's weights. */
static void integers(const struct layer *l, struct channel c, uint32_t run, int32_t from, int32_t count, int32_t *out) {
    const struct lb_weights *w = l->w;
    int32_t first = c.place > from ? c.place - from : 0;
    int32_t last = c.place + (int32_t)w->run_len - from;
    if (last > count) last = count;
    if (first >= last) {
        memset(out, 0, (size_t)count * 4);
        return;
    }
    memset(out, 0, (size_t)first * 4);
    memset(out + last, 0, (size_t)(count - last) * 4);
    uint32_t p = (uint32_t)(from + first - c.place); /* of the run's own weights */
    uint64_t at = c.field + (uint64_t)run * w->run_len + p;
    decode32(l->bits, at * (uint32_t)w->field.container, last - first, w->field, out + first);
    if (w->group_scale) {
        uint32_t groups = (w->channels + w->group_size - 1) / w->group_size, channel = p % w->channels;
        const uint8_t *scale = l->file + w->group_scale + (uint64_t)c.index * groups;
        for (int32_t i = first; i < last;) {
            uint32_t group = channel / w->group_size, end = (group + 1) * w->group_size;
            if (end > w->channels) end = w->channels;
            int32_t stop = i + (int32_t)(end - channel), factor = scale[group];
            if (stop > last) stop = last;
            for (; i < stop; i++) out[i] *= factor;
            channel = end == w->channels ? 0 : end;
        }
    }
}

/* High and low byte of w = 256 * high + low, low in [-128, 127]; of panels of bytes low in [0, 255], so that high is one, too. */
static void split(const int32_t *in, int32_t count, uint32_t element, uint32_t part, int32_t *out) {
    const int32_t round = element == 1 ? 0 : 128;
    if (part == 0)
        for (int32_t i = 0; i < count; i++) out[i] = (in[i] + round) >> 8;
    else
        for (int32_t i = 0; i < count; i++) out[i] = (int8_t)(in[i] & 255);
}

static void narrow(const int32_t *in, int32_t count, uint32_t element, uint8_t *out) {
    if (element == 1) {
        int8_t *o = (int8_t *)out;
        for (int32_t i = 0; i < count; i++) o[i] = (int8_t)in[i];
    } else {
        for (int32_t i = 0; i < count; i++) {
            int16_t v = (int16_t)in[i];
            memcpy(out + 2 * i, &v, 2);
        }
    }
}

/* `steps` groups of `bytes` bytes, one after the other -> one every `stride` bytes. */
static void scatter(const uint8_t *restrict in, int32_t steps, uint32_t bytes, uint8_t *restrict out, size_t stride) {
#define CASE(B)                                                                                      \
    case B:                                                                                          \
        for (int32_t s = 0; s < steps; s++) memcpy(out + (size_t)s * stride, in + (size_t)s * B, B); \
        return;
    switch (bytes) {
        CASE(1)
        CASE(2)
        CASE(4)
        CASE(8)
    default:
        for (int32_t s = 0; s < steps; s++) memcpy(out + (size_t)s * stride, in + (size_t)s * bytes, bytes);
    }
#undef CASE
}

/* The commonest case: int8 panels of one part, weights as they are. */
static void lane_int8(const struct layer *l, struct channel c, uint32_t run, int32_t from, int32_t count, int32_t steps,
                      uint8_t *out, size_t stride) {
    const struct lb_weights *w = l->w;
    int8_t some[STRETCH];
    uint64_t at = c.field + (uint64_t)run * w->run_len + (uint32_t)from;
    int32_t real = (int32_t)w->run_len - from < count ? (int32_t)w->run_len - from : count;
    if (w->field.container == 8 && !w->field.flip && !w->field.shift && real == count) {
        scatter(l->bits + at, steps, l->group_bytes, out, stride);
        return;
    }
    decode8(l->bits, at * (uint32_t)w->field.container, real, w->field, some);
    memset(some + real, 0, (size_t)(count - real));
    scatter((const uint8_t *)some, steps, l->group_bytes, out, stride);
}

static void lane_float(const struct layer *l, struct channel c, uint32_t run, int32_t from, int32_t count, int32_t steps,
                       uint8_t *out, size_t stride) {
    const struct lb_weights *w = l->w;
    uint8_t some[STRETCH * 4] = {0};
    int32_t first = c.place > from ? c.place - from : 0;
    int32_t last = c.place + (int32_t)w->run_len - from;
    if (last > count) last = count;
    if (first >= last) return;
    uint64_t at = c.field + (uint64_t)run * w->run_len + (uint32_t)(from + first - c.place);
    memcpy(some + 4 * first, l->bits + 4 * at, (size_t)(last - first) * 4);
    scatter(some, steps, l->group_bytes, out, stride);
}

/* float32 a = h + l + e: bfloat16 h of part 0 and l of part 1, to nearest, ties to even.  A value without a finite h has no l:
 * none such is packed. */
static uint16_t bfloat16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static float widened(uint16_t half) {
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void lane_split(const struct layer *l, struct channel c, uint32_t run, int32_t from, int32_t count, int32_t steps,
                       uint8_t *out, size_t stride) {
    const struct lb_weights *w = l->w;
    float whole[STRETCH];
    uint16_t half[STRETCH] = {0};
    int32_t real = (int32_t)w->run_len - from < count ? (int32_t)w->run_len - from : count;
    uint64_t at = c.field + (uint64_t)run * w->run_len + (uint32_t)from;
    memcpy(whole, l->bits + 4 * at, (size_t)real * 4);
    for (uint32_t part = 0; part < 2; part++) {
        for (int32_t i = 0; i < real; i++) {
            half[i] = bfloat16(whole[i]);
            whole[i] -= widened(half[i]);
        }
        scatter((const uint8_t *)half, steps, l->group_bytes, out + (size_t)part * l->part_bytes, stride);
    }
}

static void lane_general(const struct layer *l, struct channel c, uint32_t run, int32_t from, int32_t count, int32_t steps,
                         uint8_t *out, size_t stride) {
    const struct lb_weights *w = l->w;
    int32_t whole[STRETCH], half[STRETCH];
    uint8_t some[STRETCH * 2];
    integers(l, c, run, from, count, whole);
    for (uint32_t part = 0; part < w->parts; part++) {
        if (w->parts == 2) split(whole, count, l->element, part, half);
        narrow(w->parts == 2 ? half : whole, count, l->element, some);
        scatter(some, steps, l->group_bytes, out + (size_t)part * l->part_bytes, stride);
    }
}

/* One bit a weight: little-endian words of k_group fields (8 or 32). */
static void lane_bits(const struct layer *l, struct channel c, uint32_t run, int32_t from, int32_t count, int32_t steps,
                      uint8_t *out, size_t stride) {
    const struct lb_weights *w = l->w;
    const uint32_t bits = (uint32_t)w->field.container;
    const int32_t group = (int32_t)w->k_group;
    uint64_t first = c.field + (uint64_t)run * w->run_len;
    (void)count;
    for (int32_t s = 0; s < steps; s++) {
        int32_t p = from + group * s - c.place, lo = p < 0 ? -p : 0, hi = (int32_t)w->run_len - p;
        uint32_t word = 0;
        if (hi > group) hi = group;
        if (lo >= hi) continue;
        uint64_t at = first + (uint64_t)(p + lo);
        if (bits == 1) {
            word = (uint32_t)(load64(l->bits + at / 8) >> at % 8);
            if (hi - lo < 32) word &= (1u << (hi - lo)) - 1;
            word <<= lo;
        } else {
            for (int32_t j = lo; j < hi; j++, at++)
                word |= (uint32_t)(l->bits[at * bits / 8] >> at * bits % 8 & 1) << j;
        }
        memcpy(out + (size_t)s * stride, &word, l->group_bytes);
    }
}

/* Bytes of k_group weights of `bits` bits: weight s + j * steps_run of the run at bit bits * j of byte s.
 * One bit is w > 0 (of -1, +1 and 0 outside). */
static void lane_index(const struct layer *l, struct channel c, uint32_t run, int32_t from, int32_t count, int32_t steps,
                       uint8_t *out, size_t stride) {
    const int32_t fields = (int32_t)l->w->k_group, bits = (int32_t)l->w->bits;
    int32_t some[STRETCH];
    uint8_t bytes[STRETCH] = {0};
    (void)count;
    for (int32_t j = 0; j < fields; j++) {
        integers(l, c, run, from / fields + j * l->steps_run, steps, some);
        for (int32_t s = 0; s < steps; s++) bytes[s] |= (uint8_t)((bits == 1 ? some[s] > 0 : some[s] & 3) << bits * j);
    }
    scatter(bytes, steps, 1, out, stride);
}

/* Elements that share a byte. */
static uint32_t shared(const struct lb_weights *w) { return w->element == 5 ? 2 : w->element == 7 ? 4 : 1; }

typedef void (*lane_function)(const struct layer *, struct channel, uint32_t, int32_t, int32_t, int32_t, uint8_t *, size_t);

/* Where the fields of the channels from `block` on lie in the file. */
static uint64_t place(const struct lb_weights *w, uint32_t block) {
    uint64_t channel = (uint64_t)block * w->nr < w->n ? (uint64_t)block * w->nr : w->n;
    return w->source + channel * w->runs * w->run_len * (uint32_t)w->field.container / 8;
}

/* A block's bytes in the order of `shuffle`. */
static void shuffled(const struct lb_weights *w, const uint8_t *restrict plain, size_t bytes, uint8_t *restrict out) {
    for (size_t from = 0; from < bytes; from += w->shuffled, plain += w->shuffled)
        if (w->element == 5)
            for (uint32_t i = 0; i < w->shuffled; i += 2)
                *out++ = (uint8_t)((plain[load32(w->shuffle, i)] & 15) | plain[load32(w->shuffle, i + 1)] << 4);
        else if (w->element == 7)
            for (uint32_t i = 0; i < w->shuffled; i += 4) {
                uint8_t four = 0;
                for (uint32_t j = 0; j < 4; j++) four |= (uint8_t)((plain[load32(w->shuffle, i + j)] & 3) << 2 * j);
                *out++ = four;
            }
        else
            for (uint32_t i = 0; i < w->shuffled; i++) *out++ = plain[load32(w->shuffle, i)];
}

static void panels(void *context, void *own, int32_t lo, int32_t hi) {
    (void)own;
    const struct layer *l = context;
    const struct lb_weights *w = l->w;
    const int32_t group = (int32_t)w->k_group, stretch = STRETCH / group * group;
    const size_t stride = (size_t)l->part_bytes * w->parts;
    bool bytes_alone = (w->element == 1 || shared(w) > 1) && w->parts == 1 && !w->window_start && !w->group_scale && w->field.container <= 8;
    lane_function lane_into = w->element == 0   ? lane_bits
                              : w->element == 3 ? lane_index
                              : w->element == 4 ? lane_float
                              : w->element == 6 ? lane_split
                              : bytes_alone     ? lane_int8
                                                : lane_general;
    const size_t bytes = l->block_steps * stride; /* of a block, before elements meet in bytes */
    uint8_t *plain = w->shuffle ? malloc(bytes) : NULL;
    if (w->shuffle && !plain) {
        *l->failed = true;
        return;
    }
    uint32_t first = (uint32_t)lo; /* block that has not been forgotten */
    for (uint32_t block = (uint32_t)lo; block < (uint32_t)hi; block++) {
        uint8_t *target = l->target + block * (bytes / shared(w)), *out = plain ? plain : target;
        if (plain) memset(plain, 0, bytes);
        uint32_t lanes = w->n - block * w->nr < w->nr ? w->n - block * w->nr : w->nr;
        if (place(w, block) - place(w, first) >= FORGET) {
            lb_forget(l->whole, place(w, first), place(w, block));
            first = block;
        }
        for (uint32_t run = 0; run < w->runs; run++) {
            /* Positions past the last weight stay zero; a window may hold weights up to its end. */
            int32_t end = w->window_start ? (int32_t)w->run_pad : (int32_t)w->run_len;
            for (int32_t from = 0; from < end; from += stretch) {
                int32_t steps = (end - from + group - 1) / group;
                if (steps > stretch / group) steps = stretch / group;
                uint8_t *at = out + ((size_t)run * (uint32_t)l->steps_run + (uint32_t)(from / group)) * stride;
                for (uint32_t lane = 0; lane < lanes; lane++)
                    lane_into(l, channel_of(l, block, block * w->nr + lane), run, from, steps * group, steps,
                              at + (size_t)lane * l->group_bytes, stride);
            }
        }
        if (plain) shuffled(w, plain, bytes, target);
    }
    free(plain);
}

static bool is_split(const struct layer *l, uint32_t block, uint32_t step) {
    uint64_t bit = (uint64_t)block * l->block_steps + step;
    return l->w->split[bit / 8] >> bit % 8 & 1;
}

/* Where the table of steps lies, and its first part: which steps belong to which block. */
static int32_t *start_table(const struct layer *l, uint32_t blocks) {
    uint64_t steps = (uint64_t)blocks * l->block_steps;
    for (uint32_t block = 0; block < blocks; block++)
        for (uint32_t step = 0; step < l->block_steps; step++) steps += is_split(l, block, step);
    int32_t *table = (int32_t *)(void *)(l->target + (steps * l->part_bytes + 63) / 64 * 64), first = 0;
    for (uint32_t block = 0; block < blocks; block++) {
        table[block] = first;
        for (uint32_t step = 0; step < l->block_steps; step++) first += 1 + is_split(l, block, step);
    }
    table[blocks] = first;
    return table;
}

/* Steps as they are, or in two: their weights halved downwards, and the other half. */
static void halved(void *context, void *own, int32_t lo, int32_t hi) {
    (void)own;
    const struct layer *l = context;
    const struct lb_weights *w = l->w;
    const uint32_t group = w->k_group, lane_values = l->block_steps * group, elements = w->nr * group;
    const uint32_t blocks = (w->n + w->nr - 1) / w->nr;
    int32_t *values = malloc(((size_t)w->nr * lane_values + elements) * 4), *some = values + (size_t)w->nr * lane_values;
    if (!values) {
        *l->failed = true;
        return;
    }
    for (uint32_t block = (uint32_t)lo; block < (uint32_t)hi; block++) {
        uint32_t lanes = w->n - block * w->nr < w->nr ? w->n - block * w->nr : w->nr;
        memset(values + (size_t)lanes * lane_values, 0, (size_t)(w->nr - lanes) * lane_values * 4);
        for (uint32_t lane = 0; lane < lanes; lane++)
            for (uint32_t run = 0; run < w->runs; run++)
                integers(l, channel_of(l, block, block * w->nr + lane), run, 0, (int32_t)w->run_pad,
                         values + (size_t)lane * lane_values + (size_t)run * w->run_pad);
        int32_t at = l->table[block];
        for (uint32_t step = 0; step < l->block_steps; step++) {
            const bool twice = is_split(l, block, step);
            for (int half = 0; half <= twice; half++, at++) {
                for (uint32_t lane = 0; lane < w->nr; lane++)
                    memcpy(some + (size_t)lane * group, values + (size_t)lane * lane_values + (size_t)step * group, (size_t)group * 4);
                if (twice)
                    for (uint32_t i = 0; i < elements; i++) some[i] = half ? some[i] - (some[i] >> 1) : some[i] >> 1;
                narrow(some, (int32_t)elements, l->element, l->target + (uint64_t)at * elements * l->element);
                l->table[blocks + 1 + (uint32_t)at] = load32(w->offsets, step);
            }
        }
    }
    free(values);
}

int lb_unpack(const struct lb_tables *tables, struct lb_file file, uint8_t *memory, struct lb_pool *pool) {
    _Atomic bool failed = false;
    uint64_t forgotten = 0;
    for (uint32_t i = 0; i < tables->weight_count; i++) {
        const struct lb_weights *w = &tables->weights[i];
        struct layer l = {.w = w, .whole = file, .file = file.data, .bits = file.data + w->source,
                          .target = memory + w->target, .failed = &failed};
        l.steps_run = (int32_t)(w->run_pad / w->k_group);
        l.block_steps = w->runs * (uint32_t)l.steps_run;
        l.element = shared(w) > 1 ? 1 : w->element == 6 ? 2 : w->element;
        l.group_bytes = w->element == 3 ? 1 : w->element ? w->k_group * l.element : w->k_group / 8;
        l.part_bytes = w->nr * l.group_bytes;
        const uint32_t blocks = (w->n + w->nr - 1) / w->nr;
        if (w->split) l.table = start_table(&l, blocks);
        static const struct lb_job whole = {panels, NULL, NULL}, twice = {halved, NULL, NULL};
        lb_pool_run(pool, w->split ? &twice : &whole, &l, blocks);
        if (place(w, blocks) - forgotten >= FORGET) { /* all from the start: neighbours may have come back */
            forgotten = place(w, blocks);
            lb_forget(file, 0, forgotten);
        }
    }
    return failed ? lb_fail("out of memory while unpacking the weights of %s", tables->name) : 0;
}
