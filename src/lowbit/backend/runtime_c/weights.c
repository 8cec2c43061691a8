/* Weight files: found, checked, unpacked. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime.h"

/* The start of a weight file; `sum` is over everything after it. */
struct header {
    char magic[8];
    uint64_t version, bytes, identity, sum, reserved[3];
};

/* Anonymous zeroed memory; large pages spare most page faults and TLB misses where the system has them. */
uint8_t *lb_map_memory(size_t bytes) {
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return NULL;
    if (bytes >= (size_t)1 << 21) madvise(p, bytes, MADV_HUGEPAGE);
    return p;
}

/* A page fault in a mapped file brings its neighbours up to this alignment, too.  A multiple of every page size. */
enum { AROUND = 1 << 16 };

void lb_forget(struct lb_file file, uint64_t from, uint64_t to) {
    const uintptr_t start = (uintptr_t)file.data, low = lb_round_up(start, AROUND), last = (start + to) / AROUND * AROUND;
    const uintptr_t first = (start + from) / AROUND * AROUND > low ? (start + from) / AROUND * AROUND : low;
    if (file.mapped && first < last) madvise((void *)first, last - first, MADV_DONTNEED);
}

/* Sum of a bijective mix of every word and its position: any one altered word alters it. */
struct sum {
    struct lb_file file;
    uint64_t words; /* after the header */
    _Atomic uint64_t sum;
};

enum { SUM_WORDS = 1 << 16 }; /* of one unit: few pages, and many units */

static void add_up(void *context, void *own, int32_t lo, int32_t hi) {
    (void)own;
    struct sum *s = context;
    const uint8_t *p = s->file.data + sizeof(struct header);
    for (uint64_t unit = (uint64_t)lo; unit < (uint64_t)hi; unit++) {
        uint64_t sum = 0, first = unit * SUM_WORDS, end = first + SUM_WORDS < s->words ? first + SUM_WORDS : s->words;
        for (uint64_t i = first; i < end; i++) {
            uint64_t v;
            memcpy(&v, p + 8 * i, 8);
            v += i * 0x9e3779b97f4a7c15u;
            sum += (v ^ v >> 29) * 0xbf58476d1ce4e5b9u;
        }
        atomic_fetch_add(&s->sum, sum);
        lb_forget(s->file, sizeof(struct header) + 8 * first, sizeof(struct header) + 8 * end);
    }
}

static uint64_t checksum(struct lb_file file, size_t size, struct lb_pool *pool) {
    struct sum s = {.file = file, .words = (size - sizeof(struct header)) / 8};
    static const struct lb_job job = {add_up, NULL, NULL};
    lb_pool_run(pool, &job, &s, (uint32_t)((s.words + SUM_WORDS - 1) / SUM_WORDS));
    lb_forget(file, 0, size);
    return s.sum;
}

/* Everything about a weight file but its sum. */
static int check(const struct lb_tables *t, const uint8_t *data, size_t size) {
    struct header h;
    if (size < sizeof h) return lb_fail("%s: the weight file has %zu bytes, too few for its header", t->name, size);
    memcpy(&h, data, sizeof h);
    if (memcmp(h.magic, "LOWBITW", 8)) return lb_fail("%s: not a lowbit weight file", t->name);
    if (h.version != 2) return lb_fail("%s: weight file of version %llu; this library reads version 2", t->name, (unsigned long long)h.version);
    if (h.bytes != size)
        return lb_fail("%s: the weight file has %zu bytes but should have %llu", t->name, size, (unsigned long long)h.bytes);
    if (h.identity != t->identity || h.bytes != t->file_bytes)
        return lb_fail("%s: this weight file belongs to another network or another version of it", t->name);
    if (h.reserved[0] | h.reserved[1] | h.reserved[2]) return lb_fail("%s: the weight file is damaged (header)", t->name);
    return 0;
}

int lb_read_weights(const struct lb_tables *t, struct lb_file file, size_t size, struct lb_pool *pool, struct lb_memory *memory) {
    struct header h;
    if (check(t, file.data, size)) return -1;
    memcpy(&h, file.data, sizeof h);
    if (h.sum != checksum(file, size, pool)) return lb_fail("%s: the weight file is damaged (checksum)", t->name);
    memory->constants_at = lb_round_up(t->weight_bytes, 64);
    memory->bytes = memory->constants_at + t->constant_bytes + LB_SPARE;
    memory->data = lb_map_memory(memory->bytes);
    if (!memory->data) return lb_fail("%s: out of memory: %zu bytes for weights", t->name, memory->bytes);
    memcpy(memory->data + memory->constants_at, file.data + t->file_constants, t->constant_bytes);
    return lb_unpack(t, file, memory->data, pool);
}

struct lb_network *lb_open_memory(const struct lb_tables *tables, const void *data, size_t size, int threads) {
    return lb_open_file(tables, (struct lb_file){data, false}, size, threads);
}

/* Pages are read ahead, and given back once their bytes have been used: what stays is the unpacked weights. */
struct lb_network *lb_open_part(const struct lb_tables *tables, int file, uint64_t offset, uint64_t size, int threads) {
    struct stat status;
    if (fstat(file, &status)) {
        lb_fail("%s: cannot read the weight file: %s", tables->name, strerror(errno));
        return NULL;
    }
    uint64_t end = (uint64_t)status.st_size, before = offset % (uint64_t)sysconf(_SC_PAGESIZE);
    if (size == 0 || size > end || offset > end - size) {
        lb_fail("%s: the weight file takes bytes %llu to %llu of a file of %llu bytes", tables->name, (unsigned long long)offset,
                (unsigned long long)(offset + size), (unsigned long long)end);
        return NULL;
    }
    uint8_t *data = mmap(NULL, before + size, PROT_READ, MAP_PRIVATE, file, (off_t)(offset - before));
    if (data == MAP_FAILED) {
        lb_fail("%s: cannot map the weight file: %s", tables->name, strerror(errno));
        return NULL;
    }
    madvise(data, before + size, MADV_WILLNEED);
    struct lb_network *net = lb_open_file(tables, (struct lb_file){data + before, true}, size, threads);
    munmap(data, before + size);
    return net;
}

struct lb_network *lb_open(const struct lb_tables *tables, const char *path, int threads) {
    struct lb_network *net = NULL;
    struct stat status;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &status)) {
        lb_fail("%s: cannot read the weight file %s: %s", tables->name, path, strerror(errno));
    } else if (status.st_size == 0) {
        lb_fail("%s: the weight file %s is empty", tables->name, path);
    } else {
        net = lb_open_part(tables, file, 0, (uint64_t)status.st_size, threads);
    }
    if (file >= 0) close(file);
    return net;
}
