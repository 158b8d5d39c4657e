//! One record, read once: where each [`Field`] stands in its bytes, and what is left over. Reused from event to
//! event, so that reading allocates nothing once it has seen a record of usual size.

use super::fields::{Field, Index};
use super::kind::{Known, Type};
use super::scan;
use super::value::{Kind, Value};
use crate::event::Event;
use crate::limits::MAX_OTHER_FIELDS;

const FIELDS: usize = Field::ALL.len();

/// Where a key and its value stand.
#[derive(Clone, Copy, Default)]
pub struct Slot {
    key: (u32, u32),
    value: (u32, u32),
    kind: Kind,
}

/// Reads records; keeps its memory between them.
pub struct Reader {
    index: Index,
    known: Known,
    slots: [Slot; FIELDS],
    /// Which slots hold something of this record, one bit each.
    present: u64,
    others: Vec<Slot>,
    /// The record with its broken UTF-8 replaced, when it has any.
    repaired: Vec<u8>,
}

impl Default for Reader {
    fn default() -> Self {
        Reader {
            index: Index::default(),
            known: Known::default(),
            slots: [Slot::default(); FIELDS],
            present: 0,
            others: Vec::new(),
            repaired: Vec::new(),
        }
    }
}

/// What a record says. Borrowed from the reader and the event.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    pub kind: Type,
    /// The record's bytes, its UTF-8 sound.
    pub bytes: &'a [u8],
    /// The bytes followed their grammar to the end. Where not, fields before the fault are there.
    pub whole: bool,
    /// Fields without a name here that were left out because there were too many.
    pub left_out: usize,
    /// Which fields it has, one bit each.
    pub present: u64,
    /// It is printable ASCII throughout.
    pub ascii: bool,
    slots: &'a [Slot; FIELDS],
    others: &'a [Slot],
}

impl Reader {
    /// Reads one event.
    pub fn read<'a>(&'a mut self, event: &Event<'a>) -> Record<'a> {
        let kind = self.known.of(event);
        self.present = 0; // what stands in the slots is of an earlier record
        self.others.clear();
        let bytes = if event.repaired {
            self.repaired.clear();
            super::text::repaired(&mut self.repaired, event.raw, false);
            &self.repaired
        } else {
            event.raw
        };
        let (index, slots, others) = (&self.index, &mut self.slots, &mut self.others);
        let present = &mut self.present;
        let mut left_out = 0;
        let take = |key: &'a [u8], value: Value<'a>| {
            if value.kind == Kind::Absent
                || matches!(value.bytes, b"[]" | b"{}") && value.kind == Kind::Nested
            {
                return;
            }
            let slot = Slot { key: place(bytes, key), value: place(bytes, value.bytes), kind: value.kind };
            let field = index.find(kind, key).or_else(|| index.find(kind, decoded(key)?.as_bytes()));
            if field == Some(Field::Queue) {
                return;
            }
            let free = field.filter(|field| *present & field.bit() == 0);
            match free.and_then(|field| slots.get_mut(field as usize).zip(Some(field))) {
                Some((free, field)) => {
                    *free = slot;
                    *present |= field.bit();
                }
                _ if others.len() < MAX_OTHER_FIELDS => others.push(slot),
                _ => left_out += 1,
            }
        };
        // offsets are 32 bits; intake takes no record near that size
        let whole = u32::try_from(bytes.len()).is_ok()
            && if event.json { scan::members(bytes, take) } else { scan::pairs(bytes, take) };
        Record {
            kind,
            bytes,
            ascii: is_ascii(bytes),
            whole,
            left_out,
            present: self.present,
            slots: &self.slots,
            others: &self.others,
        }
    }
}

/// A key written with escapes, which nobody does who has nothing to hide.
fn decoded(key: &[u8]) -> Option<String> {
    memchr::memchr(b'\\', key)?;
    let mut text = String::new();
    Value::of(Kind::Escaped, key).each_char(|c| text.push(c));
    Some(text)
}

/// Nothing but printable ASCII, found out without a branch per byte.
fn is_ascii(bytes: &[u8]) -> bool {
    let odd = |any: u8, byte: &u8| any | u8::from((*byte < 0x20) | (*byte >= 0x7f));
    let (blocks, tail) = bytes.as_chunks::<64>();
    let odds = blocks.iter().fold(0, |any, block| any | block.iter().fold(0, odd));
    tail.iter().fold(odds, odd) == 0
}

