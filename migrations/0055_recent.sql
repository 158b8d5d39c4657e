-- What was put aside lately is counted for each feed and sink by itself: a noisy one must hide no other.

CREATE INDEX quarantine_recent ON quarantine (feed, found);
DROP INDEX quarantine_by_feed; -- the same, and less
CREATE INDEX dead_letter_recent ON dead_letter (sink, feed, refused);
