// Rows that are copies of input pixels (im2row): 1×1 and dense convolutions, factorised reductions.
//
// Pixel (y, x) of the row of tap (i, j) is input pixel (y·2^shift + offset + i − before, x·2^shift + offset + j −
// before), or zero where the input has no such pixel. Pixels left of or above the input wrap around as unsigned
// numbers: they exceed the size of the input, so a single comparison finds all padding.
//
// Both directions are limited by memory bandwidth. One thread handles four images of a pixel, so a warp writes whole
// cache lines.
#include "quad.cuh"

namespace {

// Numbers of a pixel (one for each image of a group), and threads that share them.
constexpr unsigned LANES = 16, QUADS = 4;

}  // namespace

// Rows of all taps of the `c` channels of one input, which are channels `first`, `first` + 1, … of all `channels`.
//
// One thread per four lanes of an output pixel and channel; `blockIdx.y` is the group of images. Reads the input once
// (k² times, but from the cache), writes the rows once: 16·(1 + k²) bytes a thread.
extern "C" __global__ void __launch_bounds__(256)
    rows_copy(In<activation> x, In<float> affine, unsigned has_affine, unsigned relu, Out<activation> rows, unsigned c,
              unsigned first, unsigned channels, unsigned h, unsigned w, unsigned h_out, unsigned w_out, unsigned k,
              unsigned shift, unsigned offset, unsigned before) {
    const unsigned number = blockIdx.x * blockDim.x + threadIdx.x, lane = number % QUADS * 4;
    const unsigned plane = h_out * w_out, channel = number / QUADS / plane, pixel = number / QUADS % plane;
    if (channel >= c) return;
    const unsigned group = blockIdx.y;
    const unsigned top = (pixel / w_out << shift) + offset - before;
    const unsigned left = (pixel % w_out << shift) + offset - before;
    const Affine norm = affine_of(affine, has_affine, channel, c);
    const In<activation> from = x + ((group * c + channel) * h * w * LANES + lane);
    const Out<activation> to = rows + ((group * k * k * channels + first + channel) * plane + pixel) * LANES + lane;
    for (unsigned i = 0; i < k; i++) {
        for (unsigned j = 0; j < k; j++) {
            float4 v = quad(0.0f);
            if (top + i < h && left + j < w) {
                v = normalised4(from, ((top + i) * w + left + j) * LANES, norm);
                if (relu) v = larger4(quad(0.0f), v);
            }
            store4(to, (i * k + j) * channels * plane * LANES, to_activation4(v));
        }
    }
}

// The gradient of one input, given that of the rows (row2im, in gather form).
//
// One thread per four lanes of an input pixel and channel. It sums the gradients of the rows that copied the pixel, so
// no atomics are needed; `blockIdx.y` is the group of images. A pixel that no row copied becomes zero, or stays as it
// is if gradients are accumulated. Reads the gradient of the rows once, with ReLU the input once, writes (or adds to)
// the target once.
extern "C" __global__ void __launch_bounds__(256)
    rows_copy_back(In<activation> grad, In<activation> x, In<float> affine, unsigned has_affine, unsigned relu,
                   InOut<activation> target, unsigned accumulate, unsigned c, unsigned first, unsigned channels,
                   unsigned h, unsigned w, unsigned h_out, unsigned w_out, unsigned k, unsigned shift, unsigned offset,
                   unsigned before) {
    const unsigned number = blockIdx.x * blockDim.x + threadIdx.x, lane = number % QUADS * 4;
    const unsigned channel = number / QUADS / (h * w), pixel = number / QUADS % (h * w);
    if (channel >= c) return;
    const unsigned group = blockIdx.y, plane = h_out * w_out;
    const In<activation> from = grad + ((group * k * k * channels + first + channel) * plane * LANES + lane);
    float4 sum = quad(0.0f);
    bool copied = false;
    for (unsigned i = 0; i < k; i++) {
        const unsigned down = pixel / w + before - offset - i, y = down >> shift;
        // With stride 2 only every second pixel was copied.
        if (y << shift != down || y >= h_out) continue;
        for (unsigned j = 0; j < k; j++) {
            const unsigned right = pixel % w + before - offset - j, x_out = right >> shift;
            if (x_out << shift != right || x_out >= w_out) continue;
            const unsigned row = (i * k + j) * channels;
            sum = sum + to_float4(load4(from, (row * plane + y * w_out + x_out) * LANES));
            copied = true;
        }
    }
    if (accumulate && !copied) return;
    const unsigned at = ((group * c + channel) * h * w + pixel) * LANES + lane;
    if (relu) sum = where_positive(normalised4(x, at, affine_of(affine, has_affine, channel, c)), sum);
    put4(target, at, sum, accumulate);
}
