//! The followed runs by their URL names, and the present contents of their pages.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc as SyncArc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use askama::Template;
use enas_report::FILE_NAME;
use enas_report::runs::{self as find, Found, MOST_RUNS as RUNS};
use enas_run::RunReader;
use tokio::sync::watch;

use crate::error::{Error, Result};
use crate::follow::Followed;
use crate::page::{
    AutoStanding, List, Named, Outer, Overview, Phases, Row, RunPage, Shown, compared, overview_parts,
    run_parts, title,
};
use crate::parts::Parts;

/// Maximum time for reading one run per refresh, so that other runs do not wait.
const READING: Duration = Duration::from_millis(300);
/// Maximum time for reading a run before its page is shown for the first time.
const FIRST_SIGHT: Duration = Duration::from_secs(2);

/// Maximum size of a report in bytes. Real ones have a few megabytes.
const LARGEST_REPORT: u64 = 64 << 20;

/// All runs at or below a directory.
#[derive(Debug)]
pub(crate) struct RunCatalog {
    root: PathBuf,
    /// Whether `root` itself is a run directory.
    single: bool,
    runs: RwLock<BTreeMap<String, SyncArc<Entry>>>,
    /// Automatic runs with at least one phase that was found.
    autos: RwLock<BTreeMap<String, SyncArc<Automatic>>>,
    /// Notes on the directory as a whole.
    notes: Mutex<Vec<String>>,
    overview: watch::Sender<SyncArc<Parts>>,
}

/// A run.
#[derive(Debug)]
struct Entry {
    found: Found,
    slug: String,
    automatic: Option<SyncArc<Automatic>>,
    run: Mutex<Followed>,
    page: watch::Sender<SyncArc<Parts>>,
}

/// An automatic run, whose phases are runs.
#[derive(Debug)]
struct Automatic {
    found: Found,
    slug: String,
    page: watch::Sender<SyncArc<Parts>>,
}

/// The contents of an automatic run's page, and its title.
struct ShownAuto {
    parts: SyncArc<Parts>,
    title: String,
}

/// The contents of a page and their changes.
pub(crate) type Feed = watch::Receiver<SyncArc<Parts>>;

impl RunCatalog {
    /// Opens the runs of a directory. With `may_come`, the directory may be empty or missing.
    pub(crate) fn open(root: &Path, may_come: bool) -> Result<Self> {
        if !root.is_dir() && !may_come {
            return Err(Error::NoFolder { path: root.to_owned() });
        }
        // The path `.` has no file name, which a run needs as its name.
        let root = if root.file_name().is_some() { root.to_owned() } else { root.canonicalize()? };
        let run_catalog = Self {
            single: find::is_run(&root),
            root,
            runs: RwLock::default(),
            autos: RwLock::default(),
            notes: Mutex::default(),
            overview: watch::Sender::new(SyncArc::default()),
        };
        // Makes present runs available immediately.
        run_catalog.look();
        Ok(run_catalog)
    }

    /// Looks for new runs, reads new events of all runs, and updates open pages.
    pub(crate) fn refresh(&self) -> Result<()> {
        self.look();
        for entry in self.entries() {
            // Even without new events the page may change, as a silent run becomes quiet.
            let mut run = held(&entry.run);
            run.catch_up(READING);
            if entry.page.receiver_count() > 0 {
                run.want();
                entry.show(&run)?;
            }
        }
        for auto in self.autos() {
            if auto.page.receiver_count() > 0 {
                self.show_auto(&auto, READING)?;
            }
        }
        if self.overview.receiver_count() > 0 {
            publish(&self.overview, self.overview_now()?);
        }
        Ok(())
    }

    /// The overview page; for a single run an inner `Err` with the path of its page.
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

    /// The page of a run; `None` if there is no run with this name.
    pub(crate) fn page(&self, slug: &str) -> Result<Option<String>> {
        let Some(entry) = self.entry(slug) else { return self.auto_page(slug) };
        let mut run = held(&entry.run);
        run.want();
        run.catch_up(FIRST_SIGHT);
        let parts = &entry.show(&run)?;
        let outer = entry.automatic.as_ref().map(|auto| Outer { name: &auto.found.name, slug: &auto.slug });
        let name = &entry.found.name;
        let slug = &entry.slug;
        let title = title(&run);
        let overview = !self.single;
        // The name of a phase begins with that of its automatic run, which the page shows before it.
        let name = outer.map_or(name.as_str(), |outer| name[outer.name.len()..].trim_start_matches('/'));
        Ok(Some(RunPage { name, slug, title, overview, outer, phases: false, parts }.render()?))
    }

    fn auto_page(&self, slug: &str) -> Result<Option<String>> {
        let Some(auto) = self.auto(slug) else { return Ok(None) };
        let Some(ShownAuto { parts, title }) = self.show_auto(&auto, FIRST_SIGHT)? else { return Ok(None) };
        let name = &auto.found.name;
        let slug = &auto.slug;
        let parts = &parts;
        Ok(Some(RunPage { name, slug, title, overview: true, outer: None, phases: true, parts }.render()?))
    }

