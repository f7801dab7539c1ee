// The dialect of CUDA C++ that the kernels are written in. Every kernel file includes this file and none of CUDA's own.
//
// For nvcc, the dialect maps to plain CUDA: pointers, shared arrays, wide loads. For the emulator (-DENAS_EMULATOR,
// crate enas-emulator) it maps to types that check each access. So one source runs on a GPU and, checked, without one.
//
//   extern "C" __global__ void __launch_bounds__(256) scale(In<float> x, Out<float> y, float by, unsigned n) {
//       unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
//       if (i < n) y[i] = by * x[i];
//   }
//
// Parameters of a kernel:
//   In<T>     read, and not written during the launch (the device may keep it in its read-only cache)
//   Out<T>    written, never read
//   InOut<T>  both
//   unsigned, int, float, unsigned long long
// Inside:
//   SHARED(T, name, count)     a shared array of the block; pass it on as Shared<T>
//   DYNAMIC_SHARED(T, name)    the block's dynamic shared memory, its size given with the launch
//   load2/load4(p, i), store2/store4(p, i, v)   p[i..] at once; address aligned to the size of what is moved
//   load2/load4/load8 of bf16  give bf16x2, bf16x4, bf16x8
//   activation                 a number of a map as memory has it, float or bf16: to_float(map[i]) and
//                              to_float4(load4(map, i)) read; map[i] = to_activation(x) and
//                              store4(map, i, to_activation4(v)) write, rounded to the nearest, ties to even
//   __syncthreads, __syncwarp, __shfl_*_sync with full mask, __ldg(p + i), atomicAdd(p + i, u) on unsigned
// There is no atomic on floats (its sum would depend on the order of threads) and no __constant__.
// Write elements with p[i] = v; take addresses as p + i, never &p[i]; no `auto` for an element of InOut or Shared.
#pragma once

#if defined(ENAS_EMULATOR_SCAN)
// The emulator's build only looks for kernels here, so the dialect needs no definitions.
#else

#if defined(ENAS_EMULATOR)
#include "emulator.hpp"
#else
#include "device.cuh"
#endif

// bfloat16 as it is stored: the upper half of a float. Arithmetic is done on floats.
struct bf16 {
    unsigned short bits;
};

// Exact: every bf16 is a float.
__device__ __forceinline__ float to_float(bf16 x) {
    return __uint_as_float(static_cast<unsigned>(x.bits) << 16);
}

// Rounds to nearest, ties to even. A NaN stays a NaN (quiet, upper payload kept). Integer arithmetic, because the
// instruction of newer devices gives every NaN the same bits, and older devices lack it.
__device__ __forceinline__ bf16 to_bf16(float x) {
    unsigned bits = __float_as_uint(x);
    bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
    unsigned rounded = nan ? bits | 0x00400000u : bits + 0x7fffu + ((bits >> 16) & 1u);
    return bf16{static_cast<unsigned short>(rounded >> 16)};
}

// Neighbouring values that are loaded and stored at once.
struct alignas(4) bf16x2 {
    bf16 at[2];
};
struct alignas(8) bf16x4 {
    bf16 at[4];
};
struct alignas(16) bf16x8 {
    bf16 at[8];
};

#include "activation.cuh"
#include "wide.cuh"

#endif
