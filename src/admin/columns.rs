//! Columns that fit a terminal: aligned, coloured by tone, the less important ones left out where it is narrow, and
//! prose on lines of its own.

use super::words::Tone;
use crate::telemetry::escape::clean;

/// The narrowest width that anything is made to fit.
const NARROWEST: usize = 40;

/// What the reader's terminal can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextLook {
    pub colour: bool,
    /// Columns; `None`: as wide as it takes.
    pub width: Option<usize>,
}

impl TextLook {
    /// `text` in the colour of a tone.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            _ if !self.colour => return text.to_owned(),
            Tone::Good => "32",
            Tone::Busy => "36",
            Tone::Idle => return text.to_owned(),
            Tone::Warn => "33",
            Tone::Bad => "1;31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
    fn width(self) -> Option<usize> {
        self.width.map(|width| width.max(NARROWEST))
    }
    /// Lines of words that fit beside an indentation; a word that is wider stands alone.
    pub(super) fn wrap(self, text: &str, indent: usize) -> Vec<String> {
        let Some(room) = self.width().map(|width| width.saturating_sub(indent).max(NARROWEST / 2)) else {
            return vec![text.to_owned()];
        };
        let mut lines = vec![String::new()];
        for word in text.split(' ') {
            let taken = lines.last().map_or(0, |line| line.chars().count());
            match lines.last_mut() {
                Some(line) if taken == 0 => line.push_str(word),
                Some(line) if taken + 1 + word.chars().count() <= room => {
                    line.push(' ');
                    line.push_str(word);
                }
                _ => lines.push(word.to_owned()),
            }
        }
        lines
    }
}

/// One column.
#[derive(Clone, Copy)]
pub struct Column {
    head: &'static str,
    right: bool,
    /// Left out where it is narrow, the smallest first; `None`: never.
    rank: Option<u8>,
    /// Prose: where it is narrow, on a line of its own below the row.
    below: bool,
}

impl Column {
    pub const fn words(head: &'static str) -> Column {
        Column { head, right: false, rank: None, below: false }
    }
    pub const fn figures(head: &'static str) -> Column {
        Column { right: true, ..Column::words(head) }
    }
    pub const fn below(head: &'static str) -> Column {
        Column { below: true, ..Column::words(head) }
    }
    /// It can be left out, in this order.
    pub const fn less(self, rank: u8) -> Column {
        Column { rank: Some(rank), ..self }
    }
}

/// What stands in a column.
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    pub fn plain(text: impl AsRef<str>) -> Cell {
        Cell::toned(text, Tone::Idle)
    }
    pub fn toned(text: impl AsRef<str>, tone: Tone) -> Cell {
        Cell { text: clean(text.as_ref()).into_owned(), tone }
    }
    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

/// The table's lines. Figures to the right, words to the left, each column as wide as its widest cell.
pub(super) fn columns(look: TextLook, heads: &[Column], rows: Vec<Vec<Cell>>) -> Vec<String> {
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at)).map(Cell::width);
        cells.chain(heads.get(at).map(|head| head.head.chars().count())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let (kept, below) = fit(look, heads, &widths);
    let line = |cell: &dyn Fn(usize, &Column) -> (String, Tone)| {
        let mut text = String::new();
        for at in &kept {
            let (Some(head), Some(width)) = (heads.get(*at), widths.get(*at)) else { continue };
            let (cell, tone) = cell(*at, head);
            let space = " ".repeat(width.saturating_sub(cell.chars().count()));
            let cell = look.paint(tone, &cell);
            text.push_str(&if head.right { format!(" {space}{cell} ") } else { format!(" {cell}{space} ") });
        }
        text.trim_end().to_owned()
    };
    let mut lines = vec![line(&|_, head| (head.head.to_owned(), Tone::Idle))];
    let mut said = String::new();
    for row in &rows {
        lines.push(line(&|at, _| {
            row.get(at).map_or((String::new(), Tone::Idle), |cell| (cell.text.clone(), cell.tone))
        }));
        for cell in below.iter().filter_map(|at| row.get(*at)) {
            // what holds for a run of rows is said once, below its first
            if cell.text.is_empty() || cell.text == said {
                continue;
            }
            lines.extend(look.wrap(&cell.text, 6).into_iter().map(|part| format!("      {part}")));
        }
        said = below.iter().filter_map(|at| row.get(*at)).map(|cell| cell.text.as_str()).collect();
    }
    lines
}

