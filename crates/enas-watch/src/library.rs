//! The runs that are watched, by the names they are asked for with, and what pages about them show now.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc as SyncArc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use askama::Template;
use enas_report::FILE_NAME;
use enas_report::runs::{self as find, Found, MOST_RUNS as RUNS};
use enas_search::Record;
use tokio::sync::watch;

use crate::error::{Error, Result};
use crate::follow::Followed;
use crate::page::{
    AutoStanding, List, Named, Outer, Overview, Phases, Row, RunPage, Shown, compared, overview_parts,
    run_parts, title,
};
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
    /// Automatic runs of which at least one phase was found.
    autos: RwLock<BTreeMap<String, SyncArc<Automatic>>>,
    /// What the folder says that no run does.
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

/// What an automatic run shows, and the title of its page.
struct ShownAuto {
    parts: SyncArc<Parts>,
    title: String,
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
            autos: RwLock::default(),
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
        let Some(entry) = self.entry(slug) else { return self.auto_page(slug) };
        let mut run = held(&entry.run);
        run.want();
        run.catch_up(FIRST_SIGHT);
        let parts = &entry.show(&run)?;
        let outer = entry.automatic.as_ref().map(|auto| Outer { name: &auto.found.name, slug: &auto.slug });
        let (name, slug, title, overview) = (&entry.found.name, &entry.slug, title(&run), !self.single);
        // The name of a phase begins with that of the run around it, which stands before it already.
        let name = outer.map_or(name.as_str(), |outer| name[outer.name.len()..].trim_start_matches('/'));
        Ok(Some(RunPage { name, slug, title, overview, outer, phases: false, parts }.render()?))
    }

    fn auto_page(&self, slug: &str) -> Result<Option<String>> {
        let Some(auto) = self.auto(slug) else { return Ok(None) };
        let Some(ShownAuto { parts, title }) = self.show_auto(&auto, FIRST_SIGHT)? else { return Ok(None) };
        let (name, slug, parts) = (&auto.found.name, &auto.slug, &parts);
        Ok(Some(RunPage { name, slug, title, overview: true, outer: None, phases: true, parts }.render()?))
    }

    /// Brings the page of an automatic run up to date; `None` if all its phases are gone.
    fn show_auto(&self, auto: &SyncArc<Automatic>, patience: Duration) -> Result<Option<ShownAuto>> {
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
        run.catch_up(patience);
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

    /// The report of a run, or `None` if there is no such run or it has none.
    pub(crate) fn report(&self, slug: &str) -> Option<Vec<u8>> {
        let path = match self.entry(slug) {
            Some(entry) => held(&entry.run).report_path(),
            None => self.auto(slug)?.found.dir.join(FILE_NAME),
        };
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
        let automatic = self.automatic(&found);
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
            let mut autos = self.autos.write().unwrap_or_else(PoisonError::into_inner);
            autos.retain(|_, auto| auto.found.dir.is_dir());
        }
    }
}

impl Entry {
    /// Brings the page up to date and returns what it shows.
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

/// A lock whose data is whole at any time: it is read from files again and again.
fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
