// Optimiser updates of trained weights: elements first to first + len − 1 of buffers that hold one number per weight.
//
// Threads work on aligned quads of the buffers, so that a run may begin and end anywhere; the first and the last quad
// of a run are treated number by number.
#include "reduce.cuh"

namespace {

// The update of one weight; `scale` is the factor on the whole gradient.
struct Nesterov {
    float lr, mu, penalty, scale;

    __device__ __forceinline__ void update(float& weight, float& momentum, float gradient) const {
        const float g = fmaf(penalty, weight, gradient) * scale;
        momentum = fmaf(mu, momentum, g);
        weight -= lr * fmaf(mu, momentum, g);
    }
};

struct Adam {
    float lr, beta2, epsilon;

    __device__ __forceinline__ void update(float& weight, float& moment, float gradient) const {
        moment = fmaf(beta2, moment, (1.0f - beta2) * gradient * gradient);
        weight -= lr * gradient / (sqrtf(moment) + epsilon);
    }
};

template <class Rule>
__device__ __forceinline__ void step(Rule rule, InOut<float> weights, InOut<float> states, In<float> gradients,
                                     unsigned first, unsigned len) {
    const unsigned at = (first / 4 + blockIdx.x * blockDim.x + threadIdx.x) * 4, end = first + len;
    if (at >= end) return;
    if (at >= first && end - at >= 4) {
        float4 w = load4(weights, at), s = load4(states, at);
        const float4 g = load4(gradients, at);
        rule.update(w.x, s.x, g.x);
        rule.update(w.y, s.y, g.y);
        rule.update(w.z, s.z, g.z);
        rule.update(w.w, s.w, g.w);
        store4(weights, at, w);
        store4(states, at, s);
        return;
    }
    for (unsigned i = max(at, first); i < min(at + 4, end); ++i) {
        float w = weights[i], s = states[i];
        rule.update(w, s, gradients[i]);
        weights[i] = w;
        states[i] = s;
    }
}

}  // namespace

// partials[block] = Σ (gradient + penalty·weight)² over the quads of a block, which are gridDim.x·256 apart. Reads
// weights and gradients once.
extern "C" __global__ void __launch_bounds__(256)
    optim_squares(In<float> weights, In<float> gradients, Out<float> partials, unsigned first, unsigned len,
                  float penalty) {
    SHARED(float, sums, 256);
    const unsigned end = first + len;
    float sum = 0.0f;
    const auto square = [&](float gradient, float weight) {
        const float g = fmaf(penalty, weight, gradient);
        sum = fmaf(g, g, sum);
    };
    for (unsigned quad = first / 4 + blockIdx.x * 256 + threadIdx.x; quad < (end + 3) / 4; quad += gridDim.x * 256) {
        const unsigned at = quad * 4;
        if (at >= first && end - at >= 4) {
            const float4 w = load4(weights, at), g = load4(gradients, at);
            square(g.x, w.x);
            square(g.y, w.y);
            square(g.z, w.z);
            square(g.w, w.w);
        } else {
            for (unsigned i = max(at, first); i < min(at + 4, end); ++i) square(gradients[i], weights[i]);
        }
    }
    const float total = block_sum(sums, sum);
    if (threadIdx.x == 0) partials[blockIdx.x] = total;
}

// norm = √Σ partials, in double precision; one block.
extern "C" __global__ void __launch_bounds__(256) optim_norm(In<float> partials, Out<float> norm, unsigned len) {
    SHARED(double, sums, 256);
    double sum = 0.0;
    for (unsigned i = threadIdx.x; i < len; i += 256) sum += partials[i];
    const double total = block_sum(sums, sum);
    if (threadIdx.x == 0) norm[0] = static_cast<float>(sqrt(total));
}

// Nesterov momentum. With clip > 0 the factor on the gradient is clip/max(norm, clip), else `scale`. Changes nothing if
// the norm is not finite: the host is to find the weights as they were before the step. Reads weights, momentum and
// gradients once, writes weights and momentum.
extern "C" __global__ void __launch_bounds__(256)
    optim_nesterov(InOut<float> weights, InOut<float> momentum, In<float> gradients, In<float> norm, unsigned first,
                   unsigned len, float lr, float mu, float penalty, float scale, float clip) {
    if (!(norm[0] <= 3.402823466e38f)) return;
    const Nesterov rule = {lr, mu, penalty, clip > 0.0f ? clip / fmaxf(norm[0], clip) : scale};
    step(rule, weights, momentum, gradients, first, len);
}

// Adam without a first moment; `lr` holds the bias correction. Traffic as above.
extern "C" __global__ void __launch_bounds__(256)
    optim_adam(InOut<float> weights, InOut<float> moments, In<float> gradients, unsigned first, unsigned len, float lr,
               float beta2, float epsilon) {
    step(Adam{lr, beta2, epsilon}, weights, moments, gradients, first, len);
}

// averages += share·(weights − averages); one thread per number. Reads both once, writes the averages.
extern "C" __global__ void __launch_bounds__(256)
    optim_average(InOut<float> averages, In<float> weights, unsigned len, float share) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < len) averages[i] = fmaf(share, weights[i] - averages[i], averages[i]);
}
