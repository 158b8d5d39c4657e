-- Alerts: what a person has been told, and what still has to be told to whom. Kept together, so that a crash
-- neither repeats nor forgets one.

-- The book of alerts, entry by entry.
CREATE TABLE alert (
    name  TEXT PRIMARY KEY NOT NULL, -- tenant, scope and alert, one a line
    state TEXT NOT NULL              -- the entry: JSON, owned by the supervisor
) STRICT, WITHOUT ROWID;

-- What an alert target has not confirmed yet: at most one message for each alert, the newest.
CREATE TABLE alert_due (
    target  TEXT NOT NULL,    -- name of the target in the configuration
    name    TEXT NOT NULL,    -- of the alert
    number  INTEGER NOT NULL, -- of the message; a newer one replaces an older one
    message TEXT NOT NULL,    -- JSON, owned by alerting
    PRIMARY KEY (target, name)
) STRICT, WITHOUT ROWID;
