// Sums of two maps, copies of channels, and means over pixels, in the blocked layout.
//
// Unless said otherwise, one thread handles four of the sixteen images of one pixel, and blockIdx.y counts the groups
// of images. All kernels are limited by memory bandwidth: each makes one pass over its maps.
#include "quad.cuh"

namespace {

// The factors of images `first` to `first + 3`: zero past the last image, one without factors.
__device__ __forceinline__ float4 factors_of(In<float> factors, unsigned has_factors, unsigned first, unsigned n) {
    if (!has_factors) return quad(1.0f);
    return make_float4(first < n ? factors[first] : 0.0f, first + 1 < n ? factors[first + 1] : 0.0f,
                       first + 2 < n ? factors[first + 2] : 0.0f, first + 3 < n ? factors[first + 3] : 0.0f);
}

}  // namespace

// out = fa·a + fb·b, each side normalised. `plane` is h·w. Reads both sides once, writes one map.
extern "C" __global__ void __launch_bounds__(256)
    elementwise_add(In<activation> a, In<float> affine_a, unsigned has_affine_a, In<float> factors_a,
                    unsigned has_factors_a, In<activation> b, In<float> affine_b, unsigned has_affine_b,
                    In<float> factors_b, unsigned has_factors_b, Out<activation> out, unsigned n, unsigned c,
                    unsigned plane) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x, size = c * plane * 4;
    if (i >= size) return;
    const unsigned image = blockIdx.y * 16 + i % 4 * 4, channel = i / 4 / plane, at = (blockIdx.y * size + i) * 4;
    const float4 fa = factors_of(factors_a, has_factors_a, image, n);
    const float4 fb = factors_of(factors_b, has_factors_b, image, n);
    const Affine na = affine_of(affine_a, has_affine_a, channel, c), nb = affine_of(affine_b, has_affine_b, channel, c);
    // Factors, scales and shifts are folded first: two multiply-adds per number remain.
    const float4 shift = fma4(fa, quad(na.shift), fb * quad(nb.shift));
    const float4 right = fma4(to_float4(load4(b, at)), fb * quad(nb.scale), shift);
    store4(out, at, to_activation4(fma4(to_float4(load4(a, at)), fa * quad(na.scale), right)));
}

// to (+)= factors·from: for the backward passes of sums and concatenations. `size` is c·h·w of `to`; `from_size` is
// that of the map whose channels `from` begins with. Reads one map, writes one, or adds to it.
extern "C" __global__ void __launch_bounds__(256)
    elementwise_scale(In<activation> from, In<float> factors, unsigned has_factors, InOut<activation> to, unsigned n,
                      unsigned size, unsigned from_size, unsigned accumulate) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= size * 4) return;
    const float4 factor = factors_of(factors, has_factors, blockIdx.y * 16 + i % 4 * 4, n);
    const float4 value = factor * to_float4(load4(from, (blockIdx.y * from_size * 4 + i) * 4));
    put4(to, (blockIdx.y * size * 4 + i) * 4, value, accumulate);
}

// Copies the c channels of a value, normalised, to channels `first`.. of a map with `channels` channels. `plane` is
// h·w. Reads one map, writes one.
extern "C" __global__ void __launch_bounds__(256)
    elementwise_place(In<activation> from, In<float> affine, unsigned has_affine, Out<activation> to, unsigned c,
                      unsigned plane, unsigned first, unsigned channels) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x, size = c * plane * 4;
    if (i >= size) return;
    const Affine of = affine_of(affine, has_affine, i / 4 / plane, c);
    const unsigned at = ((blockIdx.y * channels + first) * plane * 4 + i) * 4;
    store4(to, at, to_activation4(normalised4(from, (blockIdx.y * size + i) * 4, of)));
}

// means[image, first + channel] = Σ max(x, 0)/plane over the pixels of a channel; a row of means holds `channels`
// numbers.
//
// One block of 128 threads per channel (x) and group (y). Thread t sums quad t % 4 of every 32nd pixel in registers.
// Then sixteen threads add the 32 sums of one image each, in double precision. Reads the map once.
extern "C" __global__ void __launch_bounds__(128)
    elementwise_relu_mean(In<activation> x, In<float> affine, unsigned has_affine, Out<float> means, unsigned n,
                          unsigned c, unsigned plane, unsigned first, unsigned channels) {
    SHARED(float, sums, 32 * 16);
    const unsigned t = threadIdx.x, channel = blockIdx.x;
    const Affine of = affine_of(affine, has_affine, channel, c);
    const unsigned start = (blockIdx.y * c + channel) * plane * 16 + t % 4 * 4;
    float4 sum = quad(0.0f);
    for (unsigned pixel = t / 4; pixel < plane; pixel += 32) {
        sum = sum + larger4(quad(0.0f), normalised4(x, start + pixel * 16, of));
    }
    store4(sums, t * 4, sum);
    __syncthreads();
    const unsigned image = blockIdx.y * 16 + t;
    if (t >= 16 || image >= n) return;
    double total = 0.0;
    for (unsigned part = 0; part < 32; ++part) total += sums[part * 16 + t];
    means[image * channels + first + channel] = static_cast<float>(total / plane);
}

// The gradient of elementwise_relu_mean: to (+)= grad[image, first + channel]/plane where x > 0, else 0. Reads the map
// once, writes its gradient, or adds to it.
extern "C" __global__ void __launch_bounds__(256)
    elementwise_relu_mean_backward(In<activation> x, In<float> affine, unsigned has_affine, In<float> grad,
                                   InOut<activation> to, unsigned n, unsigned c, unsigned plane, unsigned first,
                                   unsigned channels, unsigned accumulate) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x, size = c * plane * 4;
    if (i >= size) return;
    const unsigned channel = i / 4 / plane, image = blockIdx.y * 16 + i % 4 * 4;
    const auto share = [=](unsigned image) {
        return image < n ? grad[image * channels + first + channel] / static_cast<float>(plane) : 0.0f;
    };
    const float4 shares = make_float4(share(image), share(image + 1), share(image + 2), share(image + 3));
    const unsigned at = (blockIdx.y * size + i) * 4;
    const float4 value = normalised4(x, at, affine_of(affine, has_affine, channel, c));
    put4(to, at, where_positive(value, shares), accumulate);
}
