// Optimiser updates of trained weights.
//
// Weights lie apart: each tensor is an array of its own. Momentum, gradients and averages lie in one buffer each, where
// every array has a place, a multiple of four.
//
// Method outline (multi-tensor apply):
// 1. One launch handles up to 32 arrays; a block works on one of them and finds it by a binary search over first
//    blocks.
// 2. An array's number of blocks depends on its length alone, so sums are taken in a fixed order.
// 3. A thread moves four numbers at once (float4); the last ones of an array go one by one.
// 4. Each update is one pass, limited by memory bandwidth. Clipping needs the norm before: a pass of its own.
#include "reduce.cuh"

namespace {

// The update of one weight (see `Nesterov` in optim.rs); `scale` is the factor on the whole gradient.
struct Nesterov {
    float lr, mu, penalty, scale;

    __device__ __forceinline__ void update(float& weight, float& momentum, float gradient) const {
        const float g = fmaf(penalty, weight, gradient) * scale;
        momentum = fmaf(mu, momentum, g);
        weight -= lr * fmaf(mu, momentum, g);
    }
};

__device__ __forceinline__ void update4(const Nesterov& rule, float4& weights, float4& momentum, float4 gradients) {
    rule.update(weights.x, momentum.x, gradients.x);
    rule.update(weights.y, momentum.y, gradients.y);
    rule.update(weights.z, momentum.z, gradients.z);
    rule.update(weights.w, momentum.w, gradients.w);
}

// The share of a thread in arrays that lie apart: numbers begin, begin + 1, …, begin + 3 of one array of `len` numbers,
// then the same `stride` further on. The array's first number has the place `place` in buffers of all arrays.
struct Part {
    unsigned array, place, len, begin, stride;
};

// Finds the share of this thread. `places` holds place, length and first block of each array, then the end of the last
// one's blocks. A launch works on `count` arrays from `first` on, whose first block is `first_block`.
__device__ __forceinline__ Part part_of(In<unsigned> places, unsigned first, unsigned count, unsigned first_block) {
    const unsigned block = first_block + blockIdx.x;
    // Binary search: the last array whose first block is at most `block`.
    unsigned low = 0, high = count;
    while (high - low > 1) {
        const unsigned middle = (low + high) / 2;
        if (places[3 * (first + middle) + 2] <= block) low = middle;
        else high = middle;
    }
    const unsigned at = 3 * (first + low), begins = places[at + 2], blocks = places[at + 5] - begins;
    return {low, places[at], places[at + 1], ((block - begins) * 256 + threadIdx.x) * 4, blocks * 256 * 4};
}

// Thirty-two arrays as parameters, and a choice by number. A table of addresses in memory would cost every thread one
// more load, and the emulator could not check it.
#define ENAS_ARRAYS(Mode)                                                                                          \
    Mode<float> w0, Mode<float> w1, Mode<float> w2, Mode<float> w3, Mode<float> w4, Mode<float> w5,                \
        Mode<float> w6, Mode<float> w7, Mode<float> w8, Mode<float> w9, Mode<float> w10, Mode<float> w11,          \
        Mode<float> w12, Mode<float> w13, Mode<float> w14, Mode<float> w15, Mode<float> w16, Mode<float> w17,      \
        Mode<float> w18, Mode<float> w19, Mode<float> w20, Mode<float> w21, Mode<float> w22, Mode<float> w23,      \
        Mode<float> w24, Mode<float> w25, Mode<float> w26, Mode<float> w27, Mode<float> w28, Mode<float> w29,      \
        Mode<float> w30, Mode<float> w31
#define ENAS_PICK(number)                                                                                          \
    pick(number, w0, w1, w2, w3, w4, w5, w6, w7, w8, w9, w10, w11, w12, w13, w14, w15, w16, w17, w18, w19, w20,    \
         w21, w22, w23, w24, w25, w26, w27, w28, w29, w30, w31)

// The recursion is resolved at compile time: a chain of selects remains.
template <class P> __device__ __forceinline__ P pick(unsigned, P last) { return last; }

template <class P, class... More>
__device__ __forceinline__ P pick(unsigned number, P first, More... more) {
    return number == 0 ? first : pick(number - 1, more...);
}

}  // namespace

