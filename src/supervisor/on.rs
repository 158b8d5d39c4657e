//! Which faults a row of the recovery table is about, and what they show of the host that was asked.

use super::host::Shows;
use crate::fault::{Fault, Kind};

/// Which faults of a surface a row is about. All conditions must hold.
#[derive(Clone, Copy, Debug)]
pub struct On {
    what: What,
    code: Name,
    attributed: Option<bool>,
    field: Option<FieldClass>,
    retryable: bool,
    says: &'static [&'static str],
    pub(super) shows: Shows,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Anything,
    /// Inclusive ranges of HTTP status.
    Status(&'static [(u16, u16)]),
    Kinds(&'static [Kind]),
}

#[derive(Clone, Copy, Debug)]
enum Name {
    Any,
    Absent,
    Present,
    OneOf(&'static [&'static str]),
}

/// What a refused request field is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldClass {
    Cursor,
    Date,
    PageSize,
}

impl FieldClass {
    /// From the field's name as the service writes it (`nextPage`, `dateRangeStartsAt`, `pageSize`).
    pub fn of(field: &str) -> Option<Self> {
        let last = field.rsplit(['.', '/', ']']).find(|part| !part.is_empty())?.to_ascii_lowercase();
        match last.as_str() {
            "nextpage" | "@nextpage" | "pagetoken" | "token" | "next" => Some(FieldClass::Cursor),
            "pagesize" => Some(FieldClass::PageSize),
            "from" | "to" | "start" | "end" => Some(FieldClass::Date),
            other if other.contains("date") => Some(FieldClass::Date),
            _ => None,
        }
    }
}

impl On {
    /// Every fault of the surface: the catch-all.
    pub const ANYTHING: On = On {
        what: What::Anything,
        code: Name::Any,
        attributed: None,
        field: None,
        retryable: false,
        says: &[],
        shows: Shows::Nothing,
    };

    /// These HTTP statuses, as inclusive ranges.
    pub const fn status(ranges: &'static [(u16, u16)]) -> On {
        On { what: What::Status(ranges), ..On::ANYTHING }
    }
    /// Faults that are no HTTP status: of transport, disk, content.
    pub const fn kinds(kinds: &'static [Kind]) -> On {
        On { what: What::Kinds(kinds), ..On::ANYTHING }
    }
    /// ... with one of these codes, upper or lower case.
    pub const fn code(self, codes: &'static [&'static str]) -> On {
        On { code: Name::OneOf(codes), ..self }
    }
    /// ... without any code.
    pub const fn uncoded(self) -> On {
        On { code: Name::Absent, ..self }
    }
    /// ... with a code that no earlier row knows.
    pub const fn other_code(self) -> On {
        On { code: Name::Present, ..self }
    }
    /// ... in an answer that is not in a form of Mimecast or OAuth.
    pub const fn unattributed(self) -> On {
        On { attributed: Some(false), ..self }
    }
    /// ... in an answer that is in a form of Mimecast or OAuth.
    pub const fn attributed(self) -> On {
        On { attributed: Some(true), ..self }
    }
    /// ... that names a field of this class.
    pub const fn field(self, class: FieldClass) -> On {
        On { field: Some(class), ..self }
    }
    /// ... which the service itself calls worth another try.
    pub const fn retryable(self) -> On {
        On { retryable: true, ..self }
    }

    /// ... which show this of the host.
    pub const fn showing(self, shows: Shows) -> On {
        On { shows, ..self }
    }
    /// ... whose words contain one of these, in any case.
    pub const fn says(self, phrases: &'static [&'static str]) -> On {
        On { says: phrases, ..self }
    }

    pub(super) fn holds(&self, fault: &Fault) -> bool {
        let what = match self.what {
            What::Anything => true,
            What::Status(ranges) => {
                fault.status().is_some_and(|s| ranges.iter().any(|&(low, high)| (low..=high).contains(&s)))
            }
            What::Kinds(kinds) => kinds.contains(&fault.kind),
        };
        if !what {
            return false;
        }
        let code = match self.code {
            Name::Any => true,
            Name::Absent => fault.code.is_none(),
            Name::Present => fault.code.is_some(),
            Name::OneOf(codes) => codes.iter().any(|code| code.eq_ignore_ascii_case(fault.code_str())),
        };
        code && self.attributed.is_none_or(|wanted| wanted == fault.attributed)
            && self.field.is_none_or(|class| fault.field.as_deref().and_then(FieldClass::of) == Some(class))
            && (!self.retryable || fault.retryable == Some(true))
            && (self.says.is_empty() || self.is_said(&fault.detail))
    }
    fn is_said(&self, detail: &str) -> bool {
        let detail = detail.to_ascii_lowercase();
        self.says.iter().any(|phrase| detail.contains(phrase))
    }
    /// The HTTP statuses this row is about, as inclusive ranges; empty when it is not about a status.
    pub fn statuses(&self) -> &'static [(u16, u16)] {
        match self.what {
            What::Status(ranges) => ranges,
            What::Anything | What::Kinds(_) => &[],
        }
    }
    /// The kinds of failure without an HTTP status this row is about.
    pub fn other_kinds(&self) -> &'static [Kind] {
        match self.what {
            What::Kinds(kinds) => kinds,
            What::Anything | What::Status(_) => &[],
        }
    }
    /// The codes this row names.
    pub fn codes(&self) -> &'static [&'static str] {
        match self.code {
            Name::OneOf(codes) => codes,
            Name::Any | Name::Absent | Name::Present => &[],
        }
    }
    #[cfg(test)]
    pub(super) fn is_catch_all(&self) -> bool {
        matches!((self.what, self.code), (What::Anything, Name::Any))
            && self.attributed.is_none()
            && self.field.is_none()
            && !self.retryable
            && self.says.is_empty()
    }
}
