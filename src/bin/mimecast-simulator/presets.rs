//! The scenarios that have a name, written in the scenario language itself. `{}` stands for the argument.

pub struct Preset {
    pub name: &'static str,
    /// What `{}` is when no argument is given.
    pub argument: &'static str,
    pub text: &'static str,
    pub about: &'static str,
}

const fn preset(
    name: &'static str,
    argument: &'static str,
    text: &'static str,
    about: &'static str,
) -> Preset {
    Preset { name, argument, text, about }
}

pub const PRESETS: &[Preset] = &[
    preset("no-quota", "", "quota=off", "no limit on listing calls, for a quick demonstration"),
    preset(
        "expired-links",
        "",
        "first_links_dead=true",
        "each link answers 403 until its file is listed again",
    ),
    preset(
        "truncated-gzip",
        "2",
        "on file feed=siem.receipt file=0 per=file first={} effect=truncate",
        "one file is cut short the first 2 times, then good",
    ),
    preset(
        "truncated-gzip-forever",
        "",
        "on file feed=siem.receipt file=0 effect=truncate",
        "one file is never whole",
    ),
    preset(
        "wrong-crc",
        "2",
        "on file feed=siem.process file=0 per=file first={} effect=wrong-crc",
        "one file's check sum is wrong the first 2 times",
    ),
    preset(
        "cut",
        "1",
        "on file per=file first={} effect=cut",
        "each download's connection breaks in the middle, once",
    ),
    preset("token-expiry", "20", "token_uses={}", "tokens die after 20 requests (token_expired)"),
    preset(
        "throttle",
        "2s",
        "on listing every=4 status=429 form=flat code=too_many_requests wait={} wait_as=turn\n\
         on records every=3 status=429 form=meta code=err_too_many_requests wait={} wait_as=turn",
        "429 again and again, the wait of 2s told in 6 forms in turn",
    ),
    preset("lockout", "30m", "lock={}", "all accounts are locked (401 0010) for 30m from now"),
    preset(
        "password-expired",
        "",
        "on token status=403 form=flat code=0009",
        "the token endpoint says that the password has expired (403 0009)",
    ),
    preset("quiet", "", "quiet=true", "no events: every feed is empty"),
    preset("late-rows", "60s", "late={}", "window feeds: young rows appear up to 60s after newer ones"),
    preset(
        "outage",
        "60s",
        "on any for={} status=503 form=html",
        "503 with a web page on everything for 60s",
    ),
    preset(
        "html",
        "2",
        "on listing per=feed first={} status=200 form=html\non records per=feed first={} status=200 form=html",
        "a proxy's web page with status 200, the first 2 times on each feed",
    ),
    preset(
        "empty-file",
        "",
        "on listing per=feed first=1 effect=list-empty",
        "each feed's first listing has an additional file without a line",
    ),
    preset(
        "zero-bytes",
        "",
        "on listing per=feed first=1 effect=list-zero-bytes",
        "each feed's first listing has an additional file of 0 bytes",
    ),
    preset(
        "bad-line",
        "1",
        "on content every={} effect=bad-line",
        "a broken line among the good ones of each file",
    ),
    preset(
        "long-line",
        "",
        "on content file=0 effect=long-line",
        "a line above 1 MiB in each feed's first file",
    ),
    preset(
        "invalid-utf8",
        "2",
        "on content every={} effect=invalid-utf8",
        "a line that is not UTF-8 in every 2nd file",
    ),
    preset(
        "bomb",
        "",
        "on listing feed=siem.receipt first=1 effect=list-bomb",
        "an additional file that unpacks to 10 GiB of zeros",
    ),
    preset(
        "u2028",
        "",
        "hostile=separators",
        "subjects of what is published from now on carry U+2028 and kin",
    ),
    preset(
        "half-pairs",
        "",
        "hostile=surrogates",
        "subjects of what is published from now on carry \\ud83d alone",
    ),
    preset(
        "foreign-link",
        "siem.receipt",
        "on listing feed={} effect=foreign-link",
        "listings start with a link to 169.254.169.254 or evil.example",
    ),
    preset(
        "redirect",
        "2",
        "on file per=feed first={} effect=redirect",
        "downloads answer 302 to 169.254.169.254, the first 2 of a feed",
    ),
    preset(
        "caught-up-with-files",
        "",
        "on listing effect=caught-up",
        "isCaughtUp is true on every page, files or not",
    ),
    preset(
        "same-token",
        "3",
        "on listing per=feed first={} effect=same-token",
        "files, but @nextPage does not move, the first 3 times on each feed",
    ),
    preset(
        "no-value",
        "2",
        "on listing per=feed first={} effect=no-value",
        "listings without value, the first 2 of a feed",
    ),
    preset(
        "no-next-page",
        "2",
        "on listing per=feed first={} effect=no-next-page",
        "listings without @nextPage",
    ),
    preset(
        "same-file-twice",
        "",
        "on listing effect=same-file-twice",
        "each listing names its first file twice",
    ),
    preset(
        "no-token",
        "2",
        "on token first={} effect=no-token",
        "200 without access_token, the first 2 times",
    ),
    preset(
        "forbidden-feed",
        "siem.spam",
        "on any feed={} status=403 form=flat code=app_forbidden",
        "no permission for one feed",
    ),
    preset(
        "fail-in-200",
        "3",
        "on audit every={} status=200 form=meta code=0006 meta=500\n\
         on ttp.url every={} status=200 form=meta-status meta=500\n\
         on listing every={} status=200 form=flat code=0006",
        "every 3rd answer is a failure with status 200",
    ),
    preset(
        "spurious-401",
        "7",
        "on listing every={} status=401 form=flat code=InvalidClientIdentifier\n\
         on records every={} status=401 form=flat code=token_verification_failed",
        "every 7th data call is refused although the token is good",
    ),
    preset(
        "rows-behind",
        "20m",
        "behind={}",
        "every third row of a window feed appears 20m after it happened",
    ),
    preset("future-event", "2h", "future={}", "each feed has one event that is dated 2h ahead"),
    preset("next-object", "", "on records effect=next-object", "next is an object, not a string"),
    preset(
        "next-null",
        "",
        "on records effect=next-never\non records effect=next-null",
        "next is null on the last page",
    ),
    preset("next-on-last-page", "", "on records effect=next-always", "every page promises another one"),
    preset(
        "same-next",
        "3",
        "on records per=feed first={} effect=next-always\non records per=feed first={} effect=same-next",
        "next is the token that was sent, the first 3 times on each feed",
    ),
    preset(
        "empty-page",
        "2",
        "on records per=feed first={} effect=empty-page\non listing per=feed first={} effect=empty-page",
        "empty pages with a next one, the first 2 of a feed",
    ),
    preset(
        "empty-list",
        "",
        "on records effect=empty-list",
        "an empty answer still names its list: data [{list: []}]",
    ),
    preset(
        "no-meta",
        "2",
        "on records per=feed first={} effect=no-meta",
        "answers without meta, the first 2 of a feed",
    ),
    preset(
        "no-data",
        "2",
        "on records per=feed first={} effect=no-data",
        "data is null, the first 2 of a feed",
    ),
    preset("partial", "3", "on records every={} effect=partial", "every 3rd page has rows and a failure"),
    preset(
        "half-an-answer",
        "1",
        "on data per=feed first={} effect=cut",
        "the connection breaks in the middle of an answer, once per feed",
    ),
    preset(
        "mta-poison",
        "1",
        "on siem.mta first={} effect=zero-bytes-member\non siem.mta first={} effect=broken-member\non siem.mta first={} effect=traversal\non siem.mta nth=2 effect=unknown-prefix",
        "the first zip of API 1.0 has a broken, an empty and a badly named member",
    ),
    preset(
        "mta-not-a-zip",
        "1",
        "on siem.mta first={} effect=not-a-zip",
        "the first answer of the log of API 1.0 is no zip",
    ),
    preset(
        "mta-invalid-token",
        "2",
        "on siem.mta nth={} status=200 form=meta code=err_audit_siem_invalid_token",
        "the 2nd call of the log of API 1.0 is told that its token is invalid",
    ),
    preset(
        "mta-no-token",
        "2",
        "on siem.mta first={} effect=no-siem-token",
        "the first 2 files of API 1.0 come without mc-siem-token",
    ),
    preset(
        "chaos",
        "0.04",
        "on token p={} status=503 form=html\n\
         on listing p={} status=503 form=html\n\
         on listing p={} status=429 form=flat code=too_many_requests wait=1s wait_as=turn\n\
         on listing p={} status=500 form=meta code=0006\n\
         on listing p={} status=200 form=broken-json\n\
         on listing p={} effect=same-file-twice\n\
         on listing p={} effect=caught-up\n\
         on records p={} status=502 form=empty\n\
         on records p={} status=200 form=meta code=0006 meta=500\n\
         on records p={} status=429 form=meta code=err_too_many_requests wait=1s wait_as=turn\n\
         on file p={} status=503 form=s3 code=SlowDown\n\
         on file p={} effect=expired\n\
         on file p={} effect=truncate\n\
         on file p={} effect=wrong-crc\n\
         on file p={} effect=cut",
        "a mix of faults that pass, each with a chance of 4 %",
    ),
];

pub fn named(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|p| p.name == name)
}

pub fn names() -> String {
    PRESETS.iter().map(|p| p.name).collect::<Vec<_>>().join(" ")
}
