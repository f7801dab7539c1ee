// Average and maximum pooling of maps in the blocked layout, forwards and backwards.
//
// Method outline:
// 1. One thread handles four of the sixteen images of one pixel: of the output forwards, of the input backwards.
// 2. Forwards it reduces the pixels of its window.
// 3. Backwards it works in gather form: it sums the gradients of the windows that hold its pixel. So no atomics are
//    needed.
// 4. Backwards through a maximum, a thread must know which windows its pixel won. It compares the pixel with the
//    neighbours again; storing the winners would cost another map.
// 5. Neighbouring windows share pixels through the caches, so each map moves once between memory and chip.
// 6. Windows of 3×3 have kernels of their own, whose loops the compiler unrolls.
#include "quad.cuh"

namespace {

// Windows along one axis, as `Axis` of geometry.rs.
struct Axis {
    unsigned size, k, stride, before, out;
};

struct Range {
    unsigned first, end;
};

// The range of real pixels of window `o`.
__device__ __forceinline__ Range pixels(Axis axis, unsigned o) {
    const unsigned start = o * axis.stride;
    return {max(start, axis.before) - axis.before, min(start + axis.k, axis.size + axis.before) - axis.before};
}

// The range of windows that hold `pixel`, at most `k`.
__device__ __forceinline__ Range windows(Axis axis, unsigned pixel) {
    const unsigned at = pixel + axis.before, end = min(at / axis.stride + 1, axis.out);
    return {at < axis.k ? 0 : (at - axis.k) / axis.stride + 1, end};
}

// One over the number of real pixels of window `o`. Most windows are full: if `k` is a constant, so is the quotient.
__device__ __forceinline__ float share(Axis axis, unsigned o) {
    const Range in = pixels(axis, o);
    const unsigned count = in.end - in.first;
    return count == axis.k ? 1.0f / static_cast<float>(axis.k) : 1.0f / static_cast<float>(count);
}

// The windows of a pool. `K` is their size along both axes, or 0 if it is only known at run time.
template <unsigned K> struct Windows {
    Axis y, x;

    __device__ __forceinline__ unsigned rows() const { return K ? K : y.k; }
    __device__ __forceinline__ unsigned columns() const { return K ? K : x.k; }
};

template <unsigned K>
__device__ __forceinline__ Windows<K> windows_of(unsigned h, unsigned w, unsigned ky, unsigned kx, unsigned sy,
                                                 unsigned sx, unsigned py, unsigned px, unsigned oh, unsigned ow) {
    return {{h, K ? K : ky, sy, py, oh}, {w, K ? K : kx, sx, px, ow}};
}

// The work of a thread: the `i`-th quad of a group of images with planes of `h` by `w` pixels.
struct Place {
    unsigned channel, y, x, quad;
};

__device__ __forceinline__ Place place_of(unsigned i, unsigned h, unsigned w) {
    // Differences instead of remainders: two divisions suffice.
    const unsigned pixel = i / 4, row = pixel / w, channel = row / h;
    return {channel, row - channel * h, pixel - row * w, i % 4 * 4};
}

// A plane of a map as its readers see it (normalised), from one quad of images on.
struct Plane {
    In<activation> x;
    unsigned first, w;
    Affine affine;

    __device__ __forceinline__ float4 at(unsigned row, unsigned column) const {
        return normalised4(x, first + (row * w + column) * 16, affine);
    }
};

template <unsigned K, bool MAXIMUM>
__device__ __forceinline__ void forward(In<activation> x, In<float> affine, unsigned has_affine, Out<activation> out,
                                        unsigned c, Windows<K> pool, unsigned relu) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x, size = c * pool.y.out * pool.x.out * 4;
    if (i >= size) return;
    const Place place = place_of(i, pool.y.out, pool.x.out);
    const unsigned first = (blockIdx.y * c + place.channel) * pool.y.size * pool.x.size * 16 + place.quad;
    const Plane plane = {x, first, pool.x.size, affine_of(affine, has_affine, place.channel, c)};
    // The ReLU as a lower bound: 0 with it, −∞ without.
    const float4 floor = quad(relu ? 0.0f : -INFINITY);
    const Range rows = pixels(pool.y, place.y), columns = pixels(pool.x, place.x);
    float4 result = quad(MAXIMUM ? -INFINITY : 0.0f);
#pragma unroll
    for (unsigned r = 0; r < pool.rows(); ++r) {
#pragma unroll
        for (unsigned s = 0; s < pool.columns(); ++s) {
            // The loops have the full extent, so that they unroll; the window may be cut off by the border.
            if (rows.first + r >= rows.end || columns.first + s >= columns.end) continue;
            const float4 value = larger4(floor, plane.at(rows.first + r, columns.first + s));
            result = MAXIMUM ? larger4(result, value) : result + value;
        }
    }
    if (!MAXIMUM) result = result * quad(share(pool.y, place.y) * share(pool.x, place.x));
    store4(out, (blockIdx.y * size + i) * 4, to_activation4(result));
}

