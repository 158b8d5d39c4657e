-- Dead letters and the quarantine take room as undelivered events do, and for as long as nobody looks at them: their
-- bytes count against [store] max_size. Kept by triggers, because adding up would read every row.

CREATE TABLE put_aside (
    shelf TEXT PRIMARY KEY, -- name of the table
    bytes INTEGER NOT NULL  -- of the records in it, with what was said of them
) STRICT, WITHOUT ROWID;

INSERT INTO put_aside (shelf, bytes)
SELECT 'dead_letter', coalesce(sum(length(record) + octet_length(words)), 0) FROM dead_letter
UNION ALL SELECT 'quarantine', coalesce(sum(length(bytes) + octet_length(detail)), 0) FROM quarantine;

CREATE TRIGGER dead_letter_added AFTER INSERT ON dead_letter BEGIN
    UPDATE put_aside SET bytes = bytes + length(NEW.record) + octet_length(NEW.words) WHERE shelf = 'dead_letter';
END;
CREATE TRIGGER dead_letter_gone AFTER DELETE ON dead_letter BEGIN
    UPDATE put_aside SET bytes = bytes - length(OLD.record) - octet_length(OLD.words) WHERE shelf = 'dead_letter';
END;
CREATE TRIGGER dead_letter_refused AFTER UPDATE OF words ON dead_letter BEGIN
    UPDATE put_aside SET bytes = bytes + octet_length(NEW.words) - octet_length(OLD.words) WHERE shelf = 'dead_letter';
END;
CREATE TRIGGER quarantine_added AFTER INSERT ON quarantine BEGIN
    UPDATE put_aside SET bytes = bytes + length(NEW.bytes) + octet_length(NEW.detail) WHERE shelf = 'quarantine';
END;
CREATE TRIGGER quarantine_gone AFTER DELETE ON quarantine BEGIN
    UPDATE put_aside SET bytes = bytes - length(OLD.bytes) - octet_length(OLD.detail) WHERE shelf = 'quarantine';
END;
