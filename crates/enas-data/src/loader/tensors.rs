//! Batches as candle tensors.

use candle_core::{Device, Result, Tensor};

use crate::ImageBatch;

impl ImageBatch {
    /// Images `[n, c, h, w]` of F32 and labels `[n]` of U32.
    ///
    /// On the CPU the values are moved, not copied. If images are mixed in pairs, take [`mix`](Self::mix) out first:
    /// the labels here are those of the first images only.
    ///
    /// ```
    /// use candle_core::Device;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let data = enas_data::digits()?;
    /// let batch = data.valid.ordered(16)?.next().expect("the split is not empty")?;
    /// let (images, labels) = batch.into_tensors(&Device::Cpu)?;
    /// assert_eq!((images.dims(), labels.dims()), (&[16, 1, 8, 8][..], &[16][..]));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the device has no memory left, or the number of images or labels was changed.
    pub fn into_tensors(self, device: &Device) -> Result<(Tensor, Tensor)> {
        let n = self.labels.len();
        let [channels, height, width] = self.shape;
        let images = Tensor::from_vec(self.images, (n, channels, height, width), device)?;
        Ok((images, Tensor::from_vec(self.labels, n, device)?))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{CpuStorage, DType, Storage, WithDType};

    use super::*;
    use crate::{Config, LoadOptions, Seed};

    fn batch() -> ImageBatch {
        let config = Config { path: "fashion-small".into(), image_size: 12, ..Config::default() };
        let data = crate::load(&config, &LoadOptions::new(Seed::new(3))).unwrap();
        data.train.draw(&[0], 5).unwrap()
    }

    fn start_of<T: WithDType>(tensor: &Tensor) -> *const T {
        let (storage, layout) = tensor.storage_and_layout();
        assert_eq!(layout.start_offset(), 0);
        match &*storage {
            Storage::Cpu(cpu) => CpuStorage::as_slice::<T>(cpu).unwrap().as_ptr(),
            _ => panic!("the tensor is on the CPU"),
        }
    }

    #[test]
    fn tensors_hold_the_numbers_of_the_batch_where_they_were() {
        let batch = batch();
        let images = batch.images.clone();
        let labels = batch.labels.clone();
        let starts = (batch.images.as_ptr(), batch.labels.as_ptr());
        let [c, h, w] = batch.shape;
        let (x, y) = batch.into_tensors(&Device::Cpu).unwrap();
        assert_eq!((x.dims(), x.dtype()), (&[5, c, h, w][..], DType::F32));
        assert_eq!((y.dims(), y.dtype()), (&[5][..], DType::U32));
        assert_eq!(x.flatten_all().unwrap().to_vec1::<f32>().unwrap(), images);
        assert_eq!(y.to_vec1::<u32>().unwrap(), labels);
        assert_eq!((start_of::<f32>(&x), start_of::<u32>(&y)), starts, "moved, not copied");
    }

    #[test]
    fn a_batch_with_missing_numbers_is_refused() {
        let mut batch = batch();
        batch.images.pop();
        assert!(batch.into_tensors(&Device::Cpu).is_err());
    }
}
