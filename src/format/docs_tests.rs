//! `docs/formats.md` cannot lie: its tables are made from the tables the formats are written by. `BLESS=1` writes
//! them anew.

use std::fmt::Write as _;
use std::fs;

use super::fields::{EXCEPTIONS, Field, NAMES};
use super::tree::Leaf;
use super::{cef, ecs, gelf, kind, leef, ocsf};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/formats.md");
const BEGIN: &str = "<!-- made from the tables in src/format; do not edit -->\n";
const END: &str = "<!-- end -->\n";

/// `email.subject` and the like, for leaves made of one field or several.
fn places(leaves: &[Leaf], field: Field) -> Vec<String> {
    let mut found = Vec::new();
    for leaf in leaves.iter().filter(|leaf| leaf.from.contains(&field)) {
        let place = leaf.path.join(".").replace("[]", "");
        if !found.contains(&place) {
            found.push(place);
        }
    }
    found
}

fn code(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" ")
}

fn tables() -> String {
    let mut page = String::from(
        "\n## Fields\n\n| what | Mimecast's names | CEF | LEEF | ECS | OCSF | GELF |\n|---|---|---|---|---|---|---|\n",
    );
    for (field, names) in NAMES {
        let cef: Vec<_> =
            cef::KEYS.iter().filter(|key| key.from.contains(field)).map(|key| key.name.to_owned()).collect();
        let leef: Vec<_> =
            leef::KEYS.iter().filter(|key| key.from.contains(field)).map(|key| key.name.to_owned()).collect();
        let gelf = match field {
            Field::Time | Field::RecordType | Field::Queue => Vec::new(),
            _ => vec![gelf::name(*field)],
        };
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        writeln!(
            page,
            "| {} | {} | {} | {} | {} | {} | {} |",
            field.meaning(),
            code(&names),
            code(&cef),
            code(&leef),
            code(&places(ecs::LEAVES, *field)),
            code(&places(ocsf::LEAVES, *field)),
            code(&gelf)
        )
        .unwrap();
    }
    page += "\nNames that mean something else in one type:\n\n| type | name | what |\n|---|---|---|\n";
    for (of, name, field) in EXCEPTIONS {
        let meaning = field.map_or("nothing that has a place of its own", Field::meaning);
        writeln!(page, "| {} | `{name}` | {meaning} |", of.row().name).unwrap();
    }
    page += "\n## Types\n\n| feed | file of API 1.0 | signature (CEF), event id (LEEF) | name | `event.dataset` | `mimecast.log_type` |\n|---|---|---|---|---|---|\n";
    for row in kind::ROWS {
        let feed = if row.feed.is_empty() { "any other".to_owned() } else { format!("`{}`", row.feed) };
        let mta: Vec<_> = row.mta.iter().map(|name| (*name).to_owned()).collect();
        writeln!(
            page,
            "| {feed} | {} | `{}` | {} | `mimecast.{}` | `{}` |",
            code(&mta),
            row.signature,
            row.name,
            row.dataset,
            row.log_type
        )
        .unwrap();
    }
    page + "\n"
}

#[test]
fn the_page_says_what_the_code_does() {
    let page = fs::read_to_string(PAGE).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the page has its mark");
    let (_, after) = rest.split_once(END).expect("the page has its end mark");
    let now = format!("{before}{BEGIN}{}{END}{after}", tables());
    if std::env::var_os("BLESS").is_some() {
        fs::write(PAGE, &now).unwrap();
    } else {
        assert_eq!(page, now, "set BLESS=1 to write it anew");
    }
}
