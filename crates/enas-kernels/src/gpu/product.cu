// Matrix products over the channels of maps in the lane layout [groups, c, h·w·16].
#include "dialect.cuh"

namespace {

constexpr unsigned THREADS = 256;
constexpr unsigned WARPS = THREADS / 32;
// Positions of a block, one quad per thread of a warp, and input channels that are staged at once.
constexpr unsigned POSITIONS = 128, DEPTH = 16;
constexpr unsigned ROWS_PER_WARP = DEPTH / WARPS;

// What is read: `c` channels per group, of which the first `k` count, through a normalisation and a ReLU if pending.
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

// Four neighbouring positions; `inside` is false behind the last group.
struct Quad {
    unsigned group, offset;
    bool inside;
};

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

// Element `e` of a staged part of the matrix, as (input channel, output). Neighbouring threads take neighbouring
// numbers in memory, whichever way the matrix lies.
template <unsigned OUTPUTS> __device__ __forceinline__ uint2 element(const Matrix& matrix, unsigned e) {
    return matrix.o_stride == 1 ? uint2{e / OUTPUTS, e % OUTPUTS} : uint2{e % DEPTH, e / DEPTH};
}

__device__ __forceinline__ float warp_sum(float v) {
    for (unsigned distance = 16; distance > 0; distance /= 2) v += __shfl_xor_sync(0xffffffffu, v, distance);
    return v;
}

// The statistics of a warp's 128 numbers per output, `acc`, of which the images of four a thread count: how many, a
// pivot, their mean less the pivot, and the sum of squared deviations from the mean. Deviations from a pivot, which
// is one of the numbers, keep the digits that a mean far from zero would cost.
template <unsigned PER_THREAD>
__device__ __forceinline__ void write_moments(const float (&acc)[PER_THREAD][4], unsigned images, unsigned output,
                                              unsigned outputs, unsigned tile, unsigned tiles,
                                              Out<float> partials) {
    const float count = warp_sum(static_cast<float>(images));
#pragma unroll
    for (unsigned i = 0; i < PER_THREAD; i++) {
        // The first lane of the first position of a tile always holds an image.
        const float pivot = __shfl_sync(0xffffffffu, acc[i][0], 0);
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

// A block computes 8·PER_THREAD outputs at 128 positions: warp by warp PER_THREAD outputs, thread by thread four
// positions. Sixteen input channels and their part of the matrix are staged in shared memory while the next sixteen
// are on their way.
template <unsigned PER_THREAD>
__device__ __forceinline__ void product(const Source& source, const Matrix& matrix, Out<activation> z, unsigned z_c,
                                        unsigned row, unsigned positions, Out<float> partials,
                                        unsigned with_moments, unsigned n) {
    constexpr unsigned OUTPUTS = WARPS * PER_THREAD;
    constexpr unsigned W_ROW = OUTPUTS + 4;  // Spreads a column over the banks and keeps quads aligned.
    constexpr unsigned W_PER_THREAD = DEPTH * OUTPUTS / THREADS;
    SHARED(float, xs, DEPTH * POSITIONS);
    SHARED(float, ws, DEPTH * W_ROW);

    // The blocks of one tile of positions are neighbours, so that the second finds its input in the cache.
    const unsigned columns = (matrix.outputs + OUTPUTS - 1) / OUTPUTS;
    const unsigned tile = blockIdx.x / columns, first_output = blockIdx.x % columns * OUTPUTS;
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const unsigned position = tile * POSITIONS + 4 * lane;
    const Quad at = {position / row, position % row, position < positions};

    float4 x_next[ROWS_PER_WARP];
    float w_next[W_PER_THREAD];
    float acc[PER_THREAD][4] = {};
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
        const unsigned depth = k > 0 ? min(DEPTH, source.k - (k - DEPTH)) : 0;
#pragma unroll 4
        for (unsigned d = 0; d < depth; d++) {
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
        // The statistics are those of the numbers that readers will find.
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
// A block has 256 threads and a tile of outputs by positions; the blocks of a tile of positions follow each other.
// Reads x once per tile of outputs (mostly from the cache after the first), writes z once.
// BLOCKS of them fit on a multiprocessor at once, which bounds their registers.
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