template <unsigned K>
__device__ __forceinline__ void average_backward(In<activation> x, In<float> affine, unsigned has_affine,
                                                 In<activation> grad, InOut<activation> to, unsigned c,
                                                 Windows<K> pool, unsigned relu, unsigned accumulate) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x, size = c * pool.y.size * pool.x.size * 4;
    if (i >= size) return;
    const Place place = place_of(i, pool.y.size, pool.x.size);
    const unsigned grads = (blockIdx.y * c + place.channel) * pool.y.out * pool.x.out * 16 + place.quad;
    const Range rows = windows(pool.y, place.y), columns = windows(pool.x, place.x);
    float4 sum = quad(0.0f);
#pragma unroll
    for (unsigned r = 0; r < pool.rows(); ++r) {
        const unsigned oy = rows.first + r;
        if (oy >= rows.end) continue;
        const float row_share = share(pool.y, oy);
#pragma unroll
        for (unsigned s = 0; s < pool.columns(); ++s) {
            const unsigned ox = columns.first + s;
            if (ox >= columns.end) continue;
            const float4 g = to_float4(load4(grad, grads + (oy * pool.x.out + ox) * 16));
            sum = fma4(g, quad(row_share * share(pool.x, ox)), sum);
        }
    }
    const unsigned at = (blockIdx.y * size + i) * 4;
    if (relu) sum = where_positive(normalised4(x, at, affine_of(affine, has_affine, place.channel, c)), sum);
    put4(to, at, sum, accumulate);
}

// Bit mask over four images: bit b is set if `other` takes a window's gradient from `mine` in image b. The first
// maximum wins, so an equal number takes it if it comes `earlier`.
__device__ __forceinline__ unsigned beaten(float4 mine, float4 other, bool earlier) {
    const auto beats = [earlier](float m, float o) { return earlier ? o >= m : o > m; };
    return beats(mine.x, other.x) | beats(mine.y, other.y) << 1 | beats(mine.z, other.z) << 2 |
           beats(mine.w, other.w) << 3;
}

__device__ __forceinline__ float4 unless(unsigned beaten, float4 x) {
    return make_float4(beaten & 1 ? 0.0f : x.x, beaten & 2 ? 0.0f : x.y, beaten & 4 ? 0.0f : x.z,
                       beaten & 8 ? 0.0f : x.w);
}

// The sum of the gradients that pixel (y, x) of value `mine` wins from its windows; `g` holds the windows' gradients.
__device__ __forceinline__ float4 won(Axis ys, Axis xs, Plane plane, Plane g, unsigned y, unsigned x, float4 mine) {
    const Range oys = windows(ys, y), oxs = windows(xs, x);
    float4 sum = quad(0.0f);
    for (unsigned oy = oys.first; oy < oys.end; ++oy) {
        for (unsigned ox = oxs.first; ox < oxs.end; ++ox) {
            const Range rows = pixels(ys, oy), columns = pixels(xs, ox);
            unsigned lost = 0;
            // Not unrolled: the masks of all steps would not fit into registers.
#pragma unroll 1
            for (unsigned r = rows.first; r < rows.end; ++r) {
#pragma unroll 1
                for (unsigned s = columns.first; s < columns.end; ++s) {
                    if (r == y && s == x) continue;
                    lost |= beaten(mine, plane.at(r, s), r < y || (r == y && s < x));
                }
            }
            sum = sum + unless(lost, g.at(oy, ox));
        }
    }
    return sum;
}

// The same for windows of 3×3: compares the pixel with each of its 24 neighbours once, although nine windows overlap.
//
// Bit 5·r + s of an image's mask says that the neighbour r − 2 rows down and s − 2 columns right takes all their common
// windows away from this pixel. A window is won if none of the nine bits under it is set.
__device__ __forceinline__ float4 won_of_three(Axis ys, Axis xs, Plane plane, Plane g, unsigned y, unsigned x,
                                               float4 mine) {
    // One mask for each of the four images.
    unsigned a = 0, b = 0, c = 0, d = 0;
#pragma unroll
    for (unsigned bit = 0; bit < 25; ++bit) {
        // Above and left of the first pixel the difference wraps around and exceeds every size.
        const unsigned row = y + bit / 5 - 2, column = x + bit % 5 - 2;
        if (bit == 12 || row >= ys.size || column >= xs.size) continue;
        const unsigned lost = beaten(mine, plane.at(row, column), bit < 12);
        a |= (lost & 1) << bit;
        b |= (lost >> 1 & 1) << bit;
        c |= (lost >> 2 & 1) << bit;
        d |= (lost >> 3 & 1) << bit;
    }
    const Range oys = windows(ys, y), oxs = windows(xs, x);
    float4 sum = quad(0.0f);
#pragma unroll
    for (unsigned r = 0; r < 3; ++r) {
#pragma unroll
        for (unsigned s = 0; s < 3; ++s) {
            const unsigned oy = oys.first + r, ox = oxs.first + s;
            if (oy >= oys.end || ox >= oxs.end) continue;
            // The window's first tap, counted from two pixels up and left of this one; padding has no bit set.
            const unsigned top = oy * ys.stride + 2 - (y + ys.before), left = ox * xs.stride + 2 - (x + xs.before);
            const unsigned nine = (7u | 7u << 5 | 7u << 10) << (top * 5 + left);
            const unsigned lost = (a & nine ? 1 : 0) | (b & nine ? 2 : 0) | (c & nine ? 4 : 0) | (d & nine ? 8 : 0);
            sum = sum + unless(lost, g.at(oy, ox));
        }
    }
    return sum;
}

