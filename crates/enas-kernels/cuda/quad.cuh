// Arithmetic on four of the sixteen images of a pixel, beyond that of value.cuh, and the writing of gradients.
#pragma once

#include "value.cuh"

__device__ __forceinline__ float4 quad(float x) { return make_float4(x, x, x, x); }

__device__ __forceinline__ float4 mul4(float4 a, float4 b) {
    return make_float4(a.x * b.x, a.y * b.y, a.z * b.z, a.w * b.w);
}

// a·b + c, number by number.
__device__ __forceinline__ float4 fma4(float4 a, float4 b, float4 c) {
    return make_float4(fmaf(a.x, b.x, c.x), fmaf(a.y, b.y, c.y), fmaf(a.z, b.z, c.z), fmaf(a.w, b.w, c.w));
}

// Writes four numbers of a gradient, or adds to them.
__device__ __forceinline__ void put4(InOut<float> to, unsigned at, float4 value, unsigned accumulate) {
    if (accumulate) value = add4(load4(to, at), value);
    store4(to, at, value);
}
