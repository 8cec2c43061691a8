/* A libcuda.so.1 without a GPU: device memory is memory, and kernels are executed by the emulation of cuda_on_cpu.h.
 *
 * Strict where a GPU is lenient by chance: work is done no sooner than somebody waits for it (a stream, or an event), so a missing wait
 * shows; device memory starts as garbage between guard bytes, and what a kernel writes beside it is found; a cubin must be for the
 * device's architecture, and launches must be what the driver would take.
 *
 * Environment: LOWBIT_EMULATED_GPUS = capabilities of the devices, "8.0,9.0" (default 9.0); LOWBIT_EMULATED_MEMORY = bytes of each
 * (default 2 GiB).  Kernels are compiled by BUILD (a macro: a command that is given the file of their text) once, and kept in the folder
 * KERNELS (a macro). */
#include <dlfcn.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace {
enum { OK = 0, INVALID_VALUE = 1, NO_MEMORY = 2, NOT_INITIALIZED = 3, INVALID_DEVICE = 101, INVALID_IMAGE = 200, INVALID_CONTEXT = 201,
       NO_BINARY = 209, NOT_FOUND = 500, NOT_READY = 600, LAUNCH_FAILED = 719, CAPTURE = 900 /* unsupported while a stream is captured */ };
enum { GUARD = 4096, FILL = 0xA5 };
typedef const char *(*Run)(const char *, unsigned, unsigned, unsigned, unsigned, unsigned, void **);
typedef std::function<int()> Work;

struct Event { bool recorded = false, done = true; struct Stream *stream = nullptr; double at = 0; /* ms */ };
struct Stream { std::deque<Work> work; bool capturing = false; std::vector<Work> captured; bool busy = false; };
struct Graph { std::vector<Work> work; };
struct Function { std::string name; Run run; int dynamic = 48 << 10; };
struct Module { std::map<std::string, Function> functions; std::string symbol; Run run; };
struct Device { int major, minor; size_t used = 0; };

std::recursive_mutex lock;
bool ready = false;
std::vector<Device> devices;
size_t memory_bytes = (size_t)2 << 30;
std::map<uint64_t, size_t> blocks;
std::map<uint64_t, int> owner;
Stream default_stream;
int failed = 0; /* as on a GPU, everything fails behind a kernel that did */
std::string why;
unsigned seed = 1;
thread_local std::vector<int> contexts;
thread_local int capture_mode = 0; /* of this thread: 0 global, 1 its own, 2 relaxed */
pid_t process = 0;
std::set<Stream *> captures; /* that go on in the global mode */

int fail(int code, const std::string &text) {
    failed = code;
    why = text;
    fprintf(stderr, "emulated GPU: %s\n", text.c_str());
    return code;
}

Stream *of(void *s) { return s ? (Stream *)s : &default_stream; }

int put(void *s, Work work) {
    Stream *stream = of(s);
    if (failed) return failed;
    if (stream->capturing) stream->captured.push_back(std::move(work));
    else stream->work.push_back(std::move(work));
    return OK;
}

int drain(Stream *stream) {
    if (stream->busy) return OK; /* a cycle of waits: the outer one goes on */
    stream->busy = true;
    while (!stream->work.empty() && !failed) {
        Work work = std::move(stream->work.front());
        stream->work.pop_front();
        if (int code = work()) failed = code;
    }
    stream->busy = false;
    return failed;
}

/* Whether [p, p + bytes) is in one allocation. */
bool inside(uint64_t p, size_t bytes) {
    auto at = blocks.upper_bound(p);
    if (at == blocks.begin()) return false;
    --at;
    return p >= at->first && p + bytes <= at->first + at->second;
}

bool whole(uint64_t p, size_t n) {
    const unsigned char *q = (const unsigned char *)p;
    for (size_t i = 1; i <= GUARD; i++) if (q[-(long)i] != FILL || q[n + i - 1] != FILL) return false;
    return true;
}

