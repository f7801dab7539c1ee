// Matrix products over the channels of maps in the blocked layout [groups, c, h·w·16].
//
// Method outline (a tiled SGEMM with m = outputs, n = positions of all images, k = input channels):
// 1. A block of 256 threads computes a tile of 32 or 64 outputs by 128 positions.
// 2. A warp computes 4 or 8 outputs (PER_THREAD) for all 128 positions; a thread has four neighbouring positions. Its
//    sums (4·PER_THREAD) stay in registers for the whole of k.
// 3. The loop goes over k in steps of 16 channels. Such a step of x (8 KiB) and of the matrix lies in shared memory;
//    the next step is loaded into registers meanwhile (software pipelining).
// 4. Per channel a thread loads one float4 of x and one float4 per four outputs of the matrix. All lanes of a warp read
//    the same numbers of the matrix, which is one broadcast.
// 5. Pending batch norm and ReLU are applied while x is loaded, so no normalised map is written.
// 6. Batch statistics are computed from the registers, so z is not read again for them.
#include "dialect.cuh"

namespace {

constexpr unsigned THREADS = 256;
constexpr unsigned WARPS = THREADS / 32;
// Positions of a block (one quad per thread of a warp), and input channels of one step.
constexpr unsigned POSITIONS = 128, DEPTH = 16;
constexpr unsigned ROWS_PER_WARP = DEPTH / WARPS;

// The left operand: `c` channels per group, of which the first `k` are read, with pending normalisation and ReLU.
struct Source {
    In<activation> x;
    In<float> affine;
    unsigned c, k, has_affine, relu;
};

// The matrix: element (k, o) is `w[k * k_stride + o * o_stride]`.
struct Matrix {
    In<float> w;
    unsigned k_stride, o_stride, outputs;
};

// Four neighbouring positions of a channel; `inside` is false behind the last group.
struct Quad {
    unsigned group, offset;
    bool inside;
};

// Reads a quad of a channel, normalised and rectified; zeros outside the map.
__device__ __forceinline__ float4 read(const Source& source, unsigned channel, const Quad& at, unsigned row) {
    if (!at.inside || channel >= source.k) return float4{0.0f, 0.0f, 0.0f, 0.0f};
    float4 v = to_float4(load4(source.x, (at.group * source.c + channel) * row + at.offset));
    if (source.has_affine) {
        const float scale = source.affine[channel], shift = source.affine[source.k + channel];
        v = float4{fmaf(v.x, scale, shift), fmaf(v.y, scale, shift), fmaf(v.z, scale, shift),
                   fmaf(v.w, scale, shift)};
    }
    if (source.relu) v = float4{fmaxf(v.x, 0.0f), fmaxf(v.y, 0.0f), fmaxf(v.z, 0.0f), fmaxf(v.w, 0.0f)};
    return v;
}

// Element `e` of a step's part of the matrix, as (input channel, output). Neighbouring threads take neighbouring
// numbers in memory (coalesced loads), whether the matrix is transposed or not.
template <unsigned OUTPUTS> __device__ __forceinline__ uint2 element(const Matrix& matrix, unsigned e) {
    return matrix.o_stride == 1 ? uint2{e / OUTPUTS, e % OUTPUTS} : uint2{e % DEPTH, e / DEPTH};
}

// The sum over the 32 threads of a warp, in a butterfly; every thread gets it.
__device__ __forceinline__ float warp_sum(float v) {
    for (unsigned distance = 16; distance > 0; distance /= 2) v += __shfl_xor_sync(0xffffffffu, v, distance);
    return v;
}

// Writes the statistics of a warp's 128 numbers per output, `acc`. `images` of a thread's four positions hold an image.
// The statistics are: count, a pivot, the mean less the pivot, and the sum of squared deviations from the mean. The
// pivot is one of the numbers: subtracting it avoids cancellation if the mean is far from zero.
template <unsigned PER_THREAD>
__device__ __forceinline__ void write_moments(const float (&acc)[PER_THREAD][4], unsigned images, unsigned output,
                                              unsigned outputs, unsigned tile, unsigned tiles,
                                              Out<float> partials) {
    const float count = warp_sum(static_cast<float>(images));
#pragma unroll
    for (unsigned i = 0; i < PER_THREAD; i++) {
        // The first lane of the first position of a tile always holds an image.
        const float pivot = __shfl_sync(0xffffffffu, acc[i][0], 0);
        // Two passes over registers: first the mean, then the deviations from it.
        float sum = 0.0f, squares = 0.0f;
#pragma unroll
        for (unsigned j = 0; j < 4; j++) sum += j < images ? acc[i][j] - pivot : 0.0f;
        const float mean = warp_sum(sum) / count;
#pragma unroll
        for (unsigned j = 0; j < 4; j++) {
            const float deviation = j < images ? acc[i][j] - pivot - mean : 0.0f;
            squares = fmaf(deviation, deviation, squares);
        }
        squares = warp_sum(squares);
        if (threadIdx.x % 32 == 0 && output + i < outputs)
            store4(partials, ((output + i) * tiles + tile) * 4, float4{count, pivot, mean, squares});
    }
}

// The product of one block; see the method outline above.
template <unsigned PER_THREAD>
__device__ __forceinline__ void product(const Source& source, const Matrix& matrix, Out<activation> z, unsigned z_c,
                                        unsigned row, unsigned positions, Out<float> partials,
                                        unsigned with_moments, unsigned n) {
    constexpr unsigned OUTPUTS = WARPS * PER_THREAD;
    constexpr unsigned W_ROW = OUTPUTS + 4;  // Spreads a column over the banks and keeps quads aligned.
    constexpr unsigned W_PER_THREAD = DEPTH * OUTPUTS / THREADS;
    SHARED(float, xs, DEPTH * POSITIONS);
    SHARED(float, ws, DEPTH * W_ROW);

    // The blocks of one tile of positions have neighbouring numbers, so they run close together and share x in the L2
    // cache.
    const unsigned columns = (matrix.outputs + OUTPUTS - 1) / OUTPUTS;
    const unsigned tile = blockIdx.x / columns, first_output = blockIdx.x % columns * OUTPUTS;
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const unsigned position = tile * POSITIONS + 4 * lane;
    const Quad at = {position / row, position % row, position < positions};

    float4 x_next[ROWS_PER_WARP];
    float w_next[W_PER_THREAD];
    float acc[PER_THREAD][4] = {};
    // One round more than there are steps: round k loads step k into registers and computes with step k − 1.
    for (unsigned k = 0; k < source.k + DEPTH; k += DEPTH) {
        if (k > 0) {
            __syncthreads();
#pragma unroll
            for (unsigned i = 0; i < ROWS_PER_WARP; i++)
                store4(xs, (warp + i * WARPS) * POSITIONS + 4 * lane, x_next[i]);
#pragma unroll
            for (unsigned i = 0; i < W_PER_THREAD; i++) {
                const uint2 e = element<OUTPUTS>(matrix, threadIdx.x + i * THREADS);
                ws[e.x * W_ROW + e.y] = w_next[i];
            }
            __syncthreads();
        }
        // The loads of the next step are issued before the arithmetic of this one, which hides their latency.
        if (k < source.k) {
#pragma unroll
            for (unsigned i = 0; i < ROWS_PER_WARP; i++)
                x_next[i] = read(source, k + warp + i * WARPS, at, row);
#pragma unroll
            for (unsigned i = 0; i < W_PER_THREAD; i++) {
                const uint2 e = element<OUTPUTS>(matrix, threadIdx.x + i * THREADS);
                const unsigned channel = k + e.x, output = first_output + e.y;
                const bool exists = channel < source.k && output < matrix.outputs;
                w_next[i] = exists ? matrix.w[channel * matrix.k_stride + output * matrix.o_stride] : 0.0f;
            }
        }
        // The last step may have fewer than 16 channels.
        const unsigned depth = k > 0 ? min(DEPTH, source.k - (k - DEPTH)) : 0;
#pragma unroll 4
        for (unsigned d = 0; d < depth; d++) {
            // One load of x serves PER_THREAD outputs; one load of the matrix serves the whole warp.
            const float4 x = load4(xs, d * POSITIONS + 4 * lane);
#pragma unroll
            for (unsigned i = 0; i < PER_THREAD; i += 4) {
                const float4 w4 = load4(ws, d * W_ROW + warp * PER_THREAD + i);
                const float w[4] = {w4.x, w4.y, w4.z, w4.w};
#pragma unroll
                for (unsigned j = 0; j < 4; j++) {
                    acc[i + j][0] = fmaf(w[j], x.x, acc[i + j][0]);
                    acc[i + j][1] = fmaf(w[j], x.y, acc[i + j][1]);
                    acc[i + j][2] = fmaf(w[j], x.z, acc[i + j][2]);
                    acc[i + j][3] = fmaf(w[j], x.w, acc[i + j][3]);
                }
            }
        }
    }

    const unsigned output = first_output + warp * PER_THREAD;
#pragma unroll
    for (unsigned i = 0; i < PER_THREAD; i++) {
        // Rounded as they are stored: the statistics are those of the numbers that readers will find.
#pragma unroll
        for (unsigned j = 0; j < 4; j++) acc[i][j] = as_stored(acc[i][j]);
        if (at.inside && output + i < matrix.outputs)
            store4(z, (at.group * z_c + output + i) * row + at.offset,
                   to_activation4(float4{acc[i][0], acc[i][1], acc[i][2], acc[i][3]}));
    }
    if (with_moments) {
        const unsigned image = at.group * 16 + at.offset % 16;
        const unsigned images = at.inside && image < n ? min(n - image, 4u) : 0;
        write_moments(acc, images, output, matrix.outputs, tile, gridDim.x / columns, partials);
    }
}

}  // namespace

