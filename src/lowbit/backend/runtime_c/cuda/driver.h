/* The functions of NVIDIA's driver that the runtime calls, found when the first network is opened: no CUDA toolkit, no link to it. */
#ifndef LB_CUDA_DRIVER_H
#define LB_CUDA_DRIVER_H

#include <stddef.h>
#include <stdint.h>

typedef int CUresult;
typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUstream_st *CUstream;
typedef struct CUevent_st *CUevent;
typedef struct CUgraph_st *CUgraph;
typedef struct CUgraphExec_st *CUgraphExec;
typedef unsigned long long CUdeviceptr;

enum { CUDA_NO_MEMORY = 2, CUDA_NOT_INITIALIZED = 3 };
enum { CUDA_ATTRIBUTE_MAJOR = 75, CUDA_ATTRIBUTE_MINOR = 76, CUDA_FUNCTION_SHARED = 8, CUDA_JIT_ERROR_LOG = 5, CUDA_JIT_ERROR_BYTES = 6 };

/* Names as the library exports them. */
#define LB_CUDA_FUNCTIONS(F)                                                                                             \
    F(cuInit, (unsigned)) F(cuDriverGetVersion, (int *)) F(cuDeviceGetCount, (int *)) F(cuDeviceGet, (int *, int))       \
    F(cuDeviceGetName, (char *, int, int)) F(cuDeviceGetAttribute, (int *, int, int))                                    \
    F(cuDevicePrimaryCtxRetain, (CUcontext *, int)) F(cuDevicePrimaryCtxRelease_v2, (int))                               \
    F(cuCtxPushCurrent_v2, (CUcontext)) F(cuCtxPopCurrent_v2, (CUcontext *))                                             \
    F(cuModuleLoadDataEx, (CUmodule *, const void *, unsigned, int *, void **)) F(cuModuleUnload, (CUmodule))            \
    F(cuModuleGetFunction, (CUfunction *, CUmodule, const char *)) F(cuFuncSetAttribute, (CUfunction, int, int))         \
    F(cuMemGetInfo_v2, (size_t *, size_t *)) F(cuMemAlloc_v2, (CUdeviceptr *, size_t)) F(cuMemFree_v2, (CUdeviceptr))    \
    F(cuMemcpyHtoDAsync_v2, (CUdeviceptr, const void *, size_t, CUstream))                                               \
    F(cuMemcpyDtoHAsync_v2, (void *, CUdeviceptr, size_t, CUstream))                                                     \
    F(cuMemcpyDtoDAsync_v2, (CUdeviceptr, CUdeviceptr, size_t, CUstream))                                                \
    F(cuStreamCreate, (CUstream *, unsigned)) F(cuStreamDestroy_v2, (CUstream)) F(cuStreamSynchronize, (CUstream))       \
    F(cuStreamWaitEvent, (CUstream, CUevent, unsigned)) F(cuStreamBeginCapture_v2, (CUstream, int))                      \
    F(cuStreamIsCapturing, (CUstream, int *)) F(cuThreadExchangeStreamCaptureMode, (int *))                              \
    F(cuStreamEndCapture, (CUstream, CUgraph *)) F(cuEventCreate, (CUevent *, unsigned)) F(cuEventDestroy_v2, (CUevent)) \
    F(cuEventRecord, (CUevent, CUstream)) F(cuEventQuery, (CUevent)) F(cuEventSynchronize, (CUevent))                    \
    F(cuEventElapsedTime, (float *, CUevent, CUevent))                                                                   \
    F(cuGraphInstantiateWithFlags, (CUgraphExec *, CUgraph, unsigned long long)) F(cuGraphLaunch, (CUgraphExec, CUstream)) \
    F(cuGraphExecDestroy, (CUgraphExec)) F(cuGraphDestroy, (CUgraph))                                                    \
    F(cuLaunchKernel, (CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, CUstream, void **, void **)) \
    F(cuGetErrorString, (CUresult, const char **))

struct lb_driver {
#define LB_CUDA_POINTER(name, arguments) CUresult(*name) arguments;
    LB_CUDA_FUNCTIONS(LB_CUDA_POINTER)
#undef LB_CUDA_POINTER
};

/* driver.c: the functions, NULL with lb_error where there is no driver.  The library is libcuda.so.1, or what the environment
 * variable LOWBIT_CUDA_DRIVER names. */
const struct lb_driver *lb_cuda_driver(void);
/* What the driver says of a result, for messages. */
const char *lb_cuda_text(const struct lb_driver *cuda, CUresult result);

#endif
