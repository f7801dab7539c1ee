//! Tensors of the reference: `f64`, channels last, as the golden files have them.

/// Numbers `[n, h, w, c]`, row-major.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub(crate) n: usize,
    pub(crate) h: usize,
    pub(crate) w: usize,
    pub(crate) c: usize,
    pub(crate) data: Vec<f64>,
}

impl Tensor {
    pub(crate) fn zeros(n: usize, h: usize, w: usize, c: usize) -> Self {
        Self { n, h, w, c, data: vec![0.0; n * h * w * c] }
    }

    /// A tensor of zeros with the same shape.
    pub(crate) fn zeros_like(&self) -> Self {
        Self::zeros(self.n, self.h, self.w, self.c)
    }

    /// Where the channels of one pixel begin.
    pub(crate) fn at(&self, n: usize, y: usize, x: usize) -> usize {
        ((n * self.h + y) * self.w + x) * self.c
    }

    /// Images times pixels.
    pub(crate) fn pixels(&self) -> usize {
        self.n * self.h * self.w
    }

    /// The root of the mean square of all numbers.
    pub(crate) fn rms(&self) -> f64 {
        (self.data.iter().map(|x| x * x).sum::<f64>() / self.data.len() as f64).sqrt()
    }
}

/// The windows of a convolution or a pool along one axis.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    k: usize,
    stride: usize,
    size: usize,
    before: usize,
    pub(crate) out: usize,
}

impl Windows {
    /// TensorFlow's `SAME` padding, its smaller half first.
    pub(crate) fn same(size: usize, k: usize, stride: usize) -> Self {
        let out = size.div_ceil(stride);
        let total = ((out - 1) * stride + k).saturating_sub(size);
        Self { k, stride, size, before: total / 2, out }
    }

    /// Without padding.
    pub(crate) fn valid(size: usize, k: usize, stride: usize) -> Self {
        Self { k, stride, size, before: 0, out: (size - k) / stride + 1 }
    }

    /// `(tap, position)` of every tap of window `o` that lies inside.
    pub(crate) fn taps(self, o: usize) -> impl Iterator<Item = (usize, usize)> + Clone {
        let Self { k, stride, size, before, .. } = self;
        (0..k).filter_map(move |tap| {
            let at = (o * stride + tap).checked_sub(before)?;
            (at < size).then_some((tap, at))
        })
    }
}
