//! `init` as people use it: with flags, with answers from a pipe, and at a terminal.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use crate::rig::{Simulator, eventually, text};

const PROGRAM: &str = env!("CARGO_BIN_EXE_mimecollectd");

fn init(config: &Path, args: &[&str], input: &str) -> Output {
    let mut child = Command::new(PROGRAM)
        .args(["init", "--config"])
        .arg(config)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // it may end without reading: then nobody takes the answers
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    child.wait_with_output().expect("it ends")
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("the file is there").permissions().mode() & 0o777
}

fn validates(config: &Path) {
    let out = Command::new(PROGRAM).args(["validate", "--config"]).arg(config).output().expect("it runs");
    assert!(out.status.success(), "{}", text(&out.stderr));
}

/// A new main file without its general part, which is that of the reference.
fn tables(config: &Path) -> String {
    let text = std::fs::read_to_string(config).expect("the configuration is written");
    let at = text.find("[tenants.").expect("it has a tenant");
    assert!(["state_dir = ", "[log]", "[store]"].iter().all(|part| text[..at].contains(part)), "{text}");
    assert!(!text[..at].contains("one table per"), "{text}");
    text[at..].to_owned()
}

/// Compares with a file of `tests/fixtures/init`; `UPDATE_EXPECT=1` writes it anew.
fn golden(name: &str, dir: &Path, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/init").join(name);
    let found = found.replace(&dir.display().to_string(), "/DIR");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("mkdir");
        std::fs::write(&path, &found).expect("the golden file is written");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "{name} differs; set UPDATE_EXPECT=1 and read the difference");
}

#[test]
fn flags_write_a_configuration_with_its_secret_and_then_add_to_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("etc/mimecollectd.toml");
    let args = [
        "--tenant",
        "acme",
        "--region",
        "uk",
        "--client-id",
        "4f6a",
        "--secret-file",
        "-",
        "--feeds",
        "siem.*,audit",
        "--sink",
        "qradar=syslog+tls://siem.example.com",
        "--sink",
        "https://siem.example.com/ingest",
        "--format",
        "leef",
    ];
    let out = init(&config, &args, "hunter2\n");
    assert!(out.status.success(), "{}", text(&out.stderr));
    let secret = config.with_file_name("acme-client-secret");
    assert_eq!(std::fs::read_to_string(&secret).expect("the secret is there"), "hunter2");
    assert_eq!((mode(&secret), mode(&config) & 0o007), (0o600, 0));
    golden("flags.toml", dir.path(), &tables(&config));
    golden("flags.output", dir.path(), &text(&out.stdout));
    validates(&config);

    let before = std::fs::read(&config).expect("read");
    let again = init(&config, &["--sink", "archive=file:///var/log/mimecast.ndjson"], "");
    assert!(again.status.success(), "{}", text(&again.stderr));
    let part = config.with_file_name("conf.d").join("archive.toml");
    golden("added.toml", dir.path(), &std::fs::read_to_string(&part).expect("written"));
    assert_eq!(std::fs::read(&config).expect("read"), before, "the main file stays as it is");
    validates(&config);

    let set = [
        "--sink",
        "graylog=https://graylog.example.com/gelf",
        "--format",
        "gelf",
        "--set",
        "batch={ events = 1 }",
        "--set",
        "compression=gzip",
    ];
    let out = init(&config, &set, "");
    assert!(out.status.success(), "{}", text(&out.stderr));
    golden(
        "set.toml",
        dir.path(),
        &std::fs::read_to_string(config.with_file_name("conf.d").join("graylog.toml")).expect("written"),
    );
    let wrong = init(&config, &["--sink", "x=stdout", "--set", "colour=blue"], "");
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("unknown key"), "{}", text(&wrong.stderr));
    let refused = init(&config, &["--sink", "archive=stdout"], "");
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        text(&refused.stderr).contains("is written in two files")
            || text(&refused.stderr).contains("exists already")
    );
    let forced = init(&config, &["--sink", "archive=stdout", "--force"], "");
    assert!(forced.status.success(), "{}", text(&forced.stderr));
    assert!(part.with_file_name("archive.toml.bak").exists());
    validates(&config);
}

