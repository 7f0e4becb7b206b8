//! Writes a report while results come in: sections go to an unnamed temporary file, so that the page may begin with the
//! counts and memory holds one short row per input. The page appears whole, or not at all: it is renamed into place.

use std::{
    fs::File,
    io::{self, BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use maud::{Markup, html};
use tempfile::NamedTempFile;

use super::{
    Basis, Level, Portrait, batch,
    batch::Row,
    file::{Exhibits, file_section},
    limits::limits,
    page,
    provenance::provenance,
    words,
};
use crate::{
    error::{Error, Result},
    policy::Decision,
    scan::ScanResult,
};

/// Batches up to this many inputs show everything; larger ones only what is not likely genuine.
pub const SMALL_BATCH: usize = 24;
/// Sections are written until they take this much; the rest of a large batch is in the table only.
const MAX_SECTION_BYTES: u64 = 32 << 20;
/// Most small strips.
const MAX_MULTIPLES: usize = 200;

/// What a report is about.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where the page goes.
    pub path: PathBuf,
    /// Inputs that will come; one makes a page of its own kind.
    pub input_count: usize,
    /// What judges them.
    pub basis: Basis,
    /// How to repeat it.
    pub command: String,
}

impl Plan {
    /// Whether the page shows the evidence of a result with that decision.
    pub fn shows(&self, decision: Decision) -> bool {
        self.input_count <= SMALL_BATCH || decision != Decision::BonaFide
    }
}

/// The page of one file that was judged before; `preface` comes first.
pub fn one_page(result: &ScanResult, exhibits: &Exhibits, basis: &Basis, preface: &Markup) -> String {
    let content = html! {
        (preface)
        article #file-1 { (file_section(result, exhibits, basis, Level::Page)) }
        (page::section("What this does not say", &limits(basis)))
        (page::section("Where this comes from", &provenance(basis, None)))
    };
    let title = format!("{} – clonewatch", words::file_title(result));
    format!("{}{}{}", page::page_start(&title), content.0, page::page_end(false))
}

/// A report that is being written.
pub struct ReportWriter {
    plan: Plan,
    page: NamedTempFile,
    /// Sections one after another.
    sections: BufWriter<File>,
    section_bytes: u64,
    multiples: String,
    multiple_count: usize,
    rows: Vec<Row>,
    /// Flagged or inconclusive results without a section.
    left_out: usize,
    /// Title of the one file's page.
    single_title: Option<String>,
}

impl ReportWriter {
    /// Begins a report; the folder must be there and writable.
    ///
    /// # Errors
    /// The page cannot be created there.
    pub fn begin(plan: Plan) -> Result<Self> {
        let fault = |e| Error::io(plan.path.display(), e);
        if plan.path.is_dir() {
            return Err(Error::Usage(format!("{}: is a folder – must be a file to write", plan.path.display())));
        }
        let folder = plan.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        builder.prefix(".clonewatch-report-");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let page = builder.tempfile_in(folder).map_err(fault)?;
        let sections = BufWriter::new(tempfile::tempfile().map_err(|e| Error::io("temporary file", e))?);
        Ok(Self {
            plan,
            page,
            sections,
            section_bytes: 0,
            multiples: String::new(),
            multiple_count: 0,
            rows: Vec::new(),
            left_out: 0,
            single_title: None,
        })
    }

    /// What it is about.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Takes what became of the next input, in input order.
    ///
    /// # Errors
    /// The temporary file cannot be written.
    pub fn add(&mut self, outcome: Result<(&ScanResult, Option<&Portrait>), &Error>) -> Result<()> {
        let (result, portrait) = match outcome {
            Ok(judged) => judged,
            Err(error) => {
                self.rows.push(Row::failed(&error.to_string()));
                return Ok(());
            }
        };
        let basis = &self.plan.basis;
        let is_wanted = self.plan.shows(result.decision);
        let has_room = self.section_bytes < MAX_SECTION_BYTES;
        let number = self.rows.len() + 1;
        if is_wanted && has_room {
            let level = if self.plan.input_count == 1 { Level::Page } else { Level::File };
            let exhibits = portrait.map(Exhibits::embedded).unwrap_or_default();
            let section = file_section(result, &exhibits, basis, level);
            let section = html! { article #(format!("file-{number}")) { (section) } }.0;
            self.sections.write_all(section.as_bytes()).map_err(|e| Error::io("temporary file", e))?;
            self.section_bytes += section.len() as u64;
        } else if is_wanted {
            self.left_out += 1;
        }
        let wants_multiple = self.plan.input_count > 1 && is_wanted && has_room && self.multiple_count < MAX_MULTIPLES;
        if wants_multiple && let Some(item) = batch::multiple(number, result, basis) {
            self.multiples += &item.0;
            self.multiple_count += 1;
        }
        self.single_title = Some(format!("{} – clonewatch", words::file_title(result)));
        self.rows.push(Row::of(result, is_wanted && has_room));
        Ok(())
    }

    /// Puts the page in its place. A run that was stopped has a page of what it came to, which says so on top; one that came
    /// to nothing has none, and a page that was there before stays.
    ///
    /// # Errors
    /// The page cannot be written or renamed.
    pub fn finish(mut self) -> Result<()> {
        if self.rows.is_empty() && self.plan.input_count > 0 {
            return Ok(());
        }
        let path = self.plan.path.clone();
        let fault = |e| Error::io(path.display(), e);
        self.write().map_err(fault)?;
        self.page.as_file().sync_all().map_err(fault)?;
        self.page.persist(&path).map_err(|e| fault(e.error))?;
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        let is_single = self.plan.input_count == 1 && self.single_title.is_some();
        let title = match &self.single_title {
            Some(title) if is_single => title.clone(),
            _ => format!("{} – clonewatch", batch::title(&self.rows, self.plan.input_count)),
        };
        let notes = self.notes();
        let mut sections = std::mem::replace(&mut self.sections, BufWriter::new(tempfile::tempfile()?)).into_inner()?;
        sections.seek(SeekFrom::Start(0))?;
        let mut out = BufWriter::new(self.page.as_file_mut());
        out.write_all(page::page_start(&title).as_bytes())?;
        if !is_single {
            out.write_all(batch::headline(&self.rows, self.plan.input_count, &notes).0.as_bytes())?;
            if !self.multiples.is_empty() {
                let flagged = batch::multiples(&self.multiples, &self.plan.basis);
                out.write_all(page::section("Likely cloned", &flagged).0.as_bytes())?;
            }
            out.write_all(page::section("All recordings", &batch::table(&self.rows)).0.as_bytes())?;
        }
        io::copy(&mut sections, &mut out)?;
        let basis = &self.plan.basis;
        out.write_all(page::section("What this does not say", &limits(basis)).0.as_bytes())?;
        let provenance = provenance(basis, Some(&self.plan.command));
        out.write_all(page::section("Where this comes from", &provenance).0.as_bytes())?;
        out.write_all(page::page_end(!is_single).as_bytes())?;
        out.flush()
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.rows.len() < self.plan.input_count {
            notes.push(
                "This run was stopped before its end. The recordings that are not on this page were not looked at: nothing \
                 is known about them."
                    .into(),
            );
        }
        if self.plan.input_count > SMALL_BATCH {
            notes.push(format!(
                "With more than {SMALL_BATCH} recordings, evidence is shown of those that are likely cloned or \
                 inconclusive; the likely genuine ones are in the table only."
            ));
        }
        if self.left_out > 0 {
            notes.push(format!(
                "{} more that are likely cloned or inconclusive are in the table only, to keep this page readable: scan \
                 them by themselves to see their evidence.",
                self.left_out
            ));
        }
        notes
    }
}
