//! Watched folders on a real file system with the system's own events: as a library with a counting desk, and as a process.

mod process;

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use clonewatch::{
    cli::{
        engine::provenance,
        render::{Jsonl, Renderer},
    },
    decode::{Limits, OpenOptions, extension_of},
    error::Result,
    policy::Policy,
    scan::{Engine, load_model},
    watch::{self, Delivery, Depth, Desk, Folders, Judged, Ledger, Notices, Placing, Settings},
};

/// Long enough for a slow machine; a hang is what it tells apart.
const PATIENCE: Duration = Duration::from_secs(120);
/// A result of the clips that are made here: they hold no speech.
const REVIEW: &str = "review";

fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let model = Arc::new(load_model(None).unwrap());
        let policy = Policy::default_of(&model.manifest().thresholds);
        Engine { model, policy, limits: Limits::default() }
    })
}

/// Judges with the real engine, and keeps account.
#[derive(Default)]
struct Account {
    judged: Mutex<Vec<String>>,
    delivered: Mutex<Vec<Delivery>>,
    troubles: Mutex<Vec<String>>,
}

impl Desk for Account {
    fn basis(&self) -> String {
        "test".into()
    }

    fn judge(&self, file: File, shown: &str) -> Result<Judged> {
        let options = OpenOptions { raw: None, extension: extension_of(Path::new(shown)) };
        let result = engine().screen_file(file, shown.into(), &options, &|| true)?.judge(&engine().policy);
        self.judged.lock().unwrap().push(shown.into());
        let line = Jsonl(provenance(engine())).result(&result);
        let action = engine().policy.action(result.decision);
        Ok(Judged { action, line, shown: shown.into(), sha256: result.input.sha256 })
    }

    fn delivered(&self, delivery: &Delivery) {
        self.delivered.lock().unwrap().push(delivery.clone());
    }

    fn trouble(&self, message: &str) {
        self.troubles.lock().unwrap().push(message.into());
    }
}

impl Account {
    fn judged_count(&self) -> usize {
        self.judged.lock().unwrap().len()
    }

    fn delivered_count(&self) -> usize {
        self.delivered.lock().unwrap().len()
    }

    fn was_told(&self, words: &str) -> bool {
        self.troubles.lock().unwrap().iter().any(|message| message.contains(words))
    }
}

/// A folder, `in` of a temporary one, with its ledger beside it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.path("in")).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn settings(&self) -> Settings {
        let quick = Duration::from_millis(100);
        Settings { settle: quick, rescan: Duration::from_secs(3_600), threads: 2, ..Settings::new(self.path("in")) }
    }

    fn watch(&self, settings: Settings) -> Watching {
        let (desk, stop) = (Arc::new(Account::default()), Arc::new(AtomicBool::new(false)));
        let ledger = Ledger::open(&self.path("watch.sqlite")).unwrap();
        let shared = (Arc::clone(&desk), Arc::clone(&stop));
        let thread = thread::spawn(move || watch::run(&settings, ledger, &*shared.0, &shared.1));
        Watching { desk, stop, thread: Some(thread) }
    }
}

