//! Nested JSON objects from a flat table of leaves. Leaves of one group stand next to each other; a group is
//! opened by its first leaf that has a value and not written when none has.

use std::cell::Cell;

use super::fields::Field;
use super::json;
use super::kind::Type;
use super::record::Record;
use super::value::{Kind, Value};
use crate::clock::Time;
use crate::event::Event;

/// Appends the leaf's value as JSON; false when there is none, and then nothing counts of what was appended.
pub type Fill = fn(&Leaf, &Context<'_>, &mut Vec<u8>) -> bool;

/// One place in the output.
pub struct Leaf {
    /// The groups and the name. `name[]` is a list of one object.
    pub path: &'static [&'static str],
    /// What it is made of; where the record has several, the first counts, or all for lists.
    pub from: &'static [Field],
    /// For which variants (types of record, classes), one bit each; none: only with Mimecast's own bytes wanted.
    pub only: u64,
    /// It has a value even of a record that has none of the fields.
    pub always: bool,
    pub fill: Fill,
}

/// What a leaf may look at.
pub struct Context<'a> {
    pub event: &'a Event<'a>,
    pub record: Record<'a>,
    /// Number of the variant, for [`Leaf::only`].
    pub variant: u32,
    /// When it was collected, as text.
    pub collected: &'a [u8],
    /// Mimecast's own bytes are wanted.
    pub original: bool,
    /// Fields that found their place, one bit each: the others are carried under their own name.
    pub used: Cell<u64>,
}

impl<'a> Context<'a> {
    /// The field has its place.
    pub fn uses(&self, field: Field) {
        self.used.set(self.used.get() | field.bit());
    }

    /// The first of the leaf's fields that the record has and `wanted` takes; it counts as used.
    pub fn take<T>(&self, leaf: &Leaf, mut wanted: impl FnMut(Value<'a>) -> Option<T>) -> Option<T> {
        leaf.from.iter().find_map(|field| {
            let found = wanted(self.record.get(*field)?)?;
            self.uses(*field);
            Some(found)
        })
    }
}

/// A table of leaves, made ready.
pub struct Tree {
    /// Group of what has no place in the table; the table's last group may be the same.
    rest: &'static str,
    /// Fields that are known from elsewhere.
    dropped: &'static [Field],
    leaves: Vec<Ready>,
    /// Keys written into the open group, as places in the output.
    keys: Vec<(usize, usize)>,
}

/// A leaf and what can be known of it beforehand.
struct Ready {
    leaf: &'static Leaf,
    /// Groups it shares with the leaf before.
    common: usize,
    /// Fields of which it needs one, one bit each; none when it always has a value.
    needs: u64,
    /// `,"name":`
    key: Vec<u8>,
}

/// Where in the tree the output stands.
#[derive(Clone, Copy, Default)]
struct Pen {
    depth: usize,
    /// Which open groups are lists, one bit each.
    lists: u32,
    /// Nothing stands behind the last `{`.
    fresh: bool,
}

impl Pen {
    fn close_to(&mut self, depth: usize, out: &mut Vec<u8>) {
        while self.depth > depth {
            self.depth -= 1;
            out.push(b'}');
            if self.lists & (1 << self.depth) != 0 {
                out.push(b']');
            }
            self.fresh = false;
        }
    }

    fn key(&mut self, name: &str, out: &mut Vec<u8>) {
        if !std::mem::take(&mut self.fresh) {
            out.push(b',');
        }
        out.push(b'"');
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
    }

