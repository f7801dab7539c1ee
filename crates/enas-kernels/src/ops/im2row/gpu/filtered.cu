// Rows that are filtered per channel: the depthwise half of separable convolutions.
//
// Method outline (direct depthwise convolution, tiled in shared memory):
// 1. A block of 128 threads computes a tile of `columns` × (`strips` · N) output pixels of `planes` neighbouring
//    channels of one group of images; N is the number of output rows of a thread (8, or 4 with stride 2).
// 2. The block copies the input pixels of the tile to shared memory (27 KiB), normalised and rectified, with zeros left
//    and right of the image. Rows above and below the image are left out of the sums instead.
// 3. A thread has four images (a quad of lanes) of one column. It goes down the input rows of its strip. Each pixel
//    that it loads from shared memory serves all output rows it contributes to; their sums and the filter stay in
//    registers.
// 4. Neighbouring tiles share the input at their common edge through the L2 cache, so memory is read about once.
// 5. The gradient of the input is a correlation with the turned filter (stride 1), or is gathered for blocks of 2×2
//    inputs (stride 2).
// 6. The gradient of the filters is summed per tile and group; rows_filter_sum adds these in a fixed order.
//
// Thread numbers count, from the inside out, quads of lanes, columns, strips, planes. Threads past the last plane only
// copy. `filtered.rs` chooses tiles so that 128 threads and PIXELS pixels are enough.
#include "quad.cuh"

namespace {

// Numbers of a pixel (one for each image of a group), and threads that share them.
constexpr unsigned LANES = 16, QUADS = 4;
constexpr unsigned THREADS = 128, PIXELS = 432;

// Output rows of a thread; fewer with stride 2, since each needs more input rows.
template <unsigned STRIDE> constexpr unsigned ROWS = STRIDE == 1 ? 8 : 4;

// How outputs are split into tiles.
struct Split {
    unsigned columns, strips, planes;

    // Threads that work on one plane, each on a column of quads.
    __device__ unsigned plane_threads() const { return QUADS * columns * strips; }
};

// The work of this thread: outputs (y.., x) of a channel; and where its tile begins.
struct Part {
    unsigned lane, plane, channel, y, x, tile_channel, tile_y, tile_x;
    bool active;

    __device__ Part(const Split& split, unsigned rows, unsigned width, unsigned channels) {
        const unsigned across = (width + split.columns - 1) / split.columns;
        const unsigned column = threadIdx.x / QUADS % split.columns;
        const unsigned strip = threadIdx.x / QUADS / split.columns % split.strips;
        lane = threadIdx.x % QUADS * 4;
        plane = threadIdx.x / split.plane_threads();
        tile_channel = blockIdx.y * split.planes;
        tile_y = blockIdx.x / across * split.strips * rows;
        tile_x = blockIdx.x % across * split.columns;
        channel = tile_channel + plane;
        y = tile_y + strip * rows;
        x = tile_x + column;
        active = plane < split.planes && channel < channels && x < width;
    }
};

// One group of images of a map, and how it is read.
struct Source {
    In<activation> data;
    In<float> affine;
    unsigned has_affine, relu, c, h, w;

    __device__ float4 load(unsigned channel, unsigned y, unsigned x, unsigned lane) const {
        const unsigned at = ((channel * h + y) * w + x) * LANES + lane;
        const float4 v = normalised4(data, at, affine_of(affine, has_affine, channel, c));
        return relu ? larger4(quad(0.0f), v) : v;
    }
};

// The pixels of a tile's input in shared memory: image rows `top`.. of some planes, and of each row `pitch` pixels from
// column `left` on. `left` may lie before the image; as an unsigned number it is then very large.
struct Window {
    unsigned channel, planes, top, rows, left, pitch;

