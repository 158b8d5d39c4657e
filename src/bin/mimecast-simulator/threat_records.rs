//! The objects of a threat feed: for every piece of malware an indicator, the malware, and what ties them together.
//! Second form: one row of the table, in which each of the three is a row of its own.

use crate::dates;
use crate::feeds::Feed;
use crate::json::Object;
use crate::message::{mix, pick, push_hex};
use crate::records::{Nth, Pen};
use fastrand::Rng;

/// `xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx` from a number.
pub fn uuid(seed: u64) -> String {
    let (a, b) = (mix(seed, 1), mix(seed, 2));
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        a >> 32,
        a >> 16 & 0xffff,
        a & 0xfff,
        b >> 52,
        b & 0xffff_ffff_ffff
    )
}

const NAMES: [&str; 4] = ["macro.xlsm", "setup.exe", "Rechnung|März.docm", "invoice \"final\".pdf"];

pub const TABLE_HEAD: &[u8] = b"type|id|created|modified|name|pattern";

pub fn write(pen: &mut Pen, feed: &Feed, nth: &Nth, out: &mut Vec<u8>) {
    // Three in a row belong together.
    let about = mix(nth.seed, mix(nth.number / 3, feed.index as u64));
    let mut rng = Rng::with_seed(about);
    let dice = rng.u64(..);
    let kind = pick(&["indicator", "malware", "relationship"], nth.number);
    let id = |kind: &str, salt| format!("{kind}--{}", uuid(about ^ salt));
    let (indicator, malware) = (id("indicator", 1), id("malware", 2));
    let own = match kind {
        "indicator" => indicator.clone(),
        "malware" => malware.clone(),
        _ => id("relationship", 3),
    };
    let time = dates::iso(nth.at);
    let name = pick(&NAMES, dice);
    pen.scratch.clear();
    pen.scratch.push_str("[file:hashes.'SHA-256' = '");
    push_hex(&mut pen.scratch, &mut rng, 64);
    pen.scratch.push_str("']");
    if pen.second {
        let (name, pattern) = match kind {
            "indicator" => ("", pen.scratch.as_str()),
            "malware" => (name, ""),
            _ => ("", ""),
        };
        let name = name.replace('|', "/");
        out.extend_from_slice(format!("{kind}|{own}|{time}|{time}|{name}|{pattern}").as_bytes());
        return;
    }
    let mut o = Object::new(out, nth.number % 4 == 2);
    o.text("type", kind).text("id", &own).text("created", &time).text("modified", &time);
    match kind {
        "indicator" => {
            o.raw("labels", "[\"malicious-activity\"]").text("pattern", &pen.scratch);
            o.text("valid_from", &time);
        }
        "malware" => {
            o.text("name", name).raw("labels", "[\"virus\"]");
        }
        _ => {
            o.text("relationship_type", "indicates");
            o.text("source_ref", &indicator).text("target_ref", &malware);
        }
    }
    o.end();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feeds::named;
    use crate::runs::sample;
    use serde_json::Value;

    #[test]
    fn three_objects_tell_of_one_piece_of_malware() {
        let (run, feed) = (sample(30), named("threat-feed.customer").unwrap());
        let mut pen = Pen::new("CSIM00000", Default::default());
        let objects: Vec<Value> = (0..6)
            .map(|n| {
                let mut out = Vec::new();
                pen.write(feed, &run.nth(n), &mut out);
                serde_json::from_slice(&out).unwrap()
            })
            .collect();
        assert_eq!(objects[2]["source_ref"], objects[0]["id"]);
        assert_eq!(objects[2]["target_ref"], objects[1]["id"]);
        assert_ne!(objects[3]["id"], objects[0]["id"]);
        assert_eq!(objects[0]["id"].as_str().unwrap().len(), "indicator--".len() + 36);
        pen.second = true;
        let mut row = Vec::new();
        pen.write(feed, &run.nth(1), &mut row);
        let row = String::from_utf8(row).unwrap();
        assert_eq!(row.split('|').count(), 6, "{row}");
        assert_eq!(row.split('|').nth(1), objects[1]["id"].as_str());
    }
}
