// The classifier and its loss. Matrices here are row-major with one row per image, not in the blocked layout.
#include "reduce.cuh"

namespace {

// Tiles of products are TILE by TILE, STEP deep. PITCH is the padded row of a tile in shared memory: it spreads columns
// over the banks and keeps rows aligned.
constexpr unsigned TILE = 64, STEP = 16, PITCH = TILE + 4;

// Fills a tile [STEP][PITCH]: element (k, i) is from[(first_k + k)·stride_k + (first_i + i)·stride_i], zero from end_k
// or end_i on. Neighbouring threads read neighbours in memory: along i if stride_i is 1, else along k.
__device__ __forceinline__ void fill(Shared<float> tile, In<float> from, unsigned first_k, unsigned end_k,
                                     unsigned stride_k, unsigned first_i, unsigned end_i, unsigned stride_i) {
    for (unsigned e = threadIdx.x; e < TILE * STEP; e += 256) {
        const unsigned k = stride_i == 1 ? e / TILE : e % STEP, i = stride_i == 1 ? e % TILE : e / STEP;
        const unsigned at_k = first_k + k, at_i = first_i + i;
        tile[k * PITCH + i] = at_k < end_k && at_i < end_i ? from[at_k * stride_k + at_i * stride_i] : 0.0f;
    }
}

// Adds the outer product of four rows and four columns: 16 multiply-adds for two loads.
__device__ __forceinline__ void add_products(float (&sums)[4][4], float4 a, float4 b) {
    const float rows[4] = {a.x, a.y, a.z, a.w}, columns[4] = {b.x, b.y, b.z, b.w};
#pragma unroll
    for (unsigned r = 0; r < 4; ++r) {
#pragma unroll
        for (unsigned s = 0; s < 4; ++s) sums[r][s] = fmaf(rows[r], columns[s], sums[r][s]);
    }
}

// A number and its index.
struct Best {
    float value;
    unsigned at;
};

// The larger number; of equals the one with the lower index.
__device__ __forceinline__ Best better(Best a, Best b) {
    return b.value > a.value || (b.value == a.value && b.at < a.at) ? b : a;
}

// The first maximum over the numbers of all threads of a block of 256, in a tree; every thread gets it.
__device__ __forceinline__ Best block_best(Shared<float> values, Shared<unsigned> places, Best mine) {
    const unsigned t = threadIdx.x;
    values[t] = mine.value;
    places[t] = mine.at;
    __syncthreads();
    for (unsigned half = 128; half > 0; half /= 2) {
        if (t < half) {
            const Best best = better({values[t], places[t]}, {values[t + half], places[t + half]});
            values[t] = best.value;
            places[t] = best.at;
        }
        __syncthreads();
    }
    return {values[0], places[0]};
}

}  // namespace

// out[z] = the product of [rows, depth] and [depth, columns], taken over the z-th `slice` of the depth. Element (i, k)
// of the left matrix is a[i·a_row + k·a_column], (k, j) of the right one b[k·b_row + j·b_column].
//
// Method outline (tiled SGEMM with split-K):
// 1. Blocks count tiles of 64×64 along columns (x) and rows (y), and slices of the depth (z). Slices keep a GPU busy if
//    there are few tiles; head_sum adds them in a fixed order.
// 2. The loop goes over the depth in steps of 16; both operands of a step lie in shared memory (2 × 4.25 KiB).
// 3. Each of 256 threads computes 4×4 numbers in registers, by outer products.
// 4. Strides stand for transposes, so all three products of the classifier use this kernel. Reads the left matrix once
//    per tile of columns, the right one once per tile of rows.
extern "C" __global__ void __launch_bounds__(256)
    head_product(In<float> a, In<float> b, Out<float> out, unsigned rows, unsigned columns, unsigned depth,
                 unsigned slice, unsigned a_row, unsigned a_column, unsigned b_row, unsigned b_column) {
    SHARED(float, left, STEP * PITCH);
    SHARED(float, right, STEP * PITCH);
    const unsigned row = threadIdx.x / 16 * 4, column = threadIdx.x % 16 * 4;
    const unsigned first_row = blockIdx.y * TILE, first_column = blockIdx.x * TILE;
    const unsigned start = blockIdx.z * slice, end = min(start + slice, depth);
    float sums[4][4] = {};
    for (unsigned k = start; k < end; k += STEP) {
        fill(left, a, k, end, a_column, first_row, rows, a_row);
        fill(right, b, k, end, b_row, first_column, columns, b_column);
        __syncthreads();
#pragma unroll
        for (unsigned step = 0; step < STEP; ++step) {
            add_products(sums, load4(left, step * PITCH + row), load4(right, step * PITCH + column));
        }
        __syncthreads();
    }
#pragma unroll
    for (unsigned r = 0; r < 4; ++r) {
#pragma unroll
        for (unsigned s = 0; s < 4; ++s) {
            const unsigned i = first_row + row + r, j = first_column + column + s;
            if (i < rows && j < columns) out[(blockIdx.z * rows + i) * columns + j] = sums[r][s];
        }
    }
}

