//! The data sets by name.

use enas_data::{DIGITS, FASHION_SMALL};

use crate::sources::{CIFAR10, DataSetSource, FASHION_MNIST, MNIST};

/// A data set that this crate can provide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataSet {
    /// 8×8 handwritten digits (UCI); built in.
    Digits,
    /// 28×28 handwritten digits (LeCun, Cortes and Burges).
    Mnist,
    /// 28×28 articles of clothing (Xiao, Rasul and Vollgraf, 2017).
    FashionMnist,
    /// 6,000 images of Fashion-MNIST; built in.
    FashionSmall,
    /// 32×32 colour images of ten classes (Krizhevsky, 2009).
    Cifar10,
}

impl DataSet {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Digits, Self::Mnist, Self::FashionMnist, Self::FashionSmall, Self::Cifar10];

    /// The data set of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|data_set| data_set.name() == name)
    }

    /// Its name, which is also the name of its folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::Digits => DIGITS,
            Self::Mnist => MNIST.name,
            Self::FashionMnist => FASHION_MNIST.name,
            Self::FashionSmall => FASHION_SMALL,
            Self::Cifar10 => CIFAR10.name,
        }
    }

    /// A short description.
    pub fn about(self) -> &'static str {
        match self {
            Self::Digits => "8×8 handwritten digits that come with the program",
            Self::Mnist => "28×28 handwritten digits",
            Self::FashionMnist => "28×28 articles of clothing",
            Self::FashionSmall => "6,000 of these that come with the program",
            Self::Cifar10 => "32×32 colour images of ten kinds of things",
        }
    }

    /// Whether its images are part of the program.
    pub fn is_built_in(self) -> bool {
        self.published().is_none()
    }

    /// Its published files; `None` if it is built in.
    pub(crate) fn published(self) -> Option<&'static DataSetSource> {
        match self {
            Self::Digits | Self::FashionSmall => None,
            Self::Mnist => Some(&MNIST),
            Self::FashionMnist => Some(&FASHION_MNIST),
            Self::Cifar10 => Some(&CIFAR10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_data_set_has_a_name_of_its_own() {
        for data_set in DataSet::ALL {
            assert_eq!(DataSet::named(data_set.name()), Some(data_set));
        }
        assert_eq!(DataSet::named("imagenet"), None);
    }
}
