// Conversion between images [n, c, h, w] and the blocked layout of maps, [⌈n/16⌉, c, h, w, 16]; and copies of arrays.
//
// All kernels here are limited by memory bandwidth: one pass, one thread per number or word.
#include "dialect.cuh"

// One thread per number of the map; `size` is c·h·w. Lanes past the last image become zero. Writes are coalesced; the
// sixteen reads of a pixel are c·h·w numbers apart.
extern "C" __global__ void lanes_from_images(In<float> images, Out<activation> map, unsigned n, unsigned size) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= size * 16) return;
    const unsigned group = blockIdx.y, image = group * 16 + i % 16;
    map[group * size * 16 + i] = to_activation(image < n ? images[image * size + i / 16] : 0.0f);
}

// Converts the chosen images of a data set of bytes. `words` words hold one image, four numbers each, the lowest byte
// first. `size` is c·h·w, `plane` h·w; `table` [c, 256] is the value of each byte in each channel (normalisation
// included).
//
// One thread per word of every lane: it reads one word and writes four numbers. The sixteen lanes of a place are
// neighbours, so writes are whole sectors. A block of 256 threads reads 64 contiguous bytes of each image.
extern "C" __global__ void lanes_from_bytes(In<unsigned> images, In<unsigned> chosen, In<float> table,
                                            Out<activation> map, unsigned n, unsigned size, unsigned words,
                                            unsigned plane) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= words * 16) return;
    const unsigned lane = i % 16, word = i / 16, group = blockIdx.y, image = group * 16 + lane;
    const unsigned bytes = image < n ? images[chosen[image] * words + word] : 0;
    for (unsigned k = 0; k < 4; ++k) {
        const unsigned place = word * 4 + k;
        if (place >= size) return;
        const unsigned value = bytes >> (8 * k) & 255;
        const float x = image < n ? table[place / plane * 256 + value] : 0.0f;
        map[(group * size + place) * 16 + lane] = to_activation(x);
    }
}

// The labels of the chosen images; one thread per image.
extern "C" __global__ void lanes_chosen_labels(In<unsigned> labels, In<unsigned> chosen, Out<unsigned> to,
                                               unsigned n) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) to[i] = labels[chosen[i]];
}

// Writes a map as images, with the pending normalisation applied; one thread per number. `plane` is h·w.
extern "C" __global__ void lanes_to_images(In<activation> map, In<float> affine, unsigned has_affine,
                                             Out<float> images, unsigned c, unsigned plane) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x, size = c * plane;
    if (i >= size) return;
    const unsigned image = blockIdx.y, channel = i / plane;
    const float x = to_float(map[(image / 16 * size + i) * 16 + image % 16]);
    images[image * size + i] = has_affine ? fmaf(x, affine[channel], affine[c + channel]) : x;
}

// One thread per number.
extern "C" __global__ void copy_numbers(In<float> from, Out<float> to, unsigned len) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < len) to[i] = from[i];
}

// Transposes [rows, columns] to [columns, rows]; one thread per number of the result.
extern "C" __global__ void transpose_numbers(In<float> from, Out<float> to, unsigned rows, unsigned columns) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < rows * columns) to[i] = from[i % rows * columns + i / rows];
}

// One thread per number.
extern "C" __global__ void add_numbers(In<float> from, InOut<float> to, unsigned len) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < len) to[i] = to[i] + from[i];
}
