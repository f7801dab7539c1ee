// Sums over the threads of a block, always in the same order.
#pragma once

#include "dialect.cuh"

// The sum of one number per thread of a block of 256, in a tree; every thread gets it. `sums` holds 256 numbers; a
// barrier must come before they are used again.
template <class T> __device__ __forceinline__ T block_sum(Shared<T> sums, T mine) {
    sums[threadIdx.x] = mine;
    __syncthreads();
    for (unsigned half = 128; half > 0; half /= 2) {
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
        __syncthreads();
    }
    return sums[0];
}
