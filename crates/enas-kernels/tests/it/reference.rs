//! Every operation once more, in double precision and in the plainest words: nested loops over `[n, c, h, w]`.
//!
//! Written from the formulas alone and sharing no code with the crate. Its own gradients are checked against
//! finite differences in `reference_gradients.rs`.

/// Numbers of shape `[n, c, h, w]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tensor {
    pub(crate) data: Vec<f64>,
    pub(crate) n: usize,
    pub(crate) c: usize,
    pub(crate) h: usize,
    pub(crate) w: usize,
}

impl Tensor {
    pub(crate) fn new(data: Vec<f64>, (n, c, h, w): (usize, usize, usize, usize)) -> Self {
        assert_eq!(data.len(), n * c * h * w);
        Self { data, n, c, h, w }
    }

    pub(crate) fn of(data: &[f32], shape: (usize, usize, usize, usize)) -> Self {
        Self::new(doubles(data), shape)
    }

    pub(crate) fn zeros(n: usize, c: usize, h: usize, w: usize) -> Self {
        Self::new(vec![0.0; n * c * h * w], (n, c, h, w))
    }

    pub(crate) fn shape(&self) -> (usize, usize, usize, usize) {
        (self.n, self.c, self.h, self.w)
    }

    fn index(&self, n: usize, c: usize, y: usize, x: usize) -> usize {
        ((n * self.c + c) * self.h + y) * self.w + x
    }

    pub(crate) fn at(&self, n: usize, c: usize, y: usize, x: usize) -> f64 {
        self.data[self.index(n, c, y, x)]
    }

    pub(crate) fn at_mut(&mut self, n: usize, c: usize, y: usize, x: usize) -> &mut f64 {
        let i = self.index(n, c, y, x);
        &mut self.data[i]
    }

    /// The same with every number replaced by `f(channel, number)`.
    pub(crate) fn map(&self, f: impl Fn(usize, f64) -> f64) -> Self {
        let plane = self.h * self.w;
        let data = self.data.iter().enumerate().map(|(i, v)| f(i / plane % self.c, *v)).collect();
        Self::new(data, self.shape())
    }

    /// `f` of corresponding numbers of two tensors.
    pub(crate) fn zip(&self, other: &Self, f: impl Fn(f64, f64) -> f64) -> Self {
        assert_eq!(self.shape(), other.shape());
        let data = self.data.iter().zip(&other.data).map(|(a, b)| f(*a, *b)).collect();
        Self::new(data, self.shape())
    }

    pub(crate) fn abs(&self) -> Self {
        self.map(|_, v| v.abs())
    }

    pub(crate) fn dot(&self, other: &Self) -> f64 {
        assert_eq!(self.shape(), other.shape());
        self.data.iter().zip(&other.data).map(|(a, b)| a * b).sum()
    }
}

pub(crate) fn doubles(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v)).collect()
}

/// The channels of all tensors, one after another.
pub(crate) fn concat(parts: &[Tensor]) -> Tensor {
    let channels = parts.iter().map(|p| p.c).sum();
    let mut out = Tensor::zeros(parts[0].n, channels, parts[0].h, parts[0].w);
    let mut first = 0;
    for part in parts {
        for n in 0..part.n {
            for c in 0..part.c {
                for y in 0..part.h {
                    for x in 0..part.w {
                        *out.at_mut(n, first + c, y, x) = part.at(n, c, y, x);
                    }
                }
            }
        }
        first += part.c;
    }
    out
}

/// Channels `first..first + count`.
pub(crate) fn channels(from: &Tensor, first: usize, count: usize) -> Tensor {
    let mut out = Tensor::zeros(from.n, count, from.h, from.w);
    for n in 0..from.n {
        for c in 0..count {
            for y in 0..from.h {
                for x in 0..from.w {
                    *out.at_mut(n, c, y, x) = from.at(n, first + c, y, x);
                }
            }
        }
    }
    out
}

pub(crate) fn relu(x: &Tensor) -> Tensor {
    x.map(|_, v| if v > 0.0 { v } else { 0.0 })
}

/// The gradient of [`relu`]; none at zero.
pub(crate) fn relu_backward(x: &Tensor, g: &Tensor) -> Tensor {
    x.zip(g, |x, g| if x > 0.0 { g } else { 0.0 })
}

/// Windows along one axis.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    pub(crate) k: usize,
    pub(crate) stride: usize,
    pub(crate) before: usize,
    pub(crate) count: usize,
}

/// TensorFlow's SAME: `⌈size/stride⌉` windows, the odd pixel of padding behind.
pub(crate) fn same(size: usize, k: usize, stride: usize) -> Windows {
    let count = size.div_ceil(stride);
    let needed = (count - 1) * stride + k;
    let padding = needed.max(size) - size;
    Windows { k, stride, before: padding / 2, count }
}