/// Where `part` stands in `whole`, of which it is a part.
fn place(whole: &[u8], part: &[u8]) -> (u32, u32) {
    let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    (start as u32, (start + part.len()) as u32)
}

impl<'a> Record<'a> {
    fn part(&self, (from, to): (u32, u32)) -> &'a [u8] {
        self.bytes.get(from as usize..to as usize).unwrap_or_default()
    }

    fn slot(&self, field: Field) -> Option<&'a Slot> {
        if self.present & field.bit() == 0 {
            return None;
        }
        self.slots.get(field as usize)
    }

    /// The field's value; `None` when the record has none, `null` or nothing in it.
    pub fn get(&self, field: Field) -> Option<Value<'a>> {
        let slot = self.slot(field)?;
        Some(Value { kind: slot.kind, bytes: self.part(slot.value), ascii: self.ascii })
    }

    /// The name the record itself has for the field.
    pub fn name(&self, field: Field) -> Option<&'a [u8]> {
        self.slot(field).map(|slot| self.part(slot.key))
    }

    /// The first of `fields` that the record has.
    pub fn first(&self, fields: &[Field]) -> Option<Value<'a>> {
        fields.iter().find_map(|field| self.get(*field))
    }

    /// Fields without a name here, and second names of one that has: key as it stands, value.
    pub fn others(&self) -> impl Iterator<Item = (&'a [u8], Value<'a>)> {
        let record = *self;
        self.others.iter().map(move |slot| {
            (
                record.part(slot.key),
                Value { kind: slot.kind, bytes: record.part(slot.value), ascii: record.ascii },
            )
        })
    }

    /// The direction, where the record has one: its own, or a route that is one; and which of the two.
    pub fn direction(&self) -> Option<(Direction, Field)> {
        const WORDS: &[(&str, Direction)] = &[
            ("inbound", Direction::Inbound),
            ("outbound", Direction::Outbound),
            ("internal", Direction::Internal),
            ("external", Direction::External),
        ];
        let read = |field| self.get(field)?.one_of(WORDS).map(|direction| (direction, field));
        read(Field::Direction).or_else(|| read(Field::Route))
    }

    /// Whether what the event tells of succeeded, as far as it says so: deliveries do, refusals do.
    pub fn success(&self) -> Option<bool> {
        if let Some(delivered) = self.get(Field::Delivered) {
            return delivered.flag();
        }
        let refused = self.get(Field::Action).is_some_and(|action| action.is("Rej") || action.is("rejected"));
        (refused || self.get(Field::RejectionType).is_some()).then_some(false)
    }

    /// The address that an audit event names in its free text: `…, IP: 192.0.2.18, Application: …`.
    pub fn audit_ip(&self) -> Option<Value<'a>> {
        const MARK: &[u8] = b", IP: ";
        let details = self.get(Field::Details).filter(|_| self.kind == Type::Audit)?;
        let from = memchr::memmem::rfind(details.bytes, MARK)? + MARK.len();
        let rest = details.bytes.get(from..)?;
        let len =
            rest.iter().take_while(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':')).count();
        let value = Value::of(Kind::Plain, rest.get(..len)?);
        value.ip().map(|_| value)
    }

    /// The SHA-256 in a threat indicator's pattern.
    pub fn pattern_sha256(&self) -> Option<Value<'a>> {
        const DIGITS: usize = 64;
        let pattern = self.get(Field::Pattern)?.bytes;
        let mark = memchr::memmem::find(pattern, b"SHA-256")?;
        let rest = pattern.get(mark + 7..)?;
        let from = rest.iter().position(u8::is_ascii_hexdigit)?;
        let bytes = rest.get(from..from + DIGITS)?;
        bytes.iter().all(u8::is_ascii_hexdigit).then_some(Value::of(Kind::Plain, bytes))
    }
}

/// Which way a message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Inbound,
    Outbound,
    Internal,
    External,
}

impl Direction {
    /// In lower case, as ECS and Elastic's own integration have it.
    pub fn word(self) -> &'static str {
        match self {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
            Direction::Internal => "internal",
            Direction::External => "external",
        }
    }
}
