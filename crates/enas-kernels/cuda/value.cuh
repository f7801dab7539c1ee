// How kernels read a value: raw numbers in lanes, the normalisation that is still to be applied, and the ReLU.
#pragma once

#include "dialect.cuh"

// Numbers of a pixel: one for each image of a group. Threads take four of them.
constexpr unsigned LANES = 16, QUADS = 4;

// What readers make of one channel: max(scale·raw + shift, 0), or the same without the maximum.
struct Reading {
    float scale, shift;
    bool relu;

    // A NaN stays one, as on the CPU: a maximum would hide that training has diverged.
    __device__ __forceinline__ float value(float raw) const {
        const float x = fmaf(raw, scale, shift);
        return relu && x < 0.0f ? 0.0f : x;
    }

    __device__ __forceinline__ float4 value(float4 raw) const {
        return make_float4(value(raw.x), value(raw.y), value(raw.z), value(raw.w));
    }

    // The gradient of `raw`'s value on its way through the ReLU, whose own gradient at zero is zero.
    __device__ __forceinline__ float gradient(float raw, float of_value) const {
        return !relu || fmaf(raw, scale, shift) > 0.0f ? of_value : 0.0f;
    }

    __device__ __forceinline__ float4 gradient(float4 raw, float4 of_value) const {
        return make_float4(gradient(raw.x, of_value.x), gradient(raw.y, of_value.y), gradient(raw.z, of_value.z),
                           gradient(raw.w, of_value.w));
    }
};

// How channel `channel` of a value with `channels` channels is read; `affine` holds factors, then summands.
__device__ __forceinline__ Reading reading(In<float> affine, unsigned has_affine, unsigned relu, unsigned channel,
                                           unsigned channels) {
    if (!has_affine) return {1.0f, 0.0f, relu != 0};
    return {affine[channel], affine[channels + channel], relu != 0};
}

__device__ __forceinline__ float4 zero4() { return make_float4(0.0f, 0.0f, 0.0f, 0.0f); }

__device__ __forceinline__ float4 add4(float4 a, float4 b) {
    return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}

// factor·x + sum
__device__ __forceinline__ float4 fma4(float factor, float4 x, float4 sum) {
    return make_float4(fmaf(factor, x.x, sum.x), fmaf(factor, x.y, sum.y), fmaf(factor, x.z, sum.z),
                       fmaf(factor, x.w, sum.w));
}
