//! Random, stratified assignment of images to splits. No pixels.

use enas_rng::Seed;

use super::contents::ContentDivision;
use crate::source::item::{Item, Part};

/// Shares of a class for the validation and the test split.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fractions {
    pub(crate) valid: f64,
    pub(crate) test: f64,
}

/// Assigns a part to every image, by its folders or at random; `contents` are those of the items.
pub(crate) fn assign_splits(
    items: &mut [Item],
    contents: &[u64],
    n_classes: usize,
    drawn: &[Part],
    fractions: Fractions,
    seed: Seed,
) {
    let share = |part, fraction| if drawn.contains(&part) { fraction } else { 0.0 };
    let valid = share(Part::Valid, fractions.valid);
    let fractions = Fractions { valid, test: share(Part::Test, fractions.test) };
    if valid > 0.0 || fractions.test > 0.0 {
        // A part that has to be taken out of the training images is drawn among all of those.
        items.iter_mut().filter(|i| i.part == Some(Part::Train)).for_each(|i| i.part = None);
    }
    stratify(items, contents, n_classes, fractions, seed);
}

/// Stratified split: assigns a part to every item without one, with the same class proportions in every part.
///
/// A class of three or more images has at least one in every requested part; a smaller class is used for training
/// only. The choice within a class depends on the seed, the index of the class and its images. Items of equal content
/// get the same part, as far as a class has enough different ones.
pub(crate) fn stratify(
    items: &mut [Item],
    contents: &[u64],
    n_classes: usize,
    fractions: Fractions,
    seed: Seed,
) {
    let mut by_class = vec![Vec::new(); n_classes];
    for (i, item) in items.iter().enumerate().filter(|(_, item)| item.part.is_none()) {
        by_class[item.class].push(i);
    }
    let mut division = ContentDivision::default();
    for (class, mut members) in by_class.into_iter().enumerate() {
        seed.stream("split", &[class as u64]).shuffle(&mut members);
        let (valid, test) = counts(members.len(), fractions);
        let of_members: Vec<u64> = members.iter().map(|member| contents[*member]).collect();
        let shares = division.divide(&of_members, &[valid, test]);
        for (member, share) in members.into_iter().zip(shares) {
            items[member].part = Some([Part::Valid, Part::Test, Part::Train][share]);
        }
    }
}

/// Numbers of images that a random division takes from the `n` images of one class, for validation and test. A share of
/// 0 takes none.
pub fn held_out(n: usize, valid: f64, test: f64) -> (usize, usize) {
    counts(n, Fractions { valid, test })
}

/// Numbers of images, of `n`, for validation and test.
fn counts(n: usize, fractions: Fractions) -> (usize, usize) {
    let wanted = |fraction: f64| match fraction {
        0.0 => 0,
        f => ((n as f64 * f).round() as usize).max(1),
    };
    let mut valid = wanted(fractions.valid);
    let mut test = wanted(fractions.test);
    let parts = 1 + usize::from(valid > 0) + usize::from(test > 0);
    if n < parts {
        return (0, 0);
    }
    // Rounding up both could leave no training image.
    while valid + test >= n {
        *if valid >= test { &mut valid } else { &mut test } -= 1;
    }
    (valid, test)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unassigned(sizes: &[usize]) -> Vec<Item> {
        let classes = sizes.iter().enumerate().flat_map(|(class, &n)| std::iter::repeat_n(class, n));
        classes.enumerate().map(|(file, class)| Item { file, class, part: None }).collect()
    }

    fn count(items: &[Item], class: usize, part: Part) -> usize {
        items.iter().filter(|i| i.class == class && i.part == Some(part)).count()
    }

    /// Contents of which no two are equal.
    fn different(items: &[Item]) -> Vec<u64> {
        (0..items.len() as u64).collect()
    }

    const USUAL: Fractions = Fractions { valid: 0.1, test: 0.1 };

    #[test]
    fn tiny_classes_are_split_as_documented() {
        let table =
            [(0, (0, 0)), (1, (0, 0)), (2, (0, 0)), (3, (1, 1)), (10, (1, 1)), (15, (2, 2)), (100, (10, 10))];
        for (n, expected) in table {
            assert_eq!(counts(n, USUAL), expected, "{n} images");
        }
        assert_eq!(counts(2, Fractions { valid: 0.1, test: 0.0 }), (1, 0));
        assert_eq!(counts(3, Fractions { valid: 0.49, test: 0.5 }), (1, 1));
    }

    #[test]
    fn items_that_have_a_part_keep_it() {
        let mut items = unassigned(&[20]);
        items[3].part = Some(Part::Test);
        let contents = different(&items);
        stratify(&mut items, &contents, 1, Fractions { valid: 0.5, test: 0.0 }, Seed::new(1));
        assert_eq!((count(&items, 0, Part::Test), count(&items, 0, Part::Valid)), (1, 10));
        assert_eq!(items[3].part, Some(Part::Test));
    }

    #[test]
    fn copies_stay_together_and_the_parts_keep_their_sizes() {
        let mut items = unassigned(&[40, 40]);
        // Images 0 to 9 are five pairs, and image 50 of the second class is a copy of image 20 of the first.
        let contents: Vec<u64> = (0..80)
            .map(|i| {
                if i < 10 {
                    i / 2
                } else if i == 50 {
                    20
                } else {
                    i
                }
            })
            .collect();
        for seed in 0..50 {
            items.iter_mut().for_each(|item| item.part = None);
            stratify(&mut items, &contents, 2, USUAL, Seed::new(seed));
            assert!((0..5).all(|i| items[2 * i].part == items[2 * i + 1].part), "seed {seed}");
            assert_eq!(items[20].part, items[50].part, "seed {seed}");
            for part in [Part::Valid, Part::Test] {
                assert!((3..=5).contains(&count(&items, 0, part)), "seed {seed}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_image_is_in_exactly_one_part_and_parts_have_the_class_proportions(
            sizes in proptest::collection::vec(0usize..60, 1..6),
            valid in 0.01f64..0.45, test in 0.01f64..0.45, seed in any::<u64>(),
        ) {
            let mut items = unassigned(&sizes);
            let contents = different(&items);
            stratify(&mut items, &contents, sizes.len(), Fractions { valid, test }, Seed::new(seed));
            for (class, &n) in sizes.iter().enumerate() {
                let v = count(&items, class, Part::Valid);
                let t = count(&items, class, Part::Test);
                prop_assert_eq!(count(&items, class, Part::Train) + v + t, n);
                if n >= 3 {
                    prop_assert!((v as f64 - n as f64 * valid).abs() <= 1.0, "{} of {}", v, n);
                    prop_assert!((t as f64 - n as f64 * test).abs() <= 1.0, "{} of {}", t, n);
                    prop_assert!(v >= 1 && t >= 1 && v + t < n);
                }
            }
        }

        #[test]
        fn the_same_seed_splits_alike_and_another_differently(seed in 0u64..1000) {
            let split = |s| {
                let mut items = unassigned(&[40, 40]);
                let contents = different(&items);
                stratify(&mut items, &contents, 2, USUAL, Seed::new(s));
                items
            };
            prop_assert_eq!(split(seed), split(seed));
            prop_assert_ne!(split(seed), split(seed + 1));
        }
    }
}
