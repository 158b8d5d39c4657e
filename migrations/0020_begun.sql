-- Where a feed begins is decided once. Worked out anew at each poll, a beginning that lies so far before the present
-- would walk past everything that happened while the first polls failed.

ALTER TABLE feed ADD COLUMN begun INTEGER; -- when it was first to be collected: reading begins one lookback before
