//! The loop of one watched folder: events and walks in, files to the workers, results to their places.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::{self, ErrorKind},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use super::{
    Delivery, Depth, Desk, Notices, Placing, Settings,
    events::{self, Events},
    ledger::{Known, Ledger},
    pending::{Pending, Room},
    place::{Places, Verdict},
    relabelled,
    tree::{Kind, Stamp, Tree, Visitor},
};
use crate::{
    cli::{inputs::has_audio_extension, render::printable},
    error::{Error, Result},
    model::sha256_hex,
    scan::sha256_of,
};

/// Longest sleep: how soon a wish to stop, or a folder that came or went, is noticed.
const TICK: Duration = Duration::from_millis(250);
/// Least time between walks that missed events ask for.
const WALK_PAUSE: Duration = Duration::from_secs(1);
/// Messages kept, so that each is said once. More are forgotten, and may be said again.
const MAX_SAID: usize = 1_024;

/// What reaches the loop.
pub(super) enum Message {
    /// Something happened at these paths.
    Event(Vec<PathBuf>),
    /// A worker is done.
    Done(Job, Outcome),
}

/// A file on its way to a worker and back.
pub(super) struct Job {
    below: PathBuf,
    shown: String,
    stamp: Stamp,
}

/// What became of a job.
pub(super) enum Outcome {
    /// There is a verdict on this content.
    Judged { known: Known, sha256: String, is_repeated: bool },
    /// Another worker is judging the same content, or the file changed.
    Later,
    /// It could not be read or judged.
    Failed(Error),
}

/// What loop and workers share.
struct Shared<'a> {
    desk: &'a dyn Desk,
    ledger: Mutex<Ledger>,
    in_work: Mutex<HashSet<String>>,
}

/// Watches until `stop` is set, then finishes the files in work.
///
/// # Errors
/// The folder is missing at the start, or a folder for results cannot be used. Later trouble is told to `desk`.
pub fn run(settings: &Settings, ledger: Ledger, desk: &dyn Desk, stop: &AtomicBool) -> Result<()> {
    let tree = Tree::open(&settings.folder).map_err(|e| Error::io(settings.folder.display(), e))?;
    let places = Places::new(&settings.placing, &settings.folder)?;
    let shared = Shared { desk, ledger: Mutex::new(ledger), in_work: Mutex::default() };
    let (to_loop, messages) = sync_channel(settings.most_events.max(1));
    let (to_workers, jobs) = sync_channel(settings.threads.max(1));
    let jobs = Mutex::new(jobs);
    std::thread::scope(|scope| {
        for _ in 0..settings.threads.max(1) {
            let to_loop = to_loop.clone();
            scope.spawn(|| work(&shared, &jobs, to_loop));
        }
        let mut engine = Engine::new(settings, &shared, places, (to_workers, to_loop));
        engine.enter(tree);
        engine.run(&messages, stop);
        // Dropping the engine closes the workers' queue, and the scope waits for them.
    });
    Ok(())
}

struct Engine<'a> {
    settings: &'a Settings,
    shared: &'a Shared<'a>,
    places: Places,
    /// Folders for results inside the watched one.
    skip: Vec<PathBuf>,
    /// `None` while the folder is away.
    tree: Option<Tree>,
    events: Option<Events>,
    to_workers: SyncSender<(Job, File)>,
    to_loop: SyncSender<Message>,
    missed: Arc<AtomicBool>,
    pending: Pending,
    in_work: usize,
    next_walk: Instant,
    said: HashMap<PathBuf, String>,
}

impl<'a> Engine<'a> {
    fn new(
        settings: &'a Settings,
        shared: &'a Shared<'a>,
        places: Places,
        (to_workers, to_loop): (SyncSender<(Job, File)>, SyncSender<Message>),
    ) -> Self {
        Self {
            settings,
            shared,
            skip: places.inside(&settings.folder),
            places,
            tree: None,
            events: None,
            to_workers,
            to_loop,
            missed: Arc::default(),
            pending: Pending::new(settings.settle, settings.most_pending),
            in_work: 0,
            next_walk: Instant::now(),
            said: HashMap::new(),
        }
    }

