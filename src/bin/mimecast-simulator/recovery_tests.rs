//! Every row of the recovery table that an answer can cause is played and looked at: status, code, and what else the
//! row is about.

use crate::dates::HOUR;
use crate::recovery_rows::{NOT_BY_AN_ANSWER, ROWS};
use crate::server_tests::{Got, NOW, bearer, ledger, list, login, send, world};
use crate::window_tests::signed;
use crate::world::World;
use flate2::read::MultiGzDecoder;
use serde_json::json;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Read;
use std::sync::Arc;

/// Identity, surfaces and what is matched, of each row.
fn table() -> Vec<(&'static str, &'static str, &'static str)> {
    include_str!("recovery.tsv")
        .lines()
        .skip(1)
        .map(|line| {
            let mut columns = line.split('\t');
            let mut next = || columns.next().unwrap();
            (next(), next(), next())
        })
        .collect()
}

/// An answer as one text: status, headers, body; a gzip is unpacked.
fn transcript(got: &Got) -> String {
    let mut out = format!("HTTP {}\n", got.status);
    for (name, value) in &got.headers {
        writeln!(out, "{name}: {}", value.to_str().unwrap()).unwrap();
    }
    match &got.body {
        None => out.push_str("BROKEN"),
        Some(body) if body.starts_with(&[0x1f, 0x8b]) => {
            let mut text = Vec::new();
            let whole = MultiGzDecoder::new(&body[..]).read_to_end(&mut text).is_ok();
            out.push_str(if whole { "" } else { "UNREADABLE GZIP\n" });
            out.push_str(&String::from_utf8_lossy(&text));
        }
        Some(body) => out.push_str(&String::from_utf8_lossy(body)),
    }
    out
}

/// What a surface answers on each of its paths; `link` is a file from before the trouble.
async fn answers(world: &Arc<World>, bearer: &str, link: &str, surface: &str) -> Vec<Got> {
    let ask = json!({"meta": {"pagination": {"pageSize": 5}}, "data": [{"startDateTime": "2026-01-01T00:00:00+0000",
        "endDateTime": "2026-01-01T10:00:00+0000"}]})
    .to_string();
    match surface {
        "token" => vec![login(world, "demo", "demo").await],
        "api" => vec![
            list(world, bearer, "cg", "type=receipt&pageSize=1").await,
            list(world, bearer, "cg", "type=process&pageSize=100").await,
            send(world, "GET", "/siem/v1/events/cg?types=av", &[("authorization", bearer)], "").await,
            send(world, "POST", "/api/audit/get-audit-events", &[("authorization", bearer)], &ask).await,
            signed(world, "/api/audit/get-audit-events", &ask).await,
            signed(world, "/api/audit/get-siem-logs", "{\"data\":[{\"type\":\"MTA\"}]}").await,
        ],
        _ => vec![send(world, "GET", link, &[], "").await],
    }
}

/// Numbers of so many digits in a text.
fn numbers(text: &str, digits: usize) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_digit());
    words.filter(|word| word.len() == digits).map(str::to_owned).collect()
}

#[test]
fn every_row_that_an_answer_can_cause_has_a_scenario() {
    for (id, ..) in table() {
        let here = ROWS.iter().any(|row| row.id == id);
        assert_ne!(here, NOT_BY_AN_ANSWER.contains(&id), "{id}");
    }
    assert!(ROWS.iter().all(|row| table().iter().any(|(id, ..)| *id == row.id)));
}

#[tokio::test]
async fn every_row_answers_what_the_table_says() {
    for (id, surfaces, matched) in table() {
        let Some(row) = ROWS.iter().find(|row| row.id == id) else { continue };
        let world = world("no_quota", 4_000);
        let bearer = bearer(&world).await;
        let page = list(&world, &bearer, "cg", "type=spam").await.json();
        let link = page["value"][0]["url"].as_str().unwrap().strip_prefix("http://sim.test").unwrap();
        let set = send(&world, "POST", "/_sim/scenario", &[], &format!("row:{id}")).await;
        assert_eq!(set.status, 200, "{id}: {}", set.text());
        if id == "X16" {
            send(&world, "POST", "/_sim/publish?feed=siem.receipt&count=1", &[], "").await;
        }
        let mut said = String::new();
        let mut calls = 0;
        for surface in ["token", "api", "blob"] {
            let concerned = surfaces.contains(surface) || surfaces == "any" || surfaces == "item";
            if !concerned {
                continue;
            }
            // What is wrong with a link stands in the listing.
            let asked = if row.text.starts_with("on listing") { "api" } else { surface };
            for got in answers(&world, &bearer, link, asked).await {
                calls += 1;
                let text = transcript(&got);
                let answered = row.text.contains("status=") || ["X17", "X18"].contains(&id);
                if answered && !numbers(matched, 3).is_empty() {
                    assert!(
                        numbers(matched, 3).contains(&got.status.to_string()),
                        "{id} on {surface}: {text}"
                    );
                }
                for code in numbers(matched, 4).iter().filter(|code| code.starts_with("00")) {
                    assert!(text.contains(&format!("{code} ")), "{id} on {surface}: no {code} in {text}");
                }
                said += &text;
            }
        }
        assert!(calls > 0, "{id}");
        assert!(said.contains(row.shows), "{id} shows no `{}`: {said:.2000}", row.shows);
        match id {
            "X06" => {
                let totals = ledger(&world).await["totals"].clone();
                assert_eq!(totals["handed_out"], 0, "what breaks off is not handed out");
            }
            "X11" => cursors(&world, &bearer, false).await,
            "X12" => cursors(&world, &bearer, true).await,
            "X16" => future(&world, &bearer).await,
            _ => {}
        }
    }
}

/// Asks on with the cursor of the answer, and looks whether it moves.
async fn cursors(world: &Arc<World>, bearer: &str, moves: bool) {
    let first = list(world, bearer, "cg", "type=receipt&pageSize=1").await.json();
    let token = crate::query::escape(first["@nextPage"].as_str().unwrap());
    let second = list(world, bearer, "cg", &format!("type=receipt&pageSize=1&nextPage={token}")).await.json();
    assert_eq!(first["@nextPage"] != second["@nextPage"], moves);
    let page = async |token: Option<&str>| {
        let ask =
            json!({"meta": {"pagination": {"pageSize": 5, "pageToken": token}}, "data": [{}]}).to_string();
        signed(world, "/api/dlp/get-logs", &ask).await.json()
    };
    let next = |answer: &serde_json::Value| answer["meta"]["pagination"]["next"].as_str().unwrap().to_owned();
    let first = next(&page(None).await);
    let second = page(Some(&first)).await;
    assert_eq!(next(&second) != first, moves);
    assert_eq!(second["data"] == json!([]), moves, "empty pages, or the same again");
}

async fn future(world: &Arc<World>, bearer: &str) {
    let page = list(world, bearer, "cg", "type=receipt").await.json();
    let newest = page["value"].as_array().unwrap().last().unwrap()["url"].as_str().unwrap().to_owned();
    let got = send(world, "GET", newest.strip_prefix("http://sim.test").unwrap(), &[], "").await;
    assert!(transcript(&got).contains(&(NOW + 2 * HOUR).to_string()), "an event two hours ahead");
}
