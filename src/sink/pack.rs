//! Turns events into the records of a sink: the format makes the event's bytes, and an HTTP preset puts around them
//! what its destination wants to see. One pass, into the batch that is sent.

use std::fmt;
use std::sync::Arc;

use super::Batch;
use super::http::Preset;
use crate::event::Event;
use crate::format::{Encoder, Fit, Limit, json_string};

/// Writes the records of one sink; kept as long as the sink.
pub struct Packer {
    record: Record,
    /// `None`: what the format makes is the record.
    preset: Option<Arc<dyn Preset>>,
    route: String,
}

impl Packer {
    /// `json`: the format makes a JSON object of every event; else it may make any text.
    pub fn new(encoder: Encoder, json: bool, preset: Option<Arc<dyn Preset>>) -> Self {
        Packer {
            record: Record { encoder, json, scratch: Vec::new(), fit: Fit::Whole },
            preset,
            route: String::new(),
        }
    }

    /// Adds the record of one event to a batch, and says whether it had to be shortened.
    ///
    /// # Errors
    /// It is too long for the sink, in words; the batch is as it was.
    pub fn pack(&mut self, event: &Event<'_>, batch: &mut Batch) -> Result<bool, String> {
        self.record.fit = Fit::Whole;
        if let Some(preset) = &self.preset {
            self.route.clear();
            if preset.route(event, &mut self.route) {
                batch.route(&self.route);
            }
            batch.push(event.id, |out| preset.write(event, &mut self.record, out));
        } else {
            batch.push(event.id, |out| self.record.line(event, out));
        }
        let Fit::TooLong(bytes) = self.record.fit else { return Ok(self.record.fit == Fit::Cut) };
        batch.pop();
        Err(match self.record.encoder.limit() {
            Some(Limit { bytes: most, columns: true, .. }) => {
                format!("a column would have {bytes} bytes; the destination cuts off what is beyond {most}")
            }
            limit => {
                let most = limit.map_or(usize::MAX, |limit| limit.bytes);
                format!("the message would have {bytes} bytes; max_message_size of this sink is {most}")
            }
        })
    }
}

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packer").field("preset", &self.preset).finish_non_exhaustive()
    }
}

/// What the sink's format makes of an event, in the forms that presets need.
pub struct Record {
    encoder: Encoder,
    json: bool,
    scratch: Vec<u8>,
    /// What became of the last event.
    fit: Fit,
}

impl Record {
    /// As the format frames it: for HTTP, one line with its line feed.
    pub fn line(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        self.fit = self.encoder.encode(event, out);
    }

    /// A JSON value: the format's object, or its text as a string.
    pub fn json(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        if !self.json {
            return self.string(event, out);
        }
        self.line(event, out);
        if out.last() == Some(&b'\n') {
            out.pop();
        }
    }

    /// A JSON string that holds the line.
    pub fn string(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        let text = self.text(event);
        json_string(out, text);
    }

    /// The line without its line feed.
    pub fn text(&mut self, event: &Event<'_>) -> &[u8] {
        self.scratch.clear();
        self.fit = self.encoder.encode(event, &mut self.scratch);
        self.scratch.strip_suffix(b"\n").unwrap_or(&self.scratch)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::event::{EventId, Severity};
    use crate::format::template::Template;
    use crate::format::{Body, Shape, Wire};
    use crate::limits::SENTINEL_COLUMN_BYTES;
    use crate::sink::http::Sentinel;

    fn sentinel(cut: bool) -> Packer {
        let limit = Limit { bytes: SENTINEL_COLUMN_BYTES, cut, columns: true };
        let encoder = Encoder::new(&Shape { body: Body::Envelope, wire: Wire::Line }).within(Some(limit));
        let stream = Template::new("Custom-Mimecast_CL").unwrap();
        Packer::new(encoder, true, Some(Arc::new(Sentinel { rule: "dcr-0".into(), stream })))
    }

    #[test]
    fn a_column_that_azure_would_cut_says_that_it_was_or_is_not_sent() {
        let raws = [10, 70_000, 20].map(|len| json!({ "subject": "s".repeat(len), "n": len }).to_string());
        let event = |raw: &'static str| Event {
            id: EventId([7; 16]),
            tenant: "acme",
            feed: "audit",
            kind: "audit",
            time: Some(0),
            collected: 0,
            severity: Severity::Notice,
            repaired: false,
            json: true,
            raw: raw.as_bytes(),
        };
        let events = raws.map(|raw| event(raw.leak()));
        let (mut packer, mut batch) = (sentinel(true), Batch::default());
        let cut: Vec<_> = events.iter().map(|event| packer.pack(event, &mut batch)).collect();
        assert_eq!(cut, [Ok(false), Ok(true), Ok(false)]);
        let record: Value = serde_json::from_slice(&batch.record(1).unwrap()[1..]).unwrap();
        assert_eq!((&record["event"]["n"], &record["tenant"]), (&json!(70_000), &json!("acme")));
        assert!(record["event"]["subject"].as_str().unwrap().ends_with("s...[truncated]"));
        assert!(record["event"].to_string().len() <= SENTINEL_COLUMN_BYTES);

        let (mut packer, mut batch) = (sentinel(false), Batch::default());
        let told: Vec<_> = events.iter().map(|event| packer.pack(event, &mut batch)).collect();
        let words = told[1].as_ref().unwrap_err();
        assert!(words.contains("column") && words.contains("64000"), "{words}");
        assert_eq!((&told[0], &told[2], batch.len()), (&Ok(false), &Ok(false), 2));
    }
}