// `z[o] = Σ_k w(k, o)·f(x[k])` for `outputs` of the `z_c` channels per group of `z`, at `positions` positions, `row`
// per group and channel; `f` is the pending normalisation and ReLU. With moments, also the statistics of every output
// over each tile of 128 positions, `[outputs, tiles, 4]`, of the first `n` images.
//
// Reads x once per tile of outputs (mostly from the cache after the first) and writes z once. BLOCKS blocks fit on a
// multiprocessor at once, which bounds the registers of a thread.
#define PRODUCT(OUTPUTS, BLOCKS)                                                                               \
    extern "C" __global__ void __launch_bounds__(256, BLOCKS)                                                  \
        product_##OUTPUTS(In<activation> x, In<float> affine, unsigned has_affine, unsigned relu,              \
                          unsigned x_c, unsigned k, In<float> w, unsigned k_stride, unsigned o_stride,         \
                          unsigned outputs, Out<activation> z, unsigned z_c, unsigned row, unsigned positions, \
                          Out<float> partials, unsigned with_moments, unsigned n) {                            \
        const Source source = {x, affine, x_c, k, has_affine, relu};                                           \
        const Matrix matrix = {w, k_stride, o_stride, outputs};                                                \
        product<OUTPUTS / WARPS>(source, matrix, z, z_c, row, positions, partials, with_moments, n);           \
    }

PRODUCT(32, 4)
PRODUCT(64, 2)
