// Batch statistics: merging those of tiles, the resulting normalisation, and moving averages.
#include "dialect.cuh"

namespace {

// Threads of moments_merge.
constexpr unsigned THREADS = 128;

// Mergeable moments: count, mean and sum of squared deviations (Chan, Golub and LeVeque, 1983).
struct Running {
    double count, mean, squares;
};

__device__ __forceinline__ Running merge(Running a, Running b) {
    if (b.count == 0.0) return a;
    // A single division, since each one is a function call in double precision, around which registers are saved.
    const double count = a.count + b.count, delta = b.mean - a.mean, part = b.count / count;
    return Running{count, a.mean + delta * part, a.squares + b.squares + delta * delta * a.count * part};
}

}  // namespace

// Merges the statistics of tiles, `[c, tiles, (count, pivot, mean − pivot, squares)]`, into mean and biased variance,
// `[2, c]`.
//
// One block per channel: each thread merges every 128th tile, then a tree over the threads halves their number. The
// order is fixed and merging is in double precision.
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

// Factors and summands `[2, c]` of the normalisation with moments `[2, c]`. One thread per channel.
extern "C" __global__ void moments_affine(In<float> moments, In<float> gamma, In<float> beta, Out<float> affine,
                                       unsigned c, float epsilon) {
    const unsigned channel = blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= c) return;
    // Rounded as on the CPU.
    const double deviation = sqrt(static_cast<double>(moments[c + channel] + epsilon));
    const float scale = gamma[channel] * static_cast<float>(1.0 / deviation);
    affine[channel] = scale;
    affine[c + channel] = beta[channel] - moments[channel] * scale;
}

// Adds the moments `[2, c]` of a batch of `count` numbers per channel to the moving averages (EMA), `[4, c]`: mean,
// variance, and the weighted sums of both. The sum of all weights, for the bias correction, is `weight + weight_rest`:
// kernels take no doubles. The correction divides in double precision, as on the CPU. One thread per mean or variance.
extern "C" __global__ void moments_running(In<float> moments, InOut<float> running, unsigned c, unsigned count,
                                        float decay, float weight, float weight_rest) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= 2 * c) return;
    double value = moments[i];
    // The moving average takes the unbiased variance.
    if (i >= c && count > 1) value *= count / (count - 1.0);
    const float biased = decay * running[2 * c + i] + (1.0f - decay) * static_cast<float>(value);
    running[2 * c + i] = biased;
    running[i] = static_cast<float>(biased / (static_cast<double>(weight) + weight_rest));
}