/// Destinations that need more than an address and a token say what is missing, and take it by flags.
#[test]
fn destinations_with_keys_of_their_own_are_written_whole() {
    const TENANT: [&str; 6] = ["--tenant", "acme", "--client-id", "x", "--secret-file", "env:X"];
    let sentinel = ["--sink", "sentinel://n.eu-1.ingest.monitor.azure.com", "--token-file", "-"];
    let ids = ["--set", "rule=dcr-7", "--set", "directory_id=d", "--set", "client_id=c"];
    let secops = ["--sink", "google-secops://f.googleapis.com/x:importPushLogs", "--token-file", "env:K"];
    let key = ["--set", "access_key={ env = \"A\" }"];
    for (args, missing, written) in [
        (&[&TENANT[..], &sentinel].concat(), "--set rule=dcr-… is missing", ""),
        (&[&TENANT[..], &sentinel[..2], &ids].concat(), "--token-file: is missing (client secret", ""),
        (&[&TENANT[..], &sentinel, &ids].concat(), "", "client_secret = { file = "),
        (&[&TENANT[..], &secops].concat(), "--set access_key='{ file = \"PATH\" }': is missing", ""),
        (&[&TENANT[..], &secops, &key].concat(), "", "access_key = { env = \"A\" }"),
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        let config = dir.path().join("m.toml");
        let out = init(&config, args, "hunter2\n");
        assert_eq!(out.status.success(), missing.is_empty(), "{args:?}: {}", text(&out.stderr));
        assert!(text(&out.stderr).contains(missing), "{args:?}: {}", text(&out.stderr));
        let found = std::fs::read_to_string(&config).unwrap_or_default();
        assert!(found.contains(written), "{args:?}: {found}");
        assert!(!found.contains("hunter2"), "{found}");
    }
}

/// Each way to a mistake, the exit code and what has to be said; nothing is ever left behind.
#[test]
fn a_mistake_is_told_with_its_flag_and_leaves_nothing() {
    const GOOD: [&str; 6] = ["--tenant", "acme", "--client-id", "x", "--secret-file", "env:X"];
    const UNREADABLE: &str = "--secret-file: failed to read the secret file /nowhere: ";
    for (args, said) in [
        (&["--tenant", "a b", "--client-id", "x", "--sink", "stdout"][..], "--tenant cannot be \"a b\""),
        (&["--tenant", "acme", "--sink", "stdout"], "--client-id is missing"),
        (&["--tenant", "acme", "--client-id", "x", "--sink", "stdout"], "--secret-file: is missing"),
        (
            &[GOOD, ["--region", "mars", "--sink", "stdout", "--format", "json"]].concat(),
            "--region cannot be \"mars\"",
        ),
        (&[&GOOD[..], &["--sink", "stdout", "--feeds", "siem.x"]].concat(), "--feeds cannot be \"siem.x\""),
        (
            &[&GOOD[..], &["--sink", "pigeon://roof"]].concat(),
            "names no kind of sink; write syslog+tls://HOST:6514",
        ),
        (&[&GOOD[..], &["--sink", "stdout", "--format", "yaml"]].concat(), "--format cannot be \"yaml\""),
        (&GOOD, "--sink is missing"),
        (&["--sink", "stdout"], "--tenant is missing"),
        (&["--client-id", "x"], "were not provided:\n  --tenant <NAME>"),
        (&[&GOOD[..4], &["--secret-file", "/nowhere", "--sink", "stdout"]].concat(), UNREADABLE),
        (&[], "the answers ended before"),
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        let out = init(&dir.path().join("m.toml"), args, "");
        let told = text(&out.stderr);
        let wanted = if said == UNREADABLE { 78 } else { 2 };
        assert_eq!(out.status.code(), Some(wanted), "{args:?}: {told}");
        assert!(told.contains(said), "{args:?}: {told}");
        assert_eq!(std::fs::read_dir(dir.path()).expect("it is there").count(), 0, "{args:?} left something");
    }
}

#[test]
fn a_pipe_answers_line_by_line() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("m.toml");
    // name, API, region, keys, feeds; kind of sink, name, address, format, authority
    let answers = "beta\n1.0\nde\napp\nkey\naccess\nZGVtbw==\naudit\n3\n\nlogs.example.com\nraw\n\n";
    let out = init(&config, &[], answers);
    assert!(out.status.success(), "{}", text(&out.stderr));
    golden("pipe.toml", dir.path(), &tables(&config));
    // the lists of kinds and formats grow with every version
    let grows = |line: &&str| !line.starts_with("  ") && !line.starts_with("format: ");
    let questions: Vec<String> = text(&out.stderr).lines().filter(grows).map(str::to_owned).collect();
    golden("pipe.questions", dir.path(), &(questions.join("\n") + "\n"));
    assert_eq!(std::fs::read_to_string(dir.path().join("beta-secret-key")).expect("written"), "ZGVtbw==");
    validates(&config);
}