template <unsigned K>
__device__ __forceinline__ void max_backward(In<activation> x, In<float> affine, unsigned has_affine,
                                             In<activation> grad, InOut<activation> to, unsigned c, Windows<K> pool,
                                             unsigned relu, unsigned accumulate) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x, size = c * pool.y.size * pool.x.size * 4;
    if (i >= size) return;
    const Place place = place_of(i, pool.y.size, pool.x.size);
    const unsigned channel = blockIdx.y * c + place.channel;
    const Plane plane = {x, channel * pool.y.size * pool.x.size * 16 + place.quad, pool.x.size,
                         affine_of(affine, has_affine, place.channel, c)};
    const Plane g = {grad, channel * pool.y.out * pool.x.out * 16 + place.quad, pool.x.out, {1.0f, 0.0f}};
    const float4 mine = plane.at(place.y, place.x);
    float4 sum = K == 3 ? won_of_three(pool.y, pool.x, plane, g, place.y, place.x, mine)
                        : won(pool.y, pool.x, plane, g, place.y, place.x, mine);
    // If the pixel is above zero, rectifying its neighbours changes no comparison; otherwise it receives nothing.
    if (relu) sum = where_positive(mine, sum);
    put4(to, (blockIdx.y * size + i) * 4, sum, accumulate);
}

}  // namespace

// Forwards: reads the map once, writes the pooled one. `c` channels of h·w pixels; windows of ky·kx with strides sy, sx
// and padding py, px: oh·ow of them.
#define FORWARD_PARAMETERS                                                                                           \
    In<activation> x, In<float> affine, unsigned has_affine, Out<activation> out, unsigned c, unsigned h, unsigned w, \
        unsigned ky, unsigned kx, unsigned sy, unsigned sx, unsigned py, unsigned px, unsigned oh, unsigned ow,      \
        unsigned relu
#define WINDOWS(K) windows_of<K>(h, w, ky, kx, sy, sx, py, px, oh, ow)

extern "C" __global__ void __launch_bounds__(256) pool_average_forward(FORWARD_PARAMETERS) {
    forward<0, false>(x, affine, has_affine, out, c, WINDOWS(0), relu);
}

extern "C" __global__ void __launch_bounds__(256) pool_average_forward_3(FORWARD_PARAMETERS) {
    forward<3, false>(x, affine, has_affine, out, c, WINDOWS(3), relu);
}

extern "C" __global__ void __launch_bounds__(256) pool_max_forward(FORWARD_PARAMETERS) {
    forward<0, true>(x, affine, has_affine, out, c, WINDOWS(0), relu);
}

extern "C" __global__ void __launch_bounds__(256) pool_max_forward_3(FORWARD_PARAMETERS) {
    forward<3, true>(x, affine, has_affine, out, c, WINDOWS(3), relu);
}

// Backwards: reads the gradient of the pooled map once. Reads the map once, unless it is an average without ReLU.
// Writes the gradient of the map, or adds to it.
#define BACKWARD_PARAMETERS                                                                                          \
    In<activation> x, In<float> affine, unsigned has_affine, In<activation> grad, InOut<activation> to, unsigned c,  \
        unsigned h, unsigned w, unsigned ky, unsigned kx, unsigned sy, unsigned sx, unsigned py, unsigned px,        \
        unsigned oh, unsigned ow, unsigned relu, unsigned accumulate

extern "C" __global__ void __launch_bounds__(256) pool_average_backward(BACKWARD_PARAMETERS) {
    average_backward<0>(x, affine, has_affine, grad, to, c, WINDOWS(0), relu, accumulate);
}

extern "C" __global__ void __launch_bounds__(256) pool_average_backward_3(BACKWARD_PARAMETERS) {
    average_backward<3>(x, affine, has_affine, grad, to, c, WINDOWS(3), relu, accumulate);
}

// Bounded to four blocks per multiprocessor: with more, the compiler spills registers.
extern "C" __global__ void __launch_bounds__(256, 4) pool_max_backward(BACKWARD_PARAMETERS) {
    max_backward<0>(x, affine, has_affine, grad, to, c, WINDOWS(0), relu, accumulate);
}

extern "C" __global__ void __launch_bounds__(256) pool_max_backward_3(BACKWARD_PARAMETERS) {
    max_backward<3>(x, affine, has_affine, grad, to, c, WINDOWS(3), relu, accumulate);
}