    // For a tile whose input has `height` rows from row y − before_y on, and `width` columns from column x − before_x
    // on.
    __device__ Window(const Part& part, const Split& split, const Source& from, unsigned y, unsigned before_y,
                      unsigned height, unsigned x, unsigned before_x, unsigned width)
        : channel(part.tile_channel), planes(min(split.planes, from.c - part.tile_channel)),
          top(y < before_y ? 0 : y - before_y), rows(min(y + height < before_y ? 0 : y + height - before_y, from.h)),
          left(x - before_x), pitch(width) {
        rows = rows < top ? 0 : rows - top;
    }

    // The place of pixel `column` in a row of shared memory. Stride 2 keeps even and odd columns apart, so that
    // neighbouring threads read neighbouring pixels.
    template <unsigned STRIDE> __device__ unsigned place(unsigned column) const {
        return STRIDE == 1 ? column : column % 2 * ((pitch + 1) / 2) + column / 2;
    }

    // The place of four lanes from `lane` on, in row `line` of a plane; both are counted within the window.
    __device__ unsigned row(unsigned plane, unsigned line, unsigned lane) const {
        return (plane * rows + line) * pitch * LANES + lane;
    }
};

// Fills the window; all threads of the block share the work. Each thread issues four loads before it waits for the
// first, which hides their latency.
template <unsigned STRIDE> __device__ void stage(const Source& from, const Window& window, Shared<float> tile) {
    const unsigned per_row = window.pitch * QUADS, pieces = window.planes * window.rows * per_row;
    for (unsigned first = threadIdx.x; first < pieces; first += 4 * THREADS) {
        float4 value[4];
        unsigned to[4];
#pragma unroll
        for (unsigned piece = 0; piece < 4; piece++) {
            const unsigned i = first + piece * THREADS;
            if (i >= pieces) break;
            const unsigned row = i / per_row, column = i % per_row / QUADS, lane = i % QUADS * 4;
            const unsigned plane = row / window.rows, line = row % window.rows, x = window.left + column;
            to[piece] = window.row(plane, line, lane) + window.place<STRIDE>(column) * LANES;
            value[piece] =
                x < from.w ? from.load(window.channel + plane, window.top + line, x, lane) : quad(0.0f);
        }
#pragma unroll
        for (unsigned piece = 0; piece < 4; piece++) {
            if (first + piece * THREADS < pieces) store4(tile, to[piece], value[piece]);
        }
    }
}

// A target channel of results. `at` is the place of each result, counted from the channel's first number; NOWHERE if it
// has none.
constexpr unsigned NOWHERE = 0xffffffffu;

struct Plane {
    Out<activation> to;

    template <unsigned N> __device__ void write(const unsigned (&at)[N], const float4 (&value)[N]) const {
#pragma unroll
        for (unsigned o = 0; o < N; o++) {
            if (at[o] != NOWHERE) store4(to, at[o], to_activation4(value[o]));
        }
    }
};

// A target channel of gradients: they pass the derivative of the input's ReLU and may be accumulated. All loads are
// issued before the first store, so that a thread waits once.
struct GradientPlane {
    In<activation> x;
    Affine norm;
    unsigned relu;
    InOut<activation> to;
    unsigned accumulate;

