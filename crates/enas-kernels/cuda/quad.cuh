// Arithmetic on four of the sixteen images of a pixel (a quad), the unit of work of most kernels on maps.
#pragma once

#include "dialect.cuh"

// The pending normalisation of a channel.
struct Affine {
    float scale, shift;
};

__device__ __forceinline__ Affine affine_of(In<float> affine, unsigned has_affine, unsigned channel, unsigned c) {
    if (!has_affine) return {1.0f, 0.0f};
    return {affine[channel], affine[c + channel]};
}

// The larger number, or `b` if either is NaN. So larger(bound, x) keeps a NaN in x.
__device__ __forceinline__ float larger(float a, float b) { return a > b ? a : b; }

__device__ __forceinline__ float4 quad(float x) { return make_float4(x, x, x, x); }

__device__ __forceinline__ float4 operator+(float4 a, float4 b) {
    return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}

__device__ __forceinline__ float4 operator*(float4 a, float4 b) {
    return make_float4(a.x * b.x, a.y * b.y, a.z * b.z, a.w * b.w);
}

__device__ __forceinline__ float4 fma4(float4 a, float4 b, float4 c) {
    return make_float4(fmaf(a.x, b.x, c.x), fmaf(a.y, b.y, c.y), fmaf(a.z, b.z, c.z), fmaf(a.w, b.w, c.w));
}

__device__ __forceinline__ float4 larger4(float4 a, float4 b) {
    return make_float4(larger(a.x, b.x), larger(a.y, b.y), larger(a.z, b.z), larger(a.w, b.w));
}

// `x` where `gate` is above zero, else zero.
__device__ __forceinline__ float4 where_positive(float4 gate, float4 x) {
    return make_float4(gate.x > 0.0f ? x.x : 0.0f, gate.y > 0.0f ? x.y : 0.0f, gate.z > 0.0f ? x.z : 0.0f,
                       gate.w > 0.0f ? x.w : 0.0f);
}

// Four numbers of a map, normalised.
__device__ __forceinline__ float4 normalised4(In<activation> x, unsigned at, Affine affine) {
    return fma4(to_float4(load4(x, at)), quad(affine.scale), quad(affine.shift));
}

// Writes four numbers of a gradient, or adds to them.
__device__ __forceinline__ void put4(InOut<activation> to, unsigned at, float4 value, unsigned accumulate) {
    if (accumulate) value = to_float4(load4(to, at)) + value;
    store4(to, at, to_activation4(value));
}
