//! The runs that are watched, by the names they are asked for with, and what pages about them show now.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc as SyncArc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use askama::Template;
use enas_search::Record;
use tokio::sync::watch;

use crate::error::{Error, Result};
use crate::find::{self, Found, RUNS};
use crate::follow::Followed;
use crate::page::{List, Named, Overview, RunPage, overview_parts, run_parts};
use crate::parts::Parts;

/// How long one run may be read in one go, so that the others are not kept waiting.
const READING: Duration = Duration::from_millis(300);
/// How long the first sight of a page may take.
const FIRST_SIGHT: Duration = Duration::from_secs(2);

/// Reports are a few megabytes; what is much larger is none.
const LARGEST_REPORT: u64 = 64 << 20;

/// All runs at or below a folder.
#[derive(Debug)]
pub(crate) struct Library {
    root: PathBuf,
    /// Whether `root` is itself a run.
    single: bool,
    runs: RwLock<BTreeMap<String, SyncArc<Entry>>>,
    /// What the folder says that no run does.
    notes: Mutex<Vec<String>>,
    overview: watch::Sender<SyncArc<Parts>>,
}

/// A run.
#[derive(Debug)]
struct Entry {
    found: Found,
    slug: String,
    automatic: Option<String>,
    run: Mutex<Followed>,
    page: watch::Sender<SyncArc<Parts>>,
}

/// What a page shows, as it changes.
pub(crate) type Feed = watch::Receiver<SyncArc<Parts>>;

impl Library {
    /// The runs of a folder, which may still be empty or missing if `may_come`.
    pub(crate) fn open(root: &Path, may_come: bool) -> Result<Self> {
        if !root.is_dir() && !may_come {
            return Err(Error::NoFolder { path: root.to_owned() });
        }
        // `.` has no name to call a run by.
        let root = if root.file_name().is_some() { root.to_owned() } else { root.canonicalize()? };
        let library = Self {
            single: find::is_run(&root),
            root,
            runs: RwLock::default(),
            notes: Mutex::default(),
            overview: watch::Sender::new(SyncArc::default()),
        };
        // The runs there are now can be asked for at once.
        library.look();
        Ok(library)
    }

    /// Looks for new runs, reads what is new in all, and tells open pages.
    pub(crate) fn refresh(&self) -> Result<()> {
        self.look();
        for entry in self.entries() {
            // Also without news: a run that says nothing becomes quiet.
            let mut run = held(&entry.run);
            run.catch_up(READING);
            if entry.page.receiver_count() > 0 {
                run.want();
                entry.show(&run)?;
            }
        }
        if self.overview.receiver_count() > 0 {
            publish(&self.overview, self.overview_now()?);
        }
        Ok(())
    }

    /// The page of all runs; for a single run, the way to its page.
    pub(crate) fn overview(&self) -> Result<Result<String, String>> {
        if self.single
            && let Some(entry) = self.entries().first()
        {
            return Ok(Err(format!("/run/{}", entry.slug)));
        }
        self.refresh()?;
        publish(&self.overview, self.overview_now()?);
        let parts = SyncArc::clone(&self.overview.borrow());
        let folder = self.root.to_string_lossy();
        Ok(Ok(Overview { folder: &folder, parts: &parts }.render()?))
    }

    /// The page of a run, or `None` if there is none with this name.
    pub(crate) fn page(&self, slug: &str) -> Result<Option<String>> {
        let Some(entry) = self.entry(slug) else { return Ok(None) };
        let mut run = held(&entry.run);
        run.want();
        run.catch_up(FIRST_SIGHT);
        let parts = entry.show(&run)?;
        Ok(Some(RunPage::new(&run, &entry.found.name, &entry.slug, !self.single, &parts).render()?))
    }

    /// The report of a run, or `None` if there is no such run or it has none.
    pub(crate) fn report(&self, slug: &str) -> Option<Vec<u8>> {
        let path = held(&self.entry(slug)?.run).report_path();
        let file = fs::metadata(&path).ok()?;
        (file.is_file() && file.len() <= LARGEST_REPORT).then(|| fs::read(path).ok())?
    }

    /// What the overview shows from now on.
    pub(crate) fn overview_feed(&self) -> Feed {
        self.overview.subscribe()
    }

    /// What a run's page shows from now on.
    pub(crate) fn feed(&self, slug: &str) -> Option<Feed> {
        // The next look at the runs sees that somebody waits; nothing here may wait for one that is being read.
        Some(self.entry(slug)?.page.subscribe())
    }

    fn overview_now(&self) -> Result<Parts> {
        let mut list = List::default();
        for entry in self.entries() {
            let run = held(&entry.run);
            if !run.gone {
                let Entry { found: Found { name, .. }, slug, automatic, .. } = &*entry;
                list.add(&Named { name, slug, automatic: automatic.as_deref(), run: &run });
            }
        }
        overview_parts(list, held(&self.notes).clone())
    }

    fn entry(&self, slug: &str) -> Option<SyncArc<Entry>> {
        self.runs.read().unwrap_or_else(PoisonError::into_inner).get(slug).map(SyncArc::clone)
    }

    fn entries(&self) -> Vec<SyncArc<Entry>> {
        self.runs.read().unwrap_or_else(PoisonError::into_inner).values().map(SyncArc::clone).collect()
    }

    /// Takes in runs that are new and notes which are gone.
    fn look(&self) {
        let (found, more) = find::runs(&self.root);
        let mut notes = Vec::new();
        if more {
            notes.push(format!("There are more runs than the {RUNS} shown; watch a folder with fewer."));
        }
        let mut new: BTreeSet<Found> = found.into_iter().collect();
        for entry in self.entries() {
            let mut run = held(&entry.run);
            let present = new.contains(&entry.found);
            // One that comes back may be another run of the same name: it is opened anew.
            if present && !run.gone {
                new.remove(&entry.found);
            }
            run.gone = !present;
        }
        for found in new {
            match Record::open(&found.dir) {
                Ok(record) => self.take_in(found, Followed::new(record)),
                Err(e) => notes.push(format!("{e}.")),
            }
        }
        *held(&self.notes) = notes;
    }

    fn take_in(&self, found: Found, run: Followed) {
        let slug = found.slug();
        let outer = found.name.rsplit_once('/').map(|(outer, _)| outer.to_owned());
        let automatic = outer.filter(|_| found.dir.parent().is_some_and(find::is_automatic));
        let mut runs = self.runs.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = runs.get(&slug) {
            // Another run in the place of one that is gone: open pages go on with it.
            *held(&entry.run) = run;
            return;
        }
        let (run, page) = (Mutex::new(run), watch::Sender::new(SyncArc::default()));
        runs.insert(slug.clone(), SyncArc::new(Entry { found, slug, automatic, run, page }));
        // Those that are gone give way when there are too many.
        if runs.len() > 2 * RUNS {
            runs.retain(|_, entry| !held(&entry.run).gone);
        }
    }
}

impl Entry {
    /// Brings the page up to date and returns what it shows.
    fn show(&self, run: &Followed) -> Result<SyncArc<Parts>> {
        publish(&self.page, run_parts(run, &self.found.name, &self.slug)?);
        Ok(SyncArc::clone(&self.page.borrow()))
    }
}

fn publish(page: &watch::Sender<SyncArc<Parts>>, parts: Parts) {
    page.send_if_modified(|shown| {
        let changes = **shown != parts;
        if changes {
            *shown = SyncArc::new(parts);
        }
        changes
    });
}

/// A lock whose data is whole at any time: it is read from files again and again.
fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
