// Numbers of maps: stored as `activation`, computed as floats. Included by dialect.cuh alone.
//
// A file that names the type is compiled twice, the second time with -DENAS_BF16. All other numbers (sums, statistics,
// weights and their gradients) are float in both.
#pragma once

__device__ __forceinline__ float to_float(float x) { return x; }

__device__ __forceinline__ float4 to_float4(float4 v) { return v; }

__device__ __forceinline__ float4 to_float4(bf16x4 v) {
    return make_float4(to_float(v.at[0]), to_float(v.at[1]), to_float(v.at[2]), to_float(v.at[3]));
}

// One namespace for each variant, because the emulator links both into one program.
#if defined(ENAS_BF16)
inline namespace enas_bf16_maps {

using activation = bf16;

__device__ __forceinline__ bf16 to_activation(float x) { return to_bf16(x); }

__device__ __forceinline__ bf16x4 to_activation4(float4 v) {
    return bf16x4{{to_bf16(v.x), to_bf16(v.y), to_bf16(v.z), to_bf16(v.w)}};
}

// The number that a reader finds where `x` was stored.
__device__ __forceinline__ float as_stored(float x) { return to_float(to_bf16(x)); }

}  // namespace enas_bf16_maps
#else
inline namespace enas_f32_maps {

using activation = float;

__device__ __forceinline__ float to_activation(float x) { return x; }

__device__ __forceinline__ float4 to_activation4(float4 v) { return v; }

__device__ __forceinline__ float as_stored(float x) { return x; }

}  // namespace enas_f32_maps
#endif
