// The backward pass of a batch normalisation.
//
// Method outline:
// 1. norm_sums reduces z and gy to two partial sums per part of 4096 positions and channel: registers, then warp
//    shuffles, then shared memory.
// 2. norm_coefficients joins the parts of a channel in double precision, in a tree, and computes four coefficients.
// 3. norm_gradient applies them: gz is an affine function of gy and z. There are no atomics and every order is fixed,
//    so results repeat to the bit.
#include "dialect.cuh"

namespace {

// Threads of the kernel with one block per channel, and of those that run over maps.
constexpr unsigned CHANNEL_THREADS = 128, MAP_THREADS = 256;
// Positions of a block of norm_sums.
constexpr unsigned CHUNK = 4096;

// The number of four neighbouring lanes that hold one of `n` images. `offset` is the position of the first lane inside
// its group.
__device__ __forceinline__ unsigned images(unsigned group, unsigned offset, unsigned n) {
    const unsigned image = group * 16 + offset % 16;
    return image < n ? min(n - image, 4u) : 0;
}

}  // namespace

// `(Σ gy, Σ gy·(z − mean))` of each channel over parts of 4096 positions, `[c, parts, 2]`; `row` positions per group
// and channel. One block of 256 threads per part and channel; a thread takes a quad of positions per step. Reads z and
// gy once.
extern "C" __global__ void __launch_bounds__(256)
    norm_sums(In<activation> z, In<activation> gy, In<float> moments, Out<float> sums, unsigned c, unsigned row,
              unsigned positions, unsigned n) {
    SHARED(float, warps, 2 * MAP_THREADS / 32);
    const unsigned channel = blockIdx.y;
    const float mean = moments[channel];
    float sum = 0.0f, product = 0.0f;
    // Four quads per thread; a warp reads contiguous memory in each step.
#pragma unroll
    for (unsigned step = 0; step < CHUNK; step += 4 * MAP_THREADS) {
        const unsigned position = blockIdx.x * CHUNK + step + 4 * threadIdx.x;
        if (position >= positions) continue;
        const unsigned group = position / row, offset = position % row;
        const unsigned at = (group * c + channel) * row + offset, count = images(group, offset, n);
        const float4 g4 = to_float4(load4(gy, at)), z4 = to_float4(load4(z, at));
        const float g[4] = {g4.x, g4.y, g4.z, g4.w}, v[4] = {z4.x, z4.y, z4.z, z4.w};
#pragma unroll
        for (unsigned j = 0; j < 4; j++) {
            if (j >= count) continue;
            sum += g[j];
            product = fmaf(g[j], v[j] - mean, product);
        }
    }
    // A butterfly within each warp, then the eight warps in order.
    for (unsigned distance = 16; distance > 0; distance /= 2) {
        sum += __shfl_xor_sync(0xffffffffu, sum, distance);
        product += __shfl_xor_sync(0xffffffffu, product, distance);
    }
    if (threadIdx.x % 32 == 0) store2(warps, threadIdx.x / 32 * 2, float2{sum, product});
    __syncthreads();
    if (threadIdx.x > 0) return;
    for (unsigned warp = 1; warp < MAP_THREADS / 32; warp++) {
        sum += warps[2 * warp];
        product += warps[2 * warp + 1];
    }
    store2(sums, (channel * gridDim.x + blockIdx.x) * 2, float2{sum, product});
}

// Joins the sums of parts. Adds the gradients of γ and β to their targets, if there are any. Writes the coefficients of
// the gradient of the raw numbers, `[4, c]`: factor, mean term, slope and mean. One block per channel.
extern "C" __global__ void __launch_bounds__(128)
    norm_coefficients(In<float> sums, unsigned parts, In<float> moments, In<float> gamma, InOut<float> gamma_grad,
                      unsigned has_gamma, InOut<float> beta_grad, unsigned has_beta, Out<float> coefficients,
                      unsigned c, unsigned count, float epsilon) {
    SHARED(double, others, 2 * CHANNEL_THREADS);
    const unsigned channel = blockIdx.x, thread = threadIdx.x;
    double sum = 0.0, product = 0.0;
    for (unsigned part = thread; part < parts; part += CHANNEL_THREADS) {
        const float2 v = load2(sums, (channel * parts + part) * 2);
        sum += v.x;
        product += v.y;
    }
    for (unsigned half = CHANNEL_THREADS / 2; half > 0; half /= 2) {
        if (thread >= half && thread < 2 * half) {
            others[2 * thread] = sum;
            others[2 * thread + 1] = product;
        }
        __syncthreads();
        if (thread < half) {
            sum += others[2 * (thread + half)];
            product += others[2 * (thread + half) + 1];
        }
    }
    if (thread > 0) return;
    // Rounded as on the CPU.
    const double deviation = sqrt(static_cast<double>(moments[c + channel] + epsilon));
    const double r = static_cast<float>(1.0 / deviation), factor = gamma[channel] * r;
    if (has_gamma) gamma_grad[channel] = gamma_grad[channel] + static_cast<float>(product * r);
    if (has_beta) beta_grad[channel] = beta_grad[channel] + static_cast<float>(sum);
    coefficients[channel] = static_cast<float>(factor);
    coefficients[c + channel] = static_cast<float>(factor * sum / count);
    coefficients[2 * c + channel] = static_cast<float>(factor * r * r * product / count);
    coefficients[3 * c + channel] = moments[channel];
}

// `gz = factor·gy − mean term − slope·(z − mean)`, zero in lanes without an image. One thread per quad of positions.
// Reads z and gy once, writes gz.
extern "C" __global__ void __launch_bounds__(256)
    norm_gradient(In<activation> z, In<activation> gy, In<float> coefficients, Out<activation> gz, unsigned c,
                  unsigned row, unsigned quads, unsigned n) {
    const unsigned quad = blockIdx.x * MAP_THREADS + threadIdx.x;
    if (quad >= quads) return;
    const unsigned at = quad * 4, plane = at / row, channel = plane % c;
    const unsigned count = images(plane / c, at % row, n);
    const float factor = coefficients[channel], mean_term = coefficients[c + channel];
    const float slope = coefficients[2 * c + channel], mean = coefficients[3 * c + channel];
    const float4 g4 = to_float4(load4(gy, at)), z4 = to_float4(load4(z, at));
    const float g[4] = {g4.x, g4.y, g4.z, g4.w}, v[4] = {z4.x, z4.y, z4.z, z4.w};
    float out[4];
    // The difference is taken as mean − z, which saves a negation.
#pragma unroll
    for (unsigned j = 0; j < 4; j++)
        out[j] = j < count ? fmaf(mean - v[j], slope, factor * g[j] - mean_term) : 0.0f;
    store4(gz, at, to_activation4(float4{out[0], out[1], out[2], out[3]}));
}
