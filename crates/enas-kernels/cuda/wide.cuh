// Loads and stores of several neighbouring elements at once. Included by dialect.cuh alone.
//
// `load4(p, i)` is p[i], p[i + 1], p[i + 2], p[i + 3]; the address must be aligned to the size of what is moved.
#pragma once

#if defined(ENAS_EMULATOR)

#define ENAS_WIDE(T, Wide, N)                                                                       \
    template <enas_emulator::Mode M>                                                                \
    Wide load##N(enas_emulator::Pointer<T, M> p, enas_emulator::Index i) {                          \
        return enas_emulator::read_wide<Wide, N>(p, i);                                             \
    }                                                                                               \
    template <enas_emulator::Mode M>                                                                \
    void store##N(enas_emulator::Pointer<T, M> p, enas_emulator::Index i, Wide v) {                 \
        enas_emulator::write_wide<Wide, N>(p, i, v);                                                \
    }

#else

#define ENAS_WIDE(T, Wide, N)                                                          \
    template <class I> __device__ __forceinline__ Wide load##N(const T* p, I i) {      \
        return enas_device::load<Wide>(p, i);                                          \
    }                                                                                  \
    template <class I> __device__ __forceinline__ void store##N(T* p, I i, Wide v) {   \
        enas_device::store(p, i, v);                                                   \
    }

#endif

ENAS_WIDE(float, float2, 2)
ENAS_WIDE(float, float4, 4)
ENAS_WIDE(unsigned, uint2, 2)
ENAS_WIDE(unsigned, uint4, 4)
ENAS_WIDE(int, int2, 2)
ENAS_WIDE(int, int4, 4)
ENAS_WIDE(bf16, bf16x2, 2)
ENAS_WIDE(bf16, bf16x4, 4)
ENAS_WIDE(bf16, bf16x8, 8)

#undef ENAS_WIDE