/* The text behind an image, as lowbit's libraries have it: cubin, PTX, text. */
const char *text_behind(const void *image, int *arch) {
    const char *at = (const char *)image;
    if (!memcmp(at, "\177ELF", 4)) {
        uint64_t sections; uint16_t size, count; uint32_t flags;
        memcpy(&sections, at + 40, 8); memcpy(&flags, at + 48, 4); memcpy(&size, at + 58, 2); memcpy(&count, at + 60, 2);
        uint64_t end = sections + (uint64_t)size * count;
        uint64_t heads; uint16_t head_size, head_count; /* program headers may follow the sections */
        memcpy(&heads, at + 32, 8); memcpy(&head_size, at + 54, 2); memcpy(&head_count, at + 56, 2);
        if (heads + (uint64_t)head_size * head_count > end) end = heads + (uint64_t)head_size * head_count;
        *arch = (int)(at[8] >= 8 ? flags >> 8 & 0xff : flags & 0xff); /* by the version of the ABI */
        at += end;
        for (int i = 0; i < 64 && *at != '/'; i++) at++; /* to where PTX begins, with a comment */
    } else *arch = 0;
    if (memcmp(at, "//", 2)) return nullptr;
    at += strlen(at) + 1;
    return strstr(at, "__global__") ? at : nullptr;
}

uint64_t hash(const char *text) { /* FNV-1a, as driver.py has it */
    uint64_t h = 0xcbf29ce484222325u;
    for (; *text; text++) h = (h ^ (unsigned char)*text) * 0x100000001b3u;
    return h;
}

Run compiled(const char *text) {
    char name[32];
    snprintf(name, sizeof name, "%016llx", (unsigned long long)hash(text));
    std::string link = std::string(KERNELS) + "/" + name, path;
    for (int attempt = 0; attempt < 2; attempt++) {
        if (FILE *file = fopen(link.c_str(), "r")) {
            char line[4096] = "";
            if (fgets(line, sizeof line, file)) path = line;
            fclose(file);
            break;
        }
        std::string source = link + "." + std::to_string(getpid()) + ".cu";
        if (FILE *file = fopen(source.c_str(), "w")) { fputs(text, file); fclose(file); }
        if (system((std::string(BUILD) + " '" + source + "'").c_str())) break;
        unlink(source.c_str());
    }
    void *library = path.empty() ? nullptr : dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    return library ? (Run)dlsym(library, "emu_run") : nullptr;
}
} // namespace

#define API extern "C" __attribute__((visibility("default"))) int
#define LOCKED std::lock_guard<std::recursive_mutex> guard(lock); if (!ready || process != getpid()) return NOT_INITIALIZED;
/* What is not allowed while any thread captures in the global mode, but for threads that are relaxed about it. */
#define UNSAFE if (!captures.empty() && capture_mode != 2) return CAPTURE;

API cuInit(unsigned) {
    std::lock_guard<std::recursive_mutex> guard(lock);
    const char *list = getenv("LOWBIT_EMULATED_GPUS"), *size = getenv("LOWBIT_EMULATED_MEMORY");
    if (ready) return process == getpid() ? OK : NOT_INITIALIZED;
    for (const char *at = list ? list : "9.0"; at && *at;) {
        Device device = {};
        if (sscanf(at, "%d.%d", &device.major, &device.minor) == 2) devices.push_back(device);
        at = strchr(at, ',');
        if (at) at++;
    }
    if (size) memory_bytes = strtoull(size, nullptr, 10);
    ready = true;
    process = getpid();
    return devices.empty() ? 100 : OK;
}
API cuDriverGetVersion(int *v) { *v = 13000; return OK; }
API cuDeviceGetCount(int *n) { LOCKED *n = (int)devices.size(); return OK; }
API cuDeviceGet(int *d, int i) { LOCKED *d = i; return i < 0 || i >= (int)devices.size() ? INVALID_DEVICE : OK; }
API cuDeviceGetName(char *text, int n, int d) { LOCKED snprintf(text, (size_t)n, "emulated GPU %d", d); return OK; }
API cuDeviceGetAttribute(int *v, int what, int d) { LOCKED *v = what == 75 ? devices[(size_t)d].major : what == 76 ? devices[(size_t)d].minor : 0; return OK; }
API cuDeviceTotalMem_v2(size_t *n, int) { LOCKED *n = memory_bytes; return OK; }
API cuDevicePrimaryCtxRetain(void **c, int d) { LOCKED *c = (void *)(uintptr_t)(d + 1); return OK; }
API cuDevicePrimaryCtxRelease_v2(int) { LOCKED return OK; }
API cuCtxPushCurrent_v2(void *c) { LOCKED contexts.push_back((int)(uintptr_t)c - 1); return OK; }
API cuCtxPopCurrent_v2(void **c) { LOCKED if (contexts.empty()) return INVALID_CONTEXT; *c = (void *)(uintptr_t)(contexts.back() + 1); contexts.pop_back(); return OK; }