/// TensorFlow's VALID: `⌈(size − k + 1)/stride⌉` windows.
pub(crate) fn valid(size: usize, k: usize, stride: usize) -> Windows {
    Windows { k, stride, before: 0, count: (size + 1 - k).div_ceil(stride) }
}

impl Windows {
    /// The pixel under tap `tap` of window `o`, if there is one.
    fn pixel(&self, o: usize, tap: usize, size: usize) -> Option<usize> {
        let p = (o * self.stride + tap) as isize - self.before as isize;
        (p >= 0 && p < size as isize).then_some(p as usize)
    }
}

/// Calls `f(n, oy, ox, i, j, y, x)` for every image, window and tap that lies on a pixel.
fn for_each_tap(
    t: &Tensor,
    (wy, wx): (Windows, Windows),
    mut f: impl FnMut(usize, usize, usize, usize, usize, usize, usize),
) {
    for n in 0..t.n {
        for oy in 0..wy.count {
            for ox in 0..wx.count {
                for i in 0..wy.k {
                    for j in 0..wx.k {
                        if let (Some(y), Some(x)) = (wy.pixel(oy, i, t.h), wx.pixel(ox, j, t.w)) {
                            f(n, oy, ox, i, j, y, x);
                        }
                    }
                }
            }
        }
    }
}

fn square(t: &Tensor, k: usize, stride: usize) -> (Windows, Windows) {
    (same(t.h, k, stride), same(t.w, k, stride))
}

/// Dense convolution with SAME padding; `w` is `[k, k, c, outputs]`.
pub(crate) fn conv(t: &Tensor, w: &[f64], k: usize, outputs: usize) -> Tensor {
    let windows = square(t, k, 1);
    let mut out = Tensor::zeros(t.n, outputs, windows.0.count, windows.1.count);
    for_each_tap(t, windows, |n, oy, ox, i, j, y, x| {
        for c in 0..t.c {
            for o in 0..outputs {
                *out.at_mut(n, o, oy, ox) += t.at(n, c, y, x) * w[((i * k + j) * t.c + c) * outputs + o];
            }
        }
    });
    out
}

/// Gradients of [`conv`]: of the input and of `w`.
pub(crate) fn conv_backward(t: &Tensor, w: &[f64], k: usize, g: &Tensor) -> (Tensor, Vec<f64>) {
    let mut gt = Tensor::zeros(t.n, t.c, t.h, t.w);
    let mut gw = vec![0.0; w.len()];
    for_each_tap(t, square(t, k, 1), |n, oy, ox, i, j, y, x| {
        for c in 0..t.c {
            for o in 0..g.c {
                let at = ((i * k + j) * t.c + c) * g.c + o;
                *gt.at_mut(n, c, y, x) += g.at(n, o, oy, ox) * w[at];
                gw[at] += g.at(n, o, oy, ox) * t.at(n, c, y, x);
            }
        }
    });
    (gt, gw)
}

/// Depthwise convolution with SAME padding; `w` is `[k, k, c]`.
pub(crate) fn depthwise(t: &Tensor, w: &[f64], k: usize, stride: usize) -> Tensor {
    let windows = square(t, k, stride);
    let mut out = Tensor::zeros(t.n, t.c, windows.0.count, windows.1.count);
    for_each_tap(t, windows, |n, oy, ox, i, j, y, x| {
        for c in 0..t.c {
            *out.at_mut(n, c, oy, ox) += t.at(n, c, y, x) * w[(i * k + j) * t.c + c];
        }
    });
    out
}

/// Gradients of [`depthwise`]: of the input and of `w`.
pub(crate) fn depthwise_backward(
    t: &Tensor,
    w: &[f64],
    k: usize,
    stride: usize,
    g: &Tensor,
) -> (Tensor, Vec<f64>) {
    let mut gt = Tensor::zeros(t.n, t.c, t.h, t.w);
    let mut gw = vec![0.0; w.len()];
    for_each_tap(t, square(t, k, stride), |n, oy, ox, i, j, y, x| {
        for c in 0..t.c {
            let at = (i * k + j) * t.c + c;
            *gt.at_mut(n, c, y, x) += g.at(n, c, oy, ox) * w[at];
            gw[at] += g.at(n, c, oy, ox) * t.at(n, c, y, x);
        }
    });
    (gt, gw)
}

