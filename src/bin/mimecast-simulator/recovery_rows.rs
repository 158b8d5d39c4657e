//! One scenario for every row of the recovery table that an answer of Mimecast can cause: `row:M12`, or `row:M12=3` for
//! the first three calls of each feed only. What the rows are is in `recovery.tsv` beside this file.

pub struct Row {
    pub id: &'static str,
    pub text: &'static str,
    pub about: &'static str,
    /// What the answer has beside the status and code that the table names.
    #[cfg_attr(not(test), expect(dead_code, reason = "what the test of the rows looks for"))]
    pub shows: &'static str,
}

const fn row(id: &'static str, text: &'static str, about: &'static str, shows: &'static str) -> Row {
    Row { id, text, about, shows }
}

/// Rows that no answer can cause: names, connections and handshakes fail before there is one.
#[cfg(test)]
pub const NOT_BY_AN_ANSWER: [&str; 5] = ["X01", "X02", "X03", "X04", "X05"];

pub const ROWS: &[Row] = &[
    row("M01", "on data status=400 form=empty", "400 without a word", ""),
    row(
        "M02",
        "on data status=400 form=error-list code=validation_error field=dateRangeStartsAt message=\"must be a date\"",
        "400 that names a field",
        "dateRangeStartsAt",
    ),
    row(
        "M03",
        "on data status=400 form=meta code=0001 message=\"Credentials Missing\"\non token status=400 code=0001 message=\"Credentials Missing\"",
        "400 0001: no credentials arrived",
        "",
    ),
    row(
        "M04",
        "on token status=401 code=0001 message=\"Authentication type not supported\"",
        "401 0001: this kind of login is not allowed",
        "not supported",
    ),
    row(
        "M05",
        "on token status=401 code=0001 message=\"User or password not found in header\"",
        "401 0001: the header is incomplete",
        "not found in header",
    ),
    row(
        "M06",
        "on token status=401 code=0003\non data status=401 form=meta code=0003",
        "401 0003: wrong credentials",
        "",
    ),
    row("M07", "on data status=401 form=meta code=0004", "401 0004: the signature is refused", ""),
    row("M08", "on data status=401 form=meta code=0005", "401 0005: the realm is missing", ""),
    row("M09", "on token status=401 code=0008", "401 0008: the key cannot be refreshed", ""),
    row(
        "M10",
        "on token status=401 code=0010\non data status=401 form=meta code=0010",
        "401 0010: locked out",
        "",
    ),
    row(
        "M11",
        "on token status=401 code=0011\non data status=401 form=meta code=0011",
        "401 0011: the account is disabled",
        "",
    ),
    row(
        "M12",
        "on token status=401 code=0012\non data status=401 form=meta code=0012",
        "401 0012: keys revoked, or a remote wipe",
        "",
    ),
    row("M13", "on data status=401 form=meta code=0013", "401 0013: the binding is unknown", ""),
    row("M14", "on data status=403 form=meta code=0002", "403 0002: forbidden operation", ""),
    row(
        "M15",
        "on data status=403 form=meta code=0003 message=\"Forbidden Operation\"",
        "403 0003: forbidden operation",
        "",
    ),
    row("M16", "on data status=403 form=meta code=0007", "403 0007: one message may not be read", ""),
    row(
        "M17",
        "on token status=403 code=0009\non data status=403 form=meta code=0009",
        "403 0009: the password has expired",
        "",
    ),
    row(
        "M18",
        "on data status=403 form=meta code=0011 message=\"Message Expired\"",
        "403 0011: one message has expired",
        "",
    ),
    row(
        "M19",
        "on token status=403 code=0012 message=\"Too Many Bindings\"",
        "403 0012: too many bindings",
        "",
    ),
    row(
        "M20",
        "on token status=403 code=0016\non data status=403 form=meta code=0016",
        "403 0016: forbidden source address",
        "",
    ),
    row("M21", "on data status=403 form=meta-status", "403 with JSON, without a code", "\"status\":403"),
    row("M22", "on data status=405 form=empty", "405", ""),
    row(
        "M23",
        "on token status=404 code=0003 message=\"Domain Not Managed\"\non data status=404 form=meta code=0003 message=\"Domain Not Managed\"",
        "404 0003: the domain is not managed here",
        "",
    ),
    row("M24", "on data status=404 form=meta-status", "404 of another kind", ""),
    row("M25", "on data status=409 code=conflict message=\"The state has changed\"", "409", ""),
    row("M26", "on data status=418 form=meta code=0001", "418 0001: the keys have expired", ""),
    row("M27", "on data status=418 form=meta-status", "418 of another kind", ""),
    row(
        "M28",
        "on data status=429 form=meta code=0008 message=\"Too Many Requests\" wait=2s wait_as=reset-ms",
        "429 0008, the wait in milliseconds",
        "x-ratelimit-reset: 2000",
    ),
    row("M29", "on data status=500 form=meta code=0006", "500 0006", ""),
    row("M30", "on data status=200 form=meta code=0006 meta=200", "200 with fail[]", "\"fail\":[{"),
    row(
        "M31",
        "on data status=200 form=meta-status meta=500",
        "200 with another meta.status",
        "\"status\":500",
    ),
    row("M32", "on data status=401 code=token_expired", "401 token_expired", "token_expired"),
    row(
        "M33",
        "on data status=401 code=token_verification_failed",
        "401 token_verification_failed",
        "token_verification_failed",
    ),
    row(
        "M34",
        "on token status=401 form=oauth code=invalid_client message=\"Client authentication failed\"",
        "401 invalid_client",
        "\"invalid_client\"",
    ),
    row("M35", "on token effect=no-token", "200 without access_token", "expires_in"),
    row("M36", "on data status=401 form=meta-status", "401 with JSON, without a code", "\"status\":401"),
    row(
        "H01",
        "on data status=302 form=html header=\"Location: http://127.0.0.1:9/login\"\non token status=302 form=html header=\"Location: http://127.0.0.1:9/login\"",
        "302 to a portal",
        "location: ",
    ),
    row("H02", "on file effect=redirect", "302 on a download", "location: "),
    row("H03", "on any status=304 form=empty", "304", ""),
    row(
        "H04",
        "on any status=407 form=html header=\"Proxy-Authenticate: Basic\"",
        "407 of a proxy",
        "proxy-authenticate",
    ),
    row("H05", "on data status=408 form=empty", "408", ""),
    row("H06", "on data status=410 code=gone", "410", ""),
    row("H07", "on data status=413 form=html", "413", ""),
    row("H08", "on data status=406 form=text", "406, for all the other 4xx", ""),
    row("H09", "on data status=503 form=html", "503, for all the other 5xx", ""),
    row(
        "H10",
        "on any status=503 form=html wait=2s wait_as=date",
        "503 with Retry-After as a date",
        "retry-after: ",
    ),
    row(
        "H11",
        "on any status=429 code=too_many_requests wait=2s wait_as=reset-ms",
        "429 with X-RateLimit-Reset",
        "x-ratelimit-reset: 2000",
    ),
    row("H12", "on any status=403 form=meta code=0099", "403 with a code that nobody knows", "0099"),
    row("X06", "on data effect=cut\non file effect=cut", "answers break off in the middle", "BROKEN"),
    row("X07", "on file effect=truncate", "gzip is cut short", "UNREADABLE GZIP"),
    row("X08", "on data status=200 form=html", "200 with a web page", "<html>"),
    row(
        "X09",
        "on token status=403 form=html\non data status=403 form=html",
        "403 with a web page",
        "<html>",
    ),
    row("X10", "on data status=200 form=broken-json", "200 with broken JSON", ",}"),
    row(
        "X11",
        "on listing effect=same-token\non stream effect=same-token\non records effect=same-next\non records effect=next-always\non siem.mta effect=same-token",
        "the cursor does not move",
        "",
    ),
    row(
        "X12",
        "on listing effect=empty-page\non records effect=empty-page",
        "empty pages with ever new cursors",
        "",
    ),
    row("X13", "on content every=1 effect=bad-line", "a broken line in every file", "cut in the midd"),
    row("X14", "on listing effect=list-bomb", "a file that unpacks to 10 GiB", "extra-bomb"),
    row(
        "X15",
        "on content every=1 effect=invalid-utf8",
        "a line that is not UTF-8 in every file",
        "caf\u{fffd}",
    ),
    row("X16", "future=2h", "one event of each feed is dated ahead", ""),
    row("X17", "on file effect=expired", "links that have expired", "Request has expired"),
    row("X18", "on file effect=missing", "files that are gone", "NoSuchKey"),
    row(
        "X19",
        "on file status=403 form=s3 code=SignatureDoesNotMatch message=\"The request signature does not match\"",
        "a link's signature is refused",
        "SignatureDoesNotMatch",
    ),
    row(
        "X20",
        "on file status=400 form=s3 code=InvalidArgument message=\"Only one auth mechanism allowed\"",
        "the download says that a bearer came with it",
        "Only one auth mechanism allowed",
    ),
    row("X21", "on file status=503 form=s3 code=SlowDown", "503 SlowDown on downloads", "SlowDown"),
    row("X22", "on listing effect=foreign-link", "links to other hosts", "169.254.169.254"),
    row(
        "D01",
        "on data status=403 form=rackspace-json code=unauthorizedFault message=\"Exceeded request limits\"",
        "403 that means throttling",
        "Exceeded request limits",
    ),
    row(
        "D02",
        "on token status=403 form=rackspace-json code=unauthorizedFault message=\"Authentication failed\"\non data status=403 form=rackspace-json code=unauthorizedFault message=\"Authentication failed\"",
        "403 that means wrong credentials",
        "Authentication failed",
    ),
    row(
        "D03",
        "on data status=404 form=rackspace-json code=appsFault meta=500 message=\"Internal error\"",
        "404 whose body says 500",
        "\"code\":500",
    ),
    row(
        "D04",
        "on data status=409 form=rackspace-json code=appsFault message=\"Please try again soon\"",
        "409 appsFault",
        "try again soon",
    ),
    row(
        "D05",
        "on data status=400 form=rackspace-json code=badRequestFault message=\"Bad request\"",
        "400 badRequestFault",
        "badRequestFault",
    ),
    row(
        "D06",
        "on data status=500 form=broken-json code=appsFault message=\"Internal error\"",
        "a fault in broken JSON",
        ",}",
    ),
    row(
        "D07",
        "on data status=500 form=rackspace-xml code=appsFault message=\"Internal error\"",
        "a fault in XML",
        "<appsFault code=\"500\"",
    ),
    row(
        "D08",
        "on data status=500 form=header message=\"Internal error\"",
        "a fault in a header",
        "x-error-message: Internal error",
    ),
    row(
        "D09",
        "on any status=503 form=problem code=unavailable message=\"Down for maintenance\"",
        "application/problem+json",
        "application/problem+json",
    ),
    row(
        "D10",
        "on data status=500 form=json-api code=internal message=\"Internal error\"",
        "JSON:API errors[]",
        "application/vnd.api+json",
    ),
    row(
        "D11",
        "on token status=503 form=oauth code=temporarily_unavailable message=\"Try later\"",
        "OAuth temporarily_unavailable",
        "temporarily_unavailable",
    ),
    row(
        "D12",
        "on data status=200 form=status-error message=\"The operation failed\"",
        "200 with status: error",
        "\"status\":\"error\"",
    ),
];

pub fn named(id: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.id == id)
}
