// The dialect's pointers and shared arrays on a device: plain CUDA. Included by dialect.cuh alone.
#pragma once

template <class T> using In = const T* __restrict__;
template <class T> using Out = T* __restrict__;
template <class T> using InOut = T* __restrict__;
template <class T> using Shared = T*;

// Aligned for the widest load, whatever T is.
#define SHARED(T, name, count) __shared__ __align__(16) T name[count]

// One symbol for all kernels: `extern __shared__` arrays of one name must have the same type across a file.
#define DYNAMIC_SHARED(T, name)                                      \
    extern __shared__ __align__(16) unsigned char enas_dynamic_shared[]; \
    T* name = reinterpret_cast<T*>(enas_dynamic_shared)

namespace enas_device {

template <class Wide, class T, class I> __device__ __forceinline__ Wide load(const T* p, I i) {
    return *reinterpret_cast<const Wide*>(p + i);
}

template <class Wide, class T, class I> __device__ __forceinline__ void store(T* p, I i, Wide v) {
    *reinterpret_cast<Wide*>(p + i) = v;
}

}  // namespace enas_device
