// Random factors for dropout and drop-path: the numbers of enas-rng's streams, computed on the device.
#include "dialect.cuh"

namespace {

__device__ __forceinline__ unsigned rotated(unsigned x, unsigned by) { return x << by | x >> (32 - by); }

// The quarter round of ChaCha: four additions, exclusive ors and rotations.
__device__ __forceinline__ void quarter_round(unsigned& a, unsigned& b, unsigned& c, unsigned& d) {
    a += b, d = rotated(d ^ a, 16);
    c += d, b = rotated(b ^ c, 12);
    a += b, d = rotated(d ^ a, 8);
    c += d, b = rotated(b ^ c, 7);
}

}  // namespace

// to[i] = ⌊keep + uᵢ⌋/keep. uᵢ is the upper 24 bits of word i of the ChaCha8 key stream (Bernstein, 2008), with a
// 64-bit block counter from 0 and stream 0.
//
// Method: ChaCha is a counter-mode cipher, so one thread computes one cipher block of sixteen words in registers, from
// its block number alone. Writes the factors once.
extern "C" __global__ void __launch_bounds__(128)
    noise_drop_factors(Out<float> to, unsigned len, float keep, unsigned k0, unsigned k1, unsigned k2, unsigned k3,
                       unsigned k4, unsigned k5, unsigned k6, unsigned k7) {
    const unsigned block = blockIdx.x * blockDim.x + threadIdx.x, first = block * 16;
    if (first >= len) return;
    // There are fewer than 2³² numbers, so the upper word of the counter stays 0.
    const unsigned start[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574, k0,    k1, k2, k3,
                                k4,         k5,         k6,         k7,         block, 0,  0,  0};
    unsigned x[16];
#pragma unroll
    for (unsigned i = 0; i < 16; ++i) x[i] = start[i];
#pragma unroll
    for (unsigned round = 0; round < 8; round += 2) {
        // A column round, then a diagonal round.
        for (unsigned i = 0; i < 4; ++i) quarter_round(x[i], x[4 + i], x[8 + i], x[12 + i]);
        for (unsigned i = 0; i < 4; ++i) {
            quarter_round(x[i], x[4 + (i + 1) % 4], x[8 + (i + 2) % 4], x[12 + (i + 3) % 4]);
        }
    }
#pragma unroll
    for (unsigned i = 0; i < 16; ++i) {
        const float u = static_cast<float>((x[i] + start[i]) >> 8) * (1.0f / 16777216.0f);
        if (first + i < len) to[first + i] = floorf(keep + u) / keep;
    }
}