    template <unsigned N> __device__ void write(const unsigned (&at)[N], float4 (&value)[N]) const {
        if (relu) {
#pragma unroll
            for (unsigned o = 0; o < N; o++) {
                if (at[o] != NOWHERE) value[o] = where_positive(normalised4(x, at[o], norm), value[o]);
            }
        }
        if (accumulate) {
#pragma unroll
            for (unsigned o = 0; o < N; o++) {
                if (at[o] != NOWHERE) value[o] = to_float4(load4(to, at[o])) + value[o];
            }
        }
#pragma unroll
        for (unsigned o = 0; o < N; o++) {
            if (at[o] != NOWHERE) store4(to, at[o], to_activation4(value[o]));
        }
    }
};

// Correlates with the K×K filters: out(y, x) = Σ_ij filter[i][j]·in(y·STRIDE + i − before_y, x·STRIDE + j − before_x).
// With FLIP the filter is turned by 180°. `filter` begins at the map's first channel, with `filters` channels per tap.
// `plane(channel)` is the target of a channel's outputs.
template <unsigned K, unsigned STRIDE, bool FLIP, class PlaneOf>
__device__ __forceinline__ void correlate(const Source& from, In<float> filter, unsigned filters, unsigned h_out,
                                          unsigned w_out, unsigned before_y, unsigned before_x, const Split& split,
                                          const PlaneOf& plane) {
    constexpr unsigned N = ROWS<STRIDE>;
    SHARED(float, tile, PIXELS * LANES);
    const Part part(split, N, w_out, from.c);
    const Window window(part, split, from, part.tile_y * STRIDE, before_y, (split.strips * N - 1) * STRIDE + K,
                        part.tile_x * STRIDE, before_x, (split.columns - 1) * STRIDE + K);
    float w[K * K];
#pragma unroll
    for (unsigned t = 0; t < K * K; t++) {
        w[t] = part.active ? filter[(FLIP ? K * K - 1 - t : t) * filters + part.channel] : 0.0f;
    }
    stage<STRIDE>(from, window, tile);
    __syncthreads();
    if (!part.active) return;
    float4 sum[N];
#pragma unroll
    for (unsigned o = 0; o < N; o++) sum[o] = quad(0.0f);
#pragma unroll
    for (unsigned r = 0; r < (N - 1) * STRIDE + K; r++) {
        const unsigned line = part.y * STRIDE + r - before_y - window.top;
        // Rows above the image wrap around: as unsigned numbers they exceed every number of rows.
        if (line >= window.rows) continue;
        const unsigned row = window.row(part.plane, line, part.lane);
#pragma unroll
        for (unsigned j = 0; j < K; j++) {
            const unsigned column = window.place<STRIDE>((part.x - part.tile_x) * STRIDE + j);
            const float4 v = load4(tile, row + column * LANES);
#pragma unroll
            for (unsigned o = 0; o < N; o++) {
                // All indices are constants after unrolling: output row o takes input row r with filter row i, if there
                // is one.
                const unsigned i = r - o * STRIDE;
                if (i < K) sum[o] = fma4(quad(w[i * K + j]), v, sum[o]);
            }
        }
    }
    unsigned at[N];
#pragma unroll
    for (unsigned o = 0; o < N; o++) {
        at[o] = part.y + o < h_out ? ((part.y + o) * w_out + part.x) * LANES + part.lane : NOWHERE;
    }
    plane(part.channel).write(at, sum);
}

// The input gradient of a filter with stride 2 (transposed convolution): in(y, x) = Σ_ij filter[i][j]·out((y + before_y
// − i)/2, (x + before_x − j)/2), over the taps for which both are whole numbers.
//
// Which taps those are depends on the parity of y and x. So a thread takes blocks of 2×2 inputs, one of each parity: no
// tap is tested for parity at run time. The block shares one output and reads further ones above and left of it.
// `plane(channel)` is the target of a channel's inputs.
template <unsigned K, class PlaneOf>
__device__ __forceinline__ void spread(const Source& from, In<float> filter, unsigned filters, unsigned h, unsigned w,
                                       unsigned before_y, unsigned before_x, const Split& split, const PlaneOf& plane) {
    constexpr unsigned N = ROWS<2>, HALO = (K - 1) / 2;
    SHARED(float, tile, PIXELS * LANES);
    const Part part(split, N, (w + before_x + 1) / 2, from.c);
    const Window window(part, split, from, part.tile_y, HALO, split.strips * N + HALO, part.tile_x, HALO,
                        split.columns + HALO);
    float taps[K * K];
#pragma unroll
    for (unsigned t = 0; t < K * K; t++) taps[t] = part.active ? filter[t * filters + part.channel] : 0.0f;
    stage<1>(from, window, tile);
    __syncthreads();
    if (!part.active) return;
    float4 sum[N][4];  // of each block its four inputs, row by row
#pragma unroll
    for (unsigned o = 0; o < 4 * N; o++) sum[o / 4][o % 4] = quad(0.0f);
#pragma unroll
    for (unsigned r = 0; r < N + HALO; r++) {
        const unsigned line = part.y + r - HALO - window.top;
        if (line >= window.rows) continue;
        const unsigned row = window.row(part.plane, line, part.lane);
#pragma unroll
        for (unsigned right = 0; right <= HALO; right++) {
            const float4 v = load4(tile, row + (part.x - part.tile_x + HALO - right) * LANES);
#pragma unroll
            for (unsigned o = 0; o < 4 * N; o++) {
                // Block m takes gradient row r with the filter row of its parity; constants after unrolling.
                const unsigned m = o / 4, i = 2 * (m + HALO - r) + o / 2 % 2, j = 2 * right + o % 2;
                if (i < K && j < K) sum[m][o % 4] = fma4(quad(taps[i * K + j]), v, sum[m][o % 4]);
            }
        }
    }
    const auto to = plane(part.channel);
#pragma unroll
    for (unsigned m = 0; m < N; m++) {
        unsigned at[4];
#pragma unroll
        for (unsigned o = 0; o < 4; o++) {
            const unsigned y = 2 * (part.y + m) + o / 2 - before_y, x = 2 * part.x + o % 2 - before_x;
            at[o] = y < h && x < w ? (y * w + x) * LANES + part.lane : NOWHERE;
        }
        to.write(at, sum[m]);
    }
}

// Loads the gradient of the outputs for this thread: `N` rows of its column, zero where there is no output or no image.
template <unsigned N>
__device__ __forceinline__ void load_column(In<activation> grad, const Part& part, unsigned h, unsigned w,
                                            unsigned images, float4 (&g)[N]) {
#pragma unroll
    for (unsigned o = 0; o < N; o++) {
        g[o] = quad(0.0f);
        if (!part.active || part.y + o >= h) continue;
        g[o] = to_float4(load4(grad, ((part.channel * h + part.y + o) * w + part.x) * LANES + part.lane));
        if (part.lane >= images) g[o].x = 0.0f;
        if (part.lane + 1 >= images) g[o].y = 0.0f;
        if (part.lane + 2 >= images) g[o].z = 0.0f;
        if (part.lane + 3 >= images) g[o].w = 0.0f;
    }
}

__device__ __forceinline__ float dot4(float4 a, float4 b, float sum) {
    return fmaf(a.x, b.x, fmaf(a.y, b.y, fmaf(a.z, b.z, fmaf(a.w, b.w, sum))));
}

// Sums the threads' results per plane and tap, and calls `emit(plane, tap, sum)` for each. Each of the four warps takes
// every fourth sum; the order of additions is fixed.
template <unsigned TAPS, class Emit>
__device__ __forceinline__ void add_threads(const float (&sum)[TAPS], Shared<float> scratch, const Split& split,
                                            const Emit& emit) {
    __syncthreads();
#pragma unroll
    for (unsigned t = 0; t < TAPS; t++) scratch[t * THREADS + threadIdx.x] = sum[t];
    __syncthreads();
    // Threads of one plane are contiguous, so a warp sums them with neighbouring reads.
    const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32, n = split.plane_threads();
    for (unsigned i = warp; i < split.planes * TAPS; i += THREADS / 32) {
        float total = 0.0f;
        for (unsigned u = lane; u < n; u += 32) total += scratch[i % TAPS * THREADS + i / TAPS * n + u];
        for (unsigned by = 16; by > 0; by /= 2) total += __shfl_down_sync(0xffffffffu, total, by);
        if (lane == 0) emit(i / TAPS, i % TAPS, total);
    }
}

// The contribution of one tile of one group to the gradient of the filters: Σ in(y·STRIDE + i − before_y, x·STRIDE + j
// − before_x)·grad(y, x) over pixels and `images` images. `grad` begins at the map's first channel. Calls
// `emit(channel, tap, sum)`.
template <unsigned K, unsigned STRIDE, class Emit>
__device__ __forceinline__ void filter_gradient(const Source& from, In<activation> grad, unsigned images,
                                                unsigned h_out, unsigned w_out, unsigned before_y, unsigned before_x,
                                                const Split& split, const Emit& emit) {
    constexpr unsigned N = ROWS<STRIDE>;
    SHARED(float, tile, PIXELS * LANES);
    const Part part(split, N, w_out, from.c);
    const Window window(part, split, from, part.tile_y * STRIDE, before_y, (split.strips * N - 1) * STRIDE + K,
                        part.tile_x * STRIDE, before_x, (split.columns - 1) * STRIDE + K);
    float4 g[N];
    load_column(grad, part, h_out, w_out, images, g);
    stage<STRIDE>(from, window, tile);
    __syncthreads();
    float sum[K * K];
#pragma unroll
    for (unsigned t = 0; t < K * K; t++) sum[t] = 0.0f;
#pragma unroll
    for (unsigned r = 0; r < (N - 1) * STRIDE + K; r++) {
        const unsigned line = part.y * STRIDE + r - before_y - window.top;
        if (!part.active || line >= window.rows) continue;
        const unsigned row = window.row(part.plane, line, part.lane);
#pragma unroll
        for (unsigned j = 0; j < K; j++) {
            const unsigned column = window.place<STRIDE>((part.x - part.tile_x) * STRIDE + j);
            const float4 v = load4(tile, row + column * LANES);
#pragma unroll
            for (unsigned o = 0; o < N; o++) {
                const unsigned i = r - o * STRIDE;
                if (i < K) sum[i * K + j] = dot4(v, g[o], sum[i * K + j]);
            }
        }
    }
    add_threads(sum, tile, split, [&](unsigned plane, unsigned tap, float total) {
        if (part.tile_channel + plane < from.c) emit(part.tile_channel + plane, tap, total);
    });
}

}  // namespace