/// A program at a terminal of its own, by `script`.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: Arc<Mutex<String>>,
    seen: usize,
}

impl Terminal {
    fn start(command: &str) -> Self {
        let mut child = Command::new("script")
            .args(["-q", "-e", "-c", command, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script starts");
        let screen = Arc::new(Mutex::new(String::new()));
        let (mut out, copy) = (child.stdout.take().expect("piped"), screen.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = out.read(&mut buffer) {
                copy.lock().expect("nobody panics").push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
        });
        Terminal { keys: child.stdin.take().expect("piped"), child, screen, seen: 0 }
    }
    /// Waits for a text after the last one waited for.
    fn expect(&mut self, wanted: &str) {
        self.seen = eventually(wanted, || {
            let screen = self.screen.lock().expect("nobody panics");
            screen[self.seen..].find(wanted).map(|at| self.seen + at + wanted.len())
        });
    }
    fn type_in(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("script takes it");
        self.keys.flush().expect("flushed");
    }
    fn answer(&mut self, question: &str, keys: &str) {
        self.expect(question);
        self.type_in(&format!("{keys}\r"));
    }
    /// Waits for its end; exit code and everything that was shown.
    fn end(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().expect("it ends");
        let screen = self.screen.lock().expect("nobody panics").clone();
        (status.code(), screen)
    }
}

/// A wrong answer is asked for again, the secret is not shown, and `check` runs at the end.
#[test]
fn at_a_terminal_it_asks_corrects_and_tries() {
    let simulator = Simulator::start(&["--events", "10"]);
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("m.toml");
    let command = format!("{PROGRAM} init --config {}", config.display());
    let mut terminal = Terminal::start(&command);
    terminal.answer("name of the account [mimecast]: ", "not a name");
    terminal.expect("use 1 to 64 letters");
    terminal.answer("name of the account [mimecast]: ", "acme");
    terminal.answer("2.0 or 1.0 [2.0]: ", "");
    terminal.answer("region: global us uk [global]: ", "");
    terminal.answer("client id: ", "demo");
    terminal.answer("client secret: ", "hunter3\u{7f}2");
    terminal.answer("[siem.*, audit, ttp.*, dlp]: ", "audit");
    terminal.answer("by number or word [1]: ", "file");
    terminal.answer("name of the sink [file]: ", "archive");
    terminal.answer(
        "path of the file [/var/log/mimecast/events.ndjson]: ",
        &dir.path().join("out").display().to_string(),
    );
    terminal.answer("format: json", "");
    terminal.answer("try it now? yes or no [yes]: ", "no");
    terminal.expect("Next:");
    let (exit, screen) = terminal.end();
    assert_eq!(exit, Some(0), "{screen}");
    assert!(!screen.contains("hunter"), "the secret was shown: {screen}");
    let secret = dir.path().join("acme-client-secret");
    assert_eq!(
        (std::fs::read_to_string(&secret).expect("written").as_str(), mode(&secret)),
        ("hunter2", 0o600)
    );
    validates(&config);

    let mut given_up = Terminal::start(&format!("{command} --tenant beta --client-id other"));
    given_up.expect("client secret: ");
    given_up.type_in("hunt\u{3}");
    let (exit, screen) = given_up.end();
    assert_eq!(exit, Some(1), "{screen}");
    assert!(screen.contains("nothing was written"), "{screen}");
    assert!(!dir.path().join("conf.d").exists());

    // in a place of its own, so that `check` asks the simulator alone
    let (own, out) = (dir.path().join("own/m.toml"), dir.path().join("own-events"));
    let args = format!(
        "{PROGRAM} init --config {} --tenant gamma --client-id demo --base-url {} --feeds audit --sink file://{} --check",
        own.display(),
        simulator.url,
        out.display()
    );
    let mut tried = Terminal::start(&args);
    tried.answer("client secret: ", "demo");
    tried.expect("gamma/audit");
    let (exit, screen) = tried.end();
    assert_eq!(exit, Some(0), "{screen}");
    assert!(screen.contains("own/m.toml"), "{screen}");
}