    /// Takes up a folder that is (again) there.
    fn enter(&mut self, tree: Tree) {
        if self.settings.notices == Notices::Events {
            let subscribed = Events::subscribe(&self.settings.folder, self.to_loop.clone(), Arc::clone(&self.missed));
            self.events = subscribed.map_err(|e| self.say(Path::new(""), &poll_notice(&e))).ok();
        }
        if self.settings.placing == Placing::Tag {
            let is_there = |path: &Path| !matches!(tree.stamp(path), Ok(None));
            if let Err(error) = self.shared.ledger().forget_missing(is_there) {
                self.say(Path::new(""), &error.to_string());
            }
        }
        self.tree = Some(tree);
        self.next_walk = Instant::now();
    }

    fn run(&mut self, messages: &Receiver<Message>, stop: &AtomicBool) {
        loop {
            let is_stopping = stop.load(Ordering::Relaxed);
            if is_stopping && self.in_work == 0 {
                return;
            }
            if !is_stopping {
                self.mind_the_folder();
                self.walk_if_due();
                self.look_at_files();
            }
            // Files cannot be looked at then, however long they have been due.
            let is_idle = is_stopping || self.tree.is_none() || !self.has_hands();
            self.listen(messages, if is_idle { None } else { self.pending.next_due() });
        }
    }

    /// Waits for something to happen, at most until the next look, then takes all that has.
    fn listen(&mut self, messages: &Receiver<Message>, next_look: Option<Instant>) {
        let now = Instant::now();
        let wake = next_look.map_or(now + TICK, |look| look.min(now + TICK));
        match messages.recv_timeout(wake.saturating_duration_since(now)) {
            Ok(message) => {
                self.take(message);
                // As many as were there at most, so that a flood does not keep us here.
                messages.try_iter().take(self.settings.most_events).for_each(|message| self.take(message));
            }
            // We hold a sender ourselves.
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Event(paths) => paths.iter().for_each(|path| self.note_event(path)),
            Message::Done(job, outcome) => {
                self.in_work -= 1;
                self.finish(&job, outcome);
            }
        }
    }

    /// Lets go of a folder that is no longer where it was, and takes up one that is back.
    fn mind_the_folder(&mut self) {
        if self.tree.as_ref().is_some_and(|tree| !tree.is_current()) {
            (self.tree, self.events) = (None, None);
        }
        if self.tree.is_none() {
            match Tree::open(&self.settings.folder) {
                Ok(tree) => {
                    self.forget_words(Path::new(""));
                    self.enter(tree);
                }
                Err(error) => self.say(Path::new(""), &format!("{error}; waiting for it to come back")),
            }
        }
    }

    fn walk_if_due(&mut self) {
        let now = Instant::now();
        if self.missed.swap(false, Ordering::Relaxed) {
            self.next_walk = self.next_walk.min(now + WALK_PAUSE);
        }
        if now >= self.next_walk {
            self.next_walk = now + self.settings.rescan;
            self.walk(Path::new(""));
        }
    }

    fn walk(&mut self, start: &Path) {
        // Taken out, so that the walk may change everything else.
        let Some(tree) = self.tree.take() else { return };
        let skip = std::mem::take(&mut self.skip);
        tree.walk(start, (&skip, self.settings.depth), &mut Walk { engine: self, tree: &tree });
        (self.tree, self.skip) = (Some(tree), skip);
    }

    fn note_event(&mut self, path: &Path) {
        let Some(below) = events::below(&self.settings.folder, path) else {
            self.missed.store(true, Ordering::Relaxed);
            return;
        };
        let is_hidden = below.iter().any(|name| name.as_encoded_bytes().starts_with(b"."));
        let is_too_deep = self.settings.depth == Depth::Folder && below.components().count() > 1;
        if below.as_os_str().is_empty()
            || is_hidden
            || is_too_deep
            || self.skip.iter().any(|skip| below.starts_with(skip))
        {
            return;
        }
        let Some(tree) = &self.tree else { return };
        if tree.is_folder(&below) && self.settings.depth == Depth::Tree {
            // Files may have come into a new folder before its events were asked for.
            self.walk(&below);
        } else if tree.is_link(&below) {
            self.refuse_link(&below);
        } else if has_audio_extension(&below) {
            self.wait_for(&below, Pending::touch);
        }
    }

