//! Random factors against the streams they are drawn from.

use enas_kernels::gpu;
use enas_rng::Seed;

use crate::in_all_orders;

#[test]
fn drop_factors_are_those_of_the_stream_to_the_bit() {
    for (i, len) in [1, 15, 16, 17, 2048, 5000].into_iter().enumerate() {
        for keep in [0.1, 0.5, 0.9, 1.0] {
            let seed = Seed::new(7);
            let position = [i as u64, 1 << 33];
            let key = seed.stream_key("dropout", &position);
            let got = in_all_orders("factors", |gpu| {
                vec![gpu::drop_factors(gpu, key, keep, len).download(0, len).expect("the kernel runs")]
            });
            let mut stream = seed.stream("dropout", &position);
            let want: Vec<f32> = (0..len).map(|_| (keep + stream.uniform()).floor() / keep).collect();
            assert_eq!(got[0], want, "{len} factors, keep {keep}");
        }
    }
}
