// Batch statistics, the normalisation they mean, and moving ones.
#include "dialect.cuh"

namespace {

// Threads of moments_merge.
constexpr unsigned THREADS = 128;

// Count, mean and sum of squared deviations of some numbers (Chan, Golub and LeVeque, 1983).
struct Running {
    double count, mean, squares;
};

__device__ __forceinline__ Running merge(Running a, Running b) {
    if (b.count == 0.0) return a;
    // One division: each is a call, around which registers are saved.
    const double count = a.count + b.count, delta = b.mean - a.mean, part = b.count / count;
    return Running{count, a.mean + delta * part, a.squares + b.squares + delta * delta * a.count * part};
}

}  // namespace

// Joins the statistics of tiles, `[c, tiles, (count, pivot, mean − pivot, squares)]`, to mean and biased variance,
// `[2, c]`. A block per channel: each thread joins every 128th tile, then pairs of threads halve their number.
extern "C" __global__ void __launch_bounds__(128)
    moments_merge(In<float> partials, unsigned tiles, Out<float> moments, unsigned c) {
    SHARED(double, counts, THREADS);
    SHARED(double, means, THREADS);
    SHARED(double, squares, THREADS);
    const unsigned channel = blockIdx.x, thread = threadIdx.x;
    Running total = {0.0, 0.0, 0.0};
    for (unsigned tile = thread; tile < tiles; tile += THREADS) {
        const float4 v = load4(partials, (channel * tiles + tile) * 4);
        total = merge(total, Running{v.x, static_cast<double>(v.y) + v.z, v.w});
    }
    for (unsigned half = THREADS / 2; half > 0; half /= 2) {
        if (thread >= half && thread < 2 * half) {
            counts[thread] = total.count;
            means[thread] = total.mean;
            squares[thread] = total.squares;
        }
        __syncthreads();
        if (thread < half) {
            const unsigned other = thread + half;
            total = merge(total, Running{counts[other], means[other], squares[other]});
        }
    }
    if (thread > 0) return;
    moments[channel] = static_cast<float>(total.mean);
    moments[c + channel] = static_cast<float>(fmax(total.squares / total.count, 0.0));
}

// Factors and summands `[2, c]` of the normalisation by moments `[2, c]`. A thread per channel.
extern "C" __global__ void moments_affine(In<float> moments, In<float> gamma, In<float> beta, Out<float> affine,
                                       unsigned c, float epsilon) {
    const unsigned channel = blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= c) return;
    // As the CPU rounds it.
    const double deviation = sqrt(static_cast<double>(moments[c + channel] + epsilon));
    const float scale = gamma[channel] * static_cast<float>(1.0 / deviation);
    affine[channel] = scale;
    affine[c + channel] = beta[channel] - moments[channel] * scale;
}

// Takes the moments `[2, c]` of a batch of `count` numbers per channel into the moving ones, `[4, c]`: mean,
// variance, and the weighted sums of both, `weight` being the sum of their weights. A thread per mean or variance.
extern "C" __global__ void moments_running(In<float> moments, InOut<float> running, unsigned c, unsigned count,
                                        float decay, float weight) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= 2 * c) return;
    double value = moments[i];
    if (i >= c && count > 1) value *= count / (count - 1.0);
    const float biased = decay * running[2 * c + i] + (1.0f - decay) * static_cast<float>(value);
    running[2 * c + i] = biased;
    running[i] = biased / weight;
}