// to (+)= Σ parts[z] over the slices of head_product, in order; one thread per number.
extern "C" __global__ void __launch_bounds__(256)
    head_sum(In<float> parts, InOut<float> to, unsigned len, unsigned slices, unsigned accumulate) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= len) return;
    float sum = 0.0f;
    for (unsigned z = 0; z < slices; ++z) sum += parts[z * len + i];
    to[i] = accumulate ? to[i] + sum : sum;
}

// out = features·factors, element by element.
extern "C" __global__ void __launch_bounds__(256)
    head_scale(In<float> features, In<float> factors, Out<float> out, unsigned len) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < len) out[i] = features[i] * factors[i];
}

// Softmax cross entropy of one image per block against a target distribution, times the weight of the image.
//
// An image has the class `labels` and, if `mixed`, a second class `others`; `shares` is the share of the first. Classes
// have weights, and their mix is the weight of the image. `smoothing` of the target is spread over all classes (label
// smoothing).
//
// Results: gradient = (softmax − target)·scale·weight. losses[0][image] = the loss in nats·weight. losses[1][image] = 1
// if the first maximum of the logits is the label's. A label outside the classes makes the loss NaN.
//
// Method outline: three passes over the logits of the image, with tree reductions between them: the maximum (for a
// stable softmax), the sum of exponentials, the gradient. Sums are in double precision. Reads the logits mostly from
// caches, writes the gradient once.
extern "C" __global__ void __launch_bounds__(256)
    head_cross_entropy(In<float> logits, In<unsigned> labels, In<unsigned> others, In<float> shares, In<float> weights,
                       Out<float> gradient, Out<float> losses, unsigned n, unsigned classes, float scale,
                       float smoothing, unsigned mixed) {
    SHARED(float, values, 256);
    SHARED(unsigned, places, 256);
    SHARED(double, sums, 256);
    const unsigned image = blockIdx.x, first = image * classes, label = labels[image];
    const unsigned other = mixed ? others[image] : label;
    const float share = mixed ? shares[image] : 1.0f;
    // NaN for an unknown class spreads to the loss and to the gradient.
    const bool known = label < classes && other < classes;
    const float of_label = known ? share * weights[label] : NAN;
    const float of_other = known ? (1.0f - share) * weights[other] : NAN;
    const float weight = of_label + of_other, a = of_label / weight, b = of_other / weight;
    Best mine = {-INFINITY, 0xffffffff};
    for (unsigned i = threadIdx.x; i < classes; i += 256) mine = better(mine, {logits[first + i], i});
    const Best best = block_best(values, places, mine);
    double part = 0.0;
    for (unsigned i = threadIdx.x; i < classes; i += 256) part += expf(logits[first + i] - best.value);
    const double sum = block_sum(sums, part);
    const float inverse = static_cast<float>(1.0 / sum);
    // The share of the smoothed target that every class gets.
    const float even = smoothing / static_cast<float>(classes);
    for (unsigned i = threadIdx.x; i < classes; i += 256) {
        const float p = expf(logits[first + i] - best.value) * inverse;
        const float sharp = (i == label ? a : 0.0f) + (i == other ? b : 0.0f);
        // The derivative of the cross entropy of a softmax: probability minus target.
        gradient[first + i] = (p - ((1.0f - smoothing) * sharp + even)) * scale * weight;
    }
    double total = 0.0;
    // The loss needs the sum of all log-probabilities only with smoothing.
    if (smoothing > 0.0f) {
        double spread = 0.0;
        for (unsigned i = threadIdx.x; i < classes; i += 256) spread += logits[first + i] - best.value;
        // All threads must have read the sum before its memory is used again.
        __syncthreads();
        total = block_sum(sums, spread);
    }
    if (threadIdx.x != 0) return;
    // A class with share zero may have any logit, even an infinite one: its product must not become NaN.
    const double own = known && a != 0.0f ? double(a) * double(logits[first + label] - best.value) : (known ? 0.0 : NAN);
    const double second = known && b != 0.0f ? double(b) * double(logits[first + other] - best.value) : 0.0;
    double expected = own + second;
    if (smoothing > 0.0f) expected = (1.0 - double(smoothing)) * expected + double(smoothing) * total / double(classes);
    losses[image] = static_cast<float>((log(sum) - expected) * weight);
    losses[n + image] = best.at == label ? 1.0f : 0.0f;
}

// stats = the mean loss, the number of correct images; one block, double precision.
extern "C" __global__ void __launch_bounds__(256) head_stats(In<float> losses, Out<float> stats, unsigned n) {
    SHARED(double, sums, 256);
    for (unsigned row = 0; row < 2; ++row) {
        double part = 0.0;
        for (unsigned i = threadIdx.x; i < n; i += 256) part += losses[row * n + i];
        const double sum = block_sum(sums, part);
        if (threadIdx.x == 0) stats[row] = static_cast<float>(row == 0 ? sum / n : sum);
        // All threads must have read the sum before its memory is used again.
        __syncthreads();
    }
}
