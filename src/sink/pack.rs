//! Turns events into the records of a sink: the format makes the event's bytes, and an HTTP preset puts around them
//! what its destination wants to see. One pass, into the batch that is sent.

use std::fmt;
use std::sync::Arc;

use super::Batch;
use super::http::Preset;
use crate::event::Event;
use crate::format::{Encoder, Fit, json_string};

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
        Packer { record: Record { encoder, json, scratch: Vec::new() }, preset, route: String::new() }
    }

    /// Adds the record of one event to a batch, and says whether it had to be shortened.
    ///
    /// # Errors
    /// It is too long for the sink, in words; the batch is as it was.
    pub fn pack(&mut self, event: &Event<'_>, batch: &mut Batch) -> Result<bool, String> {
        let Some(preset) = &self.preset else {
            let mut fit = Fit::Whole;
            batch.push(event.id, |out| fit = self.record.encoder.encode(event, out));
            let Fit::TooLong(bytes) = fit else { return Ok(fit == Fit::Cut) };
            batch.pop();
            let most = self.record.encoder.max_message_size();
            let words =
                format!("the message would have {bytes} bytes; max_message_size of this sink is {most}");
            return Err(words);
        };
        self.route.clear();
        if preset.route(event, &mut self.route) {
            batch.route(&self.route);
        }
        batch.push(event.id, |out| preset.write(event, &mut self.record, out)); // an HTTP sink has no limit for one event
        Ok(false)
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
}

impl Record {
    /// As the format frames it: for HTTP, one line with its line feed.
    pub fn line(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        let _ = self.encoder.encode(event, out); // whole: only syslog has a limit
    }

    /// A JSON value: the format's object, or its text as a string.
    pub fn json(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        if !self.json {
            return self.string(event, out);
        }
        let _ = self.encoder.encode(event, out); // whole: only syslog has a limit
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
        let _ = self.encoder.encode(event, &mut self.scratch);
        self.scratch.strip_suffix(b"\n").unwrap_or(&self.scratch)
    }
}
