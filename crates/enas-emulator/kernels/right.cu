// Kernels without a mistake, by which the emulator's tests show that it gives right results.
#include "dialect.cuh"

namespace {

constexpr int threads = 256;

__device__ __forceinline__ float sum_of_warp(float v) {
    for (int by = 16; by > 0; by /= 2) v += __shfl_down_sync(0xffffffffu, v, by);
    return v;
}

// Adds a value of each thread; the sum is thread 0's.
__device__ __forceinline__ float sum_of_block(float v) {
    SHARED(float, sums, threads / 32);
    v = sum_of_warp(v);
    if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = v;
    __syncthreads();
    if (threadIdx.x < 32) v = sum_of_warp(threadIdx.x < threads / 32 ? sums[threadIdx.x] : 0.0f);
    return v;
}

}  // namespace

// y[block] = sum of row `block` of x [rows, n]
extern "C" __global__ void __launch_bounds__(threads) emulator_row_sums(In<float> x, Out<float> y, unsigned n) {
    In<float> row = x + static_cast<size_t>(blockIdx.x) * n;
    float v = 0.0f;
    for (unsigned i = threadIdx.x; i < n; i += threads) v += row[i];
    v = sum_of_block(v);
    if (threadIdx.x == 0) y[blockIdx.x] = v;
}

// y = x, four elements at a time and the tail one by one
extern "C" __global__ void emulator_copy4(In<float> x, Out<float> y, unsigned n) {
    unsigned i = 4 * (blockIdx.x * blockDim.x + threadIdx.x);
    if (i + 4 <= n) {
        store4(y, i, load4(x, i));
    } else {
        for (unsigned k = i; k < n; k++) y[k] = __ldg(x + k);
    }
}

// Elements turn places within a tile of dynamic shared memory, as often as told.
extern "C" __global__ void emulator_rotate(InOut<float> x, unsigned times) {
    DYNAMIC_SHARED(float, tile);
    unsigned t = threadIdx.x, n = blockDim.x;
    tile[t] = x[t];
    __syncthreads();
    for (unsigned i = 0; i < times; i++) {
        float next = tile[(t + 1) % n];
        __syncthreads();
        tile[t] = next;
        __syncthreads();
    }
    x[t] = tile[t];
}

// Each lane hands its value on through shared memory, with nothing but warp barriers.
extern "C" __global__ void emulator_warp_order(In<unsigned> x, Out<unsigned> y) {
    SHARED(unsigned, tile, 64);
    unsigned t = threadIdx.x;
    tile[t] = x[t];
    __syncwarp();
    unsigned other = tile[t ^ 1];
    __syncwarp();
    tile[t] = other + 1;
    __syncwarp();
    y[t] = tile[t ^ 1];
}

// y[i] = value of lane by each shuffle: [4, 32]
extern "C" __global__ void emulator_shuffles(Out<int> y) {
    int lane = static_cast<int>(threadIdx.x);
    y[lane] = __shfl_sync(0xffffffffu, lane, 5);
    y[32 + lane] = __shfl_up_sync(0xffffffffu, lane, 3);
    y[64 + lane] = __shfl_down_sync(0xffffffffu, lane, 3);
    y[96 + lane] = __shfl_xor_sync(0xffffffffu, lane, 3, 8);
}

// Counts threads; the order of atomic additions of whole numbers does not matter.
extern "C" __global__ void emulator_count(InOut<unsigned> count) { atomicAdd(count + 0, 1u); }

// The same in shared memory: y[block] = 10 + threads of the block
extern "C" __global__ void emulator_count_shared(Out<unsigned> y) {
    SHARED(unsigned, count, 1);
    if (threadIdx.x == 0) count[0] = 10u;
    __syncthreads();
    atomicAdd(count + 0, 1u);
    __syncthreads();
    if (threadIdx.x == 0) y[blockIdx.x] = count[0];
}

// Threads enter their numbers in the order in which they come. What it gives depends on that order, by design.
extern "C" __global__ void emulator_arrivals(InOut<unsigned> count, Out<unsigned> order) {
    unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    unsigned place = atomicAdd(count + 0, 1u);
    order[place] = block * blockDim.x * blockDim.y * blockDim.z + thread;
}

// A macro may declare kernels.
#define EMULATOR_DOUBLE(T) \
    extern "C" __global__ void __launch_bounds__(2 * 64) emulator_double_##T(InOut<T> x) { x[threadIdx.x] *= T(2); }
EMULATOR_DOUBLE(float)
EMULATOR_DOUBLE(int)

namespace {

// A helper that reads any memory, and elements of shared memory as indices.
template <class P> __device__ __forceinline__ float total(P p, unsigned n) {
    float sum = 0.0f;
    for (unsigned i = 0; i < n; i++) sum += p[i];
    return sum;
}

__device__ __forceinline__ float first(In<float> p) { return p[0]; }
__device__ __forceinline__ void set(Shared<float> p, Out<float> y, unsigned i) { y[i] = p[0]; }

}  // namespace

// Memory handed to helper functions, one thread: y[0..3]
extern "C" __global__ void emulator_helpers(In<float> x, InOut<float> y, InOut<float> z, unsigned n) {
    SHARED(unsigned, places, 2);
    SHARED(float, tile, 2);
    places[0] = 0u;
    atomicAdd(places + 0, 1u);
    places[1] = places[0];
    tile[places[1]] = total(x, n);
    tile[0] = tile[1];
    tile[0] -= tile[1] * 0.5f;
    y[1] = total(tile, 2);
    set(tile + 1, y, 2);
    y[0] = first(z);
}

// back[p] = to_bf16(to_float(p)), and to_bf16 of 32-bit patterns
extern "C" __global__ void emulator_bf16_round_trip(In<bf16> x, Out<bf16> back, unsigned n) {
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) back[i] = to_bf16(to_float(x[i]));
}

extern "C" __global__ void emulator_bf16_round(In<unsigned> x, Out<bf16> y, unsigned n) {
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = to_bf16(__uint_as_float(x[i]));
}

// y = x in widths of 2, 4 and 8; n a multiple of 24
extern "C" __global__ void emulator_bf16_wide(In<bf16> x, Out<bf16> y) {
    unsigned i = 24 * threadIdx.x;
    store8(y, i, load8(x, i));
    store4(y, i + 8, load4(x, i + 8));
    store4(y, i + 12, load4(x, i + 12));
    for (unsigned k = 16; k < 24; k += 2) store2(y, i + k, load2(x, i + k));
}

// Bits and arithmetic: y[0..8]
extern "C" __global__ void emulator_arithmetic(Out<unsigned> y, unsigned a, int b, float c, unsigned long long d) {
    y[0] = __umulhi(a, 0x80000000u);
    y[1] = __brev(a);
    y[2] = __float_as_uint(fmaf(c, c, 1.0f));
    y[3] = max(a, 7u);
    y[4] = static_cast<unsigned>(min(b, -7));
    y[5] = static_cast<unsigned>(d >> 32);
    y[6] = __float_as_uint(rsqrtf(c));
    y[7] = static_cast<unsigned>(__popc(a) + __clz(1));
}

// y[i] += factor x[i]; x may be null
extern "C" __global__ void emulator_add(In<float> x, InOut<float> y, float factor, unsigned n) {
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n && x) y[i] += factor * x[i];
}
