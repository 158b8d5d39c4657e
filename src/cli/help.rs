//! What stands below the flags in `--help` and in the man page of each verb: an example, and what is good to know.

use crate::setup_error::ExitCode;

/// All of them, for the program's own `--help`.
pub fn exit_codes() -> String {
    let code = |(code, words): &(ExitCode, &str)| format!("  {:>2}  {words}", *code as u8);
    format!("Exit codes:\n{}", ExitCode::ALL.iter().map(code).collect::<Vec<_>>().join("\n"))
}

pub const RUN: &str = "\
Examples:
  mimecollectd run                                 as the systemd unit does
  mimecollectd run --once --config ./test.toml     one round, for a try or a cron job

Stops on SIGTERM or Ctrl-C after finishing what is under way; SIGHUP reads the configuration again.";

pub const VALIDATE: &str = "\
Example: mimecollectd validate && systemctl reload mimecollectd

Every mistake is shown with its line and what to do. Exit codes: 0 valid · 77 a file may not be read · 78 it has mistakes";

pub const CHECK: &str = "\
Examples:
  sudo mimecollectd check
  sudo mimecollectd check --send-test-event        also sends each sink one event marked as a test

Mimecast is asked once, and not at all while the credential is locked or refused. While the daemon runs, its own findings \
are shown instead.

Exit codes: 0 everything works · 69 a counterpart is unreachable · 77 credentials or permission · 78 configuration";

pub const FEEDS: &str = "\
Example: mimecollectd feeds | grep -B1 -A5 audit

Reads no configuration and no network.";

pub const EXPLAIN: &str = "\
Examples:
  mimecollectd explain 401/0010
  mimecollectd explain 403 app_forbidden
  mimecollectd explain M12
  curl -si … | mimecollectd explain --response -";

pub const CURSOR: &str = "\
Examples:
  mimecollectd cursor list
  mimecollectd cursor set acme/audit --since 36h   reads 36 hours again; nothing is sent twice

Works while the daemon runs, and without it. Needs the rights of the daemon's user.";

pub const GAPS: &str = "\
Examples:
  mimecollectd gaps
  mimecollectd gaps backfill acme/audit            fetches what Mimecast still has
  mimecollectd gaps accept 7 --reason \"INC-4711\"    closes one that stays lost; who and why is kept";

pub const QUARANTINE: &str = "\
Examples:
  mimecollectd quarantine list
  mimecollectd quarantine show 17 --raw > item     what is kept of its bytes, as Mimecast sent them
  mimecollectd quarantine retry --all              after an upgrade that reads more

Works while the daemon runs, and without it. Needs the rights of the daemon's user.";

pub const DEAD_LETTERS: &str = "\
Examples:
  mimecollectd dead-letters list --sink siem
  mimecollectd dead-letters show 3                 the event, and the sink's own words
  mimecollectd dead-letters retry --sink siem --all

Works while the daemon runs, and without it. Needs the rights of the daemon's user.";

pub const REPLAY: &str = "\
Examples:
  mimecollectd replay --sink siem --since 36h
  mimecollectd replay --sink siem --feed acme/audit --since 2026-01-01 --until 2026-01-02
  mimecollectd replay list

The events carry the ids they had. How long they are kept is `[store] retention`.";

pub const RESUME: &str = "\
Examples:
  mimecollectd resume acme                         the whole account, after a new secret
  mimecollectd resume acme/audit                   one feed, after a permission was granted
  mimecollectd resume sink:siem                    a sink that was halted
  mimecollectd resume host:api.services.mimecast.com     a host that answered nobody

Only after the cause was removed: it asks at once, and a locked account stays locked by being asked.";

pub const RECONCILE: &str = "\
Example: mimecollectd reconcile && echo nothing is missing

Reads the store only, beside the running daemon or without it. Exit codes: 0 everything balances · 1 it does not";

pub const COMPLETIONS: &str = "\
Example: mimecollectd completions bash > /etc/bash_completion.d/mimecollectd

The packages install them.";

pub const MAN: &str = "\
Examples:
  mimecollectd man | man -l -
  mimecollectd man --dir /usr/share/man/man8";
