//! SIGKILL on `cargo xtask fetch-data --from` while it unpacks: the data set is complete or absent, and the command run
//! again makes the one that an undisturbed command makes. So it does after a disk was full.
#![forbid(unsafe_code)]
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "in helpers of tests, too, a failed unwrap is a failed test")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use enas_testing::kills::{self, KillCounts};
#[cfg(target_os = "linux")]
use enas_testing::namespace;
use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// Training images of the small data sets; a quarter as many test images.
const IMAGES: usize = 600;

#[test]
fn unpacking_compressed_originals_that_is_killed_can_be_repeated() {
    let from = temp();
    write_originals(from.path());
    Story { name: "unpacking of compressed originals", from: from.path() }.tell(4, 3);
}

#[test]
fn unpacking_zips_that_is_killed_can_be_repeated() {
    let from = temp();
    write_zips(from.path());
    Story { name: "unpacking of zip archives", from: from.path() }.tell(4, 3);
}

#[cfg(target_os = "linux")]
#[test]
fn unpacking_goes_on_after_the_disk_was_full() {
    if !namespace::is_own("unpacking_goes_on_after_the_disk_was_full") {
        return;
    }
    let from = temp();
    let undisturbed = temp();
    write_originals(from.path());
    let story = Story { name: "unpacking on full disks", from: from.path() };
    let whole = story.complete(undisturbed.path(), "undisturbed");
    // Every file takes whole pages of 4 KiB.
    let needed: u64 = whole.values().map(|content| (content.len() as u64).next_multiple_of(4096)).sum();
    let mut tally = KillCounts::new(story.name);
    for eighth in [0, 1, 4, 7] {
        let dest = temp();
        let disk = namespace::Disk::on(dest.path(), (needed * eighth / 8).next_multiple_of(4096).max(4096));
        let output = story.command(dest.path()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{eighth}/8 of {needed} bytes: {stderr}");
        assert_eq!(stderr.matches("error: ").count(), 1, "{stderr}");
        assert!(stderr.contains("No space left on device") && stderr.contains("mnist"), "{stderr}");
        disk.remount("size=64m");
        story.check(dest.path(), &whole, &format!("{eighth}/8 of {needed} bytes"), &mut tally);
    }
}

/// A source of a data set.
struct Story<'a> {
    name: &'static str,
    from: &'a Path,
}

impl Story<'_> {
    /// Kills the command `at_random` times at any moment, and `inside` times after some of the images.
    fn tell(&self, at_random: usize, inside: usize) {
        let dest = temp();
        let began = Instant::now();
        let whole = self.complete(dest.path(), "undisturbed");
        let time = began.elapsed();
        let mut tally = KillCounts::new(self.name);
        for share in kills::moments(self.name, at_random) {
            let mut dest = temp();
            let mut delay = time.mul_f64(share);
            while !tally.hit(kills::after(&mut self.command(dest.path()), delay)) {
                dest = temp();
                delay = delay.mul_f64(0.8);
            }
            self.check(dest.path(), &whole, &format!("after {delay:?} of {time:?}"), &mut tally);
        }
        let mut chance = kills::chance("unpacked so far");
        while tally.kills < at_random + inside {
            let dest = temp();
            let wanted = chance.below(IMAGES / 12);
            let class = dest.path().join(".mnist.partial/train/3");
            let unpacked = || fs::read_dir(&class).is_ok_and(|class| class.count() >= wanted);
            tally.hit(kills::when(&mut self.command(dest.path()), unpacked));
            self.check(dest.path(), &whole, &format!("with {wanted} pictures of a class"), &mut tally);
            assert!(tally.late < 50, "{tally:?}: unpacked too fast to be hit");
        }
    }

    /// What a killed command left is no data set or a complete one, and the next command completes it.
    fn check(&self, dest: &Path, whole: &BTreeMap<PathBuf, Vec<u8>>, moment: &str, tally: &mut KillCounts) {
        let case = tally.case(moment);
        let target = dest.join("mnist");
        assert!(!target.exists() || &tree(&target) == whole, "{case}: a torn data set");
        let again = self.complete(dest, &case);
        assert!(&again == whole, "{case}: another data set than without the kill");
        tally.bytes += again.values().map(|content| content.len() as u64).sum::<u64>();
        let left: Vec<_> = fs::read_dir(dest).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(!left.iter().any(|name| name == ".mnist.partial"), "{case}: left behind: {left:?}");
    }

    /// Lets the command end, and reads what it made.
    fn complete(&self, dest: &Path, case: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let output = self.command(dest).output().unwrap();
        assert!(output.status.success(), "{case}: {}", String::from_utf8_lossy(&output.stderr));
        tree(&dest.join("mnist"))
    }

    fn command(&self, dest: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(["fetch-data", "mnist", "--from"]).arg(self.from).arg("--dest").arg(dest);
        command
    }
}

/// Every file below a folder.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap);
    entries
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| (entry.path().strip_prefix(folder).unwrap().to_owned(), fs::read(entry.path()).unwrap()))
        .collect()
}

/// The four files of MNIST, with other images.
fn write_originals(folder: &Path) {
    for (split, n) in [("train", IMAGES), ("t10k", IMAGES / 4)] {
        let pixels: Vec<u8> = (0..n * 28 * 28).map(|i| (i * i / 7) as u8).collect();
        let labels: Vec<u8> = (0..n).map(|i| (i % 10) as u8).collect();
        write_idx(&folder.join(format!("{split}-images-idx3-ubyte.gz")), &[n, 28, 28], &pixels);
        write_idx(&folder.join(format!("{split}-labels-idx1-ubyte.gz")), &[n], &labels);
    }
}

/// Two zero bytes, the type (8 for bytes), the number of axes, their lengths, the values; compressed.
fn write_idx(path: &Path, shape: &[usize], values: &[u8]) {
    let mut file = GzEncoder::new(File::create(path).unwrap(), Compression::fast());
    file.write_all(&[0, 0, 8, shape.len() as u8]).unwrap();
    shape.iter().for_each(|&n| file.write_all(&(n as u32).to_be_bytes()).unwrap());
    file.write_all(values).unwrap();
    file.finish().unwrap();
}

/// The same as class folders in zip archives. What is in the images does not matter here.
fn write_zips(folder: &Path) {
    for (split, n) in [("train", IMAGES), ("test", IMAGES / 4)] {
        let mut zip = ZipWriter::new(File::create(folder.join(format!("{split}.zip"))).unwrap());
        for i in 0..n {
            zip.start_file(format!("{}/{i:05}.png", i % 10), SimpleFileOptions::default()).unwrap();
            zip.write_all(format!("picture {i} of {split}").repeat(40).as_bytes()).unwrap();
        }
        zip.finish().unwrap();
    }
}

/// A temporary folder on a real disk.
fn temp() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}