// The three kernels for one size of filter and stride. The grid is [tiles of a plane, blocks of channels, groups of
// images]; the last three parameters are the split. The `c` channels of this input are channels `first`.. of all
// `channels`.
//
// rows_filter_K_S: filters one input. Reads it about once, writes its rows once.
//
// rows_filter_back_K_S: the gradient of one input, given that of the rows. Reads that about once, with ReLU the input
// once, writes (or adds to) the target once. `h`, `w` are the size of the input, `before` its padding.
//
// rows_filter_gradient_K_S: the contribution of one tile of one group to the gradient of the filters, as [blockIdx.z,
// blockIdx.x] of `partial`, each [K·K, channels]. Reads input and gradient about once.
#define FILTER_KERNELS(K, S, BACK)                                                                                     \
    extern "C" __global__ void __launch_bounds__(128, 5) rows_filter_##K##_##S(                                        \
        In<activation> x, In<float> affine, unsigned has_affine, unsigned relu, In<float> filter, Out<activation> rows,\
        unsigned c, unsigned first, unsigned channels, unsigned h, unsigned w, unsigned h_out, unsigned w_out,         \
        unsigned before_y, unsigned before_x, unsigned columns, unsigned strips, unsigned planes) {                    \
        const unsigned group = blockIdx.z;                                                                             \
        const Source from{x + group * c * h * w * LANES, affine, has_affine, relu, c, h, w};                           \
        const Out<activation> to = rows + (group * channels + first) * h_out * w_out * LANES;                          \
        correlate<K, S, false>(from, filter + first, channels, h_out, w_out, before_y, before_x,                       \
                               Split{columns, strips, planes},                                                         \
                               [&](unsigned channel) { return Plane{to + channel * h_out * w_out * LANES}; });         \
    }                                                                                                                  \
                                                                                                                       \
    extern "C" __global__ void __launch_bounds__(128, 4) rows_filter_back_##K##_##S(                                   \
        In<activation> grad, In<float> filter, In<activation> x, In<float> affine, unsigned has_affine, unsigned relu, \
        InOut<activation> target, unsigned accumulate, unsigned c, unsigned first, unsigned channels, unsigned h,      \
        unsigned w, unsigned h_out, unsigned w_out, unsigned before_y, unsigned before_x, unsigned columns,            \
        unsigned strips, unsigned planes) {                                                                            \
        const unsigned group = blockIdx.z, size = c * h * w * LANES;                                                   \
        const In<activation> g = grad + (group * channels + first) * h_out * w_out * LANES;                            \
        /* Nothing is pending for a gradient: any address will do. */                                                  \
        const Source from{g, filter, 0, 0, c, h_out, w_out};                                                           \
        const In<activation> raw = x + group * size;                                                                   \
        const InOut<activation> to = target + group * size;                                                            \
        const auto plane = [&](unsigned channel) {                                                                     \
            const unsigned at = channel * h * w * LANES;                                                               \
            return GradientPlane{raw + at, affine_of(affine, has_affine, channel, c), relu, to + at, accumulate};      \
        };                                                                                                             \
        BACK;                                                                                                          \
    }                                                                                                                  \
                                                                                                                       \
    extern "C" __global__ void __launch_bounds__(128, 4) rows_filter_gradient_##K##_##S(                               \
        In<activation> x, In<float> affine, unsigned has_affine, unsigned relu, In<activation> grad,                   \
        Out<float> partial, unsigned n, unsigned c, unsigned first, unsigned channels, unsigned h, unsigned w,         \
        unsigned h_out, unsigned w_out, unsigned before_y, unsigned before_x, unsigned columns, unsigned strips,       \
        unsigned planes) {                                                                                             \
        const unsigned group = blockIdx.z;                                                                             \
        const Source from{x + group * c * h * w * LANES, affine, has_affine, relu, c, h, w};                           \
        const In<activation> g = grad + (group * channels + first) * h_out * w_out * LANES;                            \
        const Out<float> to = partial + (group * gridDim.x + blockIdx.x) * K * K * channels + first;                   \
        filter_gradient<K, S>(from, g, n - group * LANES, h_out, w_out, before_y, before_x,                            \
                              Split{columns, strips, planes},                                                          \
                              [&](unsigned channel, unsigned tap, float sum) { to[tap * channels + channel] = sum; }); \
    }