    /// Updates the page of an automatic run; `None` if all its phases are gone.
    fn show_auto(&self, auto: &SyncArc<Automatic>, stall_timeout: Duration) -> Result<Option<ShownAuto>> {
        let is_phase =
            |entry: &SyncArc<Entry>| entry.automatic.as_ref().is_some_and(|it| it.slug == auto.slug);
        let mut phases: Vec<SyncArc<Entry>> = self.entries().into_iter().filter(is_phase).collect();
        phases.retain(|entry| !held(&entry.run).gone);
        let mut rows: Vec<Row> =
            phases.iter().map(|entry| Row::new(&entry.named(&held(&entry.run)))).collect();
        let Some(AutoStanding { standing, current }) = AutoStanding::of(&auto.found.dir, &rows) else {
            return Ok(None);
        };
        rows[current].shown = true;
        let list = Phases { rows: &rows, shown: &rows[current].name }.html()?;
        let mut run = held(&phases[current].run);
        run.want();
        run.catch_up(stall_timeout);
        let report = auto.found.dir.join(FILE_NAME).is_file().then_some(auto.slug.as_str());
        let shown = Shown { name: &auto.found.name, report, automatic: Some((standing, list)) };
        publish(&auto.page, run_parts(&run, shown)?);
        let title = format!("Automatic run on {}", run.record.manifest().data);
        Ok(Some(ShownAuto { parts: SyncArc::clone(&auto.page.borrow()), title }))
    }

    /// The page that compares all runs.
    pub(crate) fn comparison(&self) -> Result<String> {
        compared(&self.root, |slug| self.entry(slug).is_some() || self.auto(slug).is_some())
    }

    /// The report of a run; `None` if there is no such run or it has no report.
    pub(crate) fn report(&self, slug: &str) -> Option<Vec<u8>> {
        let path = match self.entry(slug) {
            Some(entry) => held(&entry.run).report_path(),
            None => self.auto(slug)?.found.dir.join(FILE_NAME),
        };
        let file = fs::metadata(&path).ok()?;
        (file.is_file() && file.len() <= LARGEST_REPORT).then(|| fs::read(path).ok())?
    }

    /// The contents of the overview, from now on.
    pub(crate) fn overview_feed(&self) -> Feed {
        self.overview.subscribe()
    }

    /// The contents of a run's page, from now on.
    pub(crate) fn feed(&self, slug: &str) -> Option<Feed> {
        // The next refresh sees the new subscriber. Nothing here may wait for a run that is being read.
        match self.entry(slug) {
            Some(entry) => Some(entry.page.subscribe()),
            None => Some(self.auto(slug)?.page.subscribe()),
        }
    }

    fn overview_now(&self) -> Result<Parts> {
        let mut list = List::default();
        for entry in self.entries() {
            let run = held(&entry.run);
            if !run.gone {
                list.add(&entry.named(&run));
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

    fn auto(&self, slug: &str) -> Option<SyncArc<Automatic>> {
        self.autos.read().unwrap_or_else(PoisonError::into_inner).get(slug).map(SyncArc::clone)
    }

    fn autos(&self) -> Vec<SyncArc<Automatic>> {
        self.autos.read().unwrap_or_else(PoisonError::into_inner).values().map(SyncArc::clone).collect()
    }

    /// The automatic run that a run is a phase of, if it is one.
    fn automatic(&self, found: &Found) -> Option<SyncArc<Automatic>> {
        let (name, _) = found.name.rsplit_once('/')?;
        let dir = found.dir.parent().filter(|dir| find::is_automatic(dir))?;
        let found = Found { name: name.to_owned(), dir: dir.to_owned() };
        let slug = found.slug();
        let mut autos = self.autos.write().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            SyncArc::new(Automatic {
                found,
                slug: slug.clone(),
                page: watch::Sender::new(SyncArc::default()),
            })
        };
        Some(SyncArc::clone(autos.entry(slug.clone()).or_insert_with(new)))
    }

    /// Adds new runs and marks those whose directories no longer exist.
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
            // A directory that reappears may contain another run of the same name, so it is opened again.
            if present && !run.gone {
                new.remove(&entry.found);
            }
            run.gone = !present;
        }
        for found in new {
            match RunReader::open(&found.dir) {
                Ok(record) => self.take_in(found, Followed::new(record)),
                Err(e) => notes.push(format!("{e}.")),
            }
        }
        *held(&self.notes) = notes;
    }

    fn take_in(&self, found: Found, run: Followed) {
        let slug = found.slug();
        let automatic = self.automatic(&found);
        let mut runs = self.runs.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = runs.get(&slug) {
            // Another run replaces one that is gone; open pages show it from now on.
            *held(&entry.run) = run;
            return;
        }
        let run = Mutex::new(run);
        let page = watch::Sender::new(SyncArc::default());
        runs.insert(slug.clone(), SyncArc::new(Entry { found, slug, automatic, run, page }));
        // Drops runs that are gone when there are too many.
        if runs.len() > 2 * RUNS {
            runs.retain(|_, entry| !held(&entry.run).gone);
            let mut autos = self.autos.write().unwrap_or_else(PoisonError::into_inner);
            autos.retain(|_, auto| auto.found.dir.is_dir());
        }
    }
}

impl Entry {
    /// Updates the page and returns its contents.
    fn show(&self, run: &Followed) -> Result<SyncArc<Parts>> {
        let report = run.report_path().is_file().then_some(self.slug.as_str());
        publish(&self.page, run_parts(run, Shown { name: &self.found.name, report, automatic: None })?);
        Ok(SyncArc::clone(&self.page.borrow()))
    }

    fn named<'a>(&'a self, run: &'a Followed) -> Named<'a> {
        let Self { found: Found { name, .. }, slug, automatic, .. } = self;
        let automatic =
            automatic.as_ref().map(|it| (it.found.name.as_str(), it.slug.as_str(), it.found.dir.as_path()));
        Named { name, slug, automatic, run }
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

/// Locks a mutex and ignores poisoning: the data are read from files again at every refresh.
fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
