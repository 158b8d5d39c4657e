//! The golden events against the destinations' own schemas, by checkers written from those: OCSF 1.3.0 (required
//! attributes, numbers that belong together, no attribute a class does not know) and GELF 1.1.

use serde_json::{Map, Value as Json};

use super::golden_tests::{feeds, made};
use super::hostile_tests::Strict;
use super::*;

type Check = fn(&Json) -> bool;

fn each_line(body: Body, mut take: impl FnMut(&str, Json)) {
    for (feed, folder) in feeds() {
        for line in made(body, &feed, &folder).lines() {
            let Strict(read) = serde_json::from_str(line).unwrap();
            take(&feed, read);
        }
    }
}

/// Name, whether it is required, what it must be.
type Attribute = (&'static str, bool, Check);

/// Attributes of every class.
const BASE: &[Attribute] = &[
    ("activity_id", true, Json::is_u64),
    ("activity_name", false, Json::is_string),
    ("category_uid", true, Json::is_u64),
    ("class_uid", true, Json::is_u64),
    ("message", false, Json::is_string),
    ("metadata", true, Json::is_object),
    ("raw_data", false, Json::is_string),
    ("severity_id", true, Json::is_u64),
    ("status_code", false, Json::is_string),
    ("status_detail", false, Json::is_string),
    ("status_id", false, Json::is_u64),
    ("time", true, Json::is_i64),
    ("type_uid", true, Json::is_u64),
    ("unmapped", false, Json::is_object),
];

/// Class, category, its activities beyond 0 and 99, its own attributes.
type Class = (u64, u64, &'static [u64], &'static [Attribute]);

const CLASSES: &[Class] = &[
    (0, 0, &[], &[]),
    (
        3002,
        3,
        &[1, 2, 3, 4],
        &[
            ("service", true, |v| v["name"].is_string()), // or dst_endpoint
            ("src_endpoint", false, endpoint),
            ("user", true, user),
        ],
    ),
    (
        4009,
        4,
        &[1, 2, 3, 4],
        &[
            ("direction", false, Json::is_string),
            ("direction_id", true, Json::is_u64),
            ("dst_endpoint", false, endpoint),
            ("email", true, |v| {
                v["from"].is_string() && v["to"].as_array().is_some_and(|to| to.iter().all(Json::is_string))
            }),
            ("src_endpoint", false, endpoint),
        ],
    ),
    (4011, 4, &[1, 2, 3], &[("email_uid", true, Json::is_string), ("file", true, file)]),
    (
        4012,
        4,
        &[1, 2, 3],
        &[("email_uid", true, Json::is_string), ("url", true, |v| v["url_string"].is_string())],
    ),
    (
        6003,
        6,
        &[1, 2, 3, 4],
        &[
            ("actor", true, |v| user(&v["user"])),
            ("api", true, |v| v["operation"].is_string()),
            ("src_endpoint", true, endpoint),
        ],
    ),
];

fn user(value: &Json) -> bool {
    value["name"].is_string()
}

fn endpoint(value: &Json) -> bool {
    ["ip", "hostname", "name"].iter().any(|key| value[key].is_string())
}

fn file(value: &Json) -> bool {
    let hash = |hash: &Json| hash["algorithm_id"].is_u64() && hash["value"].is_string();
    let hashes = value["hashes"].as_array().is_none_or(|hashes| hashes.iter().all(hash));
    value["name"].is_string() && value["type_id"].is_u64() && hashes
}

fn ocsf_faults(event: &Map<String, Json>) -> Vec<String> {
    let number = |key: &str| event.get(key).and_then(Json::as_u64).unwrap_or(u64::MAX);
    let (class, activity) = (number("class_uid"), number("activity_id"));
    let Some((_, category, activities, own)) = CLASSES.iter().find(|(uid, ..)| *uid == class) else {
        return vec![format!("no class {class}")];
    };
    let mut faults = Vec::new();
    for (name, required, check) in BASE.iter().chain(*own) {
        match event.get(*name) {
            None if *required => faults.push(format!("{name} is missing")),
            Some(value) if !check(value) => faults.push(format!("{name}: {value}")),
            _ => {}
        }
    }
    let known = |key: &str| BASE.iter().chain(*own).any(|(name, ..)| *name == key);
    faults.extend(event.keys().filter(|key| !known(key)).map(|key| format!("{key} is not of class {class}")));
    let metadata = &event["metadata"];
    if metadata["version"] != "1.3.0"
        || metadata["product"]["vendor_name"] != "Mimecast"
        || !metadata["uid"].is_string()
    {
        faults.push(format!("metadata: {metadata}"));
    }
    if number("category_uid") != *category || number("type_uid") != class * 100 + activity {
        faults.push("numbers that do not belong together".to_owned());
    }
    if !(activities.contains(&activity) || activity == 0 || activity == 99) {
        faults.push(format!("class {class} has no activity {activity}"));
    }
    faults
}

#[test]
fn ocsf_events_keep_to_their_class() {
    let mut classes = std::collections::BTreeSet::new();
    each_line(Body::Ocsf, |feed, read| {
        assert_eq!(ocsf_faults(read.as_object().unwrap()), Vec::<String>::new(), "{feed}: {read}");
        classes.insert(read["class_uid"].as_u64().unwrap());
    });
    assert_eq!(classes.into_iter().collect::<Vec<_>>(), [0, 3002, 4009, 4011, 4012, 6003]);
}

#[test]
fn gelf_events_keep_to_the_specification() {
    each_line(Body::Gelf, |feed, read| {
        let event = read.as_object().unwrap();
        assert_eq!((&event["version"], &event["host"]), (&"1.1".into(), &"collector-1".into()));
        assert!(event["short_message"].as_str().is_some_and(|text| !text.is_empty()), "{feed}: {read}");
        assert!(event["timestamp"].is_f64() && event["level"].as_u64().is_some_and(|level| level <= 7));
        for (key, value) in event {
            let own =
                ["version", "host", "short_message", "full_message", "timestamp", "level"].contains(&&**key);
            let fits = key.strip_prefix('_').is_some_and(|key| {
                key != "id" && key.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
            });
            assert!(own || fits, "{feed}: {key}");
            assert!(value.is_string() || value.is_number(), "{feed}: {key}: {value}");
        }
    });
}

/// What Elastic's index would refuse: addresses that are none, sizes that are no numbers, a list where it has one
/// text; and the fields its dashboards are made of.
#[test]
fn ecs_events_fit_elastics_index() {
    let mut seen = std::collections::BTreeSet::new();
    each_line(Body::Ecs, |feed, read| {
        for place in ["/source/ip", "/destination/ip", "/client/ip"] {
            let text = read.pointer(place).map(|ip| ip.as_str().unwrap().parse::<std::net::IpAddr>());
            assert!(text.is_none_or(|ip| ip.is_ok()), "{feed}: {place}");
        }
        let size = read.pointer("/email/attachments/0/file/size");
        assert!(size.is_none_or(Json::is_u64), "{feed}: {size:?}");
        for detail in ["/mimecast/spamProcessingDetail", "/mimecast/SpamProcessingDetail"] {
            let fits = if feed == "held-release" { Json::is_object } else { Json::is_string };
            assert!(read.pointer(detail).is_none_or(fits), "{feed}: {detail}");
        }
        for key in [
            "/event/dataset",
            "/event/id",
            "/event/kind",
            "/@timestamp",
            "/ecs/version",
            "/mimecast/log_type",
        ] {
            assert!(read.pointer(key).is_some_and(Json::is_string), "{feed}: {key}");
        }
        seen.insert(read.pointer("/event/dataset").unwrap().as_str().unwrap().to_owned());
    });
    for dataset in [
        "audit_events",
        "siem_logs",
        "cloud_integrated_logs",
        "dlp_logs",
        "ttp_url_logs",
        "ttp_ap_logs",
        "ttp_ip_logs",
        "archive_search_logs",
        "message_release_logs",
        "threat_intel_malware_customer",
        "threat_intel_malware_grid",
    ] {
        assert!(seen.contains(&format!("mimecast.{dataset}")), "{dataset}");
    }
}

#[test]
fn the_ocsf_checker_sees_faults() {
    let mut event =
        serde_json::json!({ "class_uid": 4009, "category_uid": 4, "activity_id": 7, "metadata": {}, "x": 1 });
    let faults = ocsf_faults(event.as_object_mut().unwrap()).join("\n");
    for fault in [
        "email is missing",
        "time is missing",
        "x is not of class",
        "metadata:",
        "no activity 7",
        "belong together",
    ] {
        assert!(faults.contains(fault), "{fault}: {faults}");
    }
}

/// No record of any type can get the same name twice from the tables.
#[test]
fn leaves_do_not_overlap() {
    for leaves in [ecs::LEAVES, ocsf::LEAVES] {
        for (n, leaf) in leaves.iter().enumerate() {
            for other in leaves.iter().skip(n + 1).filter(|other| other.path == leaf.path) {
                assert_eq!(leaf.only & other.only, 0, "{:?}", leaf.path);
            }
            let groups = |leaf: &tree::Leaf| leaf.path.split_last().map(|(_, groups)| groups.to_vec());
            let again = leaves.iter().skip(n + 1).skip_while(|other| groups(other) == groups(leaf));
            let mut again = again.filter(|other| leaf.path.len() > 1 && groups(other) == groups(leaf));
            // a group may only be left for one of its own groups
            let inside = |other: &&tree::Leaf| other.path.first() == leaf.path.first();
            assert!(again.all(|other| inside(&other)), "{:?} stands apart", leaf.path);
        }
    }
}
