//! Lossless compression of many small grey images of one size; a fifth smaller than PNG files.
//!
//! Method, for every pixel in row order:
//!
//! 1. Code whether the pixel is 0 (background), with its neighbours and its place as context.
//! 2. If not, predict it by the median edge detector of LOCO-I (Weinberger, Seroussi and Sapiro, 2000), zigzag-code
//!    the difference, and code its bits one by one, with the roughness of the neighbourhood as context.
//! 3. Every binary decision goes to an adaptive binary arithmetic coder (carry-less range coder) with its context's
//!    probability.
//!
//! All arithmetic is in integers, so the same bytes give the same pixels on every machine.

/// The probability of a yes, in units of 1/65536.
type Probability = u16;

/// Adaptation rate: a decision moves a probability by the share `2^-SPEED` towards it.
const SPEED: u32 = 6;
/// Number of roughness levels. Each has two contexts: with and without an adjacent background pixel.
const ROUGHNESS: usize = 16;

/// Compresses images `[n, side, side]`.
pub fn encode(images: &[u8], side: usize) -> Vec<u8> {
    let mut encoder = Encoder { low: 0, high: u32::MAX, bytes: Vec::new() };
    // The encoder writes the pixels back unchanged.
    code(&mut encoder, &mut images.to_vec(), side);
    encoder.bytes.extend(encoder.low.to_be_bytes());
    encoder.bytes
}

/// Decompresses the output of [`encode`] to images `[n, side, side]`. Other bytes give arbitrary images.
pub(crate) fn decode(bytes: &[u8], n: usize, side: usize) -> Vec<u8> {
    let mut decoder = Decoder { low: 0, high: u32::MAX, at: 0, bytes: bytes.iter() };
    (0..4).for_each(|_| decoder.take_byte());
    let mut images = vec![0; n * side * side];
    code(&mut decoder, &mut images, side);
    images
}

/// One direction of the coder.
trait Coder {
    /// Codes a decision and adapts its probability. The decoder ignores `yes` and returns the decoded decision.
    fn code_bit(&mut self, p: &mut Probability, yes: bool) -> bool;
}

/// Both directions: the encoder reads the images, the decoder writes them.
fn code(coder: &mut impl Coder, images: &mut [u8], side: usize) {
    const EVEN: Probability = 1 << 15;
    // Indexed by the pattern of background neighbours and by the place.
    let mut is_zero = vec![EVEN; 1 << 12];
    // Indexed by roughness, then by the bits coded before, with a leading 1 (a binary tree).
    let mut bits = vec![[EVEN; 256]; 2 * ROUGHNESS];
    for image in images.chunks_exact_mut((side * side).max(1)) {
        for (y, x) in (0..side).flat_map(|y| (0..side).map(move |x| (y, x))) {
            let neighbours = Neighbours::new(image, side, (y, x));
            let at = y * side + x;
            if coder.code_bit(&mut is_zero[neighbours.background_context(side, (y, x))], image[at] == 0) {
                image[at] = 0;
                continue;
            }
            let prediction = neighbours.prediction();
            let difference = zigzag(image[at].wrapping_sub(prediction));
            let bits = &mut bits[neighbours.gradient_context()];
            let mut seen = 1;
            for bit in (0..8).rev() {
                let yes = coder.code_bit(&mut bits[seen], difference >> bit & 1 == 1);
                seen = 2 * seen + usize::from(yes);
            }
            image[at] = prediction.wrapping_add(unzigzag((seen & 0xff) as u8));
        }
    }
}

/// The neighbours of a pixel that precede it; 0 outside the image.
struct Neighbours {
    left: i32,
    left2: i32,
    above: i32,
    above2: i32,
    above_left: i32,
    above_right: i32,
}

impl Neighbours {
    fn new(image: &[u8], side: usize, (y, x): (usize, usize)) -> Self {
        let pixel =
            |up: usize, left: usize, right: usize| match (y.checked_sub(up), (x + right).checked_sub(left)) {
                (Some(y), Some(x)) if x < side => image[y * side + x].into(),
                _ => 0,
            };
        Self {
            left: pixel(0, 1, 0),
            left2: pixel(0, 2, 0),
            above: pixel(1, 0, 0),
            above2: pixel(2, 0, 0),
            above_left: pixel(1, 1, 0),
            above_right: pixel(1, 0, 1),
        }
    }

    /// The context of the background decision: which neighbours are background, and the place (mirror-symmetric).
    fn background_context(&self, side: usize, (y, x): (usize, usize)) -> usize {
        let Self { left, left2, above, above2, above_left, above_right } = *self;
        let zeros =
            [left, above, above_left, above_right, left2, above2].map(|pixel| usize::from(pixel == 0));
        let pattern = zeros.iter().enumerate().map(|(i, zero)| zero << i).sum::<usize>();
        // The distance to the nearer side in steps of two pixels, and the row in steps of four.
        let place = x.min(side - 1 - x) / 2 % 8 + y / 4 % 8 * 8;
        pattern + place * 64
    }