struct Watching {
    desk: Arc<Account>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Watching {
    fn stop(mut self) -> Arc<Account> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap().unwrap();
        Arc::clone(&self.desk)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "still waiting: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The bytes of a WAV without speech; each `tone` gives other ones.
fn wav(tone: u32) -> Vec<u8> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut bytes = std::io::Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
    (0..4_000_u32).for_each(|index| writer.write_sample((index.wrapping_mul(tone + 1) % 50) as i16).unwrap());
    writer.finalize().unwrap();
    bytes.into_inner()
}

fn put(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// What `scan --format jsonl` prints for these bytes under this name.
fn line_of(path: &Path, bytes: &[u8]) -> String {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Account::default().judge(file, &path.display().to_string()).unwrap().line
}

#[test]
fn files_that_come_in_any_way_are_judged_and_sorted_with_their_folders() {
    let place = Place::new();
    let input = place.path("in");
    put(&input.join("before.wav"), &wav(1));
    let watching = place.watch(place.settings());
    until("the file that was there", || input.join("review/before.wav").exists());
    put(&input.join("created.wav"), &wav(2));
    put(&input.join("show/season/nested.wav"), &wav(3));
    put(&input.join("upload.wav.part"), &wav(4));
    fs::rename(input.join("upload.wav.part"), input.join("renamed.wav")).unwrap();
    put(&place.path("outside/moved/inside.WAV"), &wav(5));
    fs::rename(place.path("outside/moved"), input.join("moved")).unwrap();
    put(&input.join("notes.txt"), b"not audio");
    put(&input.join(".hidden.wav"), &wav(6));
    let names = ["created.wav", "show/season/nested.wav", "renamed.wav", "moved/inside.WAV"];
    until("four files", || names.iter().all(|name| input.join(REVIEW).join(name).exists()));
    let desk = watching.stop();
    assert_eq!(desk.judged_count(), 5, "{:?}", desk.judged.lock().unwrap());
    for (name, bytes) in names.iter().zip([wav(2), wav(3), wav(4), wav(5)]) {
        assert_eq!(fs::read(input.join(REVIEW).join(name)).unwrap(), bytes);
        let result = fs::read_to_string(input.join(REVIEW).join(format!("{name}.json"))).unwrap();
        assert_eq!(result, line_of(&input.join(name), &bytes), "{name}");
        assert!(!input.join(name).exists());
    }
    assert!(input.join("notes.txt").exists() && input.join(".hidden.wav").exists());
    assert!(fs::read_dir(input.join("accepted")).unwrap().next().is_none());
}

#[test]
fn a_file_that_is_still_being_written_is_judged_whole() {
    let place = Place::new();
    let (input, bytes) = (place.path("in"), wav(1));
    // Much longer than the pauses below, also on a machine that is busy.
    let watching = place.watch(Settings { settle: Duration::from_secs(3), ..place.settings() });
    let mut file = File::create(input.join("slow.wav")).unwrap();
    for part in bytes.chunks(bytes.len() / 8) {
        file.write_all(part).unwrap();
        thread::sleep(Duration::from_millis(50));
    }
    until("the file", || input.join("review/slow.wav").exists());
    let desk = watching.stop();
    let whole = line_of(&input.join("slow.wav"), &bytes);
    assert_eq!(desk.delivered.lock().unwrap()[0].known.line, whole);
    assert_eq!(fs::read_to_string(input.join("review/slow.wav.json")).unwrap(), whole);
}

#[test]
fn links_lead_nowhere() {
    let place = Place::new();
    let (input, outside) = (place.path("in"), place.path("outside"));
    put(&outside.join("secret.wav"), &wav(1));
    symlink(outside.join("secret.wav"), input.join("before.wav")).unwrap();
    symlink(&outside, input.join("folder.wav")).unwrap();
    symlink(&outside, input.join("folder")).unwrap();
    let watching = place.watch(place.settings());
    symlink(outside.join("secret.wav"), input.join("after.wav")).unwrap();
    until("words about links", || {
        ["before.wav", "folder.wav", "after.wav"]
            .iter()
            .all(|name| watching.desk.was_told(&format!("{name}: is a symbolic link")))
    });
    // A folder for results that is replaced by a link must not lead a writer out either.
    symlink(&outside, input.join("review/show")).unwrap();
    put(&input.join("show/a.wav"), &wav(2));
    put(&input.join("real.wav"), &wav(3));
    until("a real file", || input.join("review/real.wav").exists());
    until("words about the folder", || watching.desk.was_told("show/a.wav"));
    let desk = watching.stop();
    assert!(!desk.judged.lock().unwrap().iter().any(|shown| shown.contains("secret") || shown.contains("folder")));
    let names: Vec<_> = fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["secret.wav"], "nothing was read from there, nothing written to it");
    assert!(input.join("show/a.wav").exists() && input.join("after.wav").is_symlink());
}

#[test]
fn a_queue_that_overflows_loses_nothing() {
    let place = Place::new();
    let input = place.path("in");
    let watching = place.watch(Settings { most_events: 1, most_pending: 50, ..place.settings() });
    // Content repeats, so that most need no judging.
    for index in 0..300 {
        put(&input.join(format!("{}/{index}.wav", index % 10)), &wav(index % 5));
    }
    let review = input.join(REVIEW);
    let is_there = |index: u32| review.join(format!("{}/{index}.wav.json", index % 10)).exists();
    until("300 files", || (0..300).all(is_there) && watching.desk.delivered_count() == 300);
    assert_eq!(watching.stop().judged_count(), 5);
}

#[test]
fn the_same_content_is_judged_once_also_after_a_restart() {
    let place = Place::new();
    let (input, bytes) = (place.path("in"), wav(1));
    let watching = place.watch(place.settings());
    put(&input.join("first.wav"), &bytes);
    until("the first", || watching.desk.delivered_count() == 1);
    put(&input.join("second.wav"), &bytes);
    until("the second", || watching.desk.delivered_count() == 2);
    assert_eq!(watching.stop().judged_count(), 1);
    let watching = place.watch(place.settings());
    put(&input.join("sub/third.wav"), &bytes);
    // Another extension may be decoded otherwise.
    put(&input.join("fourth.mp3"), &bytes);
    until("the others", || watching.desk.delivered_count() == 2);
    assert_eq!(*watching.stop().judged.lock().unwrap(), [input.join("fourth.mp3").display().to_string()]);
    for name in ["first.wav", "second.wav", "sub/third.wav", "fourth.mp3"] {
        let result = fs::read_to_string(input.join(REVIEW).join(format!("{name}.json"))).unwrap();
        assert_eq!(result, line_of(&input.join(name), &bytes), "{name}");
    }
}

#[test]
fn nothing_is_overwritten() {
    let place = Place::new();
    let input = place.path("in");
    put(&input.join("review/a.wav"), b"somebody's");
    put(&input.join("review/b.wav.json"), b"somebody's");
    let watching = place.watch(place.settings());
    for tone in [1, 2] {
        put(&input.join("a.wav"), &wav(tone));
        put(&input.join("b.wav"), &wav(tone + 10));
        until("both", || watching.desk.delivered_count() == 2 * tone as usize);
    }
    drop(watching.stop());
    for (name, bytes) in [
        ("a.wav", b"somebody's".to_vec()),
        ("b.wav.json", b"somebody's".to_vec()),
        ("a-2.wav", wav(1)),
        ("a-3.wav", wav(2)),
        ("b-2.wav", wav(11)),
        ("b-3.wav", wav(12)),
    ] {
        assert_eq!(fs::read(input.join(REVIEW).join(name)).unwrap(), bytes, "{name}");
    }
    let result = fs::read_to_string(input.join("review/a-3.wav.json")).unwrap();
    assert_eq!(result, line_of(&input.join("a.wav"), &wav(2)));
    assert!(!input.join("review/b.wav").exists());
}

/// What a crash can leave, and what must come of it.
#[test]
fn a_move_that_a_crash_cut_short_is_finished() {
    let place = Place::new();
    let (input, review) = (place.path("in"), place.path("in/review"));
    let watching = place.watch(place.settings());
    let names = ["written.wav", "copied.wav", "judged.wav"];
    names.iter().zip(1..).for_each(|(name, tone)| put(&input.join(name), &wav(tone)));
    until("all", || watching.desk.delivered_count() == 3);
    drop(watching.stop());
    // The result was written, the file not moved yet.
    fs::rename(review.join("written.wav"), input.join("written.wav")).unwrap();
    // The file was copied to another file system, the original not removed yet.
    fs::copy(review.join("copied.wav"), input.join("copied.wav")).unwrap();
    // It was judged, and nothing written yet; a temporary file of long ago is about.
    fs::rename(review.join("judged.wav"), input.join("judged.wav")).unwrap();
    fs::remove_file(review.join("judged.wav.json")).unwrap();
    let partial = input.join(".clonewatch-00000000000000ab.partial");
    put(&partial, b"half");
    File::options().write(true).open(&partial).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    let watching = place.watch(place.settings());
    until("all again", || watching.desk.delivered_count() == 3);
    assert_eq!(watching.stop().judged_count(), 0);
    let mut left: Vec<_> =
        fs::read_dir(&review).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    left.sort();
    let expected =
        ["copied.wav", "copied.wav.json", "judged.wav", "judged.wav.json", "written.wav", "written.wav.json"];
    assert_eq!(left, expected);
    assert!(names.iter().all(|name| !input.join(name).exists()) && !partial.exists());
}

#[test]
fn tagged_files_stay_and_are_judged_again_only_when_they_change() {
    let place = Place::new();
    let input = place.path("in");
    let settings = || Settings { placing: Placing::Tag, ..place.settings() };
    put(&input.join("a.wav"), &wav(1));
    put(&input.join("sub/b.wav"), &wav(2));
    put(&input.join("c.wav"), &wav(3));
    put(&input.join("c.wav.json"), b"somebody's");
    let watching = place.watch(settings());
    until("three", || watching.desk.delivered_count() == 3);
    drop(watching.stop());
    for (name, result, tone) in
        [("a.wav", "a.wav.json", 1), ("sub/b.wav", "sub/b.wav.json", 2), ("c.wav", "c.wav-2.json", 3)]
    {
        assert_eq!(fs::read(input.join(name)).unwrap(), wav(tone));
        assert_eq!(fs::read_to_string(input.join(result)).unwrap(), line_of(&input.join(name), &wav(tone)));
    }
    assert_eq!(fs::read(input.join("c.wav.json")).unwrap(), b"somebody's");
    assert!(!input.join("accepted").exists(), "tagging makes no folders");
    let watching = place.watch(settings());
    put(&input.join("a.wav"), &wav(4));
    until("the changed one", || watching.desk.delivered_count() == 1);
    assert_eq!(watching.stop().judged_count(), 1);
    assert_eq!(fs::read_to_string(input.join("a.wav.json")).unwrap(), line_of(&input.join("a.wav"), &wav(4)));
}

#[test]
fn folders_for_results_are_as_open_as_the_watched_one() {
    let place = Place::new();
    let input = place.path("in");
    fs::set_permissions(&input, fs::Permissions::from_mode(0o775)).unwrap();
    put(&input.join("sub/a.wav"), &wav(1));
    let watching = place.watch(place.settings());
    until("the file", || watching.desk.delivered_count() == 1);
    drop(watching.stop());
    for name in ["accepted", "review", "review/sub", "flagged"] {
        assert_eq!(input.join(name).metadata().unwrap().mode() & 0o777, 0o775, "{name}");
    }
    assert_eq!(input.join("review/sub/a.wav.json").metadata().unwrap().mode() & 0o777, 0o644);
}

#[test]
fn walks_alone_are_enough() {
    let place = Place::new();
    let input = place.path("in");
    let rescan = Duration::from_millis(200);
    let watching = place.watch(Settings { notices: Notices::Walks, rescan, ..place.settings() });
    until("the folders", || input.join(REVIEW).exists());
    put(&input.join("a/b.wav"), &wav(1));
    until("the file", || input.join("review/a/b.wav").exists());
    drop(watching.stop());
}

#[test]
fn a_folder_may_go_and_come_back() {
    let place = Place::new();
    let input = place.path("in");
    let watching = place.watch(place.settings());
    put(&input.join("one.wav"), &wav(1));
    until("the first", || watching.desk.delivered_count() == 1);
    fs::rename(&input, place.path("away")).unwrap();
    until("words", || watching.desk.was_told("waiting for it to come back"));
    put(&place.path("away/two.wav"), &wav(2));
    fs::rename(place.path("away"), &input).unwrap();
    until("the second", || watching.desk.delivered_count() == 2);
    put(&input.join("three.wav"), &wav(3));
    until("the third", || watching.desk.delivered_count() == 3);
    // A subfolder goes while its file waits.
    put(&input.join("sub/four.wav"), &wav(4));
    fs::remove_dir_all(input.join("sub")).unwrap();
    put(&input.join("five.wav"), &wav(5));
    until("the fifth", || input.join("review/five.wav").exists());
    drop(watching.stop());
}

#[test]
fn depth_and_layout() {
    let place = Place::new();
    let input = place.path("in");
    let folders = Folders { layout: clonewatch::config::Layout::Flat, ..Folders::below(&place.path("out")) };
    let settings = Settings { placing: Placing::Move(folders), ..place.settings() };
    put(&input.join("a/x.wav"), &wav(1));
    put(&input.join("b/x.wav"), &wav(2));
    let watching = place.watch(settings.clone());
    until("both", || watching.desk.delivered_count() == 2);
    drop(watching.stop());
    assert!(place.path("out/review/x.wav").exists() && place.path("out/review/x-2.wav").exists());
    let watching = place.watch(Settings { depth: Depth::Folder, ..settings });
    put(&input.join("a/deep.wav"), &wav(3));
    put(&input.join("top.wav"), &wav(4));
    until("the top one", || place.path("out/review/top.wav").exists());
    drop(watching.stop());
    assert!(input.join("a/deep.wav").exists());
}

#[test]
fn results_may_be_on_another_file_system() {
    let place = Place::new();
    let Ok(elsewhere) = tempfile::tempdir_in("/dev/shm") else {
        eprintln!("there is no /dev/shm to write to: skipped");
        return;
    };
    if elsewhere.path().metadata().unwrap().dev() == place.path("in").metadata().unwrap().dev() {
        eprintln!("/dev/shm is no file system of its own here: skipped");
        return;
    }
    let input = place.path("in");
    put(&input.join("a.wav"), &wav(1));
    let modified = input.join("a.wav").metadata().unwrap().modified().unwrap();
    let folders = Folders::below(elsewhere.path());
    let watching = place.watch(Settings { placing: Placing::Move(folders), ..place.settings() });
    until("the file", || watching.desk.delivered_count() == 1);
    drop(watching.stop());
    let moved = elsewhere.path().join("review/a.wav");
    assert_eq!(fs::read(&moved).unwrap(), wav(1));
    assert_eq!(moved.metadata().unwrap().modified().unwrap(), modified);
    assert!(!input.join("a.wav").exists());
    assert_eq!(fs::read_dir(elsewhere.path().join(REVIEW)).unwrap().count(), 2, "no temporary file is left");
}
