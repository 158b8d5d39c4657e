-- The books are added up for every look at the daemon: they must not cost a walk through everything that was put
-- aside. And what the quarantine gives back is counted, so that of equal records each is told from a repeat.

CREATE INDEX dead_letter_booked ON dead_letter (sink, feed) WHERE booked = 1;
CREATE INDEX quarantine_by_feed ON quarantine (feed);

ALTER TABLE seen ADD COLUMN settled INTEGER NOT NULL DEFAULT 0; -- equal items of the quarantine that became events or turned out to be stored