    /// The median of left, above and left + above - above-left: the LOCO-I predictor.
    fn prediction(&self) -> u8 {
        let low = self.left.min(self.above);
        let high = self.left.max(self.above);
        (self.left + self.above - self.above_left).clamp(low, high) as u8
    }

    /// The context of a difference: the neighbours' gradients on a logarithmic scale, and whether one is background.
    fn gradient_context(&self) -> usize {
        let Self { left, left2, above, above_left, above_right, .. } = *self;
        let mut sum = (left - above_left).abs()
            + (above - above_left).abs()
            + (above - above_right).abs()
            + (left - left2).abs();
        let mut step = 0;
        while sum > 0 && step < ROUGHNESS - 1 {
            // Every level covers 1.6 times the range of the level before.
            sum = sum * 10 / 16;
            step += 1;
        }
        2 * step + usize::from(left == 0 || above == 0)
    }
}

/// Zigzag code of a difference modulo 256: 0, 255, 1, 254, … become 0, 1, 2, 3, …
fn zigzag(difference: u8) -> u8 {
    if difference < 128 { 2 * difference } else { 2 * (255 - difference) + 1 }
}

fn unzigzag(zigzag: u8) -> u8 {
    if zigzag.is_multiple_of(2) { zigzag / 2 } else { 255 - zigzag / 2 }
}

/// The arithmetic encoder: every decision narrows the interval `low..=high`.
struct Encoder {
    low: u32,
    high: u32,
    bytes: Vec<u8>,
}

struct Decoder<'a> {
    low: u32,
    high: u32,
    /// The 32 bits of code that are compared with the interval.
    at: u32,
    bytes: std::slice::Iter<'a, u8>,
}

impl Decoder<'_> {
    /// Shifts in the next byte; zeros after the end.
    fn take_byte(&mut self) {
        self.at = self.at << 8 | u32::from(self.bytes.next().copied().unwrap_or(0));
    }
}

impl Coder for Encoder {
    fn code_bit(&mut self, p: &mut Probability, yes: bool) -> bool {
        narrow(&mut self.low, &mut self.high, p, |_| yes, |byte| self.bytes.push(byte))
    }
}

impl Coder for Decoder<'_> {
    fn code_bit(&mut self, p: &mut Probability, _: bool) -> bool {
        let at = self.at;
        let mut low = self.low;
        let mut high = self.high;
        let yes = narrow(&mut low, &mut high, p, |end| at <= end, |_| self.take_byte());
        (self.low, self.high) = (low, high);
        yes
    }
}

/// Splits `low..=high` in proportion to `p`, keeps the part of the decision, and adapts `p`. `is_yes` gets the end of
/// the part for a yes. `known` gets each leading byte once both ends agree on it.
fn narrow(
    low: &mut u32,
    high: &mut u32,
    p: &mut Probability,
    is_yes: impl FnOnce(u32) -> bool,
    mut known: impl FnMut(u8),
) -> bool {
    let end = *low + ((u64::from(*high - *low) * u64::from(*p)) >> 16) as u32;
    let yes = is_yes(end);
    if yes {
        *high = end;
        *p += (u16::MAX - *p) >> SPEED;
    } else {
        *low = end + 1;
        *p -= *p >> SPEED;
    }
    while (*low ^ *high) >> 24 == 0 {
        known((*high >> 24) as u8);
        *low <<= 8;
        *high = *high << 8 | 0xff;
    }
    yes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn differences_fold_and_unfold() {
        assert!((0..=255).all(|difference| unzigzag(zigzag(difference)) == difference));
        assert_eq!([0, 255, 1, 254, 2].map(zigzag), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn smooth_images_take_little() {
        let images: Vec<u8> = (0..50 * 256).map(|i| (i % 16 * 8 + i / 16 % 16 * 7) as u8).collect();
        let bytes = encode(&images, 16);
        assert!(bytes.len() < images.len() / 10, "{} bytes", bytes.len());
        assert_eq!(decode(&bytes, 50, 16), images);
    }

    #[test]
    fn no_image_is_no_trouble() {
        assert_eq!(decode(&encode(&[], 4), 0, 4), Vec::<u8>::new());
        assert_eq!(decode(&[], 1, 1).len(), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn all_images_come_back(side in 1usize..9, n in 0usize..6, seed: u64, zeros in 0u64..8) {
            let mut state = seed;
            let images: Vec<u8> = (0..n * side * side).map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                if state >> 40 & 7 < zeros { 0 } else { (state >> 56) as u8 }
            }).collect();
            prop_assert_eq!(decode(&encode(&images, side), n, side), images);
        }

        #[test]
        fn any_bytes_are_some_images(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(decode(&bytes, 3, 7).len(), 3 * 49);
        }
    }
}