    fn open(&mut self, group: &str, out: &mut Vec<u8>) {
        let (name, list) = group.strip_suffix("[]").map_or((group, false), |name| (name, true));
        self.key(name, out);
        out.extend_from_slice(if list { b"[{" } else { b"{" });
        self.lists = (self.lists & !(1 << self.depth)) | u32::from(list) << self.depth;
        self.depth += 1;
        self.fresh = true;
    }
}

impl Tree {
    pub fn new(table: &'static [Leaf], rest: &'static str, dropped: &'static [Field]) -> Self {
        let mut before: &[&str] = &[];
        let mut leaves = Vec::new();
        for leaf in table {
            let groups = leaf.path.split_last().map_or::<&[&str], _>(&[], |(_, groups)| groups);
            let common = before.iter().zip(groups).take_while(|(a, b)| a == b).count();
            let needs = leaf.from.iter().filter(|_| !leaf.always).fold(0, |bits, field| bits | field.bit());
            let key = format!(",\"{}\":", leaf.path.last().unwrap_or(&"")).into_bytes();
            leaves.push(Ready { leaf, common, needs, key });
            before = groups;
        }
        Tree { rest, dropped, leaves, keys: Vec::new() }
    }

    /// Appends the object.
    pub fn write(&mut self, context: &Context<'_>, out: &mut Vec<u8>) {
        out.push(b'{');
        let mut pen = Pen { fresh: true, ..Pen::default() };
        let mut shared = 0;
        let present = context.record.present;
        for Ready { leaf, common, needs, key } in &self.leaves {
            shared = shared.min(*common);
            let wanted = leaf.only & (1 << context.variant) != 0 || (leaf.only == 0 && context.original);
            if !wanted || (*needs != 0 && present & needs == 0) {
                continue;
            }
            let (start, before) = (out.len(), pen);
            pen.close_to(shared, out);
            let groups = leaf.path.split_last().map_or::<&[&str], _>(&[], |(_, groups)| groups);
            groups.iter().skip(pen.depth).for_each(|group| pen.open(group, out));
            out.extend_from_slice(key.get(usize::from(pen.fresh)..).unwrap_or_default());
            pen.fresh = false;
            if (leaf.fill)(leaf, context, out) {
                shared = groups.len();
            } else {
                out.truncate(start);
                pen = before;
            }
        }
        self.others(context, &mut pen, shared, out);
        pen.close_to(0, out);
        out.push(b'}');
    }

    /// What has no place, under its own name.
    fn others(&mut self, context: &Context<'_>, pen: &mut Pen, shared: usize, out: &mut Vec<u8>) {
        let (start, before) = (out.len(), *pen);
        // the table's last group may be this one already
        let inside =
            self.leaves.last().is_some_and(|last| last.leaf.path.first() == Some(&self.rest)) && shared >= 1;
        pen.close_to(usize::from(inside), out);
        if !inside {
            pen.open(self.rest, out);
        }
        let from = out.len();
        self.keys.clear();
        let dropped = self.dropped.iter().fold(0, |bits, field| bits | field.bit());
        let mut left = context.record.present & !context.used.get() & !dropped;
        while let Some(field) = Field::ALL.get(left.trailing_zeros() as usize) {
            left &= left - 1;
            if let (Some(name), Some(value)) = (context.record.name(*field), context.record.get(*field)) {
                if *field == Field::SpamDetail {
                    self.spam_detail(context, (name, value), pen, out);
                } else {
                    self.member(name, value, pen, out);
                }
            }
        }
        for (name, value) in context.record.others() {
            self.member(name, value, pen, out);
        }
        if context.record.left_out > 0 {
            pen.key("fields_left_out", out);
            super::text::number(out, context.record.left_out as u64);
        }
        if out.len() == from && !inside {
            out.truncate(start);
            *pen = before;
        }
    }

    /// One field under its own name, which is written once however often the record has it.
    fn member(&mut self, name: &[u8], value: Value<'_>, pen: &mut Pen, out: &mut Vec<u8>) {
        const RESERVED: [&[u8]; 3] = [b"\"log_type\"", b"\"search_details\"", b"\"fields_left_out\""];
        let (start, before) = (out.len(), *pen);
        if !std::mem::take(&mut pen.fresh) {
            out.push(b',');
        }
        let from = out.len();
        let kind = if name.contains(&b'\\') { Kind::Escaped } else { Kind::Plain };
        json::string(Value { kind, bytes: name, ascii: value.ascii }, out);
        let key = out.get(from..).unwrap_or_default();
        let known = self.keys.iter().any(|(a, b)| out.get(*a..*b) == Some(key)) || RESERVED.contains(&key);
        if known {
            out.truncate(start);
            *pen = before;
            return;
        }
        self.keys.push((from, out.len()));
        out.push(b':');
        json::any(value, out);
    }

