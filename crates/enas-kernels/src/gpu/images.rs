//! A data set that stays on the device: bytes and labels, from which kernels assemble batches.

use crate::gpu::buffer::Buffer;
use crate::gpu::device::Error;
use crate::gpu::memory::Gpu;

/// Bytes of a word of an image.
const WORD: usize = 4;
/// Least number of bytes of one copy to the device.
const PIECE: usize = 1 << 20;

/// Labelled images `[n, c, h, w]` of one byte per number, on a device.
#[derive(Clone, Debug)]
pub struct GpuImages {
    /// Every image in whole words, so that an image begins at a word.
    bytes: Buffer,
    labels: Buffer,
    /// The value of each byte in each channel, `[c, 256]`.
    table: Buffer,
    n: usize,
    shape: (usize, usize, usize),
}

/// Some of the images, in a given order. See [`GpuImages::choose`].
#[derive(Clone, Debug)]
pub struct SelectedImages<'a> {
    pub(crate) of: &'a GpuImages,
    pub(crate) at: Buffer,
    pub(crate) n: usize,
}

impl SelectedImages<'_> {
    /// The first `n` of them, or all if they are fewer.
    #[must_use]
    pub fn first(&self, n: usize) -> Self {
        Self { n: n.min(self.n), ..self.clone() }
    }
}

impl GpuImages {
    /// Bytes on the device that `n` images of shape `(c, h, w)` and their labels take, without the table. `None` if
    /// kernels, which count words in 32 bits, could not address them all.
    pub fn bytes(n: usize, (c, h, w): (usize, usize, usize)) -> Option<usize> {
        let words = n.checked_mul((c * h * w).div_ceil(WORD))?;
        u32::try_from(words).is_ok().then_some((words + n) * WORD)
    }

    /// Copies images, `[c, h, w]` each, to the device. `shape` is `(c, h, w)`. `table` is the value of each byte in
    /// each channel: with the host's tables, batches equal those of the host to the bit.
    ///
    /// # Errors
    /// If they do not fit into the device's memory, or what the device reports.
    ///
    /// # Panics
    /// If an image has another size than the shape says, there is not one label per image or one table per channel, or
    /// [`bytes`](Self::bytes) is `None`.
    pub fn upload<'a>(
        gpu: &Gpu,
        shape: (usize, usize, usize),
        images: impl Iterator<Item = &'a [u8]>,
        labels: &[u32],
        table: &[[f32; 256]],
    ) -> Result<Self, Error> {
        let ((c, h, w), n) = (shape, labels.len());
        assert!(Self::bytes(n, shape).is_some(), "kernels count words in 32 bits");
        assert_eq!(table.len(), c, "one table per channel");
        let size = c * h * w;
        let words = (c * h * w).div_ceil(WORD);
        let bytes = gpu.buffer(n * words);
        let mut piece = Vec::with_capacity(PIECE + WORD * words);
        let mut sent = 0;
        let mut count = 0;
        for image in images {
            assert_eq!(image.len(), size, "an image of {c}x{h}x{w}");
            piece.extend_from_slice(image);
            count += 1;
            piece.resize((count * words - sent) * WORD, 0);
            if piece.len() >= PIECE {
                bytes.upload_bytes(sent, &piece);
                sent = count * words;
                piece.clear();
            }
        }
        assert_eq!(count, n, "one label per image");
        bytes.upload_bytes(sent, &piece);
        let labels = gpu.upload_u32(labels);
        let table = gpu.upload(table.as_flattened());
        gpu.finish()?;
        Ok(Self { bytes, labels, table, n, shape })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.n
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// `(c, h, w)`.
    pub fn shape(&self) -> (usize, usize, usize) {
        self.shape
    }

    /// The device they are on.
    pub fn gpu(&self) -> &Gpu {
        self.bytes.gpu()
    }

    /// The images at these positions; `None` if a position is out of range.
    pub fn choose(&self, indices: &[usize]) -> Option<SelectedImages<'_>> {
        // Positions of images fit 32 bits, as each has at least one word.
        let narrow = |&i: &usize| (i < self.n).then_some(i as u32);
        let at: Vec<u32> = indices.iter().map(narrow).collect::<Option<_>>()?;
        Some(SelectedImages { of: self, at: self.gpu().upload_u32(&at), n: at.len() })
    }

    /// Words of an image.
    pub(crate) fn words(&self) -> usize {
        let (c, h, w) = self.shape;
        (c * h * w).div_ceil(WORD)
    }

    /// The bytes, the table and the labels.
    pub(crate) fn buffers(&self) -> (&Buffer, &Buffer, &Buffer) {
        (&self.bytes, &self.table, &self.labels)
    }
}