/// Pixels `offset, offset + 2, …` of both axes, zero past the edge.
pub(crate) fn every_second(t: &Tensor, offset: usize) -> Tensor {
    let mut out = Tensor::zeros(t.n, t.c, t.h.div_ceil(2), t.w.div_ceil(2));
    for n in 0..t.n {
        for c in 0..t.c {
            for y in (offset..t.h).step_by(2) {
                for x in (offset..t.w).step_by(2) {
                    *out.at_mut(n, c, y / 2, x / 2) = t.at(n, c, y, x);
                }
            }
        }
    }
    out
}

/// The gradient of [`every_second`], for an input like `t`.
pub(crate) fn every_second_backward(t: &Tensor, offset: usize, g: &Tensor) -> Tensor {
    let mut out = Tensor::zeros(t.n, t.c, t.h, t.w);
    for n in 0..t.n {
        for c in 0..t.c {
            for y in (offset..t.h).step_by(2) {
                for x in (offset..t.w).step_by(2) {
                    *out.at_mut(n, c, y, x) = g.at(n, c, y / 2, x / 2);
                }
            }
        }
    }
    out
}

/// Means of the real pixels of each window.
pub(crate) fn average_pool(t: &Tensor, windows: (Windows, Windows)) -> Tensor {
    let counts = pixels_per_window(t, windows);
    let mut out = Tensor::zeros(t.n, t.c, windows.0.count, windows.1.count);
    for_each_tap(t, windows, |n, oy, ox, _, _, y, x| {
        for c in 0..t.c {
            *out.at_mut(n, c, oy, ox) += t.at(n, c, y, x) / counts.at(0, 0, oy, ox);
        }
    });
    out
}

pub(crate) fn average_pool_backward(t: &Tensor, windows: (Windows, Windows), g: &Tensor) -> Tensor {
    let counts = pixels_per_window(t, windows);
    let mut out = Tensor::zeros(t.n, t.c, t.h, t.w);
    for_each_tap(t, windows, |n, oy, ox, _, _, y, x| {
        for c in 0..t.c {
            *out.at_mut(n, c, y, x) += g.at(n, c, oy, ox) / counts.at(0, 0, oy, ox);
        }
    });
    out
}

fn pixels_per_window(t: &Tensor, windows: (Windows, Windows)) -> Tensor {
    let mut counts = Tensor::zeros(1, 1, windows.0.count, windows.1.count);
    let one = Tensor::zeros(1, 1, t.h, t.w);
    for_each_tap(&one, windows, |_, oy, ox, _, _, _, _| *counts.at_mut(0, 0, oy, ox) += 1.0);
    counts
}

/// The largest real pixel of each window.
pub(crate) fn max_pool(t: &Tensor, windows: (Windows, Windows)) -> Tensor {
    let mut out = Tensor::zeros(t.n, t.c, windows.0.count, windows.1.count).map(|_, _| f64::NEG_INFINITY);
    for_each_tap(t, windows, |n, oy, ox, _, _, y, x| {
        for c in 0..t.c {
            let best = out.at_mut(n, c, oy, ox);
            *best = best.max(t.at(n, c, y, x));
        }
    });
    out
}

/// The gradient of [`max_pool`]: all of a window's goes to its first maximum in row order.
pub(crate) fn max_pool_backward(t: &Tensor, windows: (Windows, Windows), g: &Tensor) -> Tensor {
    let best = max_pool(t, windows);
    let mut given = Tensor::zeros(g.n, g.c, g.h, g.w);
    let mut out = Tensor::zeros(t.n, t.c, t.h, t.w);
    for_each_tap(t, windows, |n, oy, ox, _, _, y, x| {
        for c in 0..t.c {
            if t.at(n, c, y, x) == best.at(n, c, oy, ox) && given.at(n, c, oy, ox) == 0.0 {
                *given.at_mut(n, c, oy, ox) = 1.0;
                *out.at_mut(n, c, y, x) += g.at(n, c, oy, ox);
            }
        }
    });
    out
}

/// `1.001e-5`, what TensorFlow makes of `1e-5`.
pub(crate) const EPSILON: f64 = 1.001e-5;

/// Mean and biased variance per channel.
pub(crate) fn stats(z: &Tensor) -> (Vec<f64>, Vec<f64>) {
    let count = (z.n * z.h * z.w) as f64;
    let mean: Vec<f64> = per_channel(z).iter().map(|v| v.iter().sum::<f64>() / count).collect();
    let variance = per_channel(z)
        .iter()
        .zip(&mean)
        .map(|(v, m)| v.iter().map(|v| (v - m).powi(2)).sum::<f64>() / count)
        .collect();
    (mean, variance)
}

