-- A chunk whose bytes the disk did not keep holds nobody up: couriers take from it what is sound and pass over the
-- rest, and it stays as evidence.

ALTER TABLE chunk ADD COLUMN damaged TEXT; -- what is wrong with its bytes; NULL: nobody found anything
