// Host emulation of CUDA: stands in for NVIDIA's header of this name when a .cu file is compiled as C++ (T2_CUDA_HOST). The language's
// words, the types, the runtime's interface, what kernels may call, and the launch.
#pragma once
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __launch_bounds__(...)
#define __grid_constant__

#define CUDART_VERSION 13000

#include "device_functions.h"
#include "fibre.h"
#include "runtime_api.h"
#include "vector_types.h"
