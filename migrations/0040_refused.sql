-- A sink that refuses everything must not get one more handful of dead letters at every start.

ALTER TABLE sink ADD COLUMN refused INTEGER NOT NULL DEFAULT 0; -- dead letters since it last took an event