    fn wait_for(&mut self, below: &Path, how: fn(&mut Pending, &Path, Instant) -> Room) -> bool {
        let room = how(&mut self.pending, below, Instant::now());
        if room == Room::Full {
            self.missed.store(true, Ordering::Relaxed);
        }
        room == Room::Taken
    }

    fn refuse_link(&mut self, below: &Path) {
        if has_audio_extension(below) {
            self.say(below, "is a symbolic link, which is not followed – put the file itself here");
        }
    }

    fn has_hands(&self) -> bool {
        self.in_work < self.settings.threads.max(1)
    }

    fn look_at_files(&mut self) {
        let now = Instant::now();
        for below in self.pending.due(now) {
            if !self.has_hands() {
                return;
            }
            let Some(tree) = &self.tree else { return };
            match tree.stamp(&below) {
                Ok(None) => self.drop_file(&below),
                Ok(Some(stamp)) => {
                    if self.pending.look(&below, stamp, now) {
                        self.hand_over(&below, stamp);
                    }
                }
                Err(error) => self.fail(&below, &error.to_string()),
            }
        }
    }

    /// The file is settled: to a worker, unless it has been tagged as it is.
    fn hand_over(&mut self, below: &Path, stamp: Stamp) {
        let Some(tree) = &self.tree else { return };
        let is_tagged = self.settings.placing == Placing::Tag && self.shared.is_tagged(below, stamp);
        if is_tagged {
            return self.drop_file(below);
        }
        match tree.file(below) {
            Err(error) => self.fail(below, &error.to_string()),
            Ok((_, opened)) if opened != stamp => self.pending.postpone(below, Instant::now()),
            Ok((file, _)) => {
                let shown = self.settings.folder.join(below).display().to_string();
                let job = Job { below: below.to_owned(), shown, stamp };
                // There is room: it holds as many as there are workers.
                if self.to_workers.try_send((job, file)).is_ok() {
                    self.in_work += 1;
                    self.pending.take(below);
                } else {
                    self.pending.postpone(below, Instant::now());
                }
            }
        }
    }

    fn finish(&mut self, job: &Job, outcome: Outcome) {
        match outcome {
            Outcome::Later | Outcome::Failed(Error::Interrupted) => self.pending.postpone(&job.below, Instant::now()),
            Outcome::Failed(error) => self.fail(&job.below, &said_of(&error, &job.shown)),
            Outcome::Judged { known, sha256, is_repeated } => {
                let Some(tree) = &self.tree else { return self.drop_file(&job.below) };
                let ledger = self.shared.ledger();
                let verdict = Verdict { known: &known, sha256: &sha256, ledger: &ledger };
                let placed = self.places.place(tree, &job.below, job.stamp, verdict);
                drop(ledger);
                match placed {
                    Ok(placed) => {
                        self.drop_file(&job.below);
                        let shown = job.shown.clone();
                        self.shared.desk.delivered(&Delivery { shown, known, placed, is_repeated });
                    }
                    // It changed, or went: another look will tell.
                    Err(Error::Io { source, .. })
                        if matches!(source.kind(), ErrorKind::Interrupted | ErrorKind::NotFound) =>
                    {
                        self.pending.postpone(&job.below, Instant::now());
                    }
                    Err(error) => self.fail(&job.below, &error.to_string()),
                }
            }
        }
    }

    /// Tried again later, and said once.
    fn fail(&mut self, below: &Path, message: &str) {
        self.pending.fail(below, Instant::now());
        self.say(below, &format!("{message}; tried again later"));
    }

    fn drop_file(&mut self, below: &Path) {
        self.pending.remove(below);
        self.forget_words(below);
    }

    fn forget_words(&mut self, below: &Path) {
        self.said.remove(below);
    }

    fn say(&mut self, below: &Path, message: &str) {
        if self.said.get(below).is_some_and(|said| said == message) {
            return;
        }
        if self.said.len() >= MAX_SAID {
            self.said.clear();
        }
        self.said.insert(below.to_owned(), message.to_owned());
        let path =
            if below.as_os_str().is_empty() { self.settings.folder.clone() } else { self.settings.folder.join(below) };
        self.shared.desk.trouble(&printable(&format!("{}: {message}", path.display())));
    }
}

