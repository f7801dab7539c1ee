// Gradients of the matrices of products: sums over all positions of maps in the blocked layout [groups, c, h·w·16].
//
// Method outline (an SGEMM with a small result and a long summed dimension, so split-K):
// 1. The positions are cut into parts (grid z), the matrix into tiles of T×T elements (grid x, y). A block of 256
//    threads sums one tile over one part.
// 2. The loop goes over 64 positions at a time. T channels of x and T of gz lie in shared memory; the next 64 positions
//    are loaded into registers meanwhile (software pipelining).
// 3. Every warp holds the whole tile in registers: 8×4 threads of (T/8)×(T/4) elements. A warp takes every eighth quad
//    of positions. So a number from shared memory serves several multiply-adds.
// 4. At the end the eight tiles of the warps are added one after another in shared memory.
// 5. A second kernel sums the parts in a fixed order. There are no atomics, so results repeat to the bit.
#include "dialect.cuh"

namespace {

constexpr unsigned THREADS = 256;
constexpr unsigned WARPS = THREADS / 32;
// Positions of one round, in quads; and the distance between channels in shared memory. It is four banks more than a
// multiple of 32, so the eight channels that a warp reads at once lie in different banks.
constexpr unsigned POSITIONS = 64;
constexpr unsigned QUADS = POSITIONS / 4;
constexpr unsigned STRIDE = POSITIONS + 4;

// Some channels of a map: `c` per group, of which `count` are read.
struct Channels {
    In<activation> numbers;
    unsigned c, count;
};

// The pending normalisation and ReLU of channel `i` of `count`.
struct Pending {
    In<float> affine;
    unsigned has_affine, relu, count;
};

__device__ __forceinline__ float4 read(const Channels& map, unsigned channel, unsigned position,
                                       unsigned positions, unsigned row) {
    if (position >= positions || channel >= map.count) return float4{0.0f, 0.0f, 0.0f, 0.0f};
    return to_float4(load4(map.numbers, (position / row * map.c + channel) * row + position % row));
}

__device__ __forceinline__ float4 apply(const Pending& pending, unsigned channel, float4 v) {
    if (channel >= pending.count) return v;
    if (pending.has_affine) {
        const float scale = pending.affine[channel], shift = pending.affine[pending.count + channel];
        v = float4{fmaf(v.x, scale, shift), fmaf(v.y, scale, shift), fmaf(v.z, scale, shift),
                   fmaf(v.w, scale, shift)};
    }
    if (pending.relu) v = float4{fmaxf(v.x, 0.0f), fmaxf(v.y, 0.0f), fmaxf(v.z, 0.0f), fmaxf(v.w, 0.0f)};
    return v;
}

__device__ __forceinline__ float dot(float4 a, float4 b, float sum) {
    return fmaf(a.w, b.w, fmaf(a.z, b.z, fmaf(a.y, b.y, fmaf(a.x, b.x, sum))));
}

// The sum of one tile over one part; see the method outline above.
template <unsigned K_PER_THREAD>
__device__ __forceinline__ void weight_gradient(const Channels& x, const Pending& pending, const Channels& gz,
                                                Out<float> partials, unsigned row, unsigned positions,
                                                unsigned positions_per_block) {
    constexpr unsigned T = 8 * K_PER_THREAD, O_PER_THREAD = 2 * K_PER_THREAD;
    // Quads of x and gz that each thread moves to shared memory per round.
    constexpr unsigned LOADS = 2 * T * QUADS / THREADS;
    SHARED(float, staged, 2 * T * STRIDE);  // T channels of x, then T of gz.

    const unsigned first_k = blockIdx.x * T, first_o = blockIdx.y * T;
    const unsigned first = blockIdx.z * positions_per_block;
    const unsigned end = min(first + positions_per_block, positions);
    const unsigned load_quad = threadIdx.x % QUADS, load_channel = threadIdx.x / QUADS;
    const unsigned warp = threadIdx.x / 32, k = threadIdx.x % 32 / 4, o = threadIdx.x % 4;

    float acc[K_PER_THREAD][O_PER_THREAD] = {};
    float4 next[LOADS];
    // One round more than there are stages: a round loads its stage into registers and computes with the stage before.
    for (unsigned stage = first; stage < end + POSITIONS; stage += POSITIONS) {
        if (stage > first) {
            __syncthreads();
#pragma unroll
            for (unsigned i = 0; i < LOADS; i++)
                store4(staged, (load_channel + i * (THREADS / QUADS)) * STRIDE + 4 * load_quad, next[i]);
            __syncthreads();
        }
        if (stage < end) {
            const unsigned position = stage + 4 * load_quad;
#pragma unroll
            for (unsigned i = 0; i < LOADS; i++) {
                const unsigned channel = load_channel + i * (THREADS / QUADS);
                if (channel < T)
                    next[i] = apply(pending, first_k + channel, read(x, first_k + channel, position, end, row));
                else
                    next[i] = read(gz, first_o + channel - T, position, end, row);
            }
        }
        // Nothing is staged yet in the first round.
        if (stage == first) continue;
        // Channels of a thread are 8 (x) or 4 (gz) apart, so neighbouring threads read neighbouring channels: different
        // banks.
#pragma unroll
        for (unsigned quad = warp; quad < QUADS; quad += WARPS) {
            float4 g[O_PER_THREAD];
#pragma unroll
            for (unsigned b = 0; b < O_PER_THREAD; b++)
                g[b] = load4(staged, (T + o + 4 * b) * STRIDE + 4 * quad);
#pragma unroll
            for (unsigned a = 0; a < K_PER_THREAD; a++) {
                const float4 v = load4(staged, (k + 8 * a) * STRIDE + 4 * quad);
#pragma unroll
                for (unsigned b = 0; b < O_PER_THREAD; b++) acc[a][b] = dot(v, g[b], acc[a][b]);
            }
        }
    }

    // The warps add their tiles in turn, in a fixed order.
    for (unsigned turn = 0; turn < WARPS; turn++) {
        __syncthreads();
        if (turn != warp) continue;
#pragma unroll
        for (unsigned a = 0; a < K_PER_THREAD; a++) {
#pragma unroll
            for (unsigned b = 0; b < O_PER_THREAD; b++) {
                // The memory of the stages now holds the tile.
                const unsigned at = (k + 8 * a) * T + o + 4 * b;
                const float before = turn == 0 ? 0.0f : staged[at];
                staged[at] = before + acc[a][b];
            }
        }
    }
    __syncthreads();
    for (unsigned e = threadIdx.x; e < T * T; e += THREADS) {
        const unsigned in = first_k + e / T, out = first_o + e % T;
        if (in < x.count && out < gz.count) partials[(blockIdx.z * x.count + in) * gz.count + out] = staged[e];
    }
}

}  // namespace