/// Which columns stand side by side, and which below.
fn fit(look: TextLook, heads: &[Column], widths: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let mut kept: Vec<usize> = (0..heads.len()).collect();
    let Some(room) = look.width() else { return (kept, Vec::new()) };
    let taken =
        |kept: &[usize]| kept.iter().filter_map(|at| widths.get(*at)).map(|width| width + 2).sum::<usize>();
    let is_below = |at: &usize| heads.get(*at).is_some_and(|head| head.below);
    let mut below = Vec::new();
    if taken(&kept) > room {
        below = kept.iter().copied().filter(is_below).collect();
        kept.retain(|at| !is_below(at));
    }
    while taken(&kept) > room {
        let rank = |at: &usize| heads.get(*at).and_then(|head| head.rank);
        let Some(least) = kept.iter().filter_map(rank).min() else { break };
        kept.retain(|at| rank(at) != Some(least));
    }
    (kept, below)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADS: [Column; 4] = [
        Column::words("NAME"),
        Column::figures("COUNT").less(2),
        Column::words("ADDRESS").less(1),
        Column::below("WHY"),
    ];

    fn table(look: TextLook) -> String {
        let why = "the other side closed the connection before it had answered anything at all";
        let row = |name, why| {
            vec![
                Cell::toned(name, Tone::Bad),
                Cell::plain("12"),
                Cell::plain("192.0.2.1:6514"),
                Cell::plain(why),
            ]
        };
        columns(look, &HEADS, vec![row("splunk", why), row("archive", "")]).join("\n")
    }

    #[test]
    fn a_wide_terminal_gets_everything_on_one_line() {
        let plain = " NAME     COUNT  ADDRESS         WHY\n \
                     splunk      12  192.0.2.1:6514  the other side closed the connection before it had answered anything at all\n \
                     archive     12  192.0.2.1:6514";
        assert_eq!(table(TextLook::default()), plain);
        let coloured = table(TextLook { colour: true, width: Some(200) });
        assert!(coloured.contains("\x1b[1;31msplunk\x1b[0m      12"), "{coloured}");
        assert_eq!(coloured.replace("\x1b[1;31m", "").replace("\x1b[0m", ""), plain);
    }

    #[test]
    fn a_narrow_one_gets_the_reason_below_and_then_fewer_columns() {
        let look = |width| TextLook { colour: false, width: Some(width) };
        let text = table(look(60));
        assert!(
            text.starts_with(
                " NAME     COUNT  ADDRESS\n splunk      12  192.0.2.1:6514\n      the other side"
            ),
            "{text}"
        );
        let row = || {
            vec![
                Cell::plain("a"),
                Cell::plain("1"),
                Cell::plain("192.0.2.1:6514"),
                Cell::plain("paused as a whole"),
            ]
        };
        let text = columns(look(40), &HEADS, vec![row(), row(), row()]).join("\n");
        assert_eq!(text.matches("paused").count(), 1, "{text}");
        for width in [60, 40] {
            assert!(
                table(look(width)).lines().all(|line| line.chars().count() <= width),
                "{}",
                table(look(width))
            );
        }
        let long = vec![vec![
            Cell::plain("a-name-of-thirty-characters-or-"),
            Cell::plain("1"),
            Cell::plain("192.0.2.1:6514"),
            Cell::plain(""),
        ]];
        let text = columns(look(40), &HEADS, long).join("\n");
        assert!(text.contains("COUNT") && !text.contains("ADDRESS"), "{text}");
    }

    #[test]
    fn what_comes_from_outside_cannot_paint() {
        let row = vec![Cell::plain("\x1b[2J"), Cell::plain(""), Cell::plain(""), Cell::plain("\u{202e}")];
        assert!(
            !columns(TextLook { colour: true, width: Some(50) }, &HEADS, vec![row])
                .concat()
                .contains("\x1b[2J")
        );
    }
}