// With stride 1 the input gradient is a correlation with the turned filter.
#define TURNED(K)                                                                                                \
    correlate<K, 1, true>(from, filter + first, channels, h, w, K - 1 - before_y, K - 1 - before_x, \
                          Split{columns, strips, planes}, plane)
#define SPREAD(K) \
    spread<K>(from, filter + first, channels, h, w, before_y, before_x, Split{columns, strips, planes}, plane)

FILTER_KERNELS(3, 1, TURNED(3))
FILTER_KERNELS(5, 1, TURNED(5))
FILTER_KERNELS(3, 2, SPREAD(3))
FILTER_KERNELS(5, 2, SPREAD(5))

// Adds the `count` partial sums, `size` numbers each, to the gradient of the filters. A block takes 32 numbers; each of
// its eight warps sums every eighth part. Sums are in double precision and in a fixed order.
extern "C" __global__ void __launch_bounds__(256)
    rows_filter_sum(In<float> partial, InOut<float> into, unsigned count, unsigned size) {
    SHARED(double, sums, 256);
    const unsigned i = blockIdx.x * 32 + threadIdx.x % 32;
    double sum = 0.0;
    if (i < size) {
        for (unsigned part = threadIdx.x / 32; part < count; part += 8) sum += partial[part * size + i];
    }
    sums[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x >= 32 || i >= size) return;
    for (unsigned warp = 1; warp < 8; warp++) sum += sums[warp * 32 + threadIdx.x];
    into[i] = into[i] + static_cast<float>(sum);
}