// `partials[part][k][o] = Σ_p f(x[k][p])·gz[o][p]` over the positions of each part; `f` is the pending normalisation
// and ReLU, and there are `row` positions per group and channel. `gz` must be zero in padding lanes.
//
// The tiles of one part have neighbouring block numbers, so they share their inputs in the L2 cache. Reads x and gz
// once per tile.
#define WEIGHT_GRADIENT(T, BLOCKS)                                                                             \
    extern "C" __global__ void __launch_bounds__(256, BLOCKS)                                                  \
        weight_gradient_##T(In<activation> x, In<float> affine, unsigned has_affine, unsigned relu,            \
                            unsigned x_c, unsigned k, In<activation> gz, unsigned gz_c, unsigned outputs,      \
                            Out<float> partials, unsigned row, unsigned positions,                             \
                            unsigned positions_per_block) {                                                    \
        const Pending pending = {affine, has_affine, relu, k};                                                 \
        weight_gradient<T / 8>(Channels{x, x_c, k}, pending, Channels{gz, gz_c, outputs}, partials, row,       \
                               positions, positions_per_block);                                                \
    }

// Blocks that a multiprocessor holds at once: as many as the registers allow without spills.
WEIGHT_GRADIENT(24, 2)
WEIGHT_GRADIENT(32, 3)
WEIGHT_GRADIENT(40, 2)

// `into[i] += Σ_part partials[part][i]` for `len` elements. A block of 256 threads takes sixteen elements. Thread (i,
// j) sums every sixteenth part from the j-th on; thread (i, 0) then adds the sixteen sums. Reads the partials once.
extern "C" __global__ void __launch_bounds__(256)
    weight_gradient_sum(In<float> partials, unsigned parts, unsigned len, InOut<float> into) {
    SHARED(float, sums, 256);
    const unsigned i = threadIdx.x % 16, j = threadIdx.x / 16, at = blockIdx.x * 16 + i;
    float sum = 0.0f;
    if (at < len) {
#pragma unroll 8
        for (unsigned part = j; part < parts; part += 16) sum += partials[part * len + at];
    }
    sums[threadIdx.x] = sum;
    __syncthreads();
    if (j > 0 || at >= len) return;
    for (unsigned other = 1; other < 16; other++) sum += sums[other * 16 + i];
    into[at] = into[at] + sum;
}
