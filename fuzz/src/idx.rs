//! The IDX files of MNIST, plain or gzipped.

use enas_datasets::formats::{label_idx, read_idx};

use crate::place;

/// A byte for the number of dimensions, then the file. Images are combined with as many labels as the file declares.
pub fn idx(data: &[u8]) {
    let Some((&rank, file)) = data.split_first() else { return };
    let path = place::file("idx", file);
    let rank = rank % 4;
    let Ok(idx) = read_idx(&path, rank) else { return };
    assert_eq!(idx.dims.len(), usize::from(rank));
    assert_eq!(idx.dims.iter().product::<usize>(), idx.data.len());
    if rank == 3 && idx.dims[0] <= 1000 {
        let labels = [&[0, 0, 8, 1], &(idx.dims[0] as u32).to_be_bytes()[..], &vec![9; idx.dims[0]]].concat();
        let labels = read_idx(&place::file("labels", &labels), 1).expect("it is whole");
        if let Ok(images) = label_idx(idx, labels, "images", "labels") {
            let last = images.labels.len() - 1;
            images.png(last).expect("pixels are there for every label");
        }
    }
}