    /// The field that comes in four shapes. Elastic's index takes text in the SIEM logs and an object in the
    /// release logs, so it is always that; what cannot be an object has a name of its own there.
    fn spam_detail(
        &mut self,
        context: &Context<'_>,
        (name, value): (&[u8], Value<'_>),
        pen: &mut Pen,
        out: &mut Vec<u8>,
    ) {
        let object = context.record.kind == Type::HeldRelease;
        if !object && value.kind == Kind::Escaped && value.bytes.first() == Some(&b'{') {
            return self.member(name, value, pen, out); // the usual shape: JSON in a string
        }
        let inner = json::unwrapped(value);
        let sound = object && inner.starts_with('{') && json::is_sound(inner.as_bytes());
        if !object {
            self.member(name, Value::plain(&inner), pen, out);
        } else if sound {
            self.member(name, Value::of(Kind::Nested, inner.as_bytes()), pen, out);
        } else {
            self.member(b"spamProcessingDetailText", Value::plain(&inner), pen, out);
        }
    }
}

/// The first of the fields, as a string; of a list its texts, joined.
pub fn text(leaf: &Leaf, context: &Context<'_>, out: &mut Vec<u8>) -> bool {
    let write = |value: Value<'_>| {
        match value.kind {
            Kind::Nested => json::limited(value, usize::MAX, out),
            _ => json::string(value, out),
        }
        Some(())
    };
    context.take(leaf, write).is_some()
}

/// All of the fields, as a list of strings without repeats.
pub fn texts(leaf: &Leaf, context: &Context<'_>, out: &mut Vec<u8>) -> bool {
    out.push(b'[');
    let mut list = json::List::default();
    for field in leaf.from {
        if let Some(value) = context.record.get(*field) {
            list.add(value, out);
            context.uses(*field);
        }
    }
    out.push(b']');
    !list.is_empty()
}

/// An address, as a string; what is none stays under its own name.
pub fn ip(leaf: &Leaf, context: &Context<'_>, out: &mut Vec<u8>) -> bool {
    context.take(leaf, |value| value.is_ip().then(|| json::quoted(value.bytes, out))).is_some()
}

/// A whole number; what is none stays under its own name.
pub fn integer(leaf: &Leaf, context: &Context<'_>, out: &mut Vec<u8>) -> bool {
    context.take(leaf, |value| value.integer().map(|digits| out.extend_from_slice(digits))).is_some()
}

/// True or false; what is neither stays under its own name.
pub fn flag(leaf: &Leaf, context: &Context<'_>, out: &mut Vec<u8>) -> bool {
    let word = |flag| if flag { b"true".as_slice() } else { b"false" };
    context.take(leaf, |value| value.flag().map(|flag| out.extend_from_slice(word(flag)))).is_some()
}

/// The direction, in lower case.
pub fn direction(leaf: &Leaf, context: &Context<'_>, out: &mut Vec<u8>) -> bool {
    let Some((direction, field)) = context.record.direction() else { return false };
    if leaf.from.contains(&field) {
        context.uses(field);
    }
    json::text(direction.word(), out);
    true
}

/// A moment, as a string.
pub fn moment(at: i64, out: &mut Vec<u8>) -> bool {
    out.push(b'"');
    Time(at).rfc3339_into(out);
    out.push(b'"');
    true
}

/// Mimecast's own bytes, as a string.
pub fn original(record: &Record<'_>, out: &mut Vec<u8>) -> bool {
    json::string(Value::plain_bytes(record.bytes), out);
    true
}