API cuModuleLoadDataEx(Module **m, const void *image, unsigned, int *, void **) {
    LOCKED UNSAFE
    if (contexts.empty()) return INVALID_CONTEXT;
    int arch = 0;
    const char *text = text_behind(image, &arch);
    if (!text) return INVALID_IMAGE;
    const Device &device = devices[(size_t)contexts.back()];
    if (arch && (arch / 10 != device.major || arch % 10 > device.minor)) return NO_BINARY;
    Run run = compiled(text);
    if (!run) return INVALID_IMAGE;
    *m = new Module{{}, "", run};
    return OK;
}
API cuModuleUnload(Module *m) { LOCKED delete m; return OK; }
API cuModuleGetFunction(Function **f, Module *m, const char *name) {
    LOCKED
    auto at = m->functions.emplace(name, Function{name, m->run}).first;
    *f = &at->second;
    return OK;
}
API cuFuncSetAttribute(Function *f, int what, int value) { LOCKED if (what == 8) f->dynamic = value; return value > (227 << 10) ? INVALID_VALUE : OK; }

API cuMemGetInfo_v2(size_t *left, size_t *total) {
    LOCKED
    if (contexts.empty()) return INVALID_CONTEXT;
    *total = memory_bytes; *left = memory_bytes - devices[(size_t)contexts.back()].used;
    return OK;
}
API cuMemAlloc_v2(unsigned long long *p, size_t n) {
    LOCKED UNSAFE
    if (contexts.empty()) return INVALID_CONTEXT;
    Device &device = devices[(size_t)contexts.back()];
    if (!n) return INVALID_VALUE;
    if (n > memory_bytes - device.used) return NO_MEMORY;
    size_t bytes = (n + 2 * GUARD + 4095) / 4096 * 4096;
    char *raw = (char *)aligned_alloc(4096, bytes);
    if (!raw) return NO_MEMORY;
    memset(raw, FILL, bytes);
    *p = (unsigned long long)(raw + GUARD);
    memset((void *)*p, 0xCD, n);
    blocks[*p] = n; owner[*p] = contexts.back(); device.used += n;
    return OK;
}
API cuMemFree_v2(unsigned long long p) {
    LOCKED
    auto at = blocks.find(p);
    if (at == blocks.end()) return INVALID_VALUE;
    drain(&default_stream);
    if (!whole(p, at->second)) return fail(LAUNCH_FAILED, "a kernel wrote beside an allocation");
    devices[(size_t)owner[p]].used -= at->second;
    free((char *)p - GUARD);
    blocks.erase(at);
    return OK;
}
static int copy(uint64_t to, uint64_t from, size_t n, bool to_device, bool from_device, void *s) {
    return put(s, [=] {
        if ((to_device && !inside(to, n)) || (from_device && !inside(from, n))) return fail(INVALID_VALUE, "a copy outside an allocation");
        memcpy((void *)to, (const void *)from, n);
        return (int)OK;
    });
}
API cuMemcpyHtoDAsync_v2(unsigned long long d, const void *h, size_t n, void *s) { LOCKED return copy(d, (uint64_t)h, n, true, false, s); }
API cuMemcpyDtoHAsync_v2(void *h, unsigned long long d, size_t n, void *s) { LOCKED return copy((uint64_t)h, d, n, false, true, s); }
API cuMemcpyDtoDAsync_v2(unsigned long long d, unsigned long long e, size_t n, void *s) { LOCKED return copy(d, e, n, true, true, s); }