/// A walk through the folder, which puts files on the waiting list.
struct Walk<'w, 'a> {
    engine: &'w mut Engine<'a>,
    tree: &'w Tree,
}

impl Visitor for Walk<'_, '_> {
    fn visit(&mut self, below: &Path, kind: Kind) -> bool {
        if kind == Kind::Link {
            self.engine.refuse_link(below);
            return true;
        }
        if !has_audio_extension(below) {
            return true;
        }
        let is_tag = self.engine.settings.placing == Placing::Tag;
        let is_known = |stamp| self.engine.shared.is_tagged(below, stamp);
        if is_tag && self.tree.stamp(below).ok().flatten().is_some_and(is_known) {
            return true;
        }
        self.engine.wait_for(below, Pending::found)
    }

    fn unreadable(&mut self, below: &Path, error: &io::Error) {
        if error.kind() != ErrorKind::NotFound {
            self.engine.say(below, &error.to_string());
        }
    }
}

impl Shared<'_> {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A ledger that cannot be read tells nothing: the file is judged, and writing it down will fail aloud.
    fn is_tagged(&self, below: &Path, stamp: Stamp) -> bool {
        self.ledger().is_tagged(below, stamp).unwrap_or(false)
    }

    fn judge(&self, job: &Job, mut file: File) -> Result<Outcome> {
        let sha256 = sha256_of(&mut file, &job.shown, &|| true)?;
        let extension = crate::decode::extension_of(&job.below).unwrap_or_default().to_lowercase();
        let key = sha256_hex(format!("{sha256} {extension} {}", self.desk.basis()).as_bytes());
        let Some(_claim) = Claim::on(self, &key) else { return Ok(Outcome::Later) };
        // Looked up apart, so that the ledger is not locked while a file is judged.
        let remembered = self.ledger().verdict(&key)?;
        let is_repeated = remembered.is_some();
        let mut known = match remembered {
            Some(known) => known,
            None => {
                let judged = self.desk.judge(file, &job.shown)?;
                if judged.sha256 != sha256 {
                    return Ok(Outcome::Later);
                }
                let known = Known { shown: judged.shown, action: judged.action, line: judged.line };
                self.ledger().remember(&key, &known)?;
                known
            }
        };
        if known.shown != job.shown {
            known.line = relabelled(&known.line, &known.shown, &job.shown)?;
            known.shown.clone_from(&job.shown);
        }
        Ok(Outcome::Judged { known, sha256, is_repeated })
    }
}

/// The right to judge a content, while it lasts.
struct Claim<'s, 'a> {
    shared: &'s Shared<'a>,
    key: String,
}

impl<'s, 'a> Claim<'s, 'a> {
    fn on(shared: &'s Shared<'a>, key: &str) -> Option<Self> {
        let mut in_work = shared.in_work.lock().unwrap_or_else(PoisonError::into_inner);
        in_work.insert(key.to_owned()).then(|| Self { shared, key: key.to_owned() })
    }
}

impl Drop for Claim<'_, '_> {
    fn drop(&mut self) {
        self.shared.in_work.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// A worker: takes jobs until the loop has gone.
fn work(shared: &Shared<'_>, jobs: &Mutex<Receiver<(Job, File)>>, to_loop: SyncSender<Message>) {
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((job, file)) = next else { return };
        let judged = catch_unwind(AssertUnwindSafe(|| shared.judge(&job, file)));
        let outcome = match judged {
            Ok(judged) => judged.unwrap_or_else(Outcome::Failed),
            Err(_) => Outcome::Failed(Error::Fault("a panic while judging".into())),
        };
        if to_loop.send(Message::Done(job, outcome)).is_err() {
            return;
        }
    }
}

/// The error without the path, which is said anyway.
fn said_of(error: &Error, shown: &str) -> String {
    let text = error.to_string();
    text.strip_prefix(shown).and_then(|rest| rest.strip_prefix(": ")).map_or(text.clone(), str::to_owned)
}

fn poll_notice(error: &notify::Error) -> String {
    format!("no events from the system ({error}): new files are found by walks alone")
}