// partials[block] = Σ (gradient + penalty·weight)² over the numbers of a block: per thread in registers, then in a
// tree. Reads weights and gradients once.
extern "C" __global__ void __launch_bounds__(256)
    optim_squares(ENAS_ARRAYS(In), In<float> gradients, Out<float> partials, In<unsigned> places, unsigned first,
                  unsigned count, unsigned first_block, float penalty) {
    SHARED(float, sums, 256);
    const Part part = part_of(places, first, count, first_block);
    const In<float> weights = ENAS_PICK(part.array);
    float sum = 0.0f;
    const auto square = [&](float gradient, float weight) {
        const float g = fmaf(penalty, weight, gradient);
        sum = fmaf(g, g, sum);
    };
    for (unsigned at = part.begin; at < part.len; at += part.stride) {
        const unsigned to = part.place + at;
        if (part.len - at >= 4) {
            const float4 w = load4(weights, at), g = load4(gradients, to);
            square(g.x, w.x);
            square(g.y, w.y);
            square(g.z, w.z);
            square(g.w, w.w);
        } else {
            for (unsigned i = 0; i < part.len - at; ++i) square(gradients[to + i], weights[at + i]);
        }
    }
    const float total = block_sum(sums, sum);
    if (threadIdx.x == 0) partials[first_block + blockIdx.x] = total;
}

// norm = √Σ partials, in double precision; one block.
extern "C" __global__ void __launch_bounds__(256) optim_norm(In<float> partials, Out<float> norm, unsigned len) {
    SHARED(double, sums, 256);
    double sum = 0.0;
    for (unsigned i = threadIdx.x; i < len; i += 256) sum += partials[i];
    const double total = block_sum(sums, sum);
    if (threadIdx.x == 0) norm[0] = static_cast<float>(sqrt(total));
}

// Nesterov momentum. With clip > 0 the factor on the gradient is clip/max(norm, clip), else `scale`. If the norm is not
// finite it changes nothing: the host then finds the weights as they were before the step. Reads weights, momentum and
// gradients once, writes weights and momentum.
extern "C" __global__ void __launch_bounds__(256)
    optim_nesterov(ENAS_ARRAYS(InOut), InOut<float> momentum, In<float> gradients, In<float> norm,
                   In<unsigned> places, unsigned first, unsigned count, unsigned first_block, float lr, float mu,
                   float penalty, float scale, float clip) {
    // True for NaN and for infinity alike.
    if (!(norm[0] <= 3.402823466e38f)) return;
    const Part part = part_of(places, first, count, first_block);
    const InOut<float> weights = ENAS_PICK(part.array);
    const Nesterov rule = {lr, mu, penalty, clip > 0.0f ? clip / fmaxf(norm[0], clip) : scale};
    for (unsigned at = part.begin; at < part.len; at += part.stride) {
        const unsigned to = part.place + at;
        if (part.len - at >= 4) {
            float4 w = load4(weights, at), m = load4(momentum, to);
            update4(rule, w, m, load4(gradients, to));
            store4(weights, at, w);
            store4(momentum, to, m);
            continue;
        }
        for (unsigned i = 0; i < part.len - at; ++i) {
            float w = weights[at + i], m = momentum[to + i];
            rule.update(w, m, gradients[to + i]);
            weights[at + i] = w;
            momentum[to + i] = m;
        }
    }
}

// averages += share·(weights − averages): an exponential moving average (EMA). Reads both once, writes the averages.
extern "C" __global__ void __launch_bounds__(256)
    optim_average(ENAS_ARRAYS(In), InOut<float> averages, In<unsigned> places, unsigned first, unsigned count,
                  unsigned first_block, float share) {
    const Part part = part_of(places, first, count, first_block);
    const In<float> weights = ENAS_PICK(part.array);
    for (unsigned at = part.begin; at < part.len; at += part.stride) {
        for (unsigned i = at; i < min(at + 4, part.len); ++i) {
            const unsigned to = part.place + i;
            averages[to] = fmaf(share, weights[i] - averages[to], averages[to]);
        }
    }
}
