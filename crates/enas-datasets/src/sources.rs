//! The published data sets: addresses, file names and checksums.
//!
//! Every digest is SHA-256. The digests of archives are those in the downloaders of the large frameworks; the home
//! pages of CIFAR-10 and Fashion-MNIST publish MD5 only. A `payload` digest is that of the decompressed file, so that
//! a recompressed copy is recognised.

/// A published data set.
pub(crate) struct DataSetSource {
    /// Its name on the command line and of its folder.
    pub(crate) name: &'static str,
    /// Folder names by label; their byte order is the order of the labels.
    pub(crate) classes: [&'static str; 10],
    /// The format of its files.
    pub(crate) format: Format,
    /// Base URLs, ending in `/`, that are tried in order.
    pub(crate) mirrors: &'static [&'static str],
    /// One `valid` image of each class per this many training images of all classes: 60,000 / 120 = 500 per class.
    pub(crate) train_per_valid: usize,
    /// The folder of the original files in a package of the operating system.
    pub(crate) installed: Option<&'static str>,
}

/// The format of the original files.
#[derive(Clone, Copy)]
pub(crate) enum Format {
    /// Four IDX files: training images, training labels, test images, test labels.
    Idx([PublishedFile; 4]),
    /// One archive in two forms; the first one is downloaded.
    Cifar10 {
        /// Records of fixed length.
        binary: PublishedFile,
        /// Pickled dictionaries.
        python: PublishedFile,
    },
}

/// One original file.
#[derive(Clone, Copy)]
pub(crate) struct PublishedFile {
    /// Its name, as downloaded.
    pub(crate) name: &'static str,
    /// SHA-256 of the file, as downloaded.
    pub(crate) sha256: &'static str,
    /// SHA-256 of the decompressed content; `None` for archives, which are verified as a whole.
    pub(crate) payload_sha256: Option<&'static str>,
}

const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

/// MNIST (LeCun, Cortes, Burges): 60,000 and 10,000 grey images, 28×28.
pub(crate) const MNIST: DataSetSource = DataSetSource {
    name: "mnist",
    classes: DIGITS,
    format: Format::Idx([
        PublishedFile {
            name: "train-images-idx3-ubyte.gz",
            sha256: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            payload_sha256: Some("ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
        },
        PublishedFile {
            name: "train-labels-idx1-ubyte.gz",
            sha256: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            payload_sha256: Some("65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
        },
        PublishedFile {
            name: "t10k-images-idx3-ubyte.gz",
            sha256: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            payload_sha256: Some("0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
        },
        PublishedFile {
            name: "t10k-labels-idx1-ubyte.gz",
            sha256: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            payload_sha256: Some("ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
        },
    ]),
    mirrors: &[
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
    ],
    train_per_valid: 120,
    installed: None,
};

/// Fashion-MNIST (Zalando Research): the format of MNIST, with articles of clothing.
pub(crate) const FASHION_MNIST: DataSetSource = DataSetSource {
    name: "fashion-mnist",
    classes: enas_data::fashion_small::CLASSES,
    format: Format::Idx([
        PublishedFile {
            name: "train-images-idx3-ubyte.gz",
            sha256: "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            payload_sha256: Some("c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
        },
        PublishedFile {
            name: "train-labels-idx1-ubyte.gz",
            sha256: "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            payload_sha256: Some("bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
        },
        PublishedFile {
            name: "t10k-images-idx3-ubyte.gz",
            sha256: "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            payload_sha256: Some("5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
        },
        PublishedFile {
            name: "t10k-labels-idx1-ubyte.gz",
            sha256: "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            payload_sha256: Some("0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
        },
    ]),
    mirrors: &[
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ],
    train_per_valid: 120,
    // The Debian package dataset-fashion-mnist holds the original images, recompressed.
    installed: Some("/usr/share/datasets/fashion-mnist"),
};

/// CIFAR-10 (Krizhevsky): 50,000 and 10,000 colour images, 32×32.
pub(crate) const CIFAR10: DataSetSource = DataSetSource {
    name: "cifar10",
    classes: [
        "0-airplane",
        "1-automobile",
        "2-bird",
        "3-cat",
        "4-deer",
        "5-dog",
        "6-frog",
        "7-horse",
        "8-ship",
        "9-truck",
    ],
    format: Format::Cifar10 {
        binary: PublishedFile {
            name: "cifar-10-binary.tar.gz",
            sha256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            payload_sha256: None,
        },
        python: PublishedFile {
            name: "cifar-10-python.tar.gz",
            sha256: "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
            payload_sha256: None,
        },
    },
    mirrors: &["https://www.cs.toronto.edu/~kriz/"],
    train_per_valid: 100,
    installed: None,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_order_of_class_folders_is_the_order_of_labels() {
        for set in [MNIST, FASHION_MNIST, CIFAR10] {
            assert!(set.classes.is_sorted(), "{}", set.name);
        }
    }

    #[test]
    fn every_digest_is_64_lower_case_hex_digits() {
        let of = |o: PublishedFile| [Some(o.sha256), o.payload_sha256].into_iter().flatten();
        let digests = [MNIST, FASHION_MNIST, CIFAR10].into_iter().flat_map(|set| match set.format {
            Format::Idx(files) => files.into_iter().flat_map(of).collect::<Vec<_>>(),
            Format::Cifar10 { binary, python } => of(binary).chain(of(python)).collect(),
        });
        for digest in digests {
            assert_eq!(digest.len(), 64);
            assert!(digest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{digest}");
        }
    }
}