API cuStreamCreate(Stream **s, unsigned) { LOCKED *s = new Stream; return OK; }
API cuStreamDestroy_v2(Stream *s) { LOCKED drain(s); delete s; return OK; }
API cuStreamSynchronize(void *s) { LOCKED return of(s)->capturing ? CAPTURE : drain(of(s)); }
API cuStreamWaitEvent(void *s, Event *e, unsigned) {
    LOCKED
    if (!e->recorded) return OK;
    Stream *other = e->stream;
    return put(s, [=] { return e->done ? (int)OK : drain(other); });
}
API cuStreamBeginCapture_v2(void *s, int mode) { LOCKED of(s)->capturing = true; of(s)->captured.clear(); if (!mode) captures.insert(of(s)); return OK; }
API cuStreamEndCapture(void *s, Graph **g) { LOCKED captures.erase(of(s)); of(s)->capturing = false; *g = new Graph{std::move(of(s)->captured)}; of(s)->captured.clear(); return OK; }
API cuStreamIsCapturing(void *s, int *status) { LOCKED *status = of(s)->capturing ? 1 : 0; return OK; }
API cuThreadExchangeStreamCaptureMode(int *mode) { LOCKED if (*mode < 0 || *mode > 2) return INVALID_VALUE; std::swap(capture_mode, *mode); return OK; }
API cuEventCreate(Event **e, unsigned) { LOCKED *e = new Event; return OK; }
API cuEventDestroy_v2(Event *e) { LOCKED if (e->recorded && !e->done) drain(e->stream); delete e; return OK; }
API cuEventRecord(Event *e, void *s) {
    LOCKED
    e->recorded = true; e->done = false; e->stream = of(s);
    return put(s, [=] {
        timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        e->done = true; e->at = (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
        return (int)OK;
    });
}
API cuEventQuery(Event *e) { LOCKED UNSAFE return failed ? failed : e->done ? OK : NOT_READY; }
API cuEventSynchronize(Event *e) { LOCKED return e->done ? failed : drain(e->stream); }
API cuEventElapsedTime(float *ms, Event *a, Event *b) { LOCKED if (!a->done || !b->done) return NOT_READY; *ms = (float)(b->at - a->at); return OK; }
API cuGraphInstantiateWithFlags(Graph **e, Graph *g, unsigned long long) { LOCKED *e = new Graph(*g); return OK; }
API cuGraphLaunch(Graph *e, void *s) {
    LOCKED
    for (const Work &work : e->work)
        if (int code = put(s, work)) return code;
    return OK;
}
API cuGraphExecDestroy(Graph *e) { LOCKED delete e; return OK; }
API cuGraphDestroy(Graph *g) { LOCKED delete g; return OK; }

API cuLaunchKernel(Function *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, void *s, void **arguments, void **) {
    LOCKED
    if (!gx || !gy || !gz || gy > 65535 || gz > 65535 || by != 1 || bz != 1 || !bx || bx > 1024 || (int)shared > f->dynamic) return INVALID_VALUE;
    std::vector<uint64_t> values(16, 0); /* seven pointers, and up to two arguments more */
    for (int i = 0; i < 9; i++) if (i < 7 || arguments[i]) memcpy(&values[(size_t)i], arguments[i], 8);
    return put(s, [=]() mutable {
        void *pointers[16];
        for (int i = 0; i < 16; i++) pointers[i] = &values[(size_t)i];
        seed = seed * 1664525 + 1013904223;
        const char *problem = f->run(f->name.c_str(), gx, gy, gz, bx, seed >> 4, pointers);
        if (problem && *problem) return fail(LAUNCH_FAILED, f->name + ": " + problem);
        return (int)OK;
    });
}
API cuGetErrorString(int code, const char **text) {
    LOCKED
    static const std::map<int, const char *> known = {
        {INVALID_VALUE, "invalid argument"}, {NO_MEMORY, "out of memory"}, {INVALID_IMAGE, "device kernel image is invalid"},
        {NO_BINARY, "no kernel image is available for execution on the device"}, {LAUNCH_FAILED, "unspecified launch failure"}};
    auto at = known.find(code);
    *text = at == known.end() ? "an error of the emulated driver" : at->second;
    return OK;
}