/// The numbers of every channel.
pub(crate) fn per_channel(z: &Tensor) -> Vec<Vec<f64>> {
    let mut out = vec![Vec::new(); z.c];
    let plane = z.h * z.w;
    for (i, values) in z.data.chunks_exact(plane).enumerate() {
        out[i % z.c].extend_from_slice(values);
    }
    out
}

pub(crate) fn batch_norm(z: &Tensor, gamma: &[f64], beta: &[f64]) -> Tensor {
    let (mean, variance) = stats(z);
    z.map(|c, v| gamma[c] * (v - mean[c]) / (variance[c] + EPSILON).sqrt() + beta[c])
}

/// Gradients of [`batch_norm`]: of `z`, `gamma` and `beta`, through mean and variance.
pub(crate) fn batch_norm_backward(z: &Tensor, gamma: &[f64], g: &Tensor) -> (Tensor, Vec<f64>, Vec<f64>) {
    let count = (z.n * z.h * z.w) as f64;
    let (mean, variance) = stats(z);
    let root: Vec<f64> = variance.iter().map(|v| (v + EPSILON).sqrt()).collect();
    let normal = z.map(|c, v| (v - mean[c]) / root[c]);
    let beta_gradient: Vec<f64> = per_channel(g).iter().map(|g| g.iter().sum()).collect();
    let gamma_gradient: Vec<f64> =
        per_channel(&normal.zip(g, |x, g| x * g)).iter().map(|p| p.iter().sum()).collect();
    let centred = g.map(|c, g| g - beta_gradient[c] / count);
    let sloped = normal.map(|c, x| x * gamma_gradient[c] / count);
    let gz = centred.zip(&sloped, |a, b| a - b).map(|c, v| gamma[c] / root[c] * v);
    (gz, gamma_gradient, beta_gradient)
}

/// Means over pixels, `[n, c]`.
pub(crate) fn mean(t: &Tensor) -> Vec<f64> {
    let plane = t.h * t.w;
    t.data.chunks_exact(plane).map(|p| p.iter().sum::<f64>() / plane as f64).collect()
}

/// The gradient of [`mean`], for an input like `t`.
pub(crate) fn mean_backward(t: &Tensor, g: &[f64]) -> Tensor {
    let plane = t.h * t.w;
    Tensor::new((0..t.data.len()).map(|i| g[i / plane] / plane as f64).collect(), t.shape())
}

/// What one branch of a conv block does to its (rectified, concatenated) input.
#[derive(Clone, Debug)]
pub(crate) enum Layer {
    /// 1×1 convolution.
    Pointwise,
    /// [`every_second`] before a 1×1 convolution.
    EverySecond(usize),
    /// [`depthwise`] before a 1×1 convolution.
    Separable { filter: Vec<f64>, k: usize, stride: usize },
    /// [`conv`] with k×k taps.
    Dense(usize),
}

impl Layer {
    pub(crate) fn forward(&self, t: &Tensor, w: &[f64], outputs: usize) -> Tensor {
        match self {
            Layer::Pointwise => conv(t, w, 1, outputs),
            Layer::EverySecond(offset) => conv(&every_second(t, *offset), w, 1, outputs),
            Layer::Separable { filter, k, stride } => conv(&depthwise(t, filter, *k, *stride), w, 1, outputs),
            Layer::Dense(k) => conv(t, w, *k, outputs),
        }
    }

    /// Gradients of the input, of `w` and of the filters (empty without).
    pub(crate) fn backward(&self, t: &Tensor, w: &[f64], g: &Tensor) -> (Tensor, Vec<f64>, Vec<f64>) {
        match self {
            Layer::Pointwise => {
                let (gt, gw) = conv_backward(t, w, 1, g);
                (gt, gw, Vec::new())
            }
            Layer::EverySecond(offset) => {
                let (gt, gw) = conv_backward(&every_second(t, *offset), w, 1, g);
                (every_second_backward(t, *offset, &gt), gw, Vec::new())
            }
            Layer::Separable { filter, k, stride } => {
                let (inner, gw) = conv_backward(&depthwise(t, filter, *k, *stride), w, 1, g);
                let (gt, gf) = depthwise_backward(t, filter, *k, *stride, &inner);
                (gt, gw, gf)
            }
            Layer::Dense(k) => {
                let (gt, gw) = conv_backward(t, w, *k, g);
                (gt, gw, Vec::new())
            }
        }
    }

    /// The same layer with positive filters: with positive input and weights it bounds every sum's terms.
    pub(crate) fn abs(&self) -> Self {
        match self {
            Layer::Separable { filter, k, stride } => {
                Layer::Separable { filter: filter.iter().map(|f| f.abs()).collect(), k: *k, stride: *stride }
            }
            other => other.clone(),
        }
    }
}
