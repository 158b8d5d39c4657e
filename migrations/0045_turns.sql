-- A position moved by hand must not make read-throughs count under numbers that earlier ones have used: the number tells
-- a repeat from a twin. And how far files are read is told by the files, not by the newest time that any event claims.

ALTER TABLE feed ADD COLUMN turn INTEGER NOT NULL DEFAULT 0; -- how often the position was set by hand: part of a read-through's number
ALTER TABLE feed ADD COLUMN reached INTEGER;                 -- middle of the event times that the main position read last

UPDATE feed SET reached = last_event;
