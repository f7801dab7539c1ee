// Kernels with one mistake each, which the emulator must find. The mistake is named above the kernel.
#include "dialect.cuh"

// Threads beyond n read.
extern "C" __global__ void wrong_read_past_end(In<float> x, Out<float> y, unsigned n) {
    float v = x[threadIdx.x];
    if (threadIdx.x < n) y[threadIdx.x] = v;
}

// Threads beyond the end write.
extern "C" __global__ void wrong_write_past_end(Out<float> y) { y[threadIdx.x] = 1.0f; }

// Reads what the neighbour wrote, or will write, without a barrier between.
extern "C" __global__ void wrong_missing_barrier(In<float> x, Out<float> y) {
    SHARED(float, tile, 64);
    tile[threadIdx.x] = 0.0f;
    __syncthreads();
    tile[threadIdx.x] = x[threadIdx.x];
    if (y) y[threadIdx.x] = tile[threadIdx.x ^ 32];
}

// The tile is written again while neighbours may still read it.
extern "C" __global__ void wrong_overwrite(In<float> x, Out<float> y) {
    SHARED(float, tile, 64);
    tile[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    float v = tile[threadIdx.x ^ 1];
    tile[threadIdx.x] = v;
    y[threadIdx.x] = v;
}

// A warp barrier does not order threads of two warps.
extern "C" __global__ void wrong_warp_barrier(Out<float> y) {
    SHARED(float, tile, 64);
    tile[threadIdx.x] = 0.0f;
    __syncthreads();
    tile[threadIdx.x] = 1.0f;
    __syncwarp();
    y[threadIdx.x] = tile[threadIdx.x ^ 32];
}

// One of the readers writes while others may still read.
extern "C" __global__ void wrong_common_read(Out<float> y, unsigned writer) {
    SHARED(float, common, 1);
    if (threadIdx.x == 0) common[0] = 1.0f;
    __syncthreads();
    float v = common[0];
    if (threadIdx.x == writer) common[0] = v + 1.0f;
    y[threadIdx.x] = v;
}

// The same between blocks.
extern "C" __global__ void wrong_common_block(InOut<float> x, Out<float> y, unsigned writer) {
    float v = x[0];
    if (blockIdx.x == writer) x[0] = v + 1.0f;
    y[blockIdx.x] = v;
}

// Half of the block never reaches the barrier.
extern "C" __global__ void wrong_early_exit(Out<float> y) {
    if (threadIdx.x >= 32) return;
    __syncthreads();
    y[threadIdx.x] = 1.0f;
}

// All threads wait, but at two barriers.
extern "C" __global__ void wrong_two_barriers(Out<float> y) {
    if (threadIdx.x < 32) {
        __syncthreads();
    } else {
        __syncthreads();
    }
    y[threadIdx.x] = 1.0f;
}

// A shuffle within a branch.
extern "C" __global__ void wrong_shuffle(Out<float> y) {
    float v = 1.0f;
    if (threadIdx.x < 16) v = __shfl_down_sync(0xffffffffu, v, 1);
    y[threadIdx.x] = v;
}

// Half of the tile has no value.
extern "C" __global__ void wrong_unwritten_shared(Out<float> y) {
    SHARED(float, tile, 64);
    if (threadIdx.x < 32) tile[threadIdx.x] = 0.0f;
    __syncthreads();
    y[threadIdx.x] = tile[threadIdx.x];
}

// Reads its output, of which nothing is known yet.
extern "C" __global__ void wrong_unwritten_global(InOut<float> y) { y[threadIdx.x] += 1.0f; }

// Every block writes the same elements.
extern "C" __global__ void wrong_two_blocks(Out<float> y) { y[threadIdx.x] = 1.0f; }

// Reads what another block writes.
extern "C" __global__ void wrong_block_order(InOut<float> y) {
    if (blockIdx.x == 0) {
        y[1] = y[0];
    } else {
        y[0] = 2.0f;
    }
}

// Right only if x and y are different memory.
extern "C" __global__ void wrong_in_place(In<float> x, Out<float> y) { y[threadIdx.x] = x[threadIdx.x] + 1.0f; }

// The address is no multiple of 16 bytes.
extern "C" __global__ void wrong_alignment(In<float> x, Out<float> y) { store4(y, 0, load4(x, 1)); }

// More static shared memory than a block has.
extern "C" __global__ void wrong_shared_size(Out<float> y) {
    SHARED(float, tile, 12 * 1024);
    DYNAMIC_SHARED(float, more);
    tile[threadIdx.x] = 1.0f;
    more[threadIdx.x] = tile[threadIdx.x];
    y[threadIdx.x] = more[threadIdx.x];
}

// A thread's own array is too short for n.
extern "C" __global__ void wrong_own_array(Out<float> y, unsigned n) {
    float own[4] = {};
    for (unsigned i = 0; i < n; i++) own[i] = 1.0f;
    y[threadIdx.x] = own[0] + own[3];
}

// Divides by what may be zero, overflows a product.
extern "C" __global__ void wrong_division(Out<int> y, int by) { y[threadIdx.x] = 7 / by; }
extern "C" __global__ void wrong_product(Out<int> y, int by) { y[threadIdx.x] = 65536 * by; }

// One thread reads a count that others may still add to.
extern "C" __global__ void wrong_atomic(InOut<unsigned> count, Out<unsigned> y, unsigned reader) {
    atomicAdd(count + 0, 1u);
    if (threadIdx.x == reader) y[0] = count[0];
}

// Never ends: without a barrier, and with.
extern "C" __global__ void wrong_endless(InOut<unsigned> y) {
    while (y[threadIdx.x] == 0u) y[threadIdx.x] = 0u;
}
extern "C" __global__ void wrong_endless_barriers(InOut<unsigned> y) {
    while (y[threadIdx.x] == 0u) __syncthreads();
}

// Uses the stack until there is none.
namespace {
__device__ __noinline__ float deep(float x, int depth) {
    float own[64];
    for (int i = 0; i < 64; i++) own[i] = x + static_cast<float>(i);
    return depth == 0 ? own[depth] : deep(own[depth % 64], depth - 1) + own[(depth + 1) % 64];
}
}  // namespace
extern "C" __global__ void wrong_depth(Out<float> y, int depth) { y[threadIdx.x] = deep(1.0f, depth); }
