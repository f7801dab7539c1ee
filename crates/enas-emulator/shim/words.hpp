// CUDA's keywords, vector types and arithmetic for the host compiler, as far as the dialect has them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
// The build reads the bounds from the source and checks each launch against them.
#define __launch_bounds__(...)
#define __align__(bytes) alignas(bytes)

#define ENAS_VECTOR(T, name)                                                                     \
    struct alignas(2 * sizeof(T)) name##2 { T x, y; };                                           \
    struct name##3 { T x, y, z; };                                                               \
    struct alignas(4 * sizeof(T)) name##4 { T x, y, z, w; };                                     \
    inline name##2 make_##name##2(T x, T y) { return {x, y}; }                                   \
    inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }                           \
    inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
ENAS_VECTOR(float, float)
ENAS_VECTOR(int, int)
ENAS_VECTOR(unsigned, uint)
#undef ENAS_VECTOR

struct dim3 {
    unsigned x = 1, y = 1, z = 1;
};

constexpr int warpSize = 32;

inline float __uint_as_float(unsigned bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}
inline unsigned __float_as_uint(float value) {
    unsigned bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}
inline float __int_as_float(int bits) { return __uint_as_float(static_cast<unsigned>(bits)); }
inline int __float_as_int(float value) { return static_cast<int>(__float_as_uint(value)); }

inline unsigned __umulhi(unsigned a, unsigned b) {
    return static_cast<unsigned>((static_cast<unsigned long long>(a) * b) >> 32);
}
inline unsigned __brev(unsigned x) {
    unsigned reversed = 0;
    for (int bit = 0; bit < 32; bit++) reversed |= ((x >> bit) & 1u) << (31 - bit);
    return reversed;
}
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
inline int __ffs(int x) { return __builtin_ffs(x); }

// Arithmetic that nvcc must not fuse. The emulator is compiled without contraction, so these are plain here.
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }

// CUDA's overloads, including those that mix signs.
#define ENAS_MIN_MAX(R, A, B)                                                              \
    inline R min(A a, B b) { return std::min(static_cast<R>(a), static_cast<R>(b)); }      \
    inline R max(A a, B b) { return std::max(static_cast<R>(a), static_cast<R>(b)); }
ENAS_MIN_MAX(int, int, int)
ENAS_MIN_MAX(unsigned, unsigned, unsigned)
ENAS_MIN_MAX(unsigned, int, unsigned)
ENAS_MIN_MAX(unsigned, unsigned, int)
ENAS_MIN_MAX(long, long, long)
ENAS_MIN_MAX(unsigned long, unsigned long, unsigned long)
ENAS_MIN_MAX(long long, long long, long long)
ENAS_MIN_MAX(unsigned long long, unsigned long long, unsigned long long)
#undef ENAS_MIN_MAX
// A NaN loses, as on the device.
inline float min(float a, float b) { return std::fmin(a, b); }
inline float max(float a, float b) { return std::fmax(a, b); }
inline double min(double a, double b) { return std::fmin(a, b); }
inline double max(double a, double b) { return std::fmax(a, b); }
