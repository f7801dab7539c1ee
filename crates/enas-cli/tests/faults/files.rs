//! SIGKILL on commands that write one file: what lay there is old or new, never torn, and the command run again gives
//! what it would have given.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use enas_testing::kills::{self, KillCounts};

use crate::job::{Job, Whole, enas, succeed};
use crate::results::lasting;

#[cfg(feature = "export")]
#[test]
fn exports_that_are_killed_leave_the_old_file_or_the_new_one() {
    let trained = Whole::of(&Job::train());
    let args = ["export", "--model", "model.safetensors", "--out", "model.onnx", "--force"];
    Story { name: "exports", folder: trained.run(), args: &args, file: "model.onnx" }.tell(3, 3);
}

#[test]
fn reports_that_are_killed_leave_the_old_file_or_the_new_one() {
    let trained = Whole::of(&Job::train());
    let args = ["report", "--run", "."];
    Story { name: "reports", folder: trained.run(), args: &args, file: "report.html" }.tell(3, 3);
}

/// A command that writes a file.
struct Story<'a> {
    name: &'static str,
    folder: PathBuf,
    args: &'a [&'a str],
    file: &'a str,
}

impl Story<'_> {
    /// Kills it `at_random` times at any moment, and `inside` times while the file is written.
    fn tell(&self, at_random: usize, inside: usize) {
        let began = Instant::now();
        succeed(&mut self.command(), "undisturbed");
        let whole = self.content();
        let time = began.elapsed();
        let mut tally = KillCounts::new(self.name);

        for share in kills::moments(self.name, at_random) {
            let mut delay = time.mul_f64(share);
            self.put_an_old_one();
            while !tally.hit(kills::after(&mut self.command(), delay)) {
                self.put_an_old_one();
                delay = delay.mul_f64(0.8);
            }
            self.check(&whole, &format!("after {delay:?} of {time:?}"), &mut tally);
        }
        let part = self.folder.join(format!("{}.part", self.file));
        while tally.kills < at_random + inside {
            self.put_an_old_one();
            let end = kills::when(&mut self.command(), || part.exists());
            if part.exists() {
                tally.hit(end);
            } else {
                tally.late += 1;
            }
            self.check(&whole, "while the file was written", &mut tally);
            assert!(tally.late < 100, "{tally:?}: written too fast to be hit");
        }
    }

    /// What lies there is whole, and the command run again gives what it would have given.
    fn check(&self, whole: &[u8], moment: &str, tally: &mut KillCounts) {
        let case = tally.case(moment);
        let left = self.content();
        assert!(left == OLD || left == whole, "{case}: {} is torn", self.file);
        succeed(&mut self.command(), &case);
        let again = self.content();
        assert!(again == whole, "{case}: another {} than without the kill", self.file);
        assert!(!kills::is_being_written(&self.folder), "{case}: a .part was left behind");
        tally.bytes += again.len() as u64;
    }

    fn command(&self) -> Command {
        let mut command = enas(&self.folder);
        command.args(self.args);
        command
    }

    fn put_an_old_one(&self) {
        fs::write(self.path(), OLD).unwrap();
    }

    /// The file without times.
    fn content(&self) -> Vec<u8> {
        let bytes = fs::read(self.path()).unwrap();
        if bytes == OLD { bytes } else { lasting(self.file, &bytes) }
    }

    fn path(&self) -> PathBuf {
        self.folder.join(self.file)
    }
}

/// What lay there before.
const OLD: &[u8] = b"an older file";
