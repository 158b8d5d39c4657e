//! Mistakes in the configuration as people see them: what, where (with the line itself), why, what to do.

use std::cell::RefCell;
use std::ops::Range;
use std::path::PathBuf;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use zeroize::Zeroizing;

use super::mask::{ShownLine, line_at, shown_line};
use crate::fault::one_line;
use crate::limits::MAX_PROBLEMS_SHOWN;
use crate::setup_error::SetupError;

/// One file as it was read; wiped on drop because it may hold secrets.
pub(super) struct SourceFile {
    pub path: PathBuf,
    pub text: Zeroizing<String>,
}

/// Bytes of one of the files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub file: usize,
    pub start: usize,
    pub end: usize,
}

impl Place {
    pub fn new(file: usize, span: Range<usize>) -> Self {
        Place { file, start: span.start, end: span.end }
    }
}

/// One mistake. Its texts must not quote secrets; the shown lines are masked when they are rendered.
pub(super) struct Problem {
    title: String,
    marks: Vec<(Place, String)>,
    help: Option<String>,
}

impl Problem {
    pub fn new(title: impl Into<String>) -> Self {
        Problem { title: title.into(), marks: Vec::new(), help: None }
    }
    /// Where it is and, on that line, why it is wrong.
    pub fn at(mut self, place: Place, why: impl Into<String>) -> Self {
        self.marks.push((place, why.into()));
        self
    }
    /// What to do.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Collects what is found while the files are read, so that everything is reported at once.
pub(super) struct Book<'s> {
    files: &'s [SourceFile],
    problems: RefCell<Vec<Problem>>,
    secrets: RefCell<Vec<Place>>,
    warnings: RefCell<Vec<String>>,
}

impl<'s> Book<'s> {
    pub fn new(files: &'s [SourceFile]) -> Self {
        let (problems, secrets, warnings) = Default::default();
        Book { files, problems, secrets, warnings }
    }
    /// In the order that [`Place`] counts them.
    pub fn files(&self) -> &'s [SourceFile] {
        self.files
    }
    /// Adds a mistake; any one makes [`Book::finish`] fail.
    pub fn report(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }
    /// These bytes are never shown.
    pub fn mark_secret(&self, place: Place) {
        self.secrets.borrow_mut().push(place);
    }
    /// Adds a remark that does not stop the daemon, prefixed with where it applies.
    pub fn warn(&self, place: &Place, text: &str) {
        self.warnings.borrow_mut().push(format!("{}: {text}", self.position(place)));
    }
    /// Adds a remark that belongs to no line of any file.
    pub fn warn_in_general(&self, text: String) {
        self.warnings.borrow_mut().push(text);
    }
    /// `file:line:column`, counted from 1 in characters.
    pub fn position(&self, place: &Place) -> String {
        let Some(file) = self.files.get(place.file) else { return String::new() };
        let (line, _) = line_at(&file.text, place.start);
        format!("{}:{line}:{}", file.path.display(), self.column(place))
    }
    fn column(&self, place: &Place) -> usize {
        let Some(file) = self.files.get(place.file) else { return 1 };
        let (_, line) = line_at(&file.text, place.start);
        file.text.get(line.start..place.start).map_or(1, |before| before.chars().count() + 1)
    }
    /// Whether a mistake was reported so far; warnings do not count.
    pub fn has_problems(&self) -> bool {
        !self.problems.borrow().is_empty()
    }

    /// The warnings when nothing is wrong, else all mistakes in the order of the files.
    pub fn finish(self) -> Result<Vec<String>, SetupError> {
        let mut problems = self.problems.take();
        if problems.is_empty() {
            return Ok(self.warnings.take());
        }
        // General ones ("no tenants") come last: mostly they are explained by those with a place.
        problems.sort_by_key(|p| (p.marks.is_empty(), p.marks.last().map(|(place, _)| place.clone())));
        let secrets = self.secrets.take();
        let mut text = String::new();
        for problem in problems.iter().take(MAX_PROBLEMS_SHOWN) {
            text.push_str(&self.render(problem, &secrets));
            text.push_str("\n\n");
        }
        let summary = match problems.len() {
            1 => "failed to read the configuration: 1 mistake in it".to_owned(),
            n if n > MAX_PROBLEMS_SHOWN => {
                format!(
                    "failed to read the configuration: {n} mistakes in it, of which {MAX_PROBLEMS_SHOWN} are shown"
                )
            }
            n => format!("failed to read the configuration: {n} mistakes in it"),
        };
        Err(SetupError::config(text + &summary))
    }

    fn render(&self, problem: &Problem, secrets: &[Place]) -> String {
        let mut group: Group<'_> = Group::with_title(Level::ERROR.primary_title(one_line(&problem.title)));
        // Columns count in the shown line; where a mask moved them, the real ones are put in.
        let mut moved = Vec::new();
        for (place, why) in &problem.marks {
            let Some(file) = self.files.get(place.file) else { continue };
            let secrets: Vec<Range<usize>> =
                secrets.iter().filter(|s| s.file == place.file).map(|s| s.start..s.end).collect();
            let ShownLine { number, text, mark } =
                shown_line(&file.text, &(place.start..place.end), &secrets);
            let path = file.path.display().to_string();
            let shown_column = text.get(..mark.start).map_or(1, |before| before.chars().count() + 1);
            moved.push((format!("{path}:{number}:{shown_column}"), self.position(place)));
            let label = (!why.is_empty()).then(|| one_line(why));
            group = group.element(
                Snippet::source(text)
                    .line_start(number)
                    .path(path)
                    .annotation(AnnotationKind::Primary.span(mark).label(label)),
            );
        }
        if let Some(help) = &problem.help {
            group = group.element(Level::HELP.message(one_line(help)));
        }
        let text = Renderer::plain().render(&[group]);
        moved.iter().fold(text, |text, (shown, real)| text.replacen(shown, real, 1))
    }
}
