//! Names with parts that the event fills in: `{tenant}`, `{feed}`, `{type}`, `{date}`. Read once, where the configuration is.

use std::fmt;

use crate::clock::Time;
use crate::event::Event;

/// A text with places for what is known of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Tenant,
    Feed,
    Type,
    /// The event's day in UTC; of an event without a time, the day on which it was collected.
    Date,
}

/// What may stand in the name that a template makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// One part of a URL's path or query.
    Url,
    /// The name of an index or data stream: `-` divides its parts, capitals are not allowed.
    Index,
    /// The value of a header: printable ASCII.
    Header,
    /// A name of letters, digits and `_`.
    Word,
    /// Any text.
    Free,
}

/// The names a template knows, for messages.
pub const NAMES: &str = "{tenant}, {feed}, {type}, {date}";

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// What stands between braces and is none of [`NAMES`]; or a brace that has no partner.
    pub fn new(text: &str) -> Result<Self, String> {
        let (mut pieces, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or("{")?;
            if before.contains('}') {
                return Err("}".to_owned());
            }
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            pieces.push(match name {
                "tenant" => Piece::Tenant,
                "feed" => Piece::Feed,
                "type" => Piece::Type,
                "date" => Piece::Date,
                unknown => return Err(format!("{{{unknown}}}")),
            });
            rest = after;
        }
        if rest.contains('}') {
            return Err("}".to_owned());
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Template(pieces))
    }

    /// Appends what it makes of an event; its own text goes out as it is.
    pub fn write(&self, event: &Event<'_>, place: Place, out: &mut String) {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Tenant => place.write(event.tenant, out),
                Piece::Feed => place.write(event.feed, out),
                Piece::Type => place.write(event.kind, out),
                Piece::Date => {
                    let day = Time(event.time.unwrap_or(event.collected)).rfc3339();
                    let day = day.split('T').next().unwrap_or_default();
                    out.push_str(&if place == Place::Index { day.replace('-', ".") } else { day.to_owned() });
                }
            }
        }
    }
}

/// As it was written.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| {
            f.write_str(match piece {
                Piece::Text(text) => text,
                Piece::Tenant => "{tenant}",
                Piece::Feed => "{feed}",
                Piece::Type => "{type}",
                Piece::Date => "{date}",
            })
        })
    }
}

impl Place {
    /// What of outside text may not stand here is replaced; what an attacker writes cannot leave its place.
    fn write(self, text: &str, out: &mut String) {
        match self {
            Place::Free => out.push_str(text),
            Place::Url => out.extend(url::form_urlencoded::byte_serialize(text.as_bytes()).map(spaced)),
            Place::Index => out.extend(text.chars().map(|c| match c.to_ascii_lowercase() {
                c if c.is_ascii_alphanumeric() || c == '.' => c,
                _ => '_',
            })),
            Place::Header => out.extend(text.chars().map(|c| if (' '..='~').contains(&c) { c } else { '_' })),
            Place::Word => out.extend(text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })),
        }
    }
}

/// A form's `+` is a plus in a path.
fn spaced(part: &str) -> &str {
    if part == "+" { "%20" } else { part }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventId, Severity};

    fn event<'a>(tenant: &'a str, kind: &'a str) -> Event<'a> {
        Event {
            id: EventId([0; 16]),
            tenant,
            feed: "siem.receipt",
            kind,
            time: Some(1_767_225_600_123), // the first minute of 2026
            collected: 1_767_225_660_000,
            severity: Severity::Informational,
            repaired: false,
            json: true,
            raw: b"{}",
        }
    }

    #[test]
    fn outside_text_stays_in_its_place() {
        let template = Template::new("a-{tenant}/{type}-{date}").unwrap();
        assert_eq!(template.to_string(), "a-{tenant}/{type}-{date}");
        let event = event("Acme/../x y", "é?&\r\n");
        for (place, made) in [
            (Place::Url, "a-Acme%2F..%2Fx%20y/%C3%A9%3F%26%0D%0A-2026-01-01"),
            (Place::Index, "a-acme_.._x_y/_____-2026.01.01"),
            (Place::Header, "a-Acme/../x y/_?&__-2026-01-01"),
            (Place::Word, "a-Acme____x_y/_____-2026-01-01"),
        ] {
            let mut out = String::new();
            template.write(&event, place, &mut out);
            assert_eq!(out, made, "{place:?}");
        }
        for (text, wrong) in
            [("{tenants}", "{tenants}"), ("a{", "{"), ("a}b", "}"), ("a}{feed}", "}"), ("{}", "{}")]
        {
            assert_eq!(Template::new(text).unwrap_err(), wrong);
        }
    }
}
