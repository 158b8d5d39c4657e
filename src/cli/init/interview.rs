//! The questions, in their order, and where each answer goes. The same walk serves a person at a terminal, lines from
//! a pipe and flags alone: an answer that was given is not asked for, and every answer is checked at once by what reads
//! the configuration.

use super::Args;
use super::dialogue::{Dialogue, Question, ended};
use super::draft::{Site, Table, quoted};
use super::keys::{Given, KEYS_1, KEYS_2, Key, of_place};
use crate::config::{self, Api, SecretRef};
use crate::secret::Secret;
use crate::setup_error::{ExitCode, SetupError};

/// Whom to ask for what was not given.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Asking {
    /// Everything.
    All,
    /// What has no default.
    Missing,
    /// Nobody.
    Nobody,
}

/// A secret that was typed or read from a pipe, and the file it goes to.
pub struct SecretFile {
    /// In the configuration's directory.
    pub name: String,
    pub secret: Secret,
}

/// What is known so far.
pub struct Interview<'a> {
    pub talk: &'a Dialogue,
    pub asking: Asking,
    pub site: &'a Site,
    pub tables: Vec<Table>,
    pub secrets: Vec<SecretFile>,
}

impl Interview<'_> {
    /// An answer: the one given, or one asked for, or the default.
    pub fn answer(&self, question: &Question, given: Option<&str>) -> Result<String, SetupError> {
        match (given, self.asking, &question.default) {
            (Some(given), ..) => Ok(given.to_owned()),
            (None, Asking::Missing | Asking::Nobody, Some(default)) => Ok(default.clone()),
            (None, Asking::Nobody, None) => {
                let text = format!("{} is missing ({}); nothing was written", question.flag, question.ask);
                Err(SetupError::new(ExitCode::Usage, text))
            }
            (None, ..) => self.talk.line(question),
        }
    }

    /// Asks until the answer, put where it belongs, makes a configuration that can be used.
    pub fn settle(
        &mut self,
        question: &Question,
        given: Option<&str>,
        put: impl Fn(&mut Vec<Table>, &str) -> Result<(), String>,
    ) -> Result<String, SetupError> {
        loop {
            let answer = self.answer(question, given)?;
            let mut trial = self.tables.clone();
            let fits = put(&mut trial, &answer).map_err(|why| SetupError::new(ExitCode::Usage, why));
            match fits.and_then(|()| self.site.check(&trial)) {
                Ok(_) => {
                    self.tables = trial;
                    return Ok(answer);
                }
                // a person can correct it; from anywhere else the next line answers the next question
                Err(error) if given.is_none() && self.talk.terminal && self.asking != Asking::Nobody => {
                    self.talk.say(&format!("  {}", in_short(&error.message)));
                }
                Err(error) => {
                    let text = format!(
                        "{} cannot be {answer:?}: {}; nothing was written",
                        question.flag,
                        in_short(&error.message)
                    );
                    return Err(SetupError::new(ExitCode::Usage, text));
                }
            }
        }
    }

    /// `[tenants.NAME]`.
    pub fn tenant(&mut self, args: &Args) -> Result<(), SetupError> {
        let why =
            "The Mimecast account gets a name of its own, which stands in every event, metric and alert.";
        let question = Question::new("--tenant", "name of the account", why).or("mimecast");
        self.settle(&question, args.tenant.as_deref(), |tables, name| {
            tables.clear();
            let mut table = Table::new("tenants", name);
            table.put("client_id", "\"-\"", "");
            table.put("client_secret", "{ env = \"X\" }", "");
            tables.push(table);
            Ok(())
        })?;
        let name = self.tables.last().map(|table| table.name.clone()).unwrap_or_default();
        let mut fresh = Table::new("tenants", &name);
        let why = "Mimecast's API: 2.0 for every application made since 2024. 1.0 is being retired.";
        let question = Question::new("--api", "API generation, 2.0 or 1.0", why).or("2.0");
        let signed = loop {
            let api = self.answer(&question, args.api.as_deref())?;
            match api.as_str() {
                "2.0" | "2" => break false,
                "1.0" | "1" => break true,
                other if args.api.is_none() && self.talk.terminal => {
                    self.talk.say(&format!("  {other:?} is no generation of the API: write 2.0 or 1.0"));
                }
                other => {
                    let text = format!("--api cannot be {other:?}: write 2.0 or 1.0; nothing was written");
                    return Err(SetupError::new(ExitCode::Usage, text));
                }
            }
        };
        let api = if signed { "1.0" } else { "2.0" };
        fresh.put_text("api", api, "Mimecast's API generation");
        fresh.put_text("region", if signed { "eu" } else { "global" }, "");
        for key in if signed { &KEYS_1[..] } else { &KEYS_2[..] } {
            let filling = if key.secret { "{ env = \"X\" }" } else { "\"-\"" };
            fresh.put(key.key, filling, key.comment);
        }
        self.tables = vec![fresh];
        self.region(args, signed)?;
        for key in if signed { &KEYS_1[..] } else { &KEYS_2[..] } {
            self.key(key, &name, args)?;
        }
        self.feeds(args)
    }

    fn region(&mut self, args: &Args, signed: bool) -> Result<(), SetupError> {
        const COMMENT: &str = "where the account lives";
        if let Some(url) = &args.base_url {
            let question = Question::new("--base-url", "Mimecast's address", "");
            return self
                .settle(&question, Some(url), |tables, url| {
                    let table = tables.last_mut().ok_or("no tenant")?;
                    table.drop("region");
                    table.put_text("base_url", url, "instead of `region`");
                    Ok(())
                })
                .map(drop);
        }
        let ask = |api| format!("region: {}", config::regions(api).collect::<Vec<_>>().join(" "));
        let question = if signed {
            let why = "Where the account lives; API 1.0 has no address for all regions.";
            Question::new("--region", ask(Api::V1), why)
        } else {
            let why = "global fails over between regions; us and uk keep the traffic in one.";
            Question::new("--region", ask(Api::V2), why).or("global")
        };
        let put = |tables: &mut Vec<Table>, region: &str| {
            tables.last_mut().ok_or("no tenant")?.put_text("region", region, COMMENT);
            Ok(())
        };
        self.settle(&question, args.region.as_deref(), put).map(drop)
    }

    fn key(&mut self, key: &'static Key, tenant: &str, args: &Args) -> Result<(), SetupError> {
        let question = Question::new(key.flag, key.ask, key.why);
        if !key.secret {
            let put = |tables: &mut Vec<Table>, answer: &str| {
                tables.last_mut().ok_or("no tenant")?.put_text(key.key, answer, key.comment);
                Ok(())
            };
            let given = if key.key == "client_id" { &args.client_id } else { &args.app_id };
            return self.settle(&question, given.as_deref(), put).map(drop);
        }
        let given = (key.given)(&args.secrets);
        let file = format!("{tenant}-{}", key.key.replace('_', "-"));
        let value = self.secret(&question, given, file, key.key == "secret_key")?;
        if let Some(table) = self.tables.last_mut() {
            table.put(key.key, value, key.comment);
        }
        self.site.check(&self.tables).map(drop)
    }

    /// A secret, as the TOML that says where it is.
    pub fn secret(
        &mut self,
        question: &Question,
        given: Given<'_>,
        file: String,
        base64: bool,
    ) -> Result<String, SetupError> {
        let refused = |why: String| {
            SetupError::new(ExitCode::Usage, format!("{}: {why}; nothing was written", question.flag))
        };
        let secret = match given {
            Given::Place(place) => {
                let (reference, value) = of_place(place).map_err(refused)?;
                // what this shell cannot see, the service may; a file is the same for both
                if let SecretRef::File(path) = &reference {
                    let read = if base64 { reference.read_base64() } else { reference.read() };
                    read.and_then(|_| super::files::readable_by_daemon(path, self.site.directory()))
                        .map_err(|error| {
                            SetupError::new(error.exit, format!("{}: {}", question.flag, error.message))
                        })?;
                }
                return Ok(value);
            }
            Given::Piped => {
                let mut text = zeroize::Zeroizing::new(String::new());
                let mut input = std::io::Read::take(std::io::stdin().lock(), crate::limits::MAX_SECRET_BYTES);
                std::io::Read::read_to_string(&mut input, &mut text)
                    .map_err(|why| refused(format!("failed to read it from standard input: {why}")))?;
                Secret::new(text.trim())
            }
            Given::Nothing if self.asking == Asking::Nobody => {
                let ways =
                    if question.flag.ends_with("-file") { "; a PATH, or - for standard input" } else { "" };
                return Err(refused(format!("is missing ({}){ways}", question.ask)));
            }
            Given::Nothing => self.talk.secret(question)?,
        };
        if secret.is_empty() {
            return Err(ended(question));
        }
        let literal = SecretRef::Literal(secret.clone());
        if base64 && let Err(error) = literal.read_base64() {
            if matches!(given, Given::Nothing) && self.talk.terminal {
                self.talk.say(&format!("  {}", error.message));
                return self.secret(question, given, file, base64);
            }
            return Err(refused(error.message));
        }
        let path = self.site.directory().join(&file);
        self.secrets.push(SecretFile { name: file, secret });
        Ok(format!("{{ file = {} }}", quoted(&path.to_string_lossy())))
    }

    fn feeds(&mut self, args: &Args) -> Result<(), SetupError> {
        let why = "Which logs: names and patterns, as `mimecollectd feeds` lists them; * is every one the API has. Each \
                   needs its permission.";
        let question =
            Question::new("--feeds", "feeds, separated by commas", why).or("siem.*, audit, ttp.*, dlp");
        let given = (!args.feeds.is_empty()).then(|| args.feeds.join(","));
        let put = |tables: &mut Vec<Table>, answer: &str| {
            let names: Vec<String> =
                answer.split([',', ' ']).filter(|name| !name.is_empty()).map(quoted).collect();
            let table = tables.last_mut().ok_or("no tenant")?;
            table.put(
                "feeds",
                format!("[{}]", names.join(", ")),
                "which logs; `mimecollectd feeds` lists them",
            );
            Ok(())
        };
        self.settle(&question, given.as_deref(), put).map(drop)
    }
}

/// The mistake and what to do, without the picture of a file that does not exist yet.
fn in_short(message: &str) -> String {
    let mut parts = Vec::new();
    for line in message.lines() {
        let text = line.trim_start_matches([' ', '|']);
        if let Some(title) = text.strip_prefix("error: ").or_else(|| text.strip_prefix("= help: ")) {
            parts.push(title.trim().to_owned());
        }
    }
    if parts.is_empty() { message.trim_end().to_owned() } else { parts.join("; ") }
}

/// Whether somebody says yes; the default where nothing is said.
pub fn agrees(talk: &Dialogue, question: &Question) -> bool {
    talk.line(question).is_ok_and(|answer| answer.to_ascii_lowercase().starts_with('y'))
}
